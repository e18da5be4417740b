//! Filling a database at random, and what that costs.

use std::path::Path;
use std::time::Instant;

use super::Result;
use super::data::{Row, rows};
use super::system::Engine;
use super::usage;

/// Rows per commit.
const BATCH: usize = 1_000;

/// Puts `keys` rows, in an order that has nothing to do with that of the keys.
pub fn put_all(engine: &dyn Engine, keys: u64) -> Result<()> {
    let mut batch: Vec<Row> = Vec::with_capacity(BATCH);
    for row in rows(0..keys) {
        batch.push(row);
        if batch.len() == BATCH {
            engine.commit(&batch)?;
            batch.clear();
        }
    }
    if batch.is_empty() {
        Ok(())
    } else {
        engine.commit(&batch)
    }
}

/// Fills and measures: puts per second until compaction has caught up, bytes written per byte put
/// (since nothing but `before` had been written, so with what opening wrote), and megabytes on
/// disk, with and without the log.
pub fn measure(engine: &dyn Engine, folder: &Path, keys: u64, before: u64) -> Result<Vec<f64>> {
    let start = Instant::now();
    put_all(engine, keys)?;
    let elapsed = engine.caught_up()?.duration_since(start);
    usage::sync(folder)?;

    let written = usage::written_bytes()?.saturating_sub(before);
    let put = keys * size_of::<Row>() as u64;
    let all = usage::disk_bytes(folder, folder, &|_| true)?;
    let tables = usage::disk_bytes(folder, folder, &|file| !engine.is_log(file))?;
    Ok(vec![
        keys as f64 / elapsed.as_secs_f64(),
        written as f64 / put as f64,
        all as f64 / 1e6,
        tables as f64 / 1e6,
    ])
}
