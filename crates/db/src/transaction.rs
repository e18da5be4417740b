//! Transactions: reads at one snapshot, writes that nobody else sees before they are committed.
//!
//! Everything read is remembered (points, and ranges as far as they were really read), so that
//! the commit can be refused if another transaction has changed any of it. A transaction that
//! only reads is never refused: its snapshot is one consistent state.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;
use nexusbase_forest::{self as forest, Direction, KeyRange, Seqno, TreeId, TreeKind};
use nexusbase_log::Index;

use crate::catalog;
use crate::database::Database;
use crate::error::{ReadError, WriteError};
use crate::overlay::{Overlay, Tracked};
use crate::read_set::ReadSet;
use crate::snapshot::Snapshot;
use crate::span::Span;
use crate::view::{Row, Scan, View};
use crate::writes::{Write, Writes};
use crate::{
    CommitError, CommitHandle, KEY_BYTES_MAX, RANGE_DELETES_MAX, TRANSACTION_BYTES_MAX,
    VALUE_BYTES_MAX,
};

/// A transaction. Dropping it without [`Self::commit`] forgets its writes.
#[derive(Debug)]
pub struct Transaction {
    db: Database,
    snapshot: Snapshot,
    reads: RefCell<ReadSet>,
    writes: Writes,
    /// Trees that only this transaction knows.
    created: BTreeSet<TreeId>,
    /// Trees that this transaction has dropped.
    dropped: BTreeSet<TreeId>,
    /// Trees that were looked up in the catalog: a drop by another is a conflict already.
    known: Vec<(TreeId, TreeKind)>,
}

impl Transaction {
    pub(crate) fn new(db: Database, snapshot: Snapshot) -> Self {
        Self {
            db,
            snapshot,
            reads: RefCell::default(),
            writes: Writes::default(),
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

    /// The state that this transaction sees, without its own writes. What is read there is not
    /// remembered: whoever changes it does not conflict with this transaction.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Puts `value` under `key`. This reads nothing, so by itself it conflicts with nobody.
    ///
    /// In a tree of a [counted](TreeKind::counted) kind it reads what is there: the value of a key
    /// never changes in such a tree, so putting the same value does nothing, and putting another
    /// is refused, also when this transaction has deleted the key.
    ///
    /// # Errors
    /// When there is no such tree, a limit is exceeded, or the tree is counted and the key has
    /// another value.
    pub fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        if self.check_tree(tree)?.counted {
            return self.put_counted(tree, key, value);
        }
        self.put_unchecked(tree, key, value)
    }

    /// Deletes what is under `key`, if anything is. This reads nothing, so by itself it conflicts
    /// with nobody; but in a tree of a [counted](TreeKind::counted) kind it reads what is there.
    ///
    /// # Errors
    /// When there is no such tree or a limit is exceeded.
    pub fn delete(&mut self, tree: TreeId, key: &[u8]) -> Result<(), WriteError> {
        if self.check_tree(tree)?.counted {
            return self.delete_counted(tree, key);
        }
        self.delete_unchecked(tree, key)
    }

    /// Deletes all that is in `range`, as one change, however much it is: what others have
    /// committed before this transaction commits, and what it has itself written so far. What it
    /// writes there later stays. This reads nothing, so by itself it conflicts with nobody; who
    /// has read anything in the range, also that it was empty, conflicts with it.
    ///
    /// # Errors
    /// When there is no such tree, it is of a [counted](TreeKind::counted) kind (drop it and
    /// create it anew to empty it), or a limit is exceeded.
    pub fn delete_range(&mut self, tree: TreeId, range: &KeyRange) -> Result<(), WriteError> {
        let kind = self.check_tree(tree)?;
        if kind.counted {
            return Err(unsupported(tree, &kind, "delete a range of keys"));
        }
        let Some(span) = Span::of(range) else {
            return Ok(());
        };
        if self.created.contains(&tree) {
            // There is nothing but what this transaction has written.
            self.writes.remove_range(tree, &span);
            return Ok(());
        }
        let longest = span
            .end
            .as_ref()
            .map_or(0, Bytes::len)
            .max(span.start.len());
        // One more byte: a bound that excludes or includes the longest key.
        check_key(longest.saturating_sub(1))?;
        if self.writes.ranges() >= RANGE_DELETES_MAX {
            let limit = RANGE_DELETES_MAX;
            return Err(WriteError::TooManyRanges { limit });
        }
        self.check_room(span.bytes(), 0)?;
        self.writes.delete_range(tree, span);
        Ok(())
    }

    /// Joins `operand` with the value under `key`, as the tree's [kind](TreeKind::merge) says; it
    /// becomes the value where there is none. This reads nothing, so by itself it conflicts with
    /// nobody: many transactions can merge into one key at once. A transaction that reads the key
    /// afterwards sees it merged, and has read what lies beneath.
    ///
    /// # Errors
    /// When there is no such tree, it is of a kind that cannot merge, or a limit is exceeded.
    pub fn merge(&mut self, tree: TreeId, key: &[u8], operand: &[u8]) -> Result<(), WriteError> {
        let kind = self.check_tree(tree)?;
        let join = kind.merge.filter(|_| !kind.counted);
        let Some(join) = join else {
            return Err(unsupported(tree, &kind, "merge values"));
        };
        check_key(key.len())?;
        check_value(operand.len())?;
        let operand = Bytes::copy_from_slice(operand);
        let write = match self.writes.get(tree, key) {
            Some(Write::Put(value)) => Write::Put(join(value, &operand).into()),
            Some(Write::Merge(before, _)) => Write::Merge(join(before, &operand).into(), join),
            Some(Write::Delete) => Write::Put(operand),
            None if self.created.contains(&tree) || self.writes.hides(tree, key) => {
                Write::Put(operand)
            }
            None => Write::Merge(operand, join),
        };
        self.write(tree, key, write)
    }

    /// Creates a tree of plain rows, called `name`.
    ///
    /// # Errors
    /// When there is one already.
    pub fn create_tree(&mut self, name: &str) -> Result<TreeId, WriteError> {
        self.create_tree_of(name, &TreeKind::ROWS)
    }

    /// Creates a tree called `name` of a kind that the database was
    /// [opened with](crate::Options::kinds).
    ///
    /// # Errors
    /// When there is one already, or the kind is not known.
    pub fn create_tree_of(&mut self, name: &str, kind: &TreeKind) -> Result<TreeId, WriteError> {
        let known = self.db.kinds().get(kind.name).copied();
        let kind = known.ok_or(WriteError::UnknownKind(kind.name))?;
        let id = catalog::create(self, name, &kind)?;
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
        self.writes.remove_tree(id);
        self.known.retain(|(tree, _)| *tree != id);
        self.dropped.insert(id);
        if self.created.remove(&id) {
            // Nobody else has ever seen it: the entry must not mention it at all.
            catalog::forget(&mut self.writes, id);
        }
        Ok(true)
    }

    /// Keeps the state that this transaction sees (its snapshot, without its own writes) readable,
    /// as `owner`, from the commit of this transaction on until it is
    /// [released](Self::release_version): over restarts and crashes, and in copies. Returns the
    /// index of that state, to read it with [`Database::snapshot_at`]. Several owners may keep the
    /// same index; it stays until the last has released it.
    ///
    /// All trees of that state stay readable, those that are dropped later included. It costs the
    /// rows of that state that later commits replace or delete. (Rows that
    /// [expire](TreeKind::expiry) may be gone from it or not, as everywhere.)
    ///
    /// This reads whether `owner` keeps the same already, so of two transactions that keep one
    /// index as one owner at once the second conflicts.
    ///
    /// # Errors
    /// When the catalog cannot be read, or a limit is exceeded: `owner` is part of a key.
    pub fn keep_version(&mut self, owner: &str) -> Result<Index, WriteError> {
        catalog::keep(self, owner)
    }

    /// Gives back what `owner` [keeps](Self::keep_version) at `index`. Returns whether it did keep
    /// it. Snapshots of it that are open stay readable. The space is free for compactions to take
    /// when the log is sure to have the commit, and nothing else keeps or reads that index.
    ///
    /// # Errors
    /// As [`Self::keep_version`].
    pub fn release_version(&mut self, index: Index, owner: &str) -> Result<bool, WriteError> {
        if !catalog::release(self, index, owner)? {
            return Ok(false);
        }
        if index == self.snapshot_index() {
            // Only this transaction itself has kept it: the entry must not mention it at all.
            catalog::forget_kept(&mut self.writes, index, owner);
        }
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
        db.submit(snapshot, &reads.into_inner(), writes.into_mutations())
    }

    /// Refuses to read a tree that this transaction has dropped: its snapshot still has the rows.
    fn check_not_dropped(&self, tree: TreeId) -> Result<(), ReadError> {
        if self.dropped.contains(&tree) {
            let at = Seqno::new(self.snapshot.index().get());
            return Err(forest::ReadError::UnknownTree { tree, at }.into());
        }
        Ok(())
    }

    fn check_tree(&mut self, tree: TreeId) -> Result<TreeKind, WriteError> {
        if let Some((_, kind)) = self.known.iter().find(|(known, _)| *known == tree) {
            return Ok(*kind);
        }
        if tree == catalog::CATALOG {
            return Err(WriteError::NoSuchTree(tree));
        }
        let kind = catalog::kind_of(self, self.db.kinds(), tree)?;
        let kind = kind.ok_or(WriteError::NoSuchTree(tree))?;
        self.known.push((tree, kind));
        Ok(kind)
    }

    /// A put that reaches the log inserts a key that is not there.
    fn put_counted(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        check_key(key.len())?;
        check_value(value.len())?;
        let was_deleted = self.writes.get(tree, key).is_some();
        let found = match self.get(tree, key)? {
            Some(found) => Some(found),
            // Only what is there is ever deleted.
            None if was_deleted => self.get_below(tree, key)?,
            None => return self.put_unchecked(tree, key, value),
        };
        if found.is_none_or(|found| found != value) {
            return Err(WriteError::CountedTree(tree));
        }
        if matches!(self.writes.get(tree, key), Some(Write::Delete)) {
            self.writes.remove(tree, key);
        }
        Ok(())
    }

    /// A delete that reaches the log removes a key that is there.
    fn delete_counted(&mut self, tree: TreeId, key: &[u8]) -> Result<(), WriteError> {
        if self.get(tree, key)?.is_none() {
            return Ok(());
        }
        if self.writes.get(tree, key).is_some() {
            // This transaction has put it, so it was not there before.
            self.writes.remove(tree, key);
            return Ok(());
        }
        self.delete_unchecked(tree, key)
    }

    pub(crate) fn put_unchecked(
        &mut self,
        tree: TreeId,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), WriteError> {
        self.write(tree, key, Write::Put(Bytes::copy_from_slice(value)))
    }

    pub(crate) fn delete_unchecked(&mut self, tree: TreeId, key: &[u8]) -> Result<(), WriteError> {
        self.write(tree, key, Write::Delete)
    }

    fn write(&mut self, tree: TreeId, key: &[u8], write: Write) -> Result<(), WriteError> {
        let value = match &write {
            Write::Put(bytes) | Write::Merge(bytes, _) => bytes.len(),
            Write::Delete => 0,
        };
        check_value(value)?;
        check_key(key.len())?;
        self.check_room(key.len(), value)?;
        self.writes.insert(tree, key, write);
        Ok(())
    }

    fn check_room(&self, key: usize, value: usize) -> Result<(), WriteError> {
        let bytes = self.writes.bytes_with(key, value);
        if bytes > TRANSACTION_BYTES_MAX {
            let limit = TRANSACTION_BYTES_MAX;
            return Err(WriteError::TransactionTooLarge { bytes, limit });
        }
        Ok(())
    }
}

const fn check_key(bytes: usize) -> Result<(), WriteError> {
    if bytes > KEY_BYTES_MAX {
        let limit = KEY_BYTES_MAX;
        return Err(WriteError::KeyTooLarge { bytes, limit });
    }
    Ok(())
}

const fn check_value(bytes: usize) -> Result<(), WriteError> {
    if bytes > VALUE_BYTES_MAX {
        let limit = VALUE_BYTES_MAX;
        return Err(WriteError::ValueTooLarge { bytes, limit });
    }
    Ok(())
}

const fn unsupported(tree: TreeId, kind: &TreeKind, what: &'static str) -> WriteError {
    let kind = kind.name;
    WriteError::Unsupported { tree, kind, what }
}

impl Transaction {
    /// What lies beneath this transaction's own write of a key.
    fn get_below(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.check_not_dropped(tree)?;
        if self.created.contains(&tree) || self.writes.hides(tree, key) {
            return Ok(None);
        }
        self.reads.borrow_mut().add_point(tree, key);
        self.snapshot.get(tree, key)
    }

    /// The snapshot's rows in `range`, remembered as far as they are read.
    fn tracked(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Tracked<'_>, ReadError> {
        let rows = self.snapshot.scan(tree, range.clone(), direction)?;
        Ok(Tracked {
            reads: &self.reads,
            tree,
            range,
            direction,
            rows,
            last: None,
            all: false,
        })
    }

    /// The snapshot's rows in `range` that no range hides which this transaction has deleted.
    /// What is hidden is not read.
    fn not_hidden(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> impl Iterator<Item = Row> + use<'_> {
        let span = Span::of(range);
        let mut spans = span.map_or_else(Vec::new, |span| self.writes.not_hidden(tree, span));
        if direction == Direction::Reverse {
            spans.reverse();
        }
        spans.into_iter().flat_map(move |span| {
            let (rows, error) = match self.tracked(tree, span.range(), direction) {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            rows.into_iter().flatten().chain(error)
        })
    }
}

impl View for Transaction {
    fn estimate(&self, tree: TreeId, range: &KeyRange) -> Result<u64, ReadError> {
        self.snapshot.estimate(tree, range)
    }

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match self.writes.get(tree, key) {
            Some(own @ Write::Merge(..)) => {
                let below = self.get_below(tree, key)?;
                Ok(own.over(below.as_ref()))
            }
            Some(own) => Ok(own.over(None)),
            None => self.get_below(tree, key),
        }
    }

    fn scan(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Scan<'_>, ReadError> {
        self.check_not_dropped(tree)?;
        let own = self.writes.rows(tree, &range, direction);
        if self.created.contains(&tree) {
            return Ok(Scan::new(Overlay::new(std::iter::empty(), own, direction)));
        }
        if self.writes.ranges() > 0 {
            let rows = self.not_hidden(tree, &range, direction);
            return Ok(Scan::new(Overlay::new(rows, own, direction)));
        }
        let rows = self.tracked(tree, range, direction)?;
        Ok(Scan::new(Overlay::new(rows, own, direction)))
    }
}
