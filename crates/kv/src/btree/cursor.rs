//! A walk over a range of a tree that owns what it walks over.
//!
//! What it promises: it holds the nodes it stands on and those above them, so that it gives the
//! tree as it was when the walk began, however the tree changes meanwhile and even if it is
//! dropped; a write to what it holds copies. A step costs no search: a bound is looked for once
//! per leaf. What it does not do: turn round, or seek again; make a new one for that.

use std::ops::Bound;
use std::sync::Arc;

use super::keys::Keys;
use super::node::{Body, Node};

/// See the module.
pub(crate) struct TreeCursor<V, const N: usize> {
    /// The inner nodes from the root down, each with the place of the child taken.
    path: Vec<(Arc<Node<V, N>>, usize)>,
    leaf: Arc<Node<V, N>>,
    /// The places of `leaf` that are still to be given, from `low` up to and without `high`.
    low: usize,
    high: usize,
    /// The bound the walk goes towards.
    far: Bound<Vec<u8>>,
    reverse: bool,
    /// Whether `far` is in this leaf, so that none follows.
    last: bool,
}

/// The place of the first key within a lower bound.
fn start_of<const N: usize>(keys: &Keys<N>, bound: Bound<&[u8]>) -> usize {
    match bound {
        Bound::Unbounded => 0,
        Bound::Included(key) => keys.lower(key),
        Bound::Excluded(key) => keys.route(key),
    }
}

/// The place after the last key within an upper bound.
fn end_of<const N: usize>(keys: &Keys<N>, bound: Bound<&[u8]>) -> usize {
    match bound {
        Bound::Unbounded => keys.len(),
        Bound::Included(key) => keys.route(key),
        Bound::Excluded(key) => keys.lower(key),
    }
}

impl<V, const N: usize> TreeCursor<V, N> {
    pub(super) fn new(
        root: &Arc<Node<V, N>>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        reverse: bool,
    ) -> Self {
        let (near, far) = if reverse { (end, start) } else { (start, end) };
        let mut cursor = Self {
            path: Vec::new(),
            leaf: Arc::clone(root),
            low: 0,
            high: 0,
            far: far.map(<[u8]>::to_vec),
            reverse,
            last: false,
        };
        cursor.descend(near);
        // The near bound: a leaf has the least or greatest key within it, or its neighbour has.
        if reverse {
            cursor.high = cursor.high.min(end_of(&cursor.leaf.keys, near));
        } else {
            cursor.low = cursor.low.max(start_of(&cursor.leaf.keys, near));
        }
        cursor
    }

    /// The next pair, in the direction of the walk.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(&[u8], &V)> {
        self.find(|_| true)
    }

    /// The next pair whose value is `wanted`, in the direction of the walk.
    #[inline]
    pub(crate) fn find(&mut self, wanted: impl Fn(&V) -> bool) -> Option<(&[u8], &V)> {
        let at = loop {
            while self.low >= self.high {
                if self.last || !self.step() {
                    return None;
                }
            }
            let at = if self.reverse {
                self.high -= 1;
                self.high
            } else {
                self.low += 1;
                self.low - 1
            };
            // In bounds: `high` is at most the number of pairs.
            if self.values().get(at).is_some_and(&wanted) {
                break at;
            }
        };
        Some((self.leaf.keys.key(at), self.values().get(at)?))
    }

    /// The values of the leaf.
    fn values(&self) -> &[V] {
        match &self.leaf.body {
            Body::Leaf(values) => values,
            Body::Inner(_) => &[],
        }
    }

    /// Goes down from the node in `leaf` to the leaf where a bound belongs, or to the first one in
    /// the direction of the walk, and enters it.
    fn descend(&mut self, near: Bound<&[u8]>) {
        while let Body::Inner(children) = &self.leaf.body {
            let at = match near {
                Bound::Included(key) | Bound::Excluded(key) => self.leaf.keys.route(key),
                Bound::Unbounded if self.reverse => children.len() - 1,
                Bound::Unbounded => 0,
            };
            let child = Arc::clone(&children[at]);
            let node = std::mem::replace(&mut self.leaf, child);
            self.path.push((node, at));
        }
        let keys = &self.leaf.keys;
        (self.low, self.high) = (0, keys.len());
        let far = self.far.as_ref().map(Vec::as_slice);
        if self.reverse {
            self.low = start_of(keys, far);
            self.last = self.low > 0;
        } else {
            self.high = end_of(keys, far);
            self.last = self.high < keys.len();
        }
    }

    /// Goes to the next leaf; `false` if there is none.
    fn step(&mut self) -> bool {
        while let Some((node, at)) = self.path.last_mut() {
            let Body::Inner(children) = &node.body else {
                return false;
            };
            let next = if self.reverse {
                at.checked_sub(1)
            } else {
                Some(*at + 1)
            };
            if let Some(next) = next
                && let Some(child) = children.get(next)
            {
                *at = next;
                self.leaf = Arc::clone(child);
                self.descend(Bound::Unbounded);
                return true;
            }
            self.path.pop();
        }
        false
    }
}

#[cfg(test)]
impl<V, const N: usize> TreeCursor<V, N> {
    /// Whether the walk has come to the leaf where its bound is, and looks at none after it.
    pub(super) fn ends_here(&self) -> bool {
        self.last
    }
}
