//! LMDB through `lmdb-rkv`, whose interface is safe throughout (opening an environment with `heed`
//! is not, and this workspace forbids unsafe code). The C library below is the same.
//!
//! Without `WRITEMAP`, with the operating system's read-ahead as it comes. Not durable means
//! `NO_SYNC`: the pages of a commit are written, but not synced. There is no log and no cache:
//! pages are read where the operating system has mapped the file, so the cache size does not bind
//! it and the mapped pages count as its memory. Nothing is compressed.

use std::path::Path;
use std::time::Instant;

use lmdb::{
    Cursor, Database, DatabaseFlags, Environment, EnvironmentFlags, Error, RoTransaction,
    Transaction, WriteFlags,
};

use super::Result;
use super::data::{Key, Row, Sum};
use super::system::{Engine, Order, Reader, Settings, copy};

/// How large the file may grow; address space, not memory.
const MAP_BYTES: usize = 128 << 30;

/// Values of LMDB's `MDB_cursor_op`, which the wrapper takes as numbers.
const MDB_LAST: u32 = 6;
const MDB_NEXT: u32 = 8;
const MDB_PREV: u32 = 12;
const MDB_SET_RANGE: u32 = 17;

struct Lmdb {
    env: Environment,
    db: Database,
}

struct LmdbReader<'env> {
    transaction: RoTransaction<'env>,
    db: Database,
}

pub fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    let flags = if settings.durable {
        EnvironmentFlags::empty()
    } else {
        EnvironmentFlags::NO_SYNC
    };
    let env = Environment::new()
        .set_flags(flags)
        .set_map_size(MAP_BYTES)
        .open(folder)?;
    let db = env.create_db(None, DatabaseFlags::empty())?;
    Ok(Box::new(Lmdb { env, db }))
}

impl Engine for Lmdb {
    fn commit(&self, rows: &[Row]) -> Result<()> {
        let mut transaction = self.env.begin_rw_txn()?;
        for (key, value) in rows {
            transaction.put(self.db, key, value, WriteFlags::empty())?;
        }
        Ok(transaction.commit()?)
    }

    fn caught_up(&self) -> Result<Instant> {
        self.env.sync(true)?;
        Ok(Instant::now())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(LmdbReader {
            transaction: self.env.begin_ro_txn()?,
            db: self.db,
        }))
    }

    fn is_log(&self, _: &Path) -> bool {
        false
    }
}

impl Reader for LmdbReader<'_> {
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        match self.transaction.get(self.db, key) {
            Ok(found) => {
                copy(found, value);
                Ok(true)
            }
            Err(Error::NotFound) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()> {
        let cursor = self.transaction.open_ro_cursor(self.db)?;
        let mut row = cursor.get(Some(from), None, MDB_SET_RANGE);
        // It stands at the first key that is not smaller: one step too far if it is larger.
        if order == Order::Reverse {
            row = match row {
                Ok((Some(key), _)) if key == from => row,
                Ok(_) => cursor.get(None, None, MDB_PREV),
                Err(Error::NotFound) => cursor.get(None, None, MDB_LAST),
                Err(_) => row,
            };
        }
        let step = match order {
            Order::Forward => MDB_NEXT,
            Order::Reverse => MDB_PREV,
        };
        for _ in 0..limit {
            match row {
                Ok((key, value)) => sum.row(key.unwrap_or_default(), value),
                Err(Error::NotFound) => break,
                Err(other) => return Err(other.into()),
            }
            row = cursor.get(None, None, step);
        }
        Ok(())
    }
}
