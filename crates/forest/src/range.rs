//! Ranges of keys, and the direction to walk them in.

use std::ops::Bound;

/// The order in which a scan returns keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Reverse,
}

/// A range of keys in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    #[must_use]
    pub const fn all() -> Self {
        Self::from_bounds(Bound::Unbounded, Bound::Unbounded)
    }

    /// The keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        // The first key behind them all: the last byte that can be counted up is, and what
        // follows it is cut off. Only 0xff bytes: nothing lies behind.
        let end = prefix
            .iter()
            .rposition(|byte| *byte != u8::MAX)
            .map(|last| {
                let mut end = prefix[..=last].to_vec();
                end[last] += 1;
                end
            });
        Self::from_bounds(
            Bound::Included(prefix.to_vec()),
            end.map_or(Bound::Unbounded, Bound::Excluded),
        )
    }

    /// The keys between two bounds. Bounds in the wrong order make an empty range.
    #[must_use]
    pub const fn from_bounds(start: Bound<Vec<u8>>, end: Bound<Vec<u8>>) -> Self {
        Self { start, end }
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(Vec::as_slice)
    }

    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(Vec::as_slice)
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.is_behind(key) && !self.is_before(key)
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let mut first = match &self.start {
            Bound::Included(key) | Bound::Excluded(key) => key.clone(),
            Bound::Unbounded => Vec::new(),
        };
        if let Bound::Excluded(_) = self.start {
            first.push(0);
        }
        self.is_before(&first)
    }

    /// Whether the range ends before `key`.
    pub(crate) fn is_before(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Included(end) => end.as_slice() < key,
            Bound::Excluded(end) => end.as_slice() <= key,
            Bound::Unbounded => false,
        }
    }

    /// Whether the range starts behind `key`.
    pub(crate) fn is_behind(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) => key < start.as_slice(),
            Bound::Excluded(start) => key <= start.as_slice(),
            Bound::Unbounded => false,
        }
    }

    /// Whether every key of the range is at or behind `key`.
    pub(crate) fn starts_at_or_behind(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) | Bound::Excluded(start) => start.as_slice() >= key,
            Bound::Unbounded => key.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: Bound<&[u8]>, end: Bound<&[u8]>) -> KeyRange {
        KeyRange::from_bounds(start.map(<[u8]>::to_vec), end.map(<[u8]>::to_vec))
    }

    #[test]
    fn bounds_are_kept_to() {
        use Bound::{Excluded, Included};
        let keys: [&[u8]; 5] = [b"a", b"b", b"b\0", b"c", b"d"];
        let inside = |r: KeyRange| keys.iter().filter(|k| r.contains(k)).count();
        assert_eq!(inside(range(Included(b"b"), Included(b"c"))), 3);
        assert_eq!(inside(range(Excluded(b"b"), Included(b"c"))), 2);
        assert_eq!(inside(range(Included(b"b"), Excluded(b"c"))), 2);
        assert_eq!(inside(range(Excluded(b"b"), Excluded(b"c"))), 1);
        assert_eq!(inside(KeyRange::all()), 5);
    }

    #[test]
    fn a_prefix_ends_where_its_last_countable_byte_counts_up() {
        let range = KeyRange::prefix(b"a\xff\xff");
        assert_eq!(range.start(), Bound::Included(b"a\xff\xff".as_slice()));
        assert_eq!(range.end(), Bound::Excluded(b"b".as_slice()));
        assert!(range.contains(b"a\xff\xff\xff\xff"));
        assert!(!range.contains(b"a\xff\xfe\xff") && !range.contains(b"b"));
    }

    #[test]
    fn a_prefix_of_only_0xff_has_no_end() {
        let range = KeyRange::prefix(b"\xff\xff");
        assert_eq!(range.end(), Bound::Unbounded);
        assert!(range.contains(b"\xff\xff\xff") && !range.contains(b"\xff\xfe"));
        assert_eq!(KeyRange::prefix(b""), range_all_from_empty());
    }

    fn range_all_from_empty() -> KeyRange {
        range(Bound::Included(b""), Bound::Unbounded)
    }

    #[test]
    fn a_range_is_empty_exactly_when_no_key_fits() {
        use Bound::{Excluded, Included, Unbounded};
        assert!(range(Included(b"b"), Included(b"a")).is_empty());
        assert!(range(Included(b"b"), Excluded(b"b")).is_empty());
        assert!(range(Excluded(b"b"), Included(b"b")).is_empty());
        assert!(range(Excluded(b"b"), Excluded(b"b\0")).is_empty());
        assert!(range(Unbounded, Excluded(b"")).is_empty());
        assert!(!range(Unbounded, Included(b"")).is_empty());
        assert!(!range(Included(b"b"), Included(b"b")).is_empty());
        assert!(!range(Excluded(b"b"), Included(b"b\0")).is_empty());
        assert!(!KeyRange::all().is_empty());
    }
}
