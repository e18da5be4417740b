//! What the manifest says of a table: enough to choose and to skip it without opening it.

use bytes::Bytes;

use crate::Seqno;
use crate::aggregate::Aggregate;
use crate::row::FileId;

/// How the blocks of a table are laid out. The door for tables of columns (time series): they
/// share manifest, levels, cache and checks, and differ in their blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Ordered rows of keys and values.
    Rows,
}

/// A table as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableMeta {
    pub(crate) id: FileId,
    pub(crate) layout: Layout,
    /// The file's length.
    pub(crate) bytes: u64,
    /// Its least and its greatest key.
    pub(crate) first: Bytes,
    pub(crate) last: Bytes,
    pub(crate) aggregate: Aggregate,
    /// Up to here, range deletes and versions that nobody needs were worked into it: no range
    /// delete up to here concerns its rows any more.
    pub(crate) purged_through: Seqno,
    /// How much of which blob files its rows refer to.
    pub(crate) blobs: Vec<BlobUse>,
}

/// How much of a blob file a table refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobUse {
    pub(crate) file: FileId,
    pub(crate) values: u64,
    /// Bytes of their frames.
    pub(crate) bytes: u64,
}
