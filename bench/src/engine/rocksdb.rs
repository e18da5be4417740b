//! RocksDB, set up as its wiki recommends ("Setup Options and Basic Tuning").
//!
//! LZ4 in all levels, a full bloom filter of 10 bits per key over whole keys, index and filter
//! blocks in the block cache with those of level 0 pinned, the cache a HyperClockCache (what it
//! uses and recommends itself since version 11), two write buffers of 64 MiB at most, two
//! background jobs for two cores. The rest, also blocks of 4 KiB and dynamic level sizes, is as it
//! comes. Not durable means `sync = false`: the operating system has the log record when a write
//! returns.
//!
//! A get takes no snapshot, since one needs none to be consistent. A scan makes an iterator of its
//! own, as `db_bench` does for random seeks.

use std::path::Path;
use std::time::Instant;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Options, WaitForCompactOptions, WriteBatch,
    WriteOptions,
};

use super::Result;
use super::data::{Key, Row, Sum};
use super::system::{Engine, Order, Reader, Settings, WRITE_BUFFER_BYTES, copy};

struct RocksDb {
    db: DB,
    durable: bool,
}

pub fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_hyper_clock_cache(settings.cache_bytes, 0));
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_background_jobs(2);
    let db = DB::open(&options, folder)?;
    Ok(Box::new(RocksDb {
        db,
        durable: settings.durable,
    }))
}

impl Engine for RocksDb {
    fn commit(&self, rows: &[Row]) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(self.durable);
        let mut batch = WriteBatch::default();
        for (key, value) in rows {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &options)?)
    }

    fn caught_up(&self) -> Result<Instant> {
        let mut options = WaitForCompactOptions::default();
        options.set_flush(true);
        self.db.wait_for_compact(&options)?;
        Ok(Instant::now())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(&self.db))
    }

    fn is_log(&self, file: &Path) -> bool {
        // The file `LOG`, without an extension, is what it tells people.
        file.extension().is_some_and(|extension| extension == "log")
    }
}

impl Reader for &DB {
    fn get(&mut self, key: &Key, value: &mut Vec<u8>) -> Result<bool> {
        let found = self.get_pinned(key)?;
        if let Some(found) = &found {
            copy(found, value);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, from: &Key, order: Order, limit: usize, sum: &mut Sum) -> Result<()> {
        let mut rows = self.raw_iterator();
        match order {
            Order::Forward => rows.seek(from),
            Order::Reverse => rows.seek_for_prev(from),
        }
        for _ in 0..limit {
            let Some((key, value)) = rows.item() else {
                break;
            };
            sum.row(key, value);
            match order {
                Order::Forward => rows.next(),
                Order::Reverse => rows.prev(),
            }
        }
        Ok(rows.status()?)
    }
}
