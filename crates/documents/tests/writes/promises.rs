//! Transactions over documents, and that what was written is what is read.

use std::sync::atomic::{AtomicBool, Ordering};

use nexusbase_db::{Database, Options};
use nexusbase_documents::store::{IndexSpec, UpdateOptions};
use nexusbase_documents::{Collection, Documents, Error, Query};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

use crate::{all, check, collection, document, documents, insert, int, operators, selection};

fn open(disk: &SimDisk) -> Result<Collection, nexusbase_db::OpenError> {
    let options = Options {
        env: Env::simulated(disk, 1),
        housekeeping_thread: false,
        ..Options::default()
    };
    let db = Database::open_with("/data", options)?;
    Ok(Documents::new(&db).collection("things").unwrap())
}

/// The power is cut at every operation of the disk in turn.
#[test]
fn writes_are_atomic() {
    let start = SimDisk::new(1);
    let things = open(&start).unwrap();
    things
        .create_index(&IndexSpec::on("a").unwrap(), |_| {})
        .unwrap();
    insert(
        &things,
        &[
            r#"{"_id":1,"a":[1,2]}"#,
            r#"{"_id":2,"a":1}"#,
            r#"{"_id":3,"a":9}"#,
        ],
    );
    let before = all(&things);
    let change = |things: &Collection| {
        let inc = operators(r#"{"$set":{"a":[5,6,7]}}"#);
        things.update(&selection(r#"{"a":1}"#), &inc, &UpdateOptions::many())
    };
    let after = {
        let things = open(&start.fork()).unwrap();
        change(&things).unwrap();
        all(&things)
    };
    drop(things);
    let (mut none, mut done) = (0, 0);
    for at in 1.. {
        let disk = start.fork();
        let things = open(&disk).unwrap();
        disk.crash_at(at);
        let changed = change(&things).is_ok();
        drop(things);
        let finished = !disk.is_crashed();
        disk.crash(at);
        let things = open(&disk).unwrap();
        let found = all(&things);
        assert!(
            found == before || found == after,
            "crash at {at}: {found:?}"
        );
        assert!(
            !changed || found == after,
            "crash at {at}: what was reported is lost"
        );
        check(things.documents());
        none += usize::from(found == before);
        done += usize::from(found == after);
        if finished {
            break;
        }
    }
    assert!(none > 0 && done > 0, "{none} {done}");
}

#[test]
fn a_commit_is_all_or_nothing() {
    let documents = documents();
    let [a, b] = ["a", "b"].map(|name| documents.collection(name).unwrap());
    a.create().unwrap();
    b.create().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..100 {
                let new = document(&format!(r#"{{"_id":{i}}}"#));
                let both = documents.transact(|tx| {
                    a.within(tx).insert(&new)?;
                    b.within(tx).insert(&new)
                });
                both.unwrap();
            }
            stop.store(true, Ordering::Release);
        });
        let query = Query::new(&document("{}")).unwrap();
        while !stop.load(Ordering::Acquire) {
            let snapshot = a.snapshot();
            let count = |one: &Collection| one.find_in(&snapshot, &query).unwrap().count();
            assert_eq!(count(&a), count(&b));
        }
    });
    assert_eq!(all(&a).len(), 100);
}

#[test]
fn a_rollback_leaves_no_trace() {
    let documents = documents();
    let things = documents.collection("things").unwrap();
    things
        .create_index(&IndexSpec::on("a").unwrap(), |_| {})
        .unwrap();
    insert(&things, &[r#"{"_id":1,"a":1}"#]);
    let index = documents.database().snapshot().index();
    let mut changes = documents.changes(None, None).unwrap();
    let mut tx = documents.database().begin();
    let mut within = things.within(&mut tx);
    within.insert(&document(r#"{"_id":2,"a":[1,2]}"#)).unwrap();
    within.delete(int(1).as_raw_bson_ref()).unwrap();
    within.set_schema(Some("{}"), false).unwrap();
    within.rename("others", false).unwrap();
    documents.within(&mut tx, "more").unwrap().create().unwrap();
    drop(tx);
    assert_eq!(all(&things), [r#"{"_id":1,"a":1}"#]);
    let info = things.info().unwrap().unwrap();
    assert_eq!((info.schema, info.indexes[0].multikey), (None, false));
    assert_eq!(documents.list().unwrap().len(), 1);
    assert_eq!(documents.database().snapshot().index(), index);
    assert_eq!(changes.try_next().unwrap(), None);
    check(&documents);
}

#[test]
fn a_failed_commit_rolls_back() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"n":1}"#]);
    let mut tx = things.documents().database().begin();
    let id = int(1);
    let mut within = things.within(&mut tx);
    assert!(within.get(id.as_raw_bson_ref()).unwrap().is_some());
    within.insert(&document(r#"{"_id":2}"#)).unwrap();
    things
        .replace(id.as_raw_bson_ref(), &document(r#"{"n":2}"#))
        .unwrap();
    tx.commit().unwrap_err();
    assert_eq!(all(&things), [r#"{"_id":1,"n":2}"#]);
    // And so does an operation that fails within a transaction.
    let failed = things.documents().transact(|tx| {
        things.within(tx).insert(&document(r#"{"_id":3}"#))?;
        things.within(tx).insert(&document(r#"{"_id":1}"#))
    });
    assert!(matches!(failed, Err(Error::DuplicateId { .. })));
    assert_eq!(all(&things).len(), 1);
}

#[test]
fn collections_are_isolated() {
    let documents = documents();
    let [a, b] = ["a", "a.b"].map(|name| documents.collection(name).unwrap());
    for one in [&a, &b] {
        one.create_index(&IndexSpec::on("k").unwrap(), |_| {})
            .unwrap();
        insert(one, &[r#"{"_id":1,"k":1}"#]);
    }
    // Work on one is no conflict for work on the other.
    let mut tx = documents.database().begin();
    b.within(&mut tx)
        .update(
            &selection("{}"),
            &operators(r#"{"$inc":{"k":1}}"#),
            &UpdateOptions::many(),
        )
        .unwrap();
    a.update(
        &selection("{}"),
        &operators(r#"{"$inc":{"k":5}}"#),
        &UpdateOptions::many(),
    )
    .unwrap();
    a.set_schema(Some("{}"), true).unwrap();
    tx.commit().unwrap().wait().unwrap();
    assert_eq!(all(&a), [r#"{"_id":1,"k":6}"#]);
    assert_eq!(all(&b), [r#"{"_id":1,"k":2}"#]);
    a.delete_many(&selection("{}")).unwrap();
    a.drop_collection().unwrap();
    assert_eq!(all(&b), [r#"{"_id":1,"k":2}"#]);
    check(&documents);
}

#[test]
fn concurrent_writes_stay_safe() {
    const THREADS: i64 = 4;
    const ROUNDS: i64 = 50;
    let things = collection();
    things
        .create_index(&IndexSpec::on("n").unwrap(), |_| {})
        .unwrap();
    let accounts: Vec<_> = (0..5)
        .map(|i| document(&format!(r#"{{"_id":{i},"n":100}}"#)))
        .collect();
    things.insert_many(&accounts).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let things = &things;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (from, to) = ((thread + round) % 5, (thread * 2 + round * 3 + 1) % 5);
                    let give = |account: i64, amount: i64, tx: &mut _| {
                        let filter = selection(&format!(r#"{{"_id":{account}}}"#));
                        let inc = operators(&format!(r#"{{"$inc":{{"n":{amount},"moves":1}}}}"#));
                        things
                            .within(tx)
                            .update(&filter, &inc, &UpdateOptions::one())
                    };
                    let moved = things.documents().transact(|tx| {
                        give(from, -1, tx)?;
                        give(to, 1, tx)
                    });
                    moved.unwrap();
                }
            });
        }
    });
    let query = Query::new(&document("{}")).unwrap();
    let sum = |name: &str| -> i64 {
        let found = things.find(&query).unwrap();
        let numbers = found
            .iter()
            .map(|one| i64::from(one.get_i32(name).unwrap()));
        numbers.sum()
    };
    assert_eq!((sum("n"), sum("moves")), (500, THREADS * ROUNDS * 2));
    check(things.documents());
}

#[test]
fn reads_go_on_during_writes() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"n":0}"#, r#"{"_id":2,"n":0}"#]);
    let query = Query::new(&document("{}")).unwrap().sort("_id").unwrap();
    let snapshot = things.snapshot();
    let mut answers = things.find_in(&snapshot, &query).unwrap();
    answers.next().unwrap().unwrap();
    // A write that is not committed and one that is: neither waits, nor shows.
    let mut tx = things.documents().database().begin();
    let set = operators(r#"{"$set":{"n":1}}"#);
    things
        .within(&mut tx)
        .update(&selection("{}"), &set, &UpdateOptions::many())
        .unwrap();
    assert_eq!(all(&things)[0], r#"{"_id":1,"n":0}"#);
    tx.commit().unwrap().wait().unwrap();
    things.drop_collection().unwrap();
    let last = answers.next().unwrap().unwrap();
    assert_eq!(last.get_i32("n").unwrap(), 0);
    assert_eq!(things.find_in(&snapshot, &query).unwrap().count(), 2);
}
