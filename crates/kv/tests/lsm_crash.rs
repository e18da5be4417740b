//! Power cuts and failing operations under the engine `lsm`: after each of them there is the state
//! before a change or the one after it, versions included, and nothing that nobody needs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase_db::{Database, ForestOptions, Options, View as _};
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_kv::{
    Direction, Engine, KeyRange, Mode, Result, Store, StoreOptions, VersionId, View, engines,
};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// All that can be seen: rows and versions of each store.
type World = BTreeMap<String, (Rows, BTreeMap<u64, Rows>)>;

/// An engine, its database, and the disk below.
struct Life {
    db: Database,
    engine: Arc<dyn Engine>,
}

impl Life {
    fn begin(disk: &SimDisk) -> Option<Self> {
        let options = Options {
            segment_bytes: 64 << 10,
            housekeeping_thread: false,
            // So small that there are flushes and compactions.
            forest: ForestOptions {
                memtable_bytes: 8 << 10,
                l0_tables: 2,
                base_bytes: 4 << 10,
                table_bytes: 4 << 10,
                ..ForestOptions::new([0; 16])
            },
            env: Env::simulated(disk, 7),
            ..Options::default()
        };
        let db = Database::open_with("/db", options).ok()?;
        let engine = engines::lsm::engine(&db).ok()?;
        Some(Self { db, engine })
    }

    fn store(&self, name: &str) -> Result<Arc<dyn Store>> {
        self.engine.open(name)
    }
}

/// One change, seen as one by everybody.
type Step = fn(&Life) -> Result<()>;

fn put(life: &Life, store: &str, byte: u8) -> Result<()> {
    let store = life.store(store)?;
    for key in 0..8_u8 {
        let value = vec![byte ^ key; 1200];
        store.set(&[key], &value)?;
    }
    Ok(())
}

/// What is done, step by step. Each is one change but for `put`, whose keys are changes of their own.
const STEPS: &[(&str, Step)] = &[
    ("create", |life| {
        life.engine.create("a", &StoreOptions::default()).map(drop)
    }),
    ("fill", |life| put(life, "a", 1)),
    ("version 1", |life| take(life, Some("first"))),
    ("overwrite", |life| put(life, "a", 2)),
    ("delete", |life| life.store("a")?.delete(&[3]).map(drop)),
    ("version 2", |life| take(life, None)),
    ("clear", |life| life.store("a")?.clear()),
    ("fill again", |life| put(life, "a", 3)),
    ("restore", |life| restore(life, 1)),
    ("overwrite what was restored", |life| put(life, "a", 4)),
    ("restore the other", |life| restore(life, 2)),
    ("create another", |life| {
        life.engine.create("b", &StoreOptions::default()).map(drop)
    }),
    ("one change of two stores", |life| {
        let store = life.store("a")?;
        let mut tx = store.transactional().unwrap().begin(Mode::ReadWrite)?;
        tx.set(b"moved", b"1")?;
        tx.also("b")?.set(b"moved", b"2")?;
        tx.commit()
    }),
    ("delete a version", |life| {
        let store = life.store("a")?;
        store
            .versioned()
            .unwrap()
            .delete_version(&VersionId::Number(2))
    }),
    ("rename", |life| life.engine.rename("a", "c")),
    ("drop", |life| life.engine.drop_store("b")),
    ("drop with versions", |life| life.engine.drop_store("c")),
];

fn take(life: &Life, name: Option<&str>) -> Result<()> {
    let store = life.store("a")?;
    store.versioned().unwrap().take_version(name, "").map(drop)
}

fn restore(life: &Life, number: u64) -> Result<()> {
    let store = life.store("a")?;
    let id = VersionId::Number(number);
    store.versioned().unwrap().restore_version(&id).map(drop)
}

fn rows(view: &dyn View) -> Rows {
    let rows = view.rows(KeyRange::all(), Direction::Forward).unwrap();
    let rows = rows.map(std::result::Result::unwrap);
    rows.map(|row| (row.key.to_vec(), row.entry.value.to_vec()))
        .collect()
}

fn world(life: &Life) -> World {
    let stores = life.engine.list().unwrap();
    let seen = |name: &str| {
        let store = life.store(name).unwrap();
        let versioned = store.versioned().unwrap();
        let versions = versioned.versions().unwrap().into_iter().map(|version| {
            let id = VersionId::Number(version.number);
            (version.number, rows(&*versioned.at_version(&id).unwrap()))
        });
        (rows(&*store.snapshot().unwrap()), versions.collect())
    };
    stores
        .into_iter()
        .map(|info| (info.name.clone(), seen(&info.name)))
        .collect()
}

/// Does all steps as far as they go, with flushes and compactions between them. Returns how many
/// were acknowledged.
fn live(life: &Life, mut done: impl FnMut(&Life)) -> usize {
    for (number, (_, step)) in STEPS.iter().enumerate() {
        if step(life).is_err() {
            return number;
        }
        done(life);
        for _ in 0..6 {
            life.db.housekeeping_step();
        }
    }
    STEPS.len()
}

/// The worlds before and after each step, of a life in which nothing fails; and how many
/// operations it asks of the disk.
fn undisturbed() -> (Vec<World>, u64) {
    let disk = SimDisk::new(1);
    let life = Life::begin(&disk).unwrap();
    let mut worlds = vec![world(&life)];
    assert_eq!(live(&life, |life| worlds.push(world(life))), STEPS.len());
    assert!(life.db.forest_stats().flushes > 3, "nothing was flushed");
    life.db.close().unwrap();
    // Looking at the worlds asks nothing of the disk but reads, which are not made again.
    let disk = SimDisk::new(1);
    let life = Life::begin(&disk).unwrap();
    live(&life, |_| ());
    life.db.close().unwrap();
    (worlds, disk.operations())
}

/// Whether `found` lies between two worlds: each store is as in one of them, and where a step is
/// several changes, each row is.
fn is_between(found: &World, before: &World, after: &World) -> bool {
    if found == before || found == after {
        return true;
    }
    found.keys().eq(before.keys())
        && found.keys().eq(after.keys())
        && found.iter().all(|(name, (rows, versions))| {
            let ((old, old_versions), (new, new_versions)) = (&before[name], &after[name]);
            let known = |(key, value): (&Vec<u8>, &Vec<u8>)| {
                old.get(key) == Some(value) || new.get(key) == Some(value)
            };
            // Only what `put` does is more than one change: it adds rows, and takes none away.
            old_versions == new_versions
                && versions == old_versions
                && old.len() <= new.len()
                && rows.iter().all(known)
                && old.keys().all(|key| rows.contains_key(key))
        })
}

fn check(disk: &SimDisk, worlds: &[World], acknowledged: usize, story: &str) {
    let life = Life::begin(disk);
    assert!(life.is_some(), "{story}: it does not open");
    let life = life.unwrap();
    let found = world(&life);
    let next = worlds
        .get(acknowledged + 1)
        .unwrap_or(&worlds[acknowledged]);
    let fits = is_between(&found, &worlds[acknowledged], next);
    assert!(
        fits,
        "{story}: {acknowledged} steps were acknowledged, and the stores are neither as before nor as after the next"
    );
    // One tree for each store: what a restore was filling is gone.
    let trees = life.db.snapshot().trees("kv.").unwrap();
    let data = trees.iter().filter(|(name, _)| name != "kv.expiry");
    assert_eq!(
        data.count(),
        found.len(),
        "{story}: trees are left over: {trees:?}"
    );
    let kept: usize = found.values().map(|(_, versions)| versions.len()).sum();
    let indices = life.db.snapshot().kept_versions("").unwrap().len();
    assert_eq!(
        indices, kept,
        "{story}: the database keeps what no version needs"
    );
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_state_before_or_after_a_change() {
    let (worlds, operations) = undisturbed();
    let mut cut = 0;
    for at in 0..operations {
        let disk = SimDisk::new(at);
        disk.crash_at(at);
        let acknowledged = Life::begin(&disk).map_or(0, |life| {
            let acknowledged = live(&life, |_| ());
            // Closing may be what the power cut comes into.
            let _ = life.db.close();
            acknowledged
        });
        cut += u64::from(disk.is_crashed());
        disk.crash(at);
        check(
            &disk,
            &worlds,
            acknowledged,
            &format!("power cut at operation {at}"),
        );
    }
    assert!(
        cut > operations / 2,
        "only {cut} of {operations} power cuts happened"
    );
}

#[test]
fn a_failing_operation_is_an_error_or_none_at_all() {
    let (worlds, operations) = undisturbed();
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for at in 0..operations {
            let disk = SimDisk::new(at);
            disk.fail_at(at, kind);
            let acknowledged = Life::begin(&disk).map_or(0, |life| {
                let acknowledged = live(&life, |_| ());
                let _ = life.db.close();
                acknowledged
            });
            disk.clear_faults();
            let story = format!("operation {at} fails with {kind:?}");
            check(&disk.fork(), &worlds, acknowledged, &story);
            disk.crash(at);
            check(
                &disk,
                &worlds,
                acknowledged,
                &format!("{story}, and the power goes"),
            );
        }
    }
}
