//! Every operation that a database asks of the world may fail, once: a whole life (open, commit
//! in small and large, housekeeping, close, open again) is lived again and again, and each time the
//! next operation fails, until none is left. Each time there is a clear error or none at all, and
//! nothing that was acknowledged is lost; neither by opening at once, nor after a power cut.
#![cfg(test)]

use std::collections::BTreeMap;

use nexusbase_db::{CommitError, Database, Direction, Error, KeyRange, OpenError, Options, View};
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};

const FOLDER: &str = "/db";

/// What was acknowledged: key to length of the value.
type Acknowledged = BTreeMap<Vec<u8>, usize>;

fn open(disk: &SimDisk) -> Result<Database, OpenError> {
    let options = Options {
        segment_bytes: 64 << 10,
        housekeeping_thread: false,
        env: Env::simulated(disk, 7),
        ..Options::default()
    };
    Database::open_with(FOLDER, options)
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
    db.housekeeping_step();
    let closed = db.close();
    first?;
    Ok(closed?)
}

fn check(db: &Database, safe: &Acknowledged) {
    let snapshot = db.snapshot();
    let mut found = BTreeMap::new();
    if let Some(tree) = snapshot.tree("t").unwrap() {
        for row in snapshot
            .scan(tree, KeyRange::all(), Direction::Forward)
            .unwrap()
        {
            let (key, value) = row.unwrap();
            found.insert(key.to_vec(), value.len());
        }
    }
    for (key, length) in safe {
        assert_eq!(
            found.get(key),
            Some(length),
            "{:?}",
            String::from_utf8_lossy(key)
        );
    }
}

/// Lives `disk` again and again, until a life meets no fault.
fn every_operation_fails_once(disk: &SimDisk, safe: &Acknowledged, kind: FaultKind) -> u64 {
    for n in 1.. {
        let disk = disk.fork();
        let mut safe = safe.clone();
        let start = disk.operations();
        disk.fail_at(n, kind);
        let lived = live(&disk, &mut safe, "first").and_then(|()| live(&disk, &mut safe, "second"));
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
