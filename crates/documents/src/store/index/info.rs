//! What there is to know about an index: its state, how far its build has come, about how large it
//! is, and how much it is used.

use std::collections::HashMap;

use nexusbase_db::{TreeId, View};
use parking_lot::Mutex;

use super::IndexSpec;
use super::position::Position;
use crate::store::definition::{Definition, IndexDefinition};
use crate::store::documents::Documents;
use crate::store::error::Error;

/// Indexes whose uses are counted; with more, counting begins anew.
const USES_MAX: usize = 1 << 16;

/// An index as a user sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexInfo {
    /// What it was asked to be.
    pub spec: IndexSpec,
    /// Some document has an array, none or several values there, so the index has as many rows for
    /// it.
    pub multikey: bool,
    /// Whether queries may use it yet.
    pub ready: bool,
    /// How far its build has come; none when it is ready.
    pub progress: Option<BuildProgress>,
    /// About how large it is.
    pub size: IndexSize,
    /// How much it was used.
    pub uses: IndexUse,
}

/// How far a build has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuildProgress {
    /// Documents taken in, also by earlier attempts.
    pub done: u64,
    /// About how many there are to take in; never less than `done`.
    pub total: u64,
}

/// About how large an index is: what was deleted or written over counts until a compaction has
/// removed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexSize {
    /// Rows.
    pub rows: u64,
    /// Bytes, compressed as far as they are in tables.
    pub bytes: u64,
}

/// How much an index was used since the database was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexUse {
    /// Queries that read it.
    pub count: u64,
    /// When the last of them began, in milliseconds since 1970.
    pub last_unix_ms: Option<u64>,
}

/// An index whose build was interrupted, or is going on.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedIndex {
    /// The collection.
    pub collection: String,
    /// What it was asked to be: `create_index` with it goes on.
    pub spec: IndexSpec,
    /// How far it has come.
    pub progress: BuildProgress,
}

/// How much each index was used, by its tree.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// Lock `documents.uses`.
    by_tree: Mutex<HashMap<TreeId, IndexUse>>,
}

impl Uses {
    fn of(&self, tree: TreeId) -> IndexUse {
        self.by_tree.lock().get(&tree).copied().unwrap_or_default()
    }

    fn count(&self, tree: TreeId, unix_ms: u64) {
        let mut by_tree = self.by_tree.lock();
        if by_tree.len() >= USES_MAX && !by_tree.contains_key(&tree) {
            by_tree.clear();
        }
        let uses = by_tree.entry(tree).or_default();
        uses.count += 1;
        uses.last_unix_ms = Some(unix_ms);
    }
}

impl Documents {
    /// The indexes whose builds were interrupted, or are going on just now. At a start, all of them
    /// were interrupted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unfinished_indexes(&self) -> Result<Vec<UnfinishedIndex>, Error> {
        let snapshot = self.database().snapshot();
        let sizes = self.tree_sizes();
        let mut unfinished = Vec::new();
        for (collection, definition) in self.definitions(&snapshot)? {
            for index in definition.indexes.iter().filter(|index| !index.ready) {
                unfinished.push(UnfinishedIndex {
                    spec: index.spec.clone(),
                    progress: progress(&snapshot, &sizes, &collection, &definition, index)?,
                    collection: collection.clone(),
                });
            }
        }
        Ok(unfinished)
    }

    /// Counts that a query reads the index that lies in `tree`.
    pub(crate) fn count_use(&self, tree: TreeId) {
        let now = self.database().env().clock.unix_ms();
        self.uses().count(tree, now);
    }

    /// A collection's indexes as a user sees them.
    pub(in crate::store) fn index_infos(
        &self,
        view: &dyn View,
        sizes: &TreeSizes,
        collection: &str,
        definition: &Definition,
    ) -> Result<Vec<IndexInfo>, Error> {
        let info = |index: &IndexDefinition| {
            let progress = if index.ready {
                None
            } else {
                Some(progress(view, sizes, collection, definition, index)?)
            };
            Ok(IndexInfo {
                spec: index.spec.clone(),
                multikey: index.is_multikey(),
                ready: index.ready,
                progress,
                size: sizes.of(index.tree),
                uses: self.uses().of(index.tree),
            })
        };
        definition.indexes.iter().map(info).collect()
    }

    /// About how large each tree is. It walks over all trees of the database.
    pub(in crate::store) fn tree_sizes(&self) -> TreeSizes {
        let stats = self.database().forest_stats();
        let sizes = stats.trees.into_iter().map(|(tree, stats)| {
            let levels = &stats.levels;
            let size = IndexSize {
                rows: stats.entries + levels.iter().map(|level| level.rows).sum::<u64>(),
                bytes: stats.bytes + levels.iter().map(|level| level.bytes).sum::<u64>(),
            };
            (tree, size)
        });
        TreeSizes(sizes.collect())
    }
}

/// About how large each tree is.
#[derive(Debug)]
pub(in crate::store) struct TreeSizes(HashMap<TreeId, IndexSize>);

impl TreeSizes {
    pub(super) fn of(&self, tree: TreeId) -> IndexSize {
        self.0.get(&tree).copied().unwrap_or_default()
    }
}

fn progress(
    view: &dyn View,
    sizes: &TreeSizes,
    collection: &str,
    definition: &Definition,
    index: &IndexDefinition,
) -> Result<BuildProgress, Error> {
    let done = Position::read(view, index.tree, collection)?.done;
    let total = sizes.of(definition.data).rows.max(done);
    Ok(BuildProgress { done, total })
}
