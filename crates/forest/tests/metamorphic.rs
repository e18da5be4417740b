//! The same work under many layouts gives the same answers: how rows lie on disk, and when
//! background work is done, is nobody's business but the forest's.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::config::{random_options, roomy_options};
use common::generate::operations;
use common::reduce::{reduce, run};
use common::runner::{Housekeeping, Runner};

const SEEDS: u64 = 4;
const OPERATIONS: usize = 6_000;
const LAYOUTS: u64 = 10;

fn compare_layouts(seed: u64) {
    // Other operations than those that the model is compared with.
    let seed = seed + (1 << 32);
    let operations = operations(seed, OPERATIONS);
    let mut first: Option<Vec<u64>> = None;
    for layout in 0..LAYOUTS {
        let options = match layout {
            0 => roomy_options(),
            _ => random_options(seed * LAYOUTS + layout),
        };
        let housekeeping = match layout % 3 {
            2 => Housekeeping::Eager,
            _ => Housekeeping::Asked,
        };
        let mut runner = Runner::new(options.clone(), housekeeping, false);
        if let Err((place, error)) = run(&mut runner, &operations) {
            panic!("seed {seed}, operation {place}, {housekeeping:?}, {options:?}: {error}");
        }
        assert!(runner.answers.len() > OPERATIONS / 3);
        let first = first.get_or_insert_with(|| runner.answers.clone());
        let place = first.iter().zip(&runner.answers).position(|(a, b)| a != b);
        if place.is_some() || first.len() != runner.answers.len() {
            // Which of the two is wrong, the oracle knows.
            let (shorter, failure) = reduce(&options, housekeeping, operations.clone());
            let length = shorter.len();
            panic!(
                "seed {seed}: answer {place:?} differs, {housekeeping:?}, {options:?}; \
                 by the oracle after {length} operations: {failure:?}"
            );
        }
    }
}

#[test]
fn the_same_operations_have_the_same_answers_whatever_the_layout() {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    compare_layouts(seed);
                }
            });
        }
    });
}
