//! The simulations bite: each deliberate defect is found within few seeds. A crash test that
//! passes says nothing unless this passes too.
#![cfg(test)]

use nexusbase_sim::{Failure, Report, db_sim, log_sim, run_many};

/// The first failure within `seeds` seeds.
fn caught(seeds: u64, run: impl Fn(u64) -> Result<Report, Failure> + Sync) -> Failure {
    let mut batch = run_many(0, seeds, 2, 1, run);
    assert_eq!(batch.failures.len(), 1, "not found in {seeds} seeds");
    let failure = batch.failures.remove(0);
    assert!(
        failure
            .to_string()
            .contains(&format!("seed {}", failure.seed)),
        "{failure}"
    );
    failure
}

fn log_defect(defect: log_sim::Defect, seeds: u64) -> Failure {
    let config = log_sim::Config {
        defect,
        ..log_sim::Config::default()
    };
    caught(seeds, |seed| log_sim::run(seed, &config))
}

fn database_defect(defect: db_sim::Defect, seeds: u64) -> Failure {
    let config = db_sim::Config {
        defect,
        ..db_sim::Config::default()
    };
    caught(seeds, |seed| db_sim::run(seed, &config))
}

#[test]
fn a_skipped_sync_is_caught() {
    database_defect(db_sim::Defect::SkippedSyncs, 20);
    log_defect(log_sim::Defect::SkippedSyncs, 20);
}

#[test]
fn a_skipped_sync_of_a_directory_is_caught() {
    database_defect(db_sim::Defect::SkippedDirSyncs, 50);
    log_defect(log_sim::Defect::SkippedDirSyncs, 50);
}

#[test]
fn half_an_entry_applied_is_caught() {
    database_defect(db_sim::Defect::HalfEntries, 20);
}

#[test]
fn a_segment_recycled_too_early_is_caught() {
    log_defect(log_sim::Defect::EarlyRecycle, 2_000);
}

#[test]
fn a_failure_can_be_run_again_alone() {
    let failure = log_defect(log_sim::Defect::SkippedSyncs, 20);
    let config = log_sim::Config {
        defect: log_sim::Defect::SkippedSyncs,
        ..log_sim::Config::default()
    };
    let again = log_sim::run(failure.seed, &config).unwrap_err();
    assert_eq!(again.to_string(), failure.to_string());
}
