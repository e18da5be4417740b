//! The whole database on a disk that breaks.
use crate::{Failure, Report};

/// How long a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Steps.
    pub steps: u32,
}

/// Runs the seed.
///
/// # Errors
/// When a promise is broken.
pub fn run(_: u64, _: &Config) -> Result<Report, Failure> {
    Ok(Report::default())
}
