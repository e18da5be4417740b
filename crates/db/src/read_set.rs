//! What a transaction has read: points and ranges, so that a commit can tell whether another has
//! changed any of it.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::TreeId;

/// When a transaction has read more points than this, its points become whole trees: coarser,
/// so it may be refused without need, but bounded in memory.
const POINTS_MAX: usize = 1 << 16;
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
    ranges: Vec<ReadRange>,
    whole: BTreeSet<TreeId>,
}

impl ReadSet {
    pub(crate) fn add_point(&mut self, tree: TreeId, key: &[u8]) {
        if self.whole.contains(&tree) {
            return;
        }
        self.points.insert((tree, Bytes::copy_from_slice(key)));
        if self.points.len() > POINTS_MAX {
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
