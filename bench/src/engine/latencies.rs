//! Latencies, counted in buckets of about 1.5 % width, so that millions of them take little memory.

use std::time::Duration;

/// Buckets per power of two, as a power of two.
const FINE: u32 = 6;

/// How often which latency was seen.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    longest: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
            longest: 0,
        }
    }
}

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    /// The latency in microseconds that this share of all did not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(index).min(self.longest) as f64 / 1e3;
            }
        }
        self.longest()
    }

    /// The longest latency in microseconds.
    pub fn longest(&self) -> f64 {
        self.longest as f64 / 1e3
    }
}

/// Small numbers have a bucket each; larger ones share it with those that have the same leading
/// bits.
const fn bucket(number: u64) -> usize {
    let shift = (u64::BITS - number.leading_zeros()).saturating_sub(FINE + 1);
    ((shift as usize) << FINE) + (number >> shift) as usize
}

/// The highest number of a bucket.
const fn highest(bucket: usize) -> u64 {
    let shift = (bucket >> FINE).saturating_sub(1);
    let leading = (bucket - (shift << FINE)) as u64;
    (leading << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for index in 0..bucket(u64::MAX) {
            assert_eq!(bucket(highest(index)), index);
            assert_eq!(bucket(highest(index) + 1), index + 1);
        }
    }

    #[test]
    fn quantiles_are_of_what_was_added() {
        let mut latencies = Latencies::default();
        for microseconds in 1..=1000 {
            latencies.add(Duration::from_micros(microseconds));
        }
        assert!((latencies.quantile(0.5) - 500.0).abs() < 10.0);
        assert!((latencies.quantile(0.999) - 999.0).abs() < 20.0);
        assert!((latencies.longest() - 1000.0).abs() < f64::EPSILON);
    }
}
