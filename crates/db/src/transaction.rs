//! Transactions: reads at one snapshot, writes that nobody else sees before they are committed.
//!
//! Everything read is remembered (points, and ranges as far as they were really read), so that
//! the commit can be refused if another transaction has changed any of it. A transaction that
//! only reads is never refused: its snapshot is one consistent state.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{self as forest, Direction, KeyRange, Seqno, TreeId};
use nexusbase_log::Index;

use crate::catalog;
use crate::database::Database;
use crate::error::{ReadError, WriteError};
use crate::read_set::{ReadRange, ReadSet};
use crate::snapshot::Snapshot;
use crate::view::{Row, Scan, View};
use crate::write_set::Writes;
use crate::{CommitError, CommitHandle, KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, VALUE_BYTES_MAX};

/// A transaction. Dropping it without [`Self::commit`] forgets its writes.
#[derive(Debug)]
pub struct Transaction {
    db: Database,
    snapshot: Snapshot,
    reads: RefCell<ReadSet>,
    writes: Writes,
    /// Bytes of all keys and values in `writes`.
    bytes: usize,
    /// Trees that only this transaction knows.
    created: BTreeSet<TreeId>,
    /// Trees that this transaction has dropped.
    dropped: BTreeSet<TreeId>,
    /// Trees that were looked up in the catalog: a drop by another is a conflict already.
    known: Vec<TreeId>,
}

impl Transaction {
    pub(crate) fn new(db: Database, snapshot: Snapshot) -> Self {
        Self {
            db,
            snapshot,
            reads: RefCell::default(),
            writes: Writes::new(),
            bytes: 0,
            created: BTreeSet::new(),
            dropped: BTreeSet::new(),
            known: Vec::new(),
        }
    }

    /// The last commit that this transaction sees.
    #[must_use]
    pub const fn snapshot_index(&self) -> Index {
        self.snapshot.index()
    }

    /// Puts `value` under `key`.
    ///
    /// # Errors
    /// When there is no such tree or a limit is exceeded.
    pub fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.check_tree(tree)?;
        self.put_unchecked(tree, key, value)
    }

    /// Deletes what is under `key`, if anything is.
    ///
    /// # Errors
    /// When there is no such tree or a limit is exceeded.
    pub fn delete(&mut self, tree: TreeId, key: &[u8]) -> Result<(), WriteError> {
        self.check_tree(tree)?;
        self.delete_unchecked(tree, key)
    }

    /// Creates a tree called `name`.
    ///
    /// # Errors
    /// When there is one already.
    pub fn create_tree(&mut self, name: &str) -> Result<TreeId, WriteError> {
        let id = catalog::create(self, name)?;
        self.created.insert(id);
        Ok(id)
    }

    /// Drops the tree called `name` with all its rows. Returns whether there was one.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn drop_tree(&mut self, name: &str) -> Result<bool, WriteError> {
        let Some(id) = catalog::remove(self, name)? else {
            return Ok(false);
        };
        self.writes.retain(|(tree, _), _| *tree != id);
        self.known.retain(|tree| *tree != id);
        self.dropped.insert(id);
        if self.created.remove(&id) {
            // Nobody else has ever seen it: the entry must not mention it at all.
            catalog::forget(&mut self.writes, id);
        }
        self.bytes = self
            .writes
            .iter()
            .map(|(k, v)| size(&k.1, v.as_ref()))
            .sum();
        Ok(true)
    }

    /// Hands the writes to the commit pipeline. They are visible and durable when the handle's
    /// wait is over, not before.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another transaction has changed what this one read; nothing
    /// is written then, and [`Database::transact`] would run it again.
    pub fn commit(self) -> Result<CommitHandle, CommitError> {
        let Self {
            db,
            snapshot,
            reads,
            writes,
            ..
        } = self;
        db.submit(snapshot, &reads.into_inner(), writes)
    }

    /// Refuses to read a tree that this transaction has dropped: its snapshot still has the rows.
    fn check_not_dropped(&self, tree: TreeId) -> Result<(), ReadError> {
        if self.dropped.contains(&tree) {
            let at = Seqno::new(self.snapshot.index().get());
            return Err(forest::ReadError::UnknownTree { tree, at }.into());
        }
        Ok(())
    }

    fn check_tree(&mut self, tree: TreeId) -> Result<(), WriteError> {
        if self.known.contains(&tree) {
            return Ok(());
        }
        if tree == catalog::CATALOG || !catalog::contains(self, tree)? {
            return Err(WriteError::NoSuchTree(tree));
        }
        self.known.push(tree);
        Ok(())
    }

    pub(crate) fn put_unchecked(
        &mut self,
        tree: TreeId,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), WriteError> {
        if value.len() > VALUE_BYTES_MAX {
            let bytes = value.len();
            return Err(WriteError::ValueTooLarge {
                bytes,
                limit: VALUE_BYTES_MAX,
            });
        }
        self.write(tree, key, Some(Bytes::copy_from_slice(value)))
    }

    pub(crate) fn delete_unchecked(&mut self, tree: TreeId, key: &[u8]) -> Result<(), WriteError> {
        self.write(tree, key, None)
    }

    fn write(&mut self, tree: TreeId, key: &[u8], value: Option<Bytes>) -> Result<(), WriteError> {
        if key.len() > KEY_BYTES_MAX {
            let bytes = key.len();
            return Err(WriteError::KeyTooLarge {
                bytes,
                limit: KEY_BYTES_MAX,
            });
        }
        let bytes = self.bytes + size(key, value.as_ref());
        if bytes > TRANSACTION_BYTES_MAX {
            let limit = TRANSACTION_BYTES_MAX;
            return Err(WriteError::TransactionTooLarge { bytes, limit });
        }
        let key = (tree, Bytes::copy_from_slice(key));
        self.bytes = bytes;
        let key_bytes = key.1.len();
        if let Some(before) = self.writes.insert(key, value) {
            self.bytes -= key_bytes + OVERHEAD + before.map_or(0, |value| value.len());
        }
        Ok(())
    }
}

/// What a change costs beside its key and value, so that a million empty ones count too.
const OVERHEAD: usize = 16;

fn size(key: &[u8], value: Option<&Bytes>) -> usize {
    OVERHEAD + key.len() + value.map_or(0, Bytes::len)
}

impl View for Transaction {
    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if !self.writes.is_empty()
            && let Some(own) = self.writes.get(&(tree, Bytes::copy_from_slice(key)))
        {
            return Ok(own.clone());
        }
        self.check_not_dropped(tree)?;
        if self.created.contains(&tree) {
            return Ok(None);
        }
        self.reads.borrow_mut().add_point(tree, key);
        self.snapshot.get(tree, key)
    }

    fn scan(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Scan<'_>, ReadError> {
        self.check_not_dropped(tree)?;
        let own = self.own_rows(tree, &range, direction);
        if self.created.contains(&tree) {
            return Ok(Scan::new(Merge::new(std::iter::empty(), own, direction)));
        }
        let rows = self.snapshot.scan(tree, range.clone(), direction)?;
        let tracked = Tracked {
            reads: &self.reads,
            tree,
            range,
            direction,
            rows,
            last: None,
            all: false,
        };
        Ok(Scan::new(Merge::new(tracked, own, direction)))
    }
}

/// A change of this transaction: a key, and its new value or none.
type OwnRow = (Bytes, Option<Bytes>);

impl Transaction {
    fn own_rows(&self, tree: TreeId, range: &KeyRange, direction: Direction) -> Vec<OwnRow> {
        if self.writes.is_empty() {
            return Vec::new();
        }
        let from = match range.start() {
            Bound::Included(key) | Bound::Excluded(key) => Bytes::copy_from_slice(key),
            Bound::Unbounded => Bytes::new(),
        };
        let mut rows: Vec<OwnRow> = self
            .writes
            .range((tree, from)..)
            .take_while(|((of, key), _)| *of == tree && !is_beyond(key, range.end()))
            .filter(|((_, key), _)| range.contains(key))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows
    }
}

fn is_beyond(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Included(end) => key > end,
        Bound::Excluded(end) => key >= end,
        Bound::Unbounded => false,
    }
}

/// A scan of the snapshot that remembers how far it has read.
struct Tracked<'a> {
    reads: &'a RefCell<ReadSet>,
    tree: TreeId,
    range: KeyRange,
    direction: Direction,
    rows: Scan<'a>,
    last: Option<Bytes>,
    /// Whether the scan came to its end.
    all: bool,
}

impl Iterator for Tracked<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.rows.next();
        match &row {
            Some(Ok((key, _))) => self.last = Some(key.clone()),
            Some(Err(_)) => {}
            None => self.all = true,
        }
        row
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        let owned = |bound: Bound<&[u8]>| bound.map(Bytes::copy_from_slice);
        let (mut start, mut end) = (owned(self.range.start()), owned(self.range.end()));
        if !self.all {
            let Some(last) = self.last.take() else { return };
            match self.direction {
                Direction::Forward => end = Bound::Included(last),
                Direction::Reverse => start = Bound::Included(last),
            }
        }
        self.reads.borrow_mut().add_range(ReadRange {
            tree: self.tree,
            start,
            end,
        });
    }
}

/// Rows of the snapshot with the transaction's own changes laid over them.
struct Merge<I: Iterator> {
    below: Peekable<I>,
    own: Peekable<std::vec::IntoIter<OwnRow>>,
    direction: Direction,
}

impl<I: Iterator<Item = Row>> Merge<I> {
    fn new(below: I, own: Vec<OwnRow>, direction: Direction) -> Self {
        Self {
            below: below.peekable(),
            own: own.into_iter().peekable(),
            direction,
        }
    }
}

impl<I: Iterator<Item = Row>> Iterator for Merge<I> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            let order = match (self.below.peek(), self.own.peek()) {
                (Some(Err(_)), _) | (_, None) => return self.below.next(),
                (None, Some(_)) => Ordering::Greater,
                (Some(Ok((below, _))), Some((own, _))) => match self.direction {
                    Direction::Forward => below.cmp(own),
                    Direction::Reverse => own.cmp(below),
                },
            };
            if order == Ordering::Less {
                return self.below.next();
            }
            if order == Ordering::Equal {
                // The own change hides the row.
                self.below.next();
            }
            if let Some((key, Some(value))) = self.own.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}
