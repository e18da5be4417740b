//! Engines, names, options and events of many stores.

use std::sync::Arc;
use std::time::Duration;

use nexusbase_kv::{
    CheckMode, CreateOptions, ErrorKind, EventKind, Expected, Mode, Next, Put, Retention,
    StoreOptions, Subscription, Write, transact,
};

use super::MultiFixture;
use crate::harness::{Promise, closed, invalid, no_store, read_only, refused, store_exists};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise<MultiFixture>] = &[
    (
        "the first engine is the default one, until another is made it",
        default_engine,
    ),
    (
        "an engine is registered once, and not with a store whose name is taken",
        register,
    ),
    ("a name is one store, whatever its engine", one_name),
    ("`open_or_create` makes a store once", open_or_create),
    ("entries that are put without a time get the store's", ttl),
    (
        "a store that is read-only refuses every write",
        refuses_writes,
    ),
    (
        "a transaction does not commit into a store that was made read-only meanwhile",
        read_only_meanwhile,
    ),
    ("options that make no sense are refused", refuses_options),
    (
        "a handle that somebody has closed is not handed out again",
        closed_handles,
    ),
    (
        "versions that are not to be kept go when a new one is taken",
        retention,
    ),
    (
        "listeners are told what happens, by the store's name",
        events,
    ),
    ("listeners are told of versions", version_events),
    (
        "nothing works after `close`, and closing twice is fine",
        closing,
    ),
    ("a check goes to the store's engine", check),
];

fn default_engine(fixture: &mut MultiFixture) {
    assert_eq!(fixture.stores.default_engine(), None);
    let stores = fixture.registered();
    assert_eq!(stores.default_engine().as_deref(), Some(fixture.engine(0)));
    let names: Vec<_> = stores
        .engines()
        .iter()
        .map(|e| e.name().to_owned())
        .collect();
    let wanted: Vec<_> = (0..fixture.engines.len())
        .map(|at| fixture.engine(at))
        .collect();
    assert_eq!(names, wanted, "in the order in which they were added");
    let on = |name| {
        stores.create(name, &CreateOptions::default()).unwrap();
        stores.info(name).unwrap().engine
    };
    assert_eq!(on("a"), fixture.engine(0));
    stores.set_default_engine(fixture.engine(1)).unwrap();
    assert_eq!(on("b"), fixture.engine(1));
    let error = refused(
        "an engine that is not there",
        stores.set_default_engine("none"),
    );
    assert!(
        matches!(error.kind(), ErrorKind::EngineNotFound { .. }),
        "{error:?}"
    );
    let nowhere = CreateOptions {
        engine: Some("none".to_owned()),
        ..CreateOptions::default()
    };
    let error = refused(
        "a store on no engine",
        stores.create("c", &nowhere).map(drop),
    );
    assert!(
        matches!(error.kind(), ErrorKind::EngineNotFound { .. }),
        "{error:?}"
    );
}

fn register(fixture: &mut MultiFixture) {
    for engine in &fixture.engines[..2] {
        engine.create("same");
    }
    let engine = |at: usize| Arc::clone(fixture.engines[at].engine());
    fixture.stores.register(engine(0)).unwrap();
    let error = refused("an engine twice", fixture.stores.register(engine(0)));
    assert!(matches!(error.kind(), ErrorKind::EngineExists), "{error:?}");
    store_exists(
        "an engine with a name that is taken",
        fixture.stores.register(engine(1)),
    );
    assert_eq!(
        fixture.stores.engines().len(),
        1,
        "what was refused is not there"
    );
    assert_eq!(
        fixture.stores.info("same").unwrap().engine,
        fixture.engine(0)
    );
}

fn one_name(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    fixture.create("b", 0).set(b"k", b"b").unwrap();
    fixture.create("a", 1).set(b"k", b"a").unwrap();
    let names: Vec<_> = stores
        .list()
        .unwrap()
        .into_iter()
        .map(|i| (i.name, i.engine))
        .collect();
    let named = |name: &str, at| (name.to_owned(), fixture.engine(at).to_owned());
    assert_eq!(names, [named("a", 1), named("b", 0)]);
    for at in 0..2 {
        let engine = Some(fixture.engine(at).to_owned());
        let options = CreateOptions {
            engine,
            ..CreateOptions::default()
        };
        store_exists("a name of any engine", stores.create("a", &options));
        invalid("no name", stores.create("-", &options));
    }
    store_exists(
        "a rename to a name of another engine",
        stores.rename("a", "b"),
    );
    assert_eq!(texts(&*stores.open("a").unwrap()), expected(&[("k", "a")]));
    stores.rename("a", "c").unwrap();
    assert_eq!(stores.info("c").unwrap().engine, fixture.engine(1));
    assert_eq!(texts(&*stores.open("c").unwrap()), expected(&[("k", "a")]));
    no_store("the old name", stores.open("a"));
    stores.drop_store("b").unwrap();
    no_store("what was dropped", stores.open("b"));
    no_store("what was dropped", stores.drop_store("b"));
    no_store("what was dropped", stores.info("b"));
    no_store("what was dropped", stores.check("b", CheckMode::Look));
    no_store(
        "what was dropped",
        stores.set_options("b", &StoreOptions::default()),
    );
}

fn open_or_create(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    let options = CreateOptions::default();
    stores
        .open_or_create("a", &options)
        .unwrap()
        .set(b"k", b"1")
        .unwrap();
    let again = stores.open_or_create("a", &options).unwrap();
    assert_eq!(texts(&*again), expected(&[("k", "1")]));
}

fn ttl(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    for at in 0..fixture.engines.len() {
        let store = fixture.create("a", at);
        store.set(b"before", b"1").unwrap();
        let options = StoreOptions {
            ttl_ms: Some(3_600_000),
            ..StoreOptions::default()
        };
        stores.set_options("a", &options).unwrap();
        let before = fixture.engines[at].now_ms();
        store.set(b"put", b"1").unwrap();
        store
            .compare_and_set(b"cas", Expected::Absent, Some(Put::new(b"1")))
            .unwrap();
        let mut timed = vec![b"put".as_slice(), b"cas"];
        if let Some(transactional) = store.transactional() {
            transact(transactional, |tx| tx.set(b"tx", b"1")).unwrap();
            timed.push(b"tx");
        }
        let range = before + 3_600_000..=fixture.engines[at].now_ms() + 3_600_000;
        for key in timed {
            let time = store.entry(key).unwrap().expect("it is there").expires_ms;
            assert!(
                time.is_some_and(|time| range.contains(&time)),
                "{key:?}: {time:?}"
            );
        }
        let own = Put {
            expires_ms: Some(u64::MAX),
            ..Put::new(b"1")
        };
        store.put(b"own", own).unwrap();
        assert_eq!(
            store.entry(b"own").unwrap(),
            Some(own.to_entry()),
            "its own time counts"
        );
        let time = store
            .entry(b"before")
            .unwrap()
            .expect("it is there")
            .expires_ms;
        assert_eq!(time, None, "what was there is left as it is");
        store.expire(b"put", None).unwrap();
        let never = store.entry(b"put").unwrap().expect("it is there");
        assert_eq!(never.expires_ms, None, "`expire` with none is never");
        stores.drop_store("a").unwrap();
    }
}

fn refuses_writes(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    for at in 0..fixture.engines.len() {
        let store = fixture.create("a", at);
        store.set(b"k", b"1").unwrap();
        let options = StoreOptions {
            read_only: true,
            ..StoreOptions::default()
        };
        stores.set_options("a", &options).unwrap();
        read_only("set", store.set(b"k", b"2"));
        read_only("delete", store.delete(b"k"));
        read_only("clear", store.clear());
        read_only("expire", store.expire(b"k", Some(1)));
        let swap = store.compare_and_set(b"k", Expected::Present, Some(Put::new(b"2")));
        read_only("compare_and_set", swap);
        if let Some(transactional) = store.transactional() {
            read_only(
                "a transaction",
                transact(transactional, |tx| tx.set(b"k", b"2")),
            );
        }
        assert_eq!(texts(&*store), expected(&[("k", "1")]));
        stores.set_options("a", &StoreOptions::default()).unwrap();
        store.set(b"k", b"2").unwrap();
        stores.drop_store("a").unwrap();
    }
}

fn read_only_meanwhile(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    for at in 0..fixture.engines.len() {
        let store = fixture.create("a", at);
        if let Some(transactional) = store.transactional() {
            let mut tx = transactional.begin(Mode::ReadWrite).unwrap();
            tx.set(b"k", b"1").unwrap();
            let options = StoreOptions {
                read_only: true,
                ..StoreOptions::default()
            };
            stores.set_options("a", &options).unwrap();
            read_only("commit", tx.commit());
            assert_eq!(texts(&*store), []);
        }
        stores.drop_store("a").unwrap();
    }
}

fn refuses_options(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    fixture.create("a", 0);
    let no_time = StoreOptions {
        ttl_ms: Some(0),
        ..StoreOptions::default()
    };
    let mut no_versions = StoreOptions::default();
    no_versions.retention.count = Some(0);
    let mut many_labels = StoreOptions::default();
    let labels = (0..65).map(|at: u32| (at.to_string(), String::new()));
    many_labels.labels.extend(labels);
    for options in [no_time, no_versions, many_labels] {
        invalid("set_options", stores.set_options("a", &options));
        let options = CreateOptions {
            options,
            ..CreateOptions::default()
        };
        invalid("create", stores.create("b", &options));
    }
    no_store("what was refused", stores.open("b"));
    assert_eq!(stores.info("a").unwrap().options, StoreOptions::default());
}

fn closed_handles(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    for at in 0..fixture.engines.len() {
        let store = fixture.create("a", at);
        store.set(b"k", b"1").unwrap();
        store.close().unwrap();
        assert!(!store.is_open(), "it was closed");
        let again = stores.open("a").unwrap();
        // Somebody who asks the engine gets the same store.
        let engine = fixture.engines[at].engine();
        engine.open("a").unwrap().close().unwrap();
        assert!(!again.is_open(), "it was closed below");
        let again = stores.open("a").unwrap();
        assert_eq!(texts(&*again), expected(&[("k", "1")]));
        stores.drop_store("a").unwrap();
        assert!(!again.is_open(), "it was dropped");
    }
}

fn retention(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    for at in 0..fixture.engines.len() {
        let store = fixture.create("a", at);
        if let Some(versioned) = store.versioned() {
            let retention = Retention {
                count: Some(2),
                age_ms: None,
            };
            let options = StoreOptions {
                retention,
                ..StoreOptions::default()
            };
            stores.set_options("a", &options).unwrap();
            for name in [None, Some("kept"), None, None, None] {
                versioned.take_version(name, "").unwrap();
            }
            let left = versioned.versions().unwrap();
            let left: Vec<_> = left.iter().map(|version| version.number).collect();
            assert_eq!(left, [2, 4, 5]);
        }
        stores.drop_store("a").unwrap();
    }
}

fn next(listener: &Subscription) -> (String, EventKind) {
    match listener.next(Duration::from_secs(5)) {
        Next::Event(event) => (event.store, event.kind),
        other => panic!("an event was expected, not {other:?}"),
    }
}

fn events(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    let all = stores.events().subscribe(None);
    let other = stores.events().subscribe(Some("other"));
    let store = fixture.create("a", 0);
    assert_eq!(next(&all), ("a".to_owned(), EventKind::Created));
    store
        .write(&[Write::Put(b"p", Put::new(b"1")), Write::Delete(b"d")])
        .unwrap();
    let changed = |put: &[&'static [u8]], deleted: &[&'static [u8]]| {
        let own = |keys: &[&'static [u8]]| keys.iter().map(|key| (*key).into()).collect();
        (
            "a".to_owned(),
            EventKind::Changed {
                put: own(put),
                deleted: own(deleted),
            },
        )
    };
    assert_eq!(
        next(&all),
        changed(&[b"p"], &[b"d"]),
        "a batch is one event"
    );
    store
        .compare_and_set(b"c", Expected::Absent, Some(Put::new(b"1")))
        .unwrap();
    assert_eq!(next(&all), changed(&[b"c"], &[]));
    store
        .compare_and_set(b"c", Expected::Absent, Some(Put::new(b"2")))
        .unwrap();
    store.delete(b"c").unwrap();
    assert_eq!(
        next(&all),
        changed(&[], &[b"c"]),
        "what changed nothing is no event"
    );
    if let Some(transactional) = store.transactional() {
        transact(transactional, |tx| tx.set(b"t", b"1")).unwrap();
        assert_eq!(next(&all), changed(&[b"t"], &[]));
        let mut tx = transactional.begin(Mode::ReadWrite).unwrap();
        tx.set(b"never", b"1").unwrap();
        tx.rollback();
    }
    store.clear().unwrap();
    assert_eq!(next(&all), ("a".to_owned(), EventKind::Cleared));
    stores.rename("a", "b").unwrap();
    let renamed = EventKind::Renamed { to: "b".to_owned() };
    assert_eq!(next(&all), ("a".to_owned(), renamed));
    stores.drop_store("b").unwrap();
    assert_eq!(next(&all), ("b".to_owned(), EventKind::Dropped));
    assert_eq!(
        other.next(Duration::ZERO),
        Next::Nothing,
        "only of its store"
    );
    stores.close().unwrap();
    assert_eq!(all.next(Duration::from_secs(5)), Next::Closed);
}

fn version_events(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    for at in 0..fixture.engines.len() {
        let store = fixture.create("a", at);
        if let Some(versioned) = store.versioned() {
            let listener = stores.events().subscribe(Some("a"));
            let version = versioned.take_version(Some("v"), "").unwrap();
            assert_eq!(next(&listener).1, EventKind::VersionTaken(version.clone()));
            let id = nexusbase_kv::VersionId::Number(version.number);
            let restored = versioned.restore_version(&id).unwrap();
            assert_eq!(next(&listener).1, EventKind::Restored(restored));
            versioned.delete_version(&id).unwrap();
            let deleted = EventKind::VersionDeleted {
                number: version.number,
            };
            assert_eq!(next(&listener).1, deleted);
        }
        stores.drop_store("a").unwrap();
    }
}

fn closing(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    let store = fixture.create("a", 0);
    stores.close().unwrap();
    stores.close().unwrap();
    closed("a store", store.set(b"k", b"1"));
    closed("create", stores.create("b", &CreateOptions::default()));
    closed("open", stores.open("a"));
    closed(
        "open_or_create",
        stores.open_or_create("a", &CreateOptions::default()),
    );
    closed("drop_store", stores.drop_store("a"));
    closed("rename", stores.rename("a", "b"));
    closed("list", stores.list());
    closed("info", stores.info("a"));
    closed("check", stores.check("a", CheckMode::Look));
    closed("an engine", fixture.engines[0].engine().list());
}

fn check(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    fixture.create("a", 1).set(b"k", b"1").unwrap();
    let report = stores.check("a", CheckMode::Look).unwrap();
    assert!(report.is_healthy() && report.rows >= 1, "{report:?}");
}
