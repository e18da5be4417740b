//! Gets while another thread puts at a fixed rate.
//!
//! The load is the same for all: batches fall due at fixed times, and a system that is late has to
//! make up for it. What it did not manage is seen in the row of puts done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Result;
use super::data::{Random, Row, Sum, key, value};
use super::latencies::Latencies;
use super::reads::GETS_PER_READER;
use super::system::Engine;

/// Rows per commit of the thread that puts.
const BATCH: usize = 100;
/// Rows that fall due per second.
const OFFERED: u64 = 100_000;

/// Gets per second, then p50, p99, p99.9 and maximum of the gets in microseconds, then puts per
/// second.
pub fn measure(engine: &dyn Engine, stored: u64, seconds: u64, round: u64) -> Result<Vec<f64>> {
    let done = AtomicBool::new(false);
    let duration = Duration::from_secs(seconds);
    let (put, (gets, latencies)) = std::thread::scope(|scope| -> Result<_> {
        let reader = scope.spawn(|| get_until(engine, stored, round, &done));
        let put = put_for(engine, stored, duration, round);
        done.store(true, Ordering::Relaxed);
        let read = reader.join().map_err(|_| "the reader panicked")??;
        Ok((put?, read))
    })?;
    // The next system should not have to share the machine with this one's compaction.
    engine.caught_up()?;
    let per_second = |count: u64| count as f64 / duration.as_secs_f64();
    Ok(vec![
        per_second(gets),
        latencies.quantile(0.5),
        latencies.quantile(0.99),
        latencies.quantile(0.999),
        latencies.longest(),
        per_second(put),
    ])
}

/// Gets until told that it is done.
fn get_until(
    engine: &dyn Engine,
    stored: u64,
    round: u64,
    done: &AtomicBool,
) -> Result<(u64, Latencies)> {
    let mut random = Random::new(1_000 + round);
    let mut latencies = Latencies::default();
    let mut sum = Sum::default();
    let mut value = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let mut reader = engine.reader()?;
        let mut last = Instant::now();
        for _ in 0..GETS_PER_READER {
            let key = key(random.below(stored));
            if !reader.get(&key, &mut value)? {
                return Err("a row is gone".into());
            }
            sum.row(&key, &value);
            let now = Instant::now();
            latencies.add(now - last);
            last = now;
        }
    }
    std::hint::black_box(sum);
    Ok((sum.rows, latencies))
}

/// Overwrites rows at random, as many as fall due, and says how many it managed.
fn put_for(engine: &dyn Engine, stored: u64, duration: Duration, round: u64) -> Result<u64> {
    let mut random = Random::new(2_000 + round);
    let mut batch: Vec<Row> = Vec::with_capacity(BATCH);
    let mut put = 0;
    let start = Instant::now();
    while start.elapsed() < duration {
        let due = start + Duration::from_secs_f64(put as f64 / OFFERED as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        batch.clear();
        batch.extend((0..BATCH).map(|_| {
            let number = random.below(stored);
            (key(number), value(number, 1 + round))
        }));
        engine.commit(&batch)?;
        put += BATCH as u64;
    }
    Ok(put)
}
