//! A small forest with everything in it, always the same: for the tests that break single bytes
//! and single operations.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Direction, Forest, ForestOptions, KeyRange, Mutation, OpenError, ReadError, Seqno,
    StepError, TreeChange, TreeId, TreeKind,
};
use nexusbase_io::sim::SimDisk;

pub(crate) const FOLDER: &str = "/forest";

const TREES: [TreeId; 2] = [TreeId::new(0), TreeId::new(1)];

const SETS: TreeKind = TreeKind {
    name: "sets",
    merge: Some(union),
    ..TreeKind::ROWS
};

fn union(older: &[u8], newer: &[u8]) -> Vec<u8> {
    let mut all = [older, newer].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// All rows of all trees.
pub(crate) type Rows = BTreeMap<(TreeId, Bytes), Bytes>;

pub(crate) fn open(disk: &SimDisk, dir: &str) -> Result<Forest, OpenError> {
    let mut options = ForestOptions::new([7; 16]);
    options.kinds = Arc::new([SETS]);
    options.memory_bytes = 1 << 20;
    options.block_bytes = 120;
    options.restart_interval = 4;
    options.blob_bytes = Some(100);
    options.l0_tables = 3;
    options.base_bytes = 800;
    options.level_ratio = 2;
    options.table_bytes = 500;
    options.manifest_bytes = 700;
    let forest = Forest::open(Arc::new(disk.for_this_life()), Path::new(dir), options)?;
    forest.remove_unreferenced()?;
    Ok(forest)
}

/// What the entry `n` does; the first creates the trees.
fn entry(n: u64) -> (Vec<TreeChange>, Vec<Mutation>) {
    let create = |tree, kind: &str| TreeChange::Create {
        tree,
        kind: kind.to_owned(),
    };
    let trees = match n {
        1 => vec![create(TREES[0], "rows"), create(TREES[1], "sets")],
        _ => Vec::new(),
    };
    let byte = u8::try_from(n % 251).unwrap();
    let key = |n: u64| Bytes::from(format!("key {:02}", n % 61));
    let value = |length: u64| Bytes::from(vec![byte; usize::try_from(length).unwrap()]);
    let rows = match n % 10 {
        3 => Change::Delete,
        7 => Change::DeleteRange {
            end: Some(key(n * 5 + 3)),
        },
        5 => Change::Put(value(150)),
        _ => Change::Put(value(n % 40)),
    };
    let sets = match n % 7 {
        2 => Change::Delete,
        4 => Change::Put(value(1)),
        _ => Change::Merge(value(1)),
    };
    let rows = Mutation {
        tree: TREES[0],
        key: key(n * 5),
        change: rows,
    };
    let sets = Mutation {
        tree: TREES[1],
        key: key(n * 3),
        change: sets,
    };
    (trees, vec![rows, sets])
}

/// The rows after the entry `last`.
pub(crate) fn expected(last: Seqno) -> Rows {
    let mut rows = Rows::new();
    for n in 1..=last.get() {
        for Mutation { tree, key, change } in entry(n).1 {
            let place = (tree, key.clone());
            match change {
                Change::Put(value) => drop(rows.insert(place, value)),
                Change::Delete => drop(rows.remove(&place)),
                Change::Merge(operand) => {
                    let merged = rows.get(&place).map(|value| union(value, &operand).into());
                    rows.insert(place, merged.unwrap_or(operand));
                }
                Change::DeleteRange { end } => rows.retain(|(of, found), _| {
                    *of != tree || *found < key || end.as_ref().is_some_and(|end| found >= end)
                }),
            }
        }
    }
    rows
}

/// All rows at the newest seqno, read in every way.
pub(crate) fn read(forest: &Forest) -> Result<Rows, ReadError> {
    let at = forest.applied();
    let mut rows = Rows::new();
    if at == Seqno::ZERO {
        return Ok(rows);
    }
    for tree in TREES {
        let scan = |direction| forest.scan(tree, KeyRange::all(), direction, at);
        let forward = scan(Direction::Forward)?.collect::<Result<Vec<_>, _>>()?;
        let mut reverse = scan(Direction::Reverse)?.collect::<Result<Vec<_>, _>>()?;
        reverse.reverse();
        assert!(forward == reverse, "the two directions differ");
        let sum = forest.sum(tree, &KeyRange::all(), at)?;
        assert_eq!(sum.rows, forward.len() as u64, "the sum is wrong");
        for (key, value) in forward {
            let found = forest.get(tree, &key, at)?;
            assert!(found.as_ref() == Some(&value), "a point read differs");
            rows.insert((tree, key), value);
        }
    }
    Ok(rows)
}

/// Applies the entries behind what is applied, up to `last`.
pub(crate) fn apply(forest: &Forest, last: u64) {
    for n in forest.applied().get() + 1..=last {
        let (trees, mutations) = entry(n);
        forest.apply(Seqno::new(n), &trees, mutations).unwrap();
    }
}

/// Seals and flushes everything.
pub(crate) fn flush(forest: &Forest) -> Result<(), StepError> {
    forest.seal();
    while forest.flush_step()? {}
    Ok(())
}

/// Compacts until nothing is due.
pub(crate) fn compact(forest: &Forest) -> Result<(), StepError> {
    forest.set_oldest_needed(forest.applied());
    while forest.compact_step()? {}
    forest.remove_obsolete_step()?;
    Ok(())
}
