//! Conflicts: transactions are serializable.

use nexusbase_kv::{Direction, KeyRange, PageQuery, Put, Store, Transaction, WriteView};

use super::{begin, begin_as};
use crate::fixture::Fixture;
use crate::harness::{Promise, conflict};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a commit conflicts when a key that was read has changed, whoever changed it",
        changed,
    ),
    (
        "a commit conflicts when a key that was not there is there now",
        appeared,
    ),
    (
        "a commit conflicts when a key has appeared in a range that was read",
        phantoms,
    ),
    (
        "a commit conflicts when a key of a range that was read has changed or gone",
        range_changed,
    ),
    ("write skew is refused", write_skew),
    (
        "transactions that have nothing to do with each other do not conflict",
        apart,
    ),
    (
        "writes without reads do not conflict: the last one counts",
        blind,
    ),
    (
        "reading what the transaction itself has written does not conflict",
        own_reads,
    ),
    (
        "a transaction that only reads never conflicts",
        reads_never_conflict,
    ),
    (
        "after a conflict nothing is written, and the same work succeeds on the newer state",
        again,
    ),
    ("`clear` is a change of everything that was read", cleared),
];

type Change = (&'static str, fn(&dyn Store));

/// Every way to change `b` from outside.
const CHANGES: &[Change] = &[
    ("a put", |store| store.set(b"b", b"other").unwrap()),
    ("a delete", |store| assert!(store.delete(b"b").unwrap())),
    ("a transaction", |store| {
        let mut tx = begin(store);
        tx.set(b"b", b"other").unwrap();
        tx.commit().unwrap();
    }),
    ("another time", |store| {
        let put = Put {
            expires_ms: Some(u64::MAX),
            ..Put::new(b"1")
        };
        store.put(b"b", put).unwrap();
    }),
];

fn filled(fixture: &Fixture) -> std::sync::Arc<dyn Store> {
    let store = fixture.create("s");
    store
        .set_many(&[(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
        .unwrap();
    store
}

/// Reads, lets the world change, and writes: must conflict for each change.
#[track_caller]
fn must_conflict(fixture: &Fixture, what: &str, read: fn(&mut dyn Transaction)) {
    for (change, work) in CHANGES {
        let store = filled(fixture);
        let mut tx = begin(&*store);
        read(&mut *tx);
        tx.set(b"z", b"mine").unwrap();
        work(&*store);
        let after = texts(&*store);
        conflict(
            &format!("a commit after {change}, having read by {what}"),
            tx.commit(),
        );
        assert_eq!(
            texts(&*store),
            after,
            "a transaction in conflict has written something"
        );
        fixture.engine().drop_store("s").unwrap();
    }
}

fn changed(fixture: &mut Fixture) {
    must_conflict(fixture, "get", |tx| drop(tx.get(b"b").unwrap()));
    must_conflict(fixture, "has", |tx| assert!(tx.has(b"b").unwrap()));
    must_conflict(fixture, "entries", |tx| {
        drop(tx.entries(&[b"a", b"b"]).unwrap());
    });
    must_conflict(fixture, "delete", |tx| assert!(tx.delete(b"b").unwrap()));
    must_conflict(fixture, "get, before writing the same key", |tx| {
        tx.get(b"b").unwrap();
        tx.set(b"b", b"mine").unwrap();
    });
}

fn appeared(fixture: &mut Fixture) {
    type Read = fn(&mut dyn Transaction);
    let reads: [(&str, Read); 3] = [
        ("get", |tx| assert_eq!(tx.get(b"x").unwrap(), None)),
        ("entries", |tx| {
            assert_eq!(tx.entries(&[b"x"]).unwrap(), [None]);
        }),
        ("delete", |tx| assert!(!tx.delete(b"x").unwrap())),
    ];
    for (what, read) in reads {
        let store = filled(fixture);
        let mut tx = begin(&*store);
        read(&mut *tx);
        tx.set(b"z", b"mine").unwrap();
        store.set(b"x", b"new").unwrap();
        conflict(
            &format!("a commit after a key was put that {what} had not found"),
            tx.commit(),
        );
        fixture.engine().drop_store("s").unwrap();
    }
}

fn all(fixture: &Fixture) -> KeyRange {
    if fixture.can().ordered {
        KeyRange::prefix(b"")
    } else {
        KeyRange::all()
    }
}

fn phantoms(fixture: &mut Fixture) {
    type Read = fn(&dyn Transaction, KeyRange);
    let reads: [(&str, Read); 4] = [
        ("count", |tx, range| assert_eq!(tx.count(range).unwrap(), 3)),
        ("rows", |tx, range| {
            assert_eq!(tx.rows(range, Direction::Forward).unwrap().count(), 3);
        }),
        ("rows backwards", |tx, range| {
            assert_eq!(tx.rows(range, Direction::Reverse).unwrap().count(), 3);
        }),
        ("page", |tx, range| {
            assert_eq!(tx.page(&PageQuery::new(range)).unwrap().rows.len(), 3);
        }),
    ];
    for (what, read) in reads {
        // In front of all, in the middle, behind all.
        for key in [b"".as_slice(), b"bb", b"\xff"] {
            let store = filled(fixture);
            let mut tx = begin(&*store);
            read(&*tx, all(fixture));
            tx.set(b"z", b"mine").unwrap();
            store.set(key, b"new").unwrap();
            let what = format!("a commit after a new key {key:?} in a range read by {what}");
            conflict(&what, tx.commit());
            fixture.engine().drop_store("s").unwrap();
        }
    }
}

fn range_changed(fixture: &mut Fixture) {
    must_conflict(fixture, "count", |tx| {
        assert_eq!(tx.count(KeyRange::all()).unwrap(), 3);
    });
    must_conflict(fixture, "rows", |tx| {
        assert_eq!(
            tx.rows(KeyRange::all(), Direction::Forward)
                .unwrap()
                .count(),
            3
        );
    });
    if fixture.can().ordered {
        must_conflict(fixture, "rows of a prefix", |tx| {
            let rows = tx.rows(KeyRange::prefix(b"b"), Direction::Reverse).unwrap();
            assert_eq!(rows.count(), 1);
        });
    }
}

fn write_skew(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"on"), (b"b", b"on")]).unwrap();
    let (mut one, mut two) = (begin(&*store), begin(&*store));
    // Each may go off duty if the other stays.
    assert!(one.get(b"b").unwrap().is_some_and(|value| value == "on"));
    one.set(b"a", b"off").unwrap();
    assert!(two.get(b"a").unwrap().is_some_and(|value| value == "on"));
    two.set(b"b", b"off").unwrap();
    one.commit().expect("the first one succeeds");
    conflict("the second half of a write skew", two.commit());
    assert_eq!(texts(&*store), expected(&[("a", "off"), ("b", "on")]));
}

fn apart(fixture: &mut Fixture) {
    let store = filled(fixture);
    let (mut one, mut two) = (begin(&*store), begin(&*store));
    assert!(one.has(b"a").unwrap() && two.has(b"b").unwrap());
    one.set(b"a", b"one").unwrap();
    two.set(b"b", b"two").unwrap();
    store.set(b"c", b"three").unwrap();
    one.commit().unwrap();
    two.commit().expect("nothing that it has read was changed");
    assert_eq!(
        texts(&*store),
        expected(&[("a", "one"), ("b", "two"), ("c", "three")])
    );
    // Another transaction's open writes are no change.
    let (mut one, two) = (begin(&*store), begin(&*store));
    one.set(b"a", b"never").unwrap();
    assert!(two.has(b"a").unwrap());
    one.rollback();
    two.commit().unwrap();
}

fn blind(fixture: &mut Fixture) {
    let store = filled(fixture);
    let (mut one, mut two) = (begin(&*store), begin(&*store));
    one.set(b"a", b"one").unwrap();
    two.set(b"a", b"two").unwrap();
    two.commit().unwrap();
    one.commit().expect("it has read nothing");
    assert_eq!(
        texts(&*store),
        expected(&[("a", "one"), ("b", "1"), ("c", "1")])
    );
}

fn own_reads(fixture: &mut Fixture) {
    let store = filled(fixture);
    let mut tx = begin(&*store);
    tx.set(b"a", b"mine").unwrap();
    assert!(tx.has(b"a").unwrap());
    store.set(b"a", b"other").unwrap();
    tx.commit().expect("it has read nothing but what it wrote");
    assert!(
        store
            .get(b"a")
            .unwrap()
            .is_some_and(|value| value == "mine")
    );
}

fn reads_never_conflict(fixture: &mut Fixture) {
    let store = filled(fixture);
    let only = begin_as(&*store, nexusbase_kv::Mode::ReadOnly);
    assert_eq!(texts(&*only).len(), 3);
    store.clear().unwrap();
    assert_eq!(texts(&*only).len(), 3);
    only.commit().expect("what only reads never conflicts");
}

fn again(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"n", &[1]).unwrap();
    let work = |tx: &mut dyn WriteView| {
        let next = tx.get(b"n").unwrap().expect("a number")[0] + 1;
        tx.set(b"n", &[next]).unwrap();
    };
    let (mut one, mut two) = (begin(&*store), begin(&*store));
    work(&mut *one);
    work(&mut *two);
    one.commit().unwrap();
    let error = conflict("an increment beside another", two.commit());
    assert!(error.is_conflict());
    assert_eq!(store.get(b"n").unwrap().unwrap(), [2].as_slice());
    let mut two = begin(&*store);
    work(&mut *two);
    two.commit().unwrap();
    assert_eq!(store.get(b"n").unwrap().unwrap(), [3].as_slice());
}

fn cleared(fixture: &mut Fixture) {
    let store = filled(fixture);
    let mut tx = begin(&*store);
    assert!(tx.has(b"b").unwrap());
    tx.set(b"z", b"mine").unwrap();
    store.clear().unwrap();
    conflict("a commit after the store was cleared", tx.commit());
    assert_eq!(texts(&*store), []);
}
