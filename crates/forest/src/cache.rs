//! The cache of blocks, shared by all trees, and the memory budget that it lives in.
//!
//! Blocks are not found by hashing: whoever knows a block (a partition knows its data blocks, a
//! table its partitions) has a [`Slot`] for it, and a hit is one look into that slot, without a
//! lock. What the cache itself keeps is only the order in which slots were filled, and it takes
//! its one lock (`forest.cache`) only when something was read from disk.
//!
//! What goes first is decided as in S3-FIFO (Yang et al., SOSP 2023): a newcomer waits in a small
//! queue and moves to the main one only if it is used again meanwhile, or was thrown out shortly
//! before; so a scan over everything passes through a tenth of the cache.
//!
//! The budget is one number for memtables, open tables and blocks: what the others take, blocks
//! do not get. Blocks that a reader holds beyond their eviction are not counted.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;

/// How often a use is remembered; more makes no difference.
const USES_MAX: u8 = 3;

/// The part of the cache that newcomers wait in: one in ...
const SMALL_SHARE: u64 = 10;

/// What a slot, a place in a queue and an allocation take beside a block, in bytes.
const ITEM_OVERHEAD: u64 = 96;

/// Blocks get at least this share of the budget, whatever memtables and tables take: one in ...
const BLOCKS_SHARE_MIN: u64 = 8;

/// A place for a block that may be in memory.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    block: ArcSwapOption<T>,
    uses: AtomicU8,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            block: ArcSwapOption::const_empty(),
            uses: AtomicU8::new(0),
        }
    }
}

impl<T> Slot<T> {
    /// The block, if it is in memory.
    #[inline]
    pub(crate) fn get(&self) -> Guard<Option<Arc<T>>> {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < USES_MAX {
            // Two readers may count as one. That is as good.
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
        self.block.load()
    }

    /// Puts a block into the slot unless there is one; returns whether it did.
    fn fill(&self, block: &Arc<T>) -> bool {
        self.uses.store(0, Ordering::Relaxed);
        self.block
            .compare_and_swap(&None::<Arc<T>>, Some(Arc::clone(block)))
            .is_none()
    }

    fn clear(&self) {
        self.block.store(None);
    }

    /// Takes back one use, if there was one.
    fn take_use(&self) -> bool {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses > 0 {
            self.uses.store(uses - 1, Ordering::Relaxed);
        }
        uses > 0
    }
}

/// Somebody who has slots.
pub(crate) trait Home: fmt::Debug + Send + Sync {
    /// Takes back one use of slot `at`, if there was one.
    fn take_use(&self, at: u32) -> bool;
    /// Empties slot `at`.
    fn clear(&self, at: u32);
}

/// What [`Home`] has slots for: the same for all homes, so written once.
impl<T: fmt::Debug + Send + Sync> Home for Box<[Slot<T>]> {
    fn take_use(&self, at: u32) -> bool {
        self.get(at as usize).is_some_and(Slot::take_use)
    }

    fn clear(&self, at: u32) {
        if let Some(slot) = self.get(at as usize) {
            slot.clear();
        }
    }
}

/// A set of slots that the cache can keep in its queues.
pub(crate) type Slots<T> = Arc<Box<[Slot<T>]>>;

/// Empty slots.
pub(crate) fn slots<T>(count: usize) -> Slots<T> {
    Arc::new((0..count).map(|_| Slot::default()).collect())
}

/// A filled slot in a queue.
#[derive(Debug)]
struct Item {
    home: Arc<dyn Home>,
    at: u32,
    /// Of file and place, to recognise it if it comes back.
    identity: u64,
    charge: u64,
}

#[derive(Debug, Default)]
struct Queues {
    small: VecDeque<Item>,
    small_bytes: u64,
    main: VecDeque<Item>,
    main_bytes: u64,
    /// Who was thrown out of the small queue lately.
    ghosts: VecDeque<u64>,
    ghost_set: HashSet<u64>,
}

/// The cache and the budget.
#[derive(Debug)]
pub(crate) struct Cache {
    budget: AtomicU64,
    /// What is not blocks: memtables, open tables.
    pinned: AtomicU64,
    /// Lock `forest.cache`: held for a few steps in the queues.
    queues: Mutex<Queues>,
    misses: AtomicU64,
    read_bytes: AtomicU64,
}

/// Figures about the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// The whole budget in bytes.
    pub budget_bytes: u64,
    /// What memtables and open tables take of it.
    pub pinned_bytes: u64,
    /// What blocks take of it.
    pub block_bytes: u64,
    /// Blocks in the cache.
    pub blocks: u64,
    /// Blocks that were read from disk because they were not in the cache.
    pub misses: u64,
    /// Bytes that were read for them.
    pub read_bytes: u64,
}

impl Cache {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget: AtomicU64::new(budget),
            pinned: AtomicU64::new(0),
            queues: Mutex::default(),
            misses: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        }
    }

    /// Counts memory that is not blocks.
    pub(crate) fn pin(&self, bytes: u64) {
        self.pinned.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was counted by [`Cache::pin`].
    pub(crate) fn unpin(&self, bytes: u64) {
        self.pinned.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What blocks may take.
    fn capacity(&self) -> u64 {
        let budget = self.budget.load(Ordering::Relaxed);
        let left = budget.saturating_sub(self.pinned.load(Ordering::Relaxed));
        left.max(budget / BLOCKS_SHARE_MIN)
    }

    /// Puts a block that was read from disk (`read_bytes` long there) into its slot, and throws
    /// others out if need be. `identity` recognises the block if it comes back.
    pub(crate) fn insert<T: fmt::Debug + Send + Sync + 'static>(
        &self,
        slots: &Slots<T>,
        at: usize,
        block: &Arc<T>,
        charge: u64,
        identity: u64,
    ) {
        let capacity = self.capacity();
        let charge = charge + ITEM_OVERHEAD;
        let Some((slot, at)) = slots.get(at).zip(u32::try_from(at).ok()) else {
            return;
        };
        // What would push everybody else out is better read again.
        if charge > capacity / 4 || !slot.fill(block) {
            return;
        }
        let item = Item {
            home: Arc::clone(slots) as Arc<dyn Home>,
            at,
            identity,
            charge,
        };
        let mut evicted = Vec::new();
        self.queues.lock().insert(item, capacity, &mut evicted);
        // Memory is given back without the lock.
        for Item { home, at, .. } in evicted {
            home.clear(at);
        }
    }

    /// Counts a block that had to be read from disk.
    pub(crate) fn count_miss(&self, read_bytes: u64) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(read_bytes, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let queues = self.queues.lock();
        CacheStats {
            budget_bytes: self.budget.load(Ordering::Relaxed),
            pinned_bytes: self.pinned.load(Ordering::Relaxed),
            block_bytes: queues.small_bytes + queues.main_bytes,
            blocks: (queues.small.len() + queues.main.len()) as u64,
            misses: self.misses.load(Ordering::Relaxed),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Queues {
    fn insert(&mut self, item: Item, capacity: u64, evicted: &mut Vec<Item>) {
        if self.ghost_set.remove(&item.identity) {
            self.main_bytes += item.charge;
            self.main.push_back(item);
        } else {
            self.small_bytes += item.charge;
            self.small.push_back(item);
        }
        while self.small_bytes + self.main_bytes > capacity {
            let from_small = self.small_bytes * SMALL_SHARE > capacity || self.main.is_empty();
            let gone = if from_small {
                self.evict_small()
            } else {
                self.evict_main()
            };
            evicted.extend(gone);
        }
    }

    fn evict_small(&mut self) -> Option<Item> {
        let item = self.small.pop_front()?;
        self.small_bytes -= item.charge;
        if item.home.take_use(item.at) {
            self.main_bytes += item.charge;
            self.main.push_back(item);
            return None;
        }
        // As many ghosts as the main queue has blocks.
        self.ghosts.push_back(item.identity);
        self.ghost_set.insert(item.identity);
        while self.ghosts.len() > self.main.len().max(64) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_set.remove(&oldest);
            }
        }
        Some(item)
    }

    fn evict_main(&mut self) -> Option<Item> {
        let item = self.main.pop_front()?;
        if item.home.take_use(item.at) {
            self.main.push_back(item);
            return None;
        }
        self.main_bytes -= item.charge;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARGE: u64 = 1000 - ITEM_OVERHEAD;

    fn fill(cache: &Cache, slots: &Slots<usize>, at: usize) {
        cache.insert(slots, at, &Arc::new(at), CHARGE, at as u64);
    }

    fn held(slots: &Slots<usize>, range: std::ops::Range<usize>) -> usize {
        range.filter(|at| slots[*at].block.load().is_some()).count()
    }

    #[test]
    fn blocks_stay_within_the_budget() {
        let cache = Cache::new(100_000);
        let slots = slots(1000);
        (0..1000).for_each(|at| fill(&cache, &slots, at));
        assert_eq!(held(&slots, 0..1000), 100);
        assert_eq!(cache.stats().block_bytes, 100_000);
        cache.pin(50_000);
        fill(&cache, &slots, 0);
        assert!(cache.stats().block_bytes <= 50_000);
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_used() {
        let cache = Cache::new(100_000);
        let slots = slots(10_000);
        for round in 0..4 {
            for at in 0..80 {
                if slots[at].get().is_none() {
                    fill(&cache, &slots, at);
                }
            }
            // Others come and go in between.
            (100 + round * 100..150 + round * 100).for_each(|at| fill(&cache, &slots, at));
        }
        (0..80).for_each(|at| drop(slots[at].get()));
        (1000..10_000).for_each(|at| fill(&cache, &slots, at));
        assert!(held(&slots, 0..80) >= 60, "{}", held(&slots, 0..80));
    }

    #[test]
    fn a_filled_slot_is_not_charged_twice() {
        let cache = Cache::new(100_000);
        let slots = slots(1);
        fill(&cache, &slots, 0);
        fill(&cache, &slots, 0);
        assert_eq!(cache.stats().block_bytes, 1000);
    }
}
