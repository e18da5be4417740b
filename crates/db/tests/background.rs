//! What flushes and compactions promise beside doing their work.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_db::{
    CheckpointError, CommitError, Database, Error, OpenError, Options, TreeId, TreeKind, View,
};
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};

fn options(disk: &SimDisk) -> Options {
    Options {
        segment_bytes: 4 << 20,
        env: Env {
            fs: Arc::new(disk.clone()),
            ..Env::os()
        },
        ..Options::default()
    }
}

fn open(disk: &SimDisk) -> Result<Database, OpenError> {
    Database::open_with("/data", options(disk))
}

fn create(db: &Database, name: &str) -> TreeId {
    db.transact(|tx| Ok::<_, Error>(tx.create_tree(name)?))
        .unwrap()
}

fn put_all(db: &Database, tree: TreeId, value: u8) {
    db.transact(|tx| {
        for key in 0..100 {
            tx.put(tree, &[key], &[value])?;
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

/// Work on a caller's thread went on in a folder that had another owner already: that one's
/// manifest was overwritten.
#[test]
fn nothing_is_written_after_close() {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    let t = create(&db, "t");
    for round in 0..2 {
        put_all(&db, t, round);
        db.checkpoint(format!("/copy{round}")).unwrap();
    }
    db.close().unwrap();
    let next = open(&disk).unwrap();
    let closed = |done: Result<(), CheckpointError>| {
        let is_closed = matches!(done, Err(CheckpointError::Stopped(CommitError::Closed)));
        assert!(is_closed, "{done:?}");
    };
    closed(db.settle());
    closed(db.checkpoint("/copy2").map(drop));
    assert!(!disk.paths().iter().any(|path| path.starts_with("/copy2")));
    db.housekeeping_step();
    put_all(&next, t, 2);
    next.checkpoint("/copy3").unwrap();
    next.close().unwrap();
    let last = open(&disk).unwrap();
    assert_eq!(last.snapshot().get(t, &[5]).unwrap().unwrap()[..], [2]);
}

/// Tables and log were from different times, which was said, but the tables that the older
/// manifest did not know had been removed before.
#[test]
fn a_refused_opening_removes_nothing() {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    let t = create(&db, "t");
    put_all(&db, t, 0);
    db.checkpoint("/copy0").unwrap();
    let is_manifest = |path: &PathBuf| path.to_string_lossy().starts_with("/data/forest/MANIFEST");
    let manifest = disk.paths().into_iter().find(is_manifest).unwrap();
    let old = disk.file_bytes(&manifest).unwrap();
    put_all(&db, t, 1);
    db.checkpoint("/copy1").unwrap();
    db.close().unwrap();
    let new = disk.file_bytes(&manifest).unwrap();
    let before = disk.paths();
    disk.set_file_bytes(&manifest, &old);
    let refused = open(&disk).err();
    assert!(
        matches!(refused, Some(OpenError::LogAndTables { .. })),
        "{refused:?}"
    );
    assert_eq!(disk.paths(), before);
    disk.set_file_bytes(&manifest, &new);
    open(&disk).unwrap();
}

/// A crash between a flush and its purge left the log as it was until the next flush.
#[test]
fn a_purge_that_a_crash_took_comes_again() {
    let mut flushed_before = 0;
    for n in 0..60 {
        let disk = SimDisk::new(1);
        let life = disk.for_this_life();
        let db = open(&life).unwrap();
        let t = create(&db, "t");
        put_all(&db, t, 0);
        life.crash_at(n + 1);
        let _ = db.checkpoint("/copy0");
        drop(db);
        disk.crash(n);
        disk.clear_faults();
        let db = open(&disk.for_this_life()).unwrap();
        db.housekeeping_step();
        let flushed = db.recovery().flushed;
        flushed_before += u64::from(flushed > 0);
        assert!(db.oldest_change().get() > flushed, "crash at {n}");
    }
    assert!(flushed_before > 0);
}

/// A compaction that found no room hid that the removal of a tree, right behind it, had left the
/// manifest unknown. Until the next step the database took commits and was said to lack only room.
#[test]
fn a_manifest_that_fails_stops_the_database_in_the_same_step() {
    let mut stops = 0;
    for n in 1..40 {
        let disk = SimDisk::new(1);
        let mut options = options(&disk);
        options.housekeeping_thread = false;
        options.forest.l0_tables = 1;
        let db = Database::open_with("/data", options).unwrap();
        let t = create(&db, "t");
        create(&db, "gone");
        put_all(&db, t, 0);
        db.checkpoint("/copy0").unwrap();
        db.transact(|tx| Ok::<_, Error>(tx.drop_tree("gone")?))
            .unwrap();
        put_all(&db, t, 1);
        db.checkpoint("/copy1").unwrap();
        disk.set_capacity(Some(0));
        disk.fail_at(n, FaultKind::Io);
        db.housekeeping_step();
        let stopped = db.stopped();
        disk.clear_faults();
        disk.set_capacity(None);
        db.housekeeping_step();
        assert_eq!(stopped.is_some(), db.stopped().is_some(), "fault at {n}");
        stops += u32::from(stopped.is_some_and(|why| why.to_string().contains("manifest")));
    }
    assert!(stops > 0);
}

/// A database without its background threads would take writes until the memory is full.
#[test]
fn a_background_thread_that_panics_stops_the_database() {
    let disk = SimDisk::new(1);
    let panics = TreeKind {
        name: "panics",
        merge: Some(|_, _| {
            let name = std::thread::current().name().map(str::to_owned);
            assert!(
                !name.is_some_and(|name| name.starts_with("nexusbase-")),
                "on purpose"
            );
            Vec::new()
        }),
        ..TreeKind::ROWS
    };
    let mut options = options(&disk);
    options.kinds = vec![panics];
    options.forest.memtable_bytes = 1;
    let db = Database::open_with("/data", options).unwrap();
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree_of("t", &panics)?))
        .unwrap();
    for _ in 0..1000 {
        let merged = db.transact(|tx| {
            tx.merge(tree, b"a", b"b")?;
            Ok::<_, Error>(())
        });
        if merged.is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let stopped = db.stopped().unwrap().to_string();
    assert!(stopped.contains("background thread"), "{stopped}");
    assert!(db.close().is_err());
}
