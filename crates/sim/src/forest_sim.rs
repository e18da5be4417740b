//! The forest alone, on a disk that breaks: entries in several trees of all kinds, and everything
//! that goes on behind them.
//!
//! What it checks: whatever fails and whenever the power goes, after opening and replaying the
//! entries behind what is flushed, every tree is at every seqno that can be read (the newest, the
//! floor, all between, the pins) what the model says, in both directions, by scans, point reads,
//! seeks, counts and zones. While it lives, it always is. What is said to be flushed never goes
//! back, and never beyond the log. Copies are exactly the entry that they say they are, or no
//! forest. No file stays that nothing refers to. An error is allowed only where a fault was
//! planned or the disk is full, and damage is never reported, because nothing rots here.
//!
//! The log is simulated as far as the forest can tell: a power cut takes entries away that were
//! applied and not yet durable, and others get their numbers. Only what is flushed was made
//! durable in the log before, as the database does it.

mod kinds;
mod life;
mod look;
mod model;
mod upkeep;
mod work;

use nexusbase_forest::Seqno;

use crate::world::{self, World};
use crate::{Check, Config, Failure, Report};
use life::Life;
use model::Model;
use upkeep::Copied;

/// Where the forest is.
const DIR: &str = "/forest";

/// Runs the seed.
///
/// # Errors
/// When a promise is broken.
pub fn run(seed: u64, config: &Config) -> Result<Report, Failure> {
    world::run(Sim::new(seed, config), seed, config.steps)
}

/// A forest in its world.
struct Sim {
    world: World,
    model: Model,
    /// What was said to be flushed.
    flushed: Seqno,
    /// What must be readable beside everything from the floor on.
    pins: Vec<Seqno>,
    /// The time, in milliseconds since 1970.
    now_ms: u64,
    /// Many keys, and large entries and tables.
    wide: bool,
    copies: Vec<Copied>,
    copies_made: u32,
    life: Option<Life>,
}

impl Sim {
    fn new(seed: u64, config: &Config) -> Self {
        let mut world = World::new(seed, config.defect);
        Self {
            wide: world.rng.chance(0.06),
            world,
            model: Model::new(),
            flushed: Seqno::ZERO,
            pins: Vec::new(),
            now_ms: 1,
            copies: Vec::new(),
            copies_made: 0,
            life: None,
        }
    }

    /// A step of work.
    fn act(&mut self) -> Check {
        match self.world.rng.below(100) {
            0..=35 => self.write()?,
            36..=40 => self.seal(),
            41..=52 => self.flush()?,
            53..=66 => self.compact()?,
            67..=69 => self.compact_tree()?,
            70..=71 => self.remove_tree()?,
            72..=74 => self.remove_obsolete()?,
            75 => self.claim_step()?,
            76 => self.checkpoint()?,
            77..=80 => self.raise_floor()?,
            81..=82 => self.change_pins()?,
            83..=87 => self.look()?,
            88..=90 => self.walk()?,
            91..=94 => self.world.plan_fault_within(40),
            95..=96 => self.world.plan_end(60),
            _ => self.world.change_room(3_000),
        }
        Ok(())
    }
}
