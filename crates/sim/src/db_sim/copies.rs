//! Checkpoints: a copy that was reported as made is there, whole, whatever happens afterwards.

use std::path::{Path, PathBuf};

use nexusbase_db::{CheckpointError, Database, Direction, Error};
use nexusbase_forest::StepError;
use nexusbase_io::Fs;

use super::Sim;
use super::kept::compare_kept;
use super::look::compare_all;
use super::model::same;
use crate::Check;

impl Sim {
    /// Makes a copy, and looks into it at once or in a later life.
    pub(super) fn checkpoint(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Ok(());
        };
        self.copies_made += 1;
        let path = PathBuf::from(format!("/data/copy{}", self.copies_made));
        let before = self.world.disk.operations();
        let visible = life.db.snapshot().index().get();
        match life.db.checkpoint(&path) {
            Ok(index) => {
                let index = index.get();
                if index < visible {
                    return Err(format!("the copy has {index} commits of {visible}"));
                }
                self.world.story.tell(format!("a copy at {index}"));
                self.world.story.report.checkpoints += 1;
                // What is in a durable copy must be durable itself.
                self.timeline.acknowledge(index, true);
                self.copies.push((path, index));
            }
            Err(e) => {
                let stopped = life.db.stopped().is_some();
                let full = self.world.tight && is_no_space(&e);
                if !stopped && !full && !self.world.excused(before) {
                    return Err(format!("checkpoint: {e}"));
                }
                self.world.story.tell(format!("no copy: {e}"));
                self.remove_files(&path);
            }
        }
        if self.world.rng.chance(0.5) && !self.has_stopped() {
            self.world.clear_faults();
            return self.check_copies();
        }
        Ok(())
    }

    /// Opens all copies, compares them, and removes them. Nothing may be planned.
    pub(super) fn check_copies(&mut self) -> Check {
        let restart = self.world.disk.is_crashed() || self.world.must_restart();
        if restart || self.world.tight {
            return Ok(());
        }
        for (path, index) in std::mem::take(&mut self.copies) {
            self.check_copy(&path, index)
                .map_err(|e| format!("{}: {e}", path.display()))?;
            self.remove_files(&path);
        }
        Ok(())
    }

    fn check_copy(&mut self, path: &Path, index: u64) -> Check {
        let options = self.options();
        let db = Database::open_with(path, options).map_err(|e| e.to_string())?;
        same("the copy", &index, &db.snapshot().index().get())?;
        let state = self.timeline.state_at(index);
        compare_all(&db.snapshot(), &state, Direction::Forward)?;
        compare_kept(&db, &mut self.timeline, Direction::Reverse)?;
        let name = "a new tree";
        db.transact(|tx| Ok::<_, Error>(tx.create_tree(name)?))
            .map_err(|e| e.to_string())?;
        same("the copy", &(index + 1), &db.snapshot().index().get())?;
        db.close().map_err(|e| e.to_string())
    }

    /// As far as that works.
    fn remove_files(&self, path: &Path) {
        let disk = &self.world.disk;
        for dir in [path.join("log"), path.join("forest"), path.to_path_buf()] {
            for name in disk.list(&dir).unwrap_or_default() {
                let _ = disk.remove(&dir.join(name));
            }
        }
    }
}

/// Whether there was no room for a copy.
fn is_no_space(error: &CheckpointError) -> bool {
    match error {
        CheckpointError::Io(e) | CheckpointError::Log(nexusbase_log::OpenError::Io(e)) => {
            e.is_no_space()
        }
        CheckpointError::Forest(e) => StepError::is_no_space(e),
        CheckpointError::Append(nexusbase_log::AppendError::NoSpace(_)) => true,
        CheckpointError::Append(nexusbase_log::AppendError::Failed(e)) => e.is_no_space(),
        _ => false,
    }
}
