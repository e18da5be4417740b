//! Snapshots: one state of all trees, held as long as somebody reads it.
//!
//! The registry knows which indices are being read. It is what keeps old versions alive, and it
//! is the only thing that a reader and the commit path share: a lock held for a few instructions.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    self as forest, Cursor, Direction, Forest, KeyRange, RangeSum, Seqno, TreeId,
};
use nexusbase_log::{Index, Watermark};
use parking_lot::Mutex;

use crate::error::ReadError;
use crate::kept::Kept;
use crate::view::{COUNTED_ROWS, Scan, View};

/// The indices that are being read.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// The last index that readers may see.
    pub(crate) visible: Watermark,
    /// Lock `db.readers`: index to number of readers.
    readers: Mutex<BTreeMap<u64, usize>>,
}

impl Registry {
    fn enter(&self) -> u64 {
        let mut readers = self.readers.lock();
        // Read under the lock: `oldest` cannot have answered with a later index before.
        let index = self.visible.get();
        *readers.entry(index).or_default() += 1;
        index
    }

    fn leave(&self, index: u64) {
        let mut readers = self.readers.lock();
        if let Some(count) = readers.get_mut(&index) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&index);
            }
        }
    }

    /// No reader, now or later, reads below this index.
    pub(crate) fn oldest(&self) -> Seqno {
        let readers = self.readers.lock();
        let oldest = readers.keys().next().copied();
        Seqno::new(oldest.unwrap_or_else(|| self.visible.get()))
    }

    pub(crate) fn count(&self) -> usize {
        self.readers.lock().values().sum()
    }
}

/// One state of all trees. Cheap to take and to hold; never waits and makes nobody wait.
#[derive(Debug)]
pub struct Snapshot {
    forest: Arc<Forest>,
    hold: Hold,
    index: u64,
}

/// What keeps the state of a snapshot readable.
#[derive(Debug)]
enum Hold {
    /// The floor stays below it.
    Floor(Arc<Registry>),
    /// It is pinned.
    Pin(Arc<Kept>),
}

impl Snapshot {
    /// Takes a snapshot at the visible index.
    pub(crate) fn take(forest: &Arc<Forest>, registry: &Arc<Registry>) -> Self {
        let index = registry.enter();
        Self {
            forest: Arc::clone(forest),
            hold: Hold::Floor(Arc::clone(registry)),
            index,
        }
    }

    /// Takes a snapshot of a kept version, if it is kept.
    pub(crate) fn take_kept(forest: &Arc<Forest>, kept: &Arc<Kept>, index: Index) -> Option<Self> {
        kept.enter(index).then(|| Self {
            forest: Arc::clone(forest),
            hold: Hold::Pin(Arc::clone(kept)),
            index: index.get(),
        })
    }

    /// The last commit that this snapshot sees.
    #[must_use]
    pub const fn index(&self) -> Index {
        Index::new(self.index)
    }
}

impl Snapshot {
    /// A walk through the rows in `range`, which lends keys and values instead of copying them:
    /// the fastest way to read many.
    ///
    /// # Errors
    /// [`ReadError`] when there is no such tree, or it cannot be read.
    pub fn cursor(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Cursor, ReadError> {
        let at = Seqno::new(self.index);
        Ok(self.forest.cursor(tree, range, direction, at)?)
    }

    /// The number of rows in `range` and the sum of their fingerprints. What it costs is said at
    /// [`Forest::sum`].
    ///
    /// # Errors
    /// As [`Snapshot::cursor`].
    pub fn sum(&self, tree: TreeId, range: &KeyRange) -> Result<RangeSum, ReadError> {
        Ok(self.forest.sum(tree, range, Seqno::new(self.index))?)
    }
}

impl Snapshot {
    /// Counts up to [`COUNTED_ROWS`] rows, and beyond them asks the forest.
    fn estimate_rows(&self, tree: TreeId, range: &KeyRange) -> Result<u64, ReadError> {
        let mut cursor = self.cursor(tree, range.clone(), Direction::Forward)?;
        let mut rows = 0;
        while rows < COUNTED_ROWS as u64 && cursor.advance().map_err(forest::ReadError::from)? {
            rows += 1;
        }
        if rows < COUNTED_ROWS as u64 {
            return Ok(rows);
        }
        let estimate = self.forest.estimate(tree, range, Seqno::new(self.index))?;
        Ok(estimate.max(rows))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        match &self.hold {
            Hold::Floor(registry) => registry.leave(self.index),
            Hold::Pin(kept) => kept.leave(self.index()),
        }
    }
}

impl View for Snapshot {
    fn as_snapshot(&self) -> Option<&Snapshot> {
        Some(self)
    }

    fn estimate(&self, tree: TreeId, range: &KeyRange) -> Result<u64, ReadError> {
        match self.estimate_rows(tree, range) {
            // A tree that is not there, or not yet, has no rows.
            Err(ReadError::Forest(forest::ReadError::UnknownTree { .. })) => Ok(0),
            estimate => estimate,
        }
    }

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.forest.get(tree, key, Seqno::new(self.index))?)
    }

    fn scan(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Scan<'_>, ReadError> {
        let rows = self
            .forest
            .scan(tree, range, direction, Seqno::new(self.index))?;
        Ok(Scan::new(rows.map(|row| row.map_err(ReadError::from))))
    }
}
