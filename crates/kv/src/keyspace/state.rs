//! One state of a store: entries in a persistent tree, and which of them expire when.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use crate::btree::{BTree, Cursor};
use crate::domain::{Direction, Entry, KeyRange};

/// So many expired entries at least go with each commit, or twice as many as it has changes: they
/// never pile up, and no commit pays for all.
const EXPIRED_PER_COMMIT: usize = 16;

/// A change of one key, or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<K = Bytes> {
    Put(K, Entry),
    Delete(K),
    Clear,
}

impl<K: AsRef<[u8]>> Change<K> {
    /// The same, with the key where it is.
    pub(crate) fn borrowed(&self) -> Change<&[u8]> {
        match self {
            Self::Put(key, entry) => Change::Put(key.as_ref(), entry.clone()),
            Self::Delete(key) => Change::Delete(key.as_ref()),
            Self::Clear => Change::Clear,
        }
    }
}

/// What is under a key, and which commit put it there.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) entry: Entry,
    /// The commit; two cells of a key with the same stamp are the same.
    pub(crate) stamp: u64,
}

/// One state of a store. A copy costs nothing.
#[derive(Clone, Default)]
pub(crate) struct State {
    cells: BTree<Cell>,
    /// When what expires: eight bytes of time, big-endian, and the key.
    expiring: BTree<()>,
    /// The last commit.
    stamp: u64,
    /// Bytes of values.
    value_bytes: u64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are nobody's business in a log.
        f.debug_struct("State")
            .field("entries", &self.cells.len())
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl State {
    /// What is under `key`, expired or not.
    pub(crate) fn cell(&self, key: &[u8]) -> Option<&Cell> {
        self.cells.get(key)
    }

    /// What is under `key` and has not expired at `now_ms`.
    pub(crate) fn live(&self, key: &[u8], now_ms: u64) -> Option<&Cell> {
        self.cell(key).filter(|cell| !cell.entry.is_expired(now_ms))
    }

    /// A walk through the cells of `range`, expired or not.
    pub(crate) fn cursor(&self, range: &KeyRange, direction: Direction) -> Cursor<Cell> {
        let reverse = direction == Direction::Reverse;
        self.cells.cursor(range.start(), range.end(), reverse)
    }

    /// How many entries have not expired at `now_ms`.
    pub(crate) fn count(&self, now_ms: u64) -> u64 {
        let mut expired = 0;
        let end = now_ms.checked_add(1).map(u64::to_be_bytes);
        let end = end
            .as_ref()
            .map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let mut cursor = self.expiring.cursor(Bound::Unbounded, end, false);
        while cursor.next().is_some() {
            expired += 1;
        }
        self.cells.len() as u64 - expired
    }

    /// Entries, expired ones included.
    pub(crate) fn len(&self) -> u64 {
        self.cells.len() as u64
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.cells.key_bytes() as u64 + self.value_bytes
    }

    /// Whether nothing has changed between the two.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.stamp == other.stamp && self.cells.same_as(&other.cells)
    }

    /// Calls `visit` for each key under which the two have not the same cell, with both cells,
    /// until it answers false. What they share is not looked at.
    pub(crate) fn each_difference(
        &self,
        other: &Self,
        mut visit: impl FnMut(&[u8], Option<&Cell>, Option<&Cell>) -> bool,
    ) {
        let mut differences = BTree::diff(&self.cells, &other.cells);
        while let Some((key, old, new)) = differences.next() {
            let same = match (old, new) {
                (Some(old), Some(new)) => old.stamp == new.stamp,
                _ => false,
            };
            if !same && !visit(key, old, new) {
                return;
            }
        }
    }

    /// The stamp of the next commit.
    pub(crate) const fn next_stamp(&self) -> u64 {
        self.stamp + 1
    }

    /// The state of these rows, all of one commit; fastest when they come in the order of their keys.
    /// Of several rows with one key the last one counts. Ends at the first error.
    pub(crate) fn from_rows<E>(
        rows: impl IntoIterator<Item = Result<(Bytes, Entry), E>>,
        stamp: u64,
    ) -> Result<Self, E> {
        let mut failed = None;
        let rows = rows.into_iter().map_while(|row| match row {
            Ok((key, entry)) => Some((key, Cell { entry, stamp })),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        let cells = BTree::from_sorted(rows);
        if let Some(error) = failed {
            return Err(error);
        }
        let mut state = Self {
            cells,
            stamp,
            ..Self::default()
        };
        let mut cursor = state
            .cells
            .cursor(Bound::Unbounded, Bound::Unbounded, false);
        while let Some((key, cell)) = cursor.next() {
            state.value_bytes += cell.entry.value.len() as u64;
            if let Some(time) = cell.entry.expires_ms {
                state.expiring.insert(&expiry_row(time, key), ());
            }
        }
        Ok(state)
    }

    /// Works in one commit. Returns what was there before it was cleared, to be freed when nobody
    /// waits for it.
    #[must_use]
    pub(crate) fn apply<K: AsRef<[u8]>>(
        &mut self,
        changes: Vec<Change<K>>,
        now_ms: impl FnOnce() -> u64,
    ) -> Option<Self> {
        self.stamp += 1;
        let most = EXPIRED_PER_COMMIT.max(changes.len().saturating_mul(2));
        let mut cleared = None;
        for change in changes {
            match change {
                Change::Put(key, entry) => self.put(key.as_ref(), entry),
                Change::Delete(key) => self.delete(key.as_ref()),
                Change::Clear => {
                    let stamp = self.stamp;
                    let empty = Self {
                        stamp,
                        ..Self::default()
                    };
                    let before = std::mem::replace(self, empty);
                    cleared.get_or_insert(before);
                }
            }
        }
        if !self.expiring.is_empty() {
            self.drop_expired(now_ms(), most);
        }
        cleared
    }

    /// The same entries, as the commit that follows `before`. Its cells must be cells that an earlier
    /// state of the same keyspace had, or have [`State::next_stamp`] of `before`.
    pub(crate) fn replacing(mut self, before: &Self) -> Self {
        self.stamp = before.next_stamp();
        self
    }

    /// Drops at most `most` of the entries that have expired at `now_ms`. Returns how many.
    pub(crate) fn drop_expired(&mut self, now_ms: u64, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most && !self.expiring.is_empty() {
            let mut first = self
                .expiring
                .cursor(Bound::Unbounded, Bound::Unbounded, false);
            let Some((row, ())) = first.next() else { break };
            let Some((time, key)) = row.split_first_chunk() else {
                break;
            };
            if u64::from_be_bytes(*time) > now_ms {
                break;
            }
            let key = key.to_vec();
            // The cursor shares the tree, which would be copied.
            drop(first);
            self.delete(&key);
            dropped += 1;
        }
        dropped
    }

    fn put(&mut self, key: &[u8], entry: Entry) {
        let stamp = self.stamp;
        self.value_bytes += entry.value.len() as u64;
        if let Some(time) = entry.expires_ms {
            self.expiring.insert(&expiry_row(time, key), ());
        }
        let time = entry.expires_ms;
        if let Some(before) = self.cells.insert(key, Cell { entry, stamp }) {
            self.forget(key, &before.entry, time);
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some(before) = self.cells.remove(key) {
            self.forget(key, &before.entry, None);
        }
    }

    /// Takes an entry that is gone out of the books; `time` is when its successor expires.
    fn forget(&mut self, key: &[u8], before: &Entry, time: Option<u64>) {
        self.value_bytes -= before.value.len() as u64;
        if let Some(expired) = before.expires_ms.filter(|expired| Some(*expired) != time) {
            self.expiring.remove(&expiry_row(expired, key));
        }
    }
}

fn expiry_row(time_ms: u64, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + key.len());
    row.extend_from_slice(&time_ms.to_be_bytes());
    row.extend_from_slice(key);
    row
}
