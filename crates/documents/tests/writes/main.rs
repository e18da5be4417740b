//! What everything that changes documents promises, and everything that watches them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bulk;
mod changes;
mod conditions;
mod idempotency;
mod names;
mod promises;
mod schemas;
mod sessions;
mod updates;

use bson::raw::{RawBson, RawDocument, RawDocumentBuf};
use nexusbase_db::Database;
use nexusbase_documents::store::{Change, Selection};
use nexusbase_documents::{Collection, Documents, Query, Update, json};

fn documents() -> Documents {
    Documents::new(&Database::in_memory().unwrap())
}

fn collection() -> Collection {
    documents().collection("things").unwrap()
}

fn document(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

fn selection(filter: &str) -> Selection {
    Selection::new(&document(filter)).unwrap()
}

fn operators(update: &str) -> Change {
    Change::Operators(Update::parse(&document(update), &[]).unwrap())
}

fn text(document: &RawDocument) -> String {
    json::to_string(document, json::Form::Relaxed).unwrap()
}

fn insert(collection: &Collection, documents: &[&str]) {
    let documents: Vec<_> = documents.iter().map(|one| document(one)).collect();
    collection.insert_many(&documents).unwrap();
}

/// All documents in the order of `_id`.
fn all(collection: &Collection) -> Vec<String> {
    let query = Query::new(&document("{}")).unwrap().sort("_id").unwrap();
    let found = collection.find(&query).unwrap();
    found.iter().map(|one| text(one)).collect()
}

fn int(number: i32) -> RawBson {
    RawBson::Int32(number)
}

/// Every index agrees with its documents.
fn check(documents: &Documents) {
    documents.check(&mut |finding| panic!("{finding}")).unwrap();
}
