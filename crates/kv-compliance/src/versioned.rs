//! What versions promise.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nexusbase_kv::{
    Diff, Difference, Error, KeyRange, Operation, PageQuery, Put, Retention, Store, Version,
    VersionId, Versioned, View,
};

use crate::fixture::Fixture;
use crate::harness::{Promise, beside, invalid, no_version, too_large, version_exists};
use crate::model::{all_rows, expected, texts};
use crate::threads::{Bound, Done};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "versions are numbered from 1, and no number comes twice",
        numbers,
    ),
    (
        "versions have names, notes and times, and are listed with the oldest first",
        listed,
    ),
    (
        "a version's name is there once, and is none that reads as a number",
        names,
    ),
    ("a version never changes", stay),
    (
        "a version that is read stays readable when it is deleted",
        deleted_while_read,
    ),
    ("what is no version is VersionNotFound", missing),
    (
        "restoring makes the newest state equal to the version, as a new version",
        restore,
    ),
    ("restoring is one step for those who look", restore_whole),
    (
        "what had not expired when a version was taken has not expired in it",
        expiry,
    ),
    (
        "what has expired since does not come back with a version",
        restore_expired,
    ),
    (
        "the difference of two versions is what was changed between them",
        diff,
    ),
    (
        "pruning keeps what its rule says, and everything that has a name",
        prune,
    ),
    ("a version counts its keys and bytes", figures),
    ("many versions are each of their own state", many),
    ("`clear` leaves versions as they are", cleared),
    ("errors of versions name store and engine", context),
];

fn versions(store: &dyn Store) -> &dyn Versioned {
    store.versioned().expect("the engine has versions")
}

fn take(store: &dyn Store, name: Option<&str>) -> Version {
    versions(store)
        .take_version(name, "")
        .expect("a version can be taken")
}

fn id(number: u64) -> VersionId {
    VersionId::Number(number)
}

fn named(name: &str) -> VersionId {
    VersionId::Name(name.to_owned())
}

#[track_caller]
fn at(store: &dyn Store, number: u64) -> Vec<(String, String)> {
    texts(
        &*versions(store)
            .at_version(&id(number))
            .expect("the version is there"),
    )
}

fn listed_numbers(store: &dyn Store) -> Vec<u64> {
    let list = versions(store).versions().unwrap();
    list.iter().map(|version| version.number).collect()
}

fn numbers(fixture: &mut Fixture) {
    let store = fixture.create("s");
    assert_eq!(listed_numbers(&*store), [] as [u64; 0]);
    assert_eq!(
        [take(&*store, None).number, take(&*store, None).number],
        [1, 2]
    );
    versions(&*store).delete_version(&id(2)).unwrap();
    assert_eq!(take(&*store, None).number, 3, "a number is used twice");
    versions(&*store).delete_version(&id(1)).unwrap();
    versions(&*store).delete_version(&id(3)).unwrap();
    assert_eq!(
        take(&*store, None).number,
        4,
        "it begins anew when none is left"
    );
    let other = fixture.create("t");
    assert_eq!(
        take(&*other, None).number,
        1,
        "each store counts for itself"
    );
}

fn listed(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let before = fixture.now_ms();
    store.set(b"a", b"1").unwrap();
    let note = "ä \"note\"\nof two lines";
    let one = versions(&*store).take_version(Some("first"), note).unwrap();
    fixture.pass_ms(10);
    let two = versions(&*store).take_version(None, "").unwrap();
    assert_eq!(
        (one.name.as_deref(), one.note.as_str()),
        (Some("first"), note)
    );
    assert_eq!((two.name.as_deref(), two.note.as_str()), (None, ""));
    assert!(
        one.time_ms >= before && two.time_ms >= one.time_ms + 10,
        "{one:?}, {two:?}"
    );
    assert!(two.time_ms <= fixture.now_ms(), "{two:?}");
    assert_eq!(
        versions(&*store).versions().unwrap(),
        [one.clone(), two.clone()]
    );
    assert_eq!(versions(&*store).version(&named("first")).unwrap(), one);
    assert_eq!(versions(&*store).version(&id(2)).unwrap(), two);
    assert_eq!(store.stats().unwrap().versions, 2);
}

fn names(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let versioned = versions(&*store);
    take(&*store, Some("v1"));
    let error = version_exists("a name twice", versioned.take_version(Some("v1"), ""));
    assert_eq!(error.operation(), Operation::TakeVersion);
    for name in ["", "12", "-a", "a b", "a/b", &"x".repeat(101)] {
        invalid(
            &format!("a version {name:?}"),
            versioned.take_version(Some(name), ""),
        );
    }
    versioned.take_version(None, &"x".repeat(1000)).unwrap();
    too_large(
        "a long note",
        versioned.take_version(None, &"x".repeat(1001)),
    );
    assert_eq!(
        listed_numbers(&*store),
        [1, 2],
        "what was refused takes no number"
    );
    versioned.delete_version(&named("v1")).unwrap();
    assert_eq!(
        take(&*store, Some("v1")).number,
        3,
        "the name is free again"
    );
}

fn stay(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let put = Put {
        media_type: Some("a/b"),
        ..Put::new(b"1")
    };
    store.put(b"a", put).unwrap();
    store.set_many(&[(b"b", b"1"), (b"c", b"1")]).unwrap();
    let before = all_rows(&*store);
    take(&*store, Some("v"));
    store.set(b"a", b"2").unwrap();
    store.delete(b"b").unwrap();
    store.set(b"d", b"2").unwrap();
    for round in 0..3 {
        let view = versions(&*store).at_version(&named("v")).unwrap();
        assert_eq!(
            all_rows(&*view),
            before,
            "a version has changed, round {round}"
        );
        assert_eq!(view.get(b"d").unwrap(), None, "a version has changed");
        assert_eq!(
            view.entry(b"a").unwrap(),
            Some(put.to_entry()),
            "a version has changed"
        );
        assert_eq!(view.count(KeyRange::all()).unwrap(), 3);
        assert_eq!(
            view.page(&PageQuery::new(KeyRange::all())).unwrap().rows,
            before
        );
        store.compact().unwrap();
        store.set(b"e", &[round]).unwrap();
    }
    assert_eq!(texts(&*store).len(), 4);
}

fn deleted_while_read(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"1"), (b"b", b"1")]).unwrap();
    take(&*store, None);
    take(&*store, None);
    let view = versions(&*store).at_version(&id(1)).unwrap();
    store.clear().unwrap();
    versions(&*store).delete_version(&id(1)).unwrap();
    store.compact().unwrap();
    assert_eq!(texts(&*view), expected(&[("a", "1"), ("b", "1")]));
    assert_eq!(listed_numbers(&*store), [2]);
    assert_eq!(
        at(&*store, 2),
        expected(&[("a", "1"), ("b", "1")]),
        "the other one is untouched"
    );
    // Reading goes on in other threads, too.
    let sent = std::thread::spawn(move || texts(&*view).len());
    assert_eq!(sent.join().unwrap(), 2);
}

fn missing(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let versioned = versions(&*store);
    take(&*store, Some("v"));
    versioned.delete_version(&id(1)).unwrap();
    for id in [
        id(0),
        id(1),
        id(2),
        id(u64::MAX),
        named("v"),
        named("other"),
    ] {
        no_version("to read it", versioned.at_version(&id));
        no_version("to restore it", versioned.restore_version(&id));
        no_version("to delete it", versioned.delete_version(&id));
        no_version("to look at it", versioned.version(&id));
    }
    assert_eq!(listed_numbers(&*store), [] as [u64; 0]);
}

fn restore(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"1"), (b"b", b"1")]).unwrap();
    take(&*store, Some("good"));
    store.set_many(&[(b"a", b"2"), (b"c", b"2")]).unwrap();
    store.delete(b"b").unwrap();
    let version = versions(&*store).restore_version(&named("good")).unwrap();
    assert_eq!(version.number, 2, "what was restored is a new version");
    assert_eq!(version.name, None);
    assert!(!version.note.is_empty(), "the note says where it is from");
    let good = expected(&[("a", "1"), ("b", "1")]);
    assert_eq!(texts(&*store), good);
    assert_eq!(
        listed_numbers(&*store),
        [1, 2],
        "what was restored is a new version"
    );
    assert_eq!(at(&*store, 2), good);
    store.set(b"a", b"3").unwrap();
    assert_eq!(
        (at(&*store, 1), at(&*store, 2)),
        (good.clone(), good),
        "versions stay"
    );
    assert_eq!(texts(&*store), expected(&[("a", "3"), ("b", "1")]));
}

fn restore_whole(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let fill = |value: u8| {
        let keys: Vec<_> = (0..100_u8).map(|key| [key]).collect();
        let rows: Vec<_> = keys
            .iter()
            .map(|key| (key.as_slice(), [value].to_vec()))
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(key, value)| (*key, value.as_slice()))
            .collect();
        store.set_many(&rows).unwrap();
        take(&*store, None);
    };
    fill(1);
    fill(2);
    let snapshot = store.snapshot().unwrap();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let rows = all_rows(&*store).into_iter();
                let mut values: Vec<_> = rows.map(|row| row.entry.value).collect();
                assert_eq!(values.len(), 100, "a version is seen half restored");
                values.dedup();
                assert_eq!(values.len(), 1, "a version is seen half restored");
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _done = Done(&done);
        let bound = Bound::new();
        for round in (0_u64..).take_while(|round| !bound.is_over(*round, &looks)) {
            versions(&*store)
                .restore_version(&id(round % 2 + 1))
                .unwrap();
        }
    });
    assert_eq!(
        snapshot.get(&[0]).unwrap().unwrap(),
        [2].as_slice(),
        "a snapshot stays"
    );
    // Nobody waits for a version that is read.
    let view = versions(&*store).at_version(&id(1)).unwrap();
    beside(&store, |store| store.set(&[0], b"x").unwrap());
    assert_eq!(view.get(&[0]).unwrap().unwrap(), [1].as_slice());
}

fn put_for(fixture: &Fixture, ms: u64) -> Put<'static> {
    Put {
        expires_ms: Some(fixture.now_ms() + ms),
        ..Put::new(b"v")
    }
}

fn expiry(fixture: &mut Fixture) {
    if !fixture.has_clock() {
        return;
    }
    let store = fixture.create("s");
    store.put(b"over", put_for(fixture, 5)).unwrap();
    store.put(b"soon", put_for(fixture, 50)).unwrap();
    store.set(b"stays", b"v").unwrap();
    fixture.pass_ms(10);
    take(&*store, None);
    fixture.pass_ms(100);
    take(&*store, None);
    assert_eq!(texts(&*store), expected(&[("stays", "v")]));
    assert_eq!(at(&*store, 1), expected(&[("soon", "v"), ("stays", "v")]));
    assert_eq!(at(&*store, 2), expected(&[("stays", "v")]));
    let view = versions(&*store).at_version(&id(1)).unwrap();
    assert!(view.has(b"soon").unwrap() && !view.has(b"over").unwrap());
    assert_eq!(view.count(KeyRange::all()).unwrap(), 2);
}

fn restore_expired(fixture: &mut Fixture) {
    if !fixture.has_clock() {
        return;
    }
    let store = fixture.create("s");
    store.put(b"soon", put_for(fixture, 50)).unwrap();
    let later = put_for(fixture, 1000);
    store.put(b"later", later).unwrap();
    take(&*store, None);
    fixture.pass_ms(100);
    store.clear().unwrap();
    let version = versions(&*store).restore_version(&id(1)).unwrap();
    assert_eq!(texts(&*store), expected(&[("later", "v")]));
    assert_eq!(
        store.entry(b"later").unwrap(),
        Some(later.to_entry()),
        "with its time"
    );
    assert_eq!(store.count(KeyRange::all()).unwrap(), 1);
    assert_eq!(at(&*store, version.number), expected(&[("later", "v")]));
    assert_eq!(at(&*store, 1).len(), 2, "it is still in the old one");
    fixture.pass_ms(1000);
    assert_eq!(texts(&*store), []);
}

fn diff(fixture: &mut Fixture) {
    if !fixture.can().ordered {
        return;
    }
    let store = fixture.create("s");
    store
        .set_many(&[(b"a", b"1"), (b"b", b"1"), (b"c", b"1"), (b"same", b"1")])
        .unwrap();
    take(&*store, None);
    store.set(b"a", b"2").unwrap();
    store.delete(b"b").unwrap();
    store
        .put(
            b"c",
            Put {
                media_type: Some("a/b"),
                ..Put::new(b"1")
            },
        )
        .unwrap();
    store.set(b"d", b"2").unwrap();
    take(&*store, None);
    store.clear().unwrap();
    let old = versions(&*store).at_version(&id(1)).unwrap();
    let new = versions(&*store).at_version(&id(2)).unwrap();
    let diff = |old: &dyn View, new: &dyn View, range: &KeyRange| {
        let found = Diff::between(old, new, range).unwrap().map(Result::unwrap);
        let short = |difference: Difference| {
            let key = String::from_utf8_lossy(difference.key()).into_owned();
            let sign = match difference {
                Difference::Added { .. } => '+',
                Difference::Removed { .. } => '-',
                Difference::Changed { .. } => '~',
            };
            format!("{sign}{key}")
        };
        found.map(short).collect::<Vec<_>>()
    };
    assert_eq!(
        diff(&*old, &*new, &KeyRange::all()),
        ["~a", "-b", "~c", "+d"]
    );
    assert_eq!(
        diff(&*new, &*old, &KeyRange::all()),
        ["~a", "+b", "~c", "-d"]
    );
    assert_eq!(diff(&*old, &*new, &KeyRange::prefix(b"b")), ["-b"]);
    assert_eq!(diff(&*old, &*old, &KeyRange::all()), [] as [&str; 0]);
    assert_eq!(
        diff(&*new, &*store, &KeyRange::all()),
        ["-a", "-c", "-d", "-same"]
    );
}

fn prune(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for number in 1..=6_u8 {
        store.set(b"n", &[b'0' + number]).unwrap();
        take(&*store, (number == 2).then_some("kept"));
        fixture.pass_ms(20);
    }
    let pruned = |retention: Retention| {
        let gone = versions(&*store)
            .prune_versions(&retention, fixture.now_ms())
            .unwrap();
        gone.iter()
            .map(|version| version.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        pruned(Retention::default()),
        [] as [u64; 0],
        "by default all stay"
    );
    assert_eq!(
        pruned(Retention {
            count: Some(3),
            age_ms: None
        }),
        [1, 3]
    );
    assert_eq!(listed_numbers(&*store), [2, 4, 5, 6]);
    assert_eq!(at(&*store, 4), expected(&[("n", "4")]));
    assert_eq!(at(&*store, 2), expected(&[("n", "2")]));
    if fixture.has_clock() {
        // They are 60, 40 and 20 ms old.
        assert_eq!(
            pruned(Retention {
                count: None,
                age_ms: Some(40)
            }),
            [4]
        );
    }
    assert!(
        !pruned(Retention {
            count: Some(0),
            age_ms: None
        })
        .is_empty()
    );
    assert_eq!(listed_numbers(&*store), [2], "what has a name stays");
    assert_eq!(texts(&*store), expected(&[("n", "6")]));
}

fn figures(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"12"), (b"bc", b"345")]).unwrap();
    let version = take(&*store, None);
    if version.exact {
        assert_eq!((version.keys, version.bytes), (2, 8), "{version:?}");
    }
    store.clear().unwrap();
    assert_eq!(versions(&*store).version(&id(1)).unwrap(), version);
    let empty = take(&*store, None);
    if empty.exact {
        assert_eq!((empty.keys, empty.bytes), (0, 0), "{empty:?}");
    }
}

fn many(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let mut states = Vec::new();
    for round in 0..60_u8 {
        store.set(&[round % 11], &[round]).unwrap();
        if round % 4 == 3 {
            store.delete(&[round % 5]).unwrap();
        }
        states.push((take(&*store, None).number, all_rows(&*store)));
    }
    for (number, _) in states.iter().rev().step_by(7) {
        versions(&*store).delete_version(&id(*number)).unwrap();
        assert!(!listed_numbers(&*store).contains(number));
    }
    store.compact().unwrap();
    let left = listed_numbers(&*store);
    for (number, state) in states.iter().filter(|(number, _)| left.contains(number)) {
        let view = versions(&*store).at_version(&id(*number)).unwrap();
        assert_eq!(all_rows(&*view), *state, "version {number}");
    }
}

fn cleared(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    take(&*store, None);
    store.clear().unwrap();
    assert_eq!(texts(&*store), []);
    assert_eq!(at(&*store, 1), expected(&[("a", "1")]));
    versions(&*store).restore_version(&id(1)).unwrap();
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
}

fn context(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let versioned = versions(&*store);
    let errors: [(Operation, Error); 3] = [
        (
            Operation::ReadVersion,
            no_version("to read", versioned.at_version(&id(9))),
        ),
        (
            Operation::RestoreVersion,
            no_version("to restore", versioned.restore_version(&id(9))),
        ),
        (
            Operation::DeleteVersion,
            no_version("to delete", versioned.delete_version(&id(9))),
        ),
    ];
    for (operation, error) in errors {
        assert_eq!(error.operation(), operation, "{error:?}");
        assert_eq!(error.store_name(), Some("s"), "{error:?}");
        assert_eq!(
            error.engine_name(),
            Some(fixture.engine().name()),
            "{error:?}"
        );
    }
}
