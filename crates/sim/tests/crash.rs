//! The crash simulations, with as many seeds as a test run can afford. More:
//! `cargo run --release -p nexusbase-sim -- crash --seeds 100000 --start 1000000`.
#![cfg(test)]

use nexusbase_sim::{Batch, Config, db_sim, log_sim, run_many};

const DATABASE_SEEDS: u64 = 2_000;
const LOG_SEEDS: u64 = 3_000;

fn no_failure(batch: &Batch) {
    assert!(batch.failures.is_empty(), "{}", batch.failures[0]);
    let report = &batch.report;
    // A simulation in which nothing happens finds nothing.
    for (what, count) in [
        ("power cuts", report.power_cuts),
        ("kills", report.kills),
        ("broken openings", report.broken_openings),
        ("failed operations", report.failed_operations),
        ("full disks", report.full),
        ("torn tails", report.torn),
    ] {
        assert!(count > 100, "only {count} {what}: {report:?}");
    }
}

#[test]
fn no_acknowledged_commit_is_lost_and_no_half_of_one_appears() {
    let config = Config::default();
    let batch = run_many(0, DATABASE_SEEDS, 2, 1, |seed| db_sim::run(seed, &config));
    no_failure(&batch);
    let report = &batch.report;
    assert!(report.conflicts > 100, "{report:?}");
    assert!(report.from_tables > 1_000, "{report:?}");
    assert!(report.checkpoints > 500, "{report:?}");
    assert!(report.kept_read > 1_000, "{report:?}");
}

#[test]
fn the_log_is_what_it_was_after_some_whole_batch() {
    let config = Config::default();
    let batch = run_many(0, LOG_SEEDS, 2, 1, |seed| log_sim::run(seed, &config));
    no_failure(&batch);
    assert!(batch.report.recycled > 100, "{:?}", batch.report);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let config = Config::default();
    for run in [db_sim::run, log_sim::run] {
        for seed in 0..20 {
            assert_eq!(run(seed, &config).unwrap(), run(seed, &config).unwrap());
        }
    }
}
