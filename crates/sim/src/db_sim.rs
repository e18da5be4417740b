//! The whole database on a disk that breaks: transactions, snapshots, change feed, housekeeping.
//!
//! What it checks: after a power cut the database is exactly what it was after some commit, at
//! least the last that was acknowledged as durable in its mode; after a kill, at least the last
//! that was acknowledged; never half a commit. While it lives, every snapshot shows the state of
//! its index and every transaction that state with its own writes; each accepted commit would have
//! read the same at its place in the order (it is serializable); the change feed shows every
//! commit once. An error is allowed only where a fault was planned or the disk is full.

mod life;
mod look;
mod model;
mod work;

use std::collections::VecDeque;

use nexusbase_db::{CommitHandle, Durability};
use nexusbase_io::sim::{SimDisk, SimRng};

use crate::{Check, Failure, Report, Story};
use life::Life;
use model::Timeline;

/// A defect on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    /// None: the run should go well.
    #[default]
    None,
    /// Syncs of files only pretend.
    SkippedSyncs,
    /// Syncs of directories only pretend.
    SkippedDirSyncs,
    /// Recovery applies only the first half of each entry.
    HalfEntries,
}

/// How long a run is, and what is broken in it.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Steps of work, all lives together.
    pub steps: u32,
    /// What is broken on purpose.
    pub defect: Defect,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            steps: 70,
            defect: Defect::None,
        }
    }
}

/// Runs the seed.
///
/// # Errors
/// When a promise is broken.
pub fn run(seed: u64, config: &Config) -> Result<Report, Failure> {
    let mut sim = Sim::new(seed, config);
    let outcome = sim.run(config.steps);
    sim.story.report.operations = sim.disk.operations();
    match outcome {
        Ok(()) => Ok(sim.story.report),
        Err(what) => Err(sim.story.fail("crash", seed, what)),
    }
}

/// The whole world of a run.
struct Sim {
    rng: SimRng,
    disk: SimDisk,
    story: Story,
    timeline: Timeline,
    defect: Defect,
    durability: Durability,
    /// Size of large values.
    value_bytes: u64,
    /// The operation of the disk that will fail, if one will.
    planned: Option<u64>,
    /// Whether the disk's capacity is limited.
    tight: bool,
    /// Commits that were accepted and not answered yet, with their indices.
    in_flight: VecDeque<(u64, CommitHandle)>,
    life: Option<Life>,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        let mut rng = SimRng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        disk.set_skip_syncs(config.defect == Defect::SkippedSyncs);
        disk.set_skip_dir_syncs(config.defect == Defect::SkippedDirSyncs);
        Self {
            value_bytes: [30, 3_000, 12_000, 30_000][rng.index(4)],
            rng,
            disk,
            story: Story::default(),
            timeline: Timeline::default(),
            defect: config.defect,
            durability: Durability::Always,
            planned: None,
            tight: false,
            in_flight: VecDeque::new(),
            life: None,
        }
    }

    fn run(&mut self, steps: u32) -> Check {
        self.open()?;
        for _ in 0..steps {
            let before = self.disk.operations();
            self.step()?;
            self.hear(before)?;
            if self.disk.is_crashed() || self.rng.chance(0.04) {
                self.end_life()?;
                self.open()?;
            }
        }
        self.end_life()?;
        self.open()
    }

    fn step(&mut self) -> Check {
        match self.rng.below(100) {
            0..=34 => self.work_on_transaction(),
            35..=51 => self.commit_one(),
            52..=59 => self.transact(),
            60..=67 => self.wait_for_one(),
            68..=77 => self.housekeeping(),
            78..=84 => self.look(),
            85..=88 => self.follow(),
            89..=93 => {
                self.plan_fault();
                Ok(())
            }
            94..=96 => {
                self.plan_end(30);
                Ok(())
            }
            _ => {
                self.change_capacity();
                Ok(())
            }
        }
    }
}
