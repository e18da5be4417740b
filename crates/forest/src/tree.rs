//! One tree as readers see it, and the set of all: immutable pictures that are replaced as a
//! whole, by swapping one pointer, when a memtable is sealed, a table added, a tree dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blob::BlobFile;
use crate::kind::TreeKind;
use crate::memtable::Memtable;
use crate::range_delete::RangeDeletes;
use crate::row::FileId;
use crate::table::cursor::Run;
use crate::{Seqno, TreeId};

/// A tree at one moment. Sources are listed newest first, and so are they read.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) kind: TreeKind,
    /// From this seqno on the tree does not exist.
    pub(crate) dropped: Option<Seqno>,
    /// What entries are applied to.
    pub(crate) active: Arc<Memtable>,
    /// Memtables that wait for their flush.
    pub(crate) sealed: Vec<Arc<Memtable>>,
    pub(crate) tables: Arc<Tables>,
    /// The range deletes that some row may still be subject to, in memory or not.
    pub(crate) range_deletes: Arc<RangeDeletes>,
}

/// The tables of a tree.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Each flushed on its own: they overlap.
    pub(crate) level0: Vec<Arc<Run>>,
    /// Level 1 and below, without empty ones.
    pub(crate) runs: Vec<Arc<Run>>,
    pub(crate) blobs: Arc<BTreeMap<FileId, Arc<BlobFile>>>,
}

impl Tables {
    /// All runs, newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.level0.iter().chain(&self.runs)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.level0.is_empty() && self.runs.is_empty()
    }
}

impl Tree {
    pub(crate) fn new(kind: TreeKind) -> Self {
        Self {
            kind,
            dropped: None,
            active: Arc::new(Memtable::new(0)),
            sealed: Vec::new(),
            tables: Arc::default(),
            range_deletes: Arc::default(),
        }
    }

    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }

    /// Whether a reader at `at` finds the tree.
    pub(crate) fn exists_at(&self, at: Seqno) -> bool {
        self.dropped.is_none_or(|dropped| at < dropped)
    }
}

/// All trees, by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    trees: Vec<(TreeId, Arc<Tree>)>,
}

impl Roster {
    fn place(&self, id: TreeId) -> Result<usize, usize> {
        // Few trees have numbers with gaps: most are where their number says.
        let guess = id.get() as usize;
        if self.trees.get(guess).is_some_and(|(found, _)| *found == id) {
            return Ok(guess);
        }
        self.trees.binary_search_by_key(&id, |(id, _)| *id)
    }

    #[inline]
    pub(crate) fn get(&self, id: TreeId) -> Option<&Arc<Tree>> {
        self.place(id).ok().map(|at| &self.trees[at].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TreeId, &Arc<Tree>)> {
        self.trees.iter().map(|(id, tree)| (*id, tree))
    }

    pub(crate) fn set(&mut self, id: TreeId, tree: Tree) {
        let tree = Arc::new(tree);
        match self.place(id) {
            Ok(at) => self.trees[at].1 = tree,
            Err(at) => self.trees.insert(at, (id, tree)),
        }
    }

    pub(crate) fn remove(&mut self, id: TreeId) -> Option<Arc<Tree>> {
        self.place(id).ok().map(|at| self.trees.remove(at).1)
    }

    /// Changes each tree that `change` gives a new picture of.
    pub(crate) fn update(&mut self, mut change: impl FnMut(TreeId, &Tree) -> Option<Tree>) {
        for (id, tree) in &mut self.trees {
            if let Some(new) = change(*id, tree) {
                *tree = Arc::new(new);
            }
        }
    }
}
