//! Figures about a forest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::CacheStats;
use crate::compaction::picker;
use crate::forest::Forest;
use crate::{Seqno, TreeId};

/// What is counted while it happens.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) flushes: AtomicU64,
    pub(crate) compactions: AtomicU64,
    /// Bytes of tables and blob files that flushes wrote.
    pub(crate) flushed_bytes: AtomicU64,
    /// Bytes of tables that compactions read, and of tables and blob files that they wrote.
    pub(crate) compacted_in: AtomicU64,
    pub(crate) compacted_out: AtomicU64,
    /// Rows of counted trees that did not weigh what they had to.
    pub(crate) weight_faults: AtomicU64,
}

/// Figures about a forest since it was opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Each tree that still takes memory or files, dropped ones included.
    pub trees: BTreeMap<TreeId, TreeStats>,
    /// Everything up to this entry is in tables.
    pub flushed_through: Seqno,
    /// Sets of memtables that wait for their flush.
    pub sealed_sets: usize,
    /// Bytes that they take.
    pub sealed_bytes: u64,
    /// Flushes that were carried out.
    pub flushes: u64,
    /// Compactions that were carried out, moves not counted.
    pub compactions: u64,
    /// Bytes that flushes wrote.
    pub flushed_bytes: u64,
    /// Bytes that compactions read.
    pub compacted_in_bytes: u64,
    /// Bytes that compactions wrote.
    pub compacted_out_bytes: u64,
    /// Rows of counted trees that did not weigh what they had to: a count was wrong.
    pub weight_faults: u64,
    /// Bytes that compactions still have to rewrite, about.
    pub debt_bytes: u64,
    /// Blob files and their bytes.
    pub blob_files: usize,
    /// Bytes of all blob files.
    pub blob_bytes: u64,
    /// Bytes of blob files that rows still refer to.
    pub blob_used_bytes: u64,
    /// Files that nothing refers to, waiting for their last reader.
    pub obsolete_files: usize,
    /// The cache and the memory budget.
    pub cache: CacheStats,
}

/// Figures about one tree.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeStats {
    /// The name of its kind.
    pub kind: &'static str,
    /// Versions of keys in memory, tombstones included.
    pub entries: u64,
    /// About how much memory they take.
    pub bytes: u64,
    /// Range deletes that some row may still be subject to.
    pub range_deletes: usize,
    /// Its levels.
    pub levels: Vec<LevelStats>,
    /// How far it is over its shape; 1 is where compaction begins.
    pub score: f64,
}

/// Figures about one level of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Tables.
    pub tables: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, versions and tombstones included.
    pub rows: u64,
}

impl Forest {
    /// How much there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shape = self.shape();
        let roster = self.trees.load();
        let (sealed_sets, sealed_bytes) = {
            let sealing = self.sealing.lock();
            let bytes = sealing.sets.iter().map(|set| set.bytes).sum();
            (sealing.sets.len(), bytes)
        };
        let background = self.background.lock();
        let state = &background.state;
        let mut debt_bytes = 0;
        let mut trees = BTreeMap::new();
        for (id, tree) in roster.iter() {
            let files = state.trees.get(&id);
            let levels = files.map_or(&[][..], |files| &files.levels);
            debt_bytes += files.map_or(0, |files| picker::pending_bytes(files, &shape));
            let figures = TreeStats {
                kind: tree.kind.name,
                entries: tree.memtables().map(|memtable| memtable.versions()).sum(),
                bytes: tree.memtables().map(|memtable| memtable.bytes()).sum(),
                range_deletes: tree.range_deletes.iter().count(),
                levels: levels.iter().map(|level| level_stats(level)).collect(),
                score: files.map_or(0.0, |files| picker::score(files, &shape)),
            };
            trees.insert(id, figures);
        }
        let counters = &self.counters;
        Stats {
            trees,
            flushed_through: state.flushed_through,
            sealed_sets,
            sealed_bytes,
            flushes: counters.flushes.load(Ordering::Relaxed),
            compactions: counters.compactions.load(Ordering::Relaxed),
            flushed_bytes: counters.flushed_bytes.load(Ordering::Relaxed),
            compacted_in_bytes: counters.compacted_in.load(Ordering::Relaxed),
            compacted_out_bytes: counters.compacted_out.load(Ordering::Relaxed),
            weight_faults: counters.weight_faults.load(Ordering::Relaxed),
            debt_bytes,
            blob_files: state.blobs.len(),
            blob_bytes: state.blobs.values().map(|blob| blob.meta.bytes).sum(),
            blob_used_bytes: state.blobs.values().map(|blob| blob.used_bytes).sum(),
            obsolete_files: background.obsolete.len(),
            cache: self.cache.stats(),
        }
    }
}

fn level_stats(level: &[std::sync::Arc<crate::table::meta::TableMeta>]) -> LevelStats {
    LevelStats {
        tables: level.len(),
        bytes: level.iter().map(|table| table.bytes).sum(),
        rows: level.iter().map(|table| table.aggregate.rows).sum(),
    }
}
