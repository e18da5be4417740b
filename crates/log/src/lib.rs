//! The one durable log: write-ahead log, Raft log and change feed in one.
//!
//! The log is a row of segment files of fixed size, allocated and zero-filled ahead of their use
//! and recycled after it, so that a commit never changes a file's size. Records go in by
//! **batches**: one write and one sync for all records of a batch (group commit; who waits for
//! whom is the caller's business). Every record is an event in the life of a **group** (one Raft
//! group, 0 when a database is alone): an entry, a vote, a truncation, a purge, or a
//! checkpoint of the group's state at the start of a segment. They share one order, so a vote can
//! never be durable beside a lost truncation.
//!
//! What it promises:
//! * What [`LogWriter::append`] returned `Ok` for with [`Sync::Durable`] survives any crash.
//! * Opening tells a torn tail (the end of a write that a crash interrupted: cut off, reported)
//!   from damage (bytes that were durable and have changed: an error that names file and offset,
//!   and nothing is touched). See [`recovery`](self#torn-or-damaged).
//! * A batch is there as a whole or not at all.
//! * Indices of a group's entries are contiguous, in memory and on disk.
//!
//! What it does not: it starts no thread, takes no decision about commitment, and does not know
//! what an entry means.
//!
//! # Torn or damaged
//!
//! Unsynced blocks reach the disk in any order, so a valid record behind a bad one proves nothing
//! by itself. Each batch therefore carries the position up to which the log was durable when the
//! batch was written. A bad record that a later valid batch (or a later segment) claims as
//! durable is damage. Any other is a torn tail, cut off where its batch starts. The last batch before a crash is claimed
//! by nobody yet; [`LogWriter::claim`] closes that window when a log becomes idle or is closed.
//!
//! The byte layout is in `docs/format.md`.

mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod group;
pub mod inspect;
mod log;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
mod spare;
mod watermark;
mod writer;

pub use error::{AppendError, Damage, OpenError, ReadError};
pub use group::GroupView;
pub use log::{Log, LogOptions, Opened, TornTail};
pub use reader::{Entries, Entry, Subscription};
pub use record::{Group, Index, LogId, Position, Record, Term, Vote};
pub use watermark::{Changed, Watermark};
pub use writer::{LogWriter, Sync};
