//! Errors: what was to be done, to what, and why it was not.
//!
//! One type for all engines, so that an engine's author writes no error types: [`Error`] carries
//! the operation, the engine, the store and the key (shortened), and an [`ErrorKind`] that a
//! program can act on.

use std::fmt;
use std::path::PathBuf;

use nexusbase_io as io;

use super::capabilities::Capability;
use super::version::VersionId;

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;

/// So many bytes of a key are shown.
const KEY_BYTES_SHOWN: usize = 32;

/// What was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is named after the method that fails")]
pub enum Operation {
    Get,
    Iterate,
    Write,
    Delete,
    CompareAndSet,
    Expire,
    Clear,
    Stats,
    Compact,
    Begin,
    Commit,
    TakeVersion,
    ListVersions,
    ReadVersion,
    RestoreVersion,
    DeleteVersion,
    CreateStore,
    OpenStore,
    DropStore,
    RenameStore,
    CopyStore,
    ListStores,
    SetOptions,
    Check,
    OpenEngine,
    RegisterEngine,
    Close,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "read",
            Self::Iterate => "list keys",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::CompareAndSet => "compare and set",
            Self::Expire => "set when a key expires",
            Self::Clear => "clear the store",
            Self::Stats => "read figures",
            Self::Compact => "compact the store",
            Self::Begin => "begin a transaction",
            Self::Commit => "commit a transaction",
            Self::TakeVersion => "take a version",
            Self::ListVersions => "list versions",
            Self::ReadVersion => "read a version",
            Self::RestoreVersion => "restore a version",
            Self::DeleteVersion => "delete a version",
            Self::CreateStore => "create a store",
            Self::OpenStore => "open a store",
            Self::DropStore => "drop a store",
            Self::RenameStore => "rename a store",
            Self::CopyStore => "copy a store",
            Self::ListStores => "list stores",
            Self::SetOptions => "set options",
            Self::Check => "check a store",
            Self::OpenEngine => "open an engine",
            Self::RegisterEngine => "register an engine",
            Self::Close => "close",
        })
    }
}

/// Why an operation on a store failed.
pub struct Error {
    // Results are mostly fine: what fails may cost an allocation, what succeeds carries 8 bytes.
    inner: Box<Inner>,
}

struct Inner {
    operation: Operation,
    engine: Option<String>,
    store: Option<String>,
    key: Option<ShortKey>,
    kind: ErrorKind,
}

impl Error {
    /// An error of which nothing more is known.
    #[must_use]
    pub fn new(operation: Operation, kind: ErrorKind) -> Self {
        let inner = Inner {
            operation,
            engine: None,
            store: None,
            key: None,
            kind,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// Adds the engine's name, unless it is there already.
    #[must_use]
    pub fn engine(mut self, engine: &str) -> Self {
        self.inner.engine.get_or_insert_with(|| engine.to_owned());
        self
    }

    /// Adds the store's name, unless it is there already.
    #[must_use]
    pub fn store(mut self, store: &str) -> Self {
        self.inner.store.get_or_insert_with(|| store.to_owned());
        self
    }

    /// Adds the key, unless it is there already.
    #[must_use]
    pub fn key(mut self, key: &[u8]) -> Self {
        self.inner.key.get_or_insert_with(|| ShortKey::new(key));
        self
    }

    /// What was to be done.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.inner.operation
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// The name of the store, where it is about one.
    #[must_use]
    pub fn store_name(&self) -> Option<&str> {
        self.inner.store.as_deref()
    }

    /// The name of the engine, where it is about one.
    #[must_use]
    pub fn engine_name(&self) -> Option<&str> {
        self.inner.engine.as_deref()
    }

    /// Whether the same may succeed if all of it is done again.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Conflict)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            operation,
            engine,
            store,
            key,
            kind,
        } = &*self.inner;
        write!(f, "cannot {operation}")?;
        if let Some(key) = key {
            write!(f, ", key {key}")?;
        }
        if let Some(store) = store {
            write!(f, ", store {store:?}")?;
        }
        if let Some(engine) = engine {
            write!(f, ", engine {engine}")?;
        }
        write!(f, ": {kind}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.inner.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.kind.source()
    }
}

/// A key as far as it is shown: text as it is, other bytes in hexadecimal.
struct ShortKey {
    start: Vec<u8>,
    length: usize,
}

impl ShortKey {
    fn new(key: &[u8]) -> Self {
        let start = key[..key.len().min(KEY_BYTES_SHOWN)].to_vec();
        let length = key.len();
        Self { start, length }
    }
}

impl fmt::Display for ShortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match std::str::from_utf8(&self.start) {
            Ok(text) => Some(text),
            // A character that was cut in the middle is no sign of binary.
            Err(e) if e.error_len().is_none() && self.length > KEY_BYTES_SHOWN => {
                std::str::from_utf8(&self.start[..e.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        if let Some(text) = text {
            write!(f, "{text:?}")?;
        } else {
            f.write_str("0x")?;
            for byte in &self.start {
                write!(f, "{byte:02x}")?;
            }
        }
        if self.length > KEY_BYTES_SHOWN {
            write!(f, "… ({} bytes)", self.length)?;
        }
        Ok(())
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing under the key.
    #[error("there is no such key")]
    KeyNotFound,
    /// There is no store of that name (any more).
    #[error("there is no store of that name; it may have been dropped or renamed")]
    StoreNotFound,
    /// There is a store of that name already.
    #[error("there is a store of that name already; drop it first, or choose another name")]
    StoreExists,
    /// No engine of that name is registered.
    #[error("there is no engine of that name; there are: {}", .known.join(", "))]
    EngineNotFound {
        /// Those that are there.
        known: Vec<String>,
    },
    /// An engine of that name is registered already.
    #[error("an engine of that name is registered already")]
    EngineExists,
    /// There is no such version.
    #[error("there is no version {0}; it may have been deleted")]
    VersionNotFound(VersionId),
    /// There is a version of that name already.
    #[error("there is a version {0:?} already; delete it first, or choose another name")]
    VersionExists(String),
    /// Another has changed what this transaction read. Run it again.
    #[error("another has changed what was read; run it again")]
    Conflict,
    /// It can only be read.
    #[error("it can only be read: {0}")]
    ReadOnly(&'static str),
    /// The engine cannot do that.
    #[error("this engine has no support for {0}")]
    Unsupported(Capability),
    /// A file is damaged.
    #[error(
        "{} is damaged at offset {offset}: expected {expected}, found {found}",
        file.display()
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Something is over a limit.
    #[error("{what} of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// What ("a key", "a value", "a batch").
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The caller said something that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store is a copy that was interrupted.
    #[error(
        "it is an unfinished copy of store {of:?}; copy again to go on where it stopped, or drop it"
    )]
    UnfinishedCopy {
        /// What it is to be a copy of.
        of: String,
    },
    /// Another process has it.
    #[error(
        "{} is in use: {source}. One process at a time may open it",
        path.display()
    )]
    Locked {
        /// The folder or file.
        path: PathBuf,
        /// Who holds it.
        source: io::LockError,
    },
    /// It was closed.
    #[error("it is closed")]
    Closed,
    /// The outside world failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something below failed in a way that has no name here.
    #[error("{0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ErrorKind {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_why_and_shows_keys_shortened() {
        let error = Error::new(Operation::Write, ErrorKind::Conflict)
            .engine("memory")
            .store("users")
            .key(b"user:1");
        let text = error.to_string();
        let expected = "cannot write, key \"user:1\", store \"users\", engine memory: another has \
                        changed what was read; run it again";
        assert_eq!(text, expected);
        let shown = |key: &[u8]| ShortKey::new(key).to_string();
        assert_eq!(shown(b"\xff\x00"), "0xff00");
        assert_eq!(
            shown(&[b'a'; 40]),
            format!("{:?}… (40 bytes)", "a".repeat(32))
        );
        let cut = format!("{}é and more", "a".repeat(31));
        assert_eq!(
            shown(cut.as_bytes()),
            format!("{:?}… ({} bytes)", "a".repeat(31), cut.len())
        );
    }

    #[test]
    fn what_is_known_first_stays() {
        let error = Error::new(Operation::Get, ErrorKind::Closed);
        let error = error.store("inner").store("outer").engine("a").engine("b");
        assert_eq!(error.store_name(), Some("inner"));
        assert_eq!(error.engine_name(), Some("a"));
    }
}
