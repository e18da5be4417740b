//! Replaying many entries at once ends where applying them one by one ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "only the operations are of use here")]
mod common;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use common::config::random_options;
use common::generate::operations;
use common::ops::Op;
use nexusbase_forest::{
    ApplyError, Change, Direction, Forest, KeyRange, Mutation, Seqno, TreeChange, TreeId,
};
use nexusbase_io::sim::{SimDisk, SimRng};

type Rows = Vec<(TreeId, Bytes, Bytes)>;

fn forest(seed: u64) -> Forest {
    let disk = Arc::new(SimDisk::new(seed));
    Forest::open(disk, Path::new("/forest"), random_options(seed)).unwrap()
}

fn rows(forest: &Forest, at: Seqno) -> Rows {
    let mut all = Vec::new();
    for tree in (0..40).map(TreeId::new) {
        let Ok(scan) = forest.scan(tree, KeyRange::all(), Direction::Forward, at) else {
            continue;
        };
        for row in scan {
            let (key, value) = row.unwrap();
            all.push((tree, key, value));
        }
        let sum = forest.sum(tree, &KeyRange::all(), at).unwrap();
        all.push((tree, Bytes::new(), Bytes::from(format!("{sum:?}"))));
    }
    all
}

/// The entries among random operations.
fn entries(seed: u64) -> Vec<(Vec<TreeChange>, Vec<Mutation>)> {
    let operations = operations(seed, 1_500).into_iter();
    let entries = operations.filter_map(|operation| match operation {
        Op::Apply(trees, mutations) => Some((trees, mutations)),
        _ => None,
    });
    entries.collect()
}

#[test]
fn a_replay_ends_where_one_entry_after_the_other_ends() {
    for seed in 0..40 {
        let mut rng = SimRng::new(seed);
        let (one_by_one, replayed) = (forest(seed), forest(seed + 1));
        let entries = entries(seed);
        let mut left = entries.as_slice();
        let mut number = 0;
        while !left.is_empty() {
            let (window, rest) = left.split_at(left.len().min(1 + rng.index(60)));
            left = rest;
            let (mut changes, mut trees) = (Vec::new(), Vec::new());
            for (created, mutations) in window {
                number += 1;
                let at = Seqno::new(number);
                let own = mutations.iter().cloned();
                one_by_one.apply(at, created, own.clone()).unwrap();
                changes.extend(own.map(|one| (at, one)));
                trees.extend(created.iter().map(|change| (at, change.clone())));
            }
            replayed
                .replay(Seqno::new(number), &trees, changes)
                .unwrap();
            assert_eq!(replayed.applied(), one_by_one.applied());
            // In between too: each change has the seqno of its entry.
            let first = number + 1 - window.len() as u64;
            for at in [first + rng.below(window.len() as u64), number] {
                let at = Seqno::new(at);
                assert_eq!(
                    rows(&replayed, at),
                    rows(&one_by_one, at),
                    "seed {seed} at {at}"
                );
            }
            if rng.chance(0.3) {
                one_by_one.flush_step().unwrap();
                replayed.flush_step().unwrap();
                replayed.compact_step().unwrap();
            }
        }
    }
}

#[test]
fn a_replay_refuses_changes_outside_its_entries() {
    let forest = forest(1);
    let tree = TreeId::new(1);
    let kind = "rows".to_owned();
    let create = (Seqno::new(1), TreeChange::Create { tree, kind });
    let change = |at| {
        let mutation = Mutation {
            tree,
            key: Bytes::from("key"),
            change: Change::Put(Bytes::from("value")),
        };
        vec![(Seqno::new(at), mutation)]
    };
    forest
        .replay(Seqno::new(2), std::slice::from_ref(&create), change(2))
        .unwrap();
    for at in [2, 5] {
        let refused = forest.replay(Seqno::new(4), &[], change(at));
        assert!(matches!(refused, Err(ApplyError::Gap { .. })), "{at}");
    }
    let refused = forest.replay(Seqno::new(4), &[create], change(3));
    assert!(matches!(refused, Err(ApplyError::Gap { .. })));
    assert_eq!(forest.applied(), Seqno::new(2));
    let found = forest.get(tree, b"key", Seqno::new(2)).unwrap();
    assert_eq!(found, Some(Bytes::from("value")));
}
