//! An ordered map from byte keys to values whose copies are free: the heart of the engines that
//! keep their pairs in memory.
//!
//! A B+ tree of `Arc`ed nodes. Cloning a tree copies one pointer, and the clone is a version of
//! its own: a write to either copies the nodes on its path that both still hold (one per level,
//! with their values' clones) and leaves everything else shared. Where nothing is shared a write
//! happens in place and copies nothing.
//!
//! What it promises: keys are in the order of their bytes; a clone, a [`Cursor`] or a [`Diff`]
//! never sees a later write; no operation's cost depends on the number of versions held; lookups
//! touch a key's own bytes only at the end or on a tie (see `keys`).
//!
//! What it does not do: lock (a version in use by several threads is theirs, the newest one is the
//! caller's to guard), count or limit what values hold on the heap, or compare values.
//!
//! Keys may be empty; they are at most [`KEY_BYTES_MAX`] bytes long, which is the caller's to see
//! to.

mod builder;
mod cursor;
mod diff;
mod keys;
mod node;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::sync::Arc;

use node::{Body, Node};

/// How many pairs a leaf holds, and how many separators an inner node. Larger nodes make the tree
/// flatter and a lookup faster; smaller ones make the first write after a clone cheaper, as it
/// clones the values of a whole leaf. Of 24, 32, 48 and 64, measured with a million keys, from 48
/// on lookups gain nothing more.
pub(crate) const FANOUT: usize = 48;

/// How many bytes a key may have.
pub(crate) const KEY_BYTES_MAX: usize = 64 * 1024;

/// The map, with nodes of the size measured to be best.
pub(crate) type BTree<V> = Tree<V, FANOUT>;

/// A walk over a range of a [`BTree`] as it was when the walk began.
pub(crate) type Cursor<V> = cursor::TreeCursor<V, FANOUT>;

/// [`BTree`] with nodes of `N` pairs; tests use small ones so that nodes split and merge often.
/// `N` is at least 4.
pub(crate) struct Tree<V, const N: usize> {
    root: Arc<Node<V, N>>,
    /// How many levels of nodes there are: 1 if the root is a leaf.
    height: usize,
    len: usize,
    key_bytes: usize,
}

impl<V, const N: usize> Clone for Tree<V, N> {
    /// A version of its own, sharing every node. O(1).
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
            ..*self
        }
    }
}

impl<V: Clone, const N: usize> Default for Tree<V, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone, const N: usize> Tree<V, N> {
    /// An empty map.
    pub(crate) fn new() -> Self {
        Self {
            root: Arc::new(Node::empty_leaf()),
            height: 1,
            len: 0,
            key_bytes: 0,
        }
    }

    /// The map of these pairs; of pairs with the same key the last one counts. Pairs in ascending
    /// order cost O(1) each, the first one out of order and all after it O(log n).
    pub(crate) fn from_sorted<K: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut builder = builder::TreeBuilder::new();
        let mut pairs = pairs.into_iter();
        while let Some((key, value)) = pairs.next() {
            let Err(value) = builder.push(key.as_ref(), value) else {
                continue;
            };
            let mut tree = builder.finish();
            tree.insert(key.as_ref(), value);
            for (key, value) in pairs {
                tree.insert(key.as_ref(), value);
            }
            return tree;
        }
        builder.finish()
    }

    /// How many pairs there are. O(1).
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no pair. O(1).
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes the keys have together. O(1). What the nodes, unused room in them and the
    /// values take comes on top.
    pub(crate) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Whether both are the same version, so that nothing differs. O(1). Two versions that are not
    /// may still hold the same pairs.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    /// The value of a key. O(log n), no allocation.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match &node.body {
                // `route` gives at most the number of separators: one less than children.
                Body::Inner(children) => node = &children[node.keys.route(key)],
                // Keys and values are in step.
                Body::Leaf(values) => return node.keys.find(key).map(|at| &values[at]),
            }
        }
    }

    /// Sets the value of a key and gives the value it had. O(log n).
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        debug_assert!(key.len() <= KEY_BYTES_MAX, "the caller limits keys");
        let (old, grown) = node::insert(&mut self.root, key, value, true);
        if let Some(grown) = grown {
            let left = Arc::clone(&self.root);
            self.root = Arc::new(Node::root_of(left, grown));
            self.height += 1;
        }
        if old.is_none() {
            self.len += 1;
            self.key_bytes += key.len();
        }
        old
    }

    /// Takes a key out and gives the value it had. O(log n). An absent key copies nothing.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        self.get(key)?;
        let old = node::remove(&mut self.root, key)?;
        while let Some(only) = self.root.only_child() {
            self.root = only;
            self.height -= 1;
        }
        self.len -= 1;
        self.key_bytes -= key.len();
        Some(old)
    }

    /// Walks over the pairs between two bounds, ascending or (`reverse`) descending, as they are
    /// now: later writes do not change what it gives. Bounds that leave nothing between them are
    /// an empty range. O(log n) to begin.
    pub(crate) fn cursor(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        reverse: bool,
    ) -> cursor::TreeCursor<V, N> {
        cursor::TreeCursor::new(&self.root, start, end, reverse)
    }

    /// What differs between two versions. About O(changed leaves × height) where `b` came from
    /// `a` or both from one version; O(n) for maps that share nothing.
    pub(crate) fn diff(a: &Self, b: &Self) -> diff::TreeDiff<V, N> {
        diff::TreeDiff::new((&a.root, a.height), (&b.root, b.height))
    }
}
