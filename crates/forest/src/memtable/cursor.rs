//! A place among the rows of a memtable.
//!
//! Rows stay where they are as long as the memtable lives, so the cursor owns the memtable and
//! keeps numbers of nodes and rows: nothing is copied. It may show rows that were written after it
//! was made, and misses none that was there before.

use std::sync::Arc;

use super::Memtable;
use super::node::{Side, Target};
use super::tree::Spot;
use crate::cursor::RowCursor;
use crate::row::RowRef;
use crate::{DiskError, Seqno};

/// A cursor over all versions in a memtable.
#[derive(Debug)]
pub(crate) struct MemtableCursor {
    table: Arc<Memtable>,
    at: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    spot: Spot,
    row: u32,
}

impl MemtableCursor {
    pub(super) const fn new(table: Arc<Memtable>) -> Self {
        Self { table, at: None }
    }

    fn go(&mut self, spot: Option<Spot>) {
        let row = |spot| {
            let row = self.table.tree.at(spot)?;
            Some(Place { spot, row })
        };
        self.at = spot.and_then(row);
    }
}

impl RowCursor for MemtableCursor {
    fn seek_first(&mut self) -> Result<(), DiskError> {
        self.go(self.table.tree.first());
        Ok(())
    }

    fn seek_last(&mut self) -> Result<(), DiskError> {
        self.go(self.table.tree.last());
        Ok(())
    }

    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        let target = Target { key, seqno };
        self.go(self.table.tree.seek(target, Side::Before));
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        let target = Target { key, seqno };
        self.go(self.table.tree.seek_before(target));
        Ok(())
    }

    fn next(&mut self) -> Result<(), DiskError> {
        self.go(self.at.and_then(|at| self.table.tree.next(at.spot)));
        Ok(())
    }

    fn prev(&mut self) -> Result<(), DiskError> {
        self.go(self.at.and_then(|at| self.table.tree.prev(at.spot)));
        Ok(())
    }

    fn row(&self) -> Option<RowRef<'_>> {
        let row = self.table.tree.row(self.at?.row);
        Some(RowRef {
            key: &row.key,
            seqno: row.seqno,
            weight: row.cell.weight(),
            cell: row.cell.cell(),
        })
    }
}
