//! Pacing: how much slower writers should be, so that flushes and compactions keep up.
//!
//! Instead of running freely until a limit and then standing still, writers are slowed down
//! little by little as the backlog grows: a memtable that waits for its flush, tables in level 0,
//! bytes to be rewritten. The forest only says how long; whoever lets writers in does the waiting,
//! outside of every lock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::forest::{Forest, Sealing};

/// How far behind background work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// 0 while background work keeps up; at 1000 and above it is as far behind as it may get.
    pub thousandths: u64,
}

/// The pressure at which writers begin to be slowed down.
const EASY: f64 = 0.5;

/// What a writer waits per KiB at full pressure: some 50 MB per second get through, and at twice
/// that pressure 5.
const FULL_DELAY_PER_KIB: Duration = Duration::from_micros(20);

/// No single wait is longer, however large the write.
const DELAY_MAX: Duration = Duration::from_millis(100);

/// Sealed sets that may wait for their flush.
const SEALED_MAX: usize = 3;

/// How many times the trigger of level 0 there may be in it.
const L0_FACTOR_MAX: usize = 8;

impl Pressure {
    /// How long a writer of `bytes` should wait before it goes on.
    #[must_use]
    pub fn delay(&self, bytes: usize) -> Duration {
        let level = self.thousandths as f64 / 1000.0;
        if level <= EASY {
            return Duration::ZERO;
        }
        // Quadratic: hardly felt at first, and certain to stop the backlog in the end.
        let over = ((level - EASY) / (1.0 - EASY)).min(4.0);
        let kib = bytes as f64 / 1024.0;
        FULL_DELAY_PER_KIB.mul_f64(over * over * kib).min(DELAY_MAX)
    }
}

impl Forest {
    /// How far behind flushes and compactions are. Costs one load.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        Pressure {
            thousandths: self.pressure.load(Ordering::Relaxed),
        }
    }

    /// To be called when a set was sealed or the tables have changed.
    pub(crate) fn measure_pressure(&self, sealing: &Sealing) {
        let roster = self.trees.load();
        // Dropped trees are not compacted any more.
        let trees = roster.iter().filter(|(_, tree)| tree.dropped.is_none());
        let l0 = trees.map(|(_, tree)| tree.tables.level0.len()).max();
        let l0_max = self.options.l0_tables.max(1) * L0_FACTOR_MAX;
        let by_l0 = l0.unwrap_or(0) * 1000 / l0_max;
        let by_memory = sealing.sets.len() * 1000 / SEALED_MAX;
        let level = by_l0.max(by_memory) as u64;
        self.pressure.store(level, Ordering::Relaxed);
    }
}
