//! Errors by what was asked for: applying or reading.

use crate::{Seqno, TreeId};

/// Why an entry was not applied. Each of them means that the log and the trees have parted ways,
/// so that going on would be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The entry is not the one after the last applied.
    #[error("entry {found} does not follow: the next one to apply is {expected}")]
    Gap {
        /// The seqno that has to come now.
        expected: Seqno,
        /// The one that came.
        found: Seqno,
    },
    /// The tree was never created, or was dropped.
    #[error("there is no tree {0}")]
    UnknownTree(TreeId),
    /// The tree was created before. Ids are not used twice.
    #[error("tree {0} exists already")]
    TreeExists(TreeId),
}

/// Why a read has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// At that seqno, the tree was dropped or had never been created.
    #[error("there is no tree {tree} at seqno {at}")]
    UnknownTree {
        /// The tree that was asked for.
        tree: TreeId,
        /// The seqno that was read at.
        at: Seqno,
    },
    /// Versions of that age may be gone.
    #[error("seqno {at} cannot be read: versions are kept from {oldest_needed} on")]
    TooOld {
        /// The seqno that was read at.
        at: Seqno,
        /// The oldest that can be.
        oldest_needed: Seqno,
    },
    /// The entry of that seqno has not been applied (completely).
    #[error("seqno {at} cannot be read yet: entries are applied up to {applied}")]
    NotApplied {
        /// The seqno that was read at.
        at: Seqno,
        /// The newest that can be.
        applied: Seqno,
    },
}
