//! Many seeds on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Failure, Report};

/// The outcome of many seeds.
#[derive(Debug, Default)]
pub struct Batch {
    /// Seeds that were run.
    pub seeds: u64,
    /// The figures of all that went well.
    pub report: Report,
    /// Those that went badly, lowest seed first; no more are run after `failures_max`.
    pub failures: Vec<Failure>,
}

/// Runs `run` with the seeds `start .. start + seeds` on `threads` threads, until `failures_max`
/// have failed.
pub fn run_many(
    start: u64,
    seeds: u64,
    threads: usize,
    failures_max: usize,
    run: impl Fn(u64) -> Result<Report, Failure> + Sync,
) -> Batch {
    let next = AtomicU64::new(0);
    let batch = Mutex::new(Batch::default());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return;
            }
            let seed = start.wrapping_add(number);
            // A panic is a failure like any other, and needs its seed as much.
            let outcome = catch_unwind(AssertUnwindSafe(|| run(seed)))
                .unwrap_or_else(|panic| Err(Failure::panicked(seed, &*panic)));
            let mut batch = batch
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if batch.failures.len() >= failures_max {
                return;
            }
            batch.seeds += 1;
            match outcome {
                Ok(report) => batch.report.add(&report),
                Err(failure) => batch.failures.push(failure),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut batch = batch
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    batch.failures.sort_by_key(|failure| failure.seed);
    batch
}
