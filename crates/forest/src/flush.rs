//! Flushing: the oldest sealed memtables of all trees become tables of level 0, and one edit of
//! the manifest says both that, and that everything up to there is in tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::background::{Background, Opened};
use crate::compaction::picker::Busy;
use crate::error::StepError;
use crate::forest::{Forest, SealedSet};
use crate::manifest::edit::Edit;
use crate::memtable::Memtable;
use crate::rewrite::{Output, Rewrite};
use crate::source::Source;
use crate::{Seqno, TreeId};

/// Given back when a flush ends, however it does.
struct Turn<'a>(&'a Forest);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.background.lock().flushing = false;
    }
}

/// Given back when the removal of a tree ends, however it does.
struct Removing<'a>(&'a Forest, TreeId);

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        self.0.background.lock().removing.remove(&self.1);
    }
}

impl Forest {
    /// Writes the oldest sealed memtables into tables. Returns whether there were any. One caller
    /// at a time does it; others are told that there is nothing to do. The entries that were
    /// sealed must be durable in the log before, or tables might have what the log has lost.
    ///
    /// # Errors
    /// When the disk does not take it: everything is as before and it may be tried again, unless
    /// it is [`StepError::Manifest`].
    pub fn flush_step(&self) -> Result<bool, StepError> {
        self.flush_step_up_to(Seqno::MAX)
    }

    /// As [`Forest::flush_step`], but only if the memtables hold nothing behind `sure`: what the
    /// log is not sure to have after a power cut must not be in tables.
    ///
    /// # Errors
    /// As [`Forest::flush_step`].
    pub fn flush_step_up_to(&self, sure: Seqno) -> Result<bool, StepError> {
        {
            let mut background = self.background.lock();
            if background.flushing {
                return Ok(false);
            }
            background.flushing = true;
        }
        let _turn = Turn(self);
        let set = self.sealing.lock().sets.front().cloned();
        let Some(set) = set.filter(|set| set.through <= sure) else {
            return Ok(false);
        };
        self.flush(&set)?;
        self.cache.unpin(set.bytes);
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn flush(&self, set: &Arc<SealedSet>) -> Result<(), StepError> {
        let mut edit = Edit {
            flushed_through: Some(self.flushed_mark(set.through)),
            ..Edit::default()
        };
        let happened = &set.happened;
        let created = happened.created.iter();
        edit.trees_created = created
            .map(|(id, kind)| (*id, (*kind).to_owned()))
            .collect();
        edit.trees_dropped.clone_from(&happened.dropped);
        edit.range_deletes_added.clone_from(&happened.range_deletes);
        let mut opened = Opened::default();
        let written = self.flush_trees(set, &mut edit, &mut opened);
        let committed = written.and_then(|()| self.commit(edit, &opened, Some(set)));
        if let Err(error) = committed {
            self.discard(&opened, &error);
            return Err(error);
        }
        Ok(())
    }

    fn flush_trees(
        &self,
        set: &SealedSet,
        edit: &mut Edit,
        opened: &mut Opened,
    ) -> Result<(), StepError> {
        for (id, memtable) in &set.memtables {
            let output = self.flush_tree(*id, memtable, set.through)?;
            let bytes = output.bytes();
            self.counters
                .flushed_bytes
                .fetch_add(bytes, Ordering::Relaxed);
            opened.tables.extend(output.opened.tables);
            opened.blobs.extend(output.opened.blobs);
            edit.blobs_added.extend(output.blobs);
            let tables = output.tables.into_iter();
            edit.added.extend(tables.map(|table| (*id, 0, table)));
        }
        Ok(())
    }

    fn flush_tree(
        &self,
        id: TreeId,
        memtable: &Arc<Memtable>,
        through: Seqno,
    ) -> Result<Output, StepError> {
        // The retention before the picture: what the picture lacks is needed by nobody.
        let retention = self.retention(through);
        let roster = self.trees.load_full();
        let Some(tree) = roster.get(id) else {
            return Ok(Output::default());
        };
        if tree
            .dropped
            .is_some_and(|dropped| dropped <= retention.oldest())
        {
            // Nobody can read it any more.
            return Ok(Output::default());
        }
        // The memtable is the oldest there is: beneath it are only tables.
        let is_bottom = tree.tables.is_empty();
        self.rewrite(Rewrite {
            id,
            tree,
            sources: vec![Source::memtable(memtable)],
            retention,
            bottom: is_bottom,
            last_level: false,
            leave: BTreeSet::new(),
            single: true,
        })
    }

    /// Removes what was written for an edit that did not come about. After a failure of the
    /// manifest nobody knows whether it did, so the next opening decides.
    pub(crate) fn discard(&self, opened: &Opened, error: &StepError) {
        if matches!(error, StepError::Manifest(_)) {
            return;
        }
        for table in &opened.tables {
            let _ = self.fs.remove(table.path());
        }
        for (_, blob) in &opened.blobs {
            let _ = self.fs.remove(blob.path());
        }
    }

    #[cfg(feature = "broken-on-purpose")]
    fn flushed_mark(&self, through: Seqno) -> Seqno {
        if self.options.broken == crate::options::Broken::FlushedTooHigh {
            return Seqno::new(through.get() + 1);
        }
        through
    }

    #[cfg(not(feature = "broken-on-purpose"))]
    #[expect(clippy::unused_self, reason = "as its broken variant")]
    const fn flushed_mark(&self, through: Seqno) -> Seqno {
        through
    }

    /// Whether nothing waits for a flush and nobody is at a flush or a compaction.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        if self.sealed_sets() > 0 {
            return false;
        }
        let background = self.background.lock();
        !background.flushing && background.busy.values().all(Busy::is_empty)
    }

    /// Everything up to this entry is in tables.
    #[must_use]
    pub fn flushed_through(&self) -> Seqno {
        self.background.lock().state.flushed_through
    }

    /// Removes a dropped tree that nobody can read any more, with its files. Returns whether
    /// there was one.
    ///
    /// # Errors
    /// As [`Forest::flush_step`].
    pub fn remove_tree_step(&self) -> Result<bool, StepError> {
        let oldest = self.retention(self.flushed_through()).oldest();
        let gone = {
            let mut background = self.background.lock();
            let Background {
                state,
                busy,
                removing,
                ..
            } = &mut *background;
            let mut trees = state.trees.iter();
            let gone = trees.find(|(id, files)| {
                files.dropped.is_some_and(|at| at <= oldest)
                    && busy.get(id).is_none_or(Busy::is_empty)
                    && !removing.contains(id)
            });
            let gone = gone.map(|(id, _)| *id);
            removing.extend(gone);
            gone
        };
        let Some(id) = gone else {
            return Ok(false);
        };
        let _removing = Removing(self, id);
        // Its memtables may still wait for their flush; then it has another turn.
        let roster = self.trees.load_full();
        if roster
            .get(id)
            .is_some_and(|tree| !tree.sealed.is_empty() || !tree.active.is_empty())
        {
            return Ok(false);
        }
        let edit = Edit {
            trees_removed: vec![id],
            ..Edit::default()
        };
        self.commit(edit, &Opened::default(), None)?;
        Ok(true)
    }
}
