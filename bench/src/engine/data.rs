//! The rows that every system gets, made from a number on the fly so that no list of them is kept.

/// A key: a mixed-up number, so that keys in order of their numbers are keys at random.
pub type Key = [u8; 16];
/// A value: 64 random bytes, then 64 bytes that compress to nearly none.
pub type Value = [u8; 128];
/// A key and its value.
pub type Row = (Key, Value);

/// Numbers from here on are of keys that the fill does not put.
const ABSENT: u64 = 1 << 40;

/// What the second half of every value is.
const PATTERN: [u8; 8] = *b"nexus:db";

/// A bijection of 64-bit numbers that looks random (the finish of SplitMix64).
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The key with this number; no two numbers have the same.
pub fn key(number: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
    key[8..].copy_from_slice(&mix(number ^ 0x5555_5555_5555_5555).to_be_bytes());
    key
}

/// A key that is in no database, another for each number below a trillion.
pub fn absent_key(number: u64) -> Key {
    key(number + ABSENT)
}

/// The value under the key with this number; each generation has another one.
pub fn value(number: u64, generation: u64) -> Value {
    let mut value = [0; 128];
    let mut random = Random::new(number.wrapping_add(generation << 44));
    let (first, second) = value.split_at_mut(64);
    for part in first.chunks_exact_mut(8) {
        part.copy_from_slice(&random.number().to_le_bytes());
    }
    for part in second.chunks_exact_mut(8) {
        part.copy_from_slice(&PATTERN);
    }
    value
}

/// The rows with these numbers, of the first generation.
pub fn rows(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Row> {
    numbers.map(|number| (key(number), value(number, 0)))
}

/// Numbers that look random, the same for the same seed (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }
}

/// What has been read: how many rows, and a sum for which every byte of them was looked at. Two
/// systems that did the same work have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub rows: u64,
    pub bytes: u64,
}

impl Sum {
    /// Counts a row and touches its key and value.
    pub fn row(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes = self
            .bytes
            .wrapping_add(touch(key))
            .wrapping_add(touch(value));
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// The sum of all bytes, taken as little-endian numbers of eight bytes.
fn touch(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words
        .chain(rest.iter().map(|byte| u64::from(*byte)))
        .fold(0, u64::wrapping_add)
}
