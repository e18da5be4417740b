//! Birth and death: opening, with faults on the way, and the ends of lives.

use std::sync::Arc;

use nexusbase_io::sim::FaultKind;
use nexusbase_log::{Log, LogOptions, LogWriter, OpenError};

use super::model::{Model, Timeline};
use super::work::Follower;
use super::{Defect, GROUPS, Sim};
use crate::Check;

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

/// After so many broken openings nothing more is broken.
const BROKEN_OPENINGS_MAX: u32 = 3;

impl Sim {
    /// Opens the log, compares what is there, and starts a life with it.
    pub(super) fn open(&mut self) -> Check {
        for attempt in 0.. {
            self.clear_faults();
            if attempt < BROKEN_OPENINGS_MAX && self.rng.chance(0.3) {
                if self.rng.chance(0.5) {
                    self.plan_fault();
                } else {
                    self.plan_end(40);
                }
            } else {
                self.set_capacity(None);
            }
            if self.try_open()? {
                break;
            }
            self.story.report.broken_openings += 1;
            self.end_life();
        }
        self.clear_faults();
        self.compare()
    }

    fn try_open(&mut self) -> Check<bool> {
        let mut options = LogOptions::new([7; 16]);
        options.segment_bytes = [64 << 10, 64 << 10, 96 << 10][self.rng.index(3)];
        options.broken_early_recycle = self.defect == Defect::EarlyRecycle;
        let before = self.disk.operations();
        let fs = Arc::new(self.disk.for_this_life());
        match Log::open(fs, &self.dir, options) {
            Ok(opened) => {
                if let Some(torn) = &opened.torn {
                    self.story.tell(format!("opened, torn: {torn:?}"));
                    self.story.report.torn += 1;
                    if !self.may_be_torn {
                        return Err(format!("nothing can be torn, but {torn:?}"));
                    }
                } else {
                    self.story.tell("opened");
                }
                self.story.report.opened += 1;
                self.life = Some(Life {
                    log: opened.log,
                    writer: opened.writer,
                    followers: Vec::new(),
                    durable_percent: [100, 50, 10][self.rng.index(3)],
                    payload_bytes: [300, 6_000, 20_000][self.rng.index(3)],
                });
                Ok(true)
            }
            Err(OpenError::Io(e)) if self.excused(before) || (self.tight && e.is_no_space()) => {
                self.story.tell(format!("opening broke off: {e}"));
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

    /// Ends the present life: the power goes, or only the process.
    pub(super) fn end_life(&mut self) {
        // A file system whose journal failed answers no more before a restart.
        let must_restart = self.disk.counters().failed_dir_syncs > 0;
        // What broke off in the middle of an operation is torn, whoever died.
        self.may_be_torn |= self.disk.is_crashed();
        if must_restart || self.rng.chance(0.6) {
            self.story.tell("the power goes");
            self.story.report.power_cuts += 1;
            self.disk.crash(self.rng.next_u64());
            self.timeline.power_cut();
            self.may_be_torn = true;
        } else {
            self.story.tell("the process is killed");
            self.story.report.kills += 1;
            self.disk.kill();
        }
        self.life = None;
        self.planned = None;
    }

    /// Whether an operation since `before` was made to fail.
    pub(super) fn excused(&mut self, before: u64) -> bool {
        let met = self
            .planned
            .is_some_and(|at| before < at && at <= self.disk.operations());
        if met {
            self.story.report.failed_operations += 1;
        }
        met || self.disk.is_crashed()
    }

    fn clear_faults(&mut self) {
        self.disk.clear_faults();
        self.planned = None;
    }

    pub(super) fn plan_fault(&mut self) {
        self.clear_faults();
        let n = 1 + self.rng.below(14);
        let kind = [FaultKind::Io, FaultKind::NoSpace][self.rng.index(2)];
        self.story
            .tell(format!("operation {n} from now will fail: {kind:?}"));
        self.planned = Some(self.disk.operations() + n);
        self.disk.fail_at(n, kind);
    }

    pub(super) fn plan_end(&mut self, within: u64) {
        self.clear_faults();
        let n = 1 + self.rng.below(within);
        self.story
            .tell(format!("operation {n} from now will be the last"));
        self.disk.crash_at(n);
    }

    pub(super) fn change_capacity(&mut self) {
        let limit = (!self.tight).then(|| (64 << 10) * (1 + self.rng.below(6)));
        self.set_capacity(limit);
    }

    fn set_capacity(&mut self, limit: Option<u64>) {
        if limit.is_some() || self.tight {
            self.story.tell(format!("capacity: {limit:?}"));
        }
        self.disk.set_capacity(limit);
        self.tight = limit.is_some();
    }
}
