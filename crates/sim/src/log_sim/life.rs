//! Birth and death: opening, with faults on the way, and the ends of lives.

use std::sync::Arc;

use nexusbase_log::{Log, LogOptions, LogWriter, OpenError};

use super::model::{Model, Timeline};
use super::work::Follower;
use super::{GROUPS, Sim};
use crate::world::{Death, Simulation, World};
use crate::{Check, Defect};

/// An open log.
pub(super) struct Life {
    pub(super) log: Log,
    pub(super) writer: LogWriter,
    pub(super) followers: Vec<Follower>,
    /// How often an append asks to be durable, in percent.
    pub(super) durable_percent: u64,
    /// Size of large payloads.
    pub(super) payload_bytes: u64,
}

impl Simulation for Sim {
    const NAME: &'static str = "log";

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn try_open(&mut self) -> Check<bool> {
        let mut options = LogOptions::new([7; 16]);
        options.segment_bytes = [64 << 10, 64 << 10, 96 << 10][self.world.rng.index(3)];
        options.broken_early_recycle = self.world.defect == Defect::EarlyRecycle;
        let before = self.world.disk.operations();
        let fs = Arc::new(self.world.disk.for_this_life());
        match Log::open(fs, &self.dir, options) {
            Ok(opened) => {
                if let Some(torn) = &opened.torn {
                    self.world.story.tell(format!("opened, torn: {torn:?}"));
                    self.world.story.report.torn += 1;
                    if !self.may_be_torn {
                        return Err(format!("nothing can be torn, but {torn:?}"));
                    }
                } else {
                    self.world.story.tell("opened");
                }
                self.world.story.report.opened += 1;
                self.life = Some(Life {
                    log: opened.log,
                    writer: opened.writer,
                    followers: Vec::new(),
                    durable_percent: [100, 50, 10][self.world.rng.index(3)],
                    payload_bytes: [300, 6_000, 20_000][self.world.rng.index(3)],
                });
                Ok(true)
            }
            Err(OpenError::Io(e))
                if self.world.excused(before) || (self.world.tight && e.is_no_space()) =>
            {
                self.world.story.tell(format!("opening broke off: {e}"));
                self.may_be_torn = true;
                Ok(false)
            }
            Err(e) => Err(format!("cannot open: {e}")),
        }
    }

    fn compare(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Err("there is no life".to_owned());
        };
        let found = Model::read(&life.log, GROUPS)?;
        self.timeline.recognize(&found, GROUPS)?;
        self.timeline = Timeline::starting_with(found);
        self.may_be_torn = false;
        self.committed.release(&life.log);
        Ok(())
    }

    fn step(&mut self) -> Check {
        self.act()
    }

    fn die(&mut self) {
        // What broke off in the middle of an operation is torn, whoever died.
        self.may_be_torn |= self.world.disk.is_crashed();
        if self.world.die() == Death::PowerCut {
            self.timeline.power_cut();
            self.may_be_torn = true;
        }
        self.life = None;
    }
}
