//! Bit flips over every byte of every file of a small database, its log, its tables of several
//! levels, blob files, manifest and the rest: each gives either exactly the
//! right answers or an error that names the file and an offset; never a panic, never a wrong or a
//! missing row.
//!
//! One window stays open, and one test says how large it is: the last batch of a database that
//! was killed before it could claim that batch as durable (it does so when it is idle for half a
//! second, and when it is closed). Damage there looks like the torn end of a write, so that batch
//! is cut off, whole, and reported. Nothing else is lost.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nexusbase_db::{Database, Direction, Error, KeyRange, Options, ReadError, View};
use nexusbase_forest::{Forest, ForestOptions, TreeStats};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

const FOLDER: &str = "/db";
/// Commits that end up in tables, and those behind them that only the log has.
const FLUSHED: u8 = 60;
const LOGGED: u8 = 20;
/// So much behind the last byte of a file that is not zero is looked at more closely.
const NEAR: usize = 100;

/// All rows of all trees.
type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// How the database came to its end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Closed,
    KilledWhenIdle,
    KilledAtOnce,
}

fn open_with(disk: &SimDisk, forest: ForestOptions) -> Result<Database, nexusbase_db::OpenError> {
    let options = Options {
        segment_bytes: 64 << 10,
        housekeeping_thread: false,
        forest,
        env: Env::simulated(disk, 7),
        ..Options::default()
    };
    Database::open_with(FOLDER, options)
}

fn open(disk: &SimDisk) -> Result<Database, nexusbase_db::OpenError> {
    open_with(disk, ForestOptions::new([0; 16]))
}

/// So small that a few commits make tables of several levels, and values in blob files.
fn small() -> ForestOptions {
    ForestOptions {
        memtable_bytes: 2 << 10,
        block_bytes: 256,
        blob_bytes: Some(300),
        l0_tables: 2,
        base_bytes: 2 << 10,
        level_ratio: 2,
        table_bytes: 1 << 10,
        ..ForestOptions::new([0; 16])
    }
}

fn try_read(db: &Database) -> Result<Rows, ReadError> {
    let snapshot = db.snapshot();
    let mut rows = Rows::new();
    for (name, tree) in snapshot.trees("")? {
        for row in snapshot.scan(tree, KeyRange::all(), Direction::Forward)? {
            let (key, value) = row?;
            rows.insert((name.clone(), key.to_vec()), value.to_vec());
        }
    }
    Ok(rows)
}

fn read(db: &Database) -> Rows {
    try_read(db).unwrap()
}

fn commit(db: &Database, n: u8, large: usize) {
    db.transact(|tx| {
        let (a, b) = (tx.tree("a")?.unwrap(), tx.tree("b")?.unwrap());
        let large = if n % 10 == 5 { large } else { 100 };
        tx.put(a, format!("key {}", n % 50).as_bytes(), &vec![n; large])?;
        tx.put(b, format!("key {n}").as_bytes(), b"value")?;
        if n % 15 == 12 {
            tx.delete(b, format!("key {}", n - 3).as_bytes())?;
            tx.delete_range(b, &KeyRange::prefix(format!("key {}", n % 10).as_bytes()))?;
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

/// Housekeeping until nothing is left to do, and a little longer: then it is idle.
fn idle(db: &Database) {
    for _ in 0..60 {
        db.housekeeping_step();
    }
    assert_eq!(db.stats().background_failure, None);
}

/// A database of tables and several segments; returns what it should contain, and what it
/// contained before the last commit.
fn database(end: End) -> (SimDisk, Rows, Rows) {
    let disk = SimDisk::new(1);
    let db = open_with(&disk, small()).unwrap();
    for name in ["a", "b"] {
        db.transact(|tx| Ok::<_, Error>(tx.create_tree(name)?))
            .unwrap();
    }
    for n in 0..FLUSHED {
        commit(&db, n, 500);
        db.housekeeping_step();
    }
    idle(&db);
    db.close().unwrap();
    drop(db);
    let db = open(&disk).unwrap();
    let mut before = Rows::new();
    for n in FLUSHED..FLUSHED + LOGGED {
        before = read(&db);
        // Large values, so that there are several segments but not many entries.
        commit(&db, n, 36_000);
    }
    let rows = read(&db);
    match end {
        End::Closed => db.close().unwrap(),
        End::KilledWhenIdle => {
            idle(&db);
            disk.kill();
        }
        End::KilledAtOnce => disk.kill(),
    }
    (disk, rows, before)
}

#[derive(Debug, Default)]
struct Outcome {
    /// Not opened.
    refused: usize,
    /// Opened, but not everything could be read.
    unread: usize,
    harmless: usize,
    /// The last commit is missing, and the loss was reported as a torn end.
    torn: Vec<(PathBuf, u64)>,
}

/// Flips one bit of every byte of every file (all eight where the byte is in the first 300 of its
/// file or beside the end of the log; only every 16th byte of the zeros behind that, and of spare
/// segments), each in the
/// same disk: an error must leave it as it is, flipped back. Where there is none, a copy goes on.
fn sweep(disk: &SimDisk, rows: &Rows, before: &Rows) -> Outcome {
    sweep_files(disk, disk.paths(), rows, before)
}

fn flips(disk: &SimDisk, paths: Vec<PathBuf>) -> Vec<(PathBuf, u64, u8)> {
    let mut flips = Vec::new();
    for path in paths {
        let bytes = disk.file_bytes(&path).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
        for at in 0..bytes.len() {
            let near = (used.saturating_sub(NEAR)..used + NEAR).contains(&at);
            let dull = at > used + NEAR || path.extension().is_some_and(|e| e == "spare");
            if dull && at % 16 != 0 {
                continue;
            }
            let bits = (0..8_u8).filter(|bit| at < 300 || near || usize::from(*bit) == at / 16 % 8);
            flips.extend(bits.map(|bit| (path.clone(), at as u64, bit)));
        }
    }
    flips
}

/// What is noticed names the file and the place.
fn names_the_place(error: &str, path: &Path, at: &str) {
    let named = error.contains(&*path.to_string_lossy());
    assert!(named && error.contains("offset "), "{at}: {error}");
}

fn sweep_files(disk: &SimDisk, paths: Vec<PathBuf>, rows: &Rows, before: &Rows) -> Outcome {
    let flips = flips(disk, paths);
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let work = || {
        let mut copy = disk.fork();
        while let Some((path, offset, bit)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
            copy.flip_bit(path, *offset, *bit).unwrap();
            let at = format!("{} offset {offset} bit {bit}", path.display());
            let db = match open(&copy) {
                Ok(db) => db,
                Err(e) => {
                    names_the_place(&e.to_string(), path, &at);
                    copy.flip_bit(path, *offset, *bit).unwrap();
                    outcome.lock().unwrap().refused += 1;
                    continue;
                }
            };
            match try_read(&db) {
                Err(e) => {
                    names_the_place(&e.to_string(), path, &at);
                    outcome.lock().unwrap().unread += 1;
                }
                Ok(found) if found == *rows => outcome.lock().unwrap().harmless += 1,
                Ok(found) => {
                    assert!(found == *before, "{at}: wrong rows");
                    assert!(db.recovery().torn.is_some(), "{at}: lost in silence");
                    outcome.lock().unwrap().torn.push((path.clone(), *offset));
                }
            }
            drop(db);
            copy = disk.fork();
        }
        // The errors have changed nothing.
        assert_eq!(read(&open(&copy).unwrap()), *rows);
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    outcome.into_inner().unwrap()
}

/// How many levels of its largest tree have tables.
fn levels(disk: &SimDisk) -> usize {
    let identity = disk.file_bytes(Path::new("/db/IDENTITY")).unwrap();
    let identity = String::from_utf8(identity).unwrap();
    let id = identity.lines().nth(2).unwrap().replace("database ", "");
    let id = u128::from_str_radix(&id, 16).unwrap().to_be_bytes();
    let folder = Path::new("/db/forest");
    let forest = Forest::open(Arc::new(disk.fork()), folder, ForestOptions::new(id)).unwrap();
    let levels = |tree: &TreeStats| {
        let levels = tree.levels.iter();
        levels.filter(|level| level.tables > 0).count()
    };
    forest.stats().trees.values().map(levels).max().unwrap()
}

/// The database has every kind of file, tables of several levels, and several segments.
fn check_files(disk: &SimDisk) {
    let names: Vec<String> = disk
        .paths()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    for name in ["/db/IDENTITY", "/db/LOCK", "/db/forest/CURRENT"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    let ending = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    assert!(ending(".log") >= 2, "{names:?}");
    assert!(ending(".tbl") >= 4, "{names:?}");
    assert!(ending(".blob") >= 1, "{names:?}");
    assert!(names.iter().any(|name| name.contains("/MANIFEST-")));
    assert!(levels(disk) >= 2, "{names:?}");
}

#[test]
fn a_flipped_bit_in_a_closed_database_is_harmless_or_refused() {
    let (disk, rows, before) = database(End::Closed);
    check_files(&disk);
    let outcome = sweep(&disk, &rows, &before);
    assert!(outcome.torn.is_empty(), "{outcome:?}");
    assert!(
        outcome.refused > 30_000 && outcome.unread > 1_000,
        "{outcome:?}"
    );
}

#[test]
fn a_flipped_bit_in_a_database_killed_when_idle_is_harmless_or_refused() {
    let (disk, rows, before) = database(End::KilledWhenIdle);
    check_files(&disk);
    let outcome = sweep(&disk, &rows, &before);
    assert!(outcome.torn.is_empty(), "{outcome:?}");
    assert!(
        outcome.refused > 30_000 && outcome.unread > 1_000,
        "{outcome:?}"
    );
}

#[test]
fn only_the_last_batch_of_a_database_killed_at_work_can_be_cut_off_by_damage() {
    let (disk, rows, before) = database(End::KilledAtOnce);
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "log");
    let newest = disk.paths().into_iter().rfind(is_segment);
    let outcome = sweep_files(&disk, newest.into_iter().collect(), &rows, &before);
    assert!(!outcome.torn.is_empty(), "the window is there");
    let offsets: Vec<u64> = outcome.torn.iter().map(|(_, offset)| *offset).collect();
    let width = offsets.iter().max().unwrap() - offsets.iter().min().unwrap();
    assert!(width < 250, "the window is {width} bytes wide");
}
