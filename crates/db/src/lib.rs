//! The database: transactions, snapshots, catalog, recovery and change feed over one log and one
//! forest of trees.
//!
//! A [`Database`] is a set of named trees of byte keys and byte values. A [`Transaction`] reads
//! any of them at one snapshot, buffers its writes, and commits all of them or nothing. Commits
//! are serializable: a transaction that read a key or a range which another has changed since is
//! refused, and [`Database::transact`] runs it again. A [`Snapshot`] reads one state for as long
//! as it likes and neither waits for anybody nor makes anybody wait. A state can also be
//! [kept](Transaction::keep_version): it then stays readable until it is released, also by later
//! lives of the database.
//!
//! What it promises:
//! * A commit that was reported survives any crash (with [`Durability::Always`], the default; the
//!   weaker modes say what they give up), and no half of one ever appears.
//! * Everything a commit does is in one log entry, its [write set](write_set). Recovery and
//!   change feed read that same entry.
//! * Damage on disk is an error that names file and offset, never a wrong answer.
//!
//! What it does not: it knows no documents, no protocols and no network. It starts one thread
//! for housekeeping and two for flushes and compactions, and none if told so; everything then
//! happens in steps that the caller calls.
//!
//! ```
//! use nexusbase_db::{Database, Error, Options, View};
//!
//! # fn main() -> Result<(), Error> {
//! let db = Database::in_memory()?;
//! db.transact(|tx| {
//!     let tree = tx.create_tree("greetings")?;
//!     tx.put(tree, b"en", b"hello")?;
//!     Ok::<_, Error>(())
//! })?;
//!
//! let snapshot = db.snapshot();
//! let tree = snapshot.tree("greetings")?.expect("it was created above");
//! assert_eq!(snapshot.get(tree, b"en")?.as_deref(), Some(&b"hello"[..]));
//! # Ok(()) }
//! ```

mod apply;
mod background;
mod catalog;
mod checkpoint;
mod commit;
mod conflicts;
mod database;
pub mod doctor;
mod error;
mod feed;
mod folder;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod housekeeping;
mod kept;
mod kinds;
mod options;
mod overlay;
mod pace;
mod read_set;
mod recent;
mod recovery;
mod snapshot;
mod span;
mod ticket;
mod transaction;
mod view;
pub mod write_set;
mod writes;

pub use bytes::Bytes;
pub use commit::{CommitHandle, CommitStats};
pub use database::{Database, Stats};
pub use error::{CheckpointError, CommitError, Error, OpenError, ReadError, WriteError};
pub use feed::{Change, ChangeFeed};
pub use folder::{FOREST_DIR, IDENTITY_FILE, LOCK_FILE, LOG_DIR};
pub use nexusbase_forest::{
    Change as RowChange, Direction, Expiry, Fingerprint, KeyRange, Merge, Mutation, TreeId,
    TreeKind, Zone,
};
pub use nexusbase_forest::{
    Compression, Corruption, Cursor, DiskError, ForestOptions, RangeSum,
    ReadError as TreeReadError, Seqno, Stats as ForestStats, StepError, inspect as forest_inspect,
};
pub use nexusbase_log::{Changed, Index, inspect as log_inspect};
#[cfg(feature = "broken-on-purpose")]
#[doc(hidden)]
pub use options::BrokenKept;
pub use options::{Durability, Options};
pub use recovery::RecoveryReport;
pub use snapshot::Snapshot;
pub use transaction::Transaction;
pub use view::{Scan, View};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
/// The largest write set of one transaction, in bytes of its keys and values.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;
/// How many ranges of keys one transaction can delete (ranges that overlap or touch are one).
pub const RANGE_DELETES_MAX: usize = 1024;
