//! Bit flips over every byte of every file of a small database: each gives either exactly the
//! right answers or an error that names the file and an offset; never a panic, never a wrong or a
//! missing row.
//!
//! One window stays open, and one test says how large it is: the last batch of a database that
//! was killed before it could claim that batch as durable (it does so when it is idle for half a
//! second, and when it is closed). Damage there looks like the torn end of a write, so that batch
//! is cut off, whole, and reported. Nothing else is lost.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nexusbase_db::{Database, Direction, Error, KeyRange, Options, View};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

const FOLDER: &str = "/db";
const COMMITS: u8 = 60;

/// All rows of all trees.
type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// How the database came to its end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Closed,
    KilledWhenIdle,
    KilledAtOnce,
}

fn open(disk: &SimDisk) -> Result<Database, nexusbase_db::OpenError> {
    let options = Options {
        segment_bytes: 64 << 10,
        housekeeping_thread: false,
        env: Env::simulated(disk, 7),
        ..Options::default()
    };
    Database::open_with(FOLDER, options)
}

fn read(db: &Database) -> Rows {
    let snapshot = db.snapshot();
    let mut rows = Rows::new();
    for (name, tree) in snapshot.trees("").unwrap() {
        for row in snapshot
            .scan(tree, KeyRange::all(), Direction::Forward)
            .unwrap()
        {
            let (key, value) = row.unwrap();
            rows.insert((name.clone(), key.to_vec()), value.to_vec());
        }
    }
    rows
}

/// A database of several segments; returns what it should contain, and what it contained before
/// the last commit.
fn database(end: End) -> (SimDisk, Rows, Rows) {
    let disk = SimDisk::new(1);
    let db = open(&disk).unwrap();
    for name in ["a", "b"] {
        db.transact(|tx| Ok::<_, Error>(tx.create_tree(name)?))
            .unwrap();
    }
    let mut before = Rows::new();
    for n in 0..COMMITS {
        before = read(&db);
        db.transact(|tx| {
            let (a, b) = (tx.tree("a")?.unwrap(), tx.tree("b")?.unwrap());
            // Three large values, so that there are three segments but not many entries.
            let large = if n % 20 == 10 { 36_000 } else { 40 };
            tx.put(a, format!("key {}", n % 30).as_bytes(), &vec![n; large])?;
            tx.put(b, format!("key {n}").as_bytes(), b"value")?;
            Ok::<_, Error>(())
        })
        .unwrap();
    }
    let rows = read(&db);
    match end {
        End::Closed => db.close().unwrap(),
        End::KilledWhenIdle => {
            db.housekeeping_step();
            db.housekeeping_step();
            disk.kill();
        }
        End::KilledAtOnce => disk.kill(),
    }
    (disk, rows, before)
}

#[derive(Debug, Default)]
struct Outcome {
    refused: usize,
    harmless: usize,
    /// The last commit is missing, and the loss was reported as a torn end.
    torn: Vec<(PathBuf, u64)>,
}

/// Flips one bit of every byte of every file (all eight where the byte is in the first 300 of its
/// file or beside the end of the log), each in the same disk: an error must leave it as it is,
/// flipped back. Where there is none, a copy goes on.
fn sweep(disk: &SimDisk, rows: &Rows, before: &Rows) -> Outcome {
    sweep_files(disk, disk.paths(), rows, before)
}

fn sweep_files(disk: &SimDisk, paths: Vec<PathBuf>, rows: &Rows, before: &Rows) -> Outcome {
    let mut flips: Vec<(PathBuf, u64, u8)> = Vec::new();
    for path in paths {
        let bytes = disk.file_bytes(&path).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
        for at in 0..bytes.len() {
            let all = at < 300 || (used.saturating_sub(100)..used + 100).contains(&at);
            let bits = (0..8_u8).filter(|bit| all || usize::from(*bit) == at % 8);
            flips.extend(bits.map(|bit| (path.clone(), at as u64, bit)));
        }
    }
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let work = || {
        let mut copy = disk.fork();
        while let Some((path, offset, bit)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
            copy.flip_bit(path, *offset, *bit).unwrap();
            let at = format!("{} offset {offset} bit {bit}", path.display());
            match open(&copy) {
                Err(e) => {
                    let text = e.to_string();
                    let named = text.contains(&*path.to_string_lossy());
                    assert!(named && text.contains("offset "), "{at}: {text}");
                    copy.flip_bit(path, *offset, *bit).unwrap();
                    outcome.lock().unwrap().refused += 1;
                    continue;
                }
                Ok(db) if read(&db) == *rows => outcome.lock().unwrap().harmless += 1,
                Ok(db) => {
                    assert!(read(&db) == *before, "{at}: wrong rows");
                    assert!(db.recovery().torn.is_some(), "{at}: lost in silence");
                    outcome.lock().unwrap().torn.push((path.clone(), *offset));
                }
            }
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

/// The database has every kind of file, and several segments.
fn check_files(disk: &SimDisk) {
    let names: Vec<String> = disk
        .paths()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert!(names.contains(&"/db/IDENTITY".to_owned()), "{names:?}");
    assert!(names.contains(&"/db/LOCK".to_owned()), "{names:?}");
    let segments = names.iter().filter(|name| name.ends_with(".log")).count();
    assert!(segments >= 3, "{names:?}");
}

#[test]
fn a_flipped_bit_in_a_closed_database_is_harmless_or_refused() {
    let (disk, rows, before) = database(End::Closed);
    check_files(&disk);
    let outcome = sweep(&disk, &rows, &before);
    assert!(outcome.torn.is_empty(), "{outcome:?}");
    assert!(outcome.refused > 50_000, "{outcome:?}");
}

#[test]
fn a_flipped_bit_in_a_database_killed_when_idle_is_harmless_or_refused() {
    let (disk, rows, before) = database(End::KilledWhenIdle);
    check_files(&disk);
    let outcome = sweep(&disk, &rows, &before);
    assert!(outcome.torn.is_empty(), "{outcome:?}");
    assert!(outcome.refused > 50_000, "{outcome:?}");
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
