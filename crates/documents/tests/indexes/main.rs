//! What indexes promise: which documents and values stand in them, what unique ones refuse, when
//! documents expire, and that they always agree with their documents.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod agree;
mod kinds;
mod unique;

use std::sync::Arc;

use bson::raw::{RawBsonRef, RawDocumentBuf};
use nexusbase_db::{Database, Direction, KeyRange, Options, TreeId, View};
use nexusbase_documents::{Collection, Documents, Error, IndexSpec, json};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};

fn collection() -> Collection {
    let db = Database::in_memory().unwrap();
    Documents::new(&db).collection("things").unwrap()
}

fn document(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

fn on(paths: &str) -> IndexSpec {
    IndexSpec::on(paths).unwrap()
}

fn partial(paths: &str, filter: &str) -> IndexSpec {
    on(paths).partial(&document(filter)).unwrap()
}

fn index(collection: &Collection, spec: &IndexSpec) {
    assert!(collection.create_index(spec, |_| ()).unwrap());
}

fn insert(collection: &Collection, text: &str) -> Result<(), Error> {
    collection.insert(&document(text)).map(drop)
}

const fn id(number: i32) -> RawBsonRef<'static> {
    RawBsonRef::Int32(number)
}

/// A database on a simulated disk that nothing but a crash ends.
fn open(disk: &SimDisk, clock: &SimClock) -> Documents {
    let options = Options {
        housekeeping_thread: false,
        env: Env {
            clock: Arc::new(clock.clone()),
            ..Env::simulated(disk, 7)
        },
        ..Options::default()
    };
    Documents::new(&Database::open_with("/data", options).unwrap())
}

fn tree_of(collection: &Collection, index: &str) -> TreeId {
    let name = format!("documents/{}/index/{index}", collection.name());
    let tree = collection.snapshot().tree(&name).unwrap();
    tree.expect("the index's tree")
}

/// The rows of an index, as they are stored.
fn rows(collection: &Collection, index: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let snapshot = collection.snapshot();
    let tree = tree_of(collection, index);
    let rows = snapshot.scan(tree, KeyRange::all(), Direction::Forward);
    let rows = rows.unwrap().map(|row| row.unwrap());
    rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Says what is wrong with the indexes.
fn findings(documents: &Documents) -> Vec<String> {
    let mut found = Vec::new();
    documents
        .check(&mut |finding| {
            if finding.fault.is_damage() {
                found.push(finding.to_string());
            }
        })
        .unwrap();
    found
}
