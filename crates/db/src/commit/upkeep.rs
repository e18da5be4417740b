//! What housekeeping and flushes want of the log: that it is synced, and that it is purged.

use std::sync::atomic::Ordering;

use nexusbase_forest::Seqno;
use nexusbase_log::{AppendError, Index, LogId, LogWriter, Record, Sync, Term};

use super::{GROUP, Pipeline};
use crate::options::Durability;

impl Pipeline {
    /// Makes what is visible durable in the log, if the writer is at home. Only then may it be worked
    /// into tables: a range delete that a power cut takes back must have deleted nothing.
    pub(crate) fn sync_log(&self) -> Option<Result<(), AppendError>> {
        let oldest = self.registry.oldest();
        // What is applied was written before.
        let applied = self.forest.applied();
        let synced = self.with_writer(LogWriter::sync);
        if matches!(synced, Some(Ok(()))) {
            self.note_synced(applied.get());
            self.forest.set_oldest_needed(oldest);
        }
        synced
    }

    pub(super) fn note_synced(&self, through: u64) {
        self.synced.fetch_max(through, Ordering::Relaxed);
        self.kept.durable(through);
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

    pub(super) fn take_purge(&self) -> Option<Record<'static>> {
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
}
