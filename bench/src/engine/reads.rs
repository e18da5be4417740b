//! Gets and scans of a filled database that nobody writes to meanwhile.

use std::time::{Duration, Instant};

use super::Result;
use super::data::{Key, Random, Sum, absent_key, key};
use super::latencies::Latencies;
use super::system::{Engine, Order};

/// How many gets share a reader, and with it a snapshot or a read transaction.
pub const GETS_PER_READER: u64 = 1_000;
/// How many scans do.
const SCANS_PER_READER: u64 = 100;
/// Rows per scan.
const SCAN_ROWS: usize = 100;

/// Which keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    Present,
    Absent,
}

/// How many gets at which keys, the same ones for the same seed.
#[derive(Clone, Copy, Debug)]
pub struct Gets {
    pub keys: Keys,
    pub stored: u64,
    pub count: u64,
    pub seed: u64,
}

impl Gets {
    /// Gets, and calls `after` after each.
    fn each(self, engine: &dyn Engine, mut after: impl FnMut()) -> Result<Sum> {
        let mut random = Random::new(self.seed);
        let mut sum = Sum::default();
        let mut value = Vec::new();
        let mut left = self.count;
        while left > 0 {
            let mut reader = engine.reader()?;
            for _ in 0..left.min(GETS_PER_READER) {
                let number = random.below(self.stored);
                let key = match self.keys {
                    Keys::Present => key(number),
                    Keys::Absent => absent_key(number),
                };
                if reader.get(&key, &mut value)? {
                    sum.row(&key, &value);
                }
                after();
            }
            left = left.saturating_sub(GETS_PER_READER);
        }
        self.check(sum)
    }

    fn check(self, sum: Sum) -> Result<Sum> {
        let expected = match self.keys {
            Keys::Present => self.count,
            Keys::Absent => 0,
        };
        if sum.rows == expected {
            Ok(sum)
        } else {
            Err(format!("{} of {expected} gets found a row", sum.rows).into())
        }
    }

    /// Gets with nothing in between.
    pub fn run(self, engine: &dyn Engine) -> Result<Sum> {
        self.each(engine, || {})
    }

    /// Microseconds per get, and the 99.9th percentile from a second pass that looks at the clock
    /// after each of them.
    pub fn measure(self, engine: &dyn Engine) -> Result<(Vec<f64>, Sum)> {
        let start = Instant::now();
        let sum = self.run(engine)?;
        let per_get = per(start.elapsed(), self.count);

        let mut latencies = Latencies::default();
        let mut last = Instant::now();
        let timed = Self {
            seed: self.seed + 1,
            ..self
        };
        timed.each(engine, || {
            let now = Instant::now();
            latencies.add(now - last);
            last = now;
        })?;
        Ok((vec![per_get, latencies.quantile(0.999)], sum))
    }

    /// Gets per second of two threads, then the ratio to one.
    pub fn measure_two(self, engine: &dyn Engine) -> Result<(Vec<f64>, Sum)> {
        let start = Instant::now();
        let mut sum = self.run(engine)?;
        let one = self.count as f64 / start.elapsed().as_secs_f64();

        let start = Instant::now();
        std::thread::scope(|scope| -> Result<()> {
            let threads = [1, 2].map(|thread| {
                let gets = Self {
                    seed: self.seed + thread,
                    ..self
                };
                scope.spawn(move || gets.run(engine))
            });
            for thread in threads {
                sum += thread.join().map_err(|_| "a reader panicked")??;
            }
            Ok(())
        })?;
        let two = 2.0 * self.count as f64 / start.elapsed().as_secs_f64();
        Ok((vec![two, two / one], sum))
    }
}

/// Microseconds per scan of 100 rows.
pub fn measure_scans(
    engine: &dyn Engine,
    order: Order,
    stored: u64,
    count: u64,
    seed: u64,
) -> Result<(Vec<f64>, Sum)> {
    let mut random = Random::new(seed);
    let mut sum = Sum::default();
    let start = Instant::now();
    let mut left = count;
    while left > 0 {
        let mut reader = engine.reader()?;
        for _ in 0..left.min(SCANS_PER_READER) {
            let from: Key = key(random.below(stored));
            reader.scan(&from, order, SCAN_ROWS, &mut sum)?;
        }
        left = left.saturating_sub(SCANS_PER_READER);
    }
    Ok((vec![per(start.elapsed(), count)], sum))
}

/// Microseconds per piece.
fn per(elapsed: Duration, count: u64) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}
