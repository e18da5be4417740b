//! Birth and death: opening, with faults on the way, and the ends of lives.

use std::time::Duration;

use nexusbase_db::{
    BrokenKept, ChangeFeed, CommitError, Database, Durability, OpenError, Options, ReadError,
    Snapshot,
};
use nexusbase_forest::{self as forest, Compression, DiskError, ForestOptions, StepError};
use nexusbase_io::Env;
use nexusbase_io::sim::SimRng;
use nexusbase_log as log;

use super::Sim;
use super::kinds::kinds;
use super::model::State;
use super::work::OpenTransaction;
use crate::world::{Death, Simulation, World};
use crate::{Check, Defect};

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

/// Everything so small that flushes and compactions are everyday events.
fn small_forest(rng: &mut SimRng) -> ForestOptions {
    let compression =
        |rng: &mut SimRng| [Compression::None, Compression::Lz4, Compression::Zstd][rng.index(3)];
    ForestOptions {
        memory_bytes: [64 << 10, 512 << 10, 16 << 20][rng.index(3)],
        memtable_bytes: [1, 300, 2 << 10, 12 << 10, 100 << 10][rng.index(5)],
        block_bytes: [128, 512, 4096][rng.index(3)],
        restart_interval: [1, 3, 16][rng.index(3)],
        filter_bits: [0, 10][rng.index(2)],
        compression: compression(rng),
        bottom_compression: compression(rng),
        blob_bytes: [None, Some(64), Some(1000)][rng.index(3)],
        l0_tables: [1, 2, 4][rng.index(3)],
        base_bytes: [1 << 10, 4 << 10][rng.index(2)],
        level_ratio: [2, 3][rng.index(2)],
        table_bytes: [1 << 10, 4 << 10, 64 << 10][rng.index(3)],
        ..ForestOptions::new([0; 16])
    }
}

impl Sim {
    /// How a database is opened: every time otherwise.
    pub(super) fn options(&mut self) -> Options {
        let rng = &mut self.world.rng;
        let durability = match rng.below(4) {
            0 | 1 => Durability::Always,
            2 => Durability::Interval(Duration::from_millis(100)),
            _ => Durability::Never,
        };
        Options {
            durability,
            segment_bytes: [64 << 10, 64 << 10, 96 << 10][rng.index(3)],
            housekeeping_thread: false,
            kinds: kinds(),
            forest: small_forest(rng),
            env: Env::simulated(&self.world.disk, self.world.rng.next_u64()),
            broken_half_entries: self.world.defect == Defect::HalfEntries,
            broken_kept: match self.world.defect {
                Defect::KeptForgotten => BrokenKept::Forgotten,
                Defect::ReleasedAtOnce => BrokenKept::ReleasedAtOnce,
                _ => BrokenKept::No,
            },
        }
    }
}

impl Simulation for Sim {
    const NAME: &'static str = "crash";

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn try_open(&mut self) -> Check<bool> {
        let options = self.options();
        self.durability = options.durability;
        let before = self.world.disk.operations();
        match Database::open_with(FOLDER, options) {
            Ok(db) => {
                let torn = db.recovery().torn.is_some();
                self.world.story.report.torn += u64::from(torn);
                self.world.story.report.opened += 1;
                let text = format!("opened, {:?}, torn: {torn}", self.durability);
                self.world.story.tell(text);
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
                    Some(full) if self.world.excused(before) || (self.world.tight && full) => {
                        self.world.story.tell(format!("opening broke off: {e}"));
                        Ok(false)
                    }
                    _ => Err(format!("cannot open: {e}")),
                }
            }
        }
    }

    fn compare(&mut self) -> Check {
        self.compare_recovered()
    }

    fn step(&mut self) -> Check {
        let before = self.world.disk.operations();
        self.act()?;
        self.hear(before)
    }

    /// In one of the four ways there are: the two deaths, closing, and dropping.
    fn end_life(&mut self) -> Check {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let violent = self.world.disk.is_crashed() || self.world.rng.chance(0.7);
        if violent {
            self.die();
            return Ok(());
        }
        life.transactions.clear();
        let before = self.world.disk.operations();
        if self.world.rng.chance(0.5) {
            let closed = life.db.close();
            self.world.story.tell(format!("close: {closed:?}"));
            self.hear(before)?;
            match closed {
                Ok(()) => {
                    let all = self.timeline.last();
                    self.timeline.acknowledge(all, true);
                    // Nobody may write to the folder now, and everything can still be read.
                    self.housekeeping()?;
                    self.look()?;
                }
                Err(CommitError::Stopped(_)) if self.has_stopped() => {}
                Err(e) => return Err(format!("close: {e}")),
            }
        }
        self.world.story.tell("the database is dropped");
        self.life = None;
        self.hear_answers()?;
        self.in_flight.clear();
        // A fault that the drop has met, or nobody: what nobody was told of may be lost.
        if self.world.disk.is_crashed() || self.world.must_restart() {
            self.die();
        }
        Ok(())
    }

    fn die(&mut self) {
        if self.world.die() == Death::PowerCut {
            self.timeline.acknowledged = self.timeline.durable;
        }
        self.life = None;
        self.in_flight.clear();
    }
}

/// The failure of the outside world in an error, if it is one.
fn io_error(error: &OpenError) -> Option<&nexusbase_io::Error> {
    match error {
        OpenError::Io(e)
        | OpenError::Log(log::OpenError::Io(e))
        | OpenError::LogRead(log::ReadError::Io(e)) => Some(e),
        OpenError::Forest(forest::OpenError::Disk(DiskError::Io(e)))
        | OpenError::Catalog(ReadError::Forest(forest::ReadError::Disk(DiskError::Io(e))))
        | OpenError::Flush(
            StepError::Disk(DiskError::Io(e)) | StepError::Manifest(DiskError::Io(e)),
        ) => Some(e),
        _ => None,
    }
}
