//! Promises of the forest that were broken once, one by one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Direction, Forest, ForestOptions, KeyRange, Mutation, ReadError, Seqno, TreeChange,
    TreeId,
};
use nexusbase_io::sim::SimDisk;

const TREE: TreeId = TreeId::new(7);
const DIR: &str = "/forest";

fn open(disk: &SimDisk) -> Forest {
    let options = ForestOptions {
        block_bytes: 64,
        ..ForestOptions::new([7; 16])
    };
    Forest::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap()
}

/// With an empty tree.
fn forest(disk: &SimDisk) -> Forest {
    let forest = open(disk);
    let (tree, kind) = (TREE, "rows".to_owned());
    let create = TreeChange::Create { tree, kind };
    forest.apply(Seqno::new(1), &[create], []).unwrap();
    forest
}

/// Applies the next entry.
fn apply(forest: &Forest, key: &str, change: Change) -> Seqno {
    let at = Seqno::new(forest.applied().get() + 1);
    let (tree, key) = (TREE, Bytes::from(key.to_owned()));
    let mutation = Mutation { tree, key, change };
    forest.apply(at, &[], [mutation]).unwrap();
    at
}

fn put(value: &str) -> Change {
    Change::Put(Bytes::from(value.to_owned()))
}

fn delete_range(end: &str) -> Change {
    let end = Some(Bytes::from(end.to_owned()));
    Change::DeleteRange { end }
}

fn keys(forest: &Forest, at: Seqno) -> Vec<Bytes> {
    let scan = forest.scan(TREE, KeyRange::all(), Direction::Forward, at);
    scan.unwrap().map(|row| row.unwrap().0).collect()
}

#[test]
fn a_range_delete_without_keys_does_nothing_and_keeps_no_flush_back() {
    let disk = SimDisk::new(1);
    let forest = forest(&disk);
    apply(&forest, "b", put("1"));
    for (start, end) in [("b", "b"), ("c", "a")] {
        apply(&forest, start, delete_range(end));
    }
    let through = forest.seal();
    assert!(forest.flush_step().unwrap());
    assert_eq!(forest.flushed_through(), through);
    assert_eq!(keys(&forest, through), ["b"]);
}

#[test]
fn a_pin_below_what_can_be_read_is_refused() {
    let disk = SimDisk::new(1);
    let forest = forest(&disk);
    let first = apply(&forest, "a", put("1"));
    let second = apply(&forest, "a", put("2"));
    let third = apply(&forest, "a", put("3"));
    forest.set_pins(&[second]);
    forest.set_oldest_needed(third);
    // The second stays readable, because it was pinned in time.
    forest.set_pins(&[first, second]);
    forest.seal();
    forest.flush_step().unwrap();
    let found = forest.get(TREE, b"a", first);
    assert!(matches!(found, Err(ReadError::TooOld { .. })), "{found:?}");
    let found = forest.get(TREE, b"a", second).unwrap();
    assert_eq!(found, Some(Bytes::from("2")));
}

#[test]
fn a_key_whose_versions_lie_in_two_blocks_counts_once() {
    let disk = SimDisk::new(1);
    let forest = forest(&disk);
    for round in 0..5 {
        for key in ["a", "b", "c"] {
            apply(
                &forest,
                key,
                put(&format!("{round} and more than half a block")),
            );
        }
    }
    let at = forest.seal();
    forest.flush_step().unwrap();
    for (start, rows) in [("", 3), ("a", 1), ("b", 1), ("c", 1)] {
        let range = KeyRange::prefix(start.as_bytes());
        assert_eq!(forest.sum(TREE, &range, at).unwrap().rows, rows, "{start}");
    }
}

/// What is in tables is all that entries up to `flushed_through` did and nothing of what later
/// ones did, however far readers have gone: the log behind may be lost, or not be copied.
#[test]
fn tables_show_nothing_of_entries_that_were_not_flushed() {
    let disk = SimDisk::new(1);
    let forest = forest(&disk);
    apply(&forest, "a", put("1"));
    apply(&forest, "b", put("1"));
    let through = forest.seal();
    apply(&forest, "a", delete_range("b"));
    let at = Seqno::new(forest.applied().get() + 1);
    let drop_tree = TreeChange::Drop { tree: TREE };
    forest.apply(at, &[drop_tree], []).unwrap();
    forest.set_oldest_needed(at);
    assert!(forest.flush_step().unwrap());
    forest.compact_tree(TREE).unwrap();
    assert!(!forest.remove_tree_step().unwrap());
    drop(forest);
    let forest = open(&disk);
    assert_eq!(forest.applied(), through);
    assert_eq!(keys(&forest, through), ["a", "b"]);
}
