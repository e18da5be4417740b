//! How a database is opened.

use std::time::Duration;

use nexusbase_forest::{ForestOptions, TreeKind};
use nexusbase_io::Env;

/// When a commit is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it survives a power cut.
    #[default]
    Always,
    /// When the operating system has it: it survives the end of this process. A power cut may
    /// take back the commits of the last interval.
    Interval(Duration),
    /// As `Interval`, but when it survives a power cut is left to the operating system.
    Never,
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a commit is reported. Default: [`Durability::Always`].
    pub durability: Durability,
    /// Size of a log segment in bytes. Default: 16 MiB.
    pub segment_bytes: u64,
    /// Whether to start the threads for housekeeping, flushes and compactions. Without them, the
    /// owner calls [`Database::housekeeping_step`](crate::Database::housekeeping_step), and writers
    /// are never slowed down. Default: yes.
    pub housekeeping_thread: bool,
    /// How the trees are laid out and how much memory they may take. (Its `database` and `kinds`
    /// are set by the database.)
    pub forest: ForestOptions,
    /// The kinds of trees that this program knows, beside [`TreeKind::ROWS`]. A database that has
    /// a tree of another kind is not opened. Default: none.
    pub kinds: Vec<TreeKind>,
    /// The world that the database lives in. Default: the operating system's.
    pub env: Env,
    /// Recovers only the first half of each entry that has several changes: a defect on
    /// purpose, to prove that the crash simulation finds it.
    #[cfg(feature = "broken-on-purpose")]
    pub broken_half_entries: bool,
    /// What is wrong with kept versions: a defect on purpose, as the one above.
    #[cfg(feature = "broken-on-purpose")]
    pub broken_kept: BrokenKept,
}

/// A defect on purpose of kept versions.
#[cfg(feature = "broken-on-purpose")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokenKept {
    /// None.
    #[default]
    No,
    /// Opening does not pin what is kept.
    Forgotten,
    /// A release counts before the log is sure to have it.
    ReleasedAtOnce,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Always,
            segment_bytes: 16 << 20,
            housekeeping_thread: true,
            forest: ForestOptions::new([0; 16]),
            kinds: Vec::new(),
            env: Env::os(),
            #[cfg(feature = "broken-on-purpose")]
            broken_half_entries: false,
            #[cfg(feature = "broken-on-purpose")]
            broken_kept: BrokenKept::No,
        }
    }
}
