//! The writes of a transaction: what it puts, deletes and merges, and which ranges it deletes.
//!
//! A range delete affects only what earlier commits have put: what this transaction had buffered
//! inside the range is dropped when the range is deleted, and what it buffers later stays.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{Change, Direction, KeyRange, Merge, Mutation, TreeId};

use crate::span::{Span, Spans};

/// What a change costs beside its key and value, so that a million empty ones count too.
const OVERHEAD: usize = 16;

/// What becomes of one key.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(Bytes),
    Delete,
    /// An operand, and how this tree joins it with what lies beneath.
    Merge(Bytes, Merge),
}

impl Write {
    fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Put(bytes) | Self::Merge(bytes, _) => Some(bytes),
            Self::Delete => None,
        }
    }

    /// What a reader sees, if `below` lies beneath.
    pub(crate) fn over(&self, below: Option<&Bytes>) -> Option<Bytes> {
        match (self, below) {
            (Self::Merge(operand, join), Some(below)) => Some(join(below, operand).into()),
            (write, _) => write.value().cloned(),
        }
    }
}

/// A key that this transaction writes, and what becomes of it.
pub(crate) type OwnRow = (Bytes, Write);

/// The writes of a transaction: at most one per tree and key.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    keys: BTreeMap<(TreeId, Bytes), Write>,
    deleted: Spans,
    /// Of all keys, values and bounds, each with its overhead.
    bytes: usize,
}

impl Writes {
    /// What they take.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes + self.deleted.bytes() + OVERHEAD * self.deleted.len()
    }

    /// What they would take at most with another of such a key and value.
    pub(crate) const fn bytes_with(&self, key: usize, value: usize) -> usize {
        self.bytes() + OVERHEAD + key + value
    }

    /// How many ranges are deleted.
    pub(crate) const fn ranges(&self) -> usize {
        self.deleted.len()
    }

    pub(crate) fn get(&self, tree: TreeId, key: &[u8]) -> Option<&Write> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys.get(&(tree, Bytes::copy_from_slice(key)))
    }

    /// Whether a range that was deleted hides what lies beneath at `key`.
    pub(crate) fn hides(&self, tree: TreeId, key: &[u8]) -> bool {
        self.deleted.contains(tree, key)
    }

    /// What of `span` can still be seen of what lies beneath.
    pub(crate) fn not_hidden(&self, tree: TreeId, span: Span) -> Vec<Span> {
        self.deleted.gaps(tree, span)
    }

    pub(crate) fn insert(&mut self, tree: TreeId, key: &[u8], write: Write) {
        let key = (tree, Bytes::copy_from_slice(key));
        self.bytes += size(&key.1, &write);
        let key_bytes = key.1.len();
        if let Some(before) = self.keys.insert(key, write) {
            self.bytes -= OVERHEAD + key_bytes + before.value().map_or(0, Bytes::len);
        }
    }

    /// Takes the write of a key back, as if it had never been made.
    pub(crate) fn remove(&mut self, tree: TreeId, key: &[u8]) {
        let key = (tree, Bytes::copy_from_slice(key));
        if let Some(write) = self.keys.remove(&key) {
            self.bytes -= size(&key.1, &write);
        }
    }

    /// Drops what was buffered inside `span`.
    pub(crate) fn remove_range(&mut self, tree: TreeId, span: &Span) {
        let from = (tree, span.start.clone());
        let inside = |(of, key): &(TreeId, Bytes)| {
            *of == tree && span.end.as_ref().is_none_or(|end| key < end)
        };
        let dropped: Vec<_> = self
            .keys
            .range(from..)
            .map(|(key, _)| key)
            .take_while(|key| inside(key))
            .cloned()
            .collect();
        for key in dropped {
            if let Some(write) = self.keys.remove(&key) {
                self.bytes -= size(&key.1, &write);
            }
        }
    }

    /// Deletes what earlier commits have put inside `span`.
    pub(crate) fn delete_range(&mut self, tree: TreeId, span: Span) {
        self.remove_range(tree, &span);
        self.deleted.add(tree, span);
    }

    /// Drops all that concerns a tree.
    pub(crate) fn remove_tree(&mut self, tree: TreeId) {
        self.remove_range(tree, &Span::ALL);
        self.deleted.remove_tree(tree);
    }

    /// The keys of `range` that are written.
    pub(crate) fn rows(&self, tree: TreeId, range: &KeyRange, direction: Direction) -> Vec<OwnRow> {
        if self.keys.is_empty() {
            return Vec::new();
        }
        let from = match range.start() {
            Bound::Included(key) | Bound::Excluded(key) => Bytes::copy_from_slice(key),
            Bound::Unbounded => Bytes::new(),
        };
        let mut rows: Vec<OwnRow> = self
            .keys
            .range((tree, from)..)
            .take_while(|((of, key), _)| *of == tree && !is_beyond(key, range.end()))
            .filter(|((_, key), _)| range.contains(key))
            .map(|((_, key), write)| (key.clone(), write.clone()))
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows
    }

    /// All of them, in the order in which a write set has them.
    pub(crate) fn into_mutations(self) -> Vec<Mutation> {
        let ranges = self.deleted.iter().map(|(tree, Span { start, end })| {
            let (key, change) = (start, Change::DeleteRange { end });
            Mutation { tree, key, change }
        });
        let mut mutations: Vec<Mutation> = ranges.collect();
        let any_ranges = !mutations.is_empty();
        mutations.extend(self.keys.into_iter().map(|((tree, key), write)| {
            let change = match write {
                Write::Put(value) => Change::Put(value),
                Write::Delete => Change::Delete,
                Write::Merge(operand, _) => Change::Merge(operand),
            };
            Mutation { tree, key, change }
        }));
        if any_ranges {
            // Stable: the ranges of a tree stay before its keys.
            mutations.sort_by_key(|mutation| mutation.tree);
        }
        mutations
    }
}

fn size(key: &[u8], write: &Write) -> usize {
    OVERHEAD + key.len() + write.value().map_or(0, Bytes::len)
}

fn is_beyond(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Included(end) => key > end,
        Bound::Excluded(end) => key >= end,
        Bound::Unbounded => false,
    }
}
