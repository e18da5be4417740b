//! Transactions over several stores keep to what each store was told, and tell of each.

use std::time::Duration;

use nexusbase_db::{Database, Options};
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::engines::lsm;
use nexusbase_kv::{ErrorKind, EventKind, Mode, Next, Operation, StoreOptions, stores};

use super::{create, env};

#[test]
fn a_transaction_keeps_to_what_each_of_its_stores_was_told_and_tells_of_each() {
    let env = env(&SimDisk::new(1), &SimClock::manual());
    let options = Options {
        env: env.clone(),
        ..Options::default()
    };
    let db = Database::open_with("/db", options).unwrap();
    let stores = stores(&env);
    stores.register(lsm::engine(&db).unwrap()).unwrap();
    let (a, b) = (create(&stores, "a"), create(&stores, "b"));
    let told = |read_only| StoreOptions {
        ttl_ms: Some(1000),
        read_only,
        ..StoreOptions::default()
    };
    stores.set_options("b", &told(false)).unwrap();
    b.set(b"old", b"1").unwrap();
    let begin = || a.transactional().unwrap().begin(Mode::ReadWrite).unwrap();
    let listener = stores.events().subscribe(None);

    let mut tx = begin();
    tx.set(b"k", b"1").unwrap();
    let mut other = tx.also("b").unwrap();
    other.set(b"k", b"2").unwrap();
    assert!(other.delete(b"old").unwrap());
    assert_eq!(other.get(b"k").unwrap().unwrap(), "2");
    drop(other);
    assert_eq!(
        listener.next(Duration::ZERO),
        Next::Nothing,
        "told before the commit"
    );
    tx.commit().unwrap();
    assert_eq!(a.entry(b"k").unwrap().unwrap().expires_ms, None);
    let expires_ms = b.entry(b"k").unwrap().unwrap().expires_ms;
    assert_eq!(expires_ms, Some(env.clock.unix_ms() + 1000));
    let mut told_of = Vec::new();
    while let Next::Event(event) = listener.next(Duration::ZERO) {
        told_of.push((event.store, event.kind));
    }
    let changed = |put: &'static [u8], deleted: &[&'static [u8]]| EventKind::Changed {
        put: vec![put.into()],
        deleted: deleted.iter().map(|key| (*key).into()).collect(),
    };
    let expected = [
        ("a".to_owned(), changed(b"k", &[])),
        ("b".to_owned(), changed(b"k", &[b"old"])),
    ];
    assert_eq!(told_of, expected);

    // Refused at the write, or at the commit if it was told only after the write.
    let mut late = begin();
    late.also("b").unwrap().set(b"late", b"").unwrap();
    stores.set_options("b", &told(true)).unwrap();
    let mut tx = begin();
    let write = tx.also("b").unwrap().set(b"x", b"").unwrap_err();
    let delete = tx.also("b").unwrap().delete(b"k").unwrap_err();
    for (refused, operation) in [
        (write, Operation::Write),
        (delete, Operation::Delete),
        (late.commit().unwrap_err(), Operation::Commit),
    ] {
        assert!(
            matches!(refused.kind(), ErrorKind::ReadOnly(_)),
            "{refused}"
        );
        assert_eq!(refused.operation(), operation);
        assert_eq!(
            (refused.store_name(), refused.engine_name()),
            (Some("b"), Some("lsm"))
        );
    }
    tx.rollback();
    assert!(!b.has(b"late").unwrap());
}
