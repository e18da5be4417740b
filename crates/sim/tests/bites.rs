//! The simulations bite: each deliberate defect is found within few seeds. A crash test that
//! passes says nothing unless this passes too.
#![cfg(test)]

use nexusbase_sim::{Config, Defect, Failure, Report, db_sim, log_sim, run_many};

type Run = fn(u64, &Config) -> Result<Report, Failure>;

fn with(defect: Defect) -> Config {
    Config {
        defect,
        ..Config::default()
    }
}

/// The first failure within `seeds` seeds.
fn caught(run: Run, defect: Defect, seeds: u64) -> Failure {
    let config = with(defect);
    let mut batch = run_many(0, seeds, 2, 1, |seed| run(seed, &config));
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

#[test]
fn a_skipped_sync_is_caught() {
    caught(db_sim::run, Defect::SkippedSyncs, 20);
    caught(log_sim::run, Defect::SkippedSyncs, 20);
}

#[test]
fn a_skipped_sync_of_a_directory_is_caught() {
    caught(db_sim::run, Defect::SkippedDirSyncs, 50);
    caught(log_sim::run, Defect::SkippedDirSyncs, 50);
}

#[test]
fn half_an_entry_applied_is_caught() {
    caught(db_sim::run, Defect::HalfEntries, 20);
}

#[test]
fn a_kept_version_that_is_not_pinned_again_is_caught() {
    caught(db_sim::run, Defect::KeptForgotten, 20);
}

/// The crash has to take the release back after a compaction that went by it.
#[test]
fn a_release_that_counts_before_it_is_durable_is_caught() {
    caught(db_sim::run, Defect::ReleasedAtOnce, 4_000);
}

#[test]
fn a_segment_recycled_too_early_is_caught() {
    caught(log_sim::run, Defect::EarlyRecycle, 2_000);
}

#[test]
fn a_failure_can_be_run_again_alone() {
    let failure = caught(log_sim::run, Defect::SkippedSyncs, 20);
    let again = log_sim::run(failure.seed, &with(Defect::SkippedSyncs)).unwrap_err();
    assert_eq!(again.to_string(), failure.to_string());
}
