//! Every operation that a database asks of the world may fail, once: a whole life (open, commit
//! in small and large, housekeeping, close, open again) is lived again and again, and each time the
//! next operation fails, until none is left. Each time there is a clear error or none at all, and
//! nothing that was acknowledged is lost; neither by opening at once, nor after a power cut.
#![cfg(test)]

use std::collections::BTreeMap;

use nexusbase_db::{
    CheckpointError, CommitError, Database, Direction, Durability, Error, KeyRange, OpenError,
    Options, ReadError, View,
};
use nexusbase_forest::ForestOptions;
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};

const FOLDER: &str = "/db";

/// What was acknowledged: key to length of the value.
type Acknowledged = BTreeMap<Vec<u8>, usize>;

/// So small that a life has flushes and compactions.
fn small_forest() -> ForestOptions {
    ForestOptions {
        memtable_bytes: 20 << 10,
        blob_bytes: Some(50 << 10),
        l0_tables: 2,
        base_bytes: 4 << 10,
        table_bytes: 4 << 10,
        ..ForestOptions::new([0; 16])
    }
}

fn open(disk: &SimDisk) -> Result<Database, OpenError> {
    open_in(disk, FOLDER)
}

fn open_in(disk: &SimDisk, folder: &str) -> Result<Database, OpenError> {
    let options = Options {
        segment_bytes: 64 << 10,
        housekeeping_thread: false,
        forest: small_forest(),
        env: Env::simulated(disk, 7),
        ..Options::default()
    };
    Database::open_with(folder, options)
}

fn put(db: &Database, key: &str, length: usize) -> Result<(), Error> {
    db.transact(|tx| {
        let tree = match tx.tree("t")? {
            Some(tree) => tree,
            None => tx.create_tree("t")?,
        };
        tx.put(tree, key.as_bytes(), &vec![7; length])?;
        Ok::<_, Error>(())
    })
}

/// A life. Goes on after errors as far as that makes sense.
fn live(disk: &SimDisk, safe: &mut Acknowledged, name: &str) -> Result<(), Error> {
    let db = open(disk)?;
    let mut first = Ok(());
    for n in 0..6 {
        // The fourth and sixth need a new segment, the sixth one of its own.
        let length = [10, 10, 40_000, 40_000, 10, 80_000][n];
        let key = format!("{name} {n}");
        match put(&db, &key, length) {
            Ok(()) => {
                safe.insert(key.into_bytes(), length);
            }
            Err(e) => {
                if let Error::Commit(CommitError::Stopped(_)) = e {
                    assert!(db.stopped().is_some());
                }
                first = first.and(Err(e));
            }
        }
        if n % 2 == 1 {
            db.housekeeping_step();
        }
        // Whatever has failed: what was acknowledged can be read.
        check(&db, safe);
    }
    let copied = copy(&db, disk, safe, name);
    db.housekeeping_step();
    let closed = db.close();
    first?;
    copied.map_err(|e| match e {
        CheckpointError::Stopped(e) => Error::from(e),
        CheckpointError::Io(e) => OpenError::from(e).into(),
        CheckpointError::Forest(e) => OpenError::from(e).into(),
        CheckpointError::Log(e) => OpenError::from(e).into(),
        other => CommitError::Stopped(other.to_string().into()).into(),
    })?;
    Ok(closed?)
}

/// Makes a copy. One that is said to be there has everything.
fn copy(
    db: &Database,
    disk: &SimDisk,
    safe: &Acknowledged,
    name: &str,
) -> Result<(), CheckpointError> {
    let folder = format!("/db copy {name}");
    db.checkpoint(&folder)?;
    let mut opened = open_in(disk, &folder);
    if opened.is_err() {
        // The fault was met just now. A second time there is none.
        opened = open_in(disk, &folder);
    }
    if disk.counters().failed_dir_syncs == 0 {
        check(&opened.unwrap(), safe);
    }
    Ok(())
}

/// Everything acknowledged can be read, at the latest when a fault is over.
fn check(db: &Database, safe: &Acknowledged) {
    let found = read(db).or_else(|_| read(db)).unwrap();
    for (key, length) in safe {
        assert_eq!(
            found.get(key),
            Some(length),
            "{:?}",
            String::from_utf8_lossy(key)
        );
    }
}

fn read(db: &Database) -> Result<Acknowledged, ReadError> {
    let snapshot = db.snapshot();
    let mut found = BTreeMap::new();
    if let Some(tree) = snapshot.tree("t")? {
        for row in snapshot.scan(tree, KeyRange::all(), Direction::Forward)? {
            let (key, value) = row?;
            found.insert(key.to_vec(), value.len());
        }
    }
    Ok(found)
}

/// Lives `disk` again and again, until a life meets no fault.
fn every_operation_fails_once(disk: &SimDisk, safe: &Acknowledged, kind: FaultKind) -> u64 {
    for n in 1.. {
        let disk = disk.fork();
        let mut safe = safe.clone();
        let start = disk.operations();
        disk.fail_at(n, kind);
        let lived = live(&disk, &mut safe, "first").and_then(|()| {
            if disk.counters().failed_dir_syncs > 0 {
                // Nobody had to be told: it was background work. But only a restart helps.
                disk.crash(n);
            }
            live(&disk, &mut safe, "second")
        });
        if disk.operations() - start < n {
            lived.unwrap();
            return n;
        }
        if let Err(e) = lived {
            let text = e.to_string();
            assert!(
                text.contains("/db"),
                "operation {n}: {text:?} names no path"
            );
            assert!(text.len() > 30, "operation {n}: {text:?}");
        }
        let undecided = disk.counters().failed_dir_syncs > 0;
        disk.clear_faults();
        if undecided {
            // The file system is at its end: only a restart helps.
            disk.crash(n);
        }
        let db = open(&disk).unwrap_or_else(|e| panic!("operation {n}: {e}"));
        check(&db, &safe);
        disk.crash(n + 1);
        let db = open(&disk).unwrap_or_else(|e| panic!("operation {n}, power cut: {e}"));
        check(&db, &safe);
        put(&db, "after", 10).unwrap();
    }
    0
}

#[test]
fn a_new_database_survives_the_failure_of_any_operation() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        let operations = every_operation_fails_once(&SimDisk::new(1), &Acknowledged::new(), kind);
        assert!(operations > 100, "only {operations} operations");
    }
}

#[test]
fn a_database_with_a_torn_tail_survives_the_failure_of_any_operation() {
    let mut tried = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut safe = Acknowledged::new();
        live(&disk, &mut safe, "before").unwrap();
        let db = open(&disk).unwrap();
        // A new segment, in which the next commit is the first operation.
        put(&db, "room", 5_000).unwrap();
        safe.insert(b"room".to_vec(), 5_000);
        disk.crash_at(1);
        put(&db, "torn", 5_000).unwrap_err();
        drop(db);
        disk.crash(seed);
        let torn = open(&disk.fork()).unwrap().recovery().torn.is_some();
        if !torn || tried == 3 {
            continue;
        }
        tried += 1;
        every_operation_fails_once(&disk, &safe, FaultKind::Io);
    }
    assert_eq!(tried, 3, "no torn tails");
}

#[test]
fn when_the_disk_is_full_commits_say_so_and_work_again_later() {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    put(&db, "a", 40_000).unwrap();
    disk.set_capacity(Some(70_000));
    for _ in 0..3 {
        let refused = put(&db, "b", 40_000).unwrap_err();
        assert!(
            matches!(refused, Error::Commit(CommitError::NoSpace(_))),
            "{refused}"
        );
        assert!(refused.to_string().contains("free some space"), "{refused}");
        // What still fits into the segment goes on working.
        put(&db, "small", 10).unwrap();
    }
    disk.set_capacity(None);
    put(&db, "b", 40_000).unwrap();
    let keys = ["a", "small", "b"].map(|key| key.as_bytes().to_vec());
    let safe: Acknowledged = keys.into_iter().zip([40_000, 10, 40_000]).collect();
    check(&db, &safe);
    disk.crash(1);
    check(&open(&disk).unwrap(), &safe);
}

/// Neither commits nor reads notice that tables cannot be written, and afterwards they are.
#[test]
fn a_full_disk_during_a_flush_stops_nothing_and_the_flush_comes_later() {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    let mut safe = Acknowledged::new();
    for n in 0..3 {
        put(&db, &format!("key {n}"), 15_000).unwrap();
        safe.insert(format!("key {n}").into_bytes(), 15_000);
    }
    // The log's segment has some room left, but there is none for a new file.
    disk.set_capacity(Some(1));
    for n in 0..5 {
        db.housekeeping_step();
        let failure = db.stats().background_failure.unwrap();
        assert!(failure.contains("/db/forest"), "{failure}");
        put(&db, &format!("small {n}"), 10).unwrap();
        safe.insert(format!("small {n}").into_bytes(), 10);
        check(&db, &safe);
    }
    assert!(db.stopped().is_none());
    let tables = || {
        let is_table = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "tbl");
        disk.paths().into_iter().filter(is_table).count()
    };
    assert_eq!(tables(), 0, "what could not be finished was removed");
    disk.set_capacity(None);
    for _ in 0..10 {
        db.housekeeping_step();
    }
    assert_eq!(db.stats().background_failure, None);
    assert!(tables() > 0);
    check(&db, &safe);
    disk.crash(1);
    let db = open(&disk).unwrap();
    assert!(db.recovery().flushed > 0);
    check(&db, &safe);
}

/// Flushes and compactions do not act on what only the log's unsynced end says.
#[test]
fn a_range_delete_that_a_power_cut_takes_back_has_deleted_nothing() {
    let mut taken_back = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let options = Options {
            segment_bytes: 64 << 10,
            durability: Durability::Never,
            housekeeping_thread: false,
            forest: ForestOptions {
                memtable_bytes: 1,
                ..small_forest()
            },
            env: Env::simulated(&disk, 7),
            ..Options::default()
        };
        let db = Database::open_with(FOLDER, options).unwrap();
        let mut safe = Acknowledged::new();
        for n in 0..6 {
            let key = format!("key {}", n % 2);
            put(&db, &key, 10).unwrap();
            safe.insert(key.into_bytes(), 10);
        }
        // Flushes come first; the compactions that they make necessary are still to be done.
        while db.stats().memory_rows > 0 {
            db.housekeeping_step();
        }
        let tree = db.snapshot().tree("t").unwrap().unwrap();
        for _ in 0..2 {
            db.transact(|tx| Ok::<_, Error>(tx.delete_range(tree, &KeyRange::all())?))
                .unwrap();
        }
        for _ in 0..10 {
            db.housekeeping_step();
        }
        disk.crash(seed);
        drop(db);
        let db = open(&disk).unwrap();
        if db.snapshot().index().get() == 6 {
            taken_back += 1;
            assert_eq!(read(&db).unwrap(), safe);
        } else {
            assert!(read(&db).unwrap().is_empty());
        }
    }
    assert!(taken_back > 3, "only {taken_back}");
}

/// A transaction that conflicts with a commit which is then refused for lack of space must not
/// wait for that commit for ever.
#[test]
fn a_conflict_with_a_commit_that_did_not_happen_is_not_waited_for() {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    put(&db, "a", 40_000).unwrap();
    let tree = db.snapshot().tree("t").unwrap().unwrap();
    disk.set_capacity(Some(70_000));
    let (_, refused) = db
        .transact_start(|tx| Ok::<_, Error>(tx.put(tree, b"a", &[1; 40_000])?))
        .unwrap();
    db.transact(|tx| {
        tx.get(tree, b"a")?;
        tx.put(tree, b"b", b"small")?;
        Ok::<_, Error>(())
    })
    .unwrap();
    assert!(matches!(refused.wait(), Err(CommitError::NoSpace(_))));
}
