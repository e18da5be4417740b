//! Back-pressure: writers wait as long as flushes and compactions need to keep up, and together no
//! less than one alone would.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::database::Core;

/// As many sealed sets may wait for their flush; then writers wait for it.
const SEALED_MAX: usize = 8;
/// How long a writer waits before it looks again.
const LOOK: Duration = Duration::from_millis(5);
/// No writer waits longer than this, lest a flush that hangs or fails should look like a hang.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How writers are slowed down.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Whether somebody flushes and compacts in the background.
    has_threads: AtomicBool,
    /// When the next writer's turn begins, in microseconds of the monotonic clock.
    next_us: AtomicU64,
    /// How long writers were made to wait, in microseconds.
    slowed_us: AtomicU64,
}

impl Pace {
    /// From now on, somebody flushes and compacts in the background.
    pub(crate) fn begin(&self) {
        self.has_threads.store(true, Ordering::Relaxed);
    }

    pub(crate) fn slowed_us(&self) -> u64 {
        self.slowed_us.load(Ordering::Relaxed)
    }

    /// Gives a writer that is to wait for `delay` its turn behind all others. Returns how long it
    /// has to wait for it.
    fn reserve(&self, now: Duration, delay: Duration) -> Duration {
        let (now, delay) = (micros(now), micros(delay));
        let end = |next: u64| (next.max(now) + delay).min(now + micros(WAIT_MAX));
        let next = |next| Some(end(next));
        let order = Ordering::Relaxed;
        let (Ok(before) | Err(before)) = self.next_us.fetch_update(order, order, next);
        Duration::from_micros(end(before) - now)
    }
}

impl Core {
    /// Lets a writer of `bytes` wait as long as flushes and compactions need to keep up.
    pub(crate) fn pace(&self, bytes: usize) {
        if !self.pace.has_threads.load(Ordering::Relaxed) {
            return;
        }
        let delay = self.forest.pressure().delay(bytes);
        let mut waited = Duration::ZERO;
        if !delay.is_zero() {
            let turn = self.pace.reserve(self.env.clock.monotonic(), delay);
            let is_slow = || !self.forest.pressure().delay(bytes).is_zero();
            waited += self.wait_while(turn, is_slow);
        }
        // Slower and slower is not slow enough, if nothing is flushed at all.
        let is_full = || self.forest.sealed_sets() >= SEALED_MAX;
        if is_full() {
            self.bells.flush.ring();
            waited += self.wait_while(WAIT_MAX, is_full);
        }
        if !waited.is_zero() {
            let waited = micros(waited);
            self.pace.slowed_us.fetch_add(waited, Ordering::Relaxed);
        }
    }

    /// Waits while `holds`, at most for `time`, and not for a database that has stopped. Returns
    /// how long.
    fn wait_while(&self, time: Duration, holds: impl Fn() -> bool) -> Duration {
        let mut left = time;
        while !left.is_zero() && self.pipeline.is_stopped().is_none() && holds() {
            let part = left.min(LOOK);
            // The visible index never gets there: this waits for the time to pass.
            self.registry.visible.wait_beyond(u64::MAX, part);
            left -= part;
        }
        time - left
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delays_of_writers_add_up() {
        let pace = Pace::default();
        let ms = Duration::from_millis;
        assert_eq!(pace.reserve(ms(1000), ms(10)), ms(10));
        assert_eq!(pace.reserve(ms(1000), ms(10)), ms(20));
        assert_eq!(pace.reserve(ms(1005), ms(10)), ms(25));
        // Time that has passed unused is no credit.
        assert_eq!(pace.reserve(ms(5000), ms(10)), ms(10));
        for _ in 0..2000 {
            pace.reserve(ms(5000), ms(10));
        }
        assert_eq!(pace.reserve(ms(5000), ms(10)), WAIT_MAX);
    }
}
