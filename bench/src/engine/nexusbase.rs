//! NexusBase through the public interface of `nexusbase-db`.
//!
//! Reads go through a snapshot, which the reader holds; a put is a transaction of its own that
//! reads nothing. Not durable means `Durability::Never`: the operating system has the commit
//! when it returns.

use std::ops::Bound;
use std::path::Path;
use std::time::Instant;

use nexusbase_db::{
    Database, Direction, Durability, Error, ForestOptions, KeyRange, LOG_DIR, Options, Snapshot,
    TreeId, View,
};

use super::Result;
use super::data::{Key, Row, Sum};
use super::system::{Engine, Order, Reader, Settings, WRITE_BUFFER_BYTES, copy};

struct NexusBase {
    db: Database,
    tree: TreeId,
}

struct SnapshotReader {
    snapshot: Snapshot,
    tree: TreeId,
}

pub fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    // One budget for blocks and memtables; the others' memtables come on top of their caches.
    let forest = ForestOptions {
        memory_bytes: settings.cache_bytes as u64 + 2 * WRITE_BUFFER_BYTES as u64,
        memtable_bytes: WRITE_BUFFER_BYTES as u64,
        ..ForestOptions::new([0; 16])
    };
    let options = Options {
        durability: if settings.durable {
            Durability::Always
        } else {
            Durability::Never
        },
        forest,
        ..Options::default()
    };
    let db = Database::open_with(folder.join("data"), options)?;
    let tree = db.transact(|tx| match tx.tree("rows")? {
        Some(tree) => Ok(tree),
        None => Ok::<_, Error>(tx.create_tree("rows")?),
    })?;
    Ok(Box::new(NexusBase { db, tree }))
}

impl Engine for NexusBase {
    fn commit(&self, rows: &[Row]) -> Result<()> {
        self.db.transact(|tx| {
            for (key, value) in rows {
                tx.put(self.tree, key, value)?;
            }
            Ok::<_, Error>(())
        })?;
        Ok(())
    }

    fn caught_up(&self) -> Result<Instant> {
        self.db.settle()?;
        Ok(Instant::now())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(SnapshotReader {
            snapshot: self.db.snapshot(),
            tree: self.tree,
        }))
    }

    fn is_log(&self, file: &Path) -> bool {
        file.starts_with(Path::new("data").join(LOG_DIR))
    }
}

impl Reader for SnapshotReader {
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let found = self.snapshot.get(self.tree, key)?;
        if let Some(found) = &found {
            copy(found, value);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()> {
        let from = Bound::Included(from.to_vec());
        let (range, direction) = match order {
            Order::Forward => (
                KeyRange::from_bounds(from, Bound::Unbounded),
                Direction::Forward,
            ),
            Order::Reverse => (
                KeyRange::from_bounds(Bound::Unbounded, from),
                Direction::Reverse,
            ),
        };
        let mut cursor = self.snapshot.cursor(self.tree, range, direction)?;
        let mut left = limit;
        while left > 0 && cursor.advance()? {
            let (key, value) = cursor.row()?;
            sum.row(key, value);
            left -= 1;
        }
        Ok(())
    }
}
