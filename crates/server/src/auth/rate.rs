//! How many requests are let through: a token bucket for each caller.
//!
//! A bucket is one number, the time at which it would be full again (the "generic cell rate
//! algorithm"); a full bucket is not kept, so memory holds those who have asked lately, and there
//! is an end to it. Answers name the limit in the fields `RateLimit` and `RateLimit-Policy`, in the
//! syntax of draft-ietf-httpapi-ratelimit-headers-10.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;

/// So many times the rate of refusals may come at once.
pub(super) const REFUSALS_BURST: u32 = 5;
/// So many buckets there are at most. Those who come when there is no more room wait.
const BUCKETS_MAX: usize = 1 << 16;
/// From so many buckets on, full ones are looked for and taken away.
const SWEEP_MIN: usize = 1024;
const NANOS: u64 = 1_000_000_000;

/// A limit on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// So many requests per second, and at once; none for 0 per second, which is no limit. A burst
    /// of 0 is as many as per second.
    #[must_use]
    pub fn of(per_second: u32, burst: u32) -> Option<Self> {
        let burst = if burst == 0 { per_second } else { burst };
        (per_second > 0).then_some(Self {
            per_second: per_second.into(),
            burst: burst.into(),
        })
    }

    /// The time of one request, in nanoseconds.
    const fn step(self) -> u64 {
        // A rate is a number of 32 bits, so this is at least 0.23; it must not be nothing.
        let step = NANOS / self.per_second;
        if step == 0 { 1 } else { step }
    }

    /// The time in which an empty bucket becomes full.
    const fn window(self) -> u64 {
        self.step().saturating_mul(self.burst)
    }

    /// The field `RateLimit-Policy`: the quota, and the seconds that it is for.
    pub(super) fn policy(self) -> String {
        format!("\"default\";q={};w={}", self.burst, seconds(self.window()))
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) passes: bool,
    /// So many more may come at once.
    left: u64,
    /// So many seconds until there is the whole quota again.
    full_in: u64,
    /// When it does not pass: so many seconds until one does.
    pub(super) retry_after: u64,
}

impl Taken {
    /// The field `RateLimit`: what is left, and the seconds until everything is there again.
    pub(super) fn field(self) -> String {
        format!("\"default\";r={};t={}", self.left, self.full_in)
    }
}

/// The buckets of many callers.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    /// Lock `server.rates`: held to look at one bucket, and now and then at all.
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    /// When each is full again, in nanoseconds of the clock.
    full_at: HashMap<K, u64>,
    /// With so many, full ones are looked for.
    sweep_at: usize,
    /// When that was done last; not more than once a second when there is no room at all.
    swept: u64,
}

impl<K: Eq + Hash> State<K> {
    /// Takes full buckets away.
    fn sweep(&mut self, now: u64) {
        let is_full = self.full_at.len() >= BUCKETS_MAX;
        if is_full && now < self.swept.saturating_add(NANOS) {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        self.sweep_at = (self.full_at.len() * 2).clamp(SWEEP_MIN, BUCKETS_MAX);
        self.swept = now;
    }
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                full_at: HashMap::new(),
                sweep_at: SWEEP_MIN,
                swept: 0,
            }),
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Takes one request from a caller's bucket. `now` is a time that never goes back.
    pub(super) fn take(&self, caller: K, rate: Rate, now: Duration) -> Taken {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.lock();
        if state.full_at.len() >= state.sweep_at && !state.full_at.contains_key(&caller) {
            state.sweep(now);
            if state.full_at.len() >= BUCKETS_MAX {
                return Taken {
                    passes: false,
                    left: 0,
                    full_in: 1,
                    retry_after: 1,
                };
            }
        }
        let full_at = state.full_at.get(&caller).copied().unwrap_or(0);
        // What was used up under another limit counts for no more than all of this one.
        let full_at = full_at.clamp(now, now.saturating_add(rate.window()));
        let full_after = full_at.saturating_add(rate.step());
        let passes = full_after - now <= rate.window();
        let full_at = if passes { full_after } else { full_at };
        state.full_at.insert(caller, full_at);
        let missing = full_at - now;
        Taken {
            passes,
            left: rate.window().saturating_sub(missing) / rate.step(),
            full_in: seconds(missing),
            retry_after: seconds((full_after - now).saturating_sub(rate.window())),
        }
    }
}

/// Whole seconds, begun ones too, at least one.
fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(NANOS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate::of(10, 20).unwrap();
        assert_eq!(rate.policy(), "\"default\";q=20;w=2");
        let buckets = Buckets::default();
        for left in (0..20).rev() {
            let taken = buckets.take("a", rate, at(5));
            assert!(taken.passes && taken.left == left, "{taken:?}");
        }
        let refused = buckets.take("a", rate, at(5));
        assert!(!refused.passes && refused.retry_after == 1, "{refused:?}");
        assert_eq!(refused.field(), "\"default\";r=0;t=2");
        // Somebody else has a bucket of his own.
        assert!(buckets.take("b", rate, at(5)).passes);
        // Refused requests cost nothing: after a tenth of a second there is one more.
        assert!(!buckets.take("a", rate, at(104)).passes);
        assert!(buckets.take("a", rate, at(105)).passes);
        assert!(!buckets.take("a", rate, at(105)).passes);
        assert_eq!(buckets.take("a", rate, at(60_000)).left, 19);
    }

    #[test]
    fn zero_is_no_limit_and_slow_rates_say_how_long_to_wait() {
        assert_eq!(Rate::of(0, 5), None);
        assert_eq!(Rate::of(7, 0), Rate::of(7, 7));
        let fastest = Rate::of(u32::MAX, u32::MAX).unwrap();
        assert!(Buckets::default().take((), fastest, at(0)).passes);
        let buckets = Buckets::default();
        let rate = Rate::of(1, 1).unwrap();
        assert!(buckets.take((), rate, at(0)).passes);
        assert_eq!(buckets.take((), rate, at(1)).retry_after, 1);
    }

    #[test]
    fn memory_holds_those_only_who_have_asked_lately() {
        let buckets = Buckets::default();
        let rate = Rate::of(1000, 1).unwrap();
        // Each is full again after a millisecond, and may go.
        for n in 0..200_000_u64 {
            assert!(buckets.take(n, rate, at(n)).passes);
        }
        assert!(buckets.state.lock().full_at.len() <= SWEEP_MIN);
        // Even if none may go, there is an end.
        let rate = Rate::of(1, 100).unwrap();
        let passed = (0..200_000_u64).filter(|n| buckets.take(n + (1 << 32), rate, at(0)).passes);
        assert!(passed.count() <= BUCKETS_MAX);
        assert!(buckets.state.lock().full_at.len() <= BUCKETS_MAX);
    }
}
