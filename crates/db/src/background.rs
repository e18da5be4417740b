//! Background work: flushes and compactions, each on a thread of its own.
//!
//! A flush ends with telling the log that what is in tables now can go. Both threads do nothing
//! but call the forest's steps, so a database without threads can do the same by
//! [`Database::housekeeping_step`](crate::Database::housekeeping_step).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nexusbase_forest::StepError;
use nexusbase_log::Index;

use crate::database::Core;
use crate::housekeeping::Bell;
use crate::options::Durability;

/// How long a thread sleeps when nobody calls it: obsolete files may have lost their last reader.
const IDLE: Duration = Duration::from_secs(1);

/// How long it waits after a failure before it tries again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the two threads are called by.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    pub(crate) flush: Bell,
    pub(crate) compact: Bell,
}

/// The threads; dropping this ends them and waits for them.
#[derive(Debug)]
pub(crate) struct Workers {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

/// Which of the two a thread listens to.
type WhichBell = fn(&Bells) -> &Bell;

/// One of the two kinds of work.
type Step = fn(&Core) -> Result<bool, StepError>;

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(core: Arc<Core>) -> std::io::Result<Self> {
        let mut workers = Self {
            core,
            threads: Vec::new(),
        };
        let work: [(&str, WhichBell, Step); 2] = [
            ("nexusbase-flush", |bells| &bells.flush, flush_step),
            ("nexusbase-compact", |bells| &bells.compact, compact_step),
        ];
        for (name, bell, step) in work {
            let core = Arc::clone(&workers.core);
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work_on(&core, bell(&core.bells), step))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.core.forest.stop();
        self.core.bells.flush.end();
        self.core.bells.compact.end();
        for thread in self.threads.drain(..) {
            // It may be the one that drops the last handle.
            if thread.thread().id() != std::thread::current().id() {
                // A panic there has been reported by its own hook; there is nothing to add.
                let _ = thread.join();
            }
        }
    }
}

fn work_on(core: &Core, bell: &Bell, step: Step) {
    // What a former life left over is begun at once.
    let mut pause = Duration::ZERO;
    while bell.sleep(pause) {
        pause = IDLE;
        match step(core) {
            Ok(true) => pause = Duration::ZERO,
            Ok(false) => {}
            Err(StepError::Stopped) => return,
            Err(error) => {
                core.background_failed(&error);
                pause = AFTER_FAILURE;
            }
        }
    }
}

/// Flushes the oldest sealed memtables, if there are any, and lets go of the log behind them.
pub(crate) fn flush_step(core: &Core) -> Result<bool, StepError> {
    if core.forest.sealed_sets() == 0 {
        return Ok(false);
    }
    // Tables must not be ahead of what the log is sure to have after a power cut.
    if core.durability != Durability::Always {
        match core.pipeline.sync_log() {
            Some(Ok(())) => {}
            // The writer is away; or the log has failed, which stops the database by itself.
            None | Some(Err(_)) => return Ok(false),
        }
    }
    if !core.forest.flush_step()? {
        return Ok(false);
    }
    core.bells.compact.ring();
    // A purge that does not fit onto the disk comes with the next flush.
    let _ = core
        .pipeline
        .purge_log(Index::new(core.forest.flushed_through().get()));
    core.background_works();
    Ok(true)
}

/// Does the most urgent compaction, and removes what is not needed any more. When there is nothing
/// to do, and no flush has come since that was so the last time, it tidies up for readers.
pub(crate) fn compact_step(core: &Core) -> Result<bool, StepError> {
    let mut worked = core.forest.compact_step()? | core.forest.remove_tree_step()?;
    if !worked {
        let flushed = core.forest.flushed_through().get();
        if core.quiet_since.swap(flushed, Ordering::Relaxed) == flushed {
            worked = core.forest.tidy_step()?;
        }
    }
    core.forest.remove_obsolete_step()?;
    if !worked {
        core.forest.claim_step()?;
    }
    if worked || core.forest.sealed_sets() == 0 {
        // Whatever has failed before has gone well now, or nothing is left to do.
        core.background_works();
    }
    Ok(worked)
}

/// The last failure of background work, for who wants to know.
#[derive(Debug, Default)]
pub(crate) struct LastFailure {
    failed: AtomicBool,
    /// Lock `db.failure`: held to look or to note.
    text: parking_lot::Mutex<Option<String>>,
}

impl LastFailure {
    fn note(&self, error: &StepError) {
        *self.text.lock() = Some(error.to_string());
        self.failed.store(true, Ordering::Relaxed);
    }

    fn clear(&self) {
        if self.failed.swap(false, Ordering::Relaxed) {
            *self.text.lock() = None;
        }
    }

    /// What it was, unless work has gone on since.
    pub(crate) fn get(&self) -> Option<String> {
        self.text.lock().clone()
    }
}

impl Core {
    /// A step has failed. What leaves unknown what is on disk stops the database.
    pub(crate) fn background_failed(&self, error: &StepError) {
        self.failure.note(error);
        if matches!(error, StepError::Manifest(_)) {
            self.pipeline.stop_because(&error.to_string());
        }
    }

    fn background_works(&self) {
        self.failure.clear();
    }
}
