//! Kept versions: states that stay readable until they are released, over restarts and crashes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusbase_db::{
    CommitError, Database, Direction, Durability, Error, ForestOptions, Index, KeyRange, Options,
    Snapshot, TreeId, TreeKind, View,
};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

const ROWS: u64 = 100;

fn options(disk: &SimDisk) -> Options {
    let mut forest = ForestOptions::new([0; 16]);
    // All that was flushed is compacted soon.
    forest.l0_tables = 1;
    forest.base_bytes = 1 << 10;
    Options {
        forest,
        housekeeping_thread: false,
        segment_bytes: 4 << 20,
        env: Env {
            fs: Arc::new(disk.clone()),
            ..Env::os()
        },
        ..Options::default()
    }
}

fn open(disk: &SimDisk) -> Database {
    open_at(disk, "/data")
}

fn open_at(disk: &SimDisk, path: &str) -> Database {
    Database::open_with(path, options(disk)).unwrap()
}

/// With a tree whose rows all say 0.
fn filled(disk: &SimDisk) -> (Database, TreeId) {
    let db = open(disk);
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap();
    put_all(&db, tree, 0);
    (db, tree)
}

fn put_all(db: &Database, tree: TreeId, value: u8) {
    db.transact(|tx| {
        for key in 0..ROWS {
            tx.put(tree, &key.to_be_bytes(), &[value])?;
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

fn keep(db: &Database, owner: &str) -> Index {
    db.transact(|tx| Ok::<_, Error>(tx.keep_version(owner)?))
        .unwrap()
}

fn release(db: &Database, index: Index, owner: &str) -> bool {
    db.transact(|tx| Ok::<_, Error>(tx.release_version(index, owner)?))
        .unwrap()
}

/// All values of a tree, if it has all its keys, and all are the same.
fn value_of(view: &impl View, tree: TreeId) -> Option<u8> {
    let rows = view
        .scan(tree, KeyRange::all(), Direction::Forward)
        .unwrap();
    let rows: Vec<_> = rows.map(|row| row.unwrap()).collect();
    let (_, first) = rows.first()?;
    assert!(rows.iter().all(|(_, value)| value == first));
    assert_eq!(rows.len() as u64, ROWS);
    assert_eq!(
        view.get(tree, &7_u64.to_be_bytes()).unwrap().as_ref(),
        Some(first)
    );
    Some(first[0])
}

fn kept(db: &Database) -> Vec<(Index, String)> {
    db.snapshot().kept_versions("").unwrap()
}

/// Versions of rows that are left of a tree when all its tables are merged.
fn rows_of(db: &Database, tree: TreeId) -> u64 {
    let value = value_of(&db.snapshot(), tree).unwrap();
    let merged = (0..20).find_map(|round| {
        put_all(db, tree, value);
        // The floor rises with the next commit.
        db.transact(|tx| {
            let name = format!("behind {}", tx.snapshot_index());
            Ok::<_, Error>(tx.create_tree(&name)?)
        })
        .unwrap();
        db.settle().unwrap();
        let stats = db.forest_stats();
        let levels = stats.trees[&tree].levels.iter();
        let levels: Vec<_> = levels.filter(|level| level.tables > 0).collect();
        // Not before what was in tables is merged with what this has put.
        (round > 2 && levels.len() == 1).then(|| levels[0].rows)
    });
    merged.unwrap()
}

#[test]
fn a_kept_version_is_readable_however_much_is_replaced_and_however_often_it_is_opened() {
    let disk = SimDisk::new(1);
    let (mut db, tree) = filled(&disk);
    let version = keep(&db, "a");
    let check = |db: &Database| {
        assert_eq!(kept(db), [(version, "a".to_owned())]);
        assert_eq!(db.stats().kept_versions, 1);
        let snapshot = db.snapshot_at(version).unwrap();
        assert_eq!(snapshot.index(), version);
        assert_eq!(value_of(&snapshot, tree), Some(0));
        assert_eq!(snapshot.sum(tree, &KeyRange::all()).unwrap().rows, ROWS);
        assert_eq!(snapshot.tree("t").unwrap(), Some(tree));
        assert_eq!(snapshot.kept_versions("").unwrap(), []);
        assert_eq!(db.stats().readers, 1);
    };
    let changes: [fn(&Database, TreeId); 5] = [
        |db, tree| put_all(db, tree, 1),
        |db, tree| {
            let delete = |tx: &mut nexusbase_db::Transaction| {
                for key in 0..ROWS {
                    tx.delete(tree, &key.to_be_bytes())?;
                }
                Ok::<_, Error>(())
            };
            db.transact(delete).unwrap();
        },
        |db, tree| put_all(db, tree, 2),
        |db, tree| {
            db.transact(|tx| Ok::<_, Error>(tx.delete_range(tree, &KeyRange::all())?))
                .unwrap();
        },
        |db, _| {
            assert!(
                db.transact(|tx| Ok::<_, Error>(tx.drop_tree("t")?))
                    .unwrap()
            );
        },
    ];
    for (round, change) in changes.into_iter().enumerate() {
        change(&db, tree);
        check(&db);
        db.settle().unwrap();
        check(&db);
        let copy = format!("/copy{round}");
        db.checkpoint(&copy).unwrap();
        check(&open_at(&disk, &copy));
        let copied = open_at(&disk, &copy);
        copied.settle().unwrap();
        check(&copied);
        db.close().unwrap();
        db = open(&disk);
        check(&db);
        db.settle().unwrap();
        check(&db);
        disk.crash(round as u64);
        db = open(&disk);
        check(&db);
    }
    assert_eq!(db.snapshot().tree("t").unwrap(), None);
}

#[test]
fn a_released_version_is_not_to_be_had_and_its_space_is_free() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let version = keep(&db, "a");
    put_all(&db, tree, 1);
    assert_eq!(rows_of(&db, tree), 2 * ROWS);
    assert!(release(&db, version, "a"));
    assert!(!release(&db, version, "a"));
    assert!(db.snapshot_at(version).is_none());
    assert_eq!((kept(&db), db.stats().kept_versions), (Vec::new(), 0));
    put_all(&db, tree, 2);
    assert_eq!(rows_of(&db, tree), ROWS);
    db.close().unwrap();
    assert!(open(&disk).snapshot_at(version).is_none());
}

#[test]
fn a_kept_version_costs_no_more_than_what_it_shows() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let version = keep(&db, "a");
    let snapshot = db.snapshot_at(version).unwrap();
    for value in 1..20 {
        put_all(&db, tree, value);
        if value % 4 == 0 {
            db.settle().unwrap();
        }
    }
    assert_eq!(rows_of(&db, tree), 2 * ROWS);
    assert_eq!(value_of(&snapshot, tree), Some(0));
    assert_eq!(value_of(&db.snapshot(), tree), Some(19));
}

#[test]
fn a_snapshot_outlives_the_release_of_its_version() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let version = keep(&db, "a");
    put_all(&db, tree, 1);
    let snapshots: Vec<Snapshot> = (0..2).map(|_| db.snapshot_at(version).unwrap()).collect();
    assert!(release(&db, version, "a"));
    for snapshot in snapshots {
        assert!(db.snapshot_at(version).is_none());
        put_all(&db, tree, 2);
        assert_eq!(rows_of(&db, tree), 2 * ROWS);
        assert_eq!(value_of(&snapshot, tree), Some(0));
    }
    put_all(&db, tree, 3);
    assert_eq!(rows_of(&db, tree), ROWS);
}

#[test]
fn a_commit_that_does_not_happen_keeps_nothing() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let mut refused = db.begin();
    let version = refused.keep_version("a").unwrap();
    refused.get(tree, &1_u64.to_be_bytes()).unwrap();
    put_all(&db, tree, 1);
    let conflict = refused.commit().err();
    assert!(matches!(conflict, Some(CommitError::Conflict { .. })));
    assert!(db.snapshot_at(version).is_none());
    assert_eq!(rows_of(&db, tree), ROWS);

    let mut large = db.begin();
    let version = large.keep_version("a").unwrap();
    large.put(tree, b"large", &vec![7; 5 << 20]).unwrap();
    disk.set_capacity(Some(0));
    let full = large.commit().unwrap().wait();
    disk.set_capacity(None);
    assert!(matches!(full, Err(CommitError::NoSpace(_))), "{full:?}");
    assert!(db.snapshot_at(version).is_none());
    put_all(&db, tree, 2);
    assert_eq!(rows_of(&db, tree), ROWS);

    let mut dropped = db.begin();
    let version = dropped.keep_version("a").unwrap();
    drop(dropped);
    assert!(db.snapshot_at(version).is_none());
    assert_eq!(kept(&db), []);
}

#[test]
fn a_version_stays_until_its_last_owner_releases_it() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let (mut first, mut second) = (db.begin(), db.begin());
    let version = first.keep_version("b").unwrap();
    assert_eq!(second.keep_version("a").unwrap(), version);
    first.commit().unwrap().wait().unwrap();
    second.commit().unwrap().wait().unwrap();
    let owner = |owner: &str| (version, owner.to_owned());
    assert_eq!(kept(&db), [owner("a"), owner("b")]);
    assert_eq!(db.stats().kept_versions, 1);
    assert!(release(&db, version, "b"));
    put_all(&db, tree, 1);
    assert_eq!(rows_of(&db, tree), 2 * ROWS);
    db.close().unwrap();
    let db = open(&disk);
    assert_eq!(value_of(&db.snapshot_at(version).unwrap(), tree), Some(0));
    assert!(release(&db, version, "a"));
    assert!(db.snapshot_at(version).is_none());
    put_all(&db, tree, 2);
    assert_eq!(rows_of(&db, tree), ROWS);
}

#[test]
fn kept_versions_are_listed_by_index_and_owner() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let first = keep(&db, "copy/b");
    let second = db
        .transact(|tx| {
            tx.put(tree, b"x", b"y")?;
            tx.keep_version("index")?;
            Ok::<_, Error>(tx.keep_version("copy/a")?)
        })
        .unwrap();
    assert!(first < second);
    let row = |index: Index, owner: &str| (index, owner.to_owned());
    let all = [
        row(first, "copy/b"),
        row(second, "copy/a"),
        row(second, "index"),
    ];
    assert_eq!(kept(&db), all);
    let copies = db.snapshot().kept_versions("copy/").unwrap();
    assert_eq!(copies, all[..2]);
    assert_eq!(db.snapshot().kept_versions("copy/c").unwrap(), []);
    // What was written with it is behind it.
    let snapshot = db.snapshot_at(second).unwrap();
    assert_eq!(snapshot.get(tree, b"x").unwrap(), None);
}

#[test]
fn what_one_transaction_keeps_and_releases_leaves_no_trace() {
    let disk = SimDisk::new(1);
    let (db, _) = filled(&disk);
    let before = db.snapshot().index();
    let mut tx = db.begin();
    let version = tx.keep_version("a").unwrap();
    assert_eq!(tx.kept_versions("").unwrap(), [(version, "a".to_owned())]);
    assert!(tx.release_version(version, "a").unwrap());
    assert!(!tx.release_version(version, "a").unwrap());
    assert_eq!(tx.kept_versions("").unwrap(), []);
    assert_eq!(tx.commit().unwrap().wait().unwrap(), before);
    assert_eq!(db.snapshot().index(), before);
    assert!(db.snapshot_at(version).is_none());
}

#[test]
fn one_owner_keeps_one_index_once() {
    let disk = SimDisk::new(1);
    let (db, _) = filled(&disk);
    let (mut first, mut second) = (db.begin(), db.begin());
    let version = first.keep_version("a").unwrap();
    assert_eq!(first.keep_version("a").unwrap(), version);
    second.keep_version("a").unwrap();
    first.commit().unwrap().wait().unwrap();
    let conflict = second.commit().err();
    assert!(matches!(conflict, Some(CommitError::Conflict { .. })));
    let (mut first, mut second) = (db.begin(), db.begin());
    assert!(first.release_version(version, "a").unwrap());
    assert!(second.release_version(version, "a").unwrap());
    first.commit().unwrap().wait().unwrap();
    assert!(second.commit().is_err());
    assert_eq!(db.stats().kept_versions, 0);
}

#[test]
fn a_dropped_tree_stays_readable_in_a_kept_version_and_goes_with_it() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let version = keep(&db, "a");
    db.transact(|tx| Ok::<_, Error>(tx.drop_tree("t")?))
        .unwrap();
    db.settle().unwrap();
    db.close().unwrap();
    let db = open(&disk);
    db.settle().unwrap();
    let snapshot = db.snapshot_at(version).unwrap();
    assert_eq!(value_of(&snapshot, tree), Some(0));
    assert!(release(&db, version, "a"));
    db.settle().unwrap();
    assert_eq!(value_of(&snapshot, tree), Some(0));
    drop(snapshot);
    db.settle().unwrap();
    assert!(!db.forest_stats().trees.contains_key(&tree));
}

/// Without a sync the log may lose the release, after a compaction that knew of it.
#[test]
fn a_release_that_a_crash_takes_back_has_freed_nothing() {
    for durability in [
        Durability::Never,
        Durability::Interval(Duration::from_millis(10)),
    ] {
        let mut came_back = 0;
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let mut options = options(&disk.for_this_life());
            options.durability = durability;
            let db = Database::open_with("/data", options).unwrap();
            let tree = db
                .transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
                .unwrap();
            put_all(&db, tree, 0);
            let version = keep(&db, "a");
            // Tables that only wait for being compacted, and a floor above the version.
            for value in 1..6 {
                put_all(&db, tree, value);
                db.checkpoint(format!("/copy{value}")).unwrap();
            }
            assert!(release(&db, version, "a"));
            for _ in 0..10 {
                db.housekeeping_step();
            }
            assert!(db.forest_stats().compactions > 0);
            disk.crash(seed);
            drop(db);
            let db = open(&disk.for_this_life());
            if let Some(snapshot) = db.snapshot_at(version) {
                came_back += 1;
                assert_eq!(kept(&db).len(), 1);
                assert_eq!(value_of(&snapshot, tree), Some(0));
            }
        }
        // With an interval, housekeeping syncs before it compacts.
        assert_eq!(came_back > 0, durability == Durability::Never);
    }
}

/// What a flush is to do in the middle of its work.
static IN_FLUSH: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

const INTERRUPTED: TreeKind = TreeKind {
    name: "interrupted",
    merge: Some(|_, operand| {
        let work = IN_FLUSH.lock().unwrap().take();
        work.into_iter().for_each(|work| work());
        operand.to_vec()
    }),
    ..TreeKind::ROWS
};

/// A compaction can go by a release that comes too late for the copy.
#[test]
fn a_copy_has_what_is_released_between_its_last_entry_and_its_tables() {
    let disk = SimDisk::new(1);
    let mut options = options(&disk);
    options.kinds = vec![INTERRUPTED];
    let db = Database::open_with("/data", options.clone()).unwrap();
    let (tree, other) = db
        .transact(|tx| {
            let tree = tx.create_tree("t")?;
            Ok::<_, Error>((tree, tx.create_tree_of("other", &INTERRUPTED)?))
        })
        .unwrap();
    put_all(&db, tree, 0);
    let version = keep(&db, "a");
    for value in 1..6 {
        put_all(&db, tree, value);
        db.checkpoint(format!("/copy{value}")).unwrap();
    }
    for _ in 0..2 {
        db.transact(|tx| Ok::<_, Error>(tx.merge(other, b"key", b"operand")?))
            .unwrap();
    }
    put_all(&db, tree, 6);
    put_all(&db, tree, 7);
    let during = db.clone();
    *IN_FLUSH.lock().unwrap() = Some(Box::new(move || {
        assert!(release(&during, version, "a"));
        for _ in 0..10 {
            during.housekeeping_step();
        }
        assert!(during.forest_stats().compactions > 0);
    }));
    db.checkpoint("/copy").unwrap();
    assert!(IN_FLUSH.lock().unwrap().is_none());
    assert!(db.snapshot_at(version).is_none());
    let copy = Database::open_with("/copy", options).unwrap();
    assert_eq!(kept(&copy), [(version, "a".to_owned())]);
    let snapshot = copy.snapshot_at(version).unwrap();
    assert_eq!(value_of(&snapshot, tree), Some(0));
}

/// The same by chance, with all threads.
#[test]
fn a_copy_has_what_it_keeps_although_it_is_released_while_the_copy_is_made() {
    let disk = SimDisk::new(1);
    let mut options = options(&disk);
    options.housekeeping_thread = true;
    options.forest.memtable_bytes = 4 << 10;
    options.forest.l0_tables = 1;
    let db = Database::open_with("/data", options).unwrap();
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap();
    put_all(&db, tree, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let value = value_of(&db.snapshot(), tree).unwrap();
                let version = keep(&db, "a");
                put_all(&db, tree, value.wrapping_add(1));
                put_all(&db, tree, value.wrapping_add(1));
                assert!(release(&db, version, "a"));
                put_all(&db, tree, value.wrapping_add(1));
            }
        });
        let mut kept_in_copies = 0;
        for n in 0..60 {
            let path = format!("/copy{n}");
            db.checkpoint(&path).unwrap();
            let copy = open_at(&disk, &path);
            for (version, _) in kept(&copy) {
                kept_in_copies += 1;
                let now = value_of(&copy.snapshot(), tree).unwrap();
                let then = value_of(&copy.snapshot_at(version).unwrap(), tree).unwrap();
                assert!(then == now || then.wrapping_add(1) == now, "{then}, {now}");
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(kept_in_copies > 0);
    });
}
