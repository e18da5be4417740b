//! Errors, by operation.

use std::path::PathBuf;
use std::sync::Arc;

use nexusbase_io as io;

use crate::record::{Group, Index};

/// Bytes that are not what was written there.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{} is damaged at offset {offset}: expected {expected}, found {found}; nothing was changed. \
     Restore the file from a copy, or keep it aside and ask for help",
    path.display()
)]
pub struct Damage {
    /// The damaged file.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Why a log cannot be opened or looked at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The outside world failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that was durable has changed.
    #[error(transparent)]
    Damage(#[from] Box<Damage>),
    /// The log was written in a format that this version does not read.
    #[error(
        "{} has log format {found}, but this version of NexusBase reads format {supported}; \
         open it with the version that wrote it",
        path.display()
    )]
    Format {
        /// The segment.
        path: PathBuf,
        /// The format in the file.
        found: u32,
        /// The format that this version reads and writes.
        supported: u32,
    },
    /// A segment belongs to another database.
    #[error(
        "{} belongs to database {found}, not to {expected}; was a file copied here?",
        path.display()
    )]
    OtherDatabase {
        /// The segment.
        path: PathBuf,
        /// The database id expected.
        expected: String,
        /// The database id in the file.
        found: String,
    },
    /// A segment between two others is missing, or the folder holds none although it should.
    #[error("log segment {} is missing", path.display())]
    Missing {
        /// The segment that should be there.
        path: PathBuf,
    },
    /// A size in the options makes no sense.
    #[error("segment size {segment_bytes} is too small: at least {minimum} bytes are needed")]
    SegmentSize {
        /// The size asked for.
        segment_bytes: u64,
        /// The smallest that works.
        minimum: u64,
    },
}

/// Why a batch was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// There was no room, and nothing of the batch is in the log. It may be tried again.
    #[error("the log has no room for a new segment: {0}; free some space and try again")]
    NoSpace(Arc<io::Error>),
    /// What is on disk is unknown now. The log accepts nothing more until it is opened anew.
    #[error(
        "the log has failed and accepts nothing more, because what is on disk is unknown: {0}; \
         check the disk, then open the database again"
    )]
    Failed(Arc<io::Error>),
    /// The caller skipped or repeated an index: a defect in the caller, nothing was written.
    #[error("entry {found} of group {group} does not follow entry {last}")]
    Gap {
        /// The group.
        group: Group,
        /// The group's last entry.
        last: Index,
        /// The entry that was to be appended.
        found: Index,
    },
    /// The record speaks of entries that are purged already: nothing was written.
    #[error("group {group} cannot be cut back to entry {last}: entries up to {purged} are purged")]
    BelowPurged {
        /// The group.
        group: Group,
        /// Where it was to be cut.
        last: Index,
        /// Up to where it is purged.
        purged: Index,
    },
    /// A payload is over the limit: nothing was written.
    #[error("a log record of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// The payload's size.
        bytes: usize,
        /// The largest allowed.
        limit: usize,
    },
}

/// Why entries cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The outside world failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that was durable has changed.
    #[error(transparent)]
    Damage(#[from] Box<Damage>),
    /// The entries asked for are gone.
    #[error("entry {asked} of group {group} is no longer in the log: the oldest is {oldest}")]
    Purged {
        /// The group.
        group: Group,
        /// The first entry asked for.
        asked: Index,
        /// The oldest entry that is still there.
        oldest: Index,
    },
}
