//! The crash simulation of the forest, with as many seeds as a test run can afford, and the proof
//! that it bites: each of the forest's deliberate defects is found within few seeds. More:
//! `cargo run --release -p nexusbase-sim -- forest --seeds 100000 --start 1000000`.
#![cfg(test)]

use nexusbase_forest::Broken;
use nexusbase_sim::{Config, Defect, Failure, forest_sim, run_many};

const SEEDS: u64 = 1_200;

#[test]
fn every_tree_is_what_the_log_says_whatever_fails_and_whenever_the_power_goes() {
    let config = Config::default();
    let batch = run_many(0, SEEDS, 2, 1, |seed| forest_sim::run(seed, &config));
    assert!(batch.failures.is_empty(), "{}", batch.failures[0]);
    let report = &batch.report;
    // A simulation in which nothing happens finds nothing.
    for (what, count) in [
        ("power cuts", report.power_cuts),
        ("kills", report.kills),
        ("broken openings", report.broken_openings),
        ("failed operations", report.failed_operations),
        ("full disks", report.full),
        ("flushes", report.flushes),
        ("compactions", report.compactions),
        ("copies", report.checkpoints),
    ] {
        assert!(count > 500, "only {count} {what}: {report:?}");
    }
}

#[test]
fn longer_runs_with_deeper_trees_go_well_too() {
    let config = Config {
        steps: 600,
        ..Config::default()
    };
    let batch = run_many(1 << 32, 30, 2, 1, |seed| forest_sim::run(seed, &config));
    assert!(batch.failures.is_empty(), "{}", batch.failures[0]);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let config = Config::default();
    for seed in 0..20 {
        let (a, b) = (
            forest_sim::run(seed, &config),
            forest_sim::run(seed, &config),
        );
        assert_eq!(a.unwrap(), b.unwrap());
    }
}

/// The first failure within `seeds` seeds.
fn caught(defect: Defect, seeds: u64) -> Failure {
    let config = Config {
        defect,
        ..Config::default()
    };
    let mut batch = run_many(0, seeds, 2, 1, |seed| forest_sim::run(seed, &config));
    assert_eq!(batch.failures.len(), 1, "not found in {seeds} seeds");
    batch.failures.remove(0)
}

#[test]
fn a_skipped_sync_is_caught() {
    caught(Defect::SkippedSyncs, 50);
    caught(Defect::SkippedDirSyncs, 50);
}

#[test]
fn a_manifest_that_names_what_was_not_synced_is_caught() {
    caught(Defect::Forest(Broken::ManifestBeforeSync), 50);
}

#[test]
fn a_version_that_is_dropped_below_a_reader_is_caught() {
    caught(Defect::Forest(Broken::VersionBelowSnapshot), 50);
}

#[test]
fn a_new_table_behind_older_ones_is_caught() {
    caught(Defect::Forest(Broken::NewerBehindOlder), 300);
}

#[test]
fn a_range_delete_that_is_forgotten_too_early_is_caught() {
    caught(Defect::Forest(Broken::RangeDeleteForgotten), 50);
}

#[test]
fn an_entry_that_is_said_to_be_flushed_and_is_not_is_caught() {
    caught(Defect::Forest(Broken::FlushedTooHigh), 50);
}
