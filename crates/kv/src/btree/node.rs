//! The nodes of the tree, and how a write changes them: in place where a node has one owner, in a
//! copy where it has several (`Arc::make_mut` decides).
//!
//! What it promises, and `check` checks: all leaves are at the same depth; the keys under a child
//! are not below the separator before it and below the one after it; no leaf but the root's is
//! empty and no inner node has less than two children; off the tree's right edge every node is at
//! least a quarter full. Separators are as short as they can be when they are made.
//!
//! At the right edge a full node stays full and a new one begins next to it, so that ascending
//! inserts fill the tree; elsewhere a full node is halved.
//!
//! What it does not do: count pairs, or grow and lower the root (`Tree` does).

use std::sync::Arc;

use super::keys::{Keys, common};

/// A node; `keys` are a leaf's keys or an inner node's separators.
#[derive(Clone)]
pub(super) struct Node<V, const N: usize> {
    pub(super) keys: Keys<N>,
    pub(super) body: Body<V, N>,
}

/// What goes with the keys.
#[derive(Clone)]
pub(super) enum Body<V, const N: usize> {
    /// One value per key.
    Leaf(Vec<V>),
    /// One child more than separators.
    Inner(Vec<Arc<Node<V, N>>>),
}

/// The right part of a node that was split, and the least key it may hold.
pub(super) struct Grown<V, const N: usize> {
    pub(super) separator: Vec<u8>,
    pub(super) right: Arc<Node<V, N>>,
}

/// The shortest key that is above `left` and not above `right`, where `left` is below `right`.
pub(super) fn separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    // In bounds: being above `left`, `right` goes on after what they have in common.
    &right[..=common(left, right)]
}

/// Sets the value of a key below a node: the old value, and what the node has split off.
/// `rightmost` says whether the node is at the right edge of the tree.
pub(super) fn insert<V: Clone, const N: usize>(
    node: &mut Arc<Node<V, N>>,
    key: &[u8],
    value: V,
    rightmost: bool,
) -> (Option<V>, Option<Grown<V, N>>) {
    let node = Arc::make_mut(node);
    match &mut node.body {
        Body::Leaf(values) => match node.keys.search(key) {
            Ok(at) => (Some(std::mem::replace(&mut values[at], value)), None),
            Err(at) => (None, node.insert_pair(at, key, value, rightmost)),
        },
        Body::Inner(children) => {
            let at = node.keys.route(key);
            let edge = rightmost && at + 1 == children.len();
            let (old, grown) = insert(&mut children[at], key, value, edge);
            let grown = grown.and_then(|grown| node.insert_child(at, grown, rightmost));
            (old, grown)
        }
    }
}

/// Takes a key out below a node. It should be there: if not, the path is copied for nothing.
pub(super) fn remove<V: Clone, const N: usize>(
    node: &mut Arc<Node<V, N>>,
    key: &[u8],
) -> Option<V> {
    let node = Arc::make_mut(node);
    match &mut node.body {
        Body::Leaf(values) => {
            let at = node.keys.find(key)?;
            node.keys.remove(at);
            Some(values.remove(at))
        }
        Body::Inner(children) => {
            let at = node.keys.route(key);
            let old = remove(&mut children[at], key);
            if children[at].keys.len() < Node::<V, N>::LEAST {
                node.refill(at);
            }
            old
        }
    }
}

impl<V, const N: usize> Node<V, N> {
    /// How many keys a node off the right edge has at least.
    pub(super) const LEAST: usize = N / 4;

    pub(super) fn empty_leaf() -> Self {
        Self {
            keys: Keys::new(),
            body: Body::Leaf(Vec::new()),
        }
    }

    /// The node above the two parts of what was the root.
    pub(super) fn root_of(left: Arc<Self>, grown: Grown<V, N>) -> Self {
        Self {
            keys: Keys::collect([&*grown.separator]),
            body: Body::Inner(vec![left, grown.right]),
        }
    }

    /// The child of an inner node that has one only, as a root may after a removal.
    pub(super) fn only_child(&self) -> Option<Arc<Self>> {
        match &self.body {
            Body::Inner(children) if children.len() == 1 => children.first().cloned(),
            Body::Inner(_) | Body::Leaf(_) => None,
        }
    }

    /// How many pairs or children there are.
    pub(super) fn count(&self) -> usize {
        match &self.body {
            Body::Leaf(values) => values.len(),
            Body::Inner(children) => children.len(),
        }
    }
}

/// Splits a list, with room for a whole node's in the right part.
fn split_off<T>(list: &mut Vec<T>, at: usize, room: usize) -> Vec<T> {
    let mut right = Vec::with_capacity(room);
    right.extend(list.drain(at..));
    right
}

impl<V: Clone, const N: usize> Node<V, N> {
    /// Puts a pair into a leaf at its place; gives the right part if the leaf was full.
    fn insert_pair(
        &mut self,
        at: usize,
        key: &[u8],
        value: V,
        rightmost: bool,
    ) -> Option<Grown<V, N>> {
        let Self { keys, body } = self;
        let Body::Leaf(values) = body else {
            return None;
        };
        if keys.len() < N {
            keys.insert(at, key);
            values.insert(at, value);
            return None;
        }
        let cut = if rightmost && at == N { N } else { N / 2 };
        let mut right = Self {
            keys: Keys::collect(keys.range(cut, N)),
            body: Body::Leaf(Vec::new()),
        };
        let mut right_values = split_off(values, cut, N);
        if cut < N {
            *keys = Keys::collect(keys.range(0, cut));
        }
        if at < cut || (at == cut && cut < N) {
            keys.insert(at, key);
            values.insert(at, value);
        } else {
            right.keys.insert(at - cut, key);
            right_values.insert(at - cut, value);
        }
        right.body = Body::Leaf(right_values);
        Some(Grown {
            // Neither part is empty: a half each, or a full left part and one pair.
            separator: separator(keys.key(keys.len() - 1), right.keys.key(0)).to_vec(),
            right: Arc::new(right),
        })
    }

    /// Puts what the child at `at` has split off next to it; gives the right part if this inner
    /// node was full.
    fn insert_child(
        &mut self,
        at: usize,
        grown: Grown<V, N>,
        rightmost: bool,
    ) -> Option<Grown<V, N>> {
        let Self { keys, body } = self;
        let Body::Inner(children) = body else {
            return None;
        };
        if keys.len() < N {
            keys.insert(at, &grown.separator);
            children.insert(at + 1, grown.right);
            return None;
        }
        // The separator at `cut` goes up, between the parts.
        let cut = if rightmost && at == N { N - 1 } else { N / 2 };
        let up = keys.key(cut).to_vec();
        let mut right_keys = Keys::collect(keys.range(cut + 1, N));
        let mut right_children = split_off(children, cut + 1, N + 1);
        *keys = Keys::collect(keys.range(0, cut));
        if at <= cut {
            keys.insert(at, &grown.separator);
            children.insert(at + 1, grown.right);
        } else {
            right_keys.insert(at - cut - 1, &grown.separator);
            right_children.insert(at - cut, grown.right);
        }
        Some(Grown {
            separator: up,
            right: Arc::new(Self {
                keys: right_keys,
                body: Body::Inner(right_children),
            }),
        })
    }

    /// Joins the child at `at`, which has become too small, with a neighbour, or shares the
    /// neighbour's keys out between them.
    fn refill(&mut self, at: usize) {
        let Self { keys, body } = self;
        let Body::Inner(children) = body else {
            return;
        };
        if children.len() < 2 {
            return;
        }
        let left = at.min(children.len() - 2);
        let right = Arc::unwrap_or_clone(children.remove(left + 1));
        let joined = Arc::make_mut(&mut children[left]).join(keys.key(left), right);
        keys.remove(left);
        if let Some(grown) = joined {
            keys.insert(left, &grown.separator);
            children.insert(left + 1, grown.right);
        }
    }

    /// Takes over everything of the node to the right, or, if that is too much, about half of both
    /// nodes' keys and gives the other half.
    fn join(&mut self, middle: &[u8], right: Self) -> Option<Grown<V, N>> {
        // Between the separators of inner nodes comes the one between the nodes.
        let middle = match (&mut self.body, right.body) {
            (Body::Leaf(values), Body::Leaf(more)) => {
                values.extend(more);
                None
            }
            (Body::Inner(children), Body::Inner(more)) => {
                children.extend(more);
                Some(middle)
            }
            // Neighbours are at the same depth and so of the same kind: they stay as they are.
            (Body::Leaf(_) | Body::Inner(_), body) => {
                let keys = right.keys;
                return Some(Grown {
                    separator: middle.to_vec(),
                    right: Arc::new(Self { keys, body }),
                });
            }
        };
        let ours = self.keys.range(0, self.keys.len());
        let theirs = right.keys.range(0, right.keys.len());
        let all: Vec<&[u8]> = ours.chain(middle).chain(theirs).collect();
        if all.len() <= N {
            self.keys = Keys::collect(all);
            return None;
        }
        // In bounds: there are more than `N` keys, so that either half has some.
        let (left, right) = all.split_at(all.len() / 2);
        let (separator, right, body) = match &mut self.body {
            Body::Leaf(values) => {
                let separator = separator(left[left.len() - 1], right[0]);
                let values = split_off(values, left.len(), N);
                (separator, right, Body::Leaf(values))
            }
            Body::Inner(children) => {
                let children = split_off(children, left.len() + 1, N + 1);
                (right[0], &right[1..], Body::Inner(children))
            }
        };
        let separator = separator.to_vec();
        let keys = Keys::collect(right.iter().copied());
        let right = Arc::new(Self { keys, body });
        self.keys = Keys::collect(left.iter().copied());
        Some(Grown { separator, right })
    }
}
