//! States: a snapshot or a cursor is of one state, and nobody waits for it.

use bytes::Bytes;
use nexusbase_kv::{Direction, KeyRange, Put, Write};

use crate::fixture::Fixture;
use crate::harness::{Promise, beside};
use crate::model::{all_rows, expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    ("a snapshot never changes", snapshots_stay),
    ("nobody waits for a snapshot", snapshots_do_not_stop),
    (
        "a cursor of a store sees one state for as long as it walks",
        cursors_stay,
    ),
    (
        "a walk backwards sees one state as well",
        reverse_cursors_stay,
    ),
    ("many snapshots are each of their own state", many_snapshots),
    (
        "a snapshot survives `clear` and `compact`",
        snapshots_survive,
    ),
    ("a value that was read never changes", values_stay),
];

fn snapshots_stay(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store
        .set_many(&[(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
        .unwrap();
    let snapshot = store.snapshot().unwrap();
    let before = all_rows(&*snapshot);
    store.set(b"a", b"2").unwrap();
    store.delete(b"b").unwrap();
    store.set(b"d", b"2").unwrap();
    assert_eq!(all_rows(&*snapshot), before);
    assert_eq!(snapshot.get(b"a").unwrap(), Some(Bytes::from_static(b"1")));
    assert_eq!(snapshot.get(b"d").unwrap(), None);
    assert_eq!(snapshot.count(KeyRange::all()).unwrap(), 3);
    let values = snapshot.get_many(&[b"b", b"d"]).unwrap();
    assert_eq!(values, [Some(Bytes::from_static(b"1")), None]);
    assert_eq!(
        texts(&*store),
        expected(&[("a", "2"), ("c", "1"), ("d", "2")])
    );
}

fn snapshots_do_not_stop(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    let snapshot = store.snapshot().unwrap();
    beside(&store, |store| {
        store.set(b"a", b"2").unwrap();
        store.clear().unwrap();
        store.set(b"a", b"3").unwrap();
    });
    assert_eq!(texts(&*snapshot), expected(&[("a", "1")]));
    // It goes to another thread, too.
    let sent = std::thread::spawn(move || texts(&*snapshot));
    assert_eq!(sent.join().unwrap(), expected(&[("a", "1")]));
}

fn walk(fixture: &Fixture, direction: Direction) {
    let store = fixture.create("s");
    for at in 0..200_u8 {
        store.set(&[at], &[at; 50]).unwrap();
    }
    let before = all_rows(&*store);
    let mut cursor = store.cursor(KeyRange::all(), direction).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(cursor.next().unwrap().expect("a row").to_row());
    }
    beside(&store, |store| {
        for at in 0..=255_u8 {
            match at % 3 {
                0 => store.set(&[at], b"new").unwrap(),
                1 => drop(store.delete(&[at]).unwrap()),
                _ => store
                    .write(&[Write::Put(&[at, 0], Put::new(b"new"))])
                    .unwrap(),
            }
        }
    });
    while let Some(row) = cursor.next().unwrap() {
        seen.push(row.to_row());
    }
    seen.sort_by(|a, b| a.key.cmp(&b.key));
    assert!(
        seen == before,
        "a cursor has seen {} rows, not the {} it began with, or other values",
        seen.len(),
        before.len()
    );
}

fn cursors_stay(fixture: &mut Fixture) {
    walk(fixture, Direction::Forward);
}

fn reverse_cursors_stay(fixture: &mut Fixture) {
    walk(fixture, Direction::Reverse);
}

fn many_snapshots(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let mut snapshots = Vec::new();
    for round in 0..50_u8 {
        snapshots.push((store.snapshot().unwrap(), all_rows(&*store)));
        store.set(&[round % 7], &[round]).unwrap();
        if round % 5 == 4 {
            store.delete(&[round % 3]).unwrap();
        }
    }
    for (at, (snapshot, before)) in snapshots.iter().enumerate().rev() {
        assert_eq!(all_rows(&**snapshot), *before, "snapshot {at}");
    }
}

fn snapshots_survive(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"1"), (b"b", b"2")]).unwrap();
    let snapshot = store.snapshot().unwrap();
    store.clear().unwrap();
    store.compact().unwrap();
    store.set(b"a", b"new").unwrap();
    store.compact().unwrap();
    assert_eq!(texts(&*snapshot), expected(&[("a", "1"), ("b", "2")]));
}

fn values_stay(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store
        .set_many(&[(b"a", b"aaaa"), (b"b", b"bbbb"), (b"c", b"cccc")])
        .unwrap();
    let values = store.get_many(&[b"a", b"b", b"c"]).unwrap();
    store.set(b"a", b"xxxx").unwrap();
    store.delete(b"b").unwrap();
    store.set(b"d", b"yyyy").unwrap();
    store.clear().unwrap();
    store.compact().unwrap();
    for at in 0..100_u8 {
        store.set(&[at], b"zzzz").unwrap();
    }
    let text = values.into_iter().map(|value| value.expect("it was there"));
    let text: Vec<_> = text.collect();
    assert_eq!(
        text,
        ["aaaa", "bbbb", "cccc"],
        "values that were read before"
    );
}
