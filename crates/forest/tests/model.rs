//! Random work on a forest on disk and on the simplest thing that could be right: a map that
//! keeps every version. What the forest drops, moves or merges must never show.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use common::config::{random_options, roomy_options};
use common::generate::operations;
use common::ops::Op;
use common::reduce::{reduce, run};
use common::runner::{Housekeeping, Runner};

/// What a run of the tests does: seeds, and operations of each.
const SEEDS: u64 = 50;
const OPERATIONS: usize = 20_000;

/// What the long run does, which must be asked for.
const MANY_SEEDS: u64 = 2_000;

/// How many of the last operations are shown.
const SHOWN: usize = 30;

/// Returns how many rows were compared, and the most levels of a tree.
fn run_seed(seed: u64, count: usize) -> (usize, usize) {
    let options = match seed % 25 {
        24 => roomy_options(),
        _ => random_options(seed),
    };
    let housekeeping = match seed % 10 {
        9 => Housekeeping::Eager,
        _ => Housekeeping::Asked,
    };
    let operations = operations(seed, count);
    let mut runner = Runner::new(options.clone(), housekeeping, true);
    let Err((place, error)) = run(&mut runner, &operations) else {
        return (runner.compared, runner.most.0);
    };
    eprintln!("seed {seed}, operation {place}: {error}");
    let (shorter, (_, error)) = reduce(&options, housekeeping, operations);
    let empty = |op: &Op| matches!(op, Op::Apply(trees, rows) if trees.len() + rows.len() == 0);
    let shown = shorter.iter().rev().filter(|op| !empty(op)).take(SHOWN);
    let mut last: Vec<_> = shown.map(|operation| format!("{operation:?}")).collect();
    last.reverse();
    let length = shorter.len();
    panic!(
        "seed {seed}, operation {place}; {length} operations are enough, of which the last are\n\
         {}\n{error}\n{options:?}",
        last.join("\n")
    );
}

fn run_seeds(from: u64, count: u64) {
    let next = AtomicU64::new(from);
    let (compared, levels) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let (rows, most) = run_seed(seed, OPERATIONS);
                    compared.fetch_add(rows, Ordering::Relaxed);
                    levels.fetch_max(most, Ordering::Relaxed);
                }
            });
        }
    });
    let (compared, levels) = (compared.into_inner(), levels.into_inner());
    assert!(compared > 1_000_000, "{compared} rows prove too little");
    assert!(levels >= 4, "{levels} levels prove too little");
}

#[test]
fn every_read_at_a_needed_seqno_equals_the_model_whatever_the_background_does() {
    run_seeds(0, SEEDS);
}

#[test]
#[ignore = "takes an hour"]
fn every_read_at_a_needed_seqno_equals_the_model_for_many_seeds() {
    run_seeds(1_000, MANY_SEEDS);
}
