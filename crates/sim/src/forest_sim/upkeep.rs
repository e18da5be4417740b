//! Background work, step by step: flushes, compactions, removals, copies.

use std::path::PathBuf;

use nexusbase_forest::{Forest, StepError};
use nexusbase_io::Fs;
use nexusbase_io::sim::SimDisk;

use super::life::Life;
use super::look::Look;
use super::model::State;
use super::{DIR, Sim, kinds};
use crate::Check;

/// A copy that is there for good.
pub(super) struct Copied {
    dir: PathBuf,
    through: nexusbase_forest::Seqno,
    state: State,
}

const COPIES_MAX: usize = 2;

impl Sim {
    /// One step of background work. Returns what it did, or nothing if it failed as planned.
    fn step_of<T: std::fmt::Debug>(
        &mut self,
        name: &str,
        work: impl FnOnce(&Forest) -> Result<T, StepError>,
    ) -> Check<Option<T>> {
        let Some(mut life) = self.life.take() else {
            return Ok(None);
        };
        let before = self.world.disk.operations();
        let result = work(&life.forest);
        self.note_faults(&mut life);
        let outcome = match result {
            Ok(done) => {
                self.world.story.tell(format!("{name}: {done:?}"));
                Ok(Some(done))
            }
            Err(StepError::Manifest(error)) if life.faulted => {
                self.world
                    .story
                    .tell(format!("{name}: manifest failed: {error}"));
                life.at_its_end = true;
                Ok(None)
            }
            Err(StepError::Disk(error)) => self.excuse(before, name, &error).map(|()| None),
            Err(error) => Err(format!("{name}: {error}")),
        };
        self.life = Some(life);
        outcome
    }

    /// Whether a fault was met in this life: it may come to light later.
    pub(super) fn note_faults(&self, life: &mut Life) {
        let operations = self.world.disk.operations();
        life.faulted |= self.world.planned.is_some_and(|at| at <= operations);
        life.faulted |= self.world.disk.is_crashed();
    }

    pub(super) fn seal(&mut self) {
        if let Some(life) = &self.life {
            let through = life.forest.seal();
            self.world.story.tell(format!("seal: through {through}"));
        }
    }

    pub(super) fn flush(&mut self) -> Check {
        // What is flushed must be durable in the log before.
        self.model.sync();
        let before = self.flushed;
        let done = self.step_of("flush", Forest::flush_step)?;
        let Some(life) = &self.life else {
            return Ok(());
        };
        let after = life.forest.flushed_through();
        let last = self.model.last();
        let is_right = match done {
            Some(true) => before <= after && after <= last,
            _ => before == after,
        };
        if !is_right {
            return Err(format!(
                "flushed through {after}, before {before}, of {last} entries"
            ));
        }
        self.flushed = after;
        self.world.story.report.flushes += u64::from(done == Some(true));
        Ok(())
    }

    pub(super) fn compact(&mut self) -> Check {
        for _ in 0..=self.world.rng.below(4) {
            match self.step_of("compact", Forest::compact_step)? {
                Some(true) => self.world.story.report.compactions += 1,
                _ => break,
            }
        }
        Ok(())
    }

    pub(super) fn compact_tree(&mut self) -> Check {
        let newest = self.model.newest();
        let trees: Vec<_> = newest
            .trees
            .keys()
            .chain(&newest.dropped)
            .copied()
            .collect();
        if trees.is_empty() {
            return Ok(());
        }
        let id = trees[self.world.rng.index(trees.len())];
        let name = format!("compact tree {id}");
        let done = self.step_of(&name, |forest| forest.compact_tree(id))?;
        self.world.story.report.compactions += u64::from(done == Some(true));
        Ok(())
    }

    pub(super) fn remove_tree(&mut self) -> Check {
        self.step_of("remove tree", Forest::remove_tree_step)?;
        Ok(())
    }

    pub(super) fn remove_obsolete(&mut self) -> Check {
        let done = self.step_of("remove obsolete", Forest::remove_obsolete_step)?;
        let Some(life) = &self.life else {
            return Ok(());
        };
        if done.is_some() && life.scans.is_empty() && !life.faulted && !self.world.tight {
            return self.check_files(&life.forest);
        }
        Ok(())
    }

    pub(super) fn claim_step(&mut self) -> Check {
        self.step_of("claim", Forest::claim_step)?;
        Ok(())
    }

    /// There is no file that nothing refers to, and none is missing.
    pub(super) fn check_files(&self, forest: &Forest) -> Check {
        let stats = forest.stats();
        let levels = stats.trees.values().flat_map(|tree| &tree.levels);
        let tables: usize = levels.map(|level| level.tables).sum();
        let mut names: Vec<String> = Vec::new();
        for path in self.world.disk.paths() {
            if path.parent() == Some(DIR.as_ref()) {
                names.extend(path.file_name().map(|n| n.to_string_lossy().into_owned()));
            }
        }
        let count = |is: &dyn Fn(&str) -> bool| names.iter().filter(|name| is(name)).count();
        let expected = [tables, stats.blob_files, 1, 1, 0];
        let is_known = |name: &str| {
            name.ends_with(".tbl")
                || name.ends_with(".blob")
                || name.starts_with("MANIFEST-")
                || name == "CURRENT"
        };
        let found = [
            count(&|name| name.ends_with(".tbl")),
            count(&|name| name.ends_with(".blob")),
            count(&|name| name.starts_with("MANIFEST-")),
            count(&|name| name == "CURRENT"),
            count(&|name| !is_known(name)),
        ];
        if expected != found {
            return Err(format!(
                "tables, blobs, manifests, CURRENT, others should be {expected:?}: {names:?}"
            ));
        }
        Ok(())
    }

    /// Makes a copy, and looks at what is there if the power goes now.
    pub(super) fn checkpoint(&mut self) -> Check {
        self.copies_made += 1;
        let dir = PathBuf::from(format!("/copy-{}", self.copies_made));
        let done = self.step_of("checkpoint", |forest| forest.checkpoint(&dir))?;
        let Some(life) = &self.life else {
            return Ok(());
        };
        let flushed = life.forest.flushed_through();
        let copied = Copied {
            state: self.model.at(flushed).clone(),
            through: flushed,
            dir,
        };
        let disk = self.spare_disk();
        match done {
            Some(through) if through != flushed => {
                return Err(format!(
                    "a copy through {through}, but {flushed} is flushed"
                ));
            }
            Some(_) => {
                self.check_copy(&disk, &copied)?;
                self.world.story.report.checkpoints += 1;
                self.copies.push(copied);
                if self.copies.len() > COPIES_MAX {
                    let old = self.copies.remove(0);
                    self.forget(&old.dir);
                }
            }
            None => {
                let made = Forest::exists(&disk, &copied.dir).map_err(|e| e.to_string())?;
                if made {
                    self.check_copy(&disk, &copied)?;
                }
                self.forget(&copied.dir);
            }
        }
        Ok(())
    }

    /// The disk as it would be after a power cut now.
    fn spare_disk(&mut self) -> SimDisk {
        let disk = self.world.disk.fork();
        disk.set_capacity(None);
        if self.world.rng.chance(0.7) || self.world.must_restart() {
            disk.crash(self.world.rng.next_u64());
        }
        disk
    }

    /// Opens one of the copies and compares it.
    pub(super) fn look_at_copies(&mut self) -> Check {
        if self.copies.is_empty() {
            return Ok(());
        }
        let disk = self.spare_disk();
        let copies = std::mem::take(&mut self.copies);
        let chosen = &copies[self.world.rng.index(copies.len())];
        let outcome = self.check_copy(&disk, chosen);
        self.copies = copies;
        outcome
    }

    fn check_copy(&mut self, disk: &SimDisk, copied: &Copied) -> Check {
        let fs = std::sync::Arc::new(disk.for_this_life());
        let (dir, through) = (&copied.dir, copied.through);
        let bad = |text: String| format!("the copy in {}: {text}", dir.display());
        let forest = Forest::open(fs, dir, kinds::options()).map_err(|e| bad(e.to_string()))?;
        if forest.flushed_through() != through {
            let found = forest.flushed_through();
            return Err(bad(format!("through {found}, not {through}")));
        }
        let mut look = Look {
            longest_key: self.longest_key(),
            forest: &forest,
            at: through,
            now_ms: self.now_ms,
            rng: &mut self.world.rng,
        };
        look.all(&copied.state)
            .map_err(|trouble| bad(trouble.text()))
    }

    /// Removes a copy; if that does not work, it stays.
    fn forget(&self, dir: &std::path::Path) {
        let disk = self.world.disk.for_this_life();
        let paths = self.world.disk.paths();
        for path in paths.iter().filter(|path| path.parent() == Some(dir)) {
            let _ = disk.remove(path);
        }
    }
}
