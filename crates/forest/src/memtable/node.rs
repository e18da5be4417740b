//! The nodes of a memtable's tree: leaves that refer to rows, inner nodes that refer to nodes.
//!
//! A node has 15 slots that are filled one after the other and then stay as they are. Their order
//! by key lies in one word: changing that word is what adds an entry, in one step, for every
//! reader. Beside each entry lie eight bytes of its key, so that nearly all comparisons touch no
//! memory but the node; they are taken from behind what all keys of the node have in common.
//!
//! Nodes never lose an entry and are never reused. Two words do change in place: the row of a slot,
//! when the same entry of the log writes a key twice; and the child of a slot, when a child is
//! replaced by its left half.

use std::cmp;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::tree::Rows;
use crate::Seqno;
use crate::row::compare_rows;

/// How many entries a node has room for.
pub(super) const SLOTS: usize = 15;

/// The slots in use, in the order of their keys: the lowest four bits count them, the next four
/// are the first slot, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order(u64);

impl Order {
    pub(super) const fn len(self) -> usize {
        (self.0 & 15) as usize
    }

    pub(super) const fn slot(self, position: usize) -> usize {
        ((self.0 >> (4 + 4 * position)) & 15) as usize
    }

    /// With the next free slot at `position`.
    const fn with_next_at(self, position: usize) -> Self {
        let shift = 4 + 4 * position;
        let before = self.0 & ((1 << shift) - 1);
        let behind = (self.0 >> shift) << shift;
        // The count goes up by one: it is in the part before, and there is room.
        Self((before + 1) | ((self.0 & 15) << shift) | (behind << 4))
    }

    /// The first position from `low` up to `high` whose slot is not `left`, or `high`. The left
    /// ones come first.
    fn partition(self, mut low: usize, mut high: usize, left: impl Fn(usize) -> bool) -> usize {
        while low < high {
            let middle = low.midpoint(high);
            if left(self.slot(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) key: &'a [u8],
    pub(super) seqno: Seqno,
}

/// Which rows lie to the left of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Those before the target.
    Before,
    /// Those before the target, and the target.
    Through,
}

/// The order of entries, and a part of each entry's key.
#[derive(Debug, Default)]
struct Heads {
    order: AtomicU64,
    words: [AtomicU64; SLOTS],
}

/// An entry of a node that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) head: u64,
    pub(super) row: u32,
    /// Nothing in a leaf.
    pub(super) child: u32,
}

impl Heads {
    fn order(&self) -> Order {
        Order(self.order.load(Ordering::Acquire))
    }

    /// How many of the entries lie to the left of `target`, whose head is `head`, if `row` says
    /// which row is in a slot.
    fn position(
        &self,
        order: Order,
        rows: &Rows,
        row: impl Fn(usize) -> u32,
        (target, head): (Target<'_>, u64),
        side: Side,
    ) -> usize {
        // Counting is faster than searching: it has no branch that depends on the key.
        let (mut less, mut equal) = (0, 0);
        for (slot, word) in self.words.iter().enumerate() {
            let word = word.load(Ordering::Relaxed);
            let used = slot < order.len();
            less += usize::from(used & (word < head));
            equal += usize::from(used & (word == head));
        }
        if equal == 0 {
            return less;
        }
        order.partition(less, less + equal, |slot| {
            let row = rows.get(row(slot)).place();
            match compare_rows((row.key, row.seqno), (target.key, target.seqno)) {
                cmp::Ordering::Less => true,
                cmp::Ordering::Greater => false,
                cmp::Ordering::Equal => side == Side::Through,
            }
        })
    }

    /// Adds the entry of the next free slot, whose other parts are there already. Only the writer
    /// calls this.
    fn publish(&self, position: usize, head: u64) {
        let order = self.order();
        self.words[order.len()].store(head, Ordering::Relaxed);
        self.order
            .store(order.with_next_at(position).0, Ordering::Release);
    }
}

/// How many bytes all keys of a node, and all targets that are looked for in it, have in common
/// at least. The heads are what follows.
#[derive(Debug, Default)]
struct Common(AtomicU32);

impl Common {
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, common: u32) {
        self.0.store(common, Ordering::Relaxed);
    }

    fn head(&self, key: &[u8]) -> u64 {
        head(key, self.get())
    }
}

/// Eight bytes of a key behind the first `skip`, filled up with zeros.
pub(super) fn head(key: &[u8], skip: u32) -> u64 {
    let key = key.get(skip as usize..).unwrap_or_default();
    if let Some(bytes) = key.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(bytes)
}

/// A node of references to rows.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Leaf {
    heads: Heads,
    common: Common,
    rows: [AtomicU32; SLOTS],
}

impl Leaf {
    pub(super) fn order(&self) -> Order {
        self.heads.order()
    }

    /// What its keys have in common, as far as it knows.
    pub(super) fn common(&self) -> u32 {
        self.common.get()
    }

    pub(super) fn row(&self, slot: usize) -> u32 {
        self.rows[slot].load(Ordering::Acquire)
    }

    pub(super) fn position(
        &self,
        order: Order,
        rows: &Rows,
        target: Target<'_>,
        side: Side,
    ) -> usize {
        let target = (target, self.common.head(target.key));
        self.heads
            .position(order, rows, |slot| self.row(slot), target, side)
    }

    /// All its entries in order.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |slot: usize| Entry {
            head: self.heads.words[slot].load(Ordering::Relaxed),
            row: self.row(slot),
            child: 0,
        };
        let order = self.order();
        (0..order.len()).map(|at| entry(order.slot(at))).collect()
    }

    /// Makes an empty node one of these entries. Nobody may know of it yet.
    pub(super) fn fill(&self, common: u32, entries: &[Entry]) {
        self.common.set(common);
        for (at, entry) in entries.iter().enumerate() {
            self.insert(at, entry);
        }
    }

    /// Adds a row. There must be room.
    pub(super) fn insert(&self, position: usize, entry: &Entry) {
        self.rows[self.order().len()].store(entry.row, Ordering::Relaxed);
        self.heads.publish(position, entry.head);
    }

    /// Puts another row of the same key and seqno in a row's place.
    pub(super) fn replace(&self, slot: usize, row: u32) {
        self.rows[slot].store(row, Ordering::Release);
    }
}

/// A node of references to nodes. With each stands the row that its part of the order begins with.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Inner {
    heads: Heads,
    common: Common,
    least: [AtomicU32; SLOTS],
    children: [AtomicU32; SLOTS],
}

/// The child of an inner node that a target belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) position: usize,
    pub(super) child: u32,
    /// The least row of the next child.
    pub(super) next: Option<u32>,
}

impl Inner {
    pub(super) fn order(&self) -> Order {
        self.heads.order()
    }

    /// What its keys have in common, as far as it knows.
    pub(super) fn common(&self) -> u32 {
        self.common.get()
    }

    pub(super) fn least(&self, slot: usize) -> u32 {
        self.least[slot].load(Ordering::Relaxed)
    }

    pub(super) fn child(&self, slot: usize) -> u32 {
        self.children[slot].load(Ordering::Acquire)
    }

    pub(super) fn route(&self, rows: &Rows, target: Target<'_>, side: Side) -> Route {
        let target = (target, self.common.head(target.key));
        let mut order = self.order();
        loop {
            let position = self
                .heads
                .position(order, rows, |slot| self.least(slot), target, side)
                .saturating_sub(1);
            #[cfg(test)]
            super::pause::at(super::pause::Point::Routing);
            let child = self.child(order.slot(position));
            // A child that was split meanwhile may be its left half already, while `order` does
            // not know of the right half. The right half is published first.
            let again = self.order();
            if again == order {
                let next = position + 1;
                return Route {
                    position,
                    child,
                    next: (next < order.len()).then(|| self.least(order.slot(next))),
                };
            }
            order = again;
        }
    }

    pub(super) fn last_child(&self) -> u32 {
        let mut order = self.order();
        loop {
            #[cfg(test)]
            super::pause::at(super::pause::Point::Routing);
            let child = self.child(order.slot(order.len().saturating_sub(1)));
            // As in `route`.
            let again = self.order();
            if again == order {
                return child;
            }
            order = again;
        }
    }

    /// All its entries in order.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |slot: usize| Entry {
            head: self.heads.words[slot].load(Ordering::Relaxed),
            row: self.least(slot),
            child: self.child(slot),
        };
        let order = self.order();
        (0..order.len()).map(|at| entry(order.slot(at))).collect()
    }

    /// Makes an empty node one of these entries. Nobody may know of it yet.
    pub(super) fn fill(&self, common: u32, entries: &[Entry]) {
        self.common.set(common);
        for (at, entry) in entries.iter().enumerate() {
            self.insert(at, entry);
        }
    }

    /// Adds a child. There must be room.
    pub(super) fn insert(&self, position: usize, entry: &Entry) {
        let slot = self.order().len();
        self.least[slot].store(entry.row, Ordering::Relaxed);
        self.children[slot].store(entry.child, Ordering::Relaxed);
        self.heads.publish(position, entry.head);
    }

    /// Puts the left half of a child in the child's place. The right half must be there already.
    pub(super) fn replace(&self, slot: usize, child: u32) {
        self.children[slot].store(child, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_takes_a_new_slot_at_any_position_up_to_the_last() {
        let mut order = Order::default();
        let mut model = Vec::new();
        for slot in 0..SLOTS {
            let position = (slot * 7) % (slot + 1);
            order = order.with_next_at(position);
            model.insert(position, slot);
            let slots: Vec<usize> = (0..order.len()).map(|at| order.slot(at)).collect();
            assert_eq!(slots, model);
        }
    }

    #[test]
    fn nodes_fill_whole_cache_lines() {
        assert_eq!((size_of::<Leaf>(), size_of::<Inner>()), (192, 256));
    }

    #[test]
    fn heads_are_ordered_as_keys_are_or_equal() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"abcdefgh", b"abcdefghi", b"\xff"];
        assert!(keys.is_sorted_by_key(|key| head(key, 0)));
        assert_eq!(head(b"abc", 4), 0);
        assert_eq!(head(b"xabcdefghi", 1), head(b"abcdefgh", 0));
    }
}
