//! Reading: keys of any bytes, ranges, pages.

use std::ops::Bound;

use bytes::Bytes;
use nexusbase_kv::{Capability, Direction, KeyRange, PageQuery, Put, Row, Store, View, Write};

use crate::fixture::Fixture;
use crate::harness::{Promise, unsupported};
use crate::model::{Model, all_rows, expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    ("a new store is empty", new_is_empty),
    (
        "what was put is read, with its media type and its time",
        put_is_read,
    ),
    (
        "the empty key and the empty value are a key and a value",
        empty_key,
    ),
    (
        "keys are any bytes, in the order of their bytes",
        binary_keys,
    ),
    (
        "`entries` and `get_many` answer for each key, in their order",
        many,
    ),
    (
        "a range is what its bounds say, forwards and backwards",
        ranges,
    ),
    ("a prefix of 0xff bytes has an end too", prefixes),
    ("`count` counts the keys in a range", counts),
    ("pages joined are the range, forwards and backwards", pages),
    ("a page keeps to its limit and its bytes", page_limits),
    (
        "a page goes on where the one before ended, also when that key is gone",
        page_after,
    ),
    ("a cursor that has ended stays ended", cursor_stays_ended),
    (
        "an engine without order walks through everything and refuses ranges",
        no_order,
    ),
];

const KEYS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\0\0",
    b"\0\xff",
    b"a",
    b"a\0",
    b"a\0b",
    b"a\xff",
    b"a\xff\xff",
    b"aa",
    b"b",
    b"\x7f",
    b"\x80",
    b"\xfe\xff",
    b"\xff",
    b"\xff\0",
    b"\xff\xff",
    b"\xff\xff\xff",
];

fn new_is_empty(fixture: &mut Fixture) {
    let store = fixture.create("s");
    assert_eq!(all_rows(&*store), []);
    assert_eq!(store.count(KeyRange::all()).unwrap(), 0);
    assert_eq!(store.entry(b"a").unwrap(), None);
    assert!(!store.has(b"").unwrap());
    assert_eq!(store.entries(&[]).unwrap(), []);
}

fn put_is_read(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let later = fixture.now_ms() + 3_600_000;
    let put = Put {
        value: b"picture",
        expires_ms: Some(later),
        media_type: Some("image/png"),
    };
    store.put(b"k", put).unwrap();
    assert_eq!(store.entry(b"k").unwrap(), Some(put.to_entry()));
    assert_eq!(
        store.get(b"k").unwrap(),
        Some(Bytes::from_static(b"picture"))
    );
    assert!(store.has(b"k").unwrap());
    let mut cursor = store.cursor(KeyRange::all(), Direction::Forward).unwrap();
    let row = cursor.next().unwrap().expect("there is a row");
    assert_eq!((row.key, row.as_put()), (b"k".as_slice(), put));
    drop(cursor);
    store.set(b"k", b"plain").unwrap();
    assert_eq!(
        store.entry(b"k").unwrap(),
        Some(Put::new(b"plain").to_entry())
    );
    assert_eq!(texts(&*store), expected(&[("k", "plain")]));
    let long = format!("text/{}", "x".repeat(250));
    let put = Put {
        media_type: Some(&long),
        ..put
    };
    store.put(b"k", put).unwrap();
    assert_eq!(
        store.entry(b"k").unwrap(),
        Some(put.to_entry()),
        "a media type of 255 bytes"
    );
}

fn empty_key(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"", b"value").unwrap();
    store.set(b"key", b"").unwrap();
    assert_eq!(store.get(b"").unwrap(), Some(Bytes::from_static(b"value")));
    assert_eq!(store.get(b"key").unwrap(), Some(Bytes::new()));
    assert!(store.has(b"key").unwrap(), "an empty value is there");
    assert_eq!(texts(&*store), expected(&[("", "value"), ("key", "")]));
    assert!(store.delete(b"").unwrap());
    assert!(!store.has(b"").unwrap());
    assert!(store.delete(b"key").unwrap(), "an empty value was there");
}

/// A store with all of [`KEYS`].
fn filled(fixture: &Fixture) -> (std::sync::Arc<dyn Store>, Model) {
    let store = fixture.create("s");
    let mut model = Model::default();
    let values: Vec<_> = (0..KEYS.len()).map(|at| format!("value {at}")).collect();
    // Not in their order.
    for at in (0..KEYS.len())
        .rev()
        .step_by(2)
        .chain((0..KEYS.len() - 1).step_by(2))
    {
        let put = Put::new(values[at].as_bytes());
        store.write(&[Write::Put(KEYS[at], put)]).unwrap();
        model.put(KEYS[at], put);
    }
    assert_eq!(model.0.len(), KEYS.len());
    (store, model)
}

#[track_caller]
fn read(view: &dyn View, range: &KeyRange, direction: Direction) -> Vec<Row> {
    let rows = view.rows(range.clone(), direction).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn binary_keys(fixture: &mut Fixture) {
    let (store, model) = filled(fixture);
    for key in KEYS {
        let found = store.entry(key).unwrap();
        assert_eq!(found.as_ref(), model.0.get(*key), "under {key:?}");
    }
    assert_eq!(all_rows(&*store), model.all());
    if fixture.can().ordered {
        let forward = read(&*store, &KeyRange::all(), Direction::Forward);
        assert_eq!(forward, model.all(), "forwards");
        let back = read(&*store, &KeyRange::all(), Direction::Reverse);
        assert_eq!(
            back,
            model.rows(&KeyRange::all(), Direction::Reverse),
            "backwards"
        );
    }
}

fn many(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"1"), (b"b", b"2")]).unwrap();
    let values = store.get_many(&[b"b", b"x", b"a", b"b"]).unwrap();
    let (one, two) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
    assert_eq!(values, [Some(two.clone()), None, Some(one), Some(two)]);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        snapshot.entries(&[b"x", b"a"]).unwrap(),
        [None, store.entry(b"a").unwrap()]
    );
}

/// Ranges with every kind of bound at and beside every key.
fn all_ranges() -> Vec<KeyRange> {
    let mut places: Vec<Vec<u8>> = KEYS.iter().map(|key| key.to_vec()).collect();
    places.extend([
        b"a\0a".to_vec(),
        b"c".to_vec(),
        b"\xff\xff\xff\xff".to_vec(),
    ]);
    let bounds: Vec<_> = places
        .iter()
        .flat_map(|key| [Bound::Included(key.clone()), Bound::Excluded(key.clone())])
        .chain([Bound::Unbounded])
        .collect();
    let with = |start: &Bound<Vec<u8>>| {
        let start = start.clone();
        let ranges = bounds.iter();
        ranges
            .map(|end| KeyRange::from_bounds(start.clone(), end.clone()))
            .collect::<Vec<_>>()
    };
    bounds.iter().flat_map(with).collect()
}

fn ranges(fixture: &mut Fixture) {
    if !fixture.can().ordered {
        return;
    }
    let (store, model) = filled(fixture);
    let snapshot = store.snapshot().unwrap();
    for range in all_ranges() {
        for direction in [Direction::Forward, Direction::Reverse] {
            let wanted = model.rows(&range, direction);
            let found = read(&*store, &range, direction);
            assert_eq!(found, wanted, "the store, {range:?}, {direction:?}");
            let found = read(&*snapshot, &range, direction);
            assert_eq!(found, wanted, "a snapshot, {range:?}, {direction:?}");
        }
    }
}

fn prefixes(fixture: &mut Fixture) {
    if !fixture.can().ordered {
        return;
    }
    let (store, model) = filled(fixture);
    for prefix in KEYS.iter().chain(&[b"c".as_slice()]) {
        let wanted = KEYS.iter().filter(|key| key.starts_with(prefix)).count();
        for direction in [Direction::Forward, Direction::Reverse] {
            let found = read(&*store, &KeyRange::prefix(prefix), direction);
            assert_eq!(
                found,
                model.rows(&KeyRange::prefix(prefix), direction),
                "{prefix:?}"
            );
            assert_eq!(found.len(), wanted, "{prefix:?}");
        }
    }
}

fn counts(fixture: &mut Fixture) {
    let (store, model) = filled(fixture);
    assert_eq!(store.count(KeyRange::all()).unwrap(), KEYS.len() as u64);
    if fixture.can().ordered {
        for range in all_ranges() {
            let wanted = model.rows(&range, Direction::Forward).len() as u64;
            assert_eq!(store.count(range.clone()).unwrap(), wanted, "{range:?}");
        }
    }
    store.delete(KEYS[3]).unwrap();
    store.set(KEYS[4], b"other").unwrap();
    assert_eq!(store.count(KeyRange::all()).unwrap(), KEYS.len() as u64 - 1);
}

fn pages(fixture: &mut Fixture) {
    if !fixture.can().ordered {
        return;
    }
    let (store, model) = filled(fixture);
    let prefix = KeyRange::prefix(b"a");
    let bounds = (
        Bound::Excluded(b"\0".to_vec()),
        Bound::Included(b"\xff\xff".to_vec()),
    );
    for range in [
        KeyRange::all(),
        prefix,
        KeyRange::from_bounds(bounds.0, bounds.1),
    ] {
        for direction in [Direction::Forward, Direction::Reverse] {
            for limit in [0, 1, 2, 5, 100] {
                let mut query = PageQuery {
                    direction,
                    limit,
                    ..PageQuery::new(range.clone())
                };
                let mut rows = Vec::new();
                loop {
                    let page = store.page(&query).unwrap();
                    assert!(page.rows.len() <= limit.max(1), "a page over its limit");
                    rows.extend(page.rows);
                    assert!(rows.len() <= KEYS.len(), "pages do not come to an end");
                    query.after = page.next;
                    if query.after.is_none() {
                        break;
                    }
                }
                assert_eq!(rows, model.rows(&range, direction), "{query:?}");
            }
        }
    }
}

fn page_limits(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for at in 0..10_u8 {
        store.set(&[at], &[at; 99]).unwrap();
    }
    let query = PageQuery::new(KeyRange::all());
    let page = store.page(&query).unwrap();
    assert_eq!((page.rows.len(), page.next), (10, None), "everything fits");
    for (bytes, rows) in [(0, 1), (1, 1), (100, 1), (101, 2), (1000, 10), (2000, 10)] {
        let page = store
            .page(&PageQuery {
                bytes,
                ..query.clone()
            })
            .unwrap();
        assert_eq!(
            page.rows.len(),
            rows,
            "a page of {bytes} bytes, of rows of 100 bytes"
        );
        assert_eq!(page.next.is_none(), rows == 10, "a page of {bytes} bytes");
    }
    let page = store
        .page(&PageQuery {
            limit: 10,
            ..query.clone()
        })
        .unwrap();
    assert_eq!(page.next, None, "a page that just fits is the last");
}

fn page_after(fixture: &mut Fixture) {
    if !fixture.can().ordered {
        return;
    }
    let store = fixture.create("s");
    store
        .set_many(&[(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"d", b"4")])
        .unwrap();
    let at = |direction, after: &[u8], range: KeyRange| {
        let after = Some(Bytes::copy_from_slice(after));
        let query = PageQuery {
            direction,
            after,
            ..PageQuery::new(range)
        };
        let keys = store.page(&query).unwrap().rows.into_iter();
        keys.map(|row| row.key[0] as char).collect::<String>()
    };
    let inner = || {
        KeyRange::from_bounds(
            Bound::Included(b"b".to_vec()),
            Bound::Included(b"c".to_vec()),
        )
    };
    assert_eq!(at(Direction::Forward, b"b", KeyRange::all()), "cd");
    assert_eq!(at(Direction::Reverse, b"c", KeyRange::all()), "ba");
    assert_eq!(
        at(Direction::Forward, b"a", inner()),
        "bc",
        "a place before the range"
    );
    assert_eq!(
        at(Direction::Forward, b"d", inner()),
        "",
        "a place behind the range"
    );
    assert_eq!(
        at(Direction::Reverse, b"d", inner()),
        "cb",
        "a place behind the range"
    );
    assert_eq!(
        at(Direction::Reverse, b"a", inner()),
        "",
        "a place before the range"
    );
    store.delete(b"b").unwrap();
    assert_eq!(at(Direction::Forward, b"b", KeyRange::all()), "cd");
    assert_eq!(at(Direction::Reverse, b"b", KeyRange::all()), "a");
}

fn cursor_stays_ended(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    let mut cursor = store.cursor(KeyRange::all(), Direction::Forward).unwrap();
    assert!(cursor.next().unwrap().is_some());
    for _ in 0..3 {
        assert!(cursor.next().unwrap().is_none());
    }
}

fn no_order(fixture: &mut Fixture) {
    if fixture.can().ordered {
        return;
    }
    let (store, model) = filled(fixture);
    assert_eq!(all_rows(&*store), model.all());
    let range = KeyRange::prefix(b"a");
    let snapshot = store.snapshot().unwrap();
    for view in [&*store as &dyn View, &*snapshot] {
        let cursor = view.cursor(range.clone(), Direction::Forward);
        unsupported(
            "a range of an engine without order",
            cursor,
            Capability::Order,
        );
        unsupported("its count", view.count(range.clone()), Capability::Order);
        let page = view.page(&PageQuery::new(range.clone()));
        unsupported("its page", page, Capability::Order);
    }
}
