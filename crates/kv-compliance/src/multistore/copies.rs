//! Copies of stores, between engines: whole, stopped and taken up again.

use std::ops::ControlFlow;

use nexusbase_kv::{CopyProgress, CopyReport, ErrorKind, MultiStore, Put, Result, Store};

use super::MultiFixture;
use crate::harness::{Promise, no_store, refused};
use crate::model::all_rows;

pub(crate) const PROMISES: &[Promise<MultiFixture>] = &[
    (
        "a copy has all rows of the store, from every engine to every other",
        whole,
    ),
    (
        "a copy that was stopped cannot be opened, and can be dropped",
        unfinished,
    ),
    ("a copy that was stopped goes on where it stopped", resumed),
    (
        "a copy of a store with versions is of one state, however often it stops",
        one_state,
    ),
    (
        "a copy leaves no version in the store that was copied",
        no_version_left,
    ),
    (
        "a copy that was stopped takes no other store of its source's name for it",
        other_source,
    ),
    (
        "a copy is of what is there, to a name that is free",
        refused_copies,
    ),
];

/// More than fits into one step of a copy.
const ROWS: u32 = 5000;

fn fill(store: &dyn Store) {
    let value = vec![b'v'; 400];
    let rows: Vec<_> = (0..ROWS).map(u32::to_be_bytes).collect();
    for rows in rows.chunks(500) {
        let rows: Vec<_> = rows
            .iter()
            .map(|key| (key.as_slice(), value.as_slice()))
            .collect();
        store.set_many(&rows).unwrap();
    }
    let later = Put {
        expires_ms: Some(u64::MAX),
        media_type: Some("a/b"),
        ..Put::new(b"")
    };
    store.put(b"", later).unwrap();
    store
        .put(
            b"over",
            Put {
                expires_ms: Some(1),
                ..later
            },
        )
        .unwrap();
}

fn go_on(_: CopyProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn stop(_: CopyProgress) -> ControlFlow<()> {
    ControlFlow::Break(())
}

fn copy(
    fixture: &MultiFixture,
    to: usize,
    progress: fn(CopyProgress) -> ControlFlow<()>,
) -> Result<CopyReport> {
    let engine = Some(fixture.engine(to));
    fixture.stores.copy("from", "to", engine, &mut { progress })
}

/// Each engine as a source with each as a target.
fn each(fixture: &MultiFixture, work: fn(&MultiFixture, &dyn MultiStore, &dyn Store, usize)) {
    let stores = fixture.registered();
    for from in 0..fixture.engines.len() {
        for to in 0..fixture.engines.len() {
            let store = fixture.create("from", from);
            fill(&*store);
            work(fixture, stores, &*store, to);
            for info in stores.list().unwrap() {
                stores.drop_store(&info.name).unwrap();
            }
        }
    }
}

fn whole(fixture: &mut MultiFixture) {
    each(fixture, |fixture, stores, from, to| {
        let report = copy(fixture, to, go_on).unwrap();
        assert!(report.complete && !report.resumed, "{report:?}");
        assert_eq!(report.copied.rows, u64::from(ROWS) + 1, "{report:?}");
        let copied = stores.open("to").unwrap();
        assert!(all_rows(&*copied) == all_rows(from), "the rows are others");
        let info = stores.info("to").unwrap();
        assert_eq!(
            (info.engine.as_str(), info.options.copy_of),
            (fixture.engine(to), None)
        );
        copied.set(b"more", b"1").unwrap();
        assert!(!from.has(b"more").unwrap(), "they share nothing");
    });
}

fn unfinished(fixture: &mut MultiFixture) {
    each(fixture, |fixture, stores, from, to| {
        let report = copy(fixture, to, stop).unwrap();
        assert!(!report.complete, "progress has stopped it: {report:?}");
        let error = refused("to open an unfinished copy", stores.open("to"));
        let is_unfinished =
            matches!(error.kind(), ErrorKind::UnfinishedCopy { of } if of == "from");
        assert!(is_unfinished, "{error:?}");
        assert!(
            stores.info("to").unwrap().options.copy_of.is_some(),
            "it is there by its name"
        );
        stores.drop_store("to").unwrap();
        no_store("a copy that was dropped", stores.open("to"));
        let left = from
            .versioned()
            .map(|versioned| versioned.versions().unwrap());
        assert_eq!(
            left.unwrap_or_default(),
            [],
            "the version that was copied is left behind"
        );
    });
}

fn resumed(fixture: &mut MultiFixture) {
    each(fixture, |fixture, stores, from, to| {
        let mut copied = 0;
        let mut report = copy(fixture, to, stop).unwrap();
        for _ in 0..ROWS {
            copied += report.copied.rows;
            if report.complete {
                break;
            }
            report = copy(fixture, to, stop).unwrap();
            assert!(report.resumed, "it begins anew: {report:?}");
        }
        if !report.complete {
            report = copy(fixture, to, go_on).unwrap();
            copied += report.copied.rows;
        }
        assert!(report.complete, "{report:?}");
        // The step in which it was stopped may be done again.
        assert!(copied > u64::from(ROWS), "{copied} rows");
        assert!(
            all_rows(&*stores.open("to").unwrap()) == all_rows(from),
            "the rows are others"
        );
    });
}

fn one_state(fixture: &mut MultiFixture) {
    each(fixture, |fixture, stores, from, to| {
        if from.versioned().is_none() {
            return;
        }
        let before = all_rows(from);
        let report = copy(fixture, to, stop).unwrap();
        assert!(!report.complete, "{report:?}");
        for key in (0..ROWS).step_by(3).map(u32::to_be_bytes) {
            from.set(&key, b"changed meanwhile").unwrap();
        }
        from.delete(&(ROWS - 1).to_be_bytes()).unwrap();
        from.set(&ROWS.to_be_bytes(), b"new").unwrap();
        let report = copy(fixture, to, go_on).unwrap();
        assert!(report.complete && report.resumed, "{report:?}");
        let rows = all_rows(&*stores.open("to").unwrap());
        assert!(rows == before, "two states are mixed");
    });
}

fn no_version_left(fixture: &mut MultiFixture) {
    each(fixture, |fixture, _, from, to| {
        copy(fixture, to, stop).unwrap();
        copy(fixture, to, go_on).unwrap();
        let left = from
            .versioned()
            .map(|versioned| versioned.versions().unwrap());
        assert_eq!(left.unwrap_or_default(), []);
    });
}

fn other_source(fixture: &mut MultiFixture) {
    each(fixture, |fixture, stores, _, to| {
        copy(fixture, to, stop).unwrap();
        stores.drop_store("from").unwrap();
        let other = fixture.create("from", 0);
        for key in 0..ROWS {
            other.set(&key.to_be_bytes(), b"other").unwrap();
        }
        let take = |name| {
            let versioned = other.versioned();
            versioned.map(|versioned| versioned.take_version(name, "").unwrap())
        };
        let taken: Vec<_> = [None, Some("copy-to-to")]
            .map(take)
            .into_iter()
            .flatten()
            .collect();
        let report = copy(fixture, to, stop).unwrap();
        assert!(!report.complete && !report.resumed, "{report:?}");
        let report = copy(fixture, to, go_on).unwrap();
        assert!(report.complete, "{report:?}");
        let rows = all_rows(&*stores.open("to").unwrap());
        assert!(rows == all_rows(&*other), "two stores are mixed");
        let left = other
            .versioned()
            .map(|versioned| versioned.versions().unwrap());
        assert_eq!(left.unwrap_or_default(), taken, "the versions of its owner");
    });
}

fn refused_copies(fixture: &mut MultiFixture) {
    let stores = fixture.registered();
    no_store("a copy of nothing", copy(fixture, 0, go_on));
    no_store("what was to be a copy of nothing", stores.open("to"));
    fixture.create("from", 0);
    let to = fixture.create("to", 1);
    to.set(b"k", b"1").unwrap();
    crate::harness::store_exists("a copy to a name that is taken", copy(fixture, 1, go_on));
    assert!(to.has(b"k").unwrap(), "what was there is left as it is");
}
