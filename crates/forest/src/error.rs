//! Errors by what was asked for: applying or reading.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io as io;

use crate::manifest::AppendError;
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
    /// The tree is of a kind that was not given when the forest was opened.
    #[error("tree {tree} is of kind {kind:?}, which this program does not know")]
    UnknownKind {
        /// The tree.
        tree: TreeId,
        /// The name of its kind.
        kind: String,
    },
    /// The tree's kind has no way to merge values.
    #[error("tree {tree} is of kind {kind:?}, whose values cannot be merged")]
    CannotMerge {
        /// The tree.
        tree: TreeId,
        /// The name of its kind.
        kind: &'static str,
    },
}

/// Why a forest was not opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file could not be used, or is damaged.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A tree is of a kind that was not given.
    #[error("tree {tree} is of kind {kind:?}, which this program does not know")]
    UnknownKind {
        /// The tree.
        tree: TreeId,
        /// The name of its kind.
        kind: String,
    },
}

/// Why a read has no answer.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// A file could not be read, or is damaged.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The entry of that seqno has not been applied (completely).
    #[error("seqno {at} cannot be read yet: entries are applied up to {applied}")]
    NotApplied {
        /// The seqno that was read at.
        at: Seqno,
        /// The newest that can be.
        applied: Seqno,
    },
}

/// Why a file could not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system refused.
    #[error(transparent)]
    Io(Arc<io::Error>),
    /// What it gave is not what was written.
    #[error(transparent)]
    Corrupt(Arc<Corruption>),
}

/// Bytes on disk that are not what they must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at offset {offset}: expected {expected}, found {found}", path.display())]
pub struct Corruption {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What had to be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl DiskError {
    /// Damage in a file.
    pub(crate) fn corrupt(
        path: &Path,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Corrupt(Arc::new(Corruption {
            path: path.to_path_buf(),
            offset,
            expected: expected.into(),
            found: found.into(),
        }))
    }

    /// Whether the disk is full, so that it may work later.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io(error) if error.is_no_space())
    }
}

/// Why a step of background work did not happen. What was there before is there still.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The manifest could not be written in a way that leaves unknown what is on disk.
    #[error("the manifest failed: {0}; the database has to be opened anew")]
    Manifest(DiskError),
    /// [`Forest::stop`](crate::Forest::stop) was called.
    #[error("background work was told to end")]
    Stopped,
    /// What the step wanted to do contradicts the manifest: a defect of this program.
    #[error("a background step contradicts the manifest: {0}; nothing was changed")]
    Inconsistent(String),
}

impl StepError {
    /// Whether the disk is full, so that it may work later.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_no_space())
    }
}

impl From<AppendError> for StepError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(reason) => Self::Inconsistent(reason),
            AppendError::NotWritten(error) => Self::Disk(error),
            AppendError::Unknown(error) | AppendError::Poisoned(error) => Self::Manifest(error),
        }
    }
}
