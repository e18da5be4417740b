//! Makes a list of operations that fails shorter, as long as it still fails.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nexusbase_forest::{ForestOptions, TreeChange};

use super::ops::Op;
use super::runner::{Failure, Housekeeping, Runner};

/// How often it is tried.
const TRIES_MAX: usize = 400;

/// Runs operations on a new forest; a panic is a failure too.
pub(crate) fn run(runner: &mut Runner, operations: &[Op]) -> Result<(), Failure> {
    let run = catch_unwind(AssertUnwindSafe(|| runner.run(operations)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err((operations.len(), text.unwrap_or_default()))
    })
}

fn size(operations: &[Op]) -> usize {
    let sizes = operations.iter().map(|op| match op {
        Op::Apply(_, mutations) => 1 + mutations.len(),
        _ => 1,
    });
    sizes.sum()
}

/// Without a part of the operations. Entries stay, so that all seqnos stay right, and what they
/// write to counted trees, because it must fit; the rest of them goes `with_entries`.
fn without(operations: &[Op], start: usize, end: usize, with_entries: bool) -> Vec<Op> {
    let mut counted = BTreeSet::new();
    for operation in operations {
        let Op::Apply(changes, _) = operation else {
            continue;
        };
        for change in changes {
            if let TreeChange::Create { tree, kind } = change
                && kind == "counted"
            {
                counted.insert(*tree);
            }
        }
    }
    let kept = operations[start..end].iter().filter_map(|op| match op {
        Op::Apply(trees, mutations) => {
            let mut mutations = mutations.clone();
            mutations.retain(|one| !with_entries || counted.contains(&one.tree));
            Some(Op::Apply(trees.clone(), mutations))
        }
        _ => None,
    });
    let mut shorter = operations[..start].to_vec();
    shorter.extend(kept);
    shorter.extend_from_slice(&operations[end..]);
    shorter
}

/// A shorter list that fails too.
pub(crate) fn reduce(
    options: &ForestOptions,
    housekeeping: Housekeeping,
    mut operations: Vec<Op>,
) -> (Vec<Op>, Failure) {
    let mut tries = 0;
    let mut sort = None;
    let mut fails = |operations: &[Op]| {
        let mut runner = Runner::new(options.clone(), housekeeping, true);
        tries += 1;
        let failure = run(&mut runner, operations).err();
        // In the same way as at first.
        let is_same = |(_, error): &Failure| {
            let this = error.split_whitespace().next().map(str::to_owned);
            *sort.get_or_insert(this.clone()) == this
        };
        failure.filter(|_| tries <= TRIES_MAX).filter(is_same)
    };
    let nothing = (0, "it does not fail again".to_owned());
    let mut failure = fails(&operations).unwrap_or(nothing);
    let mut chunk = operations.len().next_power_of_two() / 2;
    while chunk > 0 {
        operations.truncate(failure.0 + 1);
        let mut end = operations.len();
        while end > 0 {
            let start = end.saturating_sub(chunk);
            for with_entries in [true, false] {
                let shorter = without(&operations, start, end.min(operations.len()), with_entries);
                if size(&shorter) < size(&operations)
                    && let Some(other) = fails(&shorter)
                {
                    (operations, failure) = (shorter, other);
                    break;
                }
            }
            end = start;
        }
        chunk /= 2;
    }
    operations.truncate(failure.0 + 1);
    (operations, failure)
}
