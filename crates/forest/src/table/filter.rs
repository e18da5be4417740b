//! Bloom filters: whether a key can be in a table at all, at the price of one cache line.
//!
//! The filter is an array of lines of 64 bytes. A key belongs to one line, which the high 32 bits
//! of its hash choose, and sets up to [`PROBES_MAX`] bits in it, which the low 32 bits choose. So
//! a lookup misses the cache once at most, and pays for that with a few more false positives than
//! bits spread over the whole filter: see the table.
//!
//! It never denies a key that was added. It says true of others: measured over 100,000 keys.
//!
//! | bits per key | probes | false positives |
//! |--------------|--------|-----------------|
//! | 4            | 2      | 15.5%           |
//! | 6            | 4      | 5.7%            |
//! | 8            | 5      | 2.3%            |
//! | 10           | 6      | 0.96%           |
//! | 12           | 6      | 0.44%           |
//! | 14           | 7      | 0.2%            |
//! | 16           | 7      | 0.1%            |
//! | 20           | 7      | 0.03%           |
//!
//! On disk: one byte that says how many probes, then the lines as they are, each eight words of 64
//! bits, little-endian. A filter of no keys has probes and no lines and denies every key; one with
//! no bits per key is a single zero byte and denies none.

use xxhash_rust::xxh3::xxh3_64;

/// The hash of a user key, for filters, blocks and caches.
#[inline]
pub(crate) fn hash_key(key: &[u8]) -> u64 {
    xxh3_64(key)
}

const LINE: usize = 64;
const LINE_BITS: usize = 8 * LINE;
/// Nine bits of 64 for each.
const PROBES_MAX: u8 = 7;
/// What 10 bits per key come to.
const USUAL_PROBES: u8 = 6;
/// 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct Line([u64; 8]);

impl Line {
    #[inline]
    fn set(&mut self, hash: u64, probes: u8) {
        each_probe(hash, probes, |word, bit| self.0[word] |= bit);
    }

    /// Without a branch for each probe: all of them lie in the line that was loaded anyway.
    #[inline(always)]
    fn has(&self, hash: u64, probes: u8) -> bool {
        let mut missing = 0;
        each_probe(hash, probes, |word, bit| missing |= !self.0[word] & bit);
        missing == 0
    }
}

#[inline(always)]
fn each_probe(hash: u64, probes: u8, mut with: impl FnMut(usize, u64)) {
    let mut bits = (hash & u64::from(u32::MAX)).wrapping_mul(SPREAD);
    for _ in 0..probes {
        let word = (bits >> 61) & 7;
        let bit = (bits >> 55) & 63;
        with(word as usize & 7, 1 << bit);
        bits <<= 9;
    }
}

#[inline]
fn line_of(hash: u64, lines: usize) -> usize {
    let scaled = (hash >> 32) * lines as u64;
    usize::try_from(scaled >> 32).unwrap_or(0)
}

/// Collects the keys of a filter.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// Takes in a key by its [hash](hash_key). The versions of a key, which come one after the
    /// other, count once.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// How many keys it has.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.hashes.len()
    }

    /// About how long the filter would be.
    #[cfg(test)]
    pub(crate) const fn bytes(&self, bits_per_key: u32) -> usize {
        1 + LINE * lines_for(self.hashes.len(), bits_per_key)
    }

    /// Appends the filter to `out` and starts a new one.
    pub(crate) fn finish(&mut self, bits_per_key: u32, out: &mut Vec<u8>) {
        let probes = probes_for(bits_per_key);
        let mut lines = vec![Line([0; 8]); lines_for(self.hashes.len(), bits_per_key)];
        let count = lines.len();
        for &hash in &self.hashes {
            if let Some(line) = lines.get_mut(line_of(hash, count)) {
                line.set(hash, probes);
            }
        }
        out.reserve(1 + LINE * count);
        out.push(probes);
        for word in lines.iter().flat_map(|line| &line.0) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        self.hashes.clear();
    }
}

const fn lines_for(keys: usize, bits_per_key: u32) -> usize {
    keys.saturating_mul(bits_per_key as usize)
        .div_ceil(LINE_BITS)
}

/// Fewer than for bits spread over the whole filter, because lines are filled unevenly.
const fn probes_for(bits_per_key: u32) -> u8 {
    match bits_per_key {
        0 => 0,
        1 => 1,
        2..=4 => 2,
        5 => 3,
        6..=7 => 4,
        8..=9 => 5,
        10..=12 => USUAL_PROBES,
        _ => PROBES_MAX,
    }
}

/// A filter in memory.
#[derive(Debug)]
pub(crate) struct Filter {
    lines: Box<[Line]>,
    probes: u8,
}

impl Filter {
    /// The filter that these bytes are, all of them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((&probes, rest)) = bytes.split_first() else {
            return Err("a filter of no bytes".to_owned());
        };
        let (words, odd) = rest.as_chunks::<8>();
        let (lines, odd_words) = words.as_chunks::<8>();
        if probes > PROBES_MAX || (probes == 0) && !lines.is_empty() {
            let lines = lines.len();
            return Err(format!("a filter of {lines} lines with {probes} probes"));
        }
        if !odd.is_empty() || !odd_words.is_empty() {
            return Err(format!("a filter of {} bytes", bytes.len()));
        }
        let lines = lines.iter().map(|line| Line(line.map(u64::from_le_bytes)));
        Ok(Self {
            lines: lines.collect(),
            probes,
        })
    }

    /// Whether the key with this [hash](hash_key) may have been added. False is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        match self.lines.get(line_of(hash, self.lines.len())) {
            // As a constant it is a straight line of code: a third faster.
            Some(line) if self.probes == USUAL_PROBES => line.has(hash, USUAL_PROBES),
            Some(line) => line.has(hash, self.probes),
            None => self.probes == 0,
        }
    }

    pub(crate) const fn memory_bytes(&self) -> usize {
        size_of::<Self>() + LINE * self.lines.len()
    }
}

#[cfg(test)]
mod tests;
