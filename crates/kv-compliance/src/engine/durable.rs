//! Durability: what was acknowledged is there after opening again.

use std::sync::Arc;

use nexusbase_kv::{Expected, Put, Store, VersionId, Write, transact};

use super::names::{options_of, rich_options};
use crate::fixture::Fixture;
use crate::harness::{Promise, no_store};
use crate::model::{all_rows, expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    ("what was acknowledged is there after opening again", again),
    (
        "what was acknowledged is there after a power cut",
        power_cut,
    ),
    (
        "a delete of an overwritten key is there after opening again",
        deletes,
    ),
    (
        "stores that are created, renamed and dropped are so after opening again",
        stores,
    ),
    ("versions are there after opening again", versions),
    (
        "what was committed is there after opening again, what was not is not",
        transactions,
    ),
    (
        "entries keep media type and time, and expire while nobody looks",
        expiry,
    ),
];

fn fill(store: &dyn Store) {
    for at in 0..=255_u8 {
        let put = Put {
            media_type: (at % 3 == 0).then_some("a/b"),
            ..Put::new(b"old")
        };
        store.put(&[at, 0xff, at], put).unwrap();
    }
    store.set(b"", b"empty key").unwrap();
    store.set(b"empty value", b"").unwrap();
    store.set(&[7; 100], &vec![9; 100_000]).unwrap();
    let (a, b) = ([0, 0xff, 0], [1, 0xff, 1]);
    store
        .write(&[Write::Put(&a, Put::new(b"new")), Write::Delete(&b)])
        .unwrap();
    store.delete(&[2, 0xff, 2]).unwrap();
    let swap = store.compare_and_set(b"new", Expected::Absent, Some(Put::new(b"n")));
    swap.unwrap();
}

fn come_back(fixture: &mut Fixture, open: fn(&mut Fixture)) {
    let store = fixture.engine().create("a", &rich_options()).unwrap();
    fill(&*store);
    let before = all_rows(&*store);
    let cleared = fixture.create("b");
    fill(&*cleared);
    cleared.clear().unwrap();
    cleared.set(b"k", b"v").unwrap();
    fixture.engine().set_options("b", &rich_options()).unwrap();
    drop((store, cleared));
    for round in 0..3 {
        open(fixture);
        assert!(
            all_rows(&*fixture.open("a")) == before,
            "rows are others, round {round}"
        );
        assert_eq!(
            texts(&*fixture.open("b")),
            expected(&[("k", "v")]),
            "round {round}"
        );
        assert_eq!(options_of(fixture, "a"), rich_options());
        assert_eq!(options_of(fixture, "b"), rich_options());
    }
    let store = fixture.open("a");
    store.compact().unwrap();
    store.set(b"more", b"1").unwrap();
    drop(store);
    open(fixture);
    let store = fixture.open("a");
    assert!(store.has(b"more").unwrap());
    assert_eq!(all_rows(&*store).len(), before.len() + 1);
}

fn again(fixture: &mut Fixture) {
    if fixture.can().durable {
        come_back(fixture, Fixture::open_again);
    }
}

fn power_cut(fixture: &mut Fixture) {
    if fixture.can().durable && fixture.has_power_cut() {
        come_back(fixture, Fixture::cut_power);
    }
}

fn deletes(fixture: &mut Fixture) {
    if !fixture.can().durable {
        return;
    }
    let store = fixture.create("a");
    store.set(b"a", b"1").unwrap();
    store.set(b"a", b"2").unwrap();
    store.set_many(&[(b"b", b"1"), (b"c", b"1")]).unwrap();
    store.compact().unwrap();
    store.set(b"b", b"2").unwrap();
    store.delete(b"a").unwrap();
    store.write(&[Write::Delete(b"b")]).unwrap();
    drop(store);
    for _ in 0..2 {
        fixture.open_again();
        let store = fixture.open("a");
        assert_eq!(
            texts(&*store),
            expected(&[("c", "1")]),
            "what was deleted is back"
        );
        store.compact().unwrap();
        assert_eq!(
            texts(&*store),
            expected(&[("c", "1")]),
            "what was deleted is back"
        );
    }
}

fn stores(fixture: &mut Fixture) {
    if !fixture.can().durable {
        return;
    }
    for name in ["a", "b", "c.d"] {
        fixture.create(name).set(b"name", name.as_bytes()).unwrap();
    }
    fixture.engine().drop_store("b").unwrap();
    fixture.open_again();
    let names: Vec<_> = fixture.engine().list().unwrap();
    let names: Vec<_> = names.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["a", "c.d"]);
    no_store("to open what was dropped", fixture.engine().open("b"));
    assert_eq!(texts(&*fixture.open("c.d")), expected(&[("name", "c.d")]));
    assert_eq!(texts(&*fixture.create("b")), []);
    fixture.open_again();
    assert_eq!(texts(&*fixture.open("b")), []);
}

fn versions(fixture: &mut Fixture) {
    let can = fixture.can();
    if !(can.durable && can.versioned) {
        return;
    }
    let store = fixture.create("a");
    let versioned = store.versioned().expect("versions");
    store.set(b"k", b"1").unwrap();
    versioned.take_version(Some("one"), "a note").unwrap();
    store.set(b"k", b"2").unwrap();
    versioned.take_version(None, "").unwrap();
    versioned.take_version(None, "").unwrap();
    store.set(b"k", b"3").unwrap();
    versioned.delete_version(&VersionId::Number(3)).unwrap();
    let before = versioned.versions().unwrap();
    drop(store);
    fixture.open_again();
    let store = fixture.open("a");
    let versioned = store.versioned().expect("versions");
    assert_eq!(versioned.versions().unwrap(), before);
    let at = |id| texts(&*versioned.at_version(&id).unwrap());
    assert_eq!(
        at(VersionId::Name("one".to_owned())),
        expected(&[("k", "1")])
    );
    assert_eq!(at(VersionId::Number(2)), expected(&[("k", "2")]));
    assert_eq!(texts(&*store), expected(&[("k", "3")]));
    let number = versioned.take_version(None, "").unwrap().number;
    assert_eq!(
        number, 4,
        "the number of a deleted version is used again after opening"
    );
    versioned.restore_version(&VersionId::Number(1)).unwrap();
    drop(store);
    fixture.open_again();
    let store = fixture.open("a");
    assert_eq!(texts(&*store), expected(&[("k", "1")]));
    assert_eq!(
        store
            .versioned()
            .expect("versions")
            .versions()
            .unwrap()
            .len(),
        4
    );
}

fn transactions(fixture: &mut Fixture) {
    if !fixture.can().durable {
        return;
    }
    let store = fixture.create("a");
    let Some(transactional) = store.transactional() else {
        return;
    };
    transact(transactional, |tx| {
        tx.set(b"a", b"1")?;
        tx.set(b"b", b"1")
    })
    .unwrap();
    let mut open = transactional.begin(nexusbase_kv::Mode::ReadWrite).unwrap();
    open.set(b"a", b"never").unwrap();
    drop(open);
    drop(store);
    fixture.open_again();
    assert_eq!(
        texts(&*fixture.open("a")),
        expected(&[("a", "1"), ("b", "1")])
    );
}

fn expiry(fixture: &mut Fixture) {
    if !fixture.can().durable {
        return;
    }
    let store: Arc<dyn Store> = fixture.create("a");
    let now = fixture.now_ms();
    let put = |ms| Put {
        expires_ms: Some(now + ms),
        media_type: Some("a/b"),
        ..Put::new(b"v")
    };
    store.put(b"soon", put(50)).unwrap();
    store.put(b"later", put(3_600_000)).unwrap();
    drop(store);
    fixture.pass_ms(60);
    fixture.open_again();
    let store = fixture.open("a");
    assert_eq!(
        store.entry(b"later").unwrap(),
        Some(put(3_600_000).to_entry())
    );
    assert_eq!(texts(&*store), expected(&[("later", "v")]));
    assert!(!store.delete(b"soon").unwrap());
}
