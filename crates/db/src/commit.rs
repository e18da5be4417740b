//! The commit pipeline: from a finished transaction to a visible, durable entry.
//!
//! 1. **Submit** (under the pipeline's lock, memory only): validate, give the next index, queue.
//! 2. **Lead**: whoever waits and finds the log's writer at home takes it, and with it everything
//!    that is queued, and writes that as one batch with one sync. No lock is held meanwhile: to
//!    have the writer is to lead.
//! 3. **Hand over**: the writer goes home and one of those who queued up meanwhile is appointed,
//!    so that the next sync runs while the last batch is being applied.
//! 4. **Apply**, in index order, to the forest; then the visible index moves; then the committers
//!    are answered.
//!
//! A commit that waits on a thread needs no other thread. One that is awaited by a task, or whose
//! handle was dropped, is led by housekeeping.
//!
//! Locks, in the order in which they may be taken: `db.commit` (this file), `db.readers`,
//! `db.ticket`. None is held over I/O or a call into the log or the forest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use nexusbase_forest::{Forest, Mutation};
use nexusbase_io::Clock;
use nexusbase_log::{AppendError, Group, Index, Log, LogId, LogWriter, Record, Sync, Term};
use parking_lot::{Condvar, Mutex};

use crate::apply::apply_entry;
use crate::background::Bells;
use crate::conflicts::ConflictWindow;
use crate::error::CommitError;
use crate::housekeeping::Bell;
use crate::kept::{Kept, VersionChanges};
use crate::kinds::Kinds;
use crate::options::Durability;
use crate::read_set::ReadSet;
use crate::snapshot::{Registry, Snapshot};
use crate::ticket::Ticket;
use crate::write_set;

mod closing;
mod handle;
#[cfg(test)]
mod tests;
mod upkeep;

pub use handle::CommitHandle;

/// A batch takes no more than this from the queue (but always one entry).
const BATCH_BYTES_MAX: usize = 8 << 20;
const BATCH_ENTRIES_MAX: usize = 2048;
/// Committers wait when this many bytes are queued.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How often a leader looks whether the batch before its own will ever be applied.
const TURN_CHECK: Duration = Duration::from_millis(100);

/// The group that a database on its own writes to.
pub(crate) const GROUP: Group = Group::ZERO;

#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Lock `db.commit`.
    state: Mutex<State>,
    /// Signalled when the queue has been taken.
    drained: Condvar,
    forest: Arc<Forest>,
    registry: Arc<Registry>,
    kept: Arc<Kept>,
    log: Log,
    clock: Arc<dyn Clock>,
    kinds: Arc<Kinds>,
    durability: Durability,
    bell: Arc<Bell>,
    bells: Arc<Bells>,
    counters: Counters,
    /// How many threads wait for a commit, or are about to.
    waiting: AtomicUsize,
    /// Entries up to this one are known to be durable in the log.
    synced: AtomicU64,
}

#[derive(Debug)]
struct State {
    next: Index,
    window: ConflictWindow,
    queue: VecDeque<Pending>,
    queue_bytes: usize,
    /// At home unless somebody leads.
    writer: Option<LogWriter>,
    /// The next batch is to be synced although the mode does not ask for it.
    sync_due: bool,
    /// Entries up to this one may go, which the log is still to be told.
    purge_due: Option<Index>,
    stopped: Option<CommitError>,
    /// How many have taken the writer or a batch and are not done with it.
    leaders: usize,
    closing: Closing,
}

/// How far closing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    Begun,
    Done,
}

#[derive(Debug)]
struct Pending {
    index: Index,
    payload: Vec<u8>,
    /// The time that is in the payload.
    unix_ms: u64,
    mutations: Vec<Mutation>,
    versions: VersionChanges,
    ticket: Arc<Ticket>,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    batches: AtomicU64,
    conflicts: AtomicU64,
}

/// What the pipeline has done since the database was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Commits.
    pub commits: u64,
    /// Batches that they were written in: one write and at most one sync each.
    pub batches: u64,
    /// Transactions that were refused because of a conflict.
    pub conflicts: u64,
    /// Commits that wait for a leader just now.
    pub queued: u64,
}

/// What a pipeline works with.
pub(crate) struct Parts {
    pub(crate) forest: Arc<Forest>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) log: Log,
    pub(crate) writer: LogWriter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) durability: Durability,
    pub(crate) bell: Arc<Bell>,
    pub(crate) bells: Arc<Bells>,
}

impl Pipeline {
    /// A pipeline that goes on behind entry `last`.
    pub(crate) fn new(parts: Parts, last: Index) -> Self {
        let state = State {
            next: last.next(),
            window: ConflictWindow::new(last),
            queue: VecDeque::new(),
            queue_bytes: 0,
            writer: Some(parts.writer),
            sync_due: false,
            purge_due: None,
            stopped: None,
            leaders: 0,
            closing: Closing::No,
        };
        Self {
            state: Mutex::new(state),
            drained: Condvar::new(),
            forest: parts.forest,
            registry: parts.registry,
            kept: parts.kept,
            log: parts.log,
            clock: parts.clock,
            kinds: parts.kinds,
            durability: parts.durability,
            bell: parts.bell,
            bells: parts.bells,
            counters: Counters::default(),
            waiting: AtomicUsize::new(0),
            synced: AtomicU64::new(0),
        }
    }

    /// Validates a transaction and queues its writes, which are in the order of a write set.
    pub(crate) fn submit(
        self: &Arc<Self>,
        snapshot: Snapshot,
        reads: &ReadSet,
        mutations: Vec<Mutation>,
    ) -> Result<CommitHandle, CommitError> {
        if mutations.is_empty() {
            let ticket = Arc::new(Ticket::default());
            ticket.resolve(Ok(snapshot.index()));
            return Ok(CommitHandle {
                pipeline: Arc::clone(self),
                ticket,
            });
        }
        let unix_ms = self.clock.unix_ms();
        let versions = VersionChanges::of(&mutations);
        let ticket = Arc::new(Ticket::default());
        let pending = Pending {
            index: Index::ZERO,
            payload: write_set::encode(&mutations, unix_ms),
            unix_ms,
            mutations,
            versions: versions.clone(),
            ticket: Arc::clone(&ticket),
        };
        self.wait_for_room();
        // Another may apply it as soon as it is queued.
        self.kept.begin(&versions);
        if let Err(refused) = self.queue(snapshot.index(), reads, pending) {
            self.kept.take_back(&versions);
            return Err(refused);
        }
        // Only now may the window forget what this transaction could conflict with, and the floor
        // rise above what it keeps.
        drop(snapshot);
        Ok(CommitHandle {
            pipeline: Arc::clone(self),
            ticket,
        })
    }

    /// Gives a transaction at `snapshot` the next index and queues it, if it may commit.
    fn queue(
        &self,
        snapshot: Index,
        reads: &ReadSet,
        mut pending: Pending,
    ) -> Result<(), CommitError> {
        let mut state = self.state.lock();
        if let Some(stopped) = &state.stopped {
            return Err(stopped.clone());
        }
        if let Some(with) = state.window.conflict(snapshot, reads) {
            self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
            return Err(CommitError::Conflict { with });
        }
        pending.index = state.next;
        state.next = pending.index.next();
        state.window.insert(pending.index, &pending.mutations);
        state
            .window
            .forget(Index::new(self.registry.oldest().get()));
        state.queue_bytes += pending.payload.len();
        state.queue.push_back(pending);
        Ok(())
    }

    fn wait_for_room(&self) {
        loop {
            {
                let mut state = self.state.lock();
                if state.queue_bytes < QUEUE_BYTES_MAX || state.stopped.is_some() {
                    return;
                }
                if state.writer.is_none() {
                    self.drained.wait(&mut state);
                    continue;
                }
            }
            self.lead();
        }
    }

    /// Writes, applies and answers one batch, if nobody else leads and something is queued.
    /// Returns whether it did.
    pub(crate) fn lead(&self) -> bool {
        let Some((mut writer, batch, sync)) = self.take_batch() else {
            return false;
        };
        let purge = self.take_purge();
        let entries = batch.iter().map(Pending::record);
        let records: Vec<Record<'_>> = purge.into_iter().chain(entries).collect();
        match writer.append(&records, sync) {
            Ok(_) => {
                if let (Sync::Durable, Some(last)) = (sync, batch.last()) {
                    self.note_synced(last.index.get());
                }
                self.hand_over(writer);
                self.apply(batch);
            }
            Err(e @ AppendError::NoSpace(_)) => {
                // It may fit without the rest, and make room for what comes next.
                let alone = purge.map(|purge| writer.append(&[purge], Sync::Durable));
                let due = match alone {
                    Some(Err(failed)) if writer.has_failed() => {
                        drop(writer);
                        self.stop(batch, &failed.to_string());
                        return true;
                    }
                    Some(Err(_)) => purge.map(|purge| purge.id().index),
                    Some(Ok(_)) => {
                        self.bell.ring();
                        None
                    }
                    None => None,
                };
                self.reject(writer, batch, due, &e);
            }
            Err(e) => {
                // Whoever waits for the end of this leader may hand the folder on.
                drop(writer);
                self.stop(batch, &e.to_string());
            }
        }
        true
    }

    fn take_batch(&self) -> Option<(LogWriter, Vec<Pending>, Sync)> {
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            return None;
        }
        let writer = state.writer.take()?;
        state.leaders += 1;
        let mut bytes = 0;
        let fits = state
            .queue
            .iter()
            .take(BATCH_ENTRIES_MAX)
            .take_while(|pending| {
                bytes += pending.payload.len();
                bytes <= BATCH_BYTES_MAX
            });
        let count = fits.count().max(1);
        let batch: Vec<Pending> = state.queue.drain(..count).collect();
        state.queue_bytes -= batch
            .iter()
            .map(|pending| pending.payload.len())
            .sum::<usize>();
        let due = std::mem::take(&mut state.sync_due);
        let sync = if due || self.durability == Durability::Always {
            Sync::Durable
        } else {
            Sync::Later
        };
        self.drained.notify_all();
        Some((writer, batch, sync))
    }

    fn hand_over(&self, writer: LogWriter) {
        let mut state = self.state.lock();
        state.writer = Some(writer);
        // A long queue that nobody waits for is not searched.
        let appointed = self.waiting.load(Ordering::SeqCst) > 0
            && state.queue.iter().any(|pending| pending.ticket.appoint());
        if !appointed && !state.queue.is_empty() {
            self.bell.ring();
        }
        // Whoever waits for room can lead as well.
        self.drained.notify_one();
    }

    /// Applies a durable batch after the one before it, and answers its committers.
    fn apply(&self, mut batch: Vec<Pending>) {
        let Some((first, last)) = batch.first().zip(batch.last()) else {
            return;
        };
        let (before, last) = (first.index.get() - 1, last.index);
        while self.registry.visible.get() < before {
            self.registry.visible.wait_beyond(before - 1, TURN_CHECK);
            if self.has_failed() && self.registry.visible.get() < before {
                return self.stop(batch, "the entry before could not be applied");
            }
        }
        if self.durability == Durability::Always {
            self.forest.set_oldest_needed(self.registry.oldest());
        }
        for at in 0..batch.len() {
            let mutations = std::mem::take(&mut batch[at].mutations);
            let index = batch[at].index;
            self.forest.note_time(batch[at].unix_ms);
            if let Err(e) = apply_entry(&self.forest, &self.kinds, index, mutations) {
                return self.stop(batch, &e.to_string());
            }
        }
        // Whoever sees the row of a kept version can read that version.
        for pending in &batch {
            self.kept.apply(pending.index, &pending.versions);
        }
        self.registry.visible.advance(last.get());
        if self.forest.sealed_sets() > 0 {
            self.bells.flush.ring();
        }
        // From here on only others are told, and what they do then is their business: one may
        // close the database.
        self.state.lock().leaders -= 1;
        self.log.set_committed(GROUP, last);
        self.counters
            .commits
            .fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        for pending in batch {
            pending.ticket.resolve(Ok(pending.index));
        }
    }

    /// Nothing of the batch is in the log, so it and all behind it did not happen.
    fn reject(
        &self,
        writer: LogWriter,
        batch: Vec<Pending>,
        purge_due: Option<Index>,
        error: &AppendError,
    ) {
        let rejected = {
            let mut state = self.state.lock();
            let mut rejected = batch;
            rejected.extend(state.queue.drain(..));
            state.queue_bytes = 0;
            if let Some(first) = rejected.first() {
                state.next = first.index;
                state.window.take_back(first.index);
            }
            state.purge_due = state.purge_due.max(purge_due);
            state.writer = Some(writer);
            state.leaders -= 1;
            self.drained.notify_all();
            rejected
        };
        for pending in rejected {
            self.kept.take_back(&pending.versions);
            pending
                .ticket
                .resolve(Err(CommitError::NoSpace(error.clone())));
        }
    }

    /// Stops for a reason that lies outside of the pipeline.
    pub(crate) fn stop_because(&self, reason: &str) {
        self.state.lock().leaders += 1;
        self.stop(Vec::new(), reason);
    }

    /// The log has failed: nobody knows what is durable, so nothing more is accepted. What was to
    /// be kept stays pinned: the next life may find that it is.
    fn stop(&self, batch: Vec<Pending>, reason: &str) {
        let stopped = CommitError::Stopped(reason.into());
        let failed = {
            let mut state = self.state.lock();
            let mut failed = batch;
            failed.extend(state.queue.drain(..));
            state.queue_bytes = 0;
            state.leaders -= 1;
            if !matches!(state.stopped, Some(CommitError::Stopped(_))) {
                state.stopped = Some(stopped.clone());
            }
            self.drained.notify_all();
            failed
        };
        for pending in failed {
            pending.ticket.resolve(Err(stopped.clone()));
        }
        self.log.close();
    }

    /// Why no more commits are accepted, if none are.
    pub(crate) fn is_stopped(&self) -> Option<CommitError> {
        self.state.lock().stopped.clone()
    }

    fn has_failed(&self) -> bool {
        matches!(self.state.lock().stopped, Some(CommitError::Stopped(_)))
    }

    /// Waits until a snapshot sees `index`, or nothing more will happen.
    pub(crate) fn wait_visible(&self, index: Index) {
        self.wait_visible_while(index, || true);
    }

    /// Waits until the commit `index`, which another transaction was refused for, is visible, or
    /// was itself refused for lack of space, or nothing more will happen.
    pub(crate) fn wait_settled(&self, index: Index) {
        self.wait_visible_while(index, || self.state.lock().next > index);
    }

    fn wait_visible_while(&self, index: Index, expected: impl Fn() -> bool) {
        let visible = &self.registry.visible;
        while visible.get() < index.get() && self.is_stopped().is_none() && expected() {
            // Nobody may be waiting for the entry: then it is led here.
            if !self.lead() {
                visible.wait_beyond(index.get() - 1, TURN_CHECK);
            }
        }
    }

    /// Lends the writer to `work`, if it is at home. A failure stops the pipeline.
    pub(crate) fn with_writer(
        &self,
        work: impl FnOnce(&mut LogWriter) -> Result<(), AppendError>,
    ) -> Option<Result<(), AppendError>> {
        let mut writer = {
            let mut state = self.state.lock();
            let writer = state.writer.take()?;
            state.leaders += 1;
            writer
        };
        let result = work(&mut writer);
        match &result {
            Err(e) if writer.has_failed() => {
                drop(writer);
                self.stop(Vec::new(), &e.to_string());
            }
            _ => {
                self.hand_over(writer);
                self.state.lock().leaders -= 1;
            }
        }
        Some(result)
    }

    pub(crate) fn stats(&self) -> CommitStats {
        CommitStats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            batches: self.counters.batches.load(Ordering::Relaxed),
            conflicts: self.counters.conflicts.load(Ordering::Relaxed),
            queued: self.state.lock().queue.len() as u64,
        }
    }
}

impl Pending {
    fn record(&self) -> Record<'_> {
        let id = LogId {
            index: self.index,
            term: Term::ZERO,
        };
        Record::Entry {
            group: GROUP,
            id,
            payload: &self.payload,
        }
    }
}
