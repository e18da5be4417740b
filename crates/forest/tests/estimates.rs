//! What an estimate of the rows of a range promises: a factor of two on plain rows, in memory and
//! in tables, in whatever order they came.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Forest, ForestOptions, KeyRange, Mutation, Seqno, TreeChange, TreeId,
};
use nexusbase_io::sim::{SimDisk, SimRng};

const TREE: TreeId = TreeId::new(7);
const ROWS: u32 = 20_000;

fn forest() -> Forest {
    let options = ForestOptions {
        block_bytes: 256,
        ..ForestOptions::new([7; 16])
    };
    let disk = SimDisk::new(1);
    let forest = Forest::open(Arc::new(disk), Path::new("/forest"), options).unwrap();
    let (tree, kind) = (TREE, "rows".to_owned());
    let create = TreeChange::Create { tree, kind };
    forest.apply(Seqno::new(1), &[create], []).unwrap();
    forest
}

fn key(number: u32) -> Vec<u8> {
    [b"key".as_slice(), &number.to_be_bytes()].concat()
}

fn write(forest: &Forest, numbers: &[u32], change: &Change) {
    for some in numbers.chunks(100) {
        let at = Seqno::new(forest.applied().get() + 1);
        let mut some = some.to_vec();
        some.sort_unstable();
        let rows = some.iter().map(|number| Mutation {
            tree: TREE,
            key: Bytes::from(key(*number)),
            change: change.clone(),
        });
        forest.apply(at, &[], rows).unwrap();
    }
}

fn put() -> Change {
    Change::Put(Bytes::from_static(b"a value of some bytes"))
}

fn flush(forest: &Forest) {
    forest.seal();
    while forest.flush_step().unwrap() {}
}

/// Ranges of 300 rows and more are estimated within a factor of two.
#[track_caller]
fn check(forest: &Forest, story: &str) {
    let mut rng = SimRng::new(5);
    for _ in 0..300 {
        let below = |rng: &mut SimRng, n: u32| u32::try_from(rng.below(u64::from(n))).unwrap();
        let first = below(&mut rng, ROWS - 300);
        let rows = 300 + below(&mut rng, ROWS - first - 299);
        let (low, high) = (key(first), key(first + rows));
        let range = KeyRange::from_bounds(Bound::Included(low), Bound::Excluded(high));
        let estimate = forest.estimate(TREE, &range, forest.applied()).unwrap();
        let exact = forest.sum(TREE, &range, forest.applied()).unwrap().rows;
        assert_eq!(exact, u64::from(rows));
        assert!(
            estimate * 2 >= exact && estimate <= exact * 2,
            "{story}: {estimate} of {exact} rows from {first} on"
        );
    }
    let all = forest.estimate(TREE, &KeyRange::all(), forest.applied());
    let all = all.unwrap();
    assert!(
        (ROWS / 2..=ROWS * 2).contains(&u32::try_from(all).unwrap()),
        "{story}: {all}"
    );
}

fn shuffled() -> Vec<u32> {
    let mut all: Vec<u32> = (0..ROWS).collect();
    let mut rng = SimRng::new(9);
    for at in (1..all.len()).rev() {
        all.swap(at, rng.index(at + 1));
    }
    all
}

#[test]
fn ranges_of_plain_rows_are_estimated_within_a_factor_of_two() {
    let ascending: Vec<u32> = (0..ROWS).collect();
    let descending: Vec<u32> = ascending.iter().rev().copied().collect();
    for (order, numbers) in [
        ("ascending", ascending),
        ("descending", descending),
        ("shuffled", shuffled()),
    ] {
        let forest = forest();
        write(&forest, &numbers, &put());
        check(&forest, &format!("{order}, in memory"));
        flush(&forest);
        check(&forest, &format!("{order}, in a table"));
    }
}

#[test]
fn ranges_over_several_sources_are_estimated_within_a_factor_of_two() {
    let forest = forest();
    for (number, part) in shuffled().chunks(7000).enumerate() {
        write(&forest, part, &put());
        if number < 2 {
            flush(&forest);
        }
    }
    check(&forest, "two tables and a memtable");
}

#[test]
fn what_is_empty_or_deleted_is_never_less_than_nothing() {
    let forest = forest();
    let estimate = |range: &KeyRange| forest.estimate(TREE, range, forest.applied()).unwrap();
    assert_eq!(estimate(&KeyRange::all()), 0);
    let numbers: Vec<u32> = (0..1000).collect();
    write(&forest, &numbers, &put());
    flush(&forest);
    write(&forest, &numbers, &Change::Delete);
    flush(&forest);
    assert!(estimate(&KeyRange::all()) <= 2000);
    let backwards = KeyRange::from_bounds(Bound::Included(key(9)), Bound::Excluded(key(3)));
    assert_eq!(estimate(&backwards), 0);
}
