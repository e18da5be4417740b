//! What a log entry does: to one key, to a range of keys, to a tree.

use bytes::Bytes;

use crate::TreeId;

/// A change of one key, or of a range of keys, in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The tree that the key is in.
    pub tree: TreeId,
    /// The key; of a range, the first.
    pub key: Bytes,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this value now.
    Put(Bytes),
    /// It is gone, if it was there.
    Delete,
    /// This is merged into its value, as the tree's kind says.
    Merge(Bytes),
    /// All keys from this one up to `end`, which is not among them, are gone if earlier entries
    /// have written them. Without `end`, all from this one on.
    DeleteRange {
        /// Where the range ends.
        end: Option<Bytes>,
    },
}

/// What an entry does to a tree as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeChange {
    /// It is there from this entry on. A number is never used twice.
    Create {
        /// The new tree.
        tree: TreeId,
        /// The name of its kind.
        kind: String,
    },
    /// It is gone for readers at this entry and later.
    Drop {
        /// The tree.
        tree: TreeId,
    },
}

/// A change of one key: what a row can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    /// See [`Change::Put`].
    Put(Bytes),
    /// See [`Change::Delete`].
    Delete,
    /// See [`Change::Merge`].
    Merge(Bytes),
}

impl Change {
    /// The change of a row, or where the range ends that is deleted.
    pub(crate) fn into_row(self) -> Result<RowChange, Option<Bytes>> {
        match self {
            Self::Put(value) => Ok(RowChange::Put(value)),
            Self::Delete => Ok(RowChange::Delete),
            Self::Merge(operand) => Ok(RowChange::Merge(operand)),
            Self::DeleteRange { end } => Err(end),
        }
    }
}
