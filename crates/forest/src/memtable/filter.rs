//! A filter in front of a memtable: most keys that are not there are known by one cache line.
//!
//! It is a Bloom filter in lines of 512 bits: a key has one bit in each of the eight words of one
//! line. When more keys come than it was made for, a second, larger one is begun: then a key that
//! is not there costs a line of each.
//!
//! It may say of a key that is not there that it is, about one time in two hundred; never the other
//! way round, for keys of entries that the reader may see. That holds although bits are set and
//! read without any order of their own: the writer sets the bits of an entry before it moves
//! `applied` up to it (with Release), and a reader has read `applied` at or above its own seqno
//! (with Acquire) before it asks. Whether the bits or the row come first does not matter for that.
//! They come first all the same, so that who finds a row in the tree finds its bits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const BITS_PER_KEY: u64 = 12;
const LINE_BITS: u64 = 512;

/// What a row is supposed to take in a memtable, for guessing their number. Small rows, because
/// a filter that is too large costs less than one that is too small.
const EXPECTED_ROW_BYTES: u64 = 192;
const FIRST_KEYS_MIN: u64 = 64;
const FIRST_KEYS_MAX: u64 = 1 << 22;

/// Each stage is this many times larger than the one before.
const STAGE_GROWTH: u64 = 4;
/// The last one takes what comes, at a rising rate of wrong answers.
const STAGES: usize = 8;

/// Odd numbers that make eight hashes of one; those of Parquet's filters.
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

impl Line {
    fn has(&self, hash: u64) -> bool {
        let mut words = self.0.iter().zip(SALTS);
        words.all(|(word, salt)| word.load(Ordering::Relaxed) & bit(hash, salt) != 0)
    }

    fn add(&self, hash: u64) {
        for (word, salt) in self.0.iter().zip(SALTS) {
            // There is one writer, so this need not be one step.
            word.store(
                word.load(Ordering::Relaxed) | bit(hash, salt),
                Ordering::Relaxed,
            );
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half has chosen the line"
)]
const fn bit(hash: u64, salt: u32) -> u64 {
    1 << ((hash as u32).wrapping_mul(salt) >> 26)
}

/// A set of hashes that may seem to hold more than it does.
#[derive(Debug)]
pub(super) struct Filter {
    stages: [OnceLock<Box<[Line]>>; STAGES],
    first_keys: u64,
}

/// How far the filter has been filled: the writer's part of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fill {
    stage: usize,
    keys: u64,
}

impl Filter {
    /// A filter for a memtable that will take about so much memory.
    pub(super) fn new(expected_bytes: u64) -> Self {
        let keys = expected_bytes / EXPECTED_ROW_BYTES;
        let filter = Self {
            stages: [const { OnceLock::new() }; STAGES],
            first_keys: keys.clamp(FIRST_KEYS_MIN, FIRST_KEYS_MAX),
        };
        filter.stage(0);
        filter
    }

    /// Whether the hash was added, perhaps.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.stages
            .iter()
            .map_while(OnceLock::get)
            .any(|lines| line(lines, hash).has(hash))
    }

    /// Adds a hash, and returns how much memory that took. Only one thread may do so at a time.
    pub(super) fn add(&self, fill: &mut Fill, hash: u64) -> u64 {
        if self.may_have(hash) {
            return 0;
        }
        let mut more_bytes = 0;
        if fill.keys >= self.keys_of(fill.stage) && fill.stage + 1 < STAGES {
            *fill = Fill {
                stage: fill.stage + 1,
                keys: 0,
            };
            more_bytes = size_of_val(self.stage(fill.stage)) as u64;
        }
        fill.keys += 1;
        line(self.stage(fill.stage), hash).add(hash);
        more_bytes
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let lines = self.stages.iter().filter_map(OnceLock::get);
        lines.map(|lines| size_of_val::<[Line]>(lines) as u64).sum()
    }

    fn keys_of(&self, stage: usize) -> u64 {
        (0..stage).fold(self.first_keys, |keys, _| keys * STAGE_GROWTH)
    }

    fn stage(&self, stage: usize) -> &[Line] {
        self.stages[stage].get_or_init(|| {
            let lines = (self.keys_of(stage) * BITS_PER_KEY).div_ceil(LINE_BITS);
            (0..lines).map(|_| Line::default()).collect()
        })
    }
}

fn line(lines: &[Line], hash: u64) -> &Line {
    &lines[(((hash >> 32) * lines.len() as u64) >> 32) as usize]
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn filled(expected_bytes: u64, keys: u64) -> Filter {
        let (filter, mut fill) = (Filter::new(expected_bytes), Fill::default());
        let before = filter.bytes();
        let more: u64 = (0..keys)
            .map(|key| filter.add(&mut fill, xxh3_64(&key.to_le_bytes())))
            .sum();
        assert_eq!(filter.bytes(), before + more);
        filter
    }

    /// Of a hundred thousand keys that are not there, how many seem to be.
    fn wrong(filter: &Filter, keys: u64) -> usize {
        (keys..keys + 100_000)
            .filter(|key| filter.may_have(xxh3_64(&key.to_le_bytes())))
            .count()
    }

    #[test]
    fn no_key_is_missed_and_few_are_seen_that_are_not_there() {
        for keys in [1, 64, 1000, 100_000] {
            let filter = filled(keys * EXPECTED_ROW_BYTES, keys);
            assert!((0..keys).all(|key| filter.may_have(xxh3_64(&key.to_le_bytes()))));
            assert!(
                wrong(&filter, keys) < 1000,
                "{keys}: {}",
                wrong(&filter, keys)
            );
        }
    }

    #[test]
    fn far_more_keys_than_expected_are_taken_at_the_same_rate_and_size_of_key() {
        let filter = filled(0, 100_000);
        assert!((0..100_000_u64).all(|key| filter.may_have(xxh3_64(&key.to_le_bytes()))));
        assert!(
            wrong(&filter, 100_000) < 3000,
            "{}",
            wrong(&filter, 100_000)
        );
        assert!(filter.bytes() < 100_000 * BITS_PER_KEY / 8 * 4);
    }
}
