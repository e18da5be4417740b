//! Handles: of one store, of a closed, a dropped, a renamed one.

use std::sync::Arc;

use nexusbase_kv::{
    CheckMode, Direction, Engine, Error, ErrorKind, Expected, KeyRange, Mode, Operation, PageQuery,
    Put, Result, Store, StoreOptions, VersionId, Versioned,
};

use super::names::{options_of, rich_options};
use crate::fixture::Fixture;
use crate::harness::{Promise, closed, no_store, refused, store_exists};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    ("a store that is opened twice is one store", opened_twice),
    (
        "after `close` every method of a store answers Closed; closing twice is fine",
        closed_store,
    ),
    (
        "snapshots stay readable when their store is closed",
        snapshot_of_closed,
    ),
    (
        "a closed store can be opened again, with what was in it",
        reopened_store,
    ),
    (
        "after `drop_store` every method of its handles answers StoreNotFound",
        dropped_store,
    ),
    (
        "snapshots stay readable when their store is dropped",
        snapshot_of_dropped,
    ),
    (
        "renaming keeps everything, and old handles answer StoreNotFound",
        renamed,
    ),
    ("renaming refuses a name that is taken", renamed_to_taken),
    (
        "after the engine's `close` everything answers Closed; closing twice is fine",
        closed_engine,
    ),
    (
        "closing the engine waits for nothing and leaves handles that answer",
        close_beside,
    ),
];

type Call = (
    &'static str,
    Option<Operation>,
    fn(&dyn Store) -> Result<()>,
);

/// Every method of a store that can fail.
const CALLS: &[Call] = &[
    ("entry", Some(Operation::Get), |s| s.entry(b"k").map(drop)),
    ("entries", Some(Operation::Get), |s| {
        s.entries(&[b"k"]).map(drop)
    }),
    ("cursor", Some(Operation::Iterate), |s| {
        s.cursor(KeyRange::all(), Direction::Forward).map(drop)
    }),
    ("get", None, |s| s.get(b"k").map(drop)),
    ("has", None, |s| s.has(b"k").map(drop)),
    ("get_many", None, |s| s.get_many(&[b"k"]).map(drop)),
    ("count", None, |s| s.count(KeyRange::all()).map(drop)),
    ("rows", None, |s| {
        s.rows(KeyRange::all(), Direction::Reverse).map(drop)
    }),
    ("page", None, |s| {
        s.page(&PageQuery::new(KeyRange::all())).map(drop)
    }),
    ("write", Some(Operation::Write), |s| s.write(&[])),
    ("set", Some(Operation::Write), |s| s.set(b"k", b"x")),
    ("delete", Some(Operation::Delete), |s| {
        s.delete(b"k").map(drop)
    }),
    ("compare_and_set", Some(Operation::CompareAndSet), |s| {
        s.compare_and_set(b"k", Expected::Absent, Some(Put::new(b"x")))
            .map(drop)
    }),
    ("clear", Some(Operation::Clear), |s| s.clear()),
    ("snapshot", None, |s| s.snapshot().map(drop)),
    ("stats", Some(Operation::Stats), |s| s.stats().map(drop)),
    ("expire", None, |s| s.expire(b"k", None)),
];

type VersionCall = (&'static str, Operation, fn(&dyn Versioned) -> Result<()>);

/// Every method of a store with versions that can fail.
const VERSION_CALLS: &[VersionCall] = &[
    ("take_version", Operation::TakeVersion, |v| {
        v.take_version(None, "").map(drop)
    }),
    ("versions", Operation::ListVersions, |v| {
        v.versions().map(drop)
    }),
    ("at_version", Operation::ReadVersion, |v| {
        v.at_version(&VersionId::Number(1)).map(drop)
    }),
    ("restore_version", Operation::RestoreVersion, |v| {
        v.restore_version(&VersionId::Number(1)).map(drop)
    }),
    ("delete_version", Operation::DeleteVersion, |v| {
        v.delete_version(&VersionId::Number(1))
    }),
];

#[track_caller]
fn all_answer(store: &dyn Store, wanted: fn(&str, Result<()>) -> Error) {
    let check = |method, operation: Option<Operation>, result| {
        let error = wanted(method, result);
        assert_eq!(
            error.store_name(),
            Some(store.name()),
            "{method}: {error:?}"
        );
        assert_eq!(
            error.engine_name(),
            Some(store.engine_name()),
            "{method}: {error:?}"
        );
        if let Some(operation) = operation {
            assert_eq!(error.operation(), operation, "{method}: {error:?}");
        }
    };
    assert!(!store.is_open(), "`is_open` of what cannot be used");
    for (method, operation, call) in CALLS {
        check(method, *operation, call(store));
    }
    if let Some(transactional) = store.transactional() {
        let begun = transactional.begin(Mode::ReadWrite);
        check("begin", Some(Operation::Begin), begun.map(drop));
    }
    if let Some(versioned) = store.versioned() {
        for (method, operation, call) in VERSION_CALLS {
            check(method, Some(*operation), call(versioned));
        }
    }
}

/// A store `a` with a key, and a version if it has versions.
fn filled(fixture: &Fixture) -> Arc<dyn Store> {
    let store = fixture.create("a");
    store.set(b"k", b"v").unwrap();
    if let Some(versioned) = store.versioned() {
        versioned.take_version(Some("first"), "").unwrap();
    }
    store
}

fn opened_twice(fixture: &mut Fixture) {
    let one = filled(fixture);
    let two = fixture.open("a");
    two.set(b"l", b"w").unwrap();
    assert!(one.is_open() && two.is_open(), "`is_open` of what is used");
    assert_eq!(texts(&*one), expected(&[("k", "v"), ("l", "w")]));
    one.delete(b"k").unwrap();
    drop(one);
    assert_eq!(texts(&*two), expected(&[("l", "w")]));
    let three = fixture.open("a");
    two.close().unwrap();
    closed("a second handle of a closed store", three.get(b"l"));
}

fn closed_store(fixture: &mut Fixture) {
    let store = filled(fixture);
    store.close().unwrap();
    store.close().unwrap();
    all_answer(&*store, closed);
    assert_eq!(
        (store.name(), store.engine_name()),
        ("a", fixture.engine().name())
    );
}

fn snapshot_of_closed(fixture: &mut Fixture) {
    let store = filled(fixture);
    let snapshot = store.snapshot().unwrap();
    store.close().unwrap();
    assert_eq!(texts(&*snapshot), expected(&[("k", "v")]));
    drop(store);
    assert_eq!(texts(&*snapshot), expected(&[("k", "v")]));
}

fn reopened_store(fixture: &mut Fixture) {
    let store = filled(fixture);
    fixture.engine().set_options("a", &rich_options()).unwrap();
    store.close().unwrap();
    let store = fixture.open("a");
    assert_eq!(texts(&*store), expected(&[("k", "v")]));
    assert_eq!(options_of(fixture, "a"), rich_options());
    if let Some(versioned) = store.versioned() {
        assert_eq!(versioned.versions().unwrap().len(), 1);
    }
    store.set(b"k", b"w").unwrap();
    assert_eq!(texts(&*store), expected(&[("k", "w")]));
}

fn dropped_store(fixture: &mut Fixture) {
    let (one, two) = (filled(fixture), fixture.open("a"));
    fixture.engine().drop_store("a").unwrap();
    all_answer(&*one, no_store);
    all_answer(&*two, no_store);
    no_store("to open it", fixture.engine().open("a"));
}

fn snapshot_of_dropped(fixture: &mut Fixture) {
    let store = filled(fixture);
    for at in 0..100_u8 {
        store.set(&[at], &[at; 1000]).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let before = texts(&*snapshot);
    drop(store);
    fixture.engine().drop_store("a").unwrap();
    assert_eq!(texts(&*snapshot), before);
    drop(fixture.create("a"));
    assert_eq!(texts(&*snapshot), before);
}

/// Gives `from` another name; none if this engine cannot.
fn rename(fixture: &Fixture, from: &str, to: &str) -> Option<Result<()>> {
    let renamed = fixture.engine().rename(from, to);
    let cannot = |error: &Error| matches!(error.kind(), ErrorKind::Unsupported(_));
    (!renamed.as_ref().is_err_and(cannot)).then_some(renamed)
}

fn renamed(fixture: &mut Fixture) {
    let old = filled(fixture);
    fixture.engine().set_options("a", &rich_options()).unwrap();
    let snapshot = old.snapshot().unwrap();
    let Some(renamed) = rename(fixture, "a", "b") else {
        return;
    };
    renamed.unwrap();
    all_answer(&*old, no_store);
    no_store("to open the old name", fixture.engine().open("a"));
    let store = fixture.open("b");
    assert_eq!(store.name(), "b");
    assert_eq!(texts(&*store), expected(&[("k", "v")]));
    assert_eq!(texts(&*snapshot), expected(&[("k", "v")]));
    assert_eq!(options_of(fixture, "b"), rich_options());
    if let Some(versioned) = store.versioned() {
        assert_eq!(
            versioned.versions().unwrap().len(),
            1,
            "versions go with it"
        );
        assert!(
            versioned
                .at_version(&VersionId::Name("first".to_owned()))
                .is_ok()
        );
    }
    // A handle of the old name must not work on the store that has it now.
    let new = fixture.create("a");
    no_store("a write by the old handle", old.set(b"k", b"x"));
    assert_eq!(texts(&*new), []);
    assert_eq!(texts(&*store), expected(&[("k", "v")]));
    if fixture.can().durable {
        drop((old, store, new, snapshot));
        fixture.open_again();
        assert_eq!(texts(&*fixture.open("b")), expected(&[("k", "v")]));
        assert_eq!(texts(&*fixture.open("a")), []);
    }
}

fn renamed_to_taken(fixture: &mut Fixture) {
    let store = filled(fixture);
    let other = fixture.create("b");
    if let Some(renamed) = rename(fixture, "a", "b") {
        store_exists("to rename to a name that is taken", renamed);
        store.set(b"k", b"still").unwrap();
        other.set(b"k", b"other").unwrap();
        no_store("to rename nothing", fixture.engine().rename("x", "y"));
        refused("to rename to no name", fixture.engine().rename("a", "-"));
        assert_eq!(texts(&*store), expected(&[("k", "still")]));
    }
}

fn closed_engine(fixture: &mut Fixture) {
    let store = filled(fixture);
    let snapshot = store.snapshot().unwrap();
    let engine: &dyn Engine = &**fixture.engine();
    engine.close().unwrap();
    engine.close().unwrap();
    all_answer(&*store, closed);
    let options = StoreOptions::default();
    closed("create", engine.create("b", &options));
    closed("open", engine.open("a"));
    closed("drop_store", engine.drop_store("a"));
    closed("rename", engine.rename("a", "b"));
    closed("list", engine.list());
    closed("set_options", engine.set_options("a", &options));
    closed("check", engine.check("a", CheckMode::Look));
    store.close().unwrap();
    drop(snapshot);
}

fn close_beside(fixture: &mut Fixture) {
    let store = filled(fixture);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..u64::MAX {
                if let Err(error) = store.set(&(round % 100).to_be_bytes(), b"x") {
                    return error;
                }
            }
            unreachable!("closed long before")
        });
        std::thread::sleep(std::time::Duration::from_millis(10));
        fixture.engine().close().unwrap();
        let error = writer.join().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Closed), "{error:?}");
    });
}
