//! Which documents are found, by which rows, and what is refused.

use bson::raw::RawBson;
use nexusbase_db::{Direction, KeyRange, View};
use nexusbase_documents::path::Path;
use nexusbase_documents::store::Built;
use nexusbase_documents::{FilterError, Pipeline};

use super::*;

#[test]
fn strings_under_all_paths_count_also_those_in_arrays() {
    let things = collection();
    let spec = text_index(&["title", "parts.note"]);
    assert_eq!(spec.name(), "text:title,parts.note");
    assert_eq!(IndexSpec::on(spec.name()).unwrap(), spec);
    things.create_index(&spec, |_| {}).unwrap();
    for one in [
        r#"{"_id":1,"title":"The red fox"}"#,
        r#"{"_id":2,"title":["Red","blue"],"parts":[{"note":"green"},{"note":["grey","white"]}]}"#,
        r#"{"_id":3,"parts":{"note":"RED"},"other":"blue"}"#,
        r#"{"_id":4,"title":5,"parts":["red"]}"#,
        r#"{"_id":5}"#,
    ] {
        things.insert(&document(one)).unwrap();
    }
    assert_eq!(found(&things, "red"), [1, 2, 3]);
    assert_eq!(found(&things, "blue"), [2]);
    assert_eq!(found(&things, "GREEN grey"), [2]);
    assert_eq!(found(&things, "\"red blue\""), [0; 0]);
    assert_eq!(found(&things, "red -fox"), [2, 3]);
    assert_eq!(found(&things, "fox white -red"), [0; 0]);
}

#[test]
fn words_of_all_scripts_are_found_without_regard_to_case_and_accents() {
    let things = texts(&[
        "Café Noir",
        "ΣΟΦΟΣ",
        "Привет, МИР",
        "東京 タワー",
        "हिन्दी में",
        "a\0b",
    ]);
    for (text, expected) in [
        ("cafe", vec![0]),
        ("CAFE\u{301}", vec![0]),
        ("σοφος", vec![1]),
        ("мир", vec![2]),
        ("\"東京\"", vec![3]),
        ("हिन्दी", vec![4]),
        ("b", vec![5]),
        ("a\0c", vec![5]),
        ("\u{1F600}", vec![]),
    ] {
        assert_eq!(found(&things, text), expected, "{text:?}");
    }
}

#[test]
fn it_goes_together_with_other_conditions_and_orders() {
    let things = collection();
    things.create_index(&text_index(&["t"]), |_| {}).unwrap();
    let words = ["red", "blue", "red blue", "none"];
    for (n, word) in (0..40).zip(words.into_iter().cycle()) {
        let one = bson::rawdoc! { "_id": n, "t": word, "n": n % 3 };
        things.insert(&one).unwrap();
    }
    let filter =
        document(r#"{"n":1,"$and":[{"$text":{"$search":"red -blue"}},{"_id":{"$gt":5}}]}"#);
    let asked = query(&filter).sort("-_id").unwrap();
    assert_eq!(ids(&things.find(&asked).unwrap()), [28, 16]);
    assert_eq!(things.count(&asked.filter).unwrap(), 2);
    let explain = explain(&things, &query(&search("red")).sort("-_id").unwrap());
    assert_eq!(explain.plan.kind, "text");
    assert_eq!(explain.plan.index.as_deref(), Some("text:t"));
    assert!(explain.plan.reverse);
    assert_eq!((explain.index_rows_read, explain.documents_read), (20, 20));
    let hinted = query(&search("red")).hint(Hint::Index("text:t".into()));
    assert_eq!(things.find(&hinted).unwrap().len(), 20);
    let hinted = query(&document(r#"{"n":1}"#)).hint(Hint::Index("text:t".into()));
    assert!(matches!(things.find(&hinted), Err(Error::Hint { .. })));
    let path = Path::parse("n").unwrap();
    let values = things.distinct(&path, &asked.filter).unwrap();
    assert_eq!(values, [RawBson::Int32(1)]);
    // By words alone, without a document.
    assert_eq!(
        things.count(&query(&search("red blue")).filter).unwrap(),
        30
    );
    // Pages.
    let mut page = query(&search("red blue")).sort("_id").unwrap().limit(7);
    let mut all = Vec::new();
    loop {
        let snapshot = things.snapshot();
        let mut answers = things.find_in(&snapshot, &page).unwrap();
        let some: Vec<_> = answers.by_ref().map(Result::unwrap).collect();
        if some.is_empty() {
            break;
        }
        all.extend(ids(&some));
        page.after = answers.cursor();
    }
    let expected: Vec<i32> = (0..40).filter(|n| n % 4 != 3).collect();
    assert_eq!(all, expected);
}

#[test]
fn the_rarest_word_of_phrases_finds_them() {
    let mut all = vec!["blue sea"; 30];
    all.push("the rare blue sea");
    let things = texts(&all);
    let asked = query(&search("the \"rare blue\" \"blue sea\""));
    assert_eq!(ids(&things.find(&asked).unwrap()), [30]);
    assert_eq!(explain(&things, &asked).index_rows_read, 1);
}

#[test]
fn a_transaction_finds_its_own_writes_and_nobody_else_does() {
    let things = texts(&["red", "blue"]);
    let asked = query(&search("red")).sort("_id").unwrap();
    let changed = things.documents().transact(|tx| {
        let mut within = things.within(tx);
        within.insert(&bson::rawdoc! { "_id": 2, "t": "Red!" })?;
        within.delete(RawBsonRef::Int32(0))?;
        within.replace(RawBsonRef::Int32(1), &bson::rawdoc! { "t": "red blue" })?;
        let own: Result<Vec<_>, _> = within.find(&asked)?.collect();
        assert_eq!(ids(&own?), [1, 2]);
        assert_eq!(within.count(&asked.filter)?, 2);
        assert_eq!(found(&things, "red"), [0]);
        Ok(())
    });
    changed.unwrap();
    assert_eq!(found(&things, "red"), [1, 2]);
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn a_partial_index_answers_only_what_it_holds() {
    let things = collection();
    let spec = text_index(&["t"])
        .partial(&document(r#"{"on":true}"#))
        .unwrap();
    things.create_index(&spec, |_| {}).unwrap();
    for (number, on) in [(0, true), (1, false), (2, true)] {
        let one = bson::rawdoc! { "_id": number, "t": "red", "on": on };
        things.insert(&one).unwrap();
    }
    assert_eq!(found(&things, "red"), [0, 1, 2], "by all documents");
    let filter = document(r#"{"on":true,"$text":{"$search":"red"}}"#);
    let asked = query(&filter).sort("_id").unwrap();
    assert_eq!(ids(&things.find(&asked).unwrap()), [0, 2]);
    assert_eq!(explain(&things, &asked).plan.kind, "text");
    things
        .replace(RawBsonRef::Int32(0), &document(r#"{"t":"red","on":false}"#))
        .unwrap();
    assert_eq!(ids(&things.find(&asked).unwrap()), [2]);
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn a_collection_has_one_text_index_and_it_is_of_one_kind() {
    let things = texts(&[]);
    let refused = things.create_index(&text_index(&["u"]), |_| {});
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("the text index \"text:t\" already"),
        "{error}"
    );
    assert!(!things.create_index(&text_index(&["t"]), |_| {}).unwrap());
    let other = things.create_index(&IndexSpec::on("t").unwrap().named("text:t"), |_| {});
    assert!(matches!(other, Err(Error::IndexExists { .. })));
    let spec = || text_index(&["x"]);
    for wrong in [spec().unique(), spec().sparse(), spec().expire_after(5)] {
        let refused = collection().create_index(&wrong, |_| {});
        assert!(matches!(refused, Err(Error::IndexSpec { .. })), "{wrong:?}");
    }
    for paths in [&["-x"][..], &[], &["x", "x"], &["a..b"]] {
        let refused = IndexSpec::full_text(paths);
        assert!(matches!(refused, Err(Error::IndexPath { .. })), "{paths:?}");
    }
    // A field that is called so can be indexed all the same.
    assert!(!IndexSpec::on("+text:x").unwrap().is_text());
}

#[test]
fn without_a_text_index_it_is_refused() {
    let things = collection();
    assert_eq!(found(&things, "red"), [0; 0], "there is no collection");
    things
        .create_index(&IndexSpec::on("t").unwrap(), |_| {})
        .unwrap();
    let asked = query(&search("red"));
    for error in [
        things.find(&asked).unwrap_err(),
        things.count(&asked.filter).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoTextIndex { .. }), "{error}");
    }
    let matched = asked.filter.matches(&document(r#"{"t":"red"}"#));
    assert!(matched.unwrap_err().to_string().starts_with("$text needs"));
}

#[test]
fn what_a_search_cannot_be_is_refused_by_name() {
    for (filter, part) in [
        (
            r#"{"$text":"red"}"#,
            "$text at /$text expects an object with $search",
        ),
        (r#"{"$text":{}}"#, "an object with $search"),
        (
            r#"{"$text":{"$search":1}}"#,
            "$search at /$text/$search expects a string",
        ),
        (
            r#"{"$text":{"$search":"a","$caseSensitive":true}}"#,
            "$caseSensitive",
        ),
        (
            r#"{"$text":{"$search":"a","$diacriticSensitive":true}}"#,
            "$diacriticSensitive",
        ),
        (
            r#"{"$text":{"$search":"a","$language":"german"}}"#,
            "$language",
        ),
        (r#"{"$text":{"$search":"a","$near":1}}"#, "$near"),
        (
            r#"{"$or":[{"$text":{"$search":"a"}}]}"#,
            "the top of the filter",
        ),
        (
            r#"{"$and":[{"$or":[{"a":1},{"$and":[{"$text":{"$search":"a"}}]}]}]}"#,
            "the top",
        ),
        (
            r#"{"$nor":[{"$text":{"$search":"a"}}]}"#,
            "the top of the filter",
        ),
        (
            r#"{"a":{"$elemMatch":{"b":1,"$text":{"$search":"a"}}}}"#,
            "the top of the filter",
        ),
        (r#"{"a":{"$elemMatch":{"$text":{"$search":"a"}}}}"#, "$text"),
        (r#"{"a":{"$text":{"$search":"a"}}}"#, "$text"),
        (
            r#"{"$text":{"$search":"a"},"$and":[{"$text":{"$search":"b"}}]}"#,
            "once",
        ),
    ] {
        let refused: FilterError = Filter::parse(&document(filter)).unwrap_err();
        assert!(refused.to_string().contains(part), "{filter}: {refused}");
    }
    let allowed = r#"{"$text":{"$search":"a","$caseSensitive":false,"$diacriticSensitive":false,"$language":"none"},"$or":[{"a":1},{"b":2}]}"#;
    assert!(Filter::parse(&document(allowed)).is_ok());
}

#[test]
fn an_index_that_is_built_in_steps_finds_everything_at_its_end() {
    let things = collection();
    for (n, word) in (0..5000).zip(["red", "blue"].into_iter().cycle()) {
        insert(&things, n, word);
    }
    let spec = text_index(&["t"]);
    let paused = things.build_index(&spec, |so_far| match so_far.done {
        0 => std::ops::ControlFlow::Continue(()),
        _ => std::ops::ControlFlow::Break(()),
    });
    assert_eq!(paused.unwrap(), Built::Paused);
    // It is not read yet, and the answer is the same.
    assert_eq!(found(&things, "red").len(), 2500);
    assert_eq!(
        explain(&things, &query(&search("red"))).plan.kind,
        "collection"
    );
    things.delete(RawBsonRef::Int32(0)).unwrap();
    things.delete(RawBsonRef::Int32(4998)).unwrap();
    insert(&things, 5000, "red");
    assert!(things.create_index(&spec, |_| {}).unwrap());
    assert_eq!(found(&things, "red").len(), 2499);
    assert_eq!(explain(&things, &query(&search("red"))).plan.kind, "text");
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn pipelines_search_in_their_first_stages_only() {
    let things = texts(&["red", "blue", "red blue"]);
    let run = |text: &str| {
        let stages = document(&format!("{{\"p\":{text}}}"));
        let pipeline = Pipeline::parse(stages.get_array("p").unwrap()).unwrap();
        things.aggregate(&pipeline)
    };
    let found = run(
        r#"[{"$match":{"$text":{"$search":"red"}}},{"$sort":{"s":{"$meta":"textScore"}}},{"$set":{"x":1}}]"#,
    );
    assert_eq!(ids(&found.unwrap()), [0, 2]);
    for wrong in [
        r#"[{"$limit":1},{"$match":{"$text":{"$search":"red"}}}]"#,
        r#"[{"$limit":1},{"$sort":{"s":{"$meta":"textScore"}}}]"#,
    ] {
        let error = run(wrong).unwrap_err().to_string();
        assert!(error.contains("text index of a collection"), "{error}");
    }
}

#[test]
fn rows_that_lack_or_should_not_be_are_found_and_gone_after_a_rebuild() {
    let things = texts(&["red blue", "red"]);
    let snapshot = things.snapshot();
    let tree = snapshot
        .tree("documents/things/index/text:t")
        .unwrap()
        .unwrap();
    let rows = |things: &Collection| -> Vec<_> {
        let snapshot = things.snapshot();
        let tree = snapshot
            .tree("documents/things/index/text:t")
            .unwrap()
            .unwrap();
        let rows = snapshot
            .scan(tree, KeyRange::all(), Direction::Forward)
            .unwrap();
        rows.map(|row| row.unwrap().0.to_vec()).collect()
    };
    let good = rows(&things);
    assert_eq!(good.len(), 3);
    let orphan = [&good[0][..good[0].len() - 1], b"\x7f"].concat();
    let tampered = things.documents().transact(|tx| {
        tx.delete(tree, &good[0])?;
        tx.put(tree, &orphan, b"")?;
        Ok(())
    });
    tampered.unwrap();
    let found = findings(things.documents());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("missing") && found[1].contains("no document"));
    assert!(things.rebuild_index("text:t", |_| {}).unwrap());
    assert_eq!(rows(&things), good);
    assert_eq!(findings(things.documents()), [""; 0]);
}
