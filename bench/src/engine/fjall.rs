//! fjall, with the settings it comes with and the cache given.
//!
//! Those are LZ4 from the third level on (it leaves the two small ones above uncompressed, for
//! speed), bloom filters of 10 bits per key and more in the first level, blocks of 4 KiB, a write
//! buffer of 64 MiB and one worker thread per core. Not durable means that each commit is handed to
//! the operating system (`PersistMode::Buffer`); durable, that it is followed by
//! `persist(SyncAll)`.
//!
//! Tables that compaction has replaced stay on its disk until a later flush or until it is closed,
//! however long one waits, so they count in the row of disk space (3 million rows: 0.9 GB, half of
//! that once closed).
//!
//! A get takes no snapshot, since one needs none to be consistent.

use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Result;
use super::data::{Key, Row, Sum};
use super::system::{Engine, Order, Reader, Settings, WRITE_BUFFER_BYTES, copy};

/// How long nothing may happen before it counts as having caught up.
const QUIET: Duration = Duration::from_millis(200);

struct Fjall {
    db: Database,
    rows: Keyspace,
    durable: bool,
}

pub fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    let db = Database::builder(folder)
        .cache_size(settings.cache_bytes as u64)
        .open()?;
    let rows = db.keyspace("rows", || {
        KeyspaceCreateOptions::default().max_memtable_size(WRITE_BUFFER_BYTES as u64)
    })?;
    Ok(Box::new(Fjall {
        db,
        rows,
        durable: settings.durable,
    }))
}

impl Engine for Fjall {
    fn commit(&self, rows: &[Row]) -> Result<()> {
        match rows {
            // Inserting one row directly is cheaper for it than a batch.
            [(key, value)] => self.rows.insert(key, value)?,
            rows => {
                let mut batch = self.db.batch();
                for (key, value) in rows {
                    batch.insert(&self.rows, key, value);
                }
                batch.commit()?;
            }
        }
        if self.durable {
            self.db.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }

    fn caught_up(&self) -> Result<Instant> {
        self.rows.rotate_memtable_and_wait()?;
        // It has nothing to wait for compactions with, but counts them.
        let state = || {
            let busy = self.db.outstanding_flushes() + self.db.active_compactions();
            let sealed = self.rows.sealed_memtable_count();
            (busy + sealed, self.db.compactions_completed())
        };
        let mut quiet = (Instant::now(), state());
        while quiet.1.0 > 0 || quiet.0.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(2));
            let now = state();
            if now != quiet.1 {
                quiet = (Instant::now(), now);
            }
        }
        self.db.persist(PersistMode::SyncAll)?;
        Ok(quiet.0)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(&self.rows))
    }

    fn is_log(&self, file: &Path) -> bool {
        file.extension().is_some_and(|extension| extension == "jnl")
    }
}

impl Reader for &Keyspace {
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let found = Keyspace::get(self, key)?;
        if let Some(found) = &found {
            copy(found, value);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()> {
        let mut add = |row: fjall::Guard| {
            let (key, value) = row.into_inner()?;
            sum.row(&key, &value);
            Ok::<_, fjall::Error>(())
        };
        match order {
            Order::Forward => {
                let range = (Bound::Included(from), Bound::Unbounded);
                let mut rows = self.range::<&Key, _>(range);
                rows.by_ref().take(limit).try_for_each(&mut add)?;
            }
            Order::Reverse => {
                let range = (Bound::Unbounded, Bound::Included(from));
                let rows = self.range::<&Key, _>(range).rev();
                rows.take(limit).try_for_each(&mut add)?;
            }
        }
        Ok(())
    }
}
