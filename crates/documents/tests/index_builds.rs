//! What holds while an index is being built, and at the edges of a collection's life.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use nexusbase_db::{CommitError, Database, Direction, KeyRange, Options, View};
use nexusbase_documents::query::Access;
use nexusbase_documents::store::{BuildProgress, Built, IndexSpec};
use nexusbase_documents::{Collection, DOCUMENT_BYTES_MAX, Documents, Error, Query, json};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

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

/// As many documents as several steps of a build take in.
const MANY: i32 = 10_000;

fn open(disk: &SimDisk) -> Result<Documents, nexusbase_db::OpenError> {
    let options = Options {
        housekeeping_thread: false,
        env: Env::simulated(disk, 7),
        ..Options::default()
    };
    Ok(Documents::new(&Database::open_with("/data", options)?))
}

/// A disk with a collection of many documents.
fn disk_with_many() -> SimDisk {
    let disk = SimDisk::new(3);
    let documents = open(&disk).unwrap();
    insert_numbers(&documents.collection("things").unwrap(), 0..MANY);
    disk.kill();
    disk
}

/// Stops a build when it has taken in at least one step.
fn stop_after_a_step(progress: BuildProgress) -> ControlFlow<()> {
    if progress.done > 0 {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn by_a() -> IndexSpec {
    IndexSpec::on("a").unwrap()
}

fn uses_an_index(things: &Collection) -> bool {
    let snapshot = things.snapshot();
    let query = Query::new(&document(r#"{"a":3}"#)).unwrap();
    let access = things.find_in(&snapshot, &query).unwrap().explain().access;
    access != Access::Collection
}

fn assert_sound(documents: &Documents) {
    let found = &mut |finding: nexusbase_documents::store::IndexFinding| {
        assert!(!finding.fault.is_damage(), "{finding}");
    };
    documents.check(found).unwrap();
}

/// How many builds have left how far they have come.
fn positions(documents: &Documents) -> usize {
    let snapshot = documents.database().snapshot();
    let tree = snapshot.tree("documents.builds").unwrap().unwrap();
    let rows = snapshot.scan(tree, KeyRange::all(), Direction::Forward);
    rows.unwrap().count()
}

#[test]
fn a_build_goes_on_after_a_crash() {
    let disk = disk_with_many();
    let things = open(&disk).unwrap().collection("things").unwrap();
    let stopped = things.build_index(&by_a(), stop_after_a_step).unwrap();
    assert_eq!(stopped, Built::Paused);
    disk.crash(1);
    let documents = open(&disk).unwrap();
    let things = documents.collection("things").unwrap();
    let unfinished = documents.unfinished_indexes().unwrap();
    let [index] = unfinished.as_slice() else {
        unreachable!("{unfinished:?}");
    };
    assert_eq!((&*index.collection, &index.spec), ("things", &by_a()));
    let begun = index.progress;
    assert!(
        (1..10_000).contains(&begun.done) && begun.total >= 10_000,
        "{begun:?}"
    );
    let info = &things.info().unwrap().unwrap().indexes[0];
    assert_eq!((info.ready, info.progress), (false, Some(begun)));
    assert!(!uses_an_index(&things));
    // It is kept up to date before the position and behind it.
    for id in [5, 9990] {
        assert!(things.delete(RawBsonRef::Int32(id)).unwrap());
        things
            .replace(RawBsonRef::Int32(id + 1), &document(r#"{"a":[3,9]}"#))
            .unwrap();
    }
    insert_numbers(&things, -5..0);
    assert_sound(&documents);
    let mut heard = Vec::new();
    assert!(
        things
            .create_index(&index.spec, |done| heard.push(done))
            .unwrap()
    );
    assert_eq!(heard.first(), Some(&begun.done));
    assert!(uses_an_index(&things));
    assert_eq!(documents.unfinished_indexes().unwrap(), []);
    assert_eq!(positions(&documents), 0);
    assert_sound(&documents);
    assert_eq!(count(&things, r#"{"a":9}"#), 2);
}

#[test]
fn a_crash_at_any_write_of_a_build_leaves_an_index_that_can_be_finished() {
    let disk = disk_with_many();
    let mut crashes = 0;
    for at in 1.. {
        let fork = disk.fork();
        let things = open(&fork).unwrap().collection("things").unwrap();
        fork.crash_at(at);
        let built = things.create_index(&by_a(), |_| ());
        if !fork.is_crashed() {
            assert!(built.unwrap());
            break;
        }
        crashes += 1;
        drop(things);
        fork.crash(at);
        fork.clear_faults();
        let documents = open(&fork).unwrap();
        let things = documents.collection("things").unwrap();
        assert_sound(&documents);
        things.create_index(&by_a(), |_| ()).unwrap();
        assert_sound(&documents);
        assert_eq!(count(&things, r#"{"a":3}"#), 1429, "crash {at}");
        assert_eq!(positions(&documents), 0);
    }
    assert!(crashes >= 5, "{crashes}");
}

#[test]
fn nothing_is_left_of_a_build_whose_index_or_collection_is_dropped() {
    let things = collection();
    insert_numbers(&things, 0..MANY);
    let stop = || things.build_index(&by_a(), stop_after_a_step).unwrap();
    assert_eq!(stop(), Built::Paused);
    assert_eq!(positions(things.documents()), 1);
    assert!(things.drop_index("a").unwrap());
    assert_eq!(positions(things.documents()), 0);
    assert_eq!(stop(), Built::Paused);
    assert!(things.drop_collection().unwrap());
    assert_eq!(positions(things.documents()), 0);
}

#[test]
fn two_who_build_one_index_share_the_work() {
    let things = collection();
    insert_numbers(&things, 0..3 * MANY);
    std::thread::scope(|scope| {
        let build = || things.create_index(&by_a(), |_| ()).unwrap();
        let other = scope.spawn(build);
        build();
        other.join().unwrap();
    });
    assert!(uses_an_index(&things));
    assert_sound(things.documents());
    assert_eq!(count(&things, r#"{"a":3}"#), 4286);
}

#[test]
fn a_build_ends_although_writers_never_pause_and_they_go_on_meanwhile() {
    let things = collection();
    insert_numbers(&things, 0..MANY);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (things, done) = (&things, &done);
                scope.spawn(move || {
                    let mut writes = 0;
                    while writes < 100 || !done.load(Ordering::Relaxed) {
                        // The same few documents again and again, all over the collection.
                        let id = RawBsonRef::Int32(writes % 97 * 100 + writer);
                        let text = format!(r#"{{"a":[{writes},7]}}"#);
                        things.replace(id, &document(&text)).unwrap();
                        writes += 1;
                    }
                    writes
                })
            })
            .collect();
        assert!(things.create_index(&by_a(), |_| ()).unwrap());
        done.store(true, Ordering::Relaxed);
        for writer in writers {
            assert!(writer.join().unwrap() >= 100);
        }
    });
    assert_sound(things.documents());
    assert_eq!(count(&things, r#"{"a":7}"#), 97 * 3);
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
