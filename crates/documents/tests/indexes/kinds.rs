//! Specs, expiry, and what listings say.

use std::time::Duration;

use nexusbase_documents::store::{EXPIRE_SECONDS_MAX, INDEXES_MAX, IndexInfo};
use nexusbase_documents::{Collection, Error, IndexSpec, Query};
use nexusbase_io::sim::{SimClock, SimDisk};

use super::{collection, document, findings, id, index, insert, on, open, partial};

fn infos(things: &Collection) -> Vec<IndexInfo> {
    things.info().unwrap().unwrap().indexes
}

fn refused(spec: &IndexSpec) -> String {
    let things = collection();
    let error = things.create_index(spec, |_| ()).unwrap_err();
    assert!(matches!(error, Error::IndexSpec { .. }), "{error}");
    assert_eq!(things.info().unwrap(), None);
    error.to_string()
}

#[test]
fn a_spec_that_contradicts_itself_or_has_no_usable_name_is_refused() {
    let long = "x".repeat(129);
    for name in ["", "a/b", "a\nb", ".", "..", "_id", &long] {
        assert!(refused(&on("a").named(name)).contains("name"), "{name}");
    }
    assert!(refused(&partial("a", r#"{"b":1}"#).sparse()).contains("sparse and partial"));
    assert!(refused(&on("a,b").expire_after(1)).contains("2 paths"));
    assert!(refused(&on("a").expire_after(EXPIRE_SECONDS_MAX + 1)).contains("2147483647"));
    for paths in ["", "a,a", "a,-a", "_id", "-_id", "a..b", "$a"] {
        assert!(IndexSpec::on(paths).is_err(), "{paths}");
    }
    let many: Vec<_> = (0..33).map(|n| format!("a{n}")).collect();
    assert!(IndexSpec::on(&many.join(",")).is_err());
    let negated = on("a").partial(&document(r#"{"b":{"$ne":1}}"#));
    assert!(
        matches!(negated, Err(Error::IndexSpec { .. })),
        "{negated:?}"
    );
    let unknown = on("a").partial(&document(r#"{"b":{"$nonsense":1}}"#));
    assert!(unknown.is_err());
    let things = collection();
    for spec in [
        on("a").named("ä ö?#"),
        on("_id,a"),
        on("c").expire_after(EXPIRE_SECONDS_MAX),
        on(&many[..32].join(",")).unique(),
    ] {
        index(&things, &spec);
    }
}

#[test]
fn the_same_index_again_is_nothing_to_do_and_another_of_its_name_is_an_error() {
    let things = collection();
    let spec = partial("a", r#"{"b":1}"#).unique().named("x");
    index(&things, &spec);
    assert!(!things.create_index(&spec, |_| ()).unwrap());
    let others = [
        (
            on("a").unique().named("x"),
            r#"partial is {"b":1}, not none"#,
        ),
        (
            partial("-a", r#"{"b":1}"#).named("x"),
            "paths is a, not -a; unique is true, not false",
        ),
        (spec.clone().expire_after(9), "expire_after is none, not 9"),
    ];
    for (other, difference) in others {
        let error = things.create_index(&other, |_| ()).unwrap_err();
        assert!(matches!(error, Error::IndexExists { .. }), "{error}");
        assert!(error.to_string().contains(difference), "{error}");
    }
    assert_eq!(infos(&things)[0].spec, spec);
}

#[test]
fn a_collection_has_a_limited_number_of_indexes() {
    let things = collection();
    for number in 0..INDEXES_MAX {
        index(&things, &on(&format!("a{number}")));
    }
    let refused = things.create_index(&on("b"), |_| ());
    assert!(matches!(refused, Err(Error::TooManyIndexes { .. })));
    things.drop_index("a7").unwrap();
    index(&things, &on("b"));
}

#[test]
fn documents_expire_by_their_earliest_date_and_by_nothing_else() {
    for paths in ["at", "-at"] {
        let (disk, clock) = (SimDisk::new(1), SimClock::manual());
        let documents = open(&disk, &clock);
        let things = documents.collection("things").unwrap();
        index(&things, &on(paths).expire_after(60));
        let second = |n: u32| format!(r#"{{"$date":"2026-01-01T00:00:{n:02}Z"}}"#);
        for (number, at) in [
            second(0),
            second(1),
            format!("[{},{}]", second(59), second(2)),
            second(30),
            "5".to_owned(),
            "null".to_owned(),
            r#""2020-01-01""#.to_owned(),
            r#"{"$timestamp":{"t":1,"i":1}}"#.to_owned(),
            "[]".to_owned(),
        ]
        .iter()
        .enumerate()
        {
            insert(&things, &format!(r#"{{"_id":{number},"at":{at}}}"#)).unwrap();
        }
        insert(&things, r#"{"_id":20}"#).unwrap();
        let left = || -> Vec<i32> {
            let query = Query::new(&document("{}")).unwrap().sort("_id").unwrap();
            let found = things.find(&query).unwrap();
            let ids = found.iter().map(|one| one.get_i32("_id").unwrap());
            ids.collect()
        };
        let step = |limit| {
            let expired = documents.expire_step(limit).unwrap();
            (expired.documents, expired.more)
        };
        clock.advance(Duration::from_millis(59_999));
        assert_eq!(step(10), (0, false));
        clock.advance(Duration::from_millis(1));
        assert_eq!(step(10), (1, false));
        assert_eq!(left(), [1, 2, 3, 4, 5, 6, 7, 8, 20], "{paths}");
        clock.advance(Duration::from_secs(29));
        assert_eq!(step(1), (1, true));
        assert_eq!(step(1), (1, false));
        assert_eq!(left(), [3, 4, 5, 6, 7, 8, 20]);
        // What was changed meanwhile is looked at as it is now.
        let later = format!(r#"{{"at":[{},7]}}"#, second(45));
        things.replace(id(3), &document(&later)).unwrap();
        clock.advance(Duration::from_secs(10));
        assert_eq!(step(10), (0, false));
        clock.advance(Duration::from_secs(10));
        assert_eq!(step(10), (1, false));
        assert_eq!(left(), [4, 5, 6, 7, 8, 20]);
        assert_eq!(findings(&documents), [""; 0]);
    }
}

#[test]
fn only_documents_that_a_partial_index_holds_expire_by_it() {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    let documents = open(&disk, &clock);
    let things = documents.collection("things").unwrap();
    index(&things, &partial("at", r#"{"done":true}"#).expire_after(0));
    for number in 0..500 {
        let done = number % 2 == 0;
        let at = r#"{"$date":"2020-01-01T00:00:00Z"}"#;
        let text = format!(r#"{{"_id":{number},"done":{done},"at":{at}}}"#);
        insert(&things, &text).unwrap();
    }
    let expired = documents.expire_step(1000).unwrap();
    assert_eq!((expired.documents, expired.more), (250, false));
    assert_eq!(findings(&documents), [""; 0]);
}

#[test]
fn a_listing_says_how_large_an_index_is_and_how_much_it_was_used() {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    let documents = open(&disk, &clock);
    let things = documents.collection("things").unwrap();
    index(&things, &on("a"));
    for number in 0..10 {
        insert(&things, &format!(r#"{{"_id":{number},"a":[{number},-1]}}"#)).unwrap();
    }
    let before = &infos(&things)[0];
    assert!(before.ready && before.multikey);
    assert_eq!((before.progress, before.size.rows), (None, 20));
    assert!(before.size.bytes > 20 * 10);
    assert_eq!((before.uses.count, before.uses.last_unix_ms), (0, None));
    clock.set_unix_ms(77);
    let by_index = Query::new(&document(r#"{"a":3}"#)).unwrap();
    let by_id = Query::new(&document(r#"{"_id":3}"#)).unwrap();
    for query in [&by_index, &by_id, &by_index] {
        assert_eq!(things.find(query).unwrap().len(), 1);
    }
    let after = &documents.list().unwrap()[0].indexes[0];
    assert_eq!((after.uses.count, after.uses.last_unix_ms), (2, Some(77)));
}

#[test]
fn only_parts_with_a_common_beginning_may_share_an_array() {
    let spec = on("items.sku,items.qty,tags,item");
    assert!(spec.may_share_array(0, 1));
    assert!(!spec.may_share_array(0, 2) && !spec.may_share_array(0, 3));
    assert!(!spec.may_share_array(0, 9));
}

#[test]
fn documents_expire_whose_index_rows_do_not_go_into_one_transaction_together() {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    let documents = open(&disk, &clock);
    let things = documents.collection("things").unwrap();
    index(&things, &on("at").expire_after(0));
    index(&things, &on("tags"));
    // Each row has the long _id in its key: together they take more than 64 MiB.
    let tags: Vec<_> = (0..110).map(|tag| tag.to_string()).collect();
    for number in 0..100 {
        let id = format!("{number}{}", "x".repeat(7000));
        let text = format!(
            r#"{{"_id":"{id}","at":{{"$date":"1970-01-01T00:00:00Z"}},"tags":[{}]}}"#,
            tags.join(",")
        );
        insert(&things, &text).unwrap();
    }
    clock.set_unix_ms(1_000_000);
    assert_eq!(documents.expire_step(1000).unwrap().documents, 100);
    assert_eq!(things.count(&Query::default().filter).unwrap(), 0);
    assert_eq!(findings(&documents), [""; 0]);
}
