//! Deletes of whole ranges of keys: which of them lie over a key.
//!
//! They are few and do not lie in tables: each tree has one set of them, which never changes but
//! is replaced. A delete hides the rows of its range with a lesser seqno from readers at or above
//! its own, but not the rows of a table that it was worked into (`purged_through`): some of those
//! have lost their seqno.
//!
//! Promises: finding what lies over a key takes a binary search, and walking along keys one
//! comparison each. Does not: say which rows a delete was worked into; that is the table's.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::table::meta::TableMeta;
use crate::{Direction, Seqno};

#[cfg(test)]
mod tests;

/// All keys from `start` on and before `end` were deleted by one entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RangeDelete {
    pub(crate) start: Bytes,
    /// The first key that stays. None: there is none.
    pub(crate) end: Option<Bytes>,
    pub(crate) seqno: Seqno,
}

impl RangeDelete {
    /// Whether a key between these two, both included, may be in it.
    pub(crate) fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        *self.start <= *last && self.end.as_ref().is_none_or(|end| first < end.as_ref())
    }

    /// Whether every key between these two, both included, is in it.
    pub(crate) fn covers(&self, first: &[u8], last: &[u8]) -> bool {
        *self.start <= *first && self.end.as_ref().is_none_or(|end| last < end.as_ref())
    }

    /// Whether a row of this table may be older than it and does not know of it yet.
    pub(crate) fn concerns(&self, table: &TableMeta) -> bool {
        table.aggregate.min_seqno < self.seqno
            && table.purged_through < self.seqno
            && self.overlaps(&table.first, &table.last)
    }
}

/// The range deletes of a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeDeletes {
    originals: Vec<RangeDelete>,
    /// Cut at every start and end: pieces with the same deletes over all their keys. Ascending;
    /// each goes up to the next; over what is before the first there is none.
    fragments: Vec<Fragment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fragment {
    start: Bytes,
    /// Of the deletes over it, newest first.
    seqnos: Box<[Seqno]>,
}

impl RangeDeletes {
    /// These, in any order.
    pub(crate) fn new(deletes: &[RangeDelete]) -> Self {
        let originals = deletes.to_vec();
        let fragments = fragments(&originals);
        Self {
            originals,
            fragments,
        }
    }

    /// These and one more.
    pub(crate) fn with(&self, delete: RangeDelete) -> Self {
        let mut originals = self.originals.clone();
        originals.push(delete);
        let fragments = fragments(&originals);
        Self {
            originals,
            fragments,
        }
    }

    /// Whether no key is hidden by any.
    pub(crate) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// As they were put in.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RangeDelete> {
        self.originals.iter()
    }

    /// The newest delete over `key` that a reader at `at` sees. It hides the row if it is newer
    /// than the row and than what was worked into the row's table.
    pub(crate) fn covering(&self, key: &[u8], at: Seqno) -> Option<Seqno> {
        newest_seen(self.seqnos(self.position(key)), at)
    }

    /// Whether a row is hidden from a reader at `at`.
    #[cfg(test)]
    pub(crate) fn hides(&self, key: &[u8], row: Seqno, purged_through: Seqno, at: Seqno) -> bool {
        self.covering(key, at)
            .is_some_and(|seqno| seqno > row.max(purged_through))
    }

    /// How many fragments begin at or before `key`.
    fn position(&self, key: &[u8]) -> usize {
        self.fragments
            .partition_point(|fragment| fragment.start <= key)
    }

    /// The deletes over the keys of a position, newest first.
    fn seqnos(&self, position: usize) -> &[Seqno] {
        match position.checked_sub(1).and_then(|i| self.fragments.get(i)) {
            Some(fragment) => &fragment.seqnos,
            None => &[],
        }
    }
}

/// The newest of some deletes, given newest first, that a reader at `at` sees.
pub(crate) fn newest_seen(seqnos: &[Seqno], at: Seqno) -> Option<Seqno> {
    let newer = seqnos.partition_point(|seqno| *seqno > at);
    seqnos.get(newer).copied()
}

/// The oldest of some deletes, given newest first, that is newer than `seqno`.
pub(crate) fn oldest_above(seqnos: &[Seqno], seqno: Seqno) -> Option<Seqno> {
    let newer = seqnos.partition_point(|delete| *delete > seqno);
    seqnos.get(newer.checked_sub(1)?).copied()
}

fn fragments(deletes: &[RangeDelete]) -> Vec<Fragment> {
    let mut edges: Vec<(&Bytes, Seqno, bool)> = Vec::with_capacity(2 * deletes.len());
    for delete in deletes {
        if delete.end.as_ref().is_some_and(|end| *end <= delete.start) {
            continue;
        }
        edges.push((&delete.start, delete.seqno, true));
        edges.extend(delete.end.as_ref().map(|end| (end, delete.seqno, false)));
    }
    edges.sort_unstable();
    // Two deletes of one entry may overlap.
    let mut over: BTreeMap<Seqno, usize> = BTreeMap::new();
    let mut fragments: Vec<Fragment> = Vec::new();
    for group in edges.chunk_by(|a, b| a.0 == b.0) {
        for (_, seqno, begins) in group {
            let count = over.entry(*seqno).or_default();
            *count = count.wrapping_add_signed(if *begins { 1 } else { -1 });
        }
        over.retain(|_, count| *count != 0);
        let seqnos: Box<[Seqno]> = over.keys().rev().copied().collect();
        let before: &[Seqno] = fragments.last().map_or(&[], |fragment| &fragment.seqnos);
        if before != &*seqnos {
            let start = group[0].0.clone();
            fragments.push(Fragment { start, seqnos });
        }
    }
    fragments
}

/// A place among the range deletes that moves along with keys.
#[derive(Debug)]
pub(crate) struct RangeDeletesCursor {
    deletes: Arc<RangeDeletes>,
    /// Of the last key. None: no key was asked for since it was told to jump.
    position: Option<usize>,
}

impl RangeDeletesCursor {
    pub(crate) fn new(deletes: Arc<RangeDeletes>) -> Self {
        let position = None;
        Self { deletes, position }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deletes.is_empty()
    }

    /// The next key may be anywhere.
    pub(crate) fn jump(&mut self) {
        self.position = None;
    }

    /// The seqnos of the deletes over a key, newest first. Without a jump, it must not lie before
    /// the last key in the direction of the walk.
    pub(crate) fn over(&mut self, key: &[u8], walk: Direction) -> &[Seqno] {
        let fragments = &self.deletes.fragments;
        let position = match (self.position, walk) {
            (Some(at), Direction::Forward)
                if fragments.get(at).is_none_or(|next| *key < *next.start) =>
            {
                at
            }
            (Some(at), Direction::Reverse)
                if at == 0 || fragments.get(at - 1).is_some_and(|f| *f.start <= *key) =>
            {
                at
            }
            _ => self.deletes.position(key),
        };
        self.position = Some(position);
        self.deletes.seqnos(position)
    }
}
