//! Replaying many entries at once ends where applying them one by one ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use nexusbase_forest::{ApplyError, Change, Direction, Forest, KeyRange, Mutation, Seqno, TreeId};
use nexusbase_io::sim::SimRng;

const TREES: u32 = 3;

fn forest() -> Forest {
    let forest = Forest::new();
    (0..TREES).for_each(|id| forest.create_tree(TreeId::new(id)).unwrap());
    forest
}

fn entry(rng: &mut SimRng, number: u64) -> Vec<Mutation> {
    let mut mutation = || {
        let key = Bytes::from(format!("key {}", rng.below(40)));
        let change = match rng.below(3) {
            0 => Change::Delete,
            _ => Change::Put(Bytes::from(number.to_string())),
        };
        Mutation {
            tree: TreeId::new(u32::from(rng.chance(0.5)) + u32::from(rng.chance(0.3))),
            key,
            change,
        }
    };
    (0..3).map(|_| mutation()).collect()
}

fn rows(forest: &Forest) -> Vec<(u32, Bytes, Bytes)> {
    let mut all = Vec::new();
    for tree in 0..TREES {
        let (id, at) = (TreeId::new(tree), forest.applied());
        for row in forest
            .scan(id, KeyRange::all(), Direction::Forward, at)
            .unwrap()
        {
            let (key, value) = row.unwrap();
            all.push((tree, key, value));
        }
    }
    all
}

#[test]
fn a_replay_ends_where_one_entry_after_the_other_ends() {
    for seed in 0..200 {
        let mut rng = SimRng::new(seed);
        let (one_by_one, replayed) = (forest(), forest());
        let mut number = 0;
        while number < 100 {
            let first = number + 1;
            let window = rng.below(30) + 1;
            let mut changes = Vec::new();
            for at in first..first + window {
                let mutations = entry(&mut rng, at);
                one_by_one.apply(Seqno::new(at), mutations.clone()).unwrap();
                changes.extend(mutations.into_iter().map(|one| (Seqno::new(at), one)));
            }
            number += window;
            replayed.replay(Seqno::new(number), changes).unwrap();
            assert_eq!(replayed.applied(), one_by_one.applied());
            assert_eq!(rows(&replayed), rows(&one_by_one), "seed {seed}");
        }
        let kept: u64 = replayed
            .stats()
            .trees
            .values()
            .map(|tree| tree.entries)
            .sum();
        assert_eq!(
            kept,
            rows(&replayed).len() as u64,
            "nothing but the live rows is kept"
        );
    }
}

#[test]
fn a_replay_refuses_changes_outside_its_entries() {
    let forest = forest();
    let change = |at| {
        let mutation = entry(&mut SimRng::new(at), at).remove(0);
        vec![(Seqno::new(at), mutation)]
    };
    forest.replay(Seqno::new(2), change(2)).unwrap();
    for at in [2, 5] {
        let refused = forest.replay(Seqno::new(4), change(at));
        assert!(matches!(refused, Err(ApplyError::Gap { .. })), "{at}");
    }
    assert_eq!(forest.applied(), Seqno::new(2));
}
