//! One tree in memory: all versions of its keys, which one thread adds to and many read, none
//! waiting for another.
//!
//! It only grows. Nothing is removed or overwritten but by a second write of the same entry to the
//! same key, tombstones stay, and all memory is given back when the memtable is dropped.
//!
//! What it promises a reader at seqno S that is not above what is applied: gets and cursors show
//! every row of the entries up to S, once and in order. Rows of later entries may show or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

mod arena;
mod cursor;
mod filter;
mod node;
#[cfg(test)]
mod pause;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use cursor::MemtableCursor;

use self::filter::{Fill, Filter};
use self::node::Target;
use self::tree::{Growth, Tree};
use crate::mutation::RowChange;
use crate::row::Cell;
use crate::{KeyRange, Seqno, TreeKind};

/// What the allocations behind a row's key and value take beside them. Both are mostly slices of
/// a log entry, which also has other parts.
const SHARED_BYTES: u64 = 16;

/// A row. Its key and value are not copied: they keep alive what they are slices of.
#[derive(Debug)]
struct Row {
    key: Bytes,
    seqno: Seqno,
    cell: MemCell,
}

impl Row {
    fn place(&self) -> Target<'_> {
        Target {
            key: &self.key,
            seqno: self.seqno,
        }
    }
}

/// What a row says of its key: a [`Cell`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemCell {
    bytes: Bytes,
    what: What,
    weight: i8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Put,
    Delete,
    Merge,
}

impl MemCell {
    const fn delete(weight: i8) -> Self {
        Self {
            bytes: Bytes::new(),
            what: What::Delete,
            weight,
        }
    }

    /// The cell that a change makes, and before it another change of the same entry.
    fn new(kind: &TreeKind, change: RowChange, replaced: Option<&Self>) -> Self {
        let (what, bytes) = match change {
            RowChange::Put(value) => (What::Put, value),
            RowChange::Delete => (What::Delete, Bytes::new()),
            RowChange::Merge(operand) => (What::Merge, operand),
        };
        let weight = match what {
            What::Put | What::Delete if kind.counted => {
                // Rows after the entry less rows before it. The first change of the entry tells
                // whether there was one before, so this comes out the same when an entry is
                // applied twice.
                let was_there = replaced.map_or(what == What::Delete, Self::was_there);
                i8::from(what == What::Put) - i8::from(was_there)
            }
            What::Put => 1,
            What::Delete | What::Merge => 0,
        };
        Self {
            bytes,
            what,
            weight,
        }
    }

    /// Whether the key was there before the entry that wrote this cell, in a counted tree.
    fn was_there(&self) -> bool {
        i8::from(self.what == What::Put) - self.weight == 1
    }

    /// What the row adds to the number of live rows.
    pub(crate) const fn weight(&self) -> i8 {
        self.weight
    }

    /// Its content. Never a blob.
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self.what {
            What::Put => Cell::Put(&self.bytes),
            What::Delete => Cell::Delete,
            What::Merge => Cell::Merge(&self.bytes),
        }
    }

    /// The value or operand; nothing if it is a tombstone.
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// All versions of the keys of one tree.
#[derive(Debug)]
pub(crate) struct Memtable {
    filter: Filter,
    tree: Tree,
    writer: Mutex<Writer>,
    bytes: AtomicU64,
    versions: AtomicU64,
    min_seqno: AtomicU64,
    max_seqno: AtomicU64,
}

/// What only the writer needs.
#[derive(Debug)]
struct Writer {
    growth: Growth,
    fill: Fill,
    /// Bytes of keys and values.
    payload: u64,
}

impl Memtable {
    /// An empty memtable that will take about so much memory.
    pub(crate) fn new(expected_bytes: u64) -> Self {
        let filter = Filter::new(expected_bytes);
        let (tree, growth) = Tree::new();
        let filter_bytes = filter.bytes();
        let bytes = size_of::<Self>() as u64 + filter_bytes + growth.bytes;
        Self {
            filter,
            tree,
            writer: Mutex::new(Writer {
                growth,
                fill: Fill::default(),
                // From here on, what later stages of the filter take is added.
                payload: filter_bytes,
            }),
            bytes: AtomicU64::new(bytes),
            versions: AtomicU64::new(0),
            min_seqno: AtomicU64::new(u64::MAX),
            max_seqno: AtomicU64::new(0),
        }
    }

    /// Writes a version of a key, or writes it again: then it replaces the one of the same seqno.
    ///
    /// Only the applier writes, and moves `applied` on (with Release) when it has written all of
    /// an entry. Readers at seqnos up to `applied` (read with Acquire) never see half an entry.
    pub(crate) fn write(&self, kind: &TreeKind, key: Bytes, seqno: Seqno, change: RowChange) {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let mut payload = key.len() as u64 + SHARED_BYTES;
        let filter_bytes = self.filter.add(&mut writer.fill, xxh3_64(&key));
        let is_new = self.tree.write(&mut writer.growth, key, seqno, |replaced| {
            let cell = MemCell::new(kind, change, replaced);
            payload += cell.bytes.len() as u64;
            cell
        });
        // What was replaced still takes its memory.
        writer.payload += payload + filter_bytes;
        let bytes = writer.growth.bytes + writer.payload + size_of::<Self>() as u64;
        self.bytes.store(bytes, Ordering::Relaxed);
        if is_new {
            self.versions.fetch_add(1, Ordering::Relaxed);
        }
        self.min_seqno.fetch_min(seqno.get(), Ordering::Relaxed);
        self.max_seqno.fetch_max(seqno.get(), Ordering::Relaxed);
    }

    /// Looks at the newest version of `key` up to `at`, or that there is none. `hash` is the
    /// `xxh3_64` of the key.
    pub(crate) fn get<R>(
        &self,
        key: &[u8],
        hash: u64,
        at: Seqno,
        look: impl FnOnce(Option<(Seqno, &MemCell)>) -> R,
    ) -> R {
        if !self.filter.may_have(hash) {
            return look(None);
        }
        let row = self.tree.newest(key, at);
        look(row.map(|row| (row.seqno, &row.cell)))
    }

    /// A cursor over all rows.
    pub(crate) fn cursor(self: &Arc<Self>) -> MemtableCursor {
        MemtableCursor::new(Arc::clone(self))
    }

    /// About how many versions `range` has, tombstones included.
    pub(crate) fn estimate(&self, range: &KeyRange) -> u64 {
        self.tree.estimate(range)
    }

    /// How many versions there are, tombstones included.
    pub(crate) fn versions(&self) -> u64 {
        self.versions.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.versions() == 0
    }

    /// The lowest seqno of a version.
    #[cfg(test)]
    pub(crate) fn min_seqno(&self) -> Option<Seqno> {
        (!self.is_empty()).then(|| Seqno::new(self.min_seqno.load(Ordering::Relaxed)))
    }

    /// The highest seqno of a version.
    #[cfg(test)]
    pub(crate) fn max_seqno(&self) -> Option<Seqno> {
        (!self.is_empty()).then(|| Seqno::new(self.max_seqno.load(Ordering::Relaxed)))
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
