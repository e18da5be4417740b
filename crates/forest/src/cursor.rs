//! What every ordered source of rows can do: memtables, tables, runs of tables.

pub(crate) mod merge;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod visible;

use crate::row::RowRef;
use crate::{DiskError, Seqno};

/// A place in an ordered source of rows, with all versions and tombstones showing.
///
/// A new cursor is at no row. After an error it is at no row.
pub(crate) trait RowCursor {
    /// Goes to the first row.
    fn seek_first(&mut self) -> Result<(), DiskError>;

    /// Goes to the last row.
    fn seek_last(&mut self) -> Result<(), DiskError>;

    /// Goes to the first row at or behind `(key, seqno)` in the order of rows: with
    /// [`Seqno::MAX`], the newest version of `key` or what follows.
    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError>;

    /// Goes to the last row before `(key, seqno)` in the order of rows.
    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError>;

    /// Goes one row on; from the last row to none. Nothing happens at no row.
    fn next(&mut self) -> Result<(), DiskError>;

    /// Goes one row back; from the first row to none. Nothing happens at no row.
    fn prev(&mut self) -> Result<(), DiskError>;

    /// The row it is at.
    fn row(&self) -> Option<RowRef<'_>>;

    /// Up to where range deletes were worked into the table that the row lies in: none up to
    /// there concerns it. Zero for rows in memory.
    fn purged_through(&self) -> Seqno {
        Seqno::ZERO
    }

    /// Whether it is known that the next step in the direction of the last one does not come to
    /// another row of this key. False says nothing. Readers copy nothing and compare nothing
    /// where it is true, so a source that holds no key twice should say so, with one load.
    fn key_ends(&self) -> bool {
        false
    }
}
