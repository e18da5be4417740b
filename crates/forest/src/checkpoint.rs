//! Checkpoints: a second folder that is a forest of its own, made of hard links.
//!
//! It holds exactly what the flushes up to one entry have put into tables. Writers and background
//! work go on meanwhile; the files cannot go away, because the picture that they were taken from
//! is held until all links are made.

use std::path::Path;

use crate::error::StepError;
use crate::forest::Forest;
use crate::manifest;
use crate::{DiskError, Seqno};

impl Forest {
    /// Links everything that is in tables into `dir`, which must not have a forest yet, and makes
    /// it durable. Returns the entry that the copy goes through: [`Forest::flushed_through`] at
    /// that moment. For a later one, [seal](Forest::seal) and [flush](Forest::flush_step) first.
    ///
    /// # Errors
    /// When the folder cannot be written. What was linked so far stays there.
    pub fn checkpoint(&self, dir: &Path) -> Result<Seqno, StepError> {
        let (state, roster) = {
            // Nothing is committed meanwhile, so both say the same.
            let _manifest = self.manifest.lock();
            let state = self.background.lock().state.clone();
            (state, self.trees.load_full())
        };
        let through = state.flushed_through;
        self.fs.create_dir(dir).map_err(DiskError::from)?;
        let link = |path: &Path| match path.file_name() {
            Some(name) => self.fs.hard_link(path, &dir.join(name)),
            None => Ok(()),
        };
        for (_, tree) in roster.iter() {
            for table in tree.tables.all().flat_map(|run| run.tables()) {
                link(table.path()).map_err(DiskError::from)?;
            }
            for blob in tree.tables.blobs.values() {
                link(blob.path()).map_err(DiskError::from)?;
            }
        }
        self.fs.sync_dir(dir).map_err(DiskError::from)?;
        manifest::files::write_copy(&*self.fs, dir, self.options.database, &state)?;
        drop(roster);
        Ok(through)
    }
}
