//! Expiry: an entry whose time has come is not there, for any method.

use std::sync::Arc;

use nexusbase_kv::{Direction, Expected, KeyRange, PageQuery, Put, Store, Swap, Write};

use crate::fixture::Fixture;
use crate::harness::{Promise, no_key};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "what has expired is not there, for any method that reads",
        reads,
    ),
    ("`count` does not count what has expired", count),
    ("what has expired is nothing to `delete`", delete),
    ("what has expired is absent for `compare_and_set`", cas),
    ("what has expired cannot be given another time", expire),
    (
        "what has expired is not in snapshots that are made afterwards",
        snapshots,
    ),
    ("what has expired can be put again", again),
    ("an entry is there until its time, and not at it", exactly),
];

/// A store with `a`, `b`, `c`, of which `b` has just expired.
fn expired(fixture: &Fixture) -> Arc<dyn Store> {
    let store = fixture.create("s");
    let soon = fixture.now_ms() + 25;
    let put = |value, expires_ms| Put {
        expires_ms,
        ..Put::new(value)
    };
    store
        .write(&[
            Write::Put(b"a", put(b"1", None)),
            Write::Put(b"b", put(b"2", Some(soon))),
            Write::Put(b"c", put(b"3", Some(soon + 3_600_000))),
        ])
        .unwrap();
    if fixture.has_clock() {
        assert_eq!(
            store.count(KeyRange::all()).unwrap(),
            3,
            "it has not expired yet"
        );
    }
    fixture.pass_ms(30);
    store
}

fn reads(fixture: &mut Fixture) {
    let store = expired(fixture);
    assert_eq!(store.entry(b"b").unwrap(), None, "entry");
    assert_eq!(store.get(b"b").unwrap(), None, "get");
    assert!(!store.has(b"b").unwrap(), "has");
    assert_eq!(store.entries(&[b"b"]).unwrap(), [None], "entries");
    assert_eq!(store.get_many(&[b"b"]).unwrap(), [None], "get_many");
    assert_eq!(texts(&*store), expected(&[("a", "1"), ("c", "3")]), "rows");
    let page = store.page(&PageQuery::new(KeyRange::all())).unwrap();
    assert_eq!(page.rows.len(), 2, "page");
    let page = PageQuery {
        limit: 2,
        ..PageQuery::new(KeyRange::all())
    };
    assert_eq!(
        store.page(&page).unwrap().next,
        None,
        "a page of all that is there"
    );
    let mut cursor = store.cursor(KeyRange::all(), Direction::Reverse).unwrap();
    while let Some(row) = cursor.next().unwrap() {
        assert_ne!(row.key, b"b", "cursor");
    }
}

fn count(fixture: &mut Fixture) {
    let store = expired(fixture);
    assert_eq!(
        store.count(KeyRange::all()).unwrap(),
        2,
        "expired keys are counted"
    );
    assert_eq!(store.snapshot().unwrap().count(KeyRange::all()).unwrap(), 2);
    if fixture.can().ordered {
        assert_eq!(store.count(KeyRange::prefix(b"b")).unwrap(), 0);
    }
}

fn delete(fixture: &mut Fixture) {
    let store = expired(fixture);
    assert!(!store.delete(b"b").unwrap());
    assert!(store.delete(b"c").unwrap());
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
}

fn cas(fixture: &mut Fixture) {
    let store = expired(fixture);
    let set = |expected| {
        store
            .compare_and_set(b"b", expected, Some(Put::new(b"x")))
            .unwrap()
    };
    assert_eq!(set(Expected::Present), Swap::Differs(None));
    assert_eq!(set(Expected::Value(b"2")), Swap::Differs(None));
    assert_eq!(store.get(b"b").unwrap(), None);
    assert_eq!(set(Expected::Absent), Swap::Done);
    assert_eq!(
        texts(&*store),
        expected(&[("a", "1"), ("b", "x"), ("c", "3")])
    );
}

fn expire(fixture: &mut Fixture) {
    let store = expired(fixture);
    no_key("to expire what has expired", store.expire(b"b", None));
    assert!(!store.has(b"b").unwrap());
}

fn snapshots(fixture: &mut Fixture) {
    let store = expired(fixture);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.entry(b"b").unwrap(), None);
    assert_eq!(snapshot.entries(&[b"b"]).unwrap(), [None]);
    assert_eq!(texts(&*snapshot), expected(&[("a", "1"), ("c", "3")]));
}

fn again(fixture: &mut Fixture) {
    let store = expired(fixture);
    store.set(b"b", b"again").unwrap();
    assert_eq!(
        texts(&*store),
        expected(&[("a", "1"), ("b", "again"), ("c", "3")])
    );
    fixture.pass_ms(30);
    assert!(store.has(b"b").unwrap(), "it has no time any more");
    // Put when it is over already: it takes away what was there.
    let over = Put {
        expires_ms: Some(fixture.now_ms()),
        ..Put::new(b"over")
    };
    store.put(b"b", over).unwrap();
    assert!(
        !store.has(b"b").unwrap(),
        "what was under the key before is back"
    );
    assert_eq!(store.count(KeyRange::all()).unwrap(), 2);
}

fn exactly(fixture: &mut Fixture) {
    if !fixture.has_clock() {
        return;
    }
    let store = fixture.create("s");
    let time = fixture.now_ms() + 10;
    store
        .put(
            b"k",
            Put {
                expires_ms: Some(time),
                ..Put::new(b"v")
            },
        )
        .unwrap();
    fixture.pass_ms(9);
    assert!(store.has(b"k").unwrap(), "a millisecond before");
    fixture.pass_ms(1);
    assert!(!store.has(b"k").unwrap(), "at its time");
}
