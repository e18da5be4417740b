//! Every operation that a forest asks of the world may fail, once: two lives (open, replay,
//! apply, flush, compact, roll over, copy, remove) are lived again and again, and each time the
//! next operation fails, until none is left. Each time there is a clear error or none at all, and
//! nothing is lost; neither by opening at once, nor after a power cut, and no file is left over.
//! And a disk that is full: nothing is lost, and work goes on when there is space.
#![cfg(test)]

use std::path::Path;

use nexusbase_forest::{DiskError, Forest, OpenError, Seqno, StepError};
use nexusbase_io::sim::{FaultKind, SimDisk};

mod small_forest;
use small_forest::{FOLDER, apply, compact, expected, flush, open, read};

const ENTRIES: u64 = 60;

/// What went wrong in a life, as text, and whether the manifest said that it is at its end.
#[derive(Default)]
struct Lived {
    errors: Vec<String>,
    must_reopen: bool,
    /// What was said to be flushed.
    flushed: Seqno,
    /// Copies that were made, and what they go through.
    copies: Vec<(String, Seqno)>,
}

impl Lived {
    fn note<T>(&mut self, result: Result<T, StepError>) -> Option<T> {
        match result {
            Ok(done) => return Some(done),
            Err(error) => {
                self.must_reopen |= matches!(error, StepError::Manifest(_));
                assert!(!matches!(error, StepError::Inconsistent(_)), "{error}");
                self.errors.push(error.to_string());
            }
        }
        None
    }

    /// A life from what is there up to the entry `last`. Goes on after errors.
    fn live(&mut self, disk: &SimDisk, last: u64) {
        let forest = match open(disk, FOLDER) {
            Ok(forest) => forest,
            Err(error) => {
                assert!(
                    matches!(error, OpenError::Disk(DiskError::Io(_))),
                    "{error}"
                );
                return self.errors.push(error.to_string());
            }
        };
        assert!(forest.flushed_through() >= self.flushed);
        for next in (forest.applied().get()..=last).step_by(5) {
            apply(&forest, next);
            self.note(flush(&forest));
            let flushed = forest.flushed_through();
            assert!(flushed >= self.flushed);
            self.flushed = flushed;
            self.note(compact(&forest));
            // Whatever has failed: all is there. If just this failed, it is tried once more.
            let found = read(&forest).or_else(|_| read(&forest)).unwrap();
            assert!(found == expected(forest.applied()), "after {next}");
        }
        let dir = format!("/copy-{last}");
        if let Some(through) = self.note(forest.checkpoint(Path::new(&dir))) {
            self.copies.push((dir, through));
        }
        self.note(forest.remove_obsolete_step());
    }
}

/// Opens, and finds everything; then goes on with the work.
fn check(disk: &SimDisk, lived: &Lived, what: &str) {
    let forest = open(disk, FOLDER).unwrap_or_else(|e| panic!("{what}: {e}"));
    let flushed = forest.flushed_through();
    assert!(lived.flushed <= flushed, "{what}: flushed {flushed}");
    assert!(read(&forest).unwrap() == expected(flushed), "{what}");
    let stats = forest.stats();
    let levels = stats.trees.values().flat_map(|tree| &tree.levels);
    let tables: usize = levels.map(|level| level.tables).sum();
    let names = disk.paths().into_iter();
    let names: Vec<_> = names.filter(|path| path.starts_with(FOLDER)).collect();
    // The manifest and CURRENT.
    assert_eq!(
        names.len(),
        tables + stats.blob_files + 2,
        "{what}: {names:?}"
    );
    apply(&forest, ENTRIES + 5);
    flush(&forest).unwrap();
    compact(&forest).unwrap();
    assert!(
        read(&forest).unwrap() == expected(Seqno::new(ENTRIES + 5)),
        "{what}"
    );
    for (dir, through) in &lived.copies {
        let copy = open(disk, dir).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(copy.flushed_through(), *through, "{what}");
        assert!(read(&copy).unwrap() == expected(*through), "{what}");
    }
}

fn every_operation_fails_once(kind: FaultKind) -> u64 {
    for n in 1.. {
        let disk = SimDisk::new(n);
        disk.fail_at(n, kind);
        let mut lived = Lived::default();
        for last in [ENTRIES / 2, ENTRIES] {
            lived.live(&disk, last);
            if disk.counters().failed_dir_syncs > 0 {
                // The file system is at its end: only a restart helps.
                disk.crash(n);
            }
        }
        if disk.operations() < n {
            assert!(lived.errors.is_empty(), "{:?}", lived.errors);
            return n;
        }
        for text in &lived.errors {
            let is_clear = text.contains("/forest") || text.contains("/copy");
            assert!(is_clear && text.len() > 30, "operation {n}: {text:?}");
        }
        disk.clear_faults();
        check(&disk.fork(), &lived, &format!("operation {n}"));
        disk.crash(n);
        check(&disk, &lived, &format!("operation {n}, power cut"));
    }
    0
}

#[test]
fn a_forest_survives_the_failure_of_any_operation() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        let operations = every_operation_fails_once(kind);
        assert!(operations > 500, "only {operations} operations");
    }
}

#[test]
fn when_the_disk_is_full_steps_say_so_and_work_again_later() {
    let mut full = 0;
    for room in (0..9_000).step_by(29) {
        let disk = SimDisk::new(room);
        let forest = open(&disk, FOLDER).unwrap();
        disk.set_capacity(Some(400 + room));
        let mut errors = Vec::new();
        for last in (5..=ENTRIES).step_by(5) {
            apply(&forest, last);
            errors.extend(flush(&forest).err());
            errors.extend(compact(&forest).err());
            assert!(read(&forest).unwrap() == expected(forest.applied()));
        }
        errors.extend(forest.checkpoint(Path::new("/copy")).err());
        for error in &errors {
            assert!(error.is_no_space(), "room for {room}: {error}");
        }
        full += usize::from(!errors.is_empty());
        let dead = disk.fork();
        disk.set_capacity(None);
        // In the same life …
        finish(&forest);
        // … and in the next one, with or without a power cut.
        dead.set_capacity(None);
        if room % 2 == 0 {
            dead.crash(room);
        }
        check(&dead, &Lived::default(), &format!("room for {room}"));
    }
    assert!(full > 100, "{full}");
}

fn finish(forest: &Forest) {
    flush(forest).unwrap();
    compact(forest).unwrap();
    assert_eq!(forest.flushed_through(), forest.applied());
    assert!(read(forest).unwrap() == expected(forest.applied()));
}
