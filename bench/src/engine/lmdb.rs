//! LMDB through `heed`.
//!
//! Without `WRITEMAP`, with the operating system's read-ahead as it comes. Not durable means
//! `NO_SYNC`: the pages of a commit are written, but not synced. There is no log and no cache:
//! pages are read where the operating system has mapped the file, so the cache size does not bind
//! it and the mapped pages count as its memory. Nothing is compressed.

use std::ops::Bound;
use std::path::Path;
use std::time::Instant;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithTls};

use super::Result;
use super::data::{Key, Row, Sum};
use super::system::{Engine, Order, Reader, Settings, copy};

/// How large the file may grow; address space, not memory.
const MAP_BYTES: usize = 128 << 30;

type Rows = Database<Bytes, Bytes>;

struct Lmdb {
    env: Env<WithTls>,
    db: Rows,
}

struct LmdbReader<'env> {
    transaction: RoTxn<'env, WithTls>,
    db: Rows,
}

#[expect(
    unsafe_code,
    reason = "a mapped file must not be changed by others, and nobody knows this new folder; \
              without sync a power cut may lose the file, which is thrown away anyway"
)]
pub fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES);
    // SAFETY: see above.
    let env = unsafe {
        if !settings.durable {
            options.flags(EnvFlags::NO_SYNC);
        }
        options.open(folder)?
    };
    let mut transaction = env.write_txn()?;
    let db = env.create_database(&mut transaction, None)?;
    transaction.commit()?;
    Ok(Box::new(Lmdb { env, db }))
}

impl Engine for Lmdb {
    fn commit(&self, rows: &[Row]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in rows {
            self.db.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn caught_up(&self) -> Result<Instant> {
        self.env.force_sync()?;
        Ok(Instant::now())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(LmdbReader {
            transaction: self.env.read_txn()?,
            db: self.db,
        }))
    }

    fn is_log(&self, _: &Path) -> bool {
        false
    }
}

impl Reader for LmdbReader<'_> {
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let found = self.db.get(&self.transaction, key)?;
        if let Some(found) = found {
            copy(found, value);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()> {
        let from: &[u8] = from;
        match order {
            Order::Forward => {
                let range = (Bound::Included(from), Bound::Unbounded);
                for row in self.db.range(&self.transaction, &range)?.take(limit) {
                    let (key, value) = row?;
                    sum.row(key, value);
                }
            }
            Order::Reverse => {
                let range = (Bound::Unbounded, Bound::Included(from));
                for row in self.db.rev_range(&self.transaction, &range)?.take(limit) {
                    let (key, value) = row?;
                    sum.row(key, value);
                }
            }
        }
        Ok(())
    }
}
