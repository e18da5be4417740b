//! About how many rows lie between two keys, from the shape of the tree.
//!
//! Both ends of the range are looked for, and what lies between the two paths is counted in whole
//! nodes, of which a few are looked at and the others taken to be like them. Leaves have from half
//! of their slots to all of them, so that is how wrong it can be where rows came in any order; the
//! last node of each level, which is thin where rows came in order, is looked at by itself. With
//! six levels, which are millions of rows, some thousand nodes are looked at, at most.

use std::ops::Bound;

use super::Tree;
use crate::memtable::node::{Side, Target};
use crate::{KeyRange, Seqno};

/// How many of a node's children are looked at to know the others.
const LOOKED_AT: usize = 3;

/// A place between rows.
type Place<'a> = (Target<'a>, Side);

impl Tree {
    /// About how many rows, of all versions, `range` has.
    pub(in crate::memtable) fn estimate(&self, range: &KeyRange) -> u64 {
        // Versions of a key stand newest first.
        let before = |key| Target {
            key,
            seqno: Seqno::MAX,
        };
        let behind = |key| Target {
            key,
            seqno: Seqno::ZERO,
        };
        let low = match range.start() {
            Bound::Included(key) => Some((before(key), Side::Before)),
            Bound::Excluded(key) => Some((behind(key), Side::Through)),
            Bound::Unbounded => None,
        };
        let high = match range.end() {
            Bound::Included(key) => Some((behind(key), Side::Through)),
            Bound::Excluded(key) => Some((before(key), Side::Before)),
            Bound::Unbounded => None,
        };
        let (root, levels) = self.root();
        self.between(root, levels, low, high)
    }

    /// The rows of a node that lie between two places.
    fn between(
        &self,
        node: u32,
        level: u32,
        low: Option<Place<'_>>,
        high: Option<Place<'_>>,
    ) -> u64 {
        if level == 0 {
            let from = low.map_or(0, |low| self.before_in_leaf(node, low));
            let to = high.map_or_else(
                || self.leaves[node].order().len() as u64,
                |high| self.before_in_leaf(node, high),
            );
            return to.saturating_sub(from);
        }
        let order = self.inners[node].order();
        let last = order.len().saturating_sub(1);
        let route = |place: Option<Place<'_>>, end| {
            place.map_or(end, |place| self.child_of(node, place).min(last))
        };
        let (from, to) = (route(low, 0), route(high, last));
        let child = |at: usize| self.inners[node].child(order.slot(at));
        if from >= to {
            return self.between(child(from), level - 1, low, high);
        }
        let first = self.between(child(from), level - 1, low, None);
        let end = self.between(child(to), level - 1, None, high);
        let whole = self.sizes(node, level, from + 1, to);
        first.saturating_add(end).saturating_add(whole)
    }

    /// The rows of the children from `from` up to `to`, as if all were like the first, the middle
    /// and the last of them.
    fn sizes(&self, node: u32, level: u32, from: usize, to: usize) -> u64 {
        let order = self.inners[node].order();
        let size = |at: usize| self.size(self.inners[node].child(order.slot(at)), level - 1);
        let children = to.saturating_sub(from);
        if children <= LOOKED_AT {
            return (from..to).map(size).fold(0, u64::saturating_add);
        }
        let some = [from, from.midpoint(to), to - 1].map(size);
        let sum = some.into_iter().fold(0, u64::saturating_add);
        sum.saturating_mul(children as u64) / LOOKED_AT as u64
    }

    /// The rows of a node. Its last child is looked at by itself.
    fn size(&self, node: u32, level: u32) -> u64 {
        if level == 0 {
            return self.leaves[node].order().len() as u64;
        }
        let order = self.inners[node].order();
        let last = order.len().saturating_sub(1);
        let end = self.size(self.inners[node].child(order.slot(last)), level - 1);
        end.saturating_add(self.sizes(node, level, 0, last))
    }

    fn child_of(&self, node: u32, (target, side): Place<'_>) -> usize {
        let route = self.inners[node].route(&self.rows, target, side);
        route.position
    }

    fn before_in_leaf(&self, node: u32, (target, side): Place<'_>) -> u64 {
        let leaf = &self.leaves[node];
        leaf.position(leaf.order(), &self.rows, target, side) as u64
    }
}
