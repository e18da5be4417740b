//! How many live rows a range of keys has, and the sum of their fingerprints, from what the
//! index knows of whole blocks.
//!
//! Where it is cheap (at most two partitions and two blocks are read in each table that the range
//! only partly covers, and rows in memory are looked at one by one):
//! * in trees of a [counted](crate::TreeKind::counted) kind, whatever versions, tombstones and
//!   levels there are, because each row says what it adds;
//! * in other trees, where only one run of tables has keys in the range, and there only puts,
//!   each of a key of its own: after compaction, that is the rule.
//!
//! Where it is not, the rows are walked through, which costs what a scan costs: in trees that are
//! not counted, where several sources have keys in the range, or older versions or tombstones are
//! left; where a range delete concerns the range; and, block by block, where rows are newer than
//! the seqno that is read at.

use std::ops::Bound;
use std::sync::Arc;

use crate::aggregate::{Aggregate, FingerprintSum};
use crate::cursor::RowCursor;
use crate::forest::Forest;
use crate::kind::TreeKind;
use crate::memtable::Memtable;
use crate::read::tree_at;
use crate::row::RowRef;
use crate::scan::Cursor;
use crate::source::Source;
use crate::table::cursor::Run;
use crate::table::reader::{Partition, Table};
use crate::table::row_block::RowBlock;
use crate::tree::Tree;
use crate::zone::ZoneFilter;
use crate::{Direction, DiskError, KeyRange, ReadError, Seqno, TreeId};

/// What a range of keys adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeSum {
    /// Live rows.
    pub rows: u64,
    /// The sum of their fingerprints; zero if the tree's kind has none.
    pub fingerprint: FingerprintSum,
}

/// A sum that is being made.
struct Summing<'a> {
    kind: &'a TreeKind,
    range: &'a KeyRange,
    at: Seqno,
    weight: i64,
    fingerprint: FingerprintSum,
    /// Only what is plain counts; something was not.
    only_plain: bool,
    failed: bool,
}

impl Forest {
    /// The number of live rows of `range` at seqno `at`, and the sum of their fingerprints.
    ///
    /// # Errors
    /// As [`Forest::get`].
    pub fn sum(&self, tree: TreeId, range: &KeyRange, at: Seqno) -> Result<RangeSum, ReadError> {
        self.horizon.check_applied(at)?;
        let roster = self.trees.load();
        let tree = tree_at(&roster, tree, at)?;
        let sum = match quick_sum(tree, range, at)? {
            Some(sum) => sum,
            None => slow_sum(tree, range, at)?,
        };
        self.horizon.check_kept(at)?;
        Ok(sum)
    }
}

/// The sum from blocks, where that is possible.
fn quick_sum(tree: &Tree, range: &KeyRange, at: Seqno) -> Result<Option<RangeSum>, DiskError> {
    if range.is_empty() {
        return Ok(Some(RangeSum::default()));
    }
    let concerns = |delete: &crate::range_delete::RangeDelete| {
        !range.is_before(&delete.start)
            && delete
                .end
                .as_ref()
                .is_none_or(|end| !range.starts_at_or_behind(end))
    };
    if tree.range_deletes.iter().any(concerns) {
        return Ok(None);
    }
    let mut sum = Summing {
        kind: &tree.kind,
        range,
        at,
        weight: 0,
        fingerprint: FingerprintSum::default(),
        only_plain: !tree.kind.counted,
        failed: false,
    };
    let mut sources = 0;
    for memtable in tree.memtables() {
        sources += usize::from(sum.add_memtable(memtable)?);
    }
    for run in tree.tables.all() {
        sources += usize::from(sum.add_run(run)?);
        if sum.failed {
            break;
        }
    }
    if sum.failed || (sum.only_plain && sources > 1) {
        return Ok(None);
    }
    Ok(u64::try_from(sum.weight).ok().map(|rows| RangeSum {
        rows,
        fingerprint: sum.fingerprint,
    }))
}

/// The sum by walking through all rows.
fn slow_sum(tree: &Tree, range: &KeyRange, at: Seqno) -> Result<RangeSum, DiskError> {
    let everything = ZoneFilter::default();
    let mut cursor = Cursor::new(tree, range.clone(), Direction::Forward, at, everything);
    let mut sum = RangeSum::default();
    while cursor.advance()? {
        sum.rows += 1;
        if let Some(fingerprint) = tree.kind.fingerprint {
            sum.fingerprint.add(fingerprint(cursor.key()), 1);
        }
    }
    Ok(sum)
}

/// How a group of rows between two keys lies to the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
    Across,
}

impl Summing<'_> {
    /// Adds the rows of a memtable; returns whether it had any in the range.
    fn add_memtable(&mut self, memtable: &Arc<Memtable>) -> Result<bool, DiskError> {
        if memtable.is_empty() {
            return Ok(false);
        }
        let mut cursor = Source::memtable(memtable);
        match self.range.start() {
            Bound::Included(key) => cursor.seek(key, Seqno::MAX)?,
            Bound::Excluded(key) => cursor.seek(&[key, &[0]].concat(), Seqno::MAX)?,
            Bound::Unbounded => cursor.seek_first()?,
        }
        let mut any = false;
        while let Some(row) = cursor.row() {
            if self.range.is_before(row.key) {
                break;
            }
            any = true;
            // Whether it is plain cannot be seen from one row.
            self.failed |= self.only_plain;
            if self.failed {
                break;
            }
            self.add_row(&row);
            cursor.next()?;
        }
        Ok(any)
    }

    fn add_row(&mut self, row: &RowRef<'_>) {
        if row.seqno > self.at {
            return;
        }
        self.weight += i64::from(row.weight);
        if let Some(fingerprint) = self.kind.fingerprint
            && row.weight != 0
        {
            self.fingerprint.add(fingerprint(row.key), row.weight);
        }
    }

    /// Adds a group as a whole, if that is possible.
    fn add_whole(&mut self, aggregate: &Aggregate) -> bool {
        let usable = aggregate.max_seqno <= self.at && (!self.only_plain || aggregate.plain);
        if usable {
            self.weight += aggregate.weight;
            self.fingerprint.merge(&aggregate.fingerprint);
        }
        usable
    }

    fn place(&self, first: &[u8], last: &[u8]) -> Place {
        if self.range.is_before(first) || self.range.is_behind(last) {
            Place::Outside
        } else if self.range.contains(first) && self.range.contains(last) {
            Place::Inside
        } else {
            Place::Across
        }
    }

    fn add_run(&mut self, run: &Run) -> Result<bool, DiskError> {
        let mut any = false;
        for table in run.tables() {
            let meta = &table.meta;
            let place = self.place(&meta.first, &meta.last);
            if place == Place::Outside {
                continue;
            }
            any = true;
            if place == Place::Inside && self.add_whole(&meta.aggregate) {
                continue;
            }
            self.add_table(table)?;
            if self.failed {
                break;
            }
        }
        Ok(any)
    }

    fn add_table(&mut self, table: &Arc<Table>) -> Result<(), DiskError> {
        let top = table.top();
        // A partition lies behind the separator before it, and up to its own.
        let mut before: &[u8] = &table.meta.first;
        for at in 0..top.len() {
            let last = top.separators.key(at);
            let place = self.place(before, last);
            before = last;
            if place == Place::Outside {
                continue;
            }
            if place == Place::Inside && self.add_whole(&top.aggregate(self.kind, at)) {
                continue;
            }
            let partition = table.partition(at, true)?;
            self.add_partition(table, &partition)?;
            if self.failed {
                return Ok(());
            }
        }
        Ok(())
    }

    fn add_partition(
        &mut self,
        table: &Arc<Table>,
        partition: &Partition,
    ) -> Result<(), DiskError> {
        let index = &partition.index;
        let mut before: Option<&[u8]> = None;
        for at in 0..index.len() {
            let last = index.separators.key(at);
            let place = self.place(before.unwrap_or_default(), last);
            let is_first = before.is_none();
            before = Some(last);
            if place == Place::Outside {
                continue;
            }
            // Where the first block begins is not known from here, so it is looked at.
            let aggregate = index.aggregate(self.kind, at);
            if place == Place::Inside && !is_first && self.add_whole(&aggregate) {
                continue;
            }
            // What the index says of it, because it knows the block before too.
            if self.only_plain && !(aggregate.plain && aggregate.max_seqno <= self.at) {
                self.failed = true;
                return Ok(());
            }
            let block = table.block(partition, at, true)?;
            self.add_block(&block);
        }
        Ok(())
    }

    fn add_block(&mut self, block: &RowBlock) {
        for at in 0..block.len() {
            let row = block.row(at);
            if self.range.contains(row.key) {
                self.add_row(&row);
            }
        }
    }
}
