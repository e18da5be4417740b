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

use nexusbase_forest::{Forest, Mutation, Seqno};
use nexusbase_io::Clock;
use nexusbase_log::{AppendError, Group, Index, Log, LogId, LogWriter, Record, Sync, Term};
use parking_lot::{Condvar, Mutex};

use crate::apply::apply_entry;
use crate::background::Bells;
use crate::conflicts::ConflictWindow;
use crate::error::CommitError;
use crate::housekeeping::Bell;
use crate::kinds::Kinds;
use crate::options::Durability;
use crate::read_set::ReadSet;
use crate::snapshot::{Registry, Snapshot};
use crate::ticket::Ticket;
use crate::write_set;

mod handle;
#[cfg(test)]
mod tests;

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
        let payload = write_set::encode(&mutations, unix_ms);
        let ticket = Arc::new(Ticket::default());
        self.wait_for_room();
        {
            let mut state = self.state.lock();
            if let Some(stopped) = &state.stopped {
                return Err(stopped.clone());
            }
            if let Some(with) = state.window.conflict(snapshot.index(), reads) {
                self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                return Err(CommitError::Conflict { with });
            }
            let index = state.next;
            state.next = index.next();
            state.window.insert(index, &mutations);
            state
                .window
                .forget(Index::new(self.registry.oldest().get()));
            state.queue_bytes += payload.len();
            state.queue.push_back(Pending {
                index,
                payload,
                unix_ms,
                mutations,
                ticket: Arc::clone(&ticket),
            });
        }
        // Only now may the window forget what this transaction could conflict with.
        drop(snapshot);
        Ok(CommitHandle {
            pipeline: Arc::clone(self),
            ticket,
        })
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
                    self.synced.fetch_max(last.index.get(), Ordering::Relaxed);
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

    /// The log has failed: nobody knows what is durable, so nothing more is accepted.
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

    /// Why nothing more is to be begun, if somebody has begun to close.
    pub(crate) fn is_closing(&self) -> Option<CommitError> {
        let state = self.state.lock();
        (state.closing != Closing::No).then_some(CommitError::Closed)
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

    /// Makes what is visible durable in the log, if the writer is at home. Only then may it be worked
    /// into tables: a range delete that a power cut takes back must have deleted nothing.
    pub(crate) fn sync_log(&self) -> Option<Result<(), AppendError>> {
        let oldest = self.registry.oldest();
        // What is applied was written before.
        let applied = self.forest.applied();
        let synced = self.with_writer(LogWriter::sync);
        if matches!(synced, Some(Ok(()))) {
            self.synced.fetch_max(applied.get(), Ordering::Relaxed);
            self.forest.set_oldest_needed(oldest);
        }
        synced
    }

    /// Entries up to this one are known to be durable in the log.
    pub(crate) fn synced(&self) -> Seqno {
        if self.durability == Durability::Always {
            return Seqno::new(u64::MAX);
        }
        Seqno::new(self.synced.load(Ordering::Relaxed))
    }

    /// Tells the log that nobody will need the entries up to `up_to` to open the database again:
    /// what they did is durable elsewhere, which is the caller's to know. Housekeeping then
    /// recycles segments, except those that a reader of the log still needs.
    ///
    /// Where the writer is away, its next leader writes it down.
    pub(crate) fn purge_log(&self, up_to: Index) -> Result<(), AppendError> {
        let up_to = up_to.min(Index::new(self.registry.visible.get()));
        if up_to <= self.log.group(GROUP).purged.index {
            return Ok(());
        }
        {
            let mut state = self.state.lock();
            state.purge_due = state.purge_due.max(Some(up_to));
        }
        let told = self.with_writer(|writer| match self.take_purge() {
            Some(purge) => writer.append(&[purge], Sync::Durable).map(drop),
            // A leader was faster.
            None => Ok(()),
        });
        if matches!(told, Some(Err(AppendError::NoSpace(_)))) {
            self.state.lock().purge_due.get_or_insert(up_to);
        }
        self.bell.ring();
        told.unwrap_or(Ok(()))
    }

    fn take_purge(&self) -> Option<Record<'static>> {
        let index = self.state.lock().purge_due.take()?;
        let term = Term::ZERO;
        let up_to = LogId { index, term };
        Some(Record::PurgeUpTo {
            group: GROUP,
            up_to,
        })
    }

    /// Asks the next leader for a sync.
    pub(crate) fn request_sync(&self) {
        self.state.lock().sync_due = true;
    }

    /// Accepts nothing more. Returns whether the caller is the one to close it: it then calls
    /// [`Self::finish`] and [`Self::end_close`]; all others [`Self::wait_closed`].
    pub(crate) fn begin_close(&self) -> bool {
        let mut state = self.state.lock();
        if state.closing != Closing::No {
            return false;
        }
        state.closing = Closing::Begun;
        state.stopped.get_or_insert(CommitError::Closed);
        true
    }

    /// Finishes what is queued, waits for all who write or apply, and makes everything durable.
    pub(crate) fn finish(&self) -> Result<(), CommitError> {
        let (failed, writer) = loop {
            while self.lead() {}
            let seen = self.registry.visible.get();
            {
                let mut state = self.state.lock();
                if state.leaders == 0 && state.queue.is_empty() {
                    let failed = state.stopped.clone().filter(CommitError::is_failure);
                    break (failed, state.writer.take());
                }
            }
            // Somebody leads: what they write moves the visible index.
            self.registry
                .visible
                .wait_beyond(seen, Duration::from_millis(1));
        };
        self.log
            .set_committed(GROUP, Index::new(self.registry.visible.get()));
        self.log.close();
        if let Some(failed) = failed {
            return Err(failed);
        }
        match writer.map(|mut writer| writer.claim()) {
            // The claim is a safeguard; without room for it nothing is lost.
            None | Some(Ok(()) | Err(AppendError::NoSpace(_))) => Ok(()),
            Some(Err(e)) => {
                let failed = CommitError::Stopped(e.to_string().into());
                self.state.lock().stopped = Some(failed.clone());
                Err(failed)
            }
        }
    }

    /// Says that the folder is free.
    pub(crate) fn end_close(&self) {
        self.state.lock().closing = Closing::Done;
        self.drained.notify_all();
    }

    /// Waits until another has closed it.
    pub(crate) fn wait_closed(&self) -> Result<(), CommitError> {
        let mut state = self.state.lock();
        while state.closing != Closing::Done {
            self.drained.wait(&mut state);
        }
        match &state.stopped {
            Some(failed) if failed.is_failure() => Err(failed.clone()),
            _ => Ok(()),
        }
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
