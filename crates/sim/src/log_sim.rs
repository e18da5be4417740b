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

use crate::world::{self, World};
use crate::{Check, Config, Failure, Report};
use life::Life;
use model::{Model, Timeline};

/// Groups that share the log.
const GROUPS: u32 = 3;

/// Runs the seed.
///
/// # Errors
/// When a promise is broken.
pub fn run(seed: u64, config: &Config) -> Result<Report, Failure> {
    world::run(Sim::new(seed, config), seed, config.steps)
}

/// A log in its world.
struct Sim {
    world: World,
    dir: PathBuf,
    timeline: Timeline,
    /// Whether what an earlier life left may be torn.
    may_be_torn: bool,
    /// Per group: the last index that is committed, and what was committed.
    committed: work::Committed,
    life: Option<Life>,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        Self {
            world: World::new(seed, config.defect),
            dir: PathBuf::from("/log"),
            timeline: Timeline::starting_with(Model::default()),
            may_be_torn: false,
            committed: work::Committed::default(),
            life: None,
        }
    }

    /// A step of work.
    fn act(&mut self) -> Check {
        match self.world.rng.below(100) {
            0..=44 => self.append()?,
            45..=51 => self.sync()?,
            52..=57 => self.claim()?,
            58..=63 => self.prepare_spare()?,
            64..=74 => self.recycle()?,
            75..=79 => self.look()?,
            80..=89 => self.commit_and_follow()?,
            90..=93 => self.world.plan_fault(),
            94..=95 => self.world.plan_end(30),
            _ => self.world.change_capacity(6),
        }
        Ok(())
    }
}
