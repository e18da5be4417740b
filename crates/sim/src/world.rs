//! What is the same around everything that is simulated: a disk that breaks, chance, and death.
//!
//! A [`World`] belongs to one run. It draws all random numbers, plans which operation of the disk
//! will fail or be the last, limits the disk's capacity, and decides at the end of a life whether
//! the power goes or only the process. It knows what was planned, and therefore what is
//! [excused](World::excused): an error that nobody planned is a defect.
//!
//! A [`Simulation`] owns a world and adds what lives in it: how it is opened, what work is done,
//! and the model that it is compared with. Its [`run()`] is the same for all: open, work, die,
//! open again; and openings are broken off like any other work, several times in a row.
//!
//! What the world does not know is what must survive a death: the power cut and the kill leave
//! different things, so [`World::die`] says which it was, and the simulation's model judges.

use nexusbase_forest::Broken;
use nexusbase_io::sim::{FaultKind, SimDisk, SimRng};

use crate::{Check, Failure, Report, Story};

/// After so many broken openings nothing more is broken.
const BROKEN_OPENINGS_MAX: u32 = 3;

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
    /// Recovery applies only the first half of each entry. Only databases have it.
    HalfEntries,
    /// Opening does not pin what is kept. Only databases have it.
    KeptForgotten,
    /// A release of a kept version counts before it is durable. Only databases have it.
    ReleasedAtOnce,
    /// Segments are recycled before the purge that allows it is durable. Only the log alone has it.
    EarlyRecycle,
    /// One of the forest's own. Only the forest alone has it.
    Forest(Broken),
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

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// What was not synced may be lost.
    PowerCut,
    /// What was written is there.
    Kill,
}

/// What surrounds the simulated code in a run.
pub(crate) struct World {
    pub(crate) rng: SimRng,
    pub(crate) disk: SimDisk,
    pub(crate) story: Story,
    pub(crate) defect: Defect,
    /// The operation of the disk that will fail, if one will.
    pub(crate) planned: Option<u64>,
    /// Whether the disk's capacity is limited.
    pub(crate) tight: bool,
}

impl World {
    pub(crate) fn new(seed: u64, defect: Defect) -> Self {
        let mut rng = SimRng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        disk.set_skip_syncs(defect == Defect::SkippedSyncs);
        disk.set_skip_dir_syncs(defect == Defect::SkippedDirSyncs);
        Self {
            rng,
            disk,
            story: Story::default(),
            defect,
            planned: None,
            tight: false,
        }
    }

    /// The power goes, or only the process. Afterwards the simulation must let go of what lived.
    #[must_use]
    pub(crate) fn die(&mut self) -> Death {
        self.planned = None;
        if self.must_restart() || self.rng.chance(0.6) {
            self.story.tell("the power goes");
            self.story.report.power_cuts += 1;
            self.disk.crash(self.rng.next_u64());
            Death::PowerCut
        } else {
            self.story.tell("the process is killed");
            self.story.report.kills += 1;
            self.disk.kill();
            Death::Kill
        }
    }

    /// A file system whose journal failed answers no more before a restart.
    pub(crate) fn must_restart(&self) -> bool {
        self.disk.counters().failed_dir_syncs > 0
    }

    /// Whether an operation since `before` was made to fail.
    pub(crate) fn excused(&mut self, before: u64) -> bool {
        let met = self
            .planned
            .is_some_and(|at| before < at && at <= self.disk.operations());
        if met {
            self.story.report.failed_operations += 1;
        }
        met || self.disk.is_crashed()
    }

    /// One of the next operations will fail.
    pub(crate) fn plan_fault(&mut self) {
        self.plan_fault_within(14);
    }

    /// One of the next `within` operations will fail.
    pub(crate) fn plan_fault_within(&mut self, within: u64) {
        self.clear_faults();
        let n = 1 + self.rng.below(within);
        let kind = [FaultKind::Io, FaultKind::NoSpace][self.rng.index(2)];
        self.story
            .tell(format!("operation {n} from now will fail: {kind:?}"));
        self.planned = Some(self.disk.operations() + n);
        self.disk.fail_at(n, kind);
    }

    /// One of the next `within` operations will be the last.
    pub(crate) fn plan_end(&mut self, within: u64) {
        self.clear_faults();
        let n = 1 + self.rng.below(within);
        self.story
            .tell(format!("operation {n} from now will be the last"));
        self.disk.crash_at(n);
    }

    /// Limits the disk to at most so many segments of the smallest size, or lifts the limit.
    pub(crate) fn change_capacity(&mut self, segments_max: u64) {
        let limit = (!self.tight).then(|| (64 << 10) * (1 + self.rng.below(segments_max)));
        self.set_capacity(limit);
    }

    /// Limits the disk to at most so many bytes more than it has, or lifts the limit.
    pub(crate) fn change_room(&mut self, more_max: u64) {
        let paths = self.disk.paths();
        let files = paths.iter().filter_map(|path| self.disk.file_bytes(path));
        let used: u64 = files.map(|bytes| bytes.len() as u64).sum();
        let limit = (!self.tight).then(|| used + self.rng.below(more_max));
        self.set_capacity(limit);
    }

    fn set_capacity(&mut self, limit: Option<u64>) {
        if limit.is_some() || self.tight {
            self.story.tell(format!("capacity: {limit:?}"));
        }
        self.disk.set_capacity(limit);
        self.tight = limit.is_some();
    }

    pub(crate) fn clear_faults(&mut self) {
        self.disk.clear_faults();
        self.planned = None;
    }

    /// May plan that the opening is broken off; if not, it has all the room that it wants.
    fn plan_opening(&mut self, attempt: u32) {
        self.clear_faults();
        if attempt >= BROKEN_OPENINGS_MAX || !self.rng.chance(0.3) {
            self.set_capacity(None);
        } else if self.rng.chance(0.5) {
            self.plan_fault();
        } else {
            self.plan_end(40);
        }
    }
}

/// What lives in a world, one life after the other.
pub(crate) trait Simulation {
    /// What it is called on the command line.
    const NAME: &'static str;

    fn world(&mut self) -> &mut World;

    /// Begins a life; false if something that is excused broke it off.
    fn try_open(&mut self) -> Check<bool>;

    /// Compares what was just opened with what it may be.
    fn compare(&mut self) -> Check;

    /// Does some random work, and checks what it shows.
    fn step(&mut self) -> Check;

    /// Ends the present life by a [death](World::die).
    fn die(&mut self);

    /// Ends the present life, if there are gentler ways perhaps by one of them.
    fn end_life(&mut self) -> Check {
        self.die();
        Ok(())
    }
}

/// Runs the seed that `sim` was made with.
pub(crate) fn run<S: Simulation>(mut sim: S, seed: u64, steps: u32) -> Result<Report, Failure> {
    let outcome = live(&mut sim, steps);
    let world = sim.world();
    let mut story = std::mem::take(&mut world.story);
    story.report.operations = world.disk.operations();
    match outcome {
        Ok(()) => Ok(story.report),
        Err(what) => Err(story.fail(S::NAME, seed, what)),
    }
}

fn live(sim: &mut impl Simulation, steps: u32) -> Check {
    open(sim)?;
    for _ in 0..steps {
        sim.step()?;
        let world = sim.world();
        if world.disk.is_crashed() || world.rng.chance(0.04) {
            sim.end_life()?;
            open(sim)?;
        }
    }
    sim.end_life()?;
    open(sim)
}

/// Begins a life, at the latest when nothing more is broken.
fn open(sim: &mut impl Simulation) -> Check {
    for attempt in 0.. {
        sim.world().plan_opening(attempt);
        if sim.try_open()? {
            break;
        }
        sim.world().story.report.broken_openings += 1;
        sim.die();
    }
    sim.world().clear_faults();
    sim.compare()
}
