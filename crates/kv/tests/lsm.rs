//! What the engine `lsm` promises beyond the compliance suite: transactions over stores, versions
//! over restarts, restores beside writers, space that comes back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nexusbase_db::{Database, Direction, Options, View as _};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::{
    Engine, ErrorKind, KeyRange, Mode, Put, Store, StoreOptions, VersionId, View, Write, engines,
    transact,
};

fn options(disk: &SimDisk, clock: &SimClock) -> Options {
    Options {
        segment_bytes: 1 << 20,
        env: Env {
            fs: Arc::new(disk.clone()),
            clock: Arc::new(clock.clone()),
            ..Env::os()
        },
        ..Options::default()
    }
}

fn open(disk: &SimDisk, clock: &SimClock) -> (Database, Arc<dyn Engine>) {
    let db = Database::open_with("/db", options(disk, clock)).unwrap();
    let engine = engines::lsm::engine(&db).unwrap();
    (db, engine)
}

fn new() -> (Database, Arc<dyn Engine>, SimClock) {
    let (disk, clock) = (SimDisk::new(0), SimClock::manual());
    let (db, engine) = open(&disk, &clock);
    (db, engine, clock)
}

fn create(engine: &Arc<dyn Engine>, name: &str) -> Arc<dyn Store> {
    engine.create(name, &StoreOptions::default()).unwrap()
}

#[test]
fn a_transaction_over_several_stores_is_one_change() {
    let (_db, engine, _) = new();
    let (from, to) = (create(&engine, "from"), create(&engine, "to"));
    from.set(b"money", b"10").unwrap();
    let transactional = from.transactional().unwrap();

    let mut tx = transactional.begin(Mode::ReadWrite).unwrap();
    assert!(tx.delete(b"money").unwrap());
    tx.also("to").unwrap().set(b"money", b"10").unwrap();
    assert_eq!(
        tx.also("to").unwrap().get(b"money").unwrap().as_deref(),
        Some(&b"10"[..])
    );
    assert_eq!(
        to.get(b"money").unwrap(),
        None,
        "nobody sees it before the commit"
    );
    tx.rollback();
    assert!(from.has(b"money").unwrap() && !to.has(b"money").unwrap());

    transact(transactional, |tx| {
        tx.delete(b"money")?;
        tx.also("to")?.set(b"money", b"10")
    })
    .unwrap();
    assert!(!from.has(b"money").unwrap() && to.has(b"money").unwrap());
    let mut tx = transactional.begin(Mode::ReadWrite).unwrap();
    let missing = tx.also("nowhere").err().unwrap();
    assert!(matches!(missing.kind(), ErrorKind::StoreNotFound));
}

#[test]
fn a_read_in_another_store_is_a_reason_for_a_conflict() {
    let (_db, engine, _) = new();
    let (a, b) = (create(&engine, "a"), create(&engine, "b"));
    let mut tx = a.transactional().unwrap().begin(Mode::ReadWrite).unwrap();
    assert_eq!(tx.also("b").unwrap().count(KeyRange::all()).unwrap(), 0);
    tx.set(b"b was", b"empty").unwrap();
    b.set(b"key", b"").unwrap();
    assert!(tx.commit().unwrap_err().is_conflict());
    assert!(!a.has(b"b was").unwrap());
}

#[test]
fn a_reader_of_several_stores_sees_one_state_of_all() {
    let (_db, engine, _) = new();
    let (a, b) = (create(&engine, "a"), create(&engine, "b"));
    let mut reader = a.transactional().unwrap().begin(Mode::ReadOnly).unwrap();
    transact(a.transactional().unwrap(), |tx| {
        tx.set(b"key", b"")?;
        tx.also("b")?.set(b"key", b"")
    })
    .unwrap();
    assert!(!reader.has(b"key").unwrap() && !reader.also("b").unwrap().has(b"key").unwrap());
    assert!(matches!(
        reader.set(b"key", b"").unwrap_err().kind(),
        ErrorKind::ReadOnly(_)
    ));
    let refused = reader.also("b").unwrap().delete(b"key").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::ReadOnly(_)));
    reader.commit().unwrap();
    assert!(b.has(b"key").unwrap());
}

#[test]
fn a_version_is_readable_after_changes_flushes_compactions_and_a_restart() {
    let (disk, clock) = (SimDisk::new(0), SimClock::manual());
    let fill = |store: &dyn Store, byte: u8| {
        for key in 0..500_u16 {
            store.set(&key.to_be_bytes(), &[byte; 50]).unwrap();
        }
    };
    {
        let (db, engine) = open(&disk, &clock);
        let store = create(&engine, "s");
        fill(&*store, 1);
        store
            .versioned()
            .unwrap()
            .take_version(Some("first"), "a note")
            .unwrap();
        fill(&*store, 2);
        db.settle().unwrap();
        store.clear().unwrap();
        fill(&*store, 3);
        db.settle().unwrap();
        engine.close().unwrap();
        db.close().unwrap();
    }
    let (db, engine) = open(&disk, &clock);
    let store = engine.open("s").unwrap();
    let versions = store.versioned().unwrap();
    let version = versions.version(&VersionId::parse("first")).unwrap();
    assert_eq!(
        (version.number, version.note.as_str(), version.keys),
        (1, "a note", 500)
    );
    let view = versions.at_version(&VersionId::Number(1)).unwrap();
    let is_old = |view: &dyn View, byte: u8| {
        let mut rows = view.rows(KeyRange::all(), Direction::Forward).unwrap();
        rows.all(|row| row.unwrap().entry.value == vec![byte; 50])
    };
    assert!(view.count(KeyRange::all()).unwrap() == 500 && is_old(&*view, 1));
    assert!(is_old(&*store, 3));
    let restored = versions.restore_version(&VersionId::Number(1)).unwrap();
    assert_eq!(
        (restored.number, restored.keys, restored.exact),
        (2, 500, true)
    );
    assert!(is_old(&*store, 1));
    // The view of a version stays readable when the version goes, and the tree that it was in.
    versions.delete_version(&VersionId::Number(1)).unwrap();
    db.settle().unwrap();
    assert!(view.count(KeyRange::all()).unwrap() == 500 && is_old(&*view, 1));
    assert!(versions.at_version(&VersionId::Number(1)).is_err());
}

/// Writers count up while the store is restored again and again: each write is acknowledged
/// either before a restore, which takes it back, or after it, and is there.
#[test]
fn writers_beside_a_restore_lose_nothing_that_comes_after_it() {
    let (_db, engine, _) = new();
    let store = create(&engine, "s");
    for key in 0..2000_u16 {
        store.set(&key.to_be_bytes(), &[0; 20]).unwrap();
    }
    let version = store
        .versioned()
        .unwrap()
        .take_version(None, "")
        .unwrap()
        .number;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_u8 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut count = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    store.set(&[b'w', writer], &count.to_be_bytes()).unwrap();
                    // Reads its own write, unless a restore came between.
                    let read = store.get(&[b'w', writer]).unwrap();
                    let value = count.to_be_bytes();
                    assert!(read.is_none_or(|read| read == value.as_slice()));
                }
            });
        }
        for _ in 0..5 {
            let versions = store.versioned().unwrap();
            let restored = versions
                .restore_version(&VersionId::Number(version))
                .unwrap();
            let view = versions
                .at_version(&VersionId::Number(restored.number))
                .unwrap();
            assert_eq!(view.count(KeyRange::all()).unwrap(), 2000);
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.set(b"last", b"1").unwrap();
    assert!(store.has(b"last").unwrap());
}

#[test]
fn an_entry_that_has_expired_gives_its_space_back_when_others_write() {
    let (db, engine, clock) = new();
    let store = create(&engine, "s");
    let now = db.env().clock.unix_ms();
    let put = |value: &'static [u8], after: u64| Put {
        expires_ms: Some(now + after),
        ..Put::new(value)
    };
    for key in 0..1000_u16 {
        store
            .put(&key.to_be_bytes(), put(b"gone soon", 5_000))
            .unwrap();
    }
    // One that was replaced by one that stays.
    store.set(&7_u16.to_be_bytes(), b"stays").unwrap();
    let snapshot = store.snapshot().unwrap();
    clock.advance(Duration::from_secs(6));
    assert_eq!(store.count(KeyRange::all()).unwrap(), 1);
    store.put(b"another", put(b"", 100_000)).unwrap();
    let rows = |name: &str| {
        let view = db.snapshot();
        let tree = view.tree(name).unwrap().unwrap();
        view.scan(tree, KeyRange::all(), Direction::Forward)
            .unwrap()
            .count()
    };
    assert_eq!(rows("kv.1.0"), 2, "expired rows are still there");
    assert_eq!(
        rows("kv.expiry"),
        1,
        "rows about what is gone are still there"
    );
    assert_eq!(
        snapshot.count(KeyRange::all()).unwrap(),
        1000,
        "a snapshot's clock stands still"
    );
}

#[test]
fn stores_and_documents_of_the_database_share_its_transactions_and_its_folder() {
    let (db, engine, _) = new();
    let store = create(&engine, "s");
    store.write(&[Write::Put(b"a", Put::new(b"1"))]).unwrap();
    // Other trees are none of its business.
    db.transact(|tx| {
        let tree = tx.create_tree("mine")?;
        tx.put(tree, b"key", b"value")?;
        Ok::<_, nexusbase_db::Error>(())
    })
    .unwrap();
    assert_eq!(engine.list().unwrap().len(), 1);
    let again = engines::lsm::engine(&db).unwrap();
    assert_eq!(
        again.open("s").unwrap().get(b"a").unwrap().as_deref(),
        Some(&b"1"[..])
    );
}

#[test]
fn a_store_on_a_closed_database_says_that_it_is_closed() {
    let (db, engine, _) = new();
    let store = create(&engine, "s");
    db.close().unwrap();
    assert!(matches!(
        store.set(b"a", b"").unwrap_err().kind(),
        ErrorKind::Closed
    ));
    engine.close().unwrap();
    assert!(matches!(
        store.get(b"a").unwrap_err().kind(),
        ErrorKind::Closed
    ));
    assert!(engine.list().is_err() && engine.open("s").is_err());
}

#[test]
fn versions_stay_as_they_were_over_restores_clears_restarts_and_compactions() {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    {
        let (db, engine) = open(&disk, &clock);
        let store = create(&engine, "s");
        let versions = store.versioned().unwrap();
        for round in 0..5u32 {
            let keys: Vec<_> = (0..500u32)
                .map(|i| (i * (round + 1)).to_be_bytes())
                .collect();
            let value = round.to_be_bytes();
            let pairs: Vec<_> = keys.iter().map(|key| (&key[..], &value[..])).collect();
            store.clear().unwrap();
            store.set_many(&pairs).unwrap();
            versions.take_version(None, "").unwrap();
            db.settle().unwrap();
        }
        for number in [2, 4, 1] {
            let id = VersionId::Number(number);
            versions.restore_version(&id).unwrap();
            db.settle().unwrap();
        }
        engine.rename("s", "t").unwrap();
        db.close().unwrap();
    }
    for _ in 0..3 {
        let (db, engine) = open(&disk, &clock);
        let store = engine.open("t").unwrap();
        for number in 1..=5u32 {
            let id = VersionId::Number(number.into());
            let view = store.versioned().unwrap().at_version(&id).unwrap();
            let rows = view.rows(KeyRange::all(), Direction::Forward).unwrap();
            let rows: Vec<_> = rows.map(Result::unwrap).collect();
            assert_eq!(rows.len(), 500);
            for (i, row) in (0..500u32).zip(&rows) {
                assert_eq!(&row.key[..], (i * number).to_be_bytes());
                assert_eq!(&row.entry.value[..], (number - 1).to_be_bytes());
            }
        }
        store.set(b"more", b"v").unwrap();
        db.settle().unwrap();
        db.close().unwrap();
    }
}
