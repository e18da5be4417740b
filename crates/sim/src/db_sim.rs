//! The whole database on a disk that breaks: transactions, snapshots, change feed, housekeeping.
//!
//! Everything is so small that flushes and compactions are everyday events, and each life has
//! other [options](nexusbase_db::Options). Trees are of three kinds: plain, merging, counted.
//!
//! What it checks: after a power cut the database is exactly what it was after some commit, at
//! least the last that was acknowledged as durable in its mode; after a kill, at least the last
//! that was acknowledged; never half a commit. While it lives, every snapshot shows the state of
//! its index, every kept version too, and every transaction that state with its own writes; each accepted commit would have
//! read the same at its place in the order (it is serializable); the change feed shows every
//! commit once; a checkpoint is a database with exactly the commits that it said. An error is
//! allowed only where a fault was planned or the disk is full: a read that failed is read again,
//! and must be right then; when a full disk has room again, background work goes on.

mod copies;
mod kept;
mod kinds;
mod life;
mod look;
mod model;
mod reads;
mod transaction;
mod work;

use std::collections::VecDeque;
use std::path::PathBuf;

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
    /// How many ordinary keys there are.
    keys: u64,
    /// Commits that were accepted and not answered yet, with their indices.
    in_flight: VecDeque<(u64, CommitHandle)>,
    life: Option<Life>,
    /// Copies that were made and not looked at yet, with their indices.
    copies: Vec<(PathBuf, u64)>,
    copies_made: u64,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        let mut world = World::new(seed, config.defect);
        Self {
            value_bytes: [30, 3_000, 12_000, 30_000][world.rng.index(4)],
            keys: [9, 9, 60][world.rng.index(3)],
            world,
            timeline: Timeline::default(),
            durability: Durability::Always,
            in_flight: VecDeque::new(),
            life: None,
            copies: Vec::new(),
            copies_made: 0,
        }
    }

    /// A step of work, of which nobody has heard yet what it did to commits on their way.
    fn act(&mut self) -> Check {
        match self.world.rng.below(100) {
            0..=34 => self.work_on_transaction()?,
            35..=51 => self.commit_one()?,
            52..=57 => self.transact()?,
            58..=59 => self.burst()?,
            60..=67 => self.wait_for_one()?,
            68..=77 => self.housekeeping()?,
            78..=84 => self.look()?,
            85..=88 => self.follow()?,
            89..=92 => self.world.plan_fault(),
            93..=94 => self.world.plan_end(30),
            95..=96 => self.checkpoint()?,
            _ => self.change_capacity()?,
        }
        Ok(())
    }
}
