//! Errors that say which operation failed on which path.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on the outside world.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the outside world that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct Error {
    /// What was tried, as a verb: `read`, `sync`, `create` …
    pub operation: &'static str,
    /// The file or directory it was tried on.
    pub path: PathBuf,
    /// What the operating system answered.
    pub source: io::Error,
}

impl Error {
    /// An error for `operation` on `path`.
    #[must_use]
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            operation,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether the device or the user's quota is full, so that the operation may succeed later.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the file or directory does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Why an exclusive lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process (or another handle in this one) holds the lock.
    #[error("{} is locked by {}", path.display(), holder_text(*holder))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, as far as the lock file tells.
        holder: Option<u32>,
    },
    /// The lock file could not be used.
    #[error(transparent)]
    Io(#[from] Error),
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}
