//! The reference engine keeps all promises, so the suite asks for nothing that cannot be done. And
//! engines that are broken on purpose do not: the suite finds each, and says which promise is
//! broken.
#![cfg(test)]

mod reference;

use std::panic::catch_unwind;

use nexusbase_kv_compliance::{self as compliance, Fixture};
use reference::{Fault, fixture};

#[test]
fn the_reference_engine_passes_as_a_store() {
    compliance::store(|| fixture(Fault::None));
}

#[test]
fn the_reference_engine_passes_as_an_engine() {
    compliance::engine(|| fixture(Fault::None));
}

#[test]
fn the_reference_engine_passes_with_its_transactions() {
    compliance::transactional(|| fixture(Fault::None));
}

#[test]
fn the_reference_engine_passes_with_its_versions() {
    compliance::versioned(|| fixture(Fault::None));
}

type Suite = fn(fn() -> Fixture);

/// Fails unless `suite` fails for the engine, with each of `promises` in its message.
#[track_caller]
fn is_found(suite: Suite, broken: fn() -> Fixture, promises: &[&str]) {
    let Err(panic) = catch_unwind(|| suite(broken)) else {
        panic!("the suite has found nothing");
    };
    let text = panic.downcast_ref::<String>().expect("a message");
    for promise in promises {
        let line = format!("- {promise}");
        assert!(
            text.contains(&line),
            "{promise:?} is not named as broken:\n{text}"
        );
    }
}

const STORE: Suite = |make| compliance::store(make);
const ENGINE: Suite = |make| compliance::engine(make);
const TRANSACTIONAL: Suite = |make| compliance::transactional(make);
const VERSIONED: Suite = |make| compliance::versioned(make);

const SEQUENCES: &str = "any sequence of operations does what the model does";

macro_rules! broken {
    ($($name:ident: $suite:expr, $fault:ident, [$($promise:expr),* $(,)?];)*) => {$(
        #[test]
        fn $name() {
            is_found($suite, || fixture(Fault::$fault), &[$($promise),*]);
        }
    )*};
}

broken! {
    a_delete_that_brings_back_the_old_value_is_found: STORE, DeleteBringsBackTheOldValue, [
        "what was deleted stays deleted, also after it was overwritten",
        SEQUENCES,
    ];
    a_delete_that_is_lost_when_opened_again_is_found: ENGINE, DeleteIsLostWhenOpenedAgain, [
        "a delete of an overwritten key is there after opening again",
    ];
    a_delete_that_is_lost_when_opened_again_is_found_by_sequences:
        STORE, DeleteIsLostWhenOpenedAgain, [SEQUENCES];
    a_leak_of_uncommitted_writes_is_found: TRANSACTIONAL, LeaksUncommittedWrites, [
        "writes that are not committed are seen by nobody else",
        "dropping a transaction, or rolling it back, forgets its writes",
        "any transactions beside each other have the outcome of some order of them",
    ];
    a_version_that_is_the_live_state_is_found: VERSIONED, VersionIsTheLiveState, [
        "a version never changes",
        "any sequence of operations and versions does what the model does",
    ];
    a_snapshot_that_is_the_live_state_is_found: STORE, SnapshotIsTheLiveState, [
        "a snapshot never changes",
        SEQUENCES,
    ];
    a_cursor_that_reads_the_live_state_is_found: STORE, CursorReadsLive, [
        "a cursor of a store sees one state for as long as it walks",
        "a walk backwards sees one state as well",
    ];
    values_that_are_slices_of_a_block_are_found: STORE, ValuesAreSlicesOfABlock, [
        "a value keeps no memory alive but its own: in memory",
        "a value keeps no memory alive but its own: from a transaction",
        "a value keeps no memory alive but its own: from a version",
    ];
    a_stale_compare_and_set_is_found: STORE, StaleCompareAndSet, [
        "`compare_and_set` looks at the newest state",
    ];
    batches_in_parts_are_found: STORE, BatchesInParts, [
        "a batch is seen as a whole by readers beside it",
    ];
    a_count_of_expired_keys_is_found: STORE, CountsExpired, [
        "`count` does not count what has expired",
        SEQUENCES,
    ];
    a_reverse_range_that_is_off_by_one_is_found: STORE, ReverseRangeOffByOne, [
        "a range is what its bounds say, forwards and backwards",
        SEQUENCES,
    ];
    a_restore_that_is_no_version_is_found: VERSIONED, RestoreIsNoVersion, [
        "restoring makes the newest state equal to the version, as a new version",
        "any sequence of operations and versions does what the model does",
    ];
    a_restore_in_steps_is_found: VERSIONED, RestoreInSteps, [
        "restoring is one step for those who look",
    ];
    a_handle_that_only_says_that_it_is_open_is_found: ENGINE, SaysItIsOpen, [
        "after `close` every method of a store answers Closed; closing twice is fine",
        "after `drop_store` every method of its handles answers StoreNotFound",
        "renaming keeps everything, and old handles answer StoreNotFound",
    ];
    transactions_that_are_only_said_to_be_there_are_found: ENGINE, SaysTransactions, [
        "there are transactions if and only if the capabilities say so",
    ];
    versions_that_are_only_said_to_be_there_are_found: ENGINE, SaysVersions, [
        "there are versions if and only if the capabilities say so",
    ];
    an_order_that_is_only_said_to_be_there_is_found: ENGINE, SaysOrdered, [
        "an engine that says it is ordered lists keys in their order",
    ];
    a_durability_that_is_only_said_to_be_there_is_found: ENGINE, SaysDurable, [
        "what was acknowledged is there after opening again",
    ];
    reads_that_are_not_validated_are_found: TRANSACTIONAL, NoReadConflicts, [
        "a commit conflicts when a key that was read has changed, whoever changed it",
        "write skew is refused",
        "concurrent increments through `transact` lose nothing",
    ];
    ranges_that_are_not_validated_are_found: TRANSACTIONAL, NoPhantoms, [
        "a commit conflicts when a key has appeared in a range that was read",
        "any transactions beside each other have the outcome of some order of them",
    ];
}
