//! The pieces of work, and which figures each of them gives.

use clap::ValueEnum;

/// A piece of work that every system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Puts all rows at random, 1,000 per commit, not synced, until compaction has caught up.
    Fill,
    /// Gets of keys that are there.
    Get,
    /// Gets of keys that are not.
    Absent,
    /// Scans of 100 rows from a random key.
    Scan,
    /// The same against the order of keys.
    ScanReverse,
    /// Gets by two threads at a time.
    Readers,
    /// Gets while another thread puts.
    Mixed,
    /// The most memory that the process has taken for all of the above.
    Memory,
    /// Durable commits of one row by one thread.
    Commits1,
    /// By 16 threads.
    Commits16,
    /// By 64 threads.
    Commits64,
}

/// One row of the table, for each system.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub higher_is_better: bool,
}

const fn more(name: &'static str, unit: &'static str) -> Figure {
    Figure {
        name,
        unit,
        higher_is_better: true,
    }
}

const fn less(name: &'static str, unit: &'static str) -> Figure {
    Figure {
        name,
        unit,
        higher_is_better: false,
    }
}

impl Work {
    /// All of it, in the order in which it is done: what changes the filled database comes after
    /// what only reads it.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What the system answers with, in this order.
    pub const fn figures(self) -> &'static [Figure] {
        match self {
            Self::Fill => {
                &const {
                    [
                        more("fill, random", "puts/s"),
                        less("fill, written per byte put", "bytes"),
                        less("fill, on disk", "MB"),
                        less("fill, on disk without log", "MB"),
                    ]
                }
            }
            Self::Get => {
                &const {
                    [
                        less("get, present", "us"),
                        less("get, present, p99.9", "us"),
                    ]
                }
            }
            Self::Absent => {
                &const { [less("get, absent", "us"), less("get, absent, p99.9", "us")] }
            }
            Self::Scan => &const { [less("scan of 100, forward", "us")] },
            Self::ScanReverse => &const { [less("scan of 100, reverse", "us")] },
            Self::Readers => {
                &const {
                    [
                        more("get, 2 threads", "gets/s"),
                        more("get, 2 threads to 1", "times"),
                    ]
                }
            }
            Self::Mixed => {
                &const {
                    [
                        more("get while 100k puts/s offered", "gets/s"),
                        less("get during puts, p50", "us"),
                        less("get during puts, p99", "us"),
                        less("get during puts, p99.9", "us"),
                        less("get during puts, max", "us"),
                        more("puts done of 100k/s offered", "puts/s"),
                    ]
                }
            }
            Self::Memory => &const { [less("peak memory", "MB")] },
            Self::Commits1 => &const { [more("durable commits, 1 thread", "commits/s")] },
            Self::Commits16 => &const { [more("durable commits, 16 threads", "commits/s")] },
            Self::Commits64 => &const { [more("durable commits, 64 threads", "commits/s")] },
        }
    }

    /// How often it is done, the systems taking turns.
    pub const fn rounds(self, quick: bool) -> u64 {
        match self {
            Self::Fill | Self::Memory => 1,
            _ if quick => 1,
            _ => 3,
        }
    }

    /// Whether it needs the filled database. The others have one of their own.
    pub const fn needs_fill(self) -> bool {
        self.writers().is_none()
    }

    /// How many threads commit durably, if that is the work.
    pub const fn writers(self) -> Option<usize> {
        match self {
            Self::Commits1 => Some(1),
            Self::Commits16 => Some(16),
            Self::Commits64 => Some(64),
            _ => None,
        }
    }

    /// Its name on the command line and between the processes.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
