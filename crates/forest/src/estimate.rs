//! About how many live rows a range of keys has: for planners, who compare ways to read.
//!
//! It costs about as much as finding the two ends of the range in each source, however many rows
//! lie between them: in a memtable, the paths down its tree; in a table that the range partly
//! covers, the index, of which at most two partitions are read. No block of rows is.
//!
//! On rows that came in any order and are not deleted, it is within a factor of two for ranges of
//! some hundred rows and more. Versions count as rows until a compaction drops them, tombstones
//! count against the rows of other sources, and range deletes are not looked at. It is never
//! less than zero, and no promise.

use std::ops::Bound;
use std::sync::Arc;

use crate::forest::Forest;
use crate::read::tree_at;
use crate::table::reader::Table;
use crate::tree::Tree;
use crate::{DiskError, KeyRange, ReadError, Seqno, TreeId};

impl Forest {
    /// About how many live rows `range` has at seqno `at`; see the module for what that means.
    ///
    /// # Errors
    /// As [`Forest::get`].
    pub fn estimate(&self, tree: TreeId, range: &KeyRange, at: Seqno) -> Result<u64, ReadError> {
        self.horizon.check_applied(at)?;
        let roster = self.trees.load();
        let rows = estimate(tree_at(&roster, tree, at)?, range)?;
        self.horizon.check_kept(at)?;
        Ok(rows)
    }
}

fn estimate(tree: &Tree, range: &KeyRange) -> Result<u64, DiskError> {
    if range.is_empty() {
        return Ok(0);
    }
    let mut rows: i64 = 0;
    for memtable in tree.memtables() {
        let versions = memtable.estimate(range).min(memtable.versions());
        rows = rows.saturating_add_unsigned(versions);
    }
    for run in tree.tables.all() {
        for table in run.tables() {
            rows = rows.saturating_add(in_table(table, range)?);
        }
    }
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// What a table adds. A tombstone takes away what another source has added.
fn in_table(table: &Arc<Table>, range: &KeyRange) -> Result<i64, DiskError> {
    let meta = &table.meta;
    if range.is_before(&meta.first) || range.is_behind(&meta.last) {
        return Ok(0);
    }
    let weight = meta.aggregate.weight;
    let (first, last) = (range.contains(&meta.first), range.contains(&meta.last));
    if first && last {
        return Ok(weight);
    }
    let low = match range.start() {
        Bound::Included(key) | Bound::Excluded(key) if !first => rank(table, key)?,
        _ => 0.0,
    };
    let high = match range.end() {
        Bound::Included(key) | Bound::Excluded(key) if !last => rank(table, key)?,
        _ => 1.0,
    };
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
    let part = (weight as f64 * (high - low).max(0.0)) as i64;
    Ok(part)
}

/// Which part of the table's rows lies before `key`, from 0 to 1. Partitions have about equally
/// many rows, but for the last one, and so have the blocks of a partition.
fn rank(table: &Arc<Table>, key: &[u8]) -> Result<f64, DiskError> {
    let top = table.top();
    let number = top.separators.find(key, Seqno::MAX);
    if number >= top.len() {
        return Ok(1.0);
    }
    let rows = |at: usize| top.aggregate(&table.kind, at).rows as f64;
    let all = (table.meta.aggregate.rows as f64).max(1.0);
    let last = rows(top.len() - 1);
    let each = (all - last) / (top.len().saturating_sub(1).max(1)) as f64;
    let partition = table.partition(number, true)?;
    let blocks = partition.index.len().max(1) as f64;
    let block = partition.index.separators.find(key, Seqno::MAX) as f64;
    let within = ((block + 0.5) / blocks).min(1.0);
    Ok(((number as f64).mul_add(each, within * rows(number)) / all).min(1.0))
}
