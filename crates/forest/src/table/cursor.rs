//! A place in one table, or in a run of tables that lie one behind the other.

use std::sync::Arc;

use crate::Seqno;
use crate::cursor::RowCursor;
use crate::error::DiskError;
use crate::row::RowRef;
use crate::table::index::Index;
use crate::table::reader::{Partition, Table, Window};
use crate::table::row_block::RowBlock;
use crate::table::separators::Separators;
use crate::zone::ZoneFilter;

/// How a cursor reads blocks that are not in the cache.
#[derive(Debug)]
pub(crate) enum Reading {
    /// One by one, into the cache: for readers.
    Cached,
    /// Many at once, past the cache: for compaction.
    Ahead(Window),
}

/// A place in a table.
#[derive(Debug)]
pub(crate) struct TableCursor {
    table: Arc<Table>,
    reading: Reading,
    /// No key comes twice in the table.
    is_plain: bool,
    /// Blocks that cannot have a wanted key are passed over.
    wanted: ZoneFilter,
    /// The partition it is in, its number, and the block in it.
    partition: Option<(usize, Arc<Partition>)>,
    block_at: usize,
    block: Option<Arc<RowBlock>>,
    /// The row in the block.
    at: usize,
}

impl TableCursor {
    pub(crate) fn new(table: Arc<Table>, reading: Reading, wanted: ZoneFilter) -> Self {
        Self {
            is_plain: table.meta.aggregate.plain,
            table,
            reading,
            wanted,
            partition: None,
            block_at: 0,
            block: None,
            at: 0,
        }
    }

    fn index_of(&self) -> &Index {
        self.table.top()
    }

    fn enter_partition(&mut self, at: usize) -> Result<Arc<Partition>, DiskError> {
        if let Some((number, partition)) = &self.partition
            && *number == at
        {
            return Ok(Arc::clone(partition));
        }
        let keep = matches!(self.reading, Reading::Cached);
        let partition = self.table.partition(at, keep)?;
        self.partition = Some((at, Arc::clone(&partition)));
        Ok(partition)
    }

    fn enter_block(&mut self, partition: &Partition, at: usize) -> Result<(), DiskError> {
        self.block = None;
        let block = match &mut self.reading {
            Reading::Cached => self.table.block(partition, at, true)?,
            Reading::Ahead(window) => self.table.block_in_window(partition, at, window)?,
        };
        self.block = Some(block);
        self.block_at = at;
        Ok(())
    }

    /// Whether the cursor may pass over partition `at`.
    fn skips_partition(&self, at: usize) -> bool {
        !self.wanted.is_empty()
            && !self
                .wanted
                .may_match(&self.index_of().aggregate(&self.table.kind, at))
    }

    /// Whether the cursor may pass over block `at` of a partition.
    fn skips_block(&self, partition: &Partition, at: usize) -> bool {
        !self.wanted.is_empty()
            && !self
                .wanted
                .may_match(&partition.index.aggregate(&self.table.kind, at))
    }

    /// To the first row of the block behind this one.
    fn next_block(&mut self) -> Result<(), DiskError> {
        self.block = None;
        let Some((mut number, mut partition)) = self.partition.clone() else {
            return Ok(());
        };
        let mut at = self.block_at + 1;
        loop {
            if at >= partition.index.len() {
                number += 1;
                while number < self.index_of().len() && self.skips_partition(number) {
                    number += 1;
                }
                if number >= self.index_of().len() {
                    return Ok(());
                }
                partition = self.enter_partition(number)?;
                at = 0;
            } else if self.skips_block(&partition, at) {
                at += 1;
            } else {
                self.at = 0;
                return self.enter_block(&partition, at);
            }
        }
    }

    /// To the last row of the block before this one.
    fn prev_block(&mut self) -> Result<(), DiskError> {
        self.block = None;
        let Some((mut number, mut partition)) = self.partition.clone() else {
            return Ok(());
        };
        let mut before = self.block_at;
        loop {
            if before == 0 {
                let left = (0..number).rev().find(|at| !self.skips_partition(*at));
                let Some(left) = left else { return Ok(()) };
                number = left;
                partition = self.enter_partition(number)?;
                before = partition.index.len();
            } else if self.skips_block(&partition, before - 1) {
                before -= 1;
            } else {
                self.enter_block(&partition, before - 1)?;
                self.at = self.block.as_ref().map_or(0, |block| block.len() - 1);
                return Ok(());
            }
        }
    }

    /// To the block that `(key, seqno)` would be in, and the first row there that is not before
    /// it, which may be one too far. False when all rows are before it.
    fn descend(&mut self, key: &[u8], seqno: Seqno) -> Result<bool, DiskError> {
        self.block = None;
        let p = self.index_of().separators.find(key, seqno);
        if p == self.index_of().len() {
            return Ok(false);
        }
        let partition = self.enter_partition(p)?;
        let b = partition.index.separators.find(key, seqno);
        if b == partition.index.len() {
            // The separators of top and partition do not agree; the tables' check finds that.
            return Ok(false);
        }
        self.enter_block(&partition, b)?;
        self.at = self
            .block
            .as_ref()
            .map_or(0, |block| block.lower_bound(key, seqno));
        Ok(true)
    }
}

impl RowCursor for TableCursor {
    fn seek_first(&mut self) -> Result<(), DiskError> {
        self.block = None;
        if self.index_of().len() == 0 {
            return Ok(());
        }
        let partition = self.enter_partition(0)?;
        if partition.index.len() > 0 {
            self.enter_block(&partition, 0)?;
            self.at = 0;
        }
        Ok(())
    }

    fn seek_last(&mut self) -> Result<(), DiskError> {
        self.block = None;
        let Some(last) = self.index_of().len().checked_sub(1) else {
            return Ok(());
        };
        let partition = self.enter_partition(last)?;
        self.block_at = partition.index.len();
        self.prev_block()
    }

    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        if self.descend(key, seqno)? && self.block.as_ref().is_some_and(|b| self.at == b.len()) {
            self.next_block()?;
        }
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        if !self.descend(key, seqno)? {
            return self.seek_last();
        }
        match self.at.checked_sub(1) {
            Some(before) => {
                self.at = before;
                Ok(())
            }
            None => self.prev_block(),
        }
    }

    #[inline]
    fn next(&mut self) -> Result<(), DiskError> {
        match &self.block {
            Some(block) if self.at + 1 < block.len() => {
                self.at += 1;
                Ok(())
            }
            Some(_) => self.next_block(),
            None => Ok(()),
        }
    }

    #[inline]
    fn prev(&mut self) -> Result<(), DiskError> {
        match &self.block {
            Some(_) if self.at > 0 => {
                self.at -= 1;
                Ok(())
            }
            Some(_) => self.prev_block(),
            None => Ok(()),
        }
    }

    #[inline]
    fn row(&self) -> Option<RowRef<'_>> {
        self.block.as_ref().map(|block| block.row(self.at))
    }

    fn purged_through(&self) -> Seqno {
        self.table.meta.purged_through
    }

    #[inline]
    fn key_ends(&self) -> bool {
        if self.is_plain {
            return true;
        }
        // The first and the last row may have their like in the next block.
        let inside =
            |block: &Arc<RowBlock>| block.is_plain() && self.at > 0 && self.at + 1 < block.len();
        self.block.as_ref().is_some_and(inside)
    }
}

/// Tables of one level: they lie one behind the other and do not overlap.
#[derive(Debug)]
pub(crate) struct Run {
    tables: Vec<Arc<Table>>,
    /// The greatest key of each.
    fences: Separators,
}

impl Run {
    /// A run of tables, which must be in order.
    pub(crate) fn new(tables: Vec<Arc<Table>>) -> Self {
        let fences = Separators::new(tables.iter().map(|t| (&t.meta.last[..], Seqno::ZERO)));
        Self { tables, fences }
    }

    pub(crate) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The table that `key` would be in.
    #[inline]
    pub(crate) fn table_for(&self, key: &[u8]) -> Option<&Arc<Table>> {
        self.tables.get(self.fences.find(key, Seqno::MAX))
    }
}

/// A place in a run.
#[derive(Debug)]
pub(crate) struct RunCursor {
    run: Arc<Run>,
    /// Reads past the cache.
    ahead: bool,
    wanted: ZoneFilter,
    /// The number of the table that `cursor` is in.
    at: usize,
    cursor: Option<TableCursor>,
}

impl RunCursor {
    pub(crate) const fn new(run: Arc<Run>, ahead: bool, wanted: ZoneFilter) -> Self {
        Self {
            run,
            ahead,
            wanted,
            at: 0,
            cursor: None,
        }
    }

    fn enter(&mut self, at: usize) -> Option<&mut TableCursor> {
        let table = self.run.tables.get(at)?;
        if self.at != at || self.cursor.is_none() {
            let reading = if self.ahead {
                Reading::Ahead(Window::default())
            } else {
                Reading::Cached
            };
            self.cursor = Some(TableCursor::new(
                Arc::clone(table),
                reading,
                self.wanted.clone(),
            ));
            self.at = at;
        }
        self.cursor.as_mut()
    }

    /// If it is at no row, to the first of the table behind.
    fn skip_forward(&mut self) -> Result<(), DiskError> {
        while self.cursor.as_ref().is_some_and(|c| c.row().is_none()) {
            match self.enter(self.at + 1) {
                Some(cursor) => cursor.seek_first()?,
                None => self.cursor = None,
            }
        }
        Ok(())
    }

    fn skip_back(&mut self) -> Result<(), DiskError> {
        while self.cursor.as_ref().is_some_and(|c| c.row().is_none()) {
            match self.at.checked_sub(1).and_then(|at| self.enter(at)) {
                Some(cursor) => cursor.seek_last()?,
                None => self.cursor = None,
            }
        }
        Ok(())
    }
}

impl RowCursor for RunCursor {
    fn seek_first(&mut self) -> Result<(), DiskError> {
        match self.enter(0) {
            Some(cursor) => cursor.seek_first()?,
            None => self.cursor = None,
        }
        self.skip_forward()
    }

    fn seek_last(&mut self) -> Result<(), DiskError> {
        match self.run.tables.len().checked_sub(1) {
            Some(last) => {
                if let Some(cursor) = self.enter(last) {
                    cursor.seek_last()?;
                }
            }
            None => self.cursor = None,
        }
        self.skip_back()
    }

    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        match self.enter(self.run.fences.find(key, Seqno::MAX)) {
            Some(cursor) => cursor.seek(key, seqno)?,
            None => self.cursor = None,
        }
        self.skip_forward()
    }

    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        match self.enter(self.run.fences.find(key, Seqno::MAX)) {
            Some(cursor) => cursor.seek_before(key, seqno)?,
            None => return self.seek_last(),
        }
        self.skip_back()
    }

    #[inline]
    fn next(&mut self) -> Result<(), DiskError> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(());
        };
        cursor.next()?;
        if cursor.row().is_none() {
            self.skip_forward()?;
        }
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<(), DiskError> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(());
        };
        cursor.prev()?;
        if cursor.row().is_none() {
            self.skip_back()?;
        }
        Ok(())
    }

    #[inline]
    fn row(&self) -> Option<RowRef<'_>> {
        self.cursor.as_ref()?.row()
    }

    fn purged_through(&self) -> Seqno {
        self.cursor
            .as_ref()
            .map_or(Seqno::ZERO, RowCursor::purged_through)
    }

    #[inline]
    fn key_ends(&self) -> bool {
        self.cursor.as_ref().is_some_and(RowCursor::key_ends)
    }
}
