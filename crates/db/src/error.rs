//! Errors, by operation, and one umbrella over them.

use std::path::PathBuf;
use std::sync::Arc;

use nexusbase_forest as forest;
use nexusbase_forest::TreeId;
use nexusbase_io as io;
use nexusbase_log as log;
use nexusbase_log::Index;

/// Anything that a database operation can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Opening.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Buffering a write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Committing.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data folder {} is in use: {source}. One process at a time may open it: stop the \
         other one, or talk to it over the network",
        folder.display()
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// Who holds it.
        source: io::LockError,
    },
    /// The folder holds something else.
    #[error(
        "{} is not a NexusBase data folder and not empty (it contains {found:?}); name a new or \
         an empty folder",
        folder.display()
    )]
    NotADatabase {
        /// The folder.
        folder: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// The file that names the database is damaged.
    #[error("{} is damaged at offset 0: expected {expected}, found {found}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The folder was written in a format that this version does not read.
    #[error(
        "{} has format {found}, but this version of NexusBase reads format {supported}; open it \
         with the version that wrote it",
        path.display()
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// The format found.
        found: String,
        /// The format that this version reads and writes.
        supported: u32,
    },
    /// The log is gone although the folder says that there is a database.
    #[error("the log in {} is missing; restore the folder from a copy", path.display())]
    LogMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] log::OpenError),
    /// The trees cannot be opened.
    #[error(transparent)]
    Forest(#[from] forest::OpenError),
    /// The trees cannot take what the log has.
    #[error(transparent)]
    Flush(#[from] forest::StepError),
    /// Log and tables are not of one piece.
    #[error(
        "the tables hold the entries up to {flushed}, but the log has those behind {purged} up to \
         {last}: a part of the folder is missing or from another time; restore all of it from a copy"
    )]
    LogAndTables {
        /// The tables hold everything up to here.
        flushed: Index,
        /// The log has nothing up to here.
        purged: Index,
        /// Its last entry.
        last: Index,
    },
    /// The log cannot be read back.
    #[error(transparent)]
    LogRead(#[from] log::ReadError),
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] ReadError),
    /// An entry of the log is valid but makes no sense.
    #[error("log entry {index} cannot be applied: {reason}")]
    Entry {
        /// The entry.
        index: Index,
        /// What is wrong with it.
        reason: String,
    },
    /// A tree is of a kind that this program does not know.
    #[error(
        "tree {tree:?} is of kind {kind:?}, which this program does not know; open the database \
         with a program that does (one that names the kind in its options)"
    )]
    UnknownKind {
        /// The tree.
        tree: String,
        /// Its kind.
        kind: String,
    },
    /// A kind of trees in the options makes no sense.
    #[error("the kind of trees {kind:?} cannot be used: {reason}")]
    Kind {
        /// Its name.
        kind: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The outside world failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The forest cannot answer.
    #[error(transparent)]
    Forest(#[from] forest::ReadError),
    /// The catalog says something that makes no sense.
    #[error("the catalog entry for tree {name:?} is damaged: {reason}")]
    Catalog {
        /// The tree's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The catalog says something of a kept version that makes no sense.
    #[error("the catalog is damaged: {reason}")]
    Kept {
        /// What is wrong.
        reason: String,
    },
}

/// Why a write was not buffered.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The key is over the limit.
    #[error("a key of {bytes} bytes is over the limit of {limit} bytes")]
    KeyTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The value is over the limit.
    #[error("a value of {bytes} bytes is over the limit of {limit} bytes")]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The transaction has become too large.
    #[error(
        "the transaction would write {bytes} bytes, over the limit of {limit} bytes; split it into \
         smaller ones"
    )]
    TransactionTooLarge {
        /// Bytes of keys and values that it would have.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There is no such tree.
    #[error("there is no tree {0}; it may have been dropped")]
    NoSuchTree(TreeId),
    /// There is a tree with that name already.
    #[error("there is a tree {0:?} already")]
    TreeExists(String),
    /// The tree would be of a kind that the database was not opened with.
    #[error("there is no kind of trees {0:?}; name it in the options when opening the database")]
    UnknownKind(&'static str),
    /// In a tree of a counted kind, the value of a key never changes.
    #[error(
        "the key has another value in tree {0}, which counts its keys, so that values never \
         change; delete the key in one transaction and put it in the next"
    )]
    CountedTree(TreeId),
    /// The tree's kind cannot do that.
    #[error("tree {tree} is of kind {kind:?}, which cannot {what}")]
    Unsupported {
        /// The tree.
        tree: TreeId,
        /// The name of its kind.
        kind: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
    /// The transaction would delete too many ranges.
    #[error(
        "a transaction can delete at most {limit} ranges of keys; split it, or delete single keys"
    )]
    TooManyRanges {
        /// The limit.
        limit: usize,
    },
    /// All numbers for trees are used up.
    #[error("this database has had as many trees as it can name")]
    TooManyTrees,
    /// The transaction had to read something for this write, and could not.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a commit did not happen (or, after [`CommitError::Stopped`], may have happened).
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Something that the transaction had read was changed by another. Run it again.
    #[error("another transaction (entry {with}) has changed what this one read; run it again")]
    Conflict {
        /// A snapshot at or behind this entry sees the change.
        with: Index,
    },
    /// It conflicted again and again.
    #[error("the transaction gave up after {attempts} conflicts with others")]
    TooManyConflicts {
        /// How often it was tried.
        attempts: u32,
    },
    /// There is no room on the disk. Nothing was written; it may work later.
    #[error("{0}")]
    NoSpace(log::AppendError),
    /// The log has failed, so whether this commit is durable is unknown. The database accepts no
    /// more writes until it is opened again.
    #[error("{0}")]
    Stopped(Arc<str>),
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
}

impl CommitError {
    /// Whether it says that the database has failed.
    pub(crate) const fn is_failure(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }
}

/// Why no checkpoint was made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The folder has something in it.
    #[error("{} is not empty; name a new or an empty folder for the copy", .0.display())]
    NotEmpty(PathBuf),
    /// The database is closed; or it takes no more writes, and not all that is visible is in tables.
    #[error("no copy can be made: {0}")]
    Stopped(CommitError),
    /// The folder cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The trees could not be flushed or linked.
    #[error(transparent)]
    Forest(#[from] forest::StepError),
    /// The log of the copy could not be made.
    #[error(transparent)]
    Log(#[from] log::OpenError),
    /// The log of the copy could not be written.
    #[error(transparent)]
    Append(#[from] log::AppendError),
}
