//! A clock that moves only when it is told to, or by a fixed step at each reading.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::Clock;

/// 2026-01-01T00:00:00Z: where simulated calendars start.
const START_UNIX_MS: u64 = 1_767_225_600_000;

/// A simulated [`Clock`]. Clones show the same time.
#[derive(Clone, Debug)]
pub struct SimClock {
    times: Arc<Mutex<Times>>,
}

#[derive(Debug)]
struct Times {
    monotonic: Duration,
    unix: Duration,
    step: Duration,
}

impl SimClock {
    /// A clock that stands still between calls of [`SimClock::advance`].
    #[must_use]
    pub fn manual() -> Self {
        Self::ticking(Duration::ZERO)
    }

    /// A clock that also moves by `step` at each reading.
    #[must_use]
    pub fn ticking(step: Duration) -> Self {
        let unix = Duration::from_millis(START_UNIX_MS);
        Self {
            times: Arc::new(Mutex::new(Times {
                monotonic: Duration::ZERO,
                unix,
                step,
            })),
        }
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.times.lock().advance(duration);
    }

    /// Sets the calendar, as somebody who corrects the machine's clock does; monotonic time goes
    /// on as before.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        self.times.lock().unix = Duration::from_millis(unix_ms);
    }
}

impl Times {
    fn advance(&mut self, duration: Duration) {
        self.monotonic = self.monotonic.saturating_add(duration);
        self.unix = self.unix.saturating_add(duration);
    }
}

impl Clock for SimClock {
    fn unix_ms(&self) -> u64 {
        let mut times = self.times.lock();
        let step = times.step;
        times.advance(step);
        u64::try_from(times.unix.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        let mut times = self.times.lock();
        let step = times.step;
        times.advance(step);
        times.monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = SimClock::manual();
        let (unix_ms, monotonic) = (clock.unix_ms(), clock.monotonic());
        assert_eq!((clock.unix_ms(), clock.monotonic()), (unix_ms, monotonic));
        clock.clone().advance(Duration::from_millis(5));
        assert_eq!(clock.unix_ms(), unix_ms + 5);
        assert_eq!(clock.monotonic(), monotonic + Duration::from_millis(5));
    }

    #[test]
    fn a_ticking_clock_never_shows_the_same_time_twice() {
        let clock = SimClock::ticking(Duration::from_nanos(1));
        assert!(clock.monotonic() < clock.monotonic());
    }

    #[test]
    fn setting_the_calendar_does_not_move_monotonic_time() {
        let clock = SimClock::manual();
        let before = clock.monotonic();
        clock.set_unix_ms(12);
        assert_eq!((clock.unix_ms(), clock.monotonic()), (12, before));
    }
}
