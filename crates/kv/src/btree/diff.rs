//! What differs between two versions of a tree, found without looking at what they share.
//!
//! Both are walked in the order of their keys. Where both stand before the same node (the same in
//! memory), both skip it; otherwise the one that stands before the higher node, or both, go into
//! it, until both stand before pairs, which are compared by their keys.
//!
//! What it promises: every key that only one version has, and every key whose value differs, comes
//! once, in ascending order; it reads the versions as they were, like a `Cursor`. What it does not
//! do: compare values. A key in both whose leaf was copied comes too, also if its value is the
//! same.

use std::cmp::Ordering;
use std::sync::Arc;

use super::node::{Body, Node};

/// See the module.
pub(crate) struct TreeDiff<V, const N: usize> {
    a: Walk<V, N>,
    b: Walk<V, N>,
    /// Which of the two stand on the pair given last, which is behind them then.
    given: (bool, bool),
}

/// A place in a version: before a node, or before a pair of a leaf.
struct Walk<V, const N: usize> {
    root: Arc<Node<V, N>>,
    height: usize,
    /// The open nodes from the root down, each with the place of the child or pair stood before.
    path: Vec<(Arc<Node<V, N>>, usize)>,
    done: bool,
    /// How many nodes were opened.
    #[cfg(test)]
    opened: usize,
}

impl<V, const N: usize> Walk<V, N> {
    fn new((root, height): (&Arc<Node<V, N>>, usize)) -> Self {
        Self {
            root: Arc::clone(root),
            height,
            path: Vec::new(),
            done: false,
            #[cfg(test)]
            opened: 0,
        }
    }

    /// How far above the pairs this place is: 0 before a pair, 1 before a leaf.
    fn level(&self) -> usize {
        self.height - self.path.len()
    }

    /// The node this place is before; `None` before a pair.
    fn node(&self) -> Option<&Arc<Node<V, N>>> {
        let Some((node, at)) = self.path.last() else {
            return Some(&self.root);
        };
        match &node.body {
            Body::Inner(children) => children.get(*at),
            Body::Leaf(_) => None,
        }
    }

    /// The pair this place is before; `None` before a node.
    fn pair(&self) -> Option<(&[u8], &V)> {
        let (node, at) = self.path.last()?;
        match &node.body {
            Body::Leaf(values) => values.get(*at).map(|value| (node.keys.key(*at), value)),
            Body::Inner(_) => None,
        }
    }

    /// Goes into the node this place is before.
    fn open(&mut self) {
        if let Some(node) = self.node() {
            let node = Arc::clone(node);
            // Only the root of an empty tree has nothing in it.
            self.done = node.count() == 0;
            self.path.push((node, 0));
            #[cfg(test)]
            {
                self.opened += 1;
            }
        }
    }

    /// Goes past the node or pair this place is before.
    fn skip(&mut self) {
        while let Some((node, at)) = self.path.last_mut() {
            *at += 1;
            if *at < node.count() {
                return;
            }
            self.path.pop();
        }
        self.done = true;
    }

    /// Comes back out to the place before a node if nothing of it has been passed yet.
    fn back_to(&mut self, node: &Arc<Node<V, N>>) -> bool {
        let behind = self.path.iter().rev().take_while(|(_, at)| *at == 0);
        let Some(up) = behind
            .map(|(open, _)| Arc::ptr_eq(open, node))
            .position(|same| same)
        else {
            return false;
        };
        self.path.truncate(self.path.len() - up - 1);
        true
    }
}

impl<V, const N: usize> TreeDiff<V, N> {
    /// Takes the roots of both versions, with the number of levels below each.
    pub(super) fn new(a: (&Arc<Node<V, N>>, usize), b: (&Arc<Node<V, N>>, usize)) -> Self {
        Self {
            a: Walk::new(a),
            b: Walk::new(b),
            given: (false, false),
        }
    }

    /// The next key that may differ, with its value in the first version and in the second one.
    pub(crate) fn next(&mut self) -> Option<(&[u8], Option<&V>, Option<&V>)> {
        if self.given.0 {
            self.a.skip();
        }
        if self.given.1 {
            self.b.skip();
        }
        self.given = self.find();
        let a = self.a.pair().filter(|_| self.given.0);
        let b = self.b.pair().filter(|_| self.given.1);
        let (key, _) = a.or(b)?;
        Some((key, a.map(|(_, value)| value), b.map(|(_, value)| value)))
    }

    /// Goes on until both stand before pairs or are done; says which of them stand on the least
    /// key.
    fn find(&mut self) -> (bool, bool) {
        let Self { a, b, .. } = self;
        loop {
            match (a.done, b.done) {
                (true, true) => return (false, false),
                (true, false) if b.level() == 0 => return (false, true),
                (false, true) if a.level() == 0 => return (true, false),
                (true, false) => b.open(),
                (false, true) => a.open(),
                (false, false) => match (a.pair(), b.pair()) {
                    (Some((left, _)), Some((right, _))) => {
                        let order = left.cmp(right);
                        return (order != Ordering::Greater, order != Ordering::Less);
                    }
                    _ => Self::approach(a, b),
                },
            }
        }
    }

    /// Passes a node that both share, or opens the higher of the nodes they are before, or both.
    fn approach(a: &mut Walk<V, N>, b: &mut Walk<V, N>) {
        let shared = match a.level().cmp(&b.level()) {
            Ordering::Equal => match (a.node(), b.node()) {
                (Some(left), Some(right)) => Arc::ptr_eq(left, right),
                _ => false,
            },
            Ordering::Greater => a.node().is_some_and(|node| b.back_to(node)),
            Ordering::Less => b.node().is_some_and(|node| a.back_to(node)),
        };
        if shared {
            a.skip();
            b.skip();
            return;
        }
        let order = a.level().cmp(&b.level());
        if order != Ordering::Less {
            a.open();
        }
        if order != Ordering::Greater {
            b.open();
        }
    }
}

#[cfg(test)]
impl<V, const N: usize> TreeDiff<V, N> {
    /// How many nodes of both versions were opened so far.
    pub(super) fn opened(&self) -> usize {
        self.a.opened + self.b.opened
    }
}
