//! What handles of the engine `lsm` promise beside others: who drops, renames, closes, restores.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nexusbase_db::{Database, Options};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::{
    Engine, ErrorKind, KeyRange, Mode, Store, StoreOptions, VersionId, engines, transact,
};

/// So often a race is tried.
const ROUNDS: usize = 200;

fn new() -> (Database, Arc<dyn Engine>) {
    let options = Options {
        env: Env {
            fs: Arc::new(SimDisk::new(0)),
            clock: Arc::new(SimClock::manual()),
            ..Env::os()
        },
        ..Options::default()
    };
    let db = Database::open_with("/db", options).unwrap();
    let engine = engines::lsm::engine(&db).unwrap();
    (db, engine)
}

fn create(engine: &Arc<dyn Engine>, name: &str) -> Arc<dyn Store> {
    engine.create(name, &StoreOptions::default()).unwrap()
}

fn fill(store: &dyn Store, rows: u32) {
    let keys: Vec<_> = (0..rows).map(|i| format!("k{i:06}")).collect();
    for keys in keys.chunks(10_000) {
        let pairs: Vec<_> = keys.iter().map(|key| (key.as_bytes(), &b"v"[..])).collect();
        store.set_many(&pairs).unwrap();
    }
}

fn is_gone(error: &nexusbase_kv::Error) -> bool {
    matches!(error.kind(), ErrorKind::StoreNotFound)
}

#[test]
fn a_reader_never_sees_a_part_of_a_restore() {
    let (_db, engine) = new();
    let store = create(&engine, "s");
    fill(&*store, 12_000);
    // In every state that the store ever has, in the last batch of a restore.
    store.set(b"z", b"always").unwrap();
    let versions = store.versioned().unwrap();
    let first = VersionId::Number(versions.take_version(Some("v"), "").unwrap().number);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match reader % 4 {
                        0 => assert!(store.snapshot().unwrap().has(b"z").unwrap()),
                        1 => assert_eq!(store.count(KeyRange::prefix(b"z")).unwrap(), 1),
                        _ => assert!(store.has(b"z").unwrap()),
                    }
                }
            });
        }
        for _ in 0..20 {
            let taken = versions.restore_version(&first).unwrap();
            let taken = VersionId::Number(taken.number);
            versions.delete_version(&taken).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn reads_work_after_restores_that_end_in_any_order() {
    let (_db, engine) = new();
    let store = create(&engine, "s");
    fill(&*store, 2000);
    let restore = || {
        let versions = store.versioned().unwrap();
        versions.restore_version(&VersionId::Number(1)).unwrap();
    };
    store.versioned().unwrap().take_version(None, "").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(restore);
        }
    });
    store.set(b"new", b"v").unwrap();
    assert!(store.has(b"new").unwrap() && store.has(b"k000000").unwrap());
}

/// Threads that commit all the time, so that others do not lead and wake up late.
fn busy<T>(other: &Arc<dyn Store>, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..6u32 {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    other.set(&thread.to_be_bytes(), b"v").unwrap();
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_store_that_was_just_created_is_not_ended_by_an_earlier_drop() {
    let (_db, engine) = new();
    let other = create(&engine, "other");
    busy(&other, || {
        for _ in 0..ROUNDS {
            drop(create(&engine, "s"));
            let made = std::thread::scope(|scope| {
                let dropping = scope.spawn(|| engine.drop_store("s").unwrap());
                let making = scope.spawn(|| {
                    loop {
                        if let Ok(made) = engine.create("s", &StoreOptions::default()) {
                            return made;
                        }
                    }
                });
                dropping.join().unwrap();
                making.join().unwrap()
            });
            made.set(b"k", b"v").unwrap();
            engine.drop_store("s").unwrap();
        }
    });
}

#[test]
fn no_handle_works_under_a_name_that_is_anothers() {
    let (_db, engine) = new();
    let other = create(&engine, "other");
    busy(&other, || {
        for _ in 0..ROUNDS {
            create(&engine, "a").close().unwrap();
            let opened = std::thread::scope(|scope| {
                let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| engine.open("a"))).collect();
                engine.rename("a", "b").unwrap();
                opening
                    .into_iter()
                    .filter_map(|thread| thread.join().unwrap().ok())
                    .collect::<Vec<_>>()
            });
            let new = create(&engine, "a");
            for handle in &opened {
                if handle.set(b"k", b"written to a").is_ok() {
                    assert!(new.has(b"k").unwrap(), "it went into b");
                }
            }
            engine.drop_store("a").unwrap();
            engine.drop_store("b").unwrap();
        }
    });
}

/// Another engine on the database does not know of the handle: so nothing ends it at once.
#[test]
fn nothing_is_written_through_a_handle_with_a_name_of_before() {
    let (db, engine) = new();
    let store = create(&engine, "a");
    store.set(b"k", b"1").unwrap();
    let version = store.versioned().unwrap().take_version(None, "").unwrap();
    let version = VersionId::Number(version.number);
    let another = engines::lsm::engine(&db).unwrap();
    another.rename("a", "b").unwrap();
    let _new = create(&another, "a");
    assert!(is_gone(&store.set(b"k", b"2").unwrap_err()));
    assert!(is_gone(&store.clear().unwrap_err()));
    let versions = store.versioned().unwrap();
    assert!(is_gone(&versions.take_version(None, "").unwrap_err()));
    assert!(is_gone(&versions.restore_version(&version).unwrap_err()));
    assert!(is_gone(&versions.delete_version(&version).unwrap_err()));
    let transactional = store.transactional().unwrap();
    assert!(is_gone(&transactional.begin(Mode::ReadWrite).unwrap_err()));
    // Back again, but not for those who have seen it go.
    another.drop_store("a").unwrap();
    another.rename("b", "a").unwrap();
    assert!(is_gone(&store.set(b"k", b"2").unwrap_err()));
    let found = another.open("a").unwrap().get(b"k").unwrap();
    assert_eq!(found.as_deref(), Some(&b"1"[..]));
}

#[test]
fn who_opens_a_store_twice_gets_the_same_life() {
    let (_db, engine) = new();
    let store = create(&engine, "s");
    let mut tx = store
        .transactional()
        .unwrap()
        .begin(Mode::ReadWrite)
        .unwrap();
    // The transaction lives longer than the handle, and ends with the next one.
    drop(store);
    let again = engine.open("s").unwrap();
    tx.set(b"k", b"v").unwrap();
    again.close().unwrap();
    let refused = tx.set(b"k", b"v").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Closed));
    assert!(engine.open("s").unwrap().set(b"k", b"v").is_ok());
}

#[test]
fn closing_or_dropping_a_store_ends_its_transactions() {
    for close in [true, false] {
        let (_db, engine) = new();
        let store = create(&engine, "s");
        create(&engine, "other");
        store.set(b"k", b"v").unwrap();
        let transactional = store.transactional().unwrap();
        let mut all = [Mode::ReadWrite, Mode::ReadOnly].map(|mode| {
            let tx = transactional.begin(mode).unwrap();
            assert!(tx.has(b"k").unwrap());
            tx
        });
        if close {
            store.close().unwrap();
        } else {
            engine.drop_store("s").unwrap();
        }
        let is_it = |kind: &ErrorKind| match kind {
            ErrorKind::Closed => close,
            ErrorKind::StoreNotFound => !close,
            _ => false,
        };
        for tx in &mut all {
            assert!(is_it(tx.get(b"k").unwrap_err().kind()));
            assert!(is_it(tx.count(KeyRange::all()).unwrap_err().kind()));
            assert!(is_it(tx.also("other").err().unwrap().kind()));
        }
        let [mut tx, reader] = all;
        assert!(is_it(tx.set(b"k", b"w").unwrap_err().kind()));
        assert!(is_it(tx.delete(b"k").unwrap_err().kind()));
        assert!(is_it(tx.commit().unwrap_err().kind()));
        assert!(is_it(reader.commit().unwrap_err().kind()));
    }
}

#[test]
fn a_second_engine_on_the_database_does_not_break_a_restore_of_the_first() {
    let (db, engine) = new();
    let store = create(&engine, "s");
    fill(&*store, 30_000);
    store.versioned().unwrap().take_version(None, "").unwrap();
    std::thread::scope(|scope| {
        let restoring = scope.spawn(|| {
            let versions = store.versioned().unwrap();
            for _ in 0..5 {
                versions.restore_version(&VersionId::Number(1)).unwrap();
            }
        });
        while !restoring.is_finished() {
            drop(engines::lsm::engine(&db).unwrap());
        }
        restoring.join().unwrap();
    });
    assert_eq!(store.count(KeyRange::all()).unwrap(), 30_000);
}

#[test]
fn a_database_is_free_again_when_nobody_has_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    {
        let db = Database::open(folder.path()).unwrap();
        let engine = engines::lsm::engine(&db).unwrap();
        let store = create(&engine, "s");
        store.set(b"k", b"v").unwrap();
    }
    drop(Database::open(folder.path()).unwrap());
}

#[test]
fn transactions_over_stores_stay_serializable_beside_restores_and_clears() {
    let (_db, engine) = new();
    let (a, b, c) = (
        create(&engine, "a"),
        create(&engine, "b"),
        create(&engine, "c"),
    );
    a.set(b"n", b"1000").unwrap();
    b.set(b"n", b"0").unwrap();
    c.set(b"k", b"v").unwrap();
    c.versioned().unwrap().take_version(None, "").unwrap();
    let number = |bytes: Option<nexusbase_kv::Bytes>| -> i64 {
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse().unwrap();
        bytes.map_or(0, |bytes| number(&bytes))
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3i64 {
            let (a, stop) = (&a, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    transact(a.transactional().unwrap(), |tx| {
                        let from = number(tx.get(b"n")?);
                        let to = number(tx.also("b")?.get(b"n")?);
                        tx.set(b"n", (from - 1).to_string().as_bytes())?;
                        tx.also("c")?.set(&thread.to_be_bytes(), b"v")?;
                        tx.also("b")?.set(b"n", (to + 1).to_string().as_bytes())
                    })
                    .unwrap();
                }
            });
        }
        for _ in 0..ROUNDS {
            let versions = c.versioned().unwrap();
            let restored = versions.restore_version(&VersionId::Number(1)).unwrap();
            let restored = VersionId::Number(restored.number);
            versions.delete_version(&restored).unwrap();
            c.clear().unwrap();
            let transactional = a.transactional().unwrap();
            let mut tx = transactional.begin(Mode::ReadOnly).unwrap();
            let from = number(tx.get(b"n").unwrap());
            let to = number(tx.also("b").unwrap().get(b"n").unwrap());
            assert_eq!(from + to, 1000);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
