//! The log alone, on a disk that breaks: batches of all kinds of records in three groups.
//!
//! What it checks: after a power cut the log is exactly what it was after some batch, at least the
//! last durable one; after a kill, at least the last acknowledged one; never a part of a batch.
//! While it lives, it shows exactly what was appended; subscriptions show what is committed, in
//! order, whatever is purged and recycled meanwhile. An error is allowed only where a fault was
//! planned or the disk is full, and damage is never reported, because nothing rots here.

mod life;
mod model;
mod work;

use std::path::PathBuf;

use nexusbase_io::sim::{SimDisk, SimRng};

use crate::{Check, Failure, Report, Story};
use life::Life;
use model::{Model, Timeline};

/// Groups that share the log.
const GROUPS: u32 = 3;

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
    /// Segments are recycled before the purge that allows it is durable.
    EarlyRecycle,
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
        Err(what) => Err(sim.story.fail("log", seed, what)),
    }
}

/// The whole world of a run.
struct Sim {
    rng: SimRng,
    disk: SimDisk,
    dir: PathBuf,
    story: Story,
    timeline: Timeline,
    defect: Defect,
    /// The operation of the disk that will fail, if one will.
    planned: Option<u64>,
    /// Whether the disk's capacity is limited.
    tight: bool,
    /// Whether what an earlier life left may be torn.
    may_be_torn: bool,
    /// Per group: the last index that is committed, and what was committed.
    committed: work::Committed,
    life: Option<Life>,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        let mut rng = SimRng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        disk.set_skip_syncs(config.defect == Defect::SkippedSyncs);
        disk.set_skip_dir_syncs(config.defect == Defect::SkippedDirSyncs);
        Self {
            rng,
            disk,
            dir: PathBuf::from("/log"),
            story: Story::default(),
            timeline: Timeline::starting_with(Model::default()),
            defect: config.defect,
            planned: None,
            tight: false,
            may_be_torn: false,
            committed: work::Committed::default(),
            life: None,
        }
    }

    fn run(&mut self, steps: u32) -> Check {
        self.open()?;
        for _ in 0..steps {
            self.step()?;
            if self.disk.is_crashed() || self.rng.chance(0.04) {
                self.end_life();
                self.open()?;
            }
        }
        self.end_life();
        self.open()
    }

    fn step(&mut self) -> Check {
        match self.rng.below(100) {
            0..=44 => self.append(),
            45..=51 => self.sync(),
            52..=57 => self.claim(),
            58..=63 => self.prepare_spare(),
            64..=74 => self.recycle(),
            75..=79 => self.look(),
            80..=89 => self.commit_and_follow(),
            90..=93 => {
                self.plan_fault();
                Ok(())
            }
            94..=95 => {
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
