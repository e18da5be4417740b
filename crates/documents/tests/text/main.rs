//! What searching in text promises: answers are those of the documents themselves, however they
//! are found; what cannot be searched is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agree;
mod cases;
mod hostile;
mod score;

use bson::raw::{RawBsonRef, RawDocumentBuf};
use nexusbase_db::Database;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::query::{Explain, Hint};
use nexusbase_documents::sort::Sort;
use nexusbase_documents::{Collection, Documents, Error, IndexSpec, Query, json};

fn collection() -> Collection {
    let db = Database::in_memory().unwrap();
    Documents::new(&db).collection("things").unwrap()
}

fn document(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

fn text_index(paths: &[&str]) -> IndexSpec {
    IndexSpec::full_text(paths).unwrap()
}

/// A collection with a text index on `t`, and documents with these texts, numbered from 0.
fn texts(texts: &[&str]) -> Collection {
    let things = collection();
    things.create_index(&text_index(&["t"]), |_| {}).unwrap();
    for (number, text) in texts.iter().enumerate() {
        insert(&things, i32::try_from(number).unwrap(), text);
    }
    things
}

fn insert(things: &Collection, number: i32, text: &str) {
    let document = bson::rawdoc! { "_id": number, "t": text };
    things.insert(&document).unwrap();
}

fn search(text: &str) -> RawDocumentBuf {
    bson::rawdoc! { "$text": { "$search": text } }
}

fn query(filter: &RawDocumentBuf) -> Query {
    Query::new(filter).unwrap()
}

fn ids(found: &[RawDocumentBuf]) -> Vec<i32> {
    let ids = found.iter().map(|one| one.get_i32("_id").unwrap());
    ids.collect()
}

/// The `_id`s of what is found, in their order.
fn found(things: &Collection, text: &str) -> Vec<i32> {
    let query = query(&search(text)).sort("_id").unwrap();
    ids(&things.find(&query).unwrap())
}

fn explain(things: &Collection, query: &Query) -> Explain {
    let snapshot = things.snapshot();
    let mut answers = things.find_in(&snapshot, query).unwrap();
    answers.by_ref().for_each(|one| drop(one.unwrap()));
    answers.explain()
}

fn by_score() -> Sort {
    Sort::from_document(&document(r#"{"score":{"$meta":"textScore"}}"#)).unwrap()
}

/// Says what is wrong with the indexes.
fn findings(documents: &Documents) -> Vec<String> {
    let mut found = Vec::new();
    let checked = documents.check(&mut |finding| {
        if finding.fault.is_damage() {
            found.push(finding.to_string());
        }
    });
    checked.unwrap();
    found
}
