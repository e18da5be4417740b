//! Readers beside the applier. Each entry gives the same value to three keys in two trees (or
//! deletes all three), and what every snapshot must show is known beforehand.
#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use nexusbase_forest::{Change, Direction, Forest, KeyRange, Mutation, Seqno, TreeId};
use nexusbase_io::sim::SimRng;

const LEFT: TreeId = TreeId::new(1);
const RIGHT: TreeId = TreeId::new(2);
const GROUPS: usize = 25;
const ENTRIES: u64 = 60_000;
const READERS: u64 = 3;

/// What each group of keys is worth from which entry on; `false` is deleted.
struct Plan {
    steps: Vec<(usize, bool)>,
    groups: Vec<BTreeMap<u64, bool>>,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut rng = SimRng::new(seed);
        let mut groups = vec![BTreeMap::new(); GROUPS];
        let step = |at| {
            let (group, put) = (rng.index(GROUPS), rng.chance(0.5));
            groups[group].insert(at, put);
            (group, put)
        };
        let steps = (1..=ENTRIES).map(step).collect();
        Self { steps, groups }
    }

    fn entry(&self, at: u64) -> Vec<Mutation> {
        let (group, put) = self.steps[usize::try_from(at).unwrap() - 1];
        let change = if put {
            Change::Put(value(at))
        } else {
            Change::Delete
        };
        let keys = [
            (LEFT, key('a', group)),
            (LEFT, key('z', group)),
            (RIGHT, key('a', group)),
        ];
        keys.map(|(tree, key)| Mutation {
            tree,
            key,
            change: change.clone(),
        })
        .to_vec()
    }

    fn expected(&self, group: usize, at: u64) -> Option<Bytes> {
        let (written, put) = self.groups[group].range(..=at).next_back()?;
        put.then(|| value(*written))
    }

    fn rows(&self, prefix: char, at: u64) -> Vec<(Bytes, Bytes)> {
        let row = |group| Some((key(prefix, group), self.expected(group, at)?));
        (0..GROUPS).filter_map(row).collect()
    }
}

fn key(prefix: char, group: usize) -> Bytes {
    Bytes::from(format!("{prefix}{group:04}"))
}

fn value(at: u64) -> Bytes {
    Bytes::copy_from_slice(&at.to_be_bytes())
}

/// What the database does: which seqno is visible, and which ones readers hold.
#[derive(Default)]
struct Snapshots {
    held: Mutex<BTreeMap<u64, usize>>,
    visible: AtomicU64,
}

impl Snapshots {
    fn take(&self) -> u64 {
        let mut held = self.held.lock().unwrap();
        let at = self.visible.load(Ordering::Acquire);
        *held.entry(at).or_default() += 1;
        at
    }

    fn give_back(&self, at: u64) {
        let mut held = self.held.lock().unwrap();
        let count = held.get_mut(&at).unwrap();
        *count -= 1;
        if *count == 0 {
            held.remove(&at);
        }
    }

    fn publish(&self, at: u64) -> u64 {
        let held = self.held.lock().unwrap();
        self.visible.store(at, Ordering::Release);
        held.keys().next().copied().unwrap_or(at)
    }
}

fn read_everything(forest: &Forest, plan: &Plan, at: u64, rng: &mut SimRng) {
    let seqno = Seqno::new(at);
    let scan = |tree, prefix: &str, direction| -> Vec<(Bytes, Bytes)> {
        let range = KeyRange::prefix(prefix.as_bytes());
        forest
            .scan(tree, range, direction, seqno)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    for _ in 0..5 {
        let group = rng.index(GROUPS);
        let expected = plan.expected(group, at);
        for (tree, prefix) in [(RIGHT, 'a'), (LEFT, 'z'), (LEFT, 'a')] {
            let found = forest.get(tree, &key(prefix, group), seqno).unwrap();
            assert_eq!(found, expected, "group {group} at {at}");
        }
    }
    assert_eq!(
        scan(LEFT, "a", Direction::Forward),
        plan.rows('a', at),
        "at {at}"
    );
    assert_eq!(
        scan(RIGHT, "", Direction::Forward),
        plan.rows('a', at),
        "at {at}"
    );
    let mut backward = scan(LEFT, "z", Direction::Reverse);
    backward.reverse();
    assert_eq!(backward, plan.rows('z', at), "at {at}");
}

#[test]
fn readers_see_exactly_their_snapshot_while_entries_are_applied_and_garbage_is_removed() {
    let plan = Plan::new(1);
    let forest = Forest::new();
    forest.create_tree(LEFT).unwrap();
    forest.create_tree(RIGHT).unwrap();
    let snapshots = Snapshots::default();
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (plan, forest, snapshots, reads) = (&plan, &forest, &snapshots, &reads);
            scope.spawn(move || {
                let mut rng = SimRng::new(reader);
                while snapshots.visible.load(Ordering::Acquire) < ENTRIES {
                    let at = snapshots.take();
                    // Some snapshots live on while much is applied.
                    for _ in 0..1 + rng.below(4) {
                        read_everything(forest, plan, at, &mut rng);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    snapshots.give_back(at);
                }
            });
        }
        for at in 1..=ENTRIES {
            forest.apply(Seqno::new(at), plan.entry(at)).unwrap();
            let oldest = snapshots.publish(at);
            forest.set_oldest_needed(Seqno::new(oldest));
        }
    });
    assert!(reads.load(Ordering::Relaxed) > 100, "{reads:?}");
    read_everything(&forest, &plan, ENTRIES, &mut SimRng::new(9));
}

/// Tombstones and what they hide are removed while readers walk over the very keys: an entry
/// writes all keys, the next deletes them all, so that the applier is nearly always cleaning up
/// beneath the feet of a reader who must see all of them or none.
#[test]
fn a_deleted_key_never_comes_back_while_its_tombstone_is_removed() {
    const KEYS: usize = 100;
    const ALTERNATIONS: u64 = 3_000;
    let forest = Forest::new();
    forest.create_tree(LEFT).unwrap();
    let snapshots = Snapshots::default();
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (forest, snapshots) = (&forest, &snapshots);
            scope.spawn(move || {
                let mut rng = SimRng::new(reader);
                while snapshots.visible.load(Ordering::Acquire) < ALTERNATIONS {
                    let at = snapshots.take();
                    let expected = if at % 2 == 1 { KEYS } else { 0 };
                    let seqno = Seqno::new(at);
                    for direction in [Direction::Forward, Direction::Reverse] {
                        let scan = forest
                            .scan(LEFT, KeyRange::all(), direction, seqno)
                            .unwrap();
                        assert_eq!(scan.count(), expected, "{direction:?} at {at}");
                    }
                    let first = rng.index(KEYS);
                    for group in first..KEYS {
                        let found = forest.get(LEFT, &key('a', group), seqno).unwrap();
                        assert_eq!(found.is_some(), expected > 0, "key {group} at {at}");
                    }
                    snapshots.give_back(at);
                }
            });
        }
        for at in 1..=ALTERNATIONS {
            let change = if at % 2 == 1 {
                Change::Put(value(at))
            } else {
                Change::Delete
            };
            let mutation = |group| Mutation {
                tree: LEFT,
                key: key('a', group),
                change: change.clone(),
            };
            forest
                .apply(Seqno::new(at), (0..KEYS).map(mutation))
                .unwrap();
            let oldest = snapshots.publish(at);
            forest.set_oldest_needed(Seqno::new(oldest));
        }
    });
}
