//! Spans of keys: half-open ranges, and sets of them in which nothing overlaps.
//!
//! What a transaction reads and what it deletes by ranges are both such sets, so one is checked
//! against the other in a few look-ups.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{KeyRange, TreeId};

/// The keys from `start` on that lie before `end`, if there is an end. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Bytes,
    pub(crate) end: Option<Bytes>,
}

impl Span {
    /// All keys.
    pub(crate) const ALL: Self = Self {
        start: Bytes::new(),
        end: None,
    };

    /// The keys of a range, unless it is empty.
    pub(crate) fn of(range: &KeyRange) -> Option<Self> {
        Self::between(range.start(), range.end())
    }

    /// The keys between two bounds, unless there are none.
    pub(crate) fn between(start: Bound<&[u8]>, end: Bound<&[u8]>) -> Option<Self> {
        let start = match start {
            Bound::Included(key) => Bytes::copy_from_slice(key),
            Bound::Excluded(key) => successor(key),
            Bound::Unbounded => Bytes::new(),
        };
        let end = match end {
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(Bytes::copy_from_slice(key)),
            Bound::Unbounded => None,
        };
        end.as_ref()
            .is_none_or(|end| start < *end)
            .then_some(Self { start, end })
    }

    /// The same keys as a range.
    pub(crate) fn range(&self) -> KeyRange {
        let end = self.end.as_ref().map(|end| end.to_vec());
        KeyRange::from_bounds(
            Bound::Included(self.start.to_vec()),
            end.map_or(Bound::Unbounded, Bound::Excluded),
        )
    }

    pub(crate) fn bytes(&self) -> usize {
        self.start.len() + self.end.as_ref().map_or(0, Bytes::len)
    }
}

/// The first key behind `key`.
fn successor(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// Whether `key` lies before an end.
fn is_before(key: &[u8], end: Option<&Bytes>) -> bool {
    end.is_none_or(|end| key < &end[..])
}

/// Start to end, where no span overlaps or touches the next.
type OfTree = BTreeMap<Bytes, Option<Bytes>>;

/// A set of keys of trees, as spans.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    trees: BTreeMap<TreeId, OfTree>,
    len: usize,
    bytes: usize,
}

impl Spans {
    /// How many spans there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all bounds.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the keys of a span.
    pub(crate) fn add(&mut self, tree: TreeId, mut span: Span) {
        let spans = self.trees.entry(tree).or_default();
        if let Some((start, end)) = at_or_before(spans, &span.start) {
            if contains_end(end.as_ref(), span.end.as_ref()) {
                return;
            }
            if end.as_ref().is_some_and(|end| *end >= span.start) {
                span.start = start.clone();
            }
        }
        // All that start within the new span, or right behind it, become a part of it.
        while let Some((start, _)) = spans
            .range::<[u8], _>((Bound::Included(&span.start[..]), Bound::Unbounded))
            .next()
            .filter(|(start, _)| span.end.as_ref().is_none_or(|end| *start <= end))
        {
            let start = start.clone();
            let Some(end) = spans.remove(&start) else {
                break;
            };
            let taken = Span { start, end };
            self.len -= 1;
            self.bytes -= taken.bytes();
            if contains_end(taken.end.as_ref(), span.end.as_ref()) {
                span.end = taken.end;
            }
        }
        self.len += 1;
        self.bytes += span.bytes();
        spans.insert(span.start, span.end);
    }

    /// Whether `key` is in the set.
    pub(crate) fn contains(&self, tree: TreeId, key: &[u8]) -> bool {
        self.trees
            .get(&tree)
            .and_then(|spans| at_or_before(spans, key))
            .is_some_and(|(_, end)| is_before(key, end.as_ref()))
    }

    /// Whether all keys of a tree are in the set.
    pub(crate) fn contains_all_of(&self, tree: TreeId) -> bool {
        let spans = self.trees.get(&tree);
        spans.and_then(|spans| spans.get(&[][..])) == Some(&None)
    }

    /// Whether any key of `span` is in the set.
    pub(crate) fn overlaps(&self, tree: TreeId, span: &Span) -> bool {
        self.contains(tree, &span.start)
            || self.trees.get(&tree).is_some_and(|spans| {
                let behind = (Bound::Excluded(&span.start[..]), Bound::Unbounded);
                let next = spans.range::<[u8], _>(behind).next();
                next.is_some_and(|(start, _)| is_before(start, span.end.as_ref()))
            })
    }

    /// What of `span` is not in the set, in order.
    pub(crate) fn gaps(&self, tree: TreeId, span: Span) -> Vec<Span> {
        let Some(spans) = self.trees.get(&tree) else {
            return vec![span];
        };
        let first = at_or_before(spans, &span.start).map(|(start, _)| start.clone());
        let mut gaps = Vec::new();
        let mut rest = Some(span);
        for (start, end) in spans.range(first.unwrap_or_default()..) {
            let Some(left) = rest.take() else { break };
            if !is_before(start, left.end.as_ref()) {
                rest = Some(left);
                break;
            }
            if left.start < *start {
                gaps.push(Span {
                    start: left.start.clone(),
                    end: Some(start.clone()),
                });
            }
            rest = match end {
                Some(end) if *end <= left.start => Some(left),
                Some(end) if is_before(end, left.end.as_ref()) => Some(Span {
                    start: end.clone(),
                    end: left.end,
                }),
                _ => None,
            };
        }
        gaps.extend(rest);
        gaps
    }

    /// Takes a tree out of the set.
    pub(crate) fn remove_tree(&mut self, tree: TreeId) {
        for (start, end) in self.trees.remove(&tree).into_iter().flatten() {
            self.len -= 1;
            self.bytes -= Span { start, end }.bytes();
        }
    }

    /// All keys of each tree of which there is any.
    pub(crate) fn widen(&mut self) {
        for tree in self.trees.keys().copied().collect::<Vec<_>>() {
            self.add(tree, Span::ALL);
        }
    }

    /// The spans by tree and start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TreeId, Span)> + '_ {
        self.trees.iter().flat_map(|(tree, spans)| {
            spans.iter().map(|(start, end)| {
                let (start, end) = (start.clone(), end.clone());
                (*tree, Span { start, end })
            })
        })
    }
}

/// The last span that starts at `key` or before it.
fn at_or_before<'a>(spans: &'a OfTree, key: &[u8]) -> Option<(&'a Bytes, &'a Option<Bytes>)> {
    let up_to = (Bound::Unbounded, Bound::Included(key));
    spans.range::<[u8], _>(up_to).next_back()
}

/// Whether one end lies at another or behind it.
fn contains_end(end: Option<&Bytes>, other: Option<&Bytes>) -> bool {
    end.is_none_or(|end| other.is_some_and(|other| other <= end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TREE: TreeId = TreeId::new(7);

    fn span() -> impl Strategy<Value = Span> {
        let key = || proptest::collection::vec(0u8..4, 0..2).prop_map(Bytes::from);
        (key(), proptest::option::of(key()))
            .prop_filter("not empty", |(start, end)| is_before(start, end.as_ref()))
            .prop_map(|(start, end)| Span { start, end })
    }

    fn keys() -> Vec<Vec<u8>> {
        let two = |a: u8| [vec![a], vec![a, 0], vec![a, 7]];
        let mut keys = vec![vec![]];
        keys.extend((0..5).flat_map(two));
        keys
    }

    fn is_in(key: &[u8], span: &Span) -> bool {
        *key >= span.start[..] && is_before(key, span.end.as_ref())
    }

    proptest! {
        /// Against a list of spans: membership, overlaps and gaps are those of the union, and the
        /// spans neither overlap nor touch.
        #[test]
        fn a_set_of_spans_is_the_union_of_what_was_added(
            added in proptest::collection::vec(span(), 0..8), asked in span(),
        ) {
            let mut spans = Spans::default();
            added.iter().for_each(|span| spans.add(TREE, span.clone()));
            let is_member = |key: &[u8]| added.iter().any(|span| is_in(key, span));
            let gaps = spans.gaps(TREE, asked.clone());
            for key in keys() {
                prop_assert_eq!(spans.contains(TREE, &key), is_member(&key));
                let in_gap = gaps.iter().any(|gap| is_in(&key, gap));
                prop_assert_eq!(in_gap, is_in(&key, &asked) && !is_member(&key));
            }
            prop_assert!(gaps.is_sorted_by(|a, b| a.end.as_ref().is_some_and(|end| *end <= b.start)));
            let both = keys().iter().any(|key| is_in(key, &asked) && is_member(key));
            prop_assert_eq!(spans.overlaps(TREE, &asked), both);
            let all: Vec<Span> = spans.iter().map(|(_, span)| span).collect();
            prop_assert!(all.is_sorted_by(|a, b| a.end.as_ref().is_some_and(|end| *end < b.start)));
            prop_assert_eq!(spans.len(), all.len());
            prop_assert_eq!(spans.bytes(), all.iter().map(Span::bytes).sum::<usize>());
            prop_assert_eq!(spans.contains_all_of(TREE), all == [Span::ALL]);
        }
    }

    #[test]
    fn bounds_become_the_same_keys() {
        use Bound::{Excluded, Included, Unbounded};
        let bounds: [Bound<&[u8]>; 5] = [
            Unbounded,
            Included(b"a"),
            Excluded(b"a"),
            Included(b"b"),
            Excluded(b"b"),
        ];
        let keys: [&[u8]; 6] = [b"", b"a", b"a\0", b"b", b"b\0", b"c"];
        for (start, end) in bounds
            .iter()
            .flat_map(|a| bounds.iter().map(move |b| (*a, *b)))
        {
            let owned = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
            let range = KeyRange::from_bounds(owned(start), owned(end));
            let span = Span::of(&range);
            assert_eq!(span.is_none(), range.is_empty(), "{range:?}");
            for key in keys {
                let inside = span.as_ref().is_some_and(|span| is_in(key, span));
                assert_eq!(inside, range.contains(key), "{key:?} in {range:?}");
            }
        }
    }
}
