//! Defects that a review found, each as the promise that it broke.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Forest, ForestOptions, Mutation, Seqno, StepError, TreeChange, TreeId, TreeKind,
};
use nexusbase_io::Fs;
use nexusbase_io::sim::SimDisk;

const DIR: &str = "/forest";
const TREE: TreeId = TreeId::new(7);
const OTHER: TreeId = TreeId::new(8);

fn concat(older: &[u8], newer: &[u8]) -> Vec<u8> {
    [older, newer].concat()
}

const LIST: TreeKind = TreeKind {
    name: "list",
    merge: Some(concat),
    ..TreeKind::ROWS
};

fn open(disk: &SimDisk) -> Forest {
    let options = ForestOptions {
        kinds: vec![LIST].into(),
        memory_bytes: 4 << 30,
        memtable_bytes: 256 << 20,
        ..ForestOptions::new([7; 16])
    };
    let forest = Forest::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let create = |tree, kind: &str| TreeChange::Create {
        tree,
        kind: kind.to_owned(),
    };
    let trees = [create(TREE, "list"), create(OTHER, "rows")];
    forest.apply(Seqno::new(1), &trees, []).unwrap();
    forest
}

fn write(forest: &Forest, tree: TreeId, changes: impl IntoIterator<Item = (String, Change)>) {
    let at = Seqno::new(forest.applied().get() + 1);
    let mutation = |(key, change): (String, Change)| Mutation {
        tree,
        key: key.into(),
        change,
    };
    let mutations = changes.into_iter().map(mutation);
    forest.apply(at, &[], mutations).unwrap();
    forest.set_oldest_needed(at);
}

fn put(key: String, bytes: usize) -> (String, Change) {
    (key, Change::Put(Bytes::from(vec![b'x'; bytes])))
}

fn flush(forest: &Forest) {
    forest.seal();
    while forest.flush_step().unwrap() {}
}

fn until_quiet(forest: &Forest) -> Result<(), StepError> {
    while forest.compact_step()? {}
    for _ in 0..50 {
        if !forest.tidy_step()? {
            break;
        }
    }
    Ok(())
}

/// A flush of new keys loses its seqnos, so a later table of other keys may stand before a much
/// older one in level 0: made one with a third, it would lie over the older one's keys.
#[test]
fn tables_of_level_0_become_one_only_where_their_order_stays_right() {
    let forest = open(&SimDisk::new(1));
    let large = (0..2000).map(|n| put(format!("p{n:06}"), 1000));
    write(&forest, OTHER, large);
    flush(&forest);
    until_quiet(&forest).unwrap();
    for _ in 0..2 {
        write(&forest, OTHER, (0..10).map(|n| put(format!("a{n:03}"), 20)));
        flush(&forest);
        until_quiet(&forest).unwrap();
    }
    let over_both = ["a001", "p000001", "z"].map(|key| put(key.to_owned(), 20));
    write(&forest, OTHER, over_both);
    flush(&forest);
    until_quiet(&forest).unwrap();
    let newest = forest.get(OTHER, b"p000001", forest.applied()).unwrap();
    assert_eq!(newest.map(|value| value.len()), Some(20));
}

/// Operands that are joined could become longer than a row may be, and a table with such a row
/// would be refused when it is read.
#[test]
fn merged_values_can_be_read_back_however_long_they_become() {
    let forest = open(&SimDisk::new(1));
    write(&forest, TREE, [put("k".to_owned(), 5000)]);
    flush(&forest);
    for n in 0..6 {
        let operand = Change::Merge(Bytes::from(vec![n; 12 << 20]));
        write(&forest, TREE, [("k".to_owned(), operand)]);
    }
    flush(&forest);
    let value = forest.get(TREE, b"k", forest.applied()).unwrap();
    assert_eq!(value.map(|value| value.len()), Some(5000 + 6 * (12 << 20)));
}

/// The most urgent job comes first; if it can never succeed, others must have their turn.
#[test]
fn a_damaged_table_does_not_stop_the_compaction_of_other_trees() {
    let disk = SimDisk::new(1);
    let forest = open(&disk);
    let rows = |n: usize| (0..100).map(move |i| put(format!("k{i:04}"), 100 + n));
    for n in 0..6 {
        write(&forest, TREE, rows(n));
        flush(&forest);
    }
    let names = disk.list(Path::new(DIR)).unwrap();
    let table = names.iter().filter(|name| name.ends_with(".tbl")).min();
    let file = disk.open(&Path::new(DIR).join(table.unwrap())).unwrap();
    file.write_at(b"damage!!", 10).unwrap();
    for n in 0..5 {
        write(&forest, OTHER, rows(n));
        flush(&forest);
    }
    let failed = (0..10).filter(|_| forest.compact_step().is_err()).count();
    assert!(failed > 0, "the damage was not met");
    assert!(forest.stats().compactions > 0);
    assert!(forest.get(OTHER, b"k0001", forest.applied()).is_ok());
}
