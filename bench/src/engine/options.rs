//! What `bench/run engine` can be told beyond its name.

use std::path::PathBuf;

use clap::Args;

use super::system::System;
use super::work::Work;

/// Only for `engine`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Only for engine")]
pub struct EngineOptions {
    /// How many rows are put [default: one run with 3 million, one with 20 million].
    #[arg(long)]
    pub keys: Option<u64>,
    /// The cache of blocks or pages in MB [default: 512 with 3 million rows, 64 with more].
    #[arg(long, value_name = "MB")]
    pub cache_mb: Option<usize>,
    /// Only this work (filling the database comes with all that need it).
    #[arg(long, value_name = "WORK,...", value_delimiter = ',')]
    pub only: Vec<Work>,
    /// Only these systems.
    #[arg(long, value_name = "SYSTEM,...", value_delimiter = ',')]
    pub systems: Vec<System>,
    /// The folder of a system's own process.
    #[arg(long, hide = true)]
    pub folder: Option<PathBuf>,
}

/// How large the work is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub keys: u64,
    pub cache_mb: usize,
    pub quick: bool,
}

impl EngineOptions {
    /// The sizes to run one after the other.
    pub fn sizes(&self, quick: bool) -> Vec<Size> {
        let keys = match self.keys {
            Some(keys) => vec![keys],
            None if quick => vec![200_000],
            None => vec![3_000_000, 20_000_000],
        };
        let size = |keys| Size {
            keys,
            cache_mb: self
                .cache_mb
                .unwrap_or(if keys > 3_000_000 { 64 } else { 512 }),
            quick,
        };
        keys.into_iter().map(size).collect()
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = match self.keys {
            keys if keys % 1_000_000 == 0 => format!("{}M", keys / 1_000_000),
            keys if keys % 1_000 == 0 => format!("{}k", keys / 1_000),
            keys => keys.to_string(),
        };
        write!(f, "{keys} keys, {} MB cache", self.cache_mb)
    }
}
