//! Building a tree from pairs that come in ascending order: node by node from the left, without a
//! search.
//!
//! What it promises: a tree as good as one made by inserts, with leaves that are seven eighths
//! full, so that they take some inserts before they split. A pair out of order is given back and
//! changes nothing. What it does not do: sort.

use std::sync::Arc;

use super::Tree;
use super::keys::Keys;
use super::node::{Body, Node, separator};

/// Nodes of one level, each with the separator before it (none before the first).
type Level<V, const N: usize> = Vec<(Vec<u8>, Arc<Node<V, N>>)>;

/// A tree in the making.
pub(crate) struct TreeBuilder<V, const N: usize> {
    keys: Keys<N>,
    values: Vec<V>,
    separator: Vec<u8>,
    leaves: Level<V, N>,
    len: usize,
    key_bytes: usize,
}

impl<V: Clone, const N: usize> TreeBuilder<V, N> {
    /// How many keys a node gets.
    const FILL: usize = N - N / 8;

    pub(crate) fn new() -> Self {
        Self {
            keys: Keys::new(),
            values: Vec::new(),
            separator: Vec::new(),
            leaves: Vec::new(),
            len: 0,
            key_bytes: 0,
        }
    }

    /// Adds a pair whose key is above all keys added before. O(1).
    ///
    /// # Errors
    ///
    /// Gives the value back, and stays as it was, if the key is not above the last one.
    pub(crate) fn push(&mut self, key: &[u8], value: V) -> Result<(), V> {
        let count = self.keys.len();
        if count > 0 {
            let last = self.keys.key(count - 1);
            if key <= last {
                return Err(value);
            }
            if count == Self::FILL {
                let next = separator(last, key).to_vec();
                self.close(next);
            }
        }
        self.keys.insert(self.keys.len(), key);
        self.values.push(value);
        self.len += 1;
        self.key_bytes += key.len();
        Ok(())
    }

    /// Closes the leaf being filled; the next one begins at the separator `next`.
    fn close(&mut self, next: Vec<u8>) {
        let keys = std::mem::replace(&mut self.keys, Keys::new());
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(N));
        let body = Body::Leaf(values);
        let separator = std::mem::replace(&mut self.separator, next);
        self.leaves.push((separator, Arc::new(Node { keys, body })));
    }

    /// The tree of all pairs added.
    pub(crate) fn finish(mut self) -> Tree<V, N> {
        if self.len == 0 {
            return Tree::new();
        }
        self.close(Vec::new());
        let mut height = 1;
        let mut level = self.leaves;
        while level.len() > 1 {
            level = Self::above(level);
            height += 1;
        }
        level.pop().map_or_else(Tree::new, |(_, root)| Tree {
            root,
            height,
            len: self.len,
            key_bytes: self.key_bytes,
        })
    }

    /// The level above one of at least two nodes.
    fn above(level: Level<V, N>) -> Level<V, N> {
        let mut left = level.len();
        let mut level = level.into_iter();
        let mut above = Vec::with_capacity(left.div_ceil(Self::FILL + 1));
        while let Some((first, child)) = level.next() {
            // A node of one child only must not be left over.
            let mut take = left.min(Self::FILL + 1);
            if left - take == 1 {
                take -= 1;
            }
            let mut keys = Keys::new();
            let mut children = Vec::with_capacity(N + 1);
            children.push(child);
            for (separator, child) in level.by_ref().take(take - 1) {
                keys.insert(keys.len(), &separator);
                children.push(child);
            }
            let body = Body::Inner(children);
            above.push((first, Arc::new(Node { keys, body })));
            left -= take;
        }
        above
    }
}
