//! What a transaction has read: points and ranges, so that a commit can tell whether another has
//! changed any of it.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::TreeId;

/// When a transaction has read more points than this, or longer keys in all, its points become
/// whole trees: coarser, so it may be refused without need, but bounded in memory.
const POINTS_MAX: usize = 1 << 16;
const POINT_BYTES_MAX: usize = 16 << 20;
/// The same for ranges.
const RANGES_MAX: usize = 1 << 14;

/// A range of keys that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadRange {
    pub(crate) tree: TreeId,
    pub(crate) start: Bound<Bytes>,
    pub(crate) end: Bound<Bytes>,
}

/// What a transaction has read.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    points: BTreeSet<(TreeId, Bytes)>,
    point_bytes: usize,
    ranges: Vec<ReadRange>,
    whole: BTreeSet<TreeId>,
}

impl ReadSet {
    pub(crate) fn add_point(&mut self, tree: TreeId, key: &[u8]) {
        if self.whole.contains(&tree) {
            return;
        }
        if self.points.insert((tree, Bytes::copy_from_slice(key))) {
            self.point_bytes += key.len();
        }
        if self.points.len() > POINTS_MAX || self.point_bytes > POINT_BYTES_MAX {
            self.point_bytes = 0;
            self.whole.extend(
                std::mem::take(&mut self.points)
                    .into_iter()
                    .map(|point| point.0),
            );
        }
    }

    pub(crate) fn add_range(&mut self, range: ReadRange) {
        if self.ranges.len() >= RANGES_MAX {
            self.whole.extend(
                std::mem::take(&mut self.ranges)
                    .into_iter()
                    .map(|range| range.tree),
            );
        }
        self.ranges.push(range);
    }

    pub(crate) fn points(&self) -> impl Iterator<Item = &(TreeId, Bytes)> {
        self.points.iter()
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = ReadRange> + '_ {
        let all = |tree: &TreeId| ReadRange {
            tree: *tree,
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        };
        self.ranges
            .iter()
            .cloned()
            .chain(self.whole.iter().map(all))
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
            let whole = ReadRange {
                tree: TREE,
                start: Bound::Unbounded,
                end: Bound::Unbounded,
            };
            assert_eq!(reads.ranges().collect::<Vec<_>>(), [whole]);
        }
    }
}
