//! The keys that part neighbouring blocks (or partitions, or tables), laid out for searching.
//!
//! Separator `i` is at or behind every row of block `i` and before every row of block `i + 1`, in
//! the order of rows. Most are shortened keys without a seqno, which stand behind all versions of
//! their key; only where the versions of one key go on in the next block does a separator carry
//! a seqno.
//!
//! What all separators have in common is compared once. The next eight bytes of each lie side by
//! side as big-endian words, so that nearly the whole search happens in a few cache lines.

use std::cmp::Ordering;

use crate::Seqno;
use crate::row::compare_rows;

/// A separator's place in the order of rows: a key, and the last of its versions before it.
pub(crate) type Separator<'a> = (&'a [u8], Seqno);

/// Separators in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Separators {
    /// How many first bytes are the same in all of them.
    common: usize,
    /// The eight bytes behind the common ones, filled up with zeros.
    heads: Box<[u64]>,
    /// Where each key ends in `keys`.
    ends: Box<[u32]>,
    keys: Box<[u8]>,
    /// [`Seqno::ZERO`] stands behind all versions. Empty when all are zero.
    seqnos: Box<[Seqno]>,
}

impl Separators {
    /// Lays out separators, which must ascend.
    pub(crate) fn new<'a>(separators: impl Iterator<Item = Separator<'a>> + Clone) -> Self {
        let mut keys = Vec::new();
        let mut ends = Vec::new();
        let mut seqnos = Vec::new();
        let mut common: Option<&[u8]> = None;
        for (key, seqno) in separators.clone() {
            keys.extend_from_slice(key);
            // Blocks are far smaller than 4 GiB, and so are the keys between them.
            ends.push(u32::try_from(keys.len()).unwrap_or(u32::MAX));
            seqnos.push(seqno);
            common = Some(common.map_or(key, |common| &key[..shared(common, key)]));
        }
        let common = common.map_or(0, <[u8]>::len);
        if seqnos.iter().all(|seqno| *seqno == Seqno::ZERO) {
            seqnos.clear();
        }
        Self {
            common,
            heads: separators.map(|(key, _)| head(&key[common..])).collect(),
            ends: ends.into(),
            keys: keys.into(),
            seqnos: seqnos.into(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn key(&self, at: usize) -> &[u8] {
        let start = if at == 0 {
            0
        } else {
            self.ends[at - 1] as usize
        };
        &self.keys[start..self.ends[at] as usize]
    }

    pub(crate) fn seqno(&self, at: usize) -> Seqno {
        self.seqnos.get(at).copied().unwrap_or(Seqno::ZERO)
    }

    /// The first separator that is not before `(key, seqno)`: the only block that the row can be
    /// in. [`Separators::len`] when the row would lie behind all.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], seqno: Seqno) -> usize {
        let common = &self.keys[..self.common.min(self.keys.len())];
        if !key.starts_with(common) {
            return match common.cmp(&key[..key.len().min(common.len())]) {
                // A key that is shorter than what is common, and equal so far, lies before all.
                Ordering::Greater | Ordering::Equal => 0,
                Ordering::Less => self.len(),
            };
        }
        let head = head(&key[common.len()..]);
        let mut at = self.heads.partition_point(|h| *h < head);
        while at < self.heads.len()
            && self.heads[at] == head
            && compare_rows((self.key(at), self.seqno(at)), (key, seqno)) == Ordering::Less
        {
            at += 1;
            // Many separators with one head: search among them.
            if at < self.heads.len() && self.heads[at] == head {
                let behind = self.heads[at..].partition_point(|h| *h == head);
                return at + self.partition(at, behind, key, seqno);
            }
        }
        at
    }

    /// How many of the `count` separators from `from` on are before `(key, seqno)`.
    fn partition(&self, from: usize, count: usize, key: &[u8], seqno: Seqno) -> usize {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            let separator = (self.key(from + middle), self.seqno(from + middle));
            if compare_rows(separator, (key, seqno)) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.heads.len() * 12 + self.keys.len() + self.seqnos.len() * 8
    }
}

/// The first eight bytes as a number that orders as they do, up to zeros at the end.
#[inline]
pub(crate) fn head(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(bytes)
        }
    }
}

/// How many first bytes two keys share.
pub(crate) fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A short key that is at or behind `before` and before `behind`, which is greater.
pub(crate) fn between(before: &[u8], behind: &[u8]) -> Vec<u8> {
    let common = shared(before, behind);
    // The first byte that differs, counted up, if that stays before `behind`.
    if let (Some(low), Some(high)) = (before.get(common), behind.get(common))
        && low + 1 < *high
    {
        let mut key = before[..=common].to_vec();
        key[common] += 1;
        return key;
    }
    // `behind` cut off right behind the difference, unless that is all of it.
    if behind.len() > common + 1 {
        return behind[..=common].to_vec();
    }
    before.to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(254), Just(255), any::<u8>()];
        (0..3usize, proptest::collection::vec(byte, 0..12)).prop_map(|(long, mut key)| {
            let mut prefix = vec![7; long * 5];
            prefix.append(&mut key);
            prefix
        })
    }

    proptest! {
        #[test]
        fn find_is_the_first_separator_not_before(
            rows in proptest::collection::btree_set((key(), 0..3u64), 0..60),
            probes in proptest::collection::vec((key(), 0..4u64), 0..60),
        ) {
            let mut rows: Vec<_> = rows.into_iter().map(|(k, s)| (k, Seqno::new(s))).collect();
            rows.sort_by(|a, b| compare_rows((&a.0, a.1), (&b.0, b.1)));
            let separators = Separators::new(rows.iter().map(|(k, s)| (k.as_slice(), *s)));
            let probes = probes.into_iter().map(|(k, s)| (k, Seqno::new(s)));
            for (key, seqno) in probes.chain(rows.clone()) {
                let expected = rows.partition_point(|row| {
                    compare_rows((&row.0, row.1), (&key, seqno)) == Ordering::Less
                });
                prop_assert_eq!(separators.find(&key, seqno), expected);
            }
        }

        #[test]
        fn a_key_between_is_between(a in key(), b in key()) {
            prop_assume!(a != b);
            let (before, behind) = if a < b { (a, b) } else { (b, a) };
            let between = between(&before, &behind);
            prop_assert!(before <= between && between < behind);
            prop_assert!(between.len() <= before.len().max(behind.len()));
        }
    }
}
