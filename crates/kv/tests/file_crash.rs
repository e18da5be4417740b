//! Power cuts, failing operations and full disks under the engine `file`: what was acknowledged is
//! there, what was not is there whole or not at all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::{
    Direction, Engine, KeyRange, Mode, Result, Retention, Store, StoreOptions, VersionId, View,
};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// All that can be seen of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    rows: Rows,
    versions: Vec<(u64, Option<String>, Rows)>,
    options: StoreOptions,
}

type World = BTreeMap<String, Seen>;

/// A change, and whether what it leaves between is fine too.
struct Case {
    name: &'static str,
    work: fn(&dyn Engine) -> Result<()>,
    between: fn(&Seen, &Seen) -> bool,
}

const OPTIONS: FileOptions = FileOptions {
    rewrite_bytes_min: 2000,
};

fn engine(disk: &SimDisk) -> Arc<dyn Engine> {
    file::engine(&Env::simulated(disk, 1), Path::new("/kv"), OPTIONS).unwrap()
}

fn rows(view: &dyn View) -> Rows {
    let rows = view.rows(KeyRange::all(), Direction::Forward).unwrap();
    rows.map(|row| {
        row.map(|row| (row.key.to_vec(), row.entry.value.to_vec()))
            .unwrap()
    })
    .collect()
}

fn seen(store: &dyn Store, options: StoreOptions) -> Seen {
    let versioned = store.versioned().unwrap();
    let versions = versioned.versions().unwrap();
    let version = |version: nexusbase_kv::Version| {
        let view = versioned
            .at_version(&VersionId::Number(version.number))
            .unwrap();
        (version.number, version.name, rows(&*view))
    };
    Seen {
        rows: rows(&*store.snapshot().unwrap()),
        versions: versions.into_iter().map(version).collect(),
        options,
    }
}

/// What a new process sees.
fn world(disk: &SimDisk) -> World {
    let engine = engine(disk);
    let stores = engine.list().unwrap();
    let world = stores.into_iter().map(|info| {
        let store = engine.open(&info.name).unwrap();
        (info.name, seen(&*store, info.options))
    });
    let world = world.collect();
    engine.close().unwrap();
    world
}

fn value(byte: u8) -> Vec<u8> {
    vec![byte; 700]
}

/// A store with rows, appended groups and two versions.
fn prepared() -> SimDisk {
    let disk = SimDisk::new(3);
    let engine = engine(&disk);
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    store.set(b"a", &value(b'1')).unwrap();
    let versioned = store.versioned().unwrap();
    versioned.take_version(Some("first"), "").unwrap();
    store.set(b"b", b"2").unwrap();
    versioned.take_version(None, "").unwrap();
    store.set(b"c", b"3").unwrap();
    engine.close().unwrap();
    disk
}

fn batch(engine: &dyn Engine) -> Result<()> {
    let values: Vec<_> = (b'a'..b'h').map(|key| (vec![key], value(key))).collect();
    let values: Vec<_> = values
        .iter()
        .map(|(key, value)| (&key[..], &value[..]))
        .collect();
    // Large enough that a rewrite follows.
    engine.open("s")?.set_many(&values)
}

fn transaction(engine: &dyn Engine) -> Result<()> {
    let store = engine.open("s")?;
    let mut tx = store.transactional().unwrap().begin(Mode::ReadWrite)?;
    tx.delete(b"a")?;
    tx.set(b"x", &value(b'x'))?;
    tx.set(b"b", &value(b'y'))?;
    tx.commit()
}

fn set_options(engine: &dyn Engine) -> Result<()> {
    let options = StoreOptions {
        ttl_ms: Some(5),
        retention: Retention {
            count: Some(3),
            age_ms: None,
        },
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..StoreOptions::default()
    };
    engine.set_options("s", &options)
}

fn cases() -> Vec<Case> {
    let case = |name, work: fn(&dyn Engine) -> Result<()>| Case {
        name,
        work,
        between: |_, _| false,
    };
    let mut cases = vec![
        case("set", |engine| engine.open("s")?.set(b"a", &value(b'9'))),
        case("delete", |engine| engine.open("s")?.delete(b"a").map(drop)),
        case("clear", |engine| engine.open("s")?.clear()),
        case("batch", batch),
        case("transaction", transaction),
        case("compact", |engine| engine.open("s")?.compact().map(drop)),
        case("take_version", |engine| {
            let store = engine.open("s")?;
            store
                .versioned()
                .unwrap()
                .take_version(Some("new"), "")
                .map(drop)
        }),
        case("delete_version", |engine| {
            let store = engine.open("s")?;
            store
                .versioned()
                .unwrap()
                .delete_version(&VersionId::Number(2))
        }),
        case("drop", |engine| engine.drop_store("s")),
        case("rename", |engine| engine.rename("s", "t")),
        case("create", |engine| {
            engine.create("n", &StoreOptions::default()).map(drop)
        }),
        case("set_options", set_options),
    ];
    cases.push(Case {
        name: "restore",
        work: |engine| {
            let store = engine.open("s")?;
            store
                .versioned()
                .unwrap()
                .restore_version(&VersionId::Number(1))
                .map(drop)
        },
        // The new version comes first.
        between: |found, old| found.rows == old.rows && found.versions.len() == 3,
    });
    cases
}

/// Old or new, or what is fine in between; never neither, never a mix.
fn assert_whole(case: &Case, found: &World, old: &World, new: &World, context: &str) {
    let between = match (found.get("s"), old.get("s")) {
        (Some(found), Some(old)) => (case.between)(found, old),
        _ => false,
    };
    let whole = found == old || found == new || between;
    assert!(
        whole,
        "{}, {context}: {found:#?}\nold {old:#?}\nnew {new:#?}",
        case.name
    );
}

/// The engine with its store open, so that only the work itself is counted.
fn ready(disk: &SimDisk) -> Arc<dyn Engine> {
    let engine = engine(disk);
    drop(engine.open("s").unwrap());
    engine
}

fn outcomes(case: &Case) -> (SimDisk, World, World) {
    let prepared = prepared();
    let disk = prepared.fork();
    let engine = ready(&disk);
    (case.work)(&*engine).unwrap();
    engine.close().unwrap();
    let new = world(&disk);
    (prepared.fork(), world(&prepared), new)
}

#[test]
fn a_power_cut_at_every_operation_leaves_old_or_new() {
    for case in cases() {
        let (prepared, old, new) = outcomes(&case);
        let mut operations = 0;
        for n in 1.. {
            let disk = prepared.fork();
            let engine = ready(&disk);
            disk.crash_at(n);
            let done = (case.work)(&*engine);
            let is_over = !disk.is_crashed();
            for seed in 0..6 {
                let found = world(&crashed(&prepared, &case, n, seed));
                let context = format!("operation {n}, seed {seed}");
                assert_whole(&case, &found, &old, &new, &context);
                if done.is_ok() {
                    assert_eq!(found, new, "{} {context} was acknowledged", case.name);
                }
            }
            if is_over {
                break;
            }
            operations = n;
        }
        assert!(operations > 0, "{}", case.name);
    }
}

/// The same cut again, on a disk of its own, with another fate.
fn crashed(prepared: &SimDisk, case: &Case, n: u64, seed: u64) -> SimDisk {
    let disk = prepared.fork();
    let engine = ready(&disk);
    disk.crash_at(n);
    let _ = (case.work)(&*engine);
    disk.crash(seed);
    disk
}

#[test]
fn a_second_power_cut_while_opening_again_loses_nothing_either() {
    for case in cases() {
        let (prepared, old, new) = outcomes(&case);
        for n in 1..40 {
            for second in [1, 2, 3, 5, 8, 13, 21] {
                let disk = prepared.fork();
                let engine = ready(&disk);
                disk.crash_at(n);
                let _ = (case.work)(&*engine);
                disk.crash(n);
                disk.crash_at(second);
                if let Ok(engine) =
                    file::engine(&Env::simulated(&disk, 1), Path::new("/kv"), OPTIONS)
                {
                    let _ = engine.open("s");
                }
                disk.crash(second);
                let context = format!("operation {n}, then {second}");
                assert_whole(&case, &world(&disk), &old, &new, &context);
            }
        }
    }
}

#[test]
fn a_failing_operation_leaves_old_or_new_and_the_store_usable_when_opened_again() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for case in cases() {
            let (prepared, old, new) = outcomes(&case);
            for n in 1.. {
                let disk = prepared.fork();
                let engine = ready(&disk);
                let before = disk.operations();
                disk.fail_at(n, kind);
                let done = (case.work)(&*engine);
                if disk.operations() < before + n {
                    break;
                }
                disk.clear_faults();
                let context = format!("{kind:?} at operation {n}: {done:?}");
                let dead = disk.fork();
                // The same process goes on: it may refuse, but what it acknowledges is there.
                let mut expected = None;
                if disk.counters().failed_dir_syncs == 0
                    && let Ok(store) = engine.open("s")
                {
                    let info = engine
                        .list()
                        .unwrap()
                        .into_iter()
                        .find(|info| info.name == "s");
                    if store.set(b"later", b"1").is_ok() {
                        expected = Some(seen(&*store, info.unwrap().options));
                    }
                    store.close().unwrap();
                    let store = engine.open("s").unwrap();
                    store.set(b"again", b"1").unwrap();
                    if let Some(expected) = &mut expected {
                        expected.rows.insert(b"again".to_vec(), b"1".to_vec());
                    }
                }
                disk.crash(n);
                if let Some(expected) = expected {
                    assert_eq!(world(&disk)["s"], expected, "{} {context}", case.name);
                }
                dead.crash(n);
                let found = world(&dead);
                assert_whole(&case, &found, &old, &new, &context);
                if done.is_ok() {
                    assert_eq!(found, new, "{} {context}", case.name);
                }
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    for extra in (0..3000).step_by(211) {
        let disk = prepared().fork();
        let engine = ready(&disk);
        let store = engine.open("s").unwrap();
        let used: usize = disk
            .paths()
            .iter()
            .map(|path| disk.file_bytes(path).unwrap().len())
            .sum();
        disk.set_capacity(Some((used + extra) as u64));
        let mut expected = rows(&*store);
        let mut failed = 0;
        for byte in 0..8 {
            let (key, value) = (vec![b'k', byte], value(b'a' + byte));
            match store.set(&key, &value) {
                Ok(()) => drop(expected.insert(key, value)),
                Err(error) => {
                    failed += 1;
                    assert!(error.to_string().contains("cannot write"), "{error}");
                }
            }
            assert_eq!(rows(&*store), expected);
        }
        assert!(failed > 0);
        disk.set_capacity(None);
        store.set(b"room", b"1").unwrap();
        expected.insert(b"room".to_vec(), b"1".to_vec());
        assert_eq!(rows(&*store), expected);
        disk.crash(extra as u64);
        let engine = self::engine(&disk);
        let damage = engine.open("s").unwrap().stats().unwrap().damage;
        assert_eq!(
            damage,
            Vec::<String>::new(),
            "nothing may be appended behind half a group"
        );
        engine.close().unwrap();
        let found = world(&disk);
        assert_eq!(found["s"].rows, expected, "{extra}");
        assert_eq!(found["s"].versions.len(), 2);
    }
}

#[test]
fn a_full_disk_does_not_hide_a_damaged_store() {
    let disk = prepared();
    let path = Path::new("/kv/s.jsonl");
    let length = disk.file_bytes(path).unwrap().len() as u64;
    disk.flip_bit(path, length - 20, 0).unwrap();
    disk.set_capacity(Some(1));
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    assert_eq!(store.count(KeyRange::all()).unwrap(), 2);
    assert!(!store.stats().unwrap().damage.is_empty());
    let error = store.set(b"a", b"1").unwrap_err();
    assert!(error.to_string().contains("open it again"), "{error}");
    disk.set_capacity(None);
    store.close().unwrap();
    engine.open("s").unwrap().set(b"a", b"1").unwrap();
}

#[test]
fn a_write_whose_sync_failed_stops_writes_until_the_store_is_opened_again() {
    let disk = prepared();
    let engine = ready(&disk);
    let store = engine.open("s").unwrap();
    // First it is looked whether the file is still the store's.
    disk.fail_at(2, FaultKind::Io);
    store.set(b"a", b"new").unwrap_err();
    let error = store.set(b"z", b"1").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("close the store and open it again"),
        "{error}"
    );
    assert_eq!(store.get(b"a").unwrap().unwrap(), value(b'1'));
    store.close().unwrap();
    engine.open("s").unwrap().set(b"z", b"1").unwrap();
}

#[test]
fn what_a_reader_of_the_next_process_saw_survives_a_power_cut() {
    for n in 1..4 {
        let disk = prepared();
        let engine = ready(&disk);
        // The process dies while it writes: what is written is in the memory of the machine only.
        disk.set_skip_syncs(true);
        engine
            .open("s")
            .unwrap()
            .set(b"seen", &value(b's'))
            .unwrap();
        disk.kill();
        disk.set_skip_syncs(false);
        let engine = self::engine(&disk);
        let seen = engine.open("s").unwrap().get(b"seen").unwrap();
        disk.crash(n);
        let engine = self::engine(&disk);
        assert_eq!(engine.open("s").unwrap().get(b"seen").unwrap(), seen);
    }
}

#[test]
fn numbers_of_versions_are_never_used_again() {
    let disk = prepared();
    let engine = ready(&disk);
    let store = engine.open("s").unwrap();
    let versioned = store.versioned().unwrap();
    for number in [2, 1] {
        versioned
            .delete_version(&VersionId::Number(number))
            .unwrap();
    }
    store.compact().unwrap();
    disk.crash(1);
    let engine = self::engine(&disk);
    let store = engine.open("s").unwrap();
    let version = store.versioned().unwrap().take_version(None, "").unwrap();
    assert_eq!(version.number, 3);
    engine.rename("s", "t").unwrap();
    let store = engine.open("t").unwrap();
    let versioned = store.versioned().unwrap();
    versioned.delete_version(&VersionId::Number(3)).unwrap();
    assert_eq!(versioned.take_version(None, "").unwrap().number, 4);
}
