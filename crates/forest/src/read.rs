//! Point reads: newest source first, and the first that knows the key decides.

use std::ops::Bound;

use bytes::Bytes;

use crate::cursor::visible::Blobs;
use crate::forest::Forest;
use crate::row::BlobRef;
use crate::scan::{Cursor, TreeBlobs};
use crate::table::filter::hash_key;
use crate::table::reader::{Found, FoundState};
use crate::tree::{Roster, Tree};
use crate::zone::ZoneFilter;
use crate::{Direction, DiskError, KeyRange, ReadError, Seqno, TreeId};

/// What a point read has found out.
enum Answer {
    Value(Option<Bytes>),
    /// Rows have to be merged: a cursor does that.
    Merge,
}

impl Forest {
    /// The value of `key` at seqno `at`.
    ///
    /// # Errors
    /// [`ReadError::UnknownTree`], [`ReadError::TooOld`], [`ReadError::NotApplied`], and
    /// [`ReadError::Disk`] when a file cannot be read or is damaged.
    #[inline]
    pub fn get(&self, tree: TreeId, key: &[u8], at: Seqno) -> Result<Option<Bytes>, ReadError> {
        // Before the trees are looked at, so that they have everything up to `at`.
        self.horizon.check_applied(at)?;
        let roster = self.trees.load();
        let tree = tree_at(&roster, tree, at)?;
        let answer = self.look_up(tree, key, at)?;
        // After: versions go only when the floor has risen above them.
        self.horizon.check_kept(at)?;
        match answer {
            Answer::Value(value) => Ok(value),
            Answer::Merge => Ok(self.merged(tree, key, at)?),
        }
    }

    #[inline]
    fn look_up(&self, tree: &Tree, key: &[u8], at: Seqno) -> Result<Answer, DiskError> {
        let hash = hash_key(key);
        for memtable in tree.memtables() {
            let found = memtable.get(key, hash, at, |found| {
                found.map(|(seqno, cell)| Found::of_memtable(seqno, cell))
            });
            if let Some(found) = found {
                return answer(tree, key, at, found, Seqno::ZERO);
            }
        }
        for run in tree.tables.all() {
            if let Some(table) = run.table_for(key)
                && let Some(found) = table.get(key, hash, at)?
            {
                return answer(tree, key, at, found, table.meta.purged_through);
            }
        }
        Ok(Answer::Value(None))
    }

    #[cold]
    fn merged(&self, tree: &Tree, key: &[u8], at: Seqno) -> Result<Option<Bytes>, DiskError> {
        let only = Bound::Included(key.to_vec());
        let range = KeyRange::from_bounds(only.clone(), only);
        let mut cursor = Cursor::new(tree, range, Direction::Forward, at, ZoneFilter::default());
        if !cursor.advance()? {
            return Ok(None);
        }
        Ok(Some(Bytes::copy_from_slice(cursor.value()?)))
    }
}

/// What a row that was found means.
#[inline]
fn answer(
    tree: &Tree,
    key: &[u8],
    at: Seqno,
    found: Found,
    purged_through: Seqno,
) -> Result<Answer, DiskError> {
    if !tree.range_deletes.is_empty()
        && tree
            .range_deletes
            .covering(key, at)
            .is_some_and(|deleted| deleted > found.seqno && deleted > purged_through)
    {
        // Everything beneath is older still.
        return Ok(Answer::Value(None));
    }
    Ok(match found.state {
        FoundState::Value(value) => Answer::Value(Some(value)),
        FoundState::Deleted => Answer::Value(None),
        FoundState::Merge => Answer::Merge,
        FoundState::Blob(blob) => Answer::Value(Some(read_blob(tree, key, blob)?)),
    })
}

#[cold]
fn read_blob(tree: &Tree, key: &[u8], blob: BlobRef) -> Result<Bytes, DiskError> {
    TreeBlobs::new(tree).read(key, blob)
}

/// The tree, if a reader at `at` finds it.
pub(crate) fn tree_at(
    roster: &Roster,
    id: TreeId,
    at: Seqno,
) -> Result<&std::sync::Arc<Tree>, ReadError> {
    let tree = roster.get(id).filter(|tree| tree.exists_at(at));
    tree.ok_or(ReadError::UnknownTree { tree: id, at })
}
