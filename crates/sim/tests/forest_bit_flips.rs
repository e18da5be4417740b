//! Bit flips over the bytes of every file of a small forest: each gives either exactly the right
//! answers or an error that names a file; never a panic, never a wrong or a missing row.
//!
//! One window stays open in a forest that was not claimed at its end: the last edit of the manifest.
//! Damage there looks like the torn end of an append that never returned, so that edit is cut off,
//! whole: what is flushed is said to be what it was before, which the log's owner can see and
//! replay from, or, if files are gone that the edit had replaced, there is an error.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nexusbase_forest::Seqno;
use nexusbase_io::sim::SimDisk;

mod small_forest;
use small_forest::{FOLDER, Rows, apply, compact, expected, flush, open, read};

const ENTRIES: u64 = 300;

/// What was done last.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Flush,
    Compaction,
    Settled,
}

/// A forest with tables in several levels.
fn forest(end: End) -> SimDisk {
    let disk = SimDisk::new(1);
    let forest = open(&disk, FOLDER).unwrap();
    for last in (10..=ENTRIES).step_by(10) {
        apply(&forest, last);
        flush(&forest).unwrap();
        if last % 50 == 0 && last < ENTRIES {
            compact(&forest).unwrap();
        }
    }
    if end == End::Compaction {
        forest.set_oldest_needed(forest.applied());
        for tree in forest.stats().trees.into_keys() {
            forest.compact_tree(tree).unwrap();
        }
        forest.remove_obsolete_step().unwrap();
    }
    if end == End::Settled {
        forest.claim_step().unwrap();
    }
    assert!(read(&forest).unwrap() == expected(Seqno::new(ENTRIES)));
    disk.kill();
    disk
}

fn is_manifest(path: &Path) -> bool {
    path.to_string_lossy().contains("MANIFEST-")
}

/// Where the last edit begins.
fn last_edit(disk: &SimDisk) -> (PathBuf, u64) {
    let path = disk
        .paths()
        .into_iter()
        .find(|path| is_manifest(path))
        .unwrap();
    let bytes = disk.file_bytes(&path).unwrap();
    let start = bytes.windows(4).rposition(|mark| mark == b"NXED").unwrap();
    (path, start as u64)
}

#[derive(Debug, Default)]
struct Outcome {
    refused: usize,
    harmless: usize,
    /// The last edit is missing.
    cut: usize,
}

/// Flips a bit of each byte of the files (another one in each; all of the manifest's and of
/// `CURRENT`), each in the same disk: an error must leave it as it is, flipped back.
fn sweep(disk: &SimDisk) -> Outcome {
    let (manifest, last) = last_edit(disk);
    let mut flips: Vec<(PathBuf, u64, u8)> = Vec::new();
    for path in disk.paths() {
        let small = is_manifest(&path) || path.ends_with("CURRENT");
        for at in 0..disk.file_bytes(&path).unwrap().len() as u64 {
            let bits = (0..8_u8).filter(|bit| small || u64::from(*bit) == at % 8);
            flips.extend(bits.map(|bit| (path.clone(), at, bit)));
        }
    }
    let rows: Rows = expected(Seqno::new(ENTRIES));
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let work = || {
        let mut copy = disk.fork();
        while let Some((path, offset, bit)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
            copy.flip_bit(path, *offset, *bit).unwrap();
            let at = format!("{} offset {offset} bit {bit}", path.display());
            let forest = match open(&copy, FOLDER) {
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(FOLDER), "{at}: {text}");
                    copy.flip_bit(path, *offset, *bit).unwrap();
                    outcome.lock().unwrap().refused += 1;
                    continue;
                }
                Ok(forest) => forest,
            };
            let through = forest.flushed_through();
            let is_cut = through.get() < ENTRIES;
            assert!(
                !is_cut || (*path == manifest && *offset >= last),
                "{at}: flushed through {through} only"
            );
            match read(&forest) {
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(FOLDER), "{at}: {text}");
                    outcome.lock().unwrap().refused += 1;
                }
                Ok(found) if is_cut => {
                    assert!(found == expected(through), "{at}: wrong rows");
                    outcome.lock().unwrap().cut += 1;
                }
                Ok(found) => {
                    assert!(found == rows, "{at}: wrong rows");
                    outcome.lock().unwrap().harmless += 1;
                }
            }
            drop(forest);
            copy = disk.fork();
        }
        // The errors have changed nothing.
        assert!(read(&open(&copy, FOLDER).unwrap()).unwrap() == rows);
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    outcome.into_inner().unwrap()
}

/// There is every kind of file.
fn check_files(disk: &SimDisk) {
    let paths = disk.paths();
    let count = |ending: &str| {
        let is = |path: &&PathBuf| path.extension().is_some_and(|found| found == ending);
        paths.iter().filter(is).count()
    };
    assert!(count("tbl") >= 4 && count("blob") >= 2, "{paths:?}");
}

#[test]
fn a_flipped_bit_in_a_claimed_forest_is_harmless_or_refused() {
    let disk = forest(End::Settled);
    check_files(&disk);
    let outcome = sweep(&disk);
    assert!(outcome.refused > 5_000, "{outcome:?}");
    assert_eq!(outcome.cut, 0, "{outcome:?}");
}

#[test]
fn damage_to_the_edit_of_a_flush_takes_all_of_it_back() {
    let disk = forest(End::Flush);
    check_files(&disk);
    let outcome = sweep(&disk);
    assert!(outcome.refused > 5_000, "{outcome:?}");
    assert!(outcome.cut > 100, "the window is there: {outcome:?}");
}

#[test]
fn damage_to_the_edit_of_a_compaction_never_brings_old_rows_back() {
    let outcome = sweep(&forest(End::Compaction));
    assert!(outcome.refused > 3_000, "{outcome:?}");
    assert_eq!(outcome.cut, 0, "{outcome:?}");
}
