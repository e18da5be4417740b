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

use crate::world::{self, World};
use crate::{Check, Config, Failure, Report};
use life::Life;
use model::Timeline;

/// Runs the seed.
///
/// # Errors
/// When a promise is broken.
pub fn run(seed: u64, config: &Config) -> Result<Report, Failure> {
    world::run(Sim::new(seed, config), seed, config.steps)
}

/// A database in its world.
struct Sim {
    world: World,
    timeline: Timeline,
    durability: Durability,
    /// Size of large values.
    value_bytes: u64,
    /// Commits that were accepted and not answered yet, with their indices.
    in_flight: VecDeque<(u64, CommitHandle)>,
    life: Option<Life>,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        let mut world = World::new(seed, config.defect);
        Self {
            value_bytes: [30, 3_000, 12_000, 30_000][world.rng.index(4)],
            world,
            timeline: Timeline::default(),
            durability: Durability::Always,
            in_flight: VecDeque::new(),
            life: None,
        }
    }

    /// A step of work, of which nobody has heard yet what it did to commits on their way.
    fn act(&mut self) -> Check {
        match self.world.rng.below(100) {
            0..=34 => self.work_on_transaction()?,
            35..=51 => self.commit_one()?,
            52..=59 => self.transact()?,
            60..=67 => self.wait_for_one()?,
            68..=77 => self.housekeeping()?,
            78..=84 => self.look()?,
            85..=88 => self.follow()?,
            89..=93 => self.world.plan_fault(),
            94..=96 => self.world.plan_end(30),
            _ => self.world.change_capacity(3),
        }
        Ok(())
    }
}
