//! What purging the log promises, whoever asks for it.

use std::sync::Arc;

use nexusbase_forest::Seqno;
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_log::{Index, ReadError};

use super::GROUP;
use crate::background::{Done, Work, flush_step};
use crate::{Database, Durability, Error, OpenError, Options, TreeId};

const FOLDER: &str = "/data";

fn open(disk: &SimDisk, durability: Durability) -> Result<Database, OpenError> {
    Database::open_with(FOLDER, options(disk, durability))
}

fn options(disk: &SimDisk, durability: Durability) -> Options {
    Options {
        durability,
        segment_bytes: 64 << 10,
        housekeeping_thread: false,
        env: Env {
            fs: Arc::new(disk.for_this_life()),
            ..Env::os()
        },
        ..Options::default()
    }
}

/// A database with 20 entries in several segments.
fn filled(disk: &SimDisk) -> (Database, TreeId) {
    filled_with(disk, Durability::Always)
}

fn filled_with(disk: &SimDisk, durability: Durability) -> (Database, TreeId) {
    let db = open(disk, durability).unwrap();
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap();
    (2..=20).for_each(|entry| put(&db, tree, entry));
    assert!(segments(&db) >= 4);
    (db, tree)
}

fn put(db: &Database, tree: TreeId, entry: u8) {
    db.transact(|tx| Ok::<_, Error>(tx.put(tree, &[entry], &[entry; 16 << 10])?))
        .unwrap();
}

fn segments(db: &Database) -> usize {
    db.stats().log_segments
}

fn purge(db: &Database, up_to: u64) {
    db.core().pipeline.purge_log(Index::new(up_to)).unwrap();
    db.housekeeping_step();
}

fn purged(db: &Database) -> u64 {
    db.core().log.group(GROUP).purged.index.get()
}

/// The indices of the changes that a feed has now.
fn drain(feed: &mut crate::ChangeFeed) -> Vec<u64> {
    std::iter::from_fn(|| feed.try_next().unwrap())
        .map(|change| change.index.get())
        .collect()
}

#[test]
fn what_is_purged_is_recycled_and_what_is_not_stays() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let before = segments(&db);
    db.housekeeping_step();
    assert_eq!(segments(&db), before);
    purge(&db, 12);
    let after = segments(&db);
    assert!(after < before && after > 1, "{before} to {after}");
    let mut feed = db.changes(Index::new(13)).unwrap();
    assert_eq!(drain(&mut feed), Vec::from_iter(13..=20));
    drop(feed);
    // Nothing that was not applied goes, and the log goes on.
    purge(&db, 1000);
    assert_eq!((purged(&db), segments(&db)), (20, 1));
    put(&db, tree, 21);
    assert_eq!(drain(&mut db.changes(Index::new(21)).unwrap()), [21]);
}

#[test]
fn changes_that_were_purged_are_a_clear_error() {
    let disk = SimDisk::new(1);
    let (db, _) = filled(&disk);
    purge(&db, 12);
    for from in [1, 12] {
        let error = db.changes(Index::new(from)).unwrap_err();
        assert!(matches!(
            error,
            OpenError::LogRead(ReadError::Purged { .. })
        ));
        let text = format!("entry {from} of group 0 is no longer in the log: the oldest is 13");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_change_feed_that_is_behind_keeps_its_segments() {
    let disk = SimDisk::new(1);
    let (db, _) = filled(&disk);
    let before = segments(&db);
    let mut feed = db.changes(Index::new(1)).unwrap();
    purge(&db, 20);
    assert_eq!(segments(&db), before);
    assert_eq!(drain(&mut feed), Vec::from_iter(1..=20));
    drop(feed);
    db.housekeeping_step();
    assert_eq!(segments(&db), 1);
}

#[test]
fn a_purge_survives_a_crash() {
    for durability in [Durability::Always, Durability::Never] {
        let disk = SimDisk::new(1);
        let (db, _) = filled_with(&disk, durability);
        purge(&db, 12);
        disk.crash(1);
        drop(db);
        // No table holds the first twelve (nobody but a test purges so early), and that is seen.
        let error = open(&disk, durability).unwrap_err();
        let seen = matches!(error, OpenError::LogAndTables { purged, .. } if purged.get() == 12);
        assert!(seen, "{durability:?}: {error}");
    }
}

/// The writer may never be at home when somebody asks, if many commit.
#[test]
fn a_purge_that_finds_the_writer_away_is_written_by_the_next_leader() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let pipeline = &db.core().pipeline;
    pipeline
        .with_writer(|_| {
            pipeline.purge_log(Index::new(12)).unwrap();
            Ok(())
        })
        .unwrap()
        .unwrap();
    assert_eq!(purged(&db), 0);
    put(&db, tree, 21);
    assert_eq!(purged(&db), 12);
    let mut feed = db.changes(Index::new(13)).unwrap();
    assert_eq!(drain(&mut feed), Vec::from_iter(13..=21));
}

#[test]
fn a_purge_that_found_no_room_is_tried_again() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let pipeline = &db.core().pipeline;
    pipeline
        .with_writer(|_| {
            pipeline.purge_log(Index::new(12)).unwrap();
            Ok(())
        })
        .unwrap()
        .unwrap();
    disk.set_capacity(Some(0));
    let large = db.transact(|tx| Ok::<_, Error>(tx.put(tree, b"x", &[1; 1 << 20])?));
    assert!(large.is_err());
    // It fits by itself, and makes room.
    assert_eq!(purged(&db), 12);
    let before = segments(&db);
    db.housekeeping_step();
    assert!(segments(&db) < before);
}

/// A log whose writer is never at home when the flush asks for it grew for ever; and what was
/// sealed while the log was being synced went into tables before it was sure.
#[test]
fn tables_get_what_is_durable_in_the_log_and_nothing_else() {
    let disk = SimDisk::new(1);
    let mut options = options(&disk, Durability::Never);
    options.forest.memtable_bytes = 1;
    let db = Database::open_with(FOLDER, options).unwrap();
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap();
    let core = db.core();
    let flush_without_writer = || {
        let mut done = None;
        let lent = core.pipeline.with_writer(|_| {
            done = Some(flush_step(core).unwrap());
            Ok(())
        });
        lent.unwrap().unwrap();
        (done.unwrap(), core.forest.flushed_through().get())
    };
    core.forest.seal();
    assert_eq!(flush_without_writer(), (Done::Soon, 0));
    // It has asked for a sync, and here it comes.
    put(&db, tree, 2);
    assert_eq!(flush_without_writer(), (Done::Worked, 1));
    // It asks each time.
    put(&db, tree, 3);
    core.forest.seal();
    put(&db, tree, 4);
    core.forest.seal();
    while core.forest.flushed_through().get() < 3 {
        assert_eq!(flush_without_writer().0, Done::Worked);
    }
    assert_eq!(flush_without_writer(), (Done::Soon, 3));
    assert_eq!(flush_step(core).unwrap(), Done::Worked);
    assert_eq!(core.forest.flushed_through().get(), 4);
}

#[test]
fn a_compaction_that_works_does_not_excuse_a_flush_that_fails() {
    let disk = SimDisk::new(1);
    let (db, _) = filled(&disk);
    let core = db.core();
    core.forest.seal();
    disk.set_capacity(Some(0));
    let error = flush_step(core).unwrap_err();
    core.background_failed(Work::Flush, &error);
    crate::background::compact_step(core).unwrap();
    assert!(db.stats().background_failure.is_some());
    disk.set_capacity(None);
    assert_eq!(flush_step(core).unwrap(), Done::Worked);
    assert_eq!(db.stats().background_failure, None);
}

/// The next life may find the entry that keeps it, whatever its committer was told.
#[test]
fn what_was_to_be_kept_stays_pinned_when_the_log_fails() {
    let disk = SimDisk::new(1);
    let (db, tree) = filled(&disk);
    let mut tx = db.begin();
    let version = tx.keep_version("a").unwrap();
    let handle = tx.commit().unwrap();
    disk.fail_at(1, FaultKind::Io);
    assert!(handle.wait().is_err());
    assert!(db.stopped().is_some() && db.snapshot_at(version).is_none());
    let forest = &db.core().forest;
    let next = Seqno::new(version.get() + 1);
    forest.apply(next, &[], []).unwrap();
    forest.set_oldest_needed(next);
    let at = Seqno::new(version.get());
    assert!(forest.get(tree, b"", at).is_ok());
}
