//! Checkpoints: a second data folder with the state at one index, made by hard links while
//! writes go on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_log::{Index, Log, LogId, LogOptions, Record, Sync, Term};

use crate::background::{CallersStep, Done, Work, compact_step, flush_step};
use crate::commit::GROUP;
use crate::database::{Core, Database};
use crate::error::{CheckpointError, CommitError};
use crate::folder::{FOREST_DIR, Folder, LOG_DIR};

/// Size of the one log segment that a checkpoint gets, in bytes. Opened, it goes on with the size
/// that the options say.
const SEGMENT_BYTES: u64 = 64 << 10;

/// How long to wait for others before looking again.
const PAUSE: Duration = Duration::from_millis(1);

impl Database {
    /// Makes a copy of the database in the folder `path`, which must be empty or missing and on
    /// the same file system. It has all that was visible when this was called, and perhaps more: the
    /// index that is returned says what. Opening the copy gives exactly that, and the
    /// [versions](crate::Transaction::keep_version) that are kept there.
    ///
    /// # Errors
    /// When the folder is not empty or cannot be written. A copy that was not finished is no
    /// database: it has no `IDENTITY`.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<Index, CheckpointError> {
        let path = path.as_ref();
        let core = self.core();
        let _step = core.begin_step()?;
        let fs = &*core.env.fs;
        if fs.exists(path)? && !fs.list(path)?.is_empty() {
            return Err(CheckpointError::NotEmpty(path.to_path_buf()));
        }
        fs.create_dir(path)?;
        // What is released from here on may still be kept in the copy, so it must be in the tables
        // that are linked. What was released before is flushed, and not kept in the copy.
        let releases = core.kept.hold_releases();
        core.flush_all()?;
        let through = core.forest.checkpoint(&path.join(FOREST_DIR))?;
        drop(releases);
        let index = Index::new(through.get());
        let mut options = LogOptions::new(core.database);
        options.segment_bytes = SEGMENT_BYTES;
        let mut log = Log::open(Arc::clone(&core.env.fs), &path.join(LOG_DIR), options)?;
        if index > Index::ZERO {
            let up_to = LogId {
                index,
                term: Term::ZERO,
            };
            let group = GROUP;
            log.writer
                .append(&[Record::PurgeUpTo { group, up_to }], Sync::Durable)?;
            log.writer.claim()?;
        }
        fs.sync_dir(path)?;
        // Last, as when a database is created: it says that all the rest is there.
        Folder::write_identity(fs, path, core.database)?;
        Ok(index)
    }
}

impl Database {
    /// Puts everything that is visible now into tables, and compacts until nothing is due: for
    /// measuring, and before a time without writes. Other threads may work on it as well.
    ///
    /// # Errors
    /// When a step fails.
    pub fn settle(&self) -> Result<(), CheckpointError> {
        let core = self.core();
        let _step = core.begin_step()?;
        core.flush_all()?;
        // The second time that there is nothing to do, it is quiet enough to tidy up.
        let mut quiet = 0;
        while quiet < 2 {
            if let Some(closed) = core.pipeline.is_closing() {
                return Err(CheckpointError::Stopped(closed));
            }
            let worked = compact_step(core)
                .inspect_err(|error| core.background_failed(Work::Compact, error))?;
            if worked {
                quiet = 0;
            } else if core.forest.is_idle() {
                quiet += 1;
            } else {
                // Somebody else is at it.
                core.registry.visible.wait_beyond(u64::MAX, PAUSE);
            }
        }
        Ok(())
    }
}

impl Core {
    /// Begins work on the caller's thread that writes tables.
    fn begin_step(&self) -> Result<CallersStep<'_>, CheckpointError> {
        let closed = || CheckpointError::Stopped(CommitError::Closed);
        self.steps.begin().ok_or_else(closed)
    }

    /// Puts everything that is visible now into tables.
    fn flush_all(&self) -> Result<(), CheckpointError> {
        let through = self.forest.seal();
        while self.forest.flushed_through() < through {
            // Then nobody makes sure of what is to be flushed, however long this waits.
            if let Some(stopped) = self.pipeline.is_stopped() {
                return Err(CheckpointError::Stopped(stopped));
            }
            let step = flush_step(self);
            if step.inspect_err(|error| self.background_failed(Work::Flush, error))? != Done::Worked
            {
                // Another thread flushes, or the log's writer is away. (The visible index never gets
                // there: this waits for the time to pass.)
                self.registry.visible.wait_beyond(u64::MAX, PAUSE);
            }
        }
        Ok(())
    }
}
