//! The systems, and the little that each of them has to be able to do.

use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;

use super::Result;
use super::data::{Key, Row, Sum};
use crate::report::OURS;

/// A system that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    Nexusbase,
    Rocksdb,
    Lmdb,
    Redb,
    Fjall,
}

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether a commit is on stable storage when it returns. If not, it has at least been handed
    /// to the system's own log or cache, and nothing is synced per commit.
    pub durable: bool,
    /// What the cache of blocks or pages may take.
    pub cache_bytes: usize,
}

/// What one write buffer takes. Two of them may be full at a time, so a system without such
/// buffers gets twice as much cache on top.
pub const WRITE_BUFFER_BYTES: usize = 64 << 20;

/// An open database of one system: one ordered map of byte keys and byte values.
pub trait Engine: Send + Sync {
    /// Puts all rows in one transaction or atomic batch.
    fn commit(&self, rows: &[Row]) -> Result<()>;

    /// Waits until nothing of what was put waits to be flushed or compacted, and says when that
    /// was (which may be a little before it was certain).
    fn caught_up(&self) -> Result<Instant>;

    /// Something to read with, on one thread and not for long: where reading needs a snapshot or
    /// a read transaction, it holds one.
    fn reader(&self) -> Result<Box<dyn Reader + '_>>;

    /// Whether a file of the database, given relative to its folder, belongs to the log.
    fn is_log(&self, file: &Path) -> bool;
}

/// Reads from one database.
pub trait Reader {
    /// Copies the value under `key` into `value`, if there is one, and says whether there is.
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool>;

    /// Adds up the `limit` rows from `from` on, `from` included, in the order of keys or against
    /// it.
    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()>;
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Forward,
    Reverse,
}

impl System {
    /// Its name in the table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nexusbase => OURS,
            Self::Rocksdb => "RocksDB",
            Self::Lmdb => "LMDB",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
        }
    }

    /// The package in the lock file whose version says which one was measured.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Nexusbase => "nexusbase-db",
            Self::Rocksdb => "librocksdb-sys",
            Self::Lmdb => "lmdb-rkv-sys",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
        }
    }

    /// Opens its database in a folder of its own, which exists.
    pub fn open(self, folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
        match self {
            Self::Nexusbase => super::nexusbase::open(folder, settings),
            #[cfg(feature = "engine")]
            Self::Rocksdb => super::rocksdb::open(folder, settings),
            #[cfg(feature = "engine")]
            Self::Lmdb => super::lmdb::open(folder, settings),
            #[cfg(feature = "engine")]
            Self::Redb => super::redb::open(folder, settings),
            #[cfg(feature = "engine")]
            Self::Fjall => super::fjall::open(folder, settings),
            #[cfg(not(feature = "engine"))]
            peer => Err(format!("{} needs the feature `engine`", peer.title()).into()),
        }
    }
}

/// Copies a value out, as every system does it.
pub fn copy(from: &[u8], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(from);
}
