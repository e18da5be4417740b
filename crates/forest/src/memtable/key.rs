//! The key of a version in a memtable: user key ascending, then seqno descending.
//!
//! The first bytes of the user key lie in the row itself, as big-endian words, so that nearly all
//! comparisons on the way through a large memtable touch no memory but the node they are at. It
//! also makes a row for looking up a short key without allocating.

use std::cmp::{Ordering, Reverse};

use bytes::Bytes;

use crate::Seqno;

const HEAD_WORDS: usize = 3;
const HEAD_BYTES: usize = 8 * HEAD_WORDS;

/// The key of one version.
///
/// In this order, because the map's links lie right behind it: a comparison and the step that
/// follows mostly touch the same cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Row {
    /// The whole user key; empty in a [probe](Row::probe) for a key that fits into the head.
    key: Bytes,
    seqno: Seqno,
    length: usize,
    /// The first bytes of the user key, filled up with zeros.
    head: [u64; HEAD_WORDS],
}

impl Row {
    /// A row to store.
    pub(crate) fn new(key: Bytes, seqno: Seqno) -> Self {
        Self {
            head: head(&key),
            length: key.len(),
            seqno,
            key,
        }
    }

    /// A row to look for. It compares like any other, but [`Row::key`] means nothing.
    pub(crate) fn probe(key: &[u8], seqno: Seqno) -> Self {
        let rest = if key.len() > HEAD_BYTES {
            Bytes::copy_from_slice(key)
        } else {
            Bytes::new()
        };
        Self {
            head: head(key),
            length: key.len(),
            seqno,
            key: rest,
        }
    }

    pub(crate) fn key(&self) -> &Bytes {
        &self.key
    }

    pub(crate) fn seqno(&self) -> Seqno {
        self.seqno
    }

    /// Whether both are versions of the same key.
    pub(crate) fn is_version_of(&self, other: &Self) -> bool {
        self.compare_keys(other) == Ordering::Equal
    }

    fn compare_keys(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| {
            if self.length <= HEAD_BYTES || other.length <= HEAD_BYTES {
                // Equal up to the zeros that fill the head: one is a prefix of the other.
                self.length.cmp(&other.length)
            } else {
                self.key[HEAD_BYTES..].cmp(&other.key[HEAD_BYTES..])
            }
        })
    }
}

fn head(key: &[u8]) -> [u64; HEAD_WORDS] {
    let mut bytes = [0; HEAD_BYTES];
    let length = key.len().min(HEAD_BYTES);
    bytes[..length].copy_from_slice(&key[..length]);
    let mut words = [0; HEAD_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare_keys(other)
            .then_with(|| Reverse(self.seqno).cmp(&Reverse(other.seqno)))
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Row {}

#[cfg(test)]
mod tests {
    use nexusbase_io::sim::SimRng;

    use super::*;

    #[test]
    fn rows_are_ordered_as_their_bytes_are_and_then_newest_first() {
        // Short alphabets and lengths around the head's: zeros, prefixes and equal heads abound.
        let mut rng = SimRng::new(1);
        let mut key = || -> Vec<u8> {
            let length = [0, 1, 7, 8, 22, 23, 24, 25, 26, 40][rng.index(10)];
            let flips = rng.index(3);
            let mut key = vec![0; length];
            for _ in 0..flips.min(length) {
                key[rng.index(length)] = [0, 1, 255][rng.index(3)];
            }
            key
        };
        for _ in 0..100_000 {
            let (a, b) = (key(), key());
            let (newer, older) = (Seqno::new(8), Seqno::new(7));
            let row = |key: &[u8], seqno| Row::new(Bytes::copy_from_slice(key), seqno);
            assert_eq!(
                row(&a, older).cmp(&row(&b, older)),
                a.cmp(&b),
                "{a:?} {b:?}"
            );
            assert_eq!(
                row(&a, older).cmp(&Row::probe(&b, older)),
                a.cmp(&b),
                "{a:?} {b:?}"
            );
            assert_eq!(
                Row::probe(&a, older).cmp(&row(&b, older)),
                a.cmp(&b),
                "{a:?} {b:?}"
            );
            assert_eq!(row(&a, older).is_version_of(&Row::probe(&b, newer)), a == b);
            assert_eq!(
                row(&a, newer).cmp(&row(&b, older)),
                a.cmp(&b).then(Ordering::Less)
            );
        }
    }
}
