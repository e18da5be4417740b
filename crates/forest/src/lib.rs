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
mod cursor;
mod error;
mod forest;
mod ids;
mod kind;
mod memtable;
mod mutation;
mod range;
mod row;
mod scan;
mod table;

pub use aggregate::FingerprintSum;
pub use error::{ApplyError, Corruption, DiskError, ReadError};
pub use forest::{Forest, Stats, TreeStats};
pub use ids::{Seqno, TreeId};
pub use kind::{Expiry, Fingerprint, Merge, TreeKind, ZONES_MAX, Zone};
pub use mutation::{Change, Mutation};
pub use range::{Direction, KeyRange};
pub use scan::Scan;
