//! What is known of a group of rows without reading them: of a block, a partition, a table.

use crate::Seqno;
use crate::kind::{TreeKind, ZONES_MAX};
use crate::row::{Cell, RowRef};

/// A sum of fingerprints modulo 2^256, little-endian words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FingerprintSum(pub [u64; 4]);

impl FingerprintSum {
    fn add_words(&mut self, words: [u64; 4]) {
        let mut carry = false;
        for (sum, word) in self.0.iter_mut().zip(words) {
            let (first, over) = sum.overflowing_add(word);
            let (second, again) = first.overflowing_add(u64::from(carry));
            *sum = second;
            carry = over || again;
        }
    }

    /// Adds one fingerprint `weight` times: -1 is the additive inverse.
    pub(crate) fn add(&mut self, fingerprint: [u8; 32], weight: i8) {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(fingerprint.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        match weight {
            0 => {}
            1 => self.add_words(words),
            _ => {
                // Two's complement over 256 bits.
                let mut inverse = Self(words.map(|word| !word));
                inverse.add_words([1, 0, 0, 0]);
                self.add_words(inverse.0);
            }
        }
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.add_words(other.0);
    }

    /// The sum as bytes, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// What is known of a group of rows that are next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aggregate {
    /// Rows, versions and tombstones included.
    pub(crate) rows: u64,
    /// The sum of their weights.
    pub(crate) weight: i64,
    /// The sum of `weight` times the fingerprint of the key.
    pub(crate) fingerprint: FingerprintSum,
    pub(crate) min_seqno: Seqno,
    pub(crate) max_seqno: Seqno,
    /// Every row is a put, and no key comes twice.
    pub(crate) plain: bool,
    /// The least and the greatest value of each zone that the kind declares.
    pub(crate) zones: [(u64, u64); ZONES_MAX],
}

impl Default for Aggregate {
    /// Of no rows.
    fn default() -> Self {
        Self {
            rows: 0,
            weight: 0,
            fingerprint: FingerprintSum::default(),
            min_seqno: Seqno::MAX,
            max_seqno: Seqno::ZERO,
            plain: true,
            zones: [(u64::MAX, 0); ZONES_MAX],
        }
    }
}

impl Aggregate {
    /// Takes in one more row, which has the same key as the row before it or not.
    pub(crate) fn add(&mut self, kind: &TreeKind, row: &RowRef<'_>, same_key: bool) {
        self.rows += 1;
        self.weight += i64::from(row.weight);
        self.min_seqno = self.min_seqno.min(row.seqno);
        self.max_seqno = self.max_seqno.max(row.seqno);
        self.plain &= !same_key && matches!(row.cell, Cell::Put(_) | Cell::Blob(_));
        if let Some(fingerprint) = kind.fingerprint
            && row.weight != 0
        {
            self.fingerprint.add(fingerprint(row.key), row.weight);
        }
        for (zone, (least, greatest)) in kind.zones.iter().zip(&mut self.zones) {
            let value = zone(row.key);
            *least = value.min(*least);
            *greatest = value.max(*greatest);
        }
    }

    /// Takes in another group. Whether a key lies in both must be said, because it makes the
    /// whole not plain.
    pub(crate) fn merge(&mut self, other: &Self, shares_key: bool) {
        self.rows += other.rows;
        self.weight += other.weight;
        self.fingerprint.merge(&other.fingerprint);
        self.min_seqno = self.min_seqno.min(other.min_seqno);
        self.max_seqno = self.max_seqno.max(other.max_seqno);
        self.plain &= other.plain && !shares_key;
        for (mine, other) in self.zones.iter_mut().zip(&other.zones) {
            *mine = (mine.0.min(other.0), mine.1.max(other.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_and_taking_away_is_nothing() {
        let fingerprints = [[0xff; 32], [0; 32], [0x5a; 32], [1; 32]];
        let mut sum = FingerprintSum::default();
        for fingerprint in fingerprints {
            sum.add(fingerprint, 1);
        }
        assert_ne!(sum, FingerprintSum::default());
        for fingerprint in fingerprints {
            sum.add(fingerprint, -1);
        }
        assert_eq!(sum, FingerprintSum::default());
    }

    #[test]
    fn a_sum_carries_from_byte_to_byte() {
        let mut one = [0; 32];
        one[0] = 1;
        let mut sum = FingerprintSum::default();
        sum.add([0xff; 32], 1);
        sum.add(one, 1);
        assert_eq!(sum.to_bytes(), [0; 32]);
        sum.add(
            [0xff; 8]
                .iter()
                .chain(&[0; 24])
                .copied()
                .collect::<Vec<_>>()
                .try_into()
                .unwrap(),
            1,
        );
        sum.add(one, 1);
        assert_eq!(sum.0, [0, 1, 0, 0]);
    }
}
