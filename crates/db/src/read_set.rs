//! What a transaction has read: points and ranges, so that a commit can tell whether another has
//! changed any of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use nexusbase_forest::TreeId;

use crate::span::{Span, Spans};

/// When a transaction has read more points than this, or longer keys in all, its points become
/// whole trees: coarser, so it may be refused without need, but bounded in memory.
const POINTS_MAX: usize = 1 << 16;
const POINT_BYTES_MAX: usize = 16 << 20;
/// The same for ranges.
const RANGES_MAX: usize = 1 << 14;
const RANGE_BYTES_MAX: usize = 16 << 20;

/// What a transaction has read.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    points: BTreeSet<(TreeId, Bytes)>,
    point_bytes: usize,
    ranges: Spans,
}

impl ReadSet {
    pub(crate) fn add_point(&mut self, tree: TreeId, key: &[u8]) {
        if self.ranges.contains_all_of(tree) {
            return;
        }
        if self.points.insert((tree, Bytes::copy_from_slice(key))) {
            self.point_bytes += key.len();
        }
        if self.points.len() > POINTS_MAX || self.point_bytes > POINT_BYTES_MAX {
            self.point_bytes = 0;
            for (tree, _) in std::mem::take(&mut self.points) {
                self.ranges.add(tree, Span::ALL);
            }
        }
    }

    pub(crate) fn add_range(&mut self, tree: TreeId, span: Span) {
        self.ranges.add(tree, span);
        if self.ranges.len() > RANGES_MAX || self.ranges.bytes() > RANGE_BYTES_MAX {
            self.ranges.widen();
        }
    }

    pub(crate) fn points(&self) -> impl ExactSizeIterator<Item = &(TreeId, Bytes)> {
        self.points.iter()
    }

    /// Whether this point was read by itself.
    pub(crate) fn has_point(&self, point: &(TreeId, Bytes)) -> bool {
        self.points.contains(point)
    }

    /// The ranges: none overlaps another.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (TreeId, Span)> + '_ {
        self.ranges.iter()
    }

    /// Whether anything of `span` was read.
    pub(crate) fn touches(&self, tree: TreeId, span: &Span) -> bool {
        let mut points = self.points.range((tree, span.start.clone())..);
        let point = points
            .next()
            .is_some_and(|(of, key)| *of == tree && span.end.as_ref().is_none_or(|end| key < end));
        point || self.ranges.overlaps(tree, span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: TreeId = TreeId::new(7);

    #[test]
    fn many_or_long_points_become_their_whole_tree() {
        let mut many = ReadSet::default();
        for number in 0..=u32::try_from(POINTS_MAX).unwrap_or(u32::MAX) {
            many.add_point(TREE, &number.to_be_bytes());
        }
        let mut long = ReadSet::default();
        for byte in 0..=255 {
            long.add_point(TREE, &vec![byte; 64 << 10]);
        }
        long.add_point(TREE, &[0; 65 << 10]);
        for reads in [many, long] {
            assert_eq!(reads.points().count(), 0);
            assert_eq!(reads.ranges().collect::<Vec<_>>(), [(TREE, Span::ALL)]);
        }
    }

    #[test]
    fn many_or_long_ranges_become_their_whole_tree() {
        let range = |start: Vec<u8>| Span {
            end: Some([&start[..], &[0]].concat().into()),
            start: start.into(),
        };
        let mut many = ReadSet::default();
        for number in 0..=u32::try_from(RANGES_MAX).unwrap_or(u32::MAX) {
            many.add_range(TREE, range(number.to_be_bytes().to_vec()));
        }
        let mut long = ReadSet::default();
        for byte in 0..=130 {
            long.add_range(TREE, range(vec![byte; 64 << 10]));
        }
        for reads in [many, long] {
            assert_eq!(reads.ranges().collect::<Vec<_>>(), [(TREE, Span::ALL)]);
        }
    }
}
