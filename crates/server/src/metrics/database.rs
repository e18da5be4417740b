//! Figures about the database and the trees below it.

use std::collections::BTreeMap;
use std::fmt;

use nexusbase_db::{Database, ForestStats, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

#[derive(Debug)]
pub(super) struct Figures(pub(super) Database);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let gauges = gauges(&stats, self.0.stopped().is_some()).into_iter();
        for (name, help, value) in gauges.chain(forest_gauges(&stats.forest)) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        for (name, help, value) in counters(&stats) {
            let counter = ConstCounter::new(value);
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        levels(&stats, &mut encoder)
    }
}

/// A name, what it means, and the figure.
type Figure = (&'static str, &'static str, u64);

/// What goes up and down, of the database.
fn gauges(stats: &Stats, stopped: bool) -> Vec<Figure> {
    vec![
        (
            "db_visible_index",
            "The newest visible commit",
            stats.visible,
        ),
        (
            "db_flushed_index",
            "Up to this commit everything is in tables; the log before it may go",
            stats.forest.flushed_through.get(),
        ),
        (
            "db_durable_log_bytes",
            "Position of the log up to which everything survives a crash",
            stats.durable_bytes,
        ),
        (
            "db_kept_versions",
            "States that are kept readable",
            stats.kept_versions as u64,
        ),
        ("db_log_bytes", "Size of the log's files", stats.log_bytes),
        (
            "db_log_segments",
            "Files of the log",
            stats.log_segments as u64,
        ),
        (
            "db_readers",
            "Snapshots and transactions that are open",
            stats.readers as u64,
        ),
        (
            "db_commit_queue",
            "Commits that wait to be written",
            stats.commits.queued,
        ),
        (
            "db_trees",
            "Trees, the catalog included",
            stats.trees as u64,
        ),
        (
            "db_memory_rows",
            "Versions of rows in memory",
            stats.memory_rows,
        ),
        (
            "db_memory_bytes",
            "What they take, approximately",
            stats.memory_bytes,
        ),
        (
            "db_pressure_thousandths",
            "How far flushes and compactions are behind; writers are slowed down from 500 on",
            stats.pressure_thousandths,
        ),
        (
            "db_background_failing",
            "1 if the last flush or compaction failed",
            u64::from(stats.background_failure.is_some()),
        ),
        (
            "db_stopped",
            "1 if no writes are accepted",
            u64::from(stopped),
        ),
    ]
}

/// What goes up and down, of the trees.
fn forest_gauges(forest: &ForestStats) -> Vec<Figure> {
    let levels = || forest.trees.values().flat_map(|tree| &tree.levels);
    vec![
        (
            "forest_tables",
            "Tables of all trees",
            levels().map(|level| level.tables as u64).sum(),
        ),
        (
            "forest_table_bytes",
            "Bytes of all tables",
            levels().map(|level| level.bytes).sum(),
        ),
        (
            "forest_blob_bytes",
            "Bytes of all blob files",
            forest.blob_bytes,
        ),
        (
            "forest_blob_used_bytes",
            "Bytes of blob files that rows still refer to",
            forest.blob_used_bytes,
        ),
        (
            "forest_sealed_sets",
            "Sets of memtables that wait for their flush",
            forest.sealed_sets as u64,
        ),
        (
            "forest_sealed_bytes",
            "Bytes of memtables that wait for their flush",
            forest.sealed_bytes,
        ),
        (
            "forest_debt_bytes",
            "Bytes that compactions still have to rewrite, about",
            forest.debt_bytes,
        ),
        (
            "forest_obsolete_files",
            "Files that wait for their last reader to be removed",
            forest.obsolete_files as u64,
        ),
        (
            "forest_memory_budget_bytes",
            "What memtables, open tables and cached blocks may take together",
            forest.cache.budget_bytes,
        ),
        (
            "forest_pinned_bytes",
            "What memtables and open tables take of it",
            forest.cache.pinned_bytes,
        ),
        (
            "forest_cache_bytes",
            "What cached blocks take",
            forest.cache.block_bytes,
        ),
    ]
}

/// What only goes up.
fn counters(stats: &Stats) -> Vec<Figure> {
    let forest = &stats.forest;
    vec![
        ("db_commits", "Commits", stats.commits.commits),
        (
            "db_commit_batches",
            "Batches that they were written in",
            stats.commits.batches,
        ),
        (
            "db_conflicts",
            "Transactions refused for a conflict",
            stats.commits.conflicts,
        ),
        (
            "db_slowed_microseconds",
            "How long writers were made to wait for flushes and compactions",
            u64::try_from(stats.slowed.as_micros()).unwrap_or(u64::MAX),
        ),
        ("forest_flushes", "Flushes", forest.flushes),
        ("forest_compactions", "Compactions", forest.compactions),
        (
            "forest_flushed_bytes",
            "Bytes that flushes wrote",
            forest.flushed_bytes,
        ),
        (
            "forest_compaction_read_bytes",
            "Bytes that compactions read",
            forest.compacted_in_bytes,
        ),
        (
            "forest_weight_faults",
            "Rows whose count was wrong: a defect, or damage that no checksum found",
            forest.weight_faults,
        ),
        (
            "forest_compacted_bytes",
            "Bytes that compactions wrote",
            forest.compacted_out_bytes,
        ),
        (
            "forest_cache_misses",
            "Blocks that were read from disk",
            forest.cache.misses,
        ),
        (
            "forest_cache_read_bytes",
            "Bytes that were read from disk for them",
            forest.cache.read_bytes,
        ),
    ]
}

/// Tables and bytes of each level, those of all trees together.
fn levels(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut by_level: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for tree in stats.forest.trees.values() {
        for (number, level) in tree.levels.iter().enumerate() {
            let (tables, bytes) = by_level.entry(number).or_default();
            *tables += level.tables as u64;
            *bytes += level.bytes;
        }
    }
    for (name, help, value) in [
        (
            "forest_level_tables",
            "Tables of a level, of all trees",
            (|(tables, _)| tables) as fn((u64, u64)) -> u64,
        ),
        (
            "forest_level_bytes",
            "Bytes of a level, of all trees",
            |(_, bytes)| bytes,
        ),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (number, figures) in &by_level {
            let gauge = ConstGauge::new(i64::try_from(value(*figures)).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("level", *number)])?)?;
        }
    }
    Ok(())
}
