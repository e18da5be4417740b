//! The forest itself: the set of trees, the one applier, and the readers' entrance.
//!
//! Locks: `applier` is held while an entry is applied, `roster` while a tree is created, dropped or
//! freed, in that order when both are needed. No read takes either.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::memtable::{Memtable, Row};
use crate::{ApplyError, Change, Direction, KeyRange, Mutation, ReadError, Scan, Seqno, TreeId};

/// How many superseded versions an entry cleans up for each that it writes, at most, so that a
/// backlog shrinks without stopping the applier.
const PURGES_PER_MUTATION: usize = 2;

/// Many ordered trees, written in the order of one log.
#[derive(Debug, Default)]
pub struct Forest {
    trees: ArcSwap<Roster>,
    roster: Mutex<()>,
    applier: Mutex<Applier>,
    horizon: Arc<Horizon>,
}

type Roster = BTreeMap<TreeId, Tree>;

#[derive(Clone, Debug, Default)]
struct Tree {
    table: Arc<Memtable>,
    /// From this seqno on the tree does not exist.
    dropped: Option<Seqno>,
}

/// What only the applying thread needs.
#[derive(Debug, Default)]
struct Applier {
    /// Versions that hide others, in the order of their seqnos.
    superseding: VecDeque<Superseding>,
}

/// A version that hides older ones: once nobody reads below it they can go.
#[derive(Debug)]
struct Superseding {
    seqno: Seqno,
    tree: TreeId,
    key: Bytes,
}

/// The seqnos between which reads are possible.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    applied: AtomicU64,
    oldest_needed: AtomicU64,
}

impl Horizon {
    pub(crate) fn applied(&self) -> Seqno {
        Seqno::new(self.applied.load(Ordering::Acquire))
    }

    pub(crate) fn oldest_needed(&self) -> Seqno {
        Seqno::new(self.oldest_needed.load(Ordering::Acquire))
    }

    /// Whether nothing that a read at `at` should have seen was dropped. Asked *after* reading:
    /// versions go only after the horizon has moved.
    pub(crate) fn check_kept(&self, at: Seqno) -> Result<(), ReadError> {
        let oldest_needed = self.oldest_needed();
        if at < oldest_needed {
            return Err(ReadError::TooOld { at, oldest_needed });
        }
        Ok(())
    }

    fn check_applied(&self, at: Seqno) -> Result<(), ReadError> {
        let applied = self.applied();
        if at > applied {
            return Err(ReadError::NotApplied { at, applied });
        }
        Ok(())
    }
}

/// Figures about the forest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Each tree that still takes memory, dropped ones included.
    pub trees: BTreeMap<TreeId, TreeStats>,
    /// Versions that hide older ones which somebody may still need, or nobody has cleaned up.
    pub superseding: usize,
}

/// Figures about one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeStats {
    /// Versions of keys, tombstones included.
    pub entries: u64,
    /// About how much memory they take.
    pub bytes: u64,
}

impl Forest {
    /// A forest without trees, to which nothing was applied.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty tree, which exists at every seqno.
    ///
    /// # Errors
    /// [`ApplyError::TreeExists`] when there is one with this id, even a dropped one that earlier
    /// readers still see. An id must never be used twice, also when it is no longer noticed.
    pub fn create_tree(&self, id: TreeId) -> Result<(), ApplyError> {
        let _roster = self.roster.lock();
        let mut trees = Roster::clone(&self.trees.load());
        if trees.insert(id, Tree::default()).is_some() {
            return Err(ApplyError::TreeExists(id));
        }
        self.trees.store(Arc::new(trees));
        Ok(())
    }

    /// Drops a tree: it is gone for readers at `at` and later, and for entries applied from now
    /// on. Earlier readers still see it; its memory is free once
    /// [`Forest::oldest_needed`] has reached `at` and no scan of it is left.
    ///
    /// `at` is the entry that drops it: the last one applied or the next one.
    ///
    /// # Errors
    /// [`ApplyError::UnknownTree`] when there is none, [`ApplyError::Gap`] when `at` is another
    /// entry.
    pub fn drop_tree(&self, id: TreeId, at: Seqno) -> Result<(), ApplyError> {
        let applied = self.applied();
        if at != applied && !follows(applied, at) {
            return Err(ApplyError::Gap {
                expected: next(applied),
                found: at,
            });
        }
        let roster = self.roster.lock();
        let mut trees = Roster::clone(&self.trees.load());
        match trees.get_mut(&id) {
            Some(tree) if tree.dropped.is_none() => tree.dropped = Some(at),
            _ => return Err(ApplyError::UnknownTree(id)),
        }
        self.trees.store(Arc::new(trees));
        drop(roster);
        self.free_dropped();
        Ok(())
    }

    /// Applies the entry `at`: what it writes can be read at `at` and later, and is not seen by
    /// readers below. A key that comes twice has the last change.
    ///
    /// One entry is applied at a time; a second caller waits. Readers do not.
    ///
    /// # Errors
    /// [`ApplyError::Gap`] when `at` does not follow [`Forest::applied`]: nothing has happened.
    /// [`ApplyError::UnknownTree`]: `applied` has not moved, so that no reader can see a part of
    /// the entry, and the same entry may be applied again once the tree exists.
    pub fn apply(
        &self,
        at: Seqno,
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> Result<(), ApplyError> {
        let mut applier = self.applier.lock();
        let applied = self.applied();
        if !follows(applied, at) {
            return Err(ApplyError::Gap {
                expected: next(applied),
                found: at,
            });
        }
        let trees = self.trees.load();
        let mut purges = 0;
        for Mutation {
            tree: id,
            key,
            change,
        } in mutations
        {
            let tree = trees.get(&id).filter(|tree| tree.dropped.is_none());
            let tree = tree.ok_or(ApplyError::UnknownTree(id))?;
            if let Some(key) = tree.table.write(Row::new(key, at), change) {
                applier.superseding.push_back(Superseding {
                    seqno: at,
                    tree: id,
                    key,
                });
            }
            purges += PURGES_PER_MUTATION;
        }
        self.horizon.applied.store(at.get(), Ordering::Release);
        applier.purge(&trees, self.oldest_needed(), purges.max(1));
        Ok(())
    }

    /// Applies all entries up to `through` at once: what a recovery does, with no reader there.
    /// Only the last change of each key is kept, and everything older than `through` is no longer
    /// needed. Sorting first makes this faster than one entry after the other: neighbours in the
    /// table are written one after another.
    ///
    /// # Errors
    /// [`ApplyError::Gap`] when a change is not of an entry behind [`Forest::applied`] and up to
    /// `through`, [`ApplyError::UnknownTree`] as for [`Forest::apply`].
    pub fn replay(
        &self,
        through: Seqno,
        changes: Vec<(Seqno, Mutation)>,
    ) -> Result<(), ApplyError> {
        {
            let mut applier = self.applier.lock();
            let applied = self.applied();
            if let Some((at, _)) = changes
                .iter()
                .find(|(at, _)| *at <= applied || *at > through)
            {
                return Err(ApplyError::Gap {
                    expected: next(applied),
                    found: *at,
                });
            }
            let trees = self.trees.load();
            for (id, row, change) in newest_in_order(changes) {
                let tree = trees.get(&id).filter(|tree| tree.dropped.is_none());
                let tree = tree.ok_or(ApplyError::UnknownTree(id))?;
                if let Some(key) = tree.table.write(row, change) {
                    applier.superseding.push_back(Superseding {
                        seqno: through,
                        tree: id,
                        key,
                    });
                }
            }
            self.horizon.applied.store(through.get(), Ordering::Release);
            applier.purge(&trees, through, usize::MAX);
        }
        self.set_oldest_needed(through);
        Ok(())
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Seqno {
        self.horizon.applied()
    }

    /// The lowest seqno that can be read at.
    #[must_use]
    pub fn oldest_needed(&self) -> Seqno {
        self.horizon.oldest_needed()
    }

    /// Declares that nobody will read below `at` any more: versions that only such readers could
    /// see are dropped while later entries are applied, dropped trees at once. Never goes back,
    /// and never beyond what is applied.
    pub fn set_oldest_needed(&self, at: Seqno) {
        let at = at.min(self.applied());
        if self
            .horizon
            .oldest_needed
            .fetch_max(at.get(), Ordering::AcqRel)
            < at.get()
        {
            self.free_dropped();
        }
    }

    fn free_dropped(&self) {
        let oldest_needed = self.oldest_needed();
        let is_free = |tree: &Tree| tree.dropped.is_some_and(|at| at <= oldest_needed);
        if !self.trees.load().values().any(is_free) {
            return;
        }
        let roster = self.roster.lock();
        let mut trees = Roster::clone(&self.trees.load());
        trees.retain(|_, tree| !is_free(tree));
        let before = self.trees.swap(Arc::new(trees));
        drop(roster);
        // The memory of large trees is given back without the lock.
        drop(before);
    }

    /// The value of `key` at seqno `at`.
    ///
    /// # Errors
    /// [`ReadError::UnknownTree`], [`ReadError::TooOld`], [`ReadError::NotApplied`].
    pub fn get(&self, tree: TreeId, key: &[u8], at: Seqno) -> Result<Option<Bytes>, ReadError> {
        self.horizon.check_applied(at)?;
        let trees = self.trees.load();
        let table = table(&trees, tree, at)?;
        let value = table
            .newest(key, at)
            .and_then(|version| version.value().clone());
        self.horizon.check_kept(at)?;
        Ok(value)
    }

    /// The keys in `range` and their values at seqno `at`, in order. The scan holds nothing that
    /// anybody waits for, however long it lives; but it fails when [`Forest::oldest_needed`]
    /// passes `at`.
    ///
    /// # Errors
    /// [`ReadError::UnknownTree`], [`ReadError::TooOld`], [`ReadError::NotApplied`].
    pub fn scan(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
        at: Seqno,
    ) -> Result<Scan, ReadError> {
        self.horizon.check_applied(at)?;
        let trees = self.trees.load();
        let table = Arc::clone(table(&trees, tree, at)?);
        self.horizon.check_kept(at)?;
        Ok(Scan::new(
            table,
            Arc::clone(&self.horizon),
            range,
            direction,
            at,
        ))
    }

    /// How much there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let superseding = self.applier.lock().superseding.len();
        let figures = |tree: &Tree| TreeStats {
            entries: tree.table.versions(),
            bytes: tree.table.bytes(),
        };
        let trees = self.trees.load();
        Stats {
            trees: trees
                .iter()
                .map(|(id, tree)| (*id, figures(tree)))
                .collect(),
            superseding,
        }
    }
}

impl Applier {
    /// Removes up to about `limit` versions that no reader at `oldest_needed` or later can see.
    fn purge(&mut self, trees: &Roster, oldest_needed: Seqno, limit: usize) {
        let mut purged = 0;
        while purged < limit {
            let due = |first: &mut Superseding| first.seqno <= oldest_needed;
            let Some(Superseding { seqno, tree, key }) = self.superseding.pop_front_if(due) else {
                return;
            };
            // A tree that is gone has taken its versions along.
            if let Some(tree) = trees.get(&tree) {
                purged += tree.table.purge(&key, seqno).max(1);
            }
        }
    }
}

/// The last change of each key, by tree and key.
fn newest_in_order(changes: Vec<(Seqno, Mutation)>) -> Vec<(TreeId, Row, Change)> {
    let row = |(at, mutation): (Seqno, Mutation)| {
        (mutation.tree, Row::new(mutation.key, at), mutation.change)
    };
    // Newest first among the versions of a key; and, because the sort is stable, of two changes of
    // one key by one entry the later one first.
    let mut rows: Vec<_> = changes.into_iter().rev().map(row).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    rows.dedup_by(|later, kept| later.0 == kept.0 && later.1.is_version_of(&kept.1));
    rows
}

fn table(trees: &Roster, tree: TreeId, at: Seqno) -> Result<&Arc<Memtable>, ReadError> {
    let found = trees
        .get(&tree)
        .filter(|found| found.dropped.is_none_or(|dropped| at < dropped));
    found
        .map(|found| &found.table)
        .ok_or(ReadError::UnknownTree { tree, at })
}

fn follows(applied: Seqno, at: Seqno) -> bool {
    at.get().checked_sub(1) == Some(applied.get())
}

fn next(applied: Seqno) -> Seqno {
    Seqno::new(applied.get().saturating_add(1))
}
