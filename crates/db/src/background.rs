//! Background work: flushes and compactions, each on a thread of its own.
//!
//! A flush ends with telling the log that what is in tables now can go. Both threads do nothing
//! but call the forest's steps, so a database without threads can do the same by
//! [`Database::housekeeping_step`](crate::Database::housekeeping_step).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, ThreadId};
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

/// How long it waits for the log's writer before it looks again.
const WRITER_AWAY: Duration = Duration::from_millis(10);

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Something.
    Worked,
    /// There was nothing to do.
    Nothing,
    /// There is something to do once the log's writer is at home, or has synced.
    Soon,
}

/// The two kinds of work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Flush,
    Compact,
}

impl Work {
    fn step(self, core: &Core) -> Result<Done, StepError> {
        match self {
            Self::Flush => flush_step(core),
            Self::Compact => compact_step(core).map(|worked| match worked {
                true => Done::Worked,
                false => Done::Nothing,
            }),
        }
    }

    const fn bell(self, bells: &Bells) -> &Bell {
        match self {
            Self::Flush => &bells.flush,
            Self::Compact => &bells.compact,
        }
    }
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(core: Arc<Core>) -> std::io::Result<Self> {
        let mut workers = Self {
            core,
            threads: Vec::new(),
        };
        let work = [
            ("nexusbase-flush", Work::Flush),
            ("nexusbase-compact", Work::Compact),
        ];
        for (name, work) in work {
            let core = Arc::clone(&workers.core);
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work_on(&core, work))?;
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

/// Stops the database when its thread panics: nobody would flush or compact any more.
struct Watch<'a>(&'a Core);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let pipeline = &self.0.pipeline;
            pipeline.stop_because("a background thread panicked; see its message");
        }
    }
}

fn work_on(core: &Core, work: Work) {
    let _watch = Watch(core);
    let bell = work.bell(&core.bells);
    // What a former life left over is begun at once.
    let mut pause = Duration::ZERO;
    while bell.sleep(pause) {
        pause = IDLE;
        match work.step(core) {
            Ok(Done::Worked) => pause = Duration::ZERO,
            Ok(Done::Nothing) => {}
            Ok(Done::Soon) => pause = WRITER_AWAY,
            Err(StepError::Stopped) => return,
            Err(error) => {
                core.background_failed(work, &error);
                pause = AFTER_FAILURE;
            }
        }
    }
}

/// Flushes the oldest sealed memtables, if there are any, and lets go of the log behind them.
pub(crate) fn flush_step(core: &Core) -> Result<Done, StepError> {
    let done = flush_oldest(core)?;
    // A purge that does not fit onto the disk, or that a crash took, comes with the next step.
    let flushed = Index::new(core.forest.flushed_through().get());
    let _ = core.pipeline.purge_log(flushed);
    match done {
        Done::Worked => {
            core.bells.compact.ring();
            core.background_works(Work::Flush);
        }
        Done::Nothing if core.forest.sealed_sets() == 0 => core.background_works(Work::Flush),
        Done::Nothing | Done::Soon => {}
    }
    Ok(done)
}

fn flush_oldest(core: &Core) -> Result<Done, StepError> {
    if core.forest.sealed_sets() == 0 {
        return Ok(Done::Nothing);
    }
    let mut not_sure = Done::Nothing;
    // Tables must not be ahead of what the log is sure to have after a power cut.
    if core.durability != Durability::Always {
        match core.pipeline.sync_log() {
            Some(Ok(())) => {}
            // The log has failed, which stops the database by itself.
            Some(Err(_)) => return Ok(Done::Nothing),
            // The writer is away: whoever has it next syncs.
            None => {
                core.pipeline.request_sync();
                not_sure = Done::Soon;
            }
        }
    }
    // What is sealed while the log is synced may not be sure.
    if core.forest.flush_step_up_to(core.pipeline.synced())? {
        return Ok(Done::Worked);
    }
    Ok(not_sure)
}

/// Does the most urgent compaction, and removes what is not needed any more. When there is nothing
/// to do, and no flush has come since that was so the last time, it tidies up for readers. What
/// fails keeps none of the rest from being done.
pub(crate) fn compact_step(core: &Core) -> Result<bool, StepError> {
    let compacted = core.forest.compact_step();
    let removed = core.forest.remove_tree_step();
    let mut tidied = Ok(false);
    if matches!((&compacted, &removed), (Ok(false), Ok(false))) {
        let flushed = core.forest.flushed_through().get();
        if core.quiet_since.swap(flushed, Ordering::Relaxed) == flushed {
            tidied = core.forest.tidy_step();
        }
    }
    let cleared = core.forest.remove_obsolete_step();
    // Of two failures one is reported: the one that stops the database, if there is one.
    if let Err(error @ StepError::Manifest(_)) = removed {
        return Err(error);
    }
    let worked = compacted? | removed? | tidied?;
    cleared?;
    if !worked {
        core.forest.claim_step()?;
    }
    // Whatever has failed before has gone well now, or is not to be done any more.
    core.background_works(Work::Compact);
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

/// The last failures, by kind of work: one that works does not excuse the other.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    flush: LastFailure,
    compact: LastFailure,
}

impl Failures {
    /// What failed last, of what is more urgent.
    pub(crate) fn get(&self) -> Option<String> {
        self.flush.get().or_else(|| self.compact.get())
    }

    const fn of(&self, work: Work) -> &LastFailure {
        match work {
            Work::Flush => &self.flush,
            Work::Compact => &self.compact,
        }
    }
}

/// The steps that callers do on their own threads. Closing waits for them and lets no more begin.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Lock `db.steps`: held for a few instructions.
    state: parking_lot::Mutex<StepsState>,
    changed: parking_lot::Condvar,
}

#[derive(Debug, Default)]
struct StepsState {
    /// Whose they are.
    threads: Vec<ThreadId>,
    refused: bool,
}

/// A caller's step; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct CallersStep<'a>(&'a Steps);

impl Drop for CallersStep<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let own = std::thread::current().id();
        if let Some(at) = state.threads.iter().position(|thread| *thread == own) {
            state.threads.swap_remove(at);
        }
        self.0.changed.notify_all();
    }
}

impl Steps {
    /// Begins a step, unless closing has begun.
    pub(crate) fn begin(&self) -> Option<CallersStep<'_>> {
        let mut state = self.state.lock();
        if state.refused {
            return None;
        }
        state.threads.push(std::thread::current().id());
        Some(CallersStep(self))
    }

    /// Lets no more begin.
    pub(crate) fn refuse(&self) {
        self.state.lock().refused = true;
    }

    /// Waits for the end of all but the own: a step may answer a commit, and who waits for that may
    /// close the database.
    pub(crate) fn wait(&self) {
        let own = std::thread::current().id();
        let mut state = self.state.lock();
        while state.threads.iter().any(|thread| *thread != own) {
            self.changed.wait(&mut state);
        }
    }
}

impl Core {
    /// A step has failed. What leaves unknown what is on disk stops the database.
    pub(crate) fn background_failed(&self, work: Work, error: &StepError) {
        if matches!(error, StepError::Stopped) {
            return;
        }
        self.failures.of(work).note(error);
        if matches!(error, StepError::Manifest(_)) {
            self.pipeline.stop_because(&error.to_string());
        }
    }

    fn background_works(&self, work: Work) {
        self.failures.of(work).clear();
    }
}
