//! What a run tells about itself: figures when it went well, a story when it did not.

use std::any::Any;
use std::fmt;

/// A step's result: an error says in words what is wrong.
pub type Check<T = ()> = Result<T, String>;

/// What happened in a run, line by line.
#[derive(Clone, Debug, Default)]
pub struct Story {
    lines: Vec<String>,
    /// The figures so far.
    pub report: Report,
}

impl Story {
    /// Notes what happens.
    pub fn tell(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Ends the story badly.
    #[must_use]
    pub fn fail(self, world: &'static str, seed: u64, what: String) -> Failure {
        Failure {
            world,
            seed,
            what,
            story: self.lines,
        }
    }
}

/// Figures of one run, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations that the disk was asked for.
    pub operations: u64,
    /// Batches or commits that were acknowledged.
    pub acknowledged: u64,
    /// Openings that went well, the first included.
    pub opened: u64,
    /// Openings that a planned fault broke off.
    pub broken_openings: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Kills.
    pub kills: u64,
    /// Planned failures of single operations that were met.
    pub failed_operations: u64,
    /// Times that there was no room.
    pub full: u64,
    /// Torn tails that were cut off.
    pub torn: u64,
    /// Segments that were recycled.
    pub recycled: u64,
    /// Transactions that were refused because of a conflict.
    pub conflicts: u64,
    /// Flushes of memtables into tables.
    pub flushes: u64,
    /// Compactions of tables.
    pub compactions: u64,
    /// Openings of databases that had something in tables.
    pub from_tables: u64,
    /// Checkpoints that were made.
    pub checkpoints: u64,
    /// Kept versions that were read.
    pub kept_read: u64,
}

impl Report {
    /// Adds the figures of another run.
    pub const fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.opened += other.opened;
        self.broken_openings += other.broken_openings;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.failed_operations += other.failed_operations;
        self.full += other.full;
        self.torn += other.torn;
        self.recycled += other.recycled;
        self.conflicts += other.conflicts;
        self.flushes += other.flushes;
        self.compactions += other.compactions;
        self.from_tables += other.from_tables;
        self.checkpoints += other.checkpoints;
        self.kept_read += other.kept_read;
    }
}

/// A run in which a promise was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which simulation it was.
    pub world: &'static str,
    /// The seed, which gives the same run again.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    story: Vec<String>,
}

impl Failure {
    /// A run that ended in a panic.
    #[must_use]
    pub fn panicked(seed: u64, panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Self {
            world: "some",
            seed,
            what: format!("panic: {}", text.unwrap_or("?")),
            story: Vec::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} seed {}: {}", self.world, self.seed, self.what)?;
        writeln!(
            f,
            "run it alone: cargo run --release -p nexusbase-sim -- {} --start {} --seeds 1",
            self.world, self.seed
        )?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
