//! What collections promise: right answers whichever way they are found, and indexes that never
//! disagree with their documents.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bson::raw::{RawBson, RawDocument, RawDocumentBuf};
use nexusbase_db::Database;
use nexusbase_documents::query::{Access, Cursor, Hint, SortKind};
use nexusbase_documents::store::IndexSpec;
use nexusbase_documents::store::OnError;
use nexusbase_documents::{Collection, Documents, Error, Query, json};

fn collection() -> Collection {
    let db = Database::in_memory().unwrap();
    Documents::new(&db).collection("things").unwrap()
}

fn document(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

fn query(filter: &str) -> Query {
    Query::new(&document(filter)).unwrap()
}

fn text(document: &RawDocument) -> String {
    json::to_string(document, json::Form::Relaxed).unwrap()
}

fn insert_all(collection: &Collection, documents: &[&str]) {
    let documents: Vec<_> = documents.iter().map(|one| document(one)).collect();
    collection.insert_many(&documents).unwrap();
}

fn ids(collection: &Collection, query: &Query) -> Vec<String> {
    let found = collection.find(query).unwrap();
    found
        .iter()
        .map(|one| text(one).split([',', '}']).next().unwrap()[7..].to_owned())
        .collect()
}

fn access(collection: &Collection, query: &Query) -> (Access, SortKind, u64) {
    let snapshot = collection.snapshot();
    let mut answers = collection.find_in(&snapshot, query).unwrap();
    while answers.next().transpose().unwrap().is_some() {}
    let explain = answers.explain();
    (explain.access, explain.sort, explain.documents_read)
}

#[test]
fn a_document_comes_back_as_it_was_given() {
    let things = collection();
    let given =
        document(r#"{"b":1,"_id":"x","a":[1,2.5,{"$date":"2026-01-01T00:00:00Z"}],"n":null}"#);
    let id = things.insert(&given).unwrap();
    assert_eq!(id, RawBson::String("x".to_owned()));
    let back = things.get(id.as_raw_bson_ref()).unwrap().unwrap();
    // The fields keep their order, but for the _id, which comes first.
    assert_eq!(
        text(&back),
        r#"{"_id":"x","b":1,"a":[1,2.5,{"$date":"2026-01-01T00:00:00Z"}],"n":null}"#
    );
}

#[test]
fn an_id_is_generated_and_grows() {
    let things = collection();
    let made: Vec<_> = (0..50)
        .map(|_| things.insert(&document("{\"a\":1}")).unwrap())
        .collect();
    let stored = things.find(&query("{}").sort("_id").unwrap()).unwrap();
    let in_order: Vec<_> = stored
        .iter()
        .map(|one| RawBson::from(one.get("_id").unwrap().unwrap()))
        .collect();
    assert_eq!(in_order, made);
}

#[test]
fn a_second_document_with_the_same_id_is_refused_and_nothing_of_its_batch_is_kept() {
    let things = collection();
    insert_all(&things, &[r#"{"_id":1}"#]);
    let batch = [document(r#"{"_id":2}"#), document(r#"{"_id":1.0}"#)];
    let (number, error) = things.insert_many(&batch).unwrap_err();
    assert_eq!(number, 1);
    assert!(matches!(error, Error::DuplicateId { .. }), "{error}");
    assert_eq!(ids(&things, &query("{}")), ["1"]);
}

#[test]
fn each_of_many_documents_has_its_own_outcome() {
    let long = "x".repeat(40_000);
    let batch = [
        "{\"_id\":1}".to_owned(),
        "{\"_id\":1}".to_owned(),
        format!("{{\"_id\":2,\"k\":\"{long}\"}}"),
        "{\"_id\":3,\"a.b\":1}".to_owned(),
        "{\"_id\":4}".to_owned(),
    ];
    let outcomes = |documents: &[String], on_error| {
        let things = collection();
        things
            .create_index(&IndexSpec::on("k").unwrap(), |_| {})
            .unwrap();
        let documents: Vec<_> = documents.iter().map(|one| document(one)).collect();
        let outcomes = things.insert_each(&documents, on_error).unwrap();
        let words = outcomes.iter().map(|outcome| match outcome {
            Ok(_) => "in",
            Err(Error::DuplicateId { .. }) => "duplicate",
            Err(Error::KeyTooLarge { .. }) => "too long",
            Err(Error::Document(_)) => "bad name",
            Err(_) => "other",
        });
        (words.collect::<Vec<_>>(), ids(&things, &query("{}")))
    };
    let (skipped, there) = outcomes(&batch, OnError::Skip);
    assert_eq!(skipped, ["in", "duplicate", "too long", "bad name", "in"]);
    assert_eq!(there, ["1", "4"]);
    for (from, expected, left) in [
        (0, vec!["in", "duplicate"], vec!["1"]),
        (1, vec!["in", "too long"], vec!["1"]),
        (2, vec!["too long"], vec![]),
        (3, vec!["bad name"], vec![]),
        (4, vec!["in"], vec!["4"]),
        (5, vec![], vec![]),
    ] {
        let (stopped, there) = outcomes(&batch[from..], OnError::Stop);
        assert_eq!(stopped, expected, "from {from}");
        assert_eq!(there, left, "from {from}");
    }
}

#[test]
fn replace_and_delete_say_whether_there_was_a_document() {
    let things = collection();
    let id = RawBson::Int32(1);
    let id = id.as_raw_bson_ref();
    assert!(!things.replace(id, &document("{\"a\":1}")).unwrap());
    assert!(
        things
            .replace(id, &document("{\"_id\":1,\"a\":2}"))
            .unwrap()
    );
    let changed = things.replace(id, &document("{\"_id\":2}"));
    assert!(matches!(changed, Err(Error::IdChanged { .. })));
    assert!(things.delete(id).unwrap());
    assert!(!things.delete(id).unwrap());
    assert_eq!(things.get(id).unwrap(), None);
}

#[test]
fn queries_use_an_index_and_say_so() {
    let things = collection();
    let all: Vec<_> = (0..200)
        .map(|n| format!("{{\"_id\":{n},\"k\":{}}}", n % 20))
        .collect();
    insert_all(&things, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let by_k = query(r#"{"k": 7}"#);
    assert_eq!(
        access(&things, &by_k),
        (Access::Collection, SortKind::None, 200)
    );
    assert!(
        things
            .create_index(&IndexSpec::on("k").unwrap(), |_| {})
            .unwrap()
    );
    assert!(
        !things
            .create_index(&IndexSpec::on("k").unwrap(), |_| {})
            .unwrap()
    );
    let (used, _, read) = access(&things, &by_k);
    assert_eq!(
        (used, read),
        (
            Access::Index {
                path: "k".into(),
                bounds: "= 7".into()
            },
            10
        )
    );
    assert_eq!(ids(&things, &by_k).len(), 10);

    let by_id = query(r#"{"_id": {"$in": [3, 5, 999]}, "k": 3}"#);
    assert!(matches!(access(&things, &by_id), (Access::Id { .. }, _, 2)));
    let sorted = query("{}").sort("-k").unwrap().limit(5);
    assert!(matches!(
        access(&things, &sorted),
        (Access::Index { .. }, SortKind::ByAccess, 5)
    ));
    assert_eq!(ids(&things, &sorted), ["199", "179", "159", "139", "119"]);
    let range = query(r#"{"k": {"$gte": 3, "$lt": 5}}"#);
    assert!(matches!(
        access(&things, &range),
        (Access::Index { .. }, _, 30 | 20)
    ));
    assert_eq!(ids(&things, &range).len(), 20);
}

#[test]
fn an_index_that_cannot_be_finished_is_not_left_behind() {
    let things = collection();
    let long = "x".repeat(40_000);
    insert_all(&things, &[&format!("{{\"_id\":1,\"k\":\"{long}\"}}")]);
    let refused = things.create_index(&IndexSpec::on("k").unwrap(), |_| {});
    assert!(matches!(refused, Err(Error::KeyTooLarge { .. })));
    assert!(things.info().unwrap().unwrap().indexes.is_empty());
    insert_all(&things, &[&format!("{{\"_id\":2,\"k\":\"{long}\"}}")]);
}

#[test]
fn dropping_a_collection_or_an_index_leaves_nothing_behind() {
    let things = collection();
    things
        .create_index(&IndexSpec::on("a").unwrap(), |_| {})
        .unwrap();
    insert_all(&things, &[r#"{"_id":1,"a":1}"#]);
    assert!(things.drop_index("a").unwrap());
    assert!(!things.drop_index("a").unwrap());
    assert_eq!(ids(&things, &query("{\"a\":1}")), ["1"]);
    assert!(things.drop_collection().unwrap());
    assert!(!things.drop_collection().unwrap());
    assert_eq!(things.info().unwrap(), None);
    assert_eq!(ids(&things, &query("{}")), Vec::<String>::new());
    let trees = nexusbase_db::View::trees(&things.snapshot(), "documents/things").unwrap();
    assert_eq!(trees, vec![]);
}

#[test]
fn pages_show_each_document_once_while_others_write() {
    let things = collection();
    let all: Vec<_> = (0..60)
        .map(|n| format!("{{\"_id\":{n},\"k\":{}}}", n % 7))
        .collect();
    insert_all(&things, &all.iter().map(String::as_str).collect::<Vec<_>>());
    for (sort, index) in [
        ("_id", None),
        ("-_id", None),
        ("k", None),
        ("-k", None),
        ("-k", Some("k")),
    ] {
        if let Some(index) = index {
            things
                .create_index(&IndexSpec::on(index).unwrap(), |_| {})
                .unwrap();
        }
        let whole = ids(
            &things,
            &query("{\"_id\":{\"$gte\":0}}").sort(sort).unwrap(),
        );
        let mut seen = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let mut page = query("{\"_id\":{\"$gte\":0}}").sort(sort).unwrap().limit(7);
            page.after = after.take();
            let snapshot = things.snapshot();
            let mut answers = things.find_in(&snapshot, &page).unwrap();
            let before = seen.len();
            while let Some(one) = answers.next().transpose().unwrap() {
                seen.push(
                    one.get("_id")
                        .unwrap()
                        .unwrap()
                        .as_i32()
                        .unwrap()
                        .to_string(),
                );
            }
            if seen.len() == before {
                break;
            }
            let token = answers.cursor().unwrap().to_string();
            after = Some(token.parse().unwrap());
            // Not part of the answer: below every page.
            things
                .insert(&document(&format!("{{\"_id\":-{},\"k\":3}}", seen.len())))
                .unwrap();
        }
        assert_eq!(seen, whole, "{sort} {index:?}");
        for n in 0..70 {
            things.delete(RawBson::Int32(-n).as_raw_bson_ref()).unwrap();
            if n == 0 {
                things.insert(&document("{\"_id\":0,\"k\":0}")).unwrap();
            }
        }
    }
}

#[test]
fn a_cursor_of_another_query_is_refused() {
    let things = collection();
    insert_all(&things, &["{\"_id\":1}", "{\"_id\":2}"]);
    let snapshot = things.snapshot();
    let first = query("{}").sort("_id").unwrap().limit(1);
    let mut answers = things.find_in(&snapshot, &first).unwrap();
    answers.next();
    let mut other = query("{}").sort("-_id").unwrap();
    other.after = answers.cursor();
    assert!(matches!(
        things.find_in(&snapshot, &other),
        Err(Error::Cursor(_))
    ));
    assert!("nonsense".parse::<Cursor>().is_err());
}

#[test]
fn an_index_built_while_others_write_is_complete() {
    let db = Database::in_memory().unwrap();
    let things = Documents::new(&db).collection("things").unwrap();
    let all: Vec<_> = (0..3000)
        .map(|n| document(&format!("{{\"_id\":{n},\"k\":{}}}", n % 10)))
        .collect();
    for chunk in all.chunks(500) {
        things.insert_many(chunk).unwrap();
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..600 {
                let id = RawBson::Int32(n * 5);
                let id = id.as_raw_bson_ref();
                match n % 3 {
                    0 => assert!(things.delete(id).unwrap()),
                    1 => assert!(things.replace(id, &document("{\"k\":100}")).unwrap()),
                    _ => {
                        let new = format!("{{\"_id\":{},\"k\":5}}", n + 9000);
                        things.insert(&document(&new)).unwrap();
                    }
                }
            }
        });
        things
            .create_index(&IndexSpec::on("k").unwrap(), |_| {})
            .unwrap();
        writer.join().unwrap();
    });
    let snapshot = things.snapshot();
    for k in (0..10).chain([100]) {
        let indexed = query(&format!("{{\"k\":{k}}}"));
        let scanned = indexed.clone().hint(Hint::Collection);
        assert!(matches!(access(&things, &indexed).0, Access::Index { .. }));
        assert_eq!(access(&things, &scanned).0, Access::Collection);
        let read = |query: &Query| {
            let all = things.find_in(&snapshot, query).unwrap();
            let mut all: Vec<_> = all.map(|one| text(&one.unwrap())).collect();
            all.sort();
            all
        };
        assert_eq!(read(&indexed), read(&scanned), "k = {k}");
    }
}

#[test]
fn a_transaction_over_two_collections_happens_as_a_whole_or_not_at_all() {
    let db = Database::in_memory().unwrap();
    let documents = Documents::new(&db);
    let failed = documents.transact(|tx| {
        documents
            .within(tx, "a")?
            .insert(&document("{\"_id\":1}"))?;
        documents
            .within(tx, "b")?
            .insert(&document("{\"_id\":1}"))?;
        documents.within(tx, "b")?.insert(&document("{\"_id\":1}"))
    });
    assert!(matches!(failed, Err(Error::DuplicateId { .. })));
    assert!(documents.list().unwrap().is_empty());
    documents
        .transact(|tx| {
            documents
                .within(tx, "a")?
                .insert(&document("{\"_id\":1}"))?;
            documents.within(tx, "b")?.insert(&document("{\"_id\":1}"))
        })
        .unwrap();
    let names: Vec<_> = documents
        .list()
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn names_that_could_be_mistaken_for_something_else_are_refused() {
    let documents = Documents::new(&Database::in_memory().unwrap());
    let long = "x".repeat(129);
    for name in ["", ".", "..", "-x", "a/b", "a b", "ä", "a\0", long.as_str()] {
        assert!(documents.collection(name).is_err(), "{name:?}");
    }
}
