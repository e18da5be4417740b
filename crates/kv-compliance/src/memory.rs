//! Memory: a value that somebody keeps is memory of its own, and keeps nothing else alive.

use bytes::Bytes;
use nexusbase_kv::{
    Direction, Expected, KeyRange, Mode, PageQuery, Put, Store, Swap, VersionId, View,
};

use crate::fixture::Fixture;
use crate::harness::Promise;

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a value keeps no memory alive but its own: in memory",
        fresh,
    ),
    (
        "a value keeps no memory alive but its own: after opening again",
        opened_again,
    ),
    (
        "a value keeps no memory alive but its own: from a transaction",
        transactions,
    ),
    (
        "a value keeps no memory alive but its own: from a version",
        versions,
    ),
];

/// A value may have so much more memory than it needs.
const SPARE_MAX: usize = 1024;
const NEIGHBOURS: u8 = 64;

fn value(at: u8) -> Vec<u8> {
    vec![at; 100]
}

fn fill(store: &dyn Store) {
    let values: Vec<_> = (0..NEIGHBOURS).map(|at| ([at], value(at))).collect();
    // One by one and in one batch: an engine may keep these in different ways.
    let (single, batch) = values.split_at(values.len() / 2);
    for (key, value) in single {
        store.set(key, value).unwrap();
    }
    let batch: Vec<_> = batch
        .iter()
        .map(|(key, value)| (key.as_slice(), value.as_slice()))
        .collect();
    store.set_many(&batch).unwrap();
}

/// Values of the first, a middle and the last neighbour, read in every way.
fn values(view: &dyn View) -> Vec<Bytes> {
    let mut found = Vec::new();
    for at in [0, 1, NEIGHBOURS / 2, NEIGHBOURS / 2 + 1, NEIGHBOURS - 1] {
        let key: &[u8] = &[at];
        let get = view.get(key).unwrap();
        found.extend(get);
        found.extend(view.entry(key).unwrap().map(|entry| entry.value));
        found.extend(
            view.entries(&[key])
                .unwrap()
                .remove(0)
                .map(|entry| entry.value),
        );
    }
    let page = PageQuery {
        limit: 3,
        ..PageQuery::new(KeyRange::all())
    };
    found.extend(
        view.page(&page)
            .unwrap()
            .rows
            .into_iter()
            .map(|row| row.entry.value),
    );
    let mut rows = view.rows(KeyRange::all(), Direction::Forward).unwrap();
    found.extend(rows.next().map(|row| row.unwrap().entry.value));
    assert_eq!(found.len(), 5 * 3 + 3 + 1, "everything is there");
    found
}

/// Fails if one of the values, who should be the last to use their memory, is not.
#[track_caller]
fn are_alone(values: Vec<Bytes>) {
    // The same entry may be handed out several times and shares its memory with itself: the last
    // of each is looked at. Which are the same is seen by their address.
    let mut left = values;
    while let Some(value) = left.pop() {
        if left.iter().any(|other| other.as_ptr() == value.as_ptr()) {
            continue;
        }
        let length = value.len();
        let Ok(mut alone) = value.try_into_mut() else {
            panic!("a value shares its memory with something that is still alive");
        };
        let capacity = alone.capacity();
        assert!(
            capacity <= length + SPARE_MAX,
            "a value of {length} bytes keeps {capacity} bytes alive"
        );
        alone.clear();
        // Also what lies in front of it.
        assert!(
            !alone.try_reclaim(length + SPARE_MAX + 1),
            "a value of {length} bytes is a part of a bigger block, and keeps it alive"
        );
    }
}

/// Takes everything away but `values`.
fn end(fixture: &mut Fixture, store: std::sync::Arc<dyn Store>) {
    for at in 0..NEIGHBOURS {
        store.delete(&[at]).unwrap();
    }
    store.clear().unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    drop(store);
    fixture.engine().close().unwrap();
    fixture.end();
}

fn fresh(fixture: &mut Fixture) {
    let store = fixture.create("s");
    fill(&*store);
    let mut kept = values(&*store);
    let snapshot = store.snapshot().unwrap();
    kept.extend(values(&*snapshot));
    let swap = store
        .compare_and_set(&[7], Expected::Absent, Some(Put::new(b"x")))
        .unwrap();
    let Swap::Differs(Some(entry)) = swap else {
        panic!("there is something");
    };
    kept.push(entry.value);
    drop(snapshot);
    end(fixture, store);
    are_alone(kept);
}

fn opened_again(fixture: &mut Fixture) {
    if !fixture.has_reopen() {
        return;
    }
    let store = fixture.create("s");
    fill(&*store);
    store.compact().unwrap();
    drop(store);
    fixture.open_again();
    let store = fixture.open("s");
    // Twice, as the first time may be from disk and the second from a cache.
    let mut kept = values(&*store);
    kept.extend(values(&*store));
    end(fixture, store);
    are_alone(kept);
}

fn transactions(fixture: &mut Fixture) {
    let store = fixture.create("s");
    fill(&*store);
    let Some(transactional) = store.transactional() else {
        return;
    };
    let mut tx = transactional.begin(Mode::ReadWrite).unwrap();
    tx.set(&[0], &value(200)).unwrap();
    let mut kept = values(&*tx);
    tx.commit().unwrap();
    kept.extend(values(&*store));
    end(fixture, store);
    are_alone(kept);
}

fn versions(fixture: &mut Fixture) {
    let store = fixture.create("s");
    fill(&*store);
    let Some(versioned) = store.versioned() else {
        return;
    };
    let version = versioned.take_version(None, "").unwrap();
    let id = VersionId::Number(version.number);
    let view = versioned.at_version(&id).unwrap();
    let mut kept = values(&*view);
    drop(view);
    store.clear().unwrap();
    versioned.restore_version(&id).unwrap();
    kept.extend(values(&*store));
    for version in versioned.versions().unwrap() {
        versioned
            .delete_version(&VersionId::Number(version.number))
            .unwrap();
    }
    end(fixture, store);
    are_alone(kept);
}
