//! What the engine `lsm` promises about sizes, figures, and space that comes back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nexusbase_db::{Database, Direction, Durability, Options, View as _};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::{
    Engine, ErrorKind, Expected, KeyRange, Put, Store, StoreOptions, VersionId, Write, engines,
    transact,
};

fn open(clock: &SimClock, durability: Durability) -> (Database, Arc<dyn Engine>) {
    let options = Options {
        durability,
        env: Env {
            fs: Arc::new(SimDisk::new(0)),
            clock: Arc::new(clock.clone()),
            ..Env::os()
        },
        ..Options::default()
    };
    let db = Database::open_with("/db", options).unwrap();
    let engine = engines::lsm::engine(&db).unwrap();
    (db, engine)
}

fn new() -> (Database, Arc<dyn Engine>, SimClock) {
    let clock = SimClock::manual();
    clock.set_unix_ms(1_000_000);
    let (db, engine) = open(&clock, Durability::Always);
    (db, engine, clock)
}

fn create(engine: &Arc<dyn Engine>, name: &str) -> Arc<dyn Store> {
    engine.create(name, &StoreOptions::default()).unwrap()
}

fn rows(db: &Database, tree: &str) -> usize {
    let snapshot = db.snapshot();
    let tree = snapshot.tree(tree).unwrap().unwrap();
    snapshot
        .scan(tree, KeyRange::all(), Direction::Forward)
        .unwrap()
        .count()
}

fn until(time: u64) -> Put<'static> {
    Put {
        expires_ms: Some(time),
        ..Put::new(b"v")
    }
}

#[test]
fn a_version_with_a_value_of_the_largest_size_can_be_restored() {
    let (_db, engine, _) = new();
    let store = create(&engine, "s");
    for key in [b"a", b"b", b"c"] {
        store.set(key, &vec![1; 1 << 20]).unwrap();
    }
    let limits = engine.capabilities().limits;
    let value = vec![2; limits.value_bytes];
    let key = vec![b'd'; limits.key_bytes];
    let put = Put {
        expires_ms: Some(u64::MAX),
        ..Put::new(&value)
    };
    store.put(&key, put).unwrap();
    // Once more: now there is one that it replaces.
    let put = Put {
        expires_ms: Some(u64::MAX - 1),
        ..put
    };
    store.put(&key, put).unwrap();
    let versions = store.versioned().unwrap();
    versions.take_version(None, "").unwrap();
    let restored = versions.restore_version(&VersionId::Number(1)).unwrap();
    assert_eq!((restored.keys, restored.exact), (4, true));
}

#[test]
fn a_batch_within_the_limit_is_taken() {
    let (_db, engine, _) = new();
    let store = create(&engine, "s");
    let limit = engine.capabilities().limits.batch_bytes;
    let value = vec![7; 92];
    let keys: Vec<_> = (0..(limit / 100) as u64).map(u64::to_be_bytes).collect();
    let put = Put {
        expires_ms: Some(u64::MAX),
        ..Put::new(&value)
    };
    let writes: Vec<_> = keys.iter().map(|key| Write::Put(key, put)).collect();
    store.write(&writes).unwrap();
}

#[test]
fn a_batch_of_too_many_small_entries_is_refused_with_its_real_size() {
    let (_db, engine, _) = new();
    let store = create(&engine, "s");
    let keys: Vec<_> = (0..400_000u64)
        .map(|i| [i.to_be_bytes(); 8].concat())
        .collect();
    let writes: Vec<_> = keys
        .iter()
        .map(|key| Write::Put(key, until(u64::MAX)))
        .collect();
    let refused = store.write(&writes).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::TooLarge { bytes, limit, .. } if bytes > limit),
        "{refused}"
    );
    assert_eq!(store.count(KeyRange::all()).unwrap(), 0);
}

#[test]
fn what_was_put_by_transactions_goes_when_it_has_expired() {
    let (db, engine, clock) = new();
    let store = create(&engine, "s");
    let transactional = store.transactional().unwrap();
    for i in 0..500u32 {
        let put = until(1_000_500 + u64::from(i));
        transact(transactional, |tx| tx.put(&i.to_be_bytes(), put)).unwrap();
        store
            .compare_and_set(&(i + 1000).to_be_bytes(), Expected::Absent, Some(put))
            .unwrap();
    }
    clock.advance(Duration::from_secs(10));
    transact(transactional, |tx| tx.set(b"other", b"v")).unwrap();
    store.set(b"plain", b"v").unwrap();
    assert_eq!(store.count(KeyRange::all()).unwrap(), 2);
    assert_eq!((rows(&db, "kv.1.0"), rows(&db, "kv.expiry")), (2, 0));
}

#[test]
fn renewing_a_key_does_not_take_up_more_and_more_space() {
    let (db, engine, _) = new();
    let store = create(&engine, "s");
    for i in 0..200u64 {
        let put = until(100_000_000_000 + i);
        match i % 4 {
            0 => store.put(b"session", put).unwrap(),
            1 => drop(
                store
                    .compare_and_set(b"session", Expected::Present, Some(put))
                    .unwrap(),
            ),
            2 => transact(store.transactional().unwrap(), |tx| tx.put(b"session", put)).unwrap(),
            _ => assert!(store.delete(b"session").unwrap() && store.put(b"session", put).is_ok()),
        }
    }
    assert_eq!(rows(&db, "kv.expiry"), 1);
    // The same time again: its row must stay.
    store.put(b"session", until(100_000_000_199)).unwrap();
    assert_eq!(rows(&db, "kv.expiry"), 1);
    let delete = |tx: &mut dyn nexusbase_kv::Transaction| tx.delete(b"session");
    assert!(transact(store.transactional().unwrap(), delete).unwrap());
    assert_eq!(rows(&db, "kv.expiry"), 0);
}

#[test]
fn one_write_does_not_pay_for_all_that_has_expired() {
    let (db, engine, clock) = new();
    let store = create(&engine, "s");
    for batch in 0..4u32 {
        let keys: Vec<_> = (0..5000u32)
            .map(|i| (batch * 5000 + i).to_be_bytes())
            .collect();
        let writes: Vec<_> = keys
            .iter()
            .map(|key| Write::Put(key, until(1_900_000)))
            .collect();
        store.write(&writes).unwrap();
    }
    clock.advance(Duration::from_secs(1000));
    let mut before = rows(&db, "kv.expiry");
    let mut writes = 0;
    while before > 0 {
        store.set(b"one", b"v").unwrap();
        let after = rows(&db, "kv.expiry");
        assert!(after < before, "nothing was taken away");
        assert!(before - after <= 2000, "{} entries at once", before - after);
        before = after;
        writes += 1;
    }
    assert!(writes < 30, "no second has to pass while there is more");
    assert_eq!(rows(&db, "kv.1.0"), 1);
}

#[test]
fn a_clock_that_was_set_back_and_rows_of_nonsense_do_not_stop_the_sweep() {
    let (db, engine, clock) = new();
    let store = create(&engine, "s");
    // The clock was wrong for a while.
    clock.set_unix_ms(9_000_000_000);
    store.put(b"first", until(9_000_000_001)).unwrap();
    clock.set_unix_ms(2_000_000);
    store.put(b"second", until(2_000_500)).unwrap();
    db.transact(|tx| {
        let (expiry, tree) = (tx.tree("kv.expiry")?.unwrap(), tx.tree("kv.1.0")?.unwrap());
        tx.put(expiry, b"\0", b"")?;
        // About an entry that cannot be read.
        tx.put(tree, b"damaged", b"\xff")?;
        let row = [&[0; 8][..], &tree.get().to_be_bytes(), b"damaged"].concat();
        tx.put(expiry, &row, b"")?;
        Ok::<_, nexusbase_db::Error>(())
    })
    .unwrap();
    clock.advance(Duration::from_secs(2));
    store.set(b"plain", b"v").unwrap();
    assert_eq!(rows(&db, "kv.expiry"), 1, "that of the first is not due");
    assert!(!store.has(b"second").unwrap() && store.get(b"damaged").is_err());
}

#[test]
fn entries_of_the_past_are_found_also_behind_those_that_were_taken_away() {
    let (db, engine, clock) = new();
    let store = create(&engine, "s");
    store.put(b"a", until(1_000_500)).unwrap();
    clock.advance(Duration::from_secs(10));
    store.set(b"plain", b"v").unwrap();
    assert_eq!(rows(&db, "kv.expiry"), 0);
    store.put(b"b", until(1_000_400)).unwrap();
    clock.advance(Duration::from_secs(61));
    store.set(b"plain", b"v").unwrap();
    assert_eq!(rows(&db, "kv.expiry"), 0);
}

#[test]
fn what_a_version_says_is_exact_is_exact_also_beside_writers() {
    let (_db, engine, clock) = new();
    let store = create(&engine, "s");
    let stop = AtomicBool::new(false);
    let writer = || {
        let mut i = 0u32;
        while !stop.load(Ordering::Relaxed) {
            i += 1;
            let put = until(1_000_000 + u64::from(i % 100));
            store.put(&i.to_be_bytes(), put).unwrap();
            clock.advance(Duration::from_micros(50));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(writer);
        let versions = store.versioned().unwrap();
        let check = |version: nexusbase_kv::Version| {
            let id = VersionId::Number(version.number);
            let view = versions.at_version(&id).unwrap();
            let count = view.count(KeyRange::all()).unwrap();
            assert!(!version.exact || version.keys == count);
            assert_eq!(versions.version(&id).unwrap(), version);
            id
        };
        for round in 0..60 {
            let version = versions.take_version(None, "").unwrap();
            assert!(version.exact);
            let id = check(version);
            if round % 10 == 0 {
                check(versions.restore_version(&id).unwrap());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_engine_is_durable_when_its_database_is() {
    let interval = Durability::Interval(Duration::from_millis(5));
    for (durability, durable) in [
        (Durability::Always, true),
        (interval, false),
        (Durability::Never, false),
    ] {
        let (_db, engine) = open(&SimClock::manual(), durability);
        assert_eq!(engine.capabilities().durable, durable);
        assert_eq!(create(&engine, "s").capabilities().durable, durable);
    }
}

#[test]
fn the_end_of_time_is_a_time_like_any_other() {
    let (_db, engine, clock) = new();
    let store = create(&engine, "s");
    for now in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX, 5] {
        clock.set_unix_ms(now);
        for time in [0, 1, now, now.saturating_add(1), u64::MAX - 1, u64::MAX] {
            store.put(&[b'k'; 60_000], until(time)).unwrap();
            store.set(b"without", b"v").unwrap();
            let expected = 1 + u64::from(time > now);
            assert_eq!(store.count(KeyRange::all()).unwrap(), expected);
            let versions = store.versioned().unwrap();
            let version = versions.take_version(None, "").unwrap();
            assert_eq!(version.keys, expected);
            let id = VersionId::Number(version.number);
            let restored = versions.restore_version(&id).unwrap();
            assert_eq!(restored.keys, expected);
        }
    }
}
