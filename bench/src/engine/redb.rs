//! redb, with keys of a fixed width, which it keeps most compactly.
//!
//! Its one cache holds clean and dirty pages, so it gets what others have for write buffers on top
//! of the cache. Not durable means `Durability::None`: weaker than the others' modes, since such a
//! commit may not even survive the end of the process, and the nearest that it offers. There is
//! no log and no compaction; waiting makes everything durable by an empty commit. Nothing is
//! compressed.

use std::path::Path;
use std::time::Instant;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::Result;
use super::data::{Key, Row, Sum};
use super::system::{Engine, Order, Reader, Settings, WRITE_BUFFER_BYTES, copy};

const TABLE: TableDefinition<&Key, &[u8]> = TableDefinition::new("rows");

struct Redb {
    db: Database,
    durability: Durability,
}

struct RedbReader {
    table: ReadOnlyTable<&'static Key, &'static [u8]>,
}

pub fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    let db = Database::builder()
        .set_cache_size(settings.cache_bytes + 2 * WRITE_BUFFER_BYTES)
        .create(folder.join("redb"))?;
    let durability = if settings.durable {
        Durability::Immediate
    } else {
        Durability::None
    };
    let engine = Redb { db, durability };
    // Creates the table, so that there is one to read from.
    engine.commit(&[])?;
    Ok(Box::new(engine))
}

impl Engine for Redb {
    fn commit(&self, rows: &[Row]) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(self.durability)?;
        let mut table = transaction.open_table(TABLE)?;
        for (key, value) in rows {
            table.insert(key, value.as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn caught_up(&self) -> Result<Instant> {
        self.db.begin_write()?.commit()?;
        Ok(Instant::now())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        Ok(Box::new(RedbReader { table }))
    }

    fn is_log(&self, _: &Path) -> bool {
        false
    }
}

impl Reader for RedbReader {
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let found = self.table.get(key)?;
        if let Some(found) = &found {
            copy(found.value(), value);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()> {
        let add = |row: redb::Result<(redb::AccessGuard<&Key>, redb::AccessGuard<&[u8]>), _>| {
            let (key, value) = row?;
            sum.row(key.value(), value.value());
            Ok::<_, redb::StorageError>(())
        };
        match order {
            Order::Forward => {
                let rows = self.table.range::<&Key>(from..)?;
                rows.take(limit).try_for_each(add)?;
            }
            Order::Reverse => {
                let rows = self.table.range::<&Key>(..=from)?.rev();
                rows.take(limit).try_for_each(add)?;
            }
        }
        Ok(())
    }
}
