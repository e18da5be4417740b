//! What can be read: by a snapshot, or by a transaction that also sees its own writes.

use bytes::Bytes;
use nexusbase_forest::{Direction, KeyRange, TreeId};
use nexusbase_log::Index;

use crate::catalog;
use crate::error::ReadError;
use crate::snapshot::Snapshot;

/// How many rows an [estimate](View::estimate) counts one by one.
pub(crate) const COUNTED_ROWS: usize = 64;

/// One state of all trees.
///
/// Every method fails with [`ReadError`] when the data cannot be read or is damaged.
#[expect(
    clippy::missing_errors_doc,
    reason = "said once, above, for all methods"
)]
pub trait View {
    /// The value under `key`, if there is one.
    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// The rows in `range`, in key order or against it.
    fn scan(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Scan<'_>, ReadError>;

    /// The snapshot that this is, if it is one and shows nothing beside it: its
    /// [cursors](Snapshot::cursor) lend rows instead of copying them.
    fn as_snapshot(&self) -> Option<&Snapshot> {
        None
    }

    /// About how many rows `range` has, without reading them all and without remembering that
    /// anything was read. Up to some dozen rows it is exact; beyond, it is what
    /// [`Forest::estimate`](nexusbase_forest::Forest::estimate) says of it. A transaction's own
    /// writes do not count. What can do neither counts no further than those.
    fn estimate(&self, tree: TreeId, range: &KeyRange) -> Result<u64, ReadError> {
        let mut rows = 0;
        let scan = self.scan(tree, range.clone(), Direction::Forward)?;
        for row in scan.take(COUNTED_ROWS) {
            row?;
            rows += 1;
        }
        Ok(rows)
    }

    /// The tree called `name`, if there is one.
    fn tree(&self, name: &str) -> Result<Option<TreeId>, ReadError> {
        catalog::find(self, name)
    }

    /// All trees whose names start with `prefix`, sorted by name.
    fn trees(&self, prefix: &str) -> Result<Vec<(String, TreeId)>, ReadError> {
        catalog::list(self, prefix)
    }

    /// The name of a tree, if there is such a tree.
    fn tree_name(&self, tree: TreeId) -> Result<Option<String>, ReadError> {
        catalog::name_of(self, tree)
    }

    /// The name of a tree's kind, if there is such a tree.
    fn tree_kind(&self, tree: TreeId) -> Result<Option<String>, ReadError> {
        catalog::kind_name_of(self, tree)
    }

    /// All [kept versions](crate::Transaction::keep_version) whose owner starts with
    /// `owner_prefix`, each with its owner, sorted by both.
    fn kept_versions(&self, owner_prefix: &str) -> Result<Vec<(Index, String)>, ReadError> {
        catalog::kept(self, owner_prefix)
    }
}

/// Rows in key order, or against it.
pub struct Scan<'a> {
    rows: Box<dyn Iterator<Item = Row> + 'a>,
}

/// A key and its value, or why they could not be read.
pub(crate) type Row = Result<(Bytes, Bytes), ReadError>;

impl<'a> Scan<'a> {
    pub(crate) fn new(rows: impl Iterator<Item = Row> + 'a) -> Self {
        Self {
            rows: Box::new(rows),
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        self.rows.next()
    }
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scan")
    }
}
