//! How a forest is laid out and how much memory it may take.

use std::sync::Arc;

use crate::kind::TreeKind;
use crate::table::frame::Compression;

/// How a forest is laid out. Everything but `database` and `kinds` may differ from one opening to
/// the next.
#[derive(Clone, Debug)]
pub struct ForestOptions {
    /// The id of the database that the forest belongs to.
    pub database: [u8; 16],
    /// The kinds that trees may have; [`TreeKind::ROWS`] is always known.
    pub kinds: Arc<[TreeKind]>,
    /// The budget in bytes for memtables, open tables and cached blocks together.
    /// Default: 256 MiB.
    pub memory_bytes: u64,
    /// When the memtables of all trees together have this size, they are sealed. At most three
    /// times as much is in memory before writers are slowed down. Default: 64 MiB, but no more
    /// than an eighth of the budget.
    pub memtable_bytes: u64,
    /// Size of a data block in bytes before compression. Default: 8 KiB.
    pub block_bytes: usize,
    /// Every how many rows of a block a whole key is stored. Default: 16.
    pub restart_interval: usize,
    /// Bits of filter per key; 0 for no filters. Default: 10.
    pub filter_bits: u32,
    /// How blocks are compressed, but for the last level. Default: LZ4.
    pub compression: Compression,
    /// How blocks of the last level are compressed. Default: LZ4.
    pub bottom_compression: Compression,
    /// Values from this size on are kept apart from their keys. `None`: never. Default: 4 KiB.
    pub blob_bytes: Option<usize>,
    /// A level-0 of so many tables is compacted. Default: 4.
    pub l0_tables: usize,
    /// Size of the first level below level 0 at most. Default: 256 MiB.
    pub base_bytes: u64,
    /// How many times larger than the level above it a level is. Default: 8.
    pub level_ratio: u64,
    /// Size of a table. Default: 64 MiB.
    pub table_bytes: u64,
    /// When the manifest is longer than this, and than four times what it has to say, it is
    /// written anew. Default: 1 MiB.
    pub manifest_bytes: u64,
    /// Defects on purpose, to prove that the checks find them.
    #[cfg(feature = "broken-on-purpose")]
    pub broken: Broken,
}

/// A defect on purpose.
#[cfg(feature = "broken-on-purpose")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// None.
    #[default]
    Nothing,
    /// The manifest names tables that were not synced.
    ManifestBeforeSync,
    /// Compaction drops versions that an open snapshot needs.
    VersionBelowSnapshot,
    /// The table of a flush is put behind older ones.
    NewerBehindOlder,
    /// A range delete is forgotten while tables still hold rows beneath it.
    RangeDeleteForgotten,
    /// The manifest says that one entry more was flushed than was.
    FlushedTooHigh,
}

impl ForestOptions {
    /// The defaults.
    #[must_use]
    pub fn new(database: [u8; 16]) -> Self {
        Self {
            database,
            kinds: Arc::new([]),
            memory_bytes: 256 << 20,
            memtable_bytes: 64 << 20,
            block_bytes: 8 << 10,
            restart_interval: 16,
            filter_bits: 10,
            compression: Compression::Lz4,
            bottom_compression: Compression::Lz4,
            blob_bytes: Some(4 << 10),
            l0_tables: 4,
            base_bytes: 256 << 20,
            level_ratio: 8,
            table_bytes: 64 << 20,
            manifest_bytes: 1 << 20,
            #[cfg(feature = "broken-on-purpose")]
            broken: Broken::Nothing,
        }
    }

    /// The kind of that name.
    pub(crate) fn kind(&self, name: &str) -> Option<TreeKind> {
        let known = self.kinds.iter().find(|kind| kind.name == name).copied();
        known.or((name == TreeKind::ROWS.name).then_some(TreeKind::ROWS))
    }

    /// The size at which memtables are sealed.
    pub(crate) fn seal_bytes(&self) -> u64 {
        self.memtable_bytes.min(self.memory_bytes / 8).max(1)
    }
}
