//! Writing: each change whole, and its answer.

use std::sync::Arc;

use bytes::Bytes;
use nexusbase_kv::{Entry, Expected, KeyRange, Operation, Put, Swap, Write};

use crate::fixture::Fixture;
use crate::harness::{Promise, no_key};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a batch is made as if in its order: the last of several for one key counts",
        batch_order,
    ),
    ("an empty batch is fine", empty_batch),
    ("`delete` says whether there was anything", delete_answers),
    (
        "what was deleted stays deleted, also after it was overwritten",
        delete_overwritten,
    ),
    (
        "`compare_and_set` changes what is as expected, and only that",
        cas,
    ),
    (
        "`compare_and_set` looks at the value, or at all of the entry, as asked",
        cas_entries,
    ),
    ("`compare_and_set` looks at the newest state", cas_newest),
    ("`compare_and_set` with nothing takes away", cas_deletes),
    (
        "`clear` takes away everything, and the store goes on",
        clear,
    ),
    (
        "figures are those of the store where they are said to be exact",
        stats,
    ),
    ("`expire` changes the time and nothing else", expire),
    ("`compact` changes nothing that can be read", compact),
];

fn batch_order(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let put = |value| Put::new(value);
    store.set(b"gone", b"old").unwrap();
    store.set(b"back", b"old").unwrap();
    store
        .write(&[
            Write::Put(b"a", put(b"1")),
            Write::Put(b"b", put(b"1")),
            Write::Put(b"a", put(b"2")),
            Write::Put(b"gone", put(b"new")),
            Write::Delete(b"gone"),
            Write::Delete(b"back"),
            Write::Put(b"back", put(b"new")),
            Write::Delete(b"never"),
            Write::Put(b"a", put(b"3")),
        ])
        .unwrap();
    assert_eq!(
        texts(&*store),
        expected(&[("a", "3"), ("b", "1"), ("back", "new")])
    );
    assert_eq!(store.count(KeyRange::all()).unwrap(), 3);
}

fn empty_batch(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    store.write(&[]).unwrap();
    store.set_many(&[]).unwrap();
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
}

fn delete_answers(fixture: &mut Fixture) {
    let store = fixture.create("s");
    assert!(!store.delete(b"a").unwrap(), "there never was anything");
    store.set(b"a", b"1").unwrap();
    assert!(store.delete(b"a").unwrap(), "there was something");
    assert!(!store.delete(b"a").unwrap(), "it is deleted already");
    store.write(&[Write::Delete(b"a")]).unwrap();
}

fn delete_overwritten(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for round in 0..3 {
        store.set(b"a", b"old").unwrap();
        store.set(b"a", b"new").unwrap();
        assert!(store.delete(b"a").unwrap());
        assert_eq!(
            store.get(b"a").unwrap(),
            None,
            "an older value is back, round {round}"
        );
        assert_eq!(texts(&*store), [], "an older value is back, round {round}");
        let all = Arc::clone(&store);
        assert_eq!(all.count(KeyRange::all()).unwrap(), 0);
    }
    store.set_many(&[(b"a", b"1"), (b"b", b"1")]).unwrap();
    store.set_many(&[(b"a", b"2"), (b"b", b"2")]).unwrap();
    store.write(&[Write::Delete(b"a")]).unwrap();
    assert_eq!(texts(&*store), expected(&[("b", "2")]));
}

#[track_caller]
fn differs(swap: &Swap, value: Option<&[u8]>) {
    let found = value.map(|value| Put::new(value).to_entry());
    assert_eq!(*swap, Swap::Differs(found));
}

fn cas(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let set = |expected: Expected<'_>, value: &'static [u8]| {
        store
            .compare_and_set(b"k", expected, Some(Put::new(value)))
            .unwrap()
    };
    differs(&set(Expected::Present, b"x"), None);
    differs(&set(Expected::Value(b""), b"x"), None);
    differs(&set(Expected::Entry(&Put::new(b"").to_entry()), b"x"), None);
    assert!(!store.has(b"k").unwrap(), "nothing is changed");
    assert_eq!(set(Expected::Absent, b"1"), Swap::Done);
    differs(&set(Expected::Absent, b"x"), Some(b"1"));
    differs(&set(Expected::Value(b"2"), b"x"), Some(b"1"));
    assert_eq!(
        store.get(b"k").unwrap(),
        Some(Bytes::from_static(b"1")),
        "nothing is changed"
    );
    assert_eq!(set(Expected::Value(b"1"), b"2"), Swap::Done);
    assert_eq!(set(Expected::Present, b"3"), Swap::Done);
    assert_eq!(texts(&*store), expected(&[("k", "3")]));
}

fn cas_entries(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let later = fixture.now_ms() + 3_600_000;
    let entry = Entry {
        value: Bytes::from_static(b"v"),
        expires_ms: Some(later),
        media_type: Some(Arc::from("text/plain")),
    };
    let others = [
        Entry {
            value: Bytes::from_static(b"w"),
            ..entry.clone()
        },
        Entry {
            expires_ms: None,
            ..entry.clone()
        },
        Entry {
            expires_ms: Some(later + 1),
            ..entry.clone()
        },
        Entry {
            media_type: None,
            ..entry.clone()
        },
        Entry {
            media_type: Some(Arc::from("text/html")),
            ..entry.clone()
        },
    ];
    store.put(b"k", entry.as_put()).unwrap();
    for other in &others {
        let swap = store.compare_and_set(b"k", Expected::Entry(other), Some(Put::new(b"x")));
        assert_eq!(
            swap.unwrap(),
            Swap::Differs(Some(entry.clone())),
            "expected {other:?}"
        );
    }
    let swap = store.compare_and_set(b"k", Expected::Entry(&entry), Some(others[4].as_put()));
    assert_eq!(swap.unwrap(), Swap::Done);
    assert_eq!(
        store.entry(b"k").unwrap(),
        Some(others[4].clone()),
        "all of it is new"
    );
    let swap = store.compare_and_set(b"k", Expected::Value(b"v"), Some(Put::new(b"x")));
    assert_eq!(swap.unwrap(), Swap::Done, "the value, whatever the rest");
    assert_eq!(store.entry(b"k").unwrap(), Some(Put::new(b"x").to_entry()));
}

fn cas_newest(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for round in 0..10_u8 {
        store.set(b"k", &[round]).unwrap();
        if round > 0 {
            let old = [round - 1];
            let swap = store.compare_and_set(b"k", Expected::Value(&old), Some(Put::new(b"x")));
            differs(&swap.unwrap(), Some(&[round]));
        }
        let swap = store.compare_and_set(b"k", Expected::Value(&[round]), Some(Put::new(b"y")));
        assert_eq!(swap.unwrap(), Swap::Done, "what was just set is expected");
        store.delete(b"k").unwrap();
        let swap = store.compare_and_set(b"k", Expected::Present, Some(Put::new(b"x")));
        differs(&swap.unwrap(), None);
    }
}

fn cas_deletes(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let take = |expected: Expected<'_>| store.compare_and_set(b"k", expected, None).unwrap();
    assert_eq!(take(Expected::Absent), Swap::Done, "nothing for nothing");
    differs(&take(Expected::Present), None);
    store.set(b"k", b"1").unwrap();
    differs(&take(Expected::Value(b"2")), Some(b"1"));
    assert_eq!(take(Expected::Value(b"1")), Swap::Done);
    assert_eq!(texts(&*store), []);
    assert!(!store.delete(b"k").unwrap());
}

fn clear(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.clear().unwrap();
    for at in 0..100_u8 {
        store.set(&[at], b"x").unwrap();
    }
    store.clear().unwrap();
    assert_eq!(texts(&*store), []);
    assert_eq!(store.count(KeyRange::all()).unwrap(), 0);
    assert!(!store.delete(&[5]).unwrap());
    store.set(b"a", b"1").unwrap();
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
}

fn stats(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"12"), (b"bc", b"345")]).unwrap();
    store.set(b"a", b"6").unwrap();
    store.set(b"x", b"y").unwrap();
    store.delete(b"x").unwrap();
    let stats = store.stats().unwrap();
    if stats.exact {
        assert_eq!((stats.keys, stats.bytes), (2, 7), "{stats:?}");
    }
    assert_eq!((stats.versions, stats.damage.len()), (0, 0), "{stats:?}");
}

fn expire(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let later = fixture.now_ms() + 3_600_000;
    let error = no_key("to expire what is not there", store.expire(b"k", None));
    assert_eq!(error.operation(), Operation::Expire);
    assert_eq!(error.store_name(), Some("s"));
    let put = Put {
        value: b"v",
        expires_ms: None,
        media_type: Some("text/plain"),
    };
    store.put(b"k", put).unwrap();
    for expires_ms in [Some(later), Some(later + 5), None] {
        store.expire(b"k", expires_ms).unwrap();
        let wanted = Put { expires_ms, ..put }.to_entry();
        assert_eq!(store.entry(b"k").unwrap(), Some(wanted));
    }
    store.expire(b"k", Some(1)).unwrap();
    assert!(
        !store.has(b"k").unwrap(),
        "a time that is over takes the key away"
    );
}

fn compact(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for at in 0..100_u8 {
        store.set(&[b'a' + at % 7], &[b'0' + at % 10; 100]).unwrap();
    }
    store.delete(b"a").unwrap();
    let before = texts(&*store);
    store.compact().unwrap();
    assert_eq!(texts(&*store), before);
    store.set(b"z", b"1").unwrap();
    store.compact().unwrap();
    assert_eq!(texts(&*store).len(), before.len() + 1);
}
