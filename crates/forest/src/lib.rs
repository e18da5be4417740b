//! The trees of NexusBase: many ordered maps from bytes to bytes, written by one log.
//!
//! A [`Forest`] applies the entries of the log in order, each with the entry's index as the
//! [`Seqno`] of what it writes, and answers reads at any seqno that is still needed. Today it is
//! the memory half of a log-structured merge engine: all trees live in memtables, and the log
//! brings them back after a restart. Sorted tables, their manifest and compaction come behind the
//! same interface.
//!
//! What it promises:
//! * a read at seqno S sees every entry up to S and no part of a later one, whatever is applied
//!   meanwhile; readers take no lock and never wait for the applier, nor it for them;
//! * a version that a reader at or above [`Forest::oldest_needed`] could see is never dropped; a
//!   read below it is an error, never a wrong answer;
//! * the versions that nobody can see any more are removed as entries are applied, so that a key
//!   that is overwritten for ever takes bounded memory.
//!
//! What it does not: publish. Which seqno readers may use is the database's decision; the forest
//! only refuses those that it has not applied. It also never decides what an entry does.

mod aggregate;
mod background;
mod blob;
mod cache;
mod checkpoint;
mod compact;
mod compaction;
mod count;
mod cursor;
mod error;
mod estimate;
mod flush;
mod forest;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod horizon;
mod ids;
pub mod inspect;
mod kind;
mod manifest;
mod memtable;
mod mutation;
mod open;
mod options;
mod pacing;
mod range;
mod range_delete;
mod read;
mod retention;
mod rewrite;
mod row;
mod scan;
mod source;
mod stats;
mod table;
mod tree;
mod wire;
mod zone;

pub use aggregate::FingerprintSum;
pub use cache::CacheStats;
pub use count::RangeSum;
pub use error::{ApplyError, Corruption, DiskError, OpenError, ReadError, StepError};
pub use forest::Forest;
pub use ids::{Seqno, TreeId};
pub use kind::{Expiry, Fingerprint, Merge, TreeKind, ZONES_MAX, Zone};
pub use mutation::{Change, Mutation, TreeChange};
#[cfg(feature = "broken-on-purpose")]
pub use options::Broken;
pub use options::ForestOptions;
pub use pacing::Pressure;
pub use range::{Direction, KeyRange};
pub use scan::{Cursor, Scan};
pub use stats::{LevelStats, Stats, TreeStats};
pub use table::frame::Compression;
