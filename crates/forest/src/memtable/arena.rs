//! Storage that grows in pieces and never moves or frees anything before its end, so that a
//! number finds its item again, from any thread, without a lock.
//!
//! Items start as their default and are changed through shared references (they are made of
//! atomics and once-cells). Pieces grow with the whole: at most about an eighth of it is unused.
//!
//! It does not say which items are in use: one writer counts, and publishes the number of an item
//! (with Release) only after [`Arena::grow_to`].

use std::ops::Index;
use std::sync::OnceLock;

/// Each group is twice as large as the one before.
const GROUPS: usize = 28;

/// Groups are made of up to this many pieces, as a power of two.
const PIECES_SHIFT: u32 = 3;

type Piece<T> = OnceLock<Box<[T]>>;

/// Items by number. The first group holds `1 << FIRST`.
#[derive(Debug)]
pub(super) struct Arena<T, const FIRST: u32> {
    groups: [OnceLock<Box<[Piece<T>]>>; GROUPS],
}

/// Where an item is.
struct Place {
    group: usize,
    piece: usize,
    item: usize,
}

const fn place(index: u32, first: u32) -> (Place, u32) {
    let group = ((index >> first) + 1).ilog2();
    let offset = index - (((1 << group) - 1) << first);
    let piece_shift = first + group.saturating_sub(PIECES_SHIFT);
    let place = Place {
        group: group as usize,
        piece: (offset >> piece_shift) as usize,
        item: (offset & ((1 << piece_shift) - 1)) as usize,
    };
    (place, piece_shift)
}

impl<T: Default, const FIRST: u32> Arena<T, FIRST> {
    pub(super) const fn new() -> Self {
        Self {
            groups: [const { OnceLock::new() }; GROUPS],
        }
    }

    /// Makes sure that there is an item of this number, and returns how many bytes that took. The
    /// numbers must come in ascending order, none left out.
    pub(super) fn grow_to(&self, index: u32) -> u64 {
        let (place, piece_shift) = place(index, FIRST);
        if place.item != 0 {
            return 0;
        }
        let mut bytes = 0;
        let pieces = 1_usize << (place.group).min(PIECES_SHIFT as usize);
        let group = self.groups[place.group].get_or_init(|| {
            bytes += pieces * size_of::<Piece<T>>();
            (0..pieces).map(|_| OnceLock::new()).collect()
        });
        group[place.piece].get_or_init(|| {
            let items = 1_usize << piece_shift;
            bytes += items * size_of::<T>();
            (0..items).map(|_| T::default()).collect()
        });
        bytes as u64
    }
}

impl<T, const FIRST: u32> Index<u32> for Arena<T, FIRST> {
    type Output = T;

    /// The item of this number, which must have been published.
    fn index(&self, index: u32) -> &T {
        let (place, _) = place(index, FIRST);
        let group = self.groups[place.group]
            .get()
            .map_or(&[][..], |group| group);
        let piece = group[place.piece].get().map_or(&[][..], |piece| piece);
        &piece[place.item]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_number_has_its_own_item_and_little_is_unused() {
        let arena = Arena::<AtomicU32, 3>::new();
        let mut bytes = 0;
        for index in 0..100_000 {
            bytes += arena.grow_to(index);
            assert_eq!(arena[index].load(Ordering::Relaxed), 0);
            arena[index].store(index + 1, Ordering::Relaxed);
            let used = u64::from(index + 1) * 4;
            // An eighth, and the lists of pieces.
            assert!(bytes <= used * 9 / 8 + 4000, "{index}: {bytes}");
        }
        for index in 0..100_000 {
            assert_eq!(arena[index].load(Ordering::Relaxed), index + 1);
        }
    }
}
