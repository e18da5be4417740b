//! The file operations that a database needs, and no more: small enough to simulate.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{LockError, Result};

/// A file system.
///
/// Paths are used as given. A change to a directory (create, rename, remove, hard link) is
/// durable only after [`Fs::sync_dir`] on that directory; the content of a file only after
/// [`File::sync_data`] or by [`File::write_durable_at`].
///
/// Every method returns an [`Error`](crate::Error) that names the operation and the path.
#[expect(
    clippy::missing_errors_doc,
    reason = "said once, above, for all methods"
)]
pub trait Fs: fmt::Debug + Send + Sync {
    /// Creates a file that does not exist yet, and opens it for reading and writing.
    fn create(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens an existing file for reading only.
    fn open_read_only(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Creates a directory and its missing parents, durably; an existing one is left as it is.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// The names in a directory, sorted; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;

    /// Whether there is a file or directory at `path`.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// Gives a file a new name in one step; a file that had that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file's name. Handles that are open stay usable.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Gives a file a second name, which must be free.
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// Takes the exclusive lock that the file at `path` stands for, creating the file if need be
    /// and writing this process's id into it. Never waits.
    ///
    /// # Errors
    /// [`LockError::Held`] when another holder has it.
    fn lock(&self, path: &Path) -> std::result::Result<Lock, LockError>;
}

/// An open file. All positions are in bytes from its start; no method moves a cursor, so one
/// handle serves many threads.
#[expect(clippy::missing_errors_doc, reason = "every method fails as `Fs` says")]
#[expect(
    clippy::len_without_is_empty,
    reason = "a file of length 0 is nothing special"
)]
pub trait File: fmt::Debug + Send + Sync {
    /// The file's length in bytes.
    fn len(&self) -> Result<u64>;

    /// Reads into `buffer` from `offset`, and returns how many bytes were read: fewer than asked
    /// only where the file ends.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `data` at `offset`, growing the file if need be. Not durable by itself.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()>;

    /// Writes all of `data` at `offset` and returns when that range is on stable storage. Says
    /// nothing about earlier writes to other ranges. After an error, what is on storage is
    /// unknown.
    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()>;

    /// Makes the file `length` bytes long, with zeros really written from its present end, so
    /// that later writes below `length` change no metadata and cannot run out of space. Not
    /// durable by itself.
    fn allocate_zeroed(&self, length: u64) -> Result<()>;

    /// Makes all earlier writes to this file durable. After an error, what is on storage is
    /// unknown, and a second call proves nothing.
    fn sync_data(&self) -> Result<()>;
}

/// An exclusive lock, given back when dropped.
#[must_use = "the lock is given back when this is dropped"]
pub struct Lock {
    _guard: Box<dyn Send + Sync>,
}

impl Lock {
    /// A lock that is held as long as `guard` lives.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}
