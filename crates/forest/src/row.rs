//! One version of a key, as memtables, blocks and cursors hand it on.
//!
//! Rows are ordered by key ascending, then by seqno descending: the newest version of a key comes
//! first. `(key, seqno)` is unique within a tree.

use std::cmp::Ordering;

use crate::Seqno;

/// A row, borrowed from whoever holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowRef<'a> {
    pub(crate) key: &'a [u8],
    /// The entry that wrote it; zero once every reader sees it and nothing older lies beneath.
    pub(crate) seqno: Seqno,
    /// What the row adds to the number of live rows: see [`TreeKind::counted`](crate::TreeKind).
    /// -1, 0 or 1.
    pub(crate) weight: i8,
    pub(crate) cell: Cell<'a>,
}

/// What a row says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// The key has this value.
    Put(&'a [u8]),
    /// The key is gone.
    Delete,
    /// This is merged into whatever lies beneath.
    Merge(&'a [u8]),
    /// The key has a value that lies in a blob file.
    Blob(BlobRef),
}

/// Where a value lies that is kept apart from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlobRef {
    pub(crate) file: FileId,
    /// Where its frame starts in the file.
    pub(crate) offset: u64,
    /// Length of the frame in bytes.
    pub(crate) length: u32,
}

/// The number of a table or blob file. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u64);

impl Cell<'_> {
    /// Whether what lies beneath it cannot be seen through it.
    pub(crate) const fn hides_older(&self) -> bool {
        !matches!(self, Self::Merge(_))
    }
}

/// The order of rows.
pub(crate) fn compare_rows(a: (&[u8], Seqno), b: (&[u8], Seqno)) -> Ordering {
    a.0.cmp(b.0).then_with(|| b.1.cmp(&a.1))
}
