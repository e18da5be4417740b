//! Birth and death: opening, with faults on the way, and the ends of lives.

use std::time::Duration;

use nexusbase_db::{ChangeFeed, CommitError, Database, Durability, OpenError, Options, Snapshot};
use nexusbase_io::Env;
use nexusbase_io::sim::FaultKind;
use nexusbase_log as log;

use super::model::State;
use super::work::OpenTransaction;
use super::{Defect, Sim};
use crate::Check;

const FOLDER: &str = "/data/db";

/// An open database.
pub(super) struct Life {
    // Fields are dropped in this order: the database last, so that it closes itself.
    pub(super) transactions: Vec<OpenTransaction>,
    pub(super) snapshots: Vec<(Snapshot, State)>,
    pub(super) feed: Option<(ChangeFeed, u64)>,
    /// It accepts no more writes, because a fault was met.
    pub(super) stopped: bool,
    pub(super) db: Database,
}

/// After so many broken openings nothing more is broken.
const BROKEN_OPENINGS_MAX: u32 = 3;

impl Sim {
    /// Opens the database, compares what is there, and starts a life with it.
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
            self.die();
        }
        self.clear_faults();
        self.compare()
    }

    fn try_open(&mut self) -> Check<bool> {
        self.durability = match self.rng.below(4) {
            0 | 1 => Durability::Always,
            2 => Durability::Interval(Duration::from_millis(100)),
            _ => Durability::Never,
        };
        let options = Options {
            durability: self.durability,
            segment_bytes: [64 << 10, 64 << 10, 96 << 10][self.rng.index(3)],
            housekeeping_thread: false,
            env: Env::simulated(&self.disk, self.rng.next_u64()),
            broken_half_entries: self.defect == Defect::HalfEntries,
        };
        let before = self.disk.operations();
        match Database::open_with(FOLDER, options) {
            Ok(db) => {
                let torn = db.recovery().torn.is_some();
                self.story.report.torn += u64::from(torn);
                self.story.report.opened += 1;
                let text = format!("opened, {:?}, torn: {torn}", self.durability);
                self.story.tell(text);
                self.life = Some(Life {
                    transactions: Vec::new(),
                    snapshots: Vec::new(),
                    feed: None,
                    stopped: false,
                    db,
                });
                Ok(true)
            }
            Err(e) => {
                let full = io_error(&e).map(nexusbase_io::Error::is_no_space);
                match full {
                    Some(full) if self.excused(before) || (self.tight && full) => {
                        self.story.tell(format!("opening broke off: {e}"));
                        Ok(false)
                    }
                    _ => Err(format!("cannot open: {e}")),
                }
            }
        }
    }

    /// Ends the present life, in one of the four ways there are.
    pub(super) fn end_life(&mut self) -> Check {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let violent = self.disk.is_crashed() || self.rng.chance(0.7);
        if violent {
            self.die();
            return Ok(());
        }
        life.transactions.clear();
        let before = self.disk.operations();
        if self.rng.chance(0.5) {
            let closed = life.db.close();
            self.story.tell(format!("close: {closed:?}"));
            self.hear(before)?;
            match closed {
                Ok(()) => {
                    let all = self.timeline.last();
                    self.timeline.acknowledge(all, true);
                    self.look()?;
                }
                Err(CommitError::Stopped(_)) if self.has_stopped() => {}
                Err(e) => return Err(format!("close: {e}")),
            }
        }
        self.story.tell("the database is dropped");
        self.life = None;
        self.hear_answers()?;
        self.in_flight.clear();
        // A fault that the drop has met, or nobody: what nobody was told of may be lost.
        if self.disk.is_crashed() || self.disk.counters().failed_dir_syncs > 0 {
            self.die();
        }
        Ok(())
    }

    /// The power goes, or only the process.
    pub(super) fn die(&mut self) {
        // A file system whose journal failed answers no more before a restart.
        let must_restart = self.disk.counters().failed_dir_syncs > 0;
        if must_restart || self.rng.chance(0.6) {
            self.story.tell("the power goes");
            self.story.report.power_cuts += 1;
            self.disk.crash(self.rng.next_u64());
            self.timeline.acknowledged = self.timeline.durable;
        } else {
            self.story.tell("the process is killed");
            self.story.report.kills += 1;
            self.disk.kill();
        }
        self.life = None;
        self.in_flight.clear();
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
        let limit = (!self.tight).then(|| (64 << 10) * (1 + self.rng.below(3)));
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

/// The failure of the outside world in an error, if it is one.
fn io_error(error: &OpenError) -> Option<&nexusbase_io::Error> {
    match error {
        OpenError::Io(e)
        | OpenError::Log(log::OpenError::Io(e))
        | OpenError::LogRead(log::ReadError::Io(e)) => Some(e),
        _ => None,
    }
}
