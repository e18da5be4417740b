//! What holds while an index is being built, and at the edges of a collection's life.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use nexusbase_db::{CommitError, Database};
use nexusbase_documents::store::IndexSpec;
use nexusbase_documents::{Collection, DOCUMENT_BYTES_MAX, Documents, Error, Query, json};

fn collection() -> Collection {
    let db = Database::in_memory().unwrap();
    Documents::new(&db).collection("things").unwrap()
}

fn document(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

fn count(collection: &Collection, filter: &str) -> usize {
    let query = Query::new(&document(filter)).unwrap();
    collection.find(&query).unwrap().len()
}

fn insert_numbers(collection: &Collection, numbers: std::ops::Range<i32>) {
    let numbers: Vec<_> = numbers
        .map(|i| document(&format!(r#"{{"_id":{i},"a":{}}}"#, i % 7)))
        .collect();
    collection.insert_many(&numbers).unwrap();
}

/// Begins an index, and ends as a process that is killed after the first step.
fn begin_index_and_die(collection: &Collection, path: &str) {
    let build = || {
        collection.create_index(&IndexSpec::on(path).unwrap(), |_| {
            std::panic::resume_unwind(Box::new(()))
        })
    };
    catch_unwind(AssertUnwindSafe(build)).unwrap_err();
}

#[test]
fn an_index_that_was_dropped_and_begun_anew_is_not_released_by_the_first_build() {
    let things = collection();
    insert_numbers(&things, 0..3000);
    let mut pending = true;
    let built = things.create_index(&IndexSpec::on("a").unwrap(), |done| {
        if done >= 1500 && std::mem::take(&mut pending) {
            things.drop_index("a").unwrap();
            begin_index_and_die(&things, "a");
        }
    });
    assert!(matches!(built, Err(Error::NoSuchIndex { .. })), "{built:?}");
    assert_eq!(count(&things, r#"{"a":3}"#), 429);
    assert!(
        things
            .create_index(&IndexSpec::on("a").unwrap(), |_| ())
            .unwrap()
    );
    assert_eq!(count(&things, r#"{"a":3}"#), 429);
}

#[test]
fn documents_with_more_values_together_than_a_transaction_holds_can_be_indexed() {
    let things = collection();
    for number in 0..6 {
        let values: Vec<_> = (0..400_000)
            .map(|i| format!(r#"{{"b":{}}}"#, i + number))
            .collect();
        let text = format!(r#"{{"_id":{number},"a":[{}]}}"#, values.join(","));
        things.insert(&document(&text)).unwrap();
    }
    assert!(
        things
            .create_index(&IndexSpec::on("a.b").unwrap(), |_| ())
            .unwrap()
    );
    assert_eq!(count(&things, r#"{"a.b":400003}"#), 2);
}

#[test]
fn a_document_that_an_unfinished_index_cannot_hold_can_be_replaced_and_deleted() {
    let things = collection();
    insert_numbers(&things, 0..600);
    for id in [9998, 9999] {
        let long = "x".repeat(40_000);
        things
            .insert(&document(&format!(r#"{{"_id":{id},"a":"{long}"}}"#)))
            .unwrap();
    }
    begin_index_and_die(&things, "a");
    assert!(things.delete(RawBsonRef::Int32(9998)).unwrap());
    assert!(
        things
            .replace(RawBsonRef::Int32(9999), &document(r#"{"a":"short"}"#))
            .unwrap()
    );
    assert!(
        things
            .create_index(&IndexSpec::on("a").unwrap(), |_| ())
            .unwrap()
    );
    assert_eq!(count(&things, r#"{"a":"short"}"#), 1);
}

#[test]
fn a_transaction_older_than_the_first_collection_conflicts_and_does_not_fail() {
    let db = Database::in_memory().unwrap();
    let documents = Documents::new(&db);
    let mut tx = db.begin();
    // The second insert remembers the tree that the first one has created.
    let first = documents.collection("first").unwrap();
    first.insert(&document(r#"{"_id":1}"#)).unwrap();
    first.insert(&document(r#"{"_id":2}"#)).unwrap();
    let mut second = documents.within(&mut tx, "second").unwrap();
    second.insert(&document(r#"{"_id":1}"#)).unwrap();
    assert!(matches!(tx.commit(), Err(CommitError::Conflict { .. })));
}

#[test]
fn a_document_is_within_the_limit_with_the_id_that_it_gets() {
    let things = collection();
    let of_size = |bytes: usize| {
        let mut document = RawDocumentBuf::new();
        let around = 5 + 1 + 2 + 4 + 1;
        document.append(cstr!("a"), "x".repeat(bytes - around));
        assert_eq!(document.as_bytes().len(), bytes);
        document
    };
    let id_bytes = 1 + 4 + 4 + 1 + 16;
    let fits = of_size(DOCUMENT_BYTES_MAX - id_bytes);
    things.insert(&fits).unwrap();
    let refused = things.insert(&of_size(DOCUMENT_BYTES_MAX - id_bytes + 1));
    assert!(matches!(refused, Err(Error::Document(_))), "{refused:?}");
}
