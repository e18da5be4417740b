//! Durable commits of one row each: every one is on stable storage when it returns.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::Result;
use super::data::{Random, key, value};
use super::system::Engine;

/// Commits per second of `threads` threads. Each commits one new row after the other until the
/// time is over.
pub fn measure(engine: &dyn Engine, threads: usize, time: Duration, round: u64) -> Result<f64> {
    // Threads are made before the clock starts.
    let ready = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let seed = (threads as u64) << 32 | round << 16 | thread;
                let ready = &ready;
                scope.spawn(move || commit_for(engine, seed, time, ready))
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        let mut commits = 0;
        for writer in writers {
            commits += writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(commits as f64 / start.elapsed().as_secs_f64())
    })
}

fn commit_for(engine: &dyn Engine, seed: u64, time: Duration, ready: &Barrier) -> Result<u64> {
    let mut random = Random::new(seed);
    let mut commits = 0;
    ready.wait();
    let start = Instant::now();
    while start.elapsed() < time {
        let number = random.number();
        engine.commit(&[(key(number), value(number, 0))])?;
        commits += 1;
    }
    Ok(commits)
}
