//! What came of the requests, and how long they took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::mix::Kind;

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Done.
    Ok,
    /// The server said that it did nothing.
    Refused,
    /// The server said that it failed.
    Failed,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Unreachable,
    /// The connection broke before the answer was there.
    Broken,
}

impl Outcome {
    pub(super) const ALL: [Self; 6] = [
        Self::Ok,
        Self::Refused,
        Self::Failed,
        Self::TimedOut,
        Self::Unreachable,
        Self::Broken,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
        }
    }
}

/// Counts and latencies of one kind of operation, or of all.
#[derive(Clone, Debug)]
pub(super) struct Line {
    counts: BTreeMap<Outcome, u64>,
    /// Microseconds of the requests that were done.
    latencies: Histogram<u64>,
}

/// Microseconds are kept with three digits; a request that takes longer than an hour counts as one
/// that takes an hour.
const MICROS_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

impl Line {
    fn new() -> Option<Self> {
        Some(Self {
            counts: BTreeMap::new(),
            latencies: Histogram::new_with_max(MICROS_MAX, DIGITS).ok()?,
        })
    }

    /// How many had this outcome.
    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or_default()
    }

    /// How many there were.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Which part was done, from 0 to 1; all of nothing is 1.
    pub(super) fn success_rate(&self) -> f64 {
        self.rate(self.count(Outcome::Ok)).unwrap_or(1.0)
    }

    fn rate(&self, count: u64) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| count as f64 / total as f64)
    }

    /// The latency that this part of the requests did not exceed.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(quantile))
    }

    /// The longest latency.
    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.latencies.max())
    }

    fn add(&mut self, other: &Self) {
        for (outcome, count) in &other.counts {
            *self.counts.entry(*outcome).or_default() += count;
        }
        // Both have the same range, so nothing can be out of it.
        let _ = self.latencies.add(&other.latencies);
    }

    pub(super) fn to_json(&self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mut object = serde_json::Map::new();
        object.insert("count".into(), self.total().into());
        for outcome in Outcome::ALL {
            object.insert(outcome.name().into(), self.count(outcome).into());
        }
        let silent = self.count(Outcome::TimedOut);
        let rates = json!({
            "success": self.success_rate(),
            "timeout": self.rate(silent).unwrap_or(0.0),
            "error": (1.0 - self.success_rate() - self.rate(silent).unwrap_or(0.0)).max(0.0),
        });
        object.insert("rates".into(), rates);
        let latencies = json!({
            "p50": ms(self.quantile(0.5)),
            "p90": ms(self.quantile(0.9)),
            "p99": ms(self.quantile(0.99)),
            "p99.9": ms(self.quantile(0.999)),
            "max": ms(self.max()),
        });
        object.insert("latency_ms".into(), latencies);
        Value::Object(object)
    }
}

/// Counts and latencies by kind.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    lines: BTreeMap<Kind, Line>,
}

impl Tally {
    /// Nothing yet; none if the ranges above were impossible.
    pub(super) fn new() -> Option<Self> {
        let line = |kind| Some((kind, Line::new()?));
        Some(Self {
            lines: Kind::ALL.into_iter().map(line).collect::<Option<_>>()?,
        })
    }

    /// Counts a request.
    pub(super) fn record(&mut self, kind: Kind, outcome: Outcome, latency: Duration) {
        let Some(line) = self.lines.get_mut(&kind) else {
            return;
        };
        *line.counts.entry(outcome).or_default() += 1;
        if outcome == Outcome::Ok {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(MICROS_MAX);
            line.latencies.saturating_record(micros);
        }
    }

    /// Adds what another has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (kind, line) in &other.lines {
            if let Some(mine) = self.lines.get_mut(kind) {
                mine.add(line);
            }
        }
    }

    /// By kind.
    pub(super) fn lines(&self) -> impl Iterator<Item = (Kind, &Line)> {
        self.lines.iter().map(|(kind, line)| (*kind, line))
    }

    /// All together.
    pub(super) fn all(&self) -> Option<Line> {
        let mut all = Line::new()?;
        for line in self.lines.values() {
            all.add(line);
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_add_up() {
        let mut first = Tally::new().unwrap();
        let mut second = Tally::new().unwrap();
        for n in 1..=90u64 {
            first.record(Kind::Read, Outcome::Ok, Duration::from_millis(n));
            second.record(Kind::Insert, Outcome::Ok, Duration::from_millis(n));
        }
        for outcome in Outcome::ALL {
            second.record(Kind::Insert, outcome, Duration::from_secs(9));
        }
        first.add(&second);
        let all = first.all().unwrap();
        let by_kind: u64 = first.lines().map(|(_, line)| line.total()).sum();
        assert_eq!(all.total(), 186);
        assert_eq!(by_kind, 186);
        let by_outcome: u64 = Outcome::ALL.into_iter().map(|o| all.count(o)).sum();
        assert_eq!(by_outcome, 186);
        assert_eq!(all.count(Outcome::Ok), 181);
        let json = all.to_json();
        let rate = |name: &str| json["rates"][name].as_f64().unwrap();
        assert!((rate("success") + rate("timeout") + rate("error") - 1.0).abs() < 1e-9);
        assert!((rate("success") - 181.0 / 186.0).abs() < 1e-9);
        // Only what was done has a latency; it is kept with three digits.
        assert_eq!(all.max().as_secs(), 9);
        let p50 = first.lines().next().unwrap().1.quantile(0.5).as_millis();
        assert!((44..=46).contains(&p50), "{p50}");
    }
}
