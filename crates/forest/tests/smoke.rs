//! The shortest way through everything: write, flush, compact, reopen, read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Direction, Forest, ForestOptions, KeyRange, Mutation, Seqno, TreeChange, TreeId,
};
use nexusbase_io::sim::SimDisk;

const TREE: TreeId = TreeId::new(1);

fn options() -> ForestOptions {
    ForestOptions {
        memory_bytes: 1 << 20,
        memtable_bytes: 20_000,
        ..ForestOptions::new([7; 16])
    }
}

fn create() -> TreeChange {
    TreeChange::Create {
        tree: TREE,
        kind: "rows".to_owned(),
    }
}

#[test]
fn what_was_written_is_read_after_flush_compaction_and_reopening() {
    let disk = SimDisk::new(1);
    let fs = Arc::new(disk.clone());
    let dir = Path::new("/forest");
    let forest = Forest::open(fs.clone(), dir, options()).unwrap();
    let key = |n: u64| Bytes::from(format!("key{:06}", n * 7919 % 3001));
    for n in 1..=6000_u64 {
        let changes = if n == 1 { vec![create()] } else { Vec::new() };
        let put = Mutation {
            tree: TREE,
            key: key(n),
            change: Change::Put(Bytes::from(format!("value {n}"))),
        };
        forest.apply(Seqno::new(n), &changes, [put]).unwrap();
        if n % 500 == 0 {
            while forest.flush_step().unwrap() {}
            while forest.compact_step().unwrap() {}
            forest.set_oldest_needed(Seqno::new(n));
        }
    }
    let check = |forest: &Forest| {
        for n in 3000..=6000_u64 {
            let value = forest.get(TREE, &key(n), Seqno::new(6000)).unwrap();
            assert_eq!(value, Some(Bytes::from(format!("value {n}"))));
        }
        for direction in [Direction::Forward, Direction::Reverse] {
            let scan = forest.scan(TREE, KeyRange::all(), direction, Seqno::new(6000));
            let keys: Vec<_> = scan.unwrap().map(|row| row.unwrap().0).collect();
            assert_eq!(keys.len(), 3001);
            let sorted = match direction {
                Direction::Forward => keys.is_sorted(),
                Direction::Reverse => keys.iter().rev().is_sorted(),
            };
            assert!(sorted);
        }
    };
    check(&forest);
    forest.seal();
    while forest.flush_step().unwrap() {}
    check(&forest);
    forest.compact_tree(TREE).unwrap();
    check(&forest);
    assert_eq!(forest.flushed_through(), Seqno::new(6000));
    forest.remove_obsolete_step().unwrap();
    drop(forest);
    let forest = Forest::open(fs, dir, options()).unwrap();
    assert_eq!(forest.applied(), Seqno::new(6000));
    check(&forest);
    let sum = forest
        .sum(TREE, &KeyRange::all(), Seqno::new(6000))
        .unwrap();
    assert_eq!(sum.rows, 3001);
}
