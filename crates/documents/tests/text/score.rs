//! The order by score, and the score as a field.

use nexusbase_documents::projection::Projection;

use super::*;

fn with_score(fields: &str) -> Option<Projection> {
    Some(Projection::from_document(&document(fields)).unwrap())
}

#[test]
fn the_best_come_first_and_equals_by_id() {
    let things = texts(&[
        "the sea",
        "sea sea sea",
        "nothing of that kind",
        "a long text in which there is one sea and very much else to read",
        "the sea",
        "a rare sea",
    ]);
    let mut asked = query(&search("rare sea"));
    asked.sort = Some(by_score());
    assert_eq!(ids(&things.find(&asked).unwrap()), [5, 1, 0, 4, 3]);
    assert_eq!(
        ids(&things.find(&asked.clone().limit(2).skip(1)).unwrap()),
        [1, 0]
    );
    // The same in whichever way they are found.
    let all = asked.clone().hint(Hint::Collection);
    assert_eq!(ids(&things.find(&all).unwrap()), [5, 1, 0, 4, 3]);
    let snapshot = things.snapshot();
    let mut answers = things.find_in(&snapshot, &asked).unwrap();
    assert!(answers.by_ref().all(|one| one.is_ok()));
    assert_eq!(answers.cursor(), None, "scores change with every write");
}

#[test]
fn the_score_is_a_field_if_it_is_asked_for() {
    let things = texts(&["the sea", "sea"]);
    let shown = |fields: &str| {
        let mut asked = query(&search("sea")).sort("_id").unwrap();
        asked.projection = with_score(fields);
        things.find(&asked).unwrap()
    };
    for (fields, names) in [
        (
            r#"{"score":{"$meta":"textScore"}}"#,
            vec!["_id", "t", "score"],
        ),
        (r#"{"t":{"$meta":"textScore"}}"#, vec!["_id", "t"]),
        (r#"{"_id":1,"s":{"$meta":"textScore"}}"#, vec!["_id", "s"]),
        (r#"{"t":0,"s":{"$meta":"textScore"}}"#, vec!["_id", "s"]),
    ] {
        let found = shown(fields);
        for one in &found {
            let is: Vec<_> = one
                .iter()
                .map(|field| field.unwrap().0.as_str().to_owned())
                .collect();
            assert_eq!(is, names, "{fields}");
        }
        let scores: Vec<f64> = found
            .iter()
            .map(|one| one.get_f64(names[names.len() - 1]).unwrap())
            .collect();
        assert!(scores[1] > scores[0] && scores[0] > 0.0, "{scores:?}");
    }
}

#[test]
fn documents_that_do_not_fit_into_memory_are_ordered_as_well() {
    let things = collection();
    things.create_index(&text_index(&["t"]), |_| {}).unwrap();
    for n in 0..30_u8 {
        // The later, the more often it has the word; and 1 MiB beside it.
        let (text, large) = ("sea ".repeat(usize::from(n) + 1), "x".repeat(1 << 20));
        let one = bson::rawdoc! { "_id": i32::from(n), "t": text, "x": large };
        things.insert(&one).unwrap();
    }
    let mut asked = query(&search("sea"));
    asked.sort = Some(by_score());
    asked.projection = with_score(r#"{"t":1,"s":{"$meta":"textScore"}}"#);
    let found = things.find(&asked).unwrap();
    assert_eq!(ids(&found), (0..30).rev().collect::<Vec<_>>());
    assert!(found.iter().all(|one| one.get_f64("s").is_ok()));
}

#[test]
fn a_score_of_nothing_is_refused() {
    let things = texts(&["sea"]);
    let mut asked = query(&document("{}"));
    asked.sort = Some(by_score());
    assert!(matches!(
        things.find(&asked),
        Err(Error::NoTextScore { asked_in: "sort" })
    ));
    asked.sort = None;
    asked.projection = with_score(r#"{"s":{"$meta":"textScore"}}"#);
    let refused = things.find(&asked);
    assert!(matches!(
        refused,
        Err(Error::NoTextScore {
            asked_in: "projection"
        })
    ));
    for sort in [
        r#"{"s":{"$meta":"textScore"},"a":1}"#,
        r#"{"a":1,"s":{"$meta":"textScore"}}"#,
        r#"{"s":{"$meta":"indexKey"}}"#,
        r#"{"s":{"$meta":"textScore","x":1}}"#,
        r#"{"s":{}}"#,
    ] {
        assert!(Sort::from_document(&document(sort)).is_err(), "{sort}");
    }
    for fields in [
        r#"{"s":{"$meta":"indexKey"}}"#,
        r#"{"a.s":{"$meta":"textScore"}}"#,
        r#"{"a":{"s":{"$meta":"textScore"}}}"#,
        r#"{"_id":{"$meta":"textScore"}}"#,
        r#"{"a":{"$meta":"textScore"},"b":{"$meta":"textScore"}}"#,
    ] {
        assert!(
            Projection::from_document(&document(fields)).is_err(),
            "{fields}"
        );
    }
}
