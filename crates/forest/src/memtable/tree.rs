//! An ordered tree of rows that one thread adds to and many read, none waiting for another.
//!
//! It is a B+ tree whose nodes only ever gain entries. A full node is split by copying: its two
//! halves are new nodes, the right one becomes a new entry of the parent, then the left one takes
//! the full node's place. The full node itself stays as it was, for readers that are in it.
//!
//! Why a reader never misses a row that was there when it began: every node that it can come to
//! was in use then or later. Such a node is complete for its part of the order, as of the moment
//! when it was replaced, or of now: the rows that a stale node lacks are newer than the reader. In
//! particular, while a split is half done, keys of the left half are looked for in the full node,
//! which has them. The only thing that a reader must not do is take the end of a stale node for
//! the end of its part of the order: see [`Tree::next_leaf`].
//!
//! Nothing is freed before the whole tree is. What splits leave behind is about a tenth of it.

mod estimate;

use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::arena::Arena;
use super::node::{Entry, Inner, Leaf, Order, SLOTS, Side, Target, head};
use super::{MemCell, Row};
use crate::Seqno;
use crate::row::compare_rows;

/// All rows, in the order in which they were written.
#[derive(Debug)]
pub(super) struct Rows(Arena<OnceLock<Row>, 3>);

/// What stands before all rows. It is in no leaf; the first entry of a top node begins with it.
static BEFORE_ALL: Row = Row {
    key: Bytes::new(),
    seqno: Seqno::MAX,
    cell: MemCell::delete(0),
};
const BEFORE_ALL_ROW: u32 = 0;

impl Rows {
    pub(super) fn get(&self, row: u32) -> &Row {
        // Numbers are published after their rows; only this one has none.
        self.0[row].get().unwrap_or(&BEFORE_ALL)
    }
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree {
    rows: Rows,
    leaves: Arena<Leaf, 0>,
    inners: Arena<Inner, 0>,
    /// How many levels of inner nodes there are (upper half), and the number of the top node.
    root: AtomicU64,
}

/// What only the writer needs: how many of everything there are, and what they take.
#[derive(Debug)]
pub(super) struct Growth {
    rows: u32,
    leaves: u32,
    inners: u32,
    pub(super) bytes: u64,
    /// The row that was added last, if its leaf was not split: keys often come in order.
    last: Option<Spot>,
}

/// A leaf that a reader came to, as it was then, and a position in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    leaf: u32,
    order: Order,
    position: usize,
    /// The least row of the next leaf. It may lie in this one too, if that is stale.
    fence: Option<u32>,
}

/// A step of the writer on its way down.
struct Step {
    inner: u32,
    position: usize,
    bounds: Bounds,
}

/// The rows between which everything in a node lies.
#[derive(Clone, Copy, Default)]
struct Bounds {
    low: Option<u32>,
    high: Option<u32>,
}

/// What a new node is made of.
struct Half {
    common: u32,
    entries: Vec<Entry>,
}

/// A node that was split: the row that the right half begins with, and the halves.
struct Halves {
    least: u32,
    left: u32,
    right: u32,
}

impl Tree {
    pub(super) fn new() -> (Self, Growth) {
        let tree = Self {
            rows: Rows(Arena::new()),
            leaves: Arena::new(),
            inners: Arena::new(),
            root: AtomicU64::new(0),
        };
        let bytes = tree.rows.0.grow_to(BEFORE_ALL_ROW) + tree.leaves.grow_to(0);
        let growth = Growth {
            rows: BEFORE_ALL_ROW + 1,
            leaves: 1,
            inners: 0,
            bytes,
            last: None,
        };
        (tree, growth)
    }

    pub(super) fn row(&self, row: u32) -> &Row {
        self.rows.get(row)
    }

    /// The top node and how many levels it is above the leaves.
    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    fn root(&self) -> (u32, u32) {
        let root = self.root.load(Ordering::Acquire);
        (root as u32, (root >> 32) as u32)
    }

    /// The leaf that `target` belongs to: the last that has a row to its left, as `side` says.
    fn descend(&self, target: Target<'_>, side: Side) -> Spot {
        let (mut node, levels) = self.root();
        let mut fence = None;
        for _ in 0..levels {
            let route = self.inners[node].route(&self.rows, target, side);
            fence = route.next.or(fence);
            node = route.child;
        }
        Spot {
            leaf: node,
            order: self.leaves[node].order(),
            position: 0,
            fence,
        }
    }

    fn position(&self, spot: Spot, target: Target<'_>, side: Side) -> usize {
        self.leaves[spot.leaf].position(spot.order, &self.rows, target, side)
    }

    /// The row at a spot.
    pub(super) fn at(&self, spot: Spot) -> Option<u32> {
        (spot.position < spot.order.len())
            .then(|| self.leaves[spot.leaf].row(spot.order.slot(spot.position)))
    }

    /// The first row that is not to the left of `target`.
    pub(super) fn seek(&self, target: Target<'_>, side: Side) -> Option<Spot> {
        let mut spot = self.descend(target, Side::Through);
        spot.position = self.position(spot, target, side);
        if spot.position < spot.order.len() {
            return Some(spot);
        }
        // A fence lies to the right of the target, and nothing that matters between the leaf and
        // its fence.
        let fence = self.rows.get(spot.fence?).place();
        let mut spot = self.descend(fence, Side::Through);
        spot.position = self.position(spot, fence, Side::Before);
        Some(spot)
    }

    /// The newest row of `key` up to `at`.
    pub(super) fn newest(&self, key: &[u8], at: Seqno) -> Option<&Row> {
        let target = Target { key, seqno: at };
        let mut spot = self.descend(target, Side::Through);
        spot.position = self.position(spot, target, Side::Before);
        if spot.position == spot.order.len() {
            // Only if the versions of the key go on in the next leaf.
            if self.rows.get(spot.fence?).key != key {
                return None;
            }
            spot = self.seek(target, Side::Before)?;
        }
        Some(self.rows.get(self.at(spot)?)).filter(|row| row.key == key)
    }

    /// The last row before `target`.
    pub(super) fn seek_before(&self, target: Target<'_>) -> Option<Spot> {
        let spot = self.descend(target, Side::Before);
        let position = self.position(spot, target, Side::Before).checked_sub(1)?;
        Some(Spot { position, ..spot })
    }

    /// The first row.
    pub(super) fn first(&self) -> Option<Spot> {
        self.seek(
            Target {
                key: &[],
                seqno: Seqno::MAX,
            },
            Side::Before,
        )
    }

    /// The last row.
    pub(super) fn last(&self) -> Option<Spot> {
        let (mut node, levels) = self.root();
        for _ in 0..levels {
            node = self.inners[node].last_child();
        }
        let order = self.leaves[node].order();
        Some(Spot {
            leaf: node,
            order,
            position: order.len().checked_sub(1)?,
            fence: None,
        })
    }

    /// The row behind the one at `spot`.
    pub(super) fn next(&self, spot: Spot) -> Option<Spot> {
        let position = spot.position + 1;
        if position < spot.order.len() {
            return Some(Spot { position, ..spot });
        }
        let next = self.next_leaf(spot)?;
        self.warm(next);
        Some(next)
    }

    /// Looks at the rows of a leaf that a reader will come to one after the other, all at once:
    /// they are not in the processor's cache, and waiting for several takes no longer than for one.
    fn warm(&self, spot: Spot) {
        let leaf = &self.leaves[spot.leaf];
        let rows = (0..spot.order.len()).map(|at| leaf.row(spot.order.slot(at)));
        let touch = |row| {
            let row = self.rows.get(row);
            row.cell.bytes().len() + usize::from(row.key.first().copied().unwrap_or(0))
        };
        black_box(
            rows.chain(spot.fence)
                .map(touch)
                .fold(0, usize::wrapping_add),
        );
    }

    fn next_leaf(&self, spot: Spot) -> Option<Spot> {
        let fence = self.rows.get(spot.fence?).place();
        if spot.order.len() < SLOTS {
            return self.seek(fence, Side::Before);
        }
        // A full leaf may have been split just when the reader came to it: then it has rows
        // behind its fence.
        let here = self.rows.get(self.at(spot)?).place();
        if compare_rows((fence.key, fence.seqno), (here.key, here.seqno)).is_gt() {
            self.seek(fence, Side::Before)
        } else {
            self.seek(here, Side::Through)
        }
    }

    /// The row before the one at `spot`.
    pub(super) fn prev(&self, spot: Spot) -> Option<Spot> {
        if let Some(position) = spot.position.checked_sub(1) {
            return Some(Spot { position, ..spot });
        }
        let spot = self.seek_before(self.rows.get(self.at(spot)?).place())?;
        self.warm(spot);
        Some(spot)
    }
}

/// What the one writer does.
impl Tree {
    /// Adds a row; `make` is given the cell of the row of this key and seqno that it replaces, if
    /// there is one. Returns whether there was none.
    pub(super) fn write(
        &self,
        growth: &mut Growth,
        key: Bytes,
        seqno: Seqno,
        make: impl FnOnce(Option<&MemCell>) -> MemCell,
    ) -> bool {
        let target = Target { key: &key, seqno };
        let follows = |last: &Spot| self.follows(*last, target);
        let spot = if let Some(last) = growth.last.take().filter(follows) {
            Spot {
                position: last.position + 1,
                ..last
            }
        } else {
            let spot = self.descend(target, Side::Through);
            Spot {
                position: self.position(spot, target, Side::Before),
                ..spot
            }
        };
        let replaced = self.at(spot).filter(|row| {
            let row = self.rows.get(*row);
            row.seqno == seqno && row.key == key
        });
        let cell = make(replaced.map(|row| &self.rows.get(row).cell));

        let number = growth.rows;
        growth.rows += 1;
        growth.bytes += self.rows.0.grow_to(number);
        let row = self.rows.0[number].get_or_init(|| Row { key, seqno, cell });

        let leaf = &self.leaves[spot.leaf];
        let entry = Entry {
            head: head(&row.key, leaf.common()),
            row: number,
            child: 0,
        };
        if replaced.is_some() {
            leaf.replace(spot.order.slot(spot.position), number);
        } else if spot.order.len() < SLOTS {
            leaf.insert(spot.position, &entry);
            growth.last = Some(Spot {
                order: leaf.order(),
                ..spot
            });
        } else {
            self.split(growth, spot, entry);
        }
        replaced.is_none()
    }

    /// Whether `target` belongs right behind a row.
    fn follows(&self, spot: Spot, target: Target<'_>) -> bool {
        let place = |row| self.rows.get(row).place();
        let before = self.at(spot).map(place);
        let position = spot.position + 1;
        let behind = self.at(Spot { position, ..spot }).or(spot.fence).map(place);
        let compare = |a: Target<'_>| compare_rows((a.key, a.seqno), (target.key, target.seqno));
        before.is_some_and(|before| compare(before).is_lt())
            && behind.is_none_or(|behind| compare(behind).is_gt())
    }

    /// Splits the full leaf at `spot`, with a new entry at the spot's position.
    fn split(&self, growth: &mut Growth, spot: Spot, entry: Entry) {
        let (mut path, bounds) = self.path(self.rows.get(entry.row).place());
        let leaf = &self.leaves[spot.leaf];
        let mut entries = leaf.entries();
        entries.insert(spot.position, entry);
        let mut halves = self.halves(entries, spot.position, leaf.common(), bounds, |half| {
            self.new_leaf(growth, half)
        });
        while let Some(step) = path.pop() {
            let inner = &self.inners[step.inner];
            let entry = Entry {
                head: head(&self.rows.get(halves.least).key, inner.common()),
                row: halves.least,
                child: halves.right,
            };
            let (order, position) = (inner.order(), step.position + 1);
            if order.len() < SLOTS {
                inner.insert(position, &entry);
                #[cfg(test)]
                super::pause::at(super::pause::Point::HalfSplit);
                inner.replace(order.slot(step.position), halves.left);
                return;
            }
            let mut entries = inner.entries();
            entries[step.position].child = halves.left;
            entries.insert(position, entry);
            let common = inner.common();
            halves = self.halves(entries, position, common, step.bounds, |half| {
                self.new_inner(growth, half)
            });
        }
        let child = |row, child| Entry {
            head: head(&self.rows.get(row).key, 0),
            row,
            child,
        };
        let entries = vec![
            child(BEFORE_ALL_ROW, halves.left),
            child(halves.least, halves.right),
        ];
        let root = self.new_inner(growth, &Half { common: 0, entries });
        let (_, levels) = self.root();
        let root = u64::from(levels + 1) << 32 | u64::from(root);
        self.root.store(root, Ordering::Release);
    }

    /// Two nodes of the entries of a full one and of the new one at `position`.
    fn halves(
        &self,
        mut left: Vec<Entry>,
        position: usize,
        common: u32,
        bounds: Bounds,
        mut make: impl FnMut(&Half) -> u32,
    ) -> Halves {
        let right = left.split_off(cut(position));
        let least = right.first().map_or(0, |entry| entry.row);
        let low = Bounds {
            high: Some(least),
            ..bounds
        };
        let high = Bounds {
            low: Some(least),
            ..bounds
        };
        Halves {
            least,
            left: make(&self.half(left, common, low)),
            right: make(&self.half(right, common, high)),
        }
    }

    /// One half. Its heads stay as they are as long as they tell its entries apart: to make new
    /// ones, all rows must be looked at.
    fn half(&self, mut entries: Vec<Entry>, common: u32, bounds: Bounds) -> Half {
        let (first, last) = (entries.first(), entries.last());
        let differ = first.zip(last).map_or(0, |(a, b)| a.head ^ b.head);
        let longer = if differ >> 32 == 0 {
            self.common(bounds)
        } else {
            common
        };
        if longer > common {
            for entry in &mut entries {
                entry.head = head(&self.rows.get(entry.row).key, longer);
            }
        }
        Half {
            common: longer.max(common),
            entries,
        }
    }

    /// The way down to the leaf that `target` belongs to, and the bounds of that leaf.
    fn path(&self, target: Target<'_>) -> (Vec<Step>, Bounds) {
        let (mut node, levels) = self.root();
        let mut bounds = Bounds::default();
        let mut path = Vec::with_capacity(levels as usize);
        for _ in 0..levels {
            let inner = &self.inners[node];
            let route = inner.route(&self.rows, target, Side::Through);
            path.push(Step {
                inner: node,
                position: route.position,
                bounds,
            });
            if route.position > 0 {
                bounds.low = Some(inner.least(inner.order().slot(route.position)));
            }
            bounds.high = route.next.or(bounds.high);
            node = route.child;
        }
        (path, bounds)
    }

    fn new_leaf(&self, growth: &mut Growth, half: &Half) -> u32 {
        let number = growth.leaves;
        growth.leaves += 1;
        growth.bytes += self.leaves.grow_to(number);
        self.leaves[number].fill(half.common, &half.entries);
        number
    }

    fn new_inner(&self, growth: &mut Growth, half: &Half) -> u32 {
        let number = growth.inners;
        growth.inners += 1;
        growth.bytes += self.inners.grow_to(number);
        self.inners[number].fill(half.common, &half.entries);
        number
    }

    /// How many bytes all keys between two rows have in common. Also the keys that are looked for
    /// there: they lie between the same rows, or are those rows.
    fn common(&self, bounds: Bounds) -> u32 {
        let (Some(low), Some(high)) = (bounds.low, bounds.high) else {
            return 0;
        };
        let (low, high) = (&self.rows.get(low).key, &self.rows.get(high).key);
        let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
        u32::try_from(common).unwrap_or(u32::MAX)
    }
}

/// Where to cut the entries of a full node and a new one at `position`: in the middle, but keys
/// that come in order leave full nodes behind.
const fn cut(position: usize) -> usize {
    match position {
        0 => 1,
        SLOTS => SLOTS,
        _ => SLOTS.div_ceil(2),
    }
}
