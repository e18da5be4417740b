//! The database itself: open, transact, snapshot, watch, close.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Forest, Mutation, ReadError as TreeReadError, Seqno, Stats as ForestStats, TreeId,
};
use nexusbase_io::{Env, Lock};
use nexusbase_log::{Index, Log, LogOptions, Opened};
use parking_lot::Mutex;

use crate::background::{Bells, Done, Failures, Steps, Work, Workers, compact_step, flush_step};
use crate::commit::{CommitHandle, CommitStats, GROUP, Parts, Pipeline};
use crate::error::{CommitError, OpenError, ReadError};
use crate::feed::ChangeFeed;
use crate::folder::Folder;
use crate::housekeeping::{self, Bell, Housekeeper};
use crate::kept::Kept;
use crate::kinds::Kinds;
use crate::options::{Durability, Options};
use crate::pace::Pace;
use crate::read_set::ReadSet;
use crate::recovery::{self, Keep, RecoveryReport};
use crate::snapshot::{Registry, Snapshot};
use crate::transaction::Transaction;

/// How often [`Database::transact`] runs a transaction before it gives up.
const ATTEMPTS_MAX: u32 = 1000;
/// After so many conflicts in a row a transaction pauses before it tries again, longer each time.
const ATTEMPTS_EAGER: u32 = 8;
/// The first pause is at most so long, the longest at most 64 times that.
const PAUSE: Duration = Duration::from_micros(100);

/// A database. Clones share it; the last one to be dropped closes it.
#[derive(Clone, Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    /// Lock `db.housekeeper`: held to take it out.
    threads: Mutex<Option<Threads>>,
}

/// All threads of a database. They end when this is dropped: first those that write tables, then
/// the one that leads commits nobody waits for.
#[derive(Debug)]
struct Threads {
    _workers: Workers,
    _housekeeper: Housekeeper,
}

impl Threads {
    fn start(core: &Arc<Core>, durability: Durability) -> std::io::Result<Self> {
        let housekeeper = Housekeeper::start(Arc::clone(core), durability)?;
        core.pace.begin();
        Ok(Self {
            _workers: Workers::start(Arc::clone(core))?,
            _housekeeper: housekeeper,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) env: Env,
    pub(crate) forest: Arc<Forest>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) log: Log,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) durability: Durability,
    kinds: Arc<Kinds>,
    recovery: RecoveryReport,
    /// What housekeeping saw last, where no thread does it.
    seen: Mutex<u64>,
    pub(crate) database: [u8; 16],
    pub(crate) bells: Arc<Bells>,
    pub(crate) failures: Failures,
    /// What callers do on their own threads.
    pub(crate) steps: Steps,
    pub(crate) pace: Pace,
    /// What was flushed when compactions had nothing to do the last time.
    pub(crate) quiet_since: AtomicU64,
    /// The data folder's lock, until the database is closed.
    folder: Mutex<Option<Lock>>,
}

/// Figures about a database.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The last visible commit.
    pub visible: u64,
    /// Everything before this byte position of the log survives a crash.
    pub durable_bytes: u64,
    /// Log segment files.
    pub log_segments: usize,
    /// Their size in bytes.
    pub log_bytes: u64,
    /// Snapshots and transactions that are open.
    pub readers: usize,
    /// States that are [kept](Transaction::keep_version) readable.
    pub kept_versions: usize,
    /// What the commit pipeline has done.
    pub commits: CommitStats,
    /// Trees, the catalog included.
    pub trees: usize,
    /// Versions of rows in memory.
    pub memory_rows: u64,
    /// What they take, approximately.
    pub memory_bytes: u64,
    /// How far flushes and compactions are behind, in thousandths of what is tolerated: from 500 on,
    /// writers are slowed down.
    pub pressure_thousandths: u64,
    /// How long writers were made to wait for that since the database was opened.
    pub slowed: Duration,
    /// The last failure of a flush or compaction, if none has worked since.
    pub background_failure: Option<String>,
    /// Figures about tables, cache and memory.
    pub forest: ForestStats,
}

impl Database {
    /// Opens the database in the folder `path`, creating it if the folder is empty or missing.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing that was there has been changed then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// A database that lives in memory and is gone with its last handle. For tests and for trying
    /// things out.
    ///
    /// # Errors
    /// As [`Self::open`]; a simulated disk gives no reason for any.
    pub fn in_memory() -> Result<Self, OpenError> {
        let disk = nexusbase_io::sim::SimDisk::new(0);
        let env = Env {
            fs: Arc::new(disk),
            ..Env::os()
        };
        let options = Options {
            env,
            segment_bytes: 1 << 20,
            ..Options::default()
        };
        Self::open_with("/memory", options)
    }

    /// Opens the database in the folder `path` as `options` say.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let keep = keep(&options);
        #[cfg(feature = "broken-on-purpose")]
        let broken_kept = options.broken_kept;
        let Options {
            durability,
            segment_bytes,
            housekeeping_thread,
            kinds: others,
            env,
            forest: mut forest_options,
            ..
        } = options;
        let kinds = Arc::new(Kinds::new(&others)?);
        let started = env.clock.monotonic();
        let folder = Folder::open(&env, path.as_ref())?;
        let mut log_options = LogOptions::new(folder.database);
        log_options.segment_bytes = segment_bytes;
        let opened = Log::open(Arc::clone(&env.fs), &folder.log_dir(), log_options)?;
        let Opened { log, writer, torn } = opened;
        forest_options.database = folder.database;
        forest_options.kinds = others.into();
        let forest = Forest::open(Arc::clone(&env.fs), &folder.forest_dir(), forest_options)?;
        recovery::check(&log, &forest)?;
        folder.finish(&*env.fs)?;
        // Only what is of no use: everything that is has been opened.
        let removed = forest.remove_unreferenced();
        removed.map_err(nexusbase_forest::OpenError::from)?;
        let last = recovery::replay(&log, &forest, &kinds, keep)?;
        let flushed = forest.flushed_through().get();

        let (forest, registry) = (Arc::new(forest), Arc::new(Registry::default()));
        registry.visible.advance(last.get());
        let kept = recovery::kept_versions(&forest, &registry)?;
        #[cfg(feature = "broken-on-purpose")]
        kept.break_it(broken_kept);
        forest.set_oldest_needed(Seqno::new(last.get()));
        log.set_committed(GROUP, last);
        let bell = Arc::new(Bell::default());
        let bells = Arc::new(Bells::default());
        let parts = Parts {
            forest: Arc::clone(&forest),
            registry: Arc::clone(&registry),
            kept: Arc::clone(&kept),
            log: log.clone(),
            writer,
            clock: Arc::clone(&env.clock),
            kinds: Arc::clone(&kinds),
            durability,
            bell: Arc::clone(&bell),
            bells: Arc::clone(&bells),
        };
        let duration = env.clock.monotonic().saturating_sub(started);
        let core = Arc::new(Core {
            forest,
            registry,
            kept,
            log,
            pipeline: Arc::new(Pipeline::new(parts, last)),
            bell,
            durability,
            kinds,
            recovery: RecoveryReport {
                flushed,
                entries: last.get() - flushed,
                duration,
                torn,
            },
            seen: Mutex::new(0),
            database: folder.database,
            folder: Mutex::new(Some(folder.lock)),
            bells,
            failures: Failures::default(),
            steps: Steps::default(),
            pace: Pace::default(),
            quiet_since: AtomicU64::new(u64::MAX),
            env,
        });
        // A crash may have come between a flush and its purge. It is no matter if it does not fit.
        let _ = core.pipeline.purge_log(Index::new(flushed));
        let threads = if housekeeping_thread {
            let started = Threads::start(&core, durability);
            let failed = |e| nexusbase_io::Error::new("start a thread for", path.as_ref(), e);
            Some(started.map_err(failed)?)
        } else {
            None
        };
        Ok(Self {
            shared: Arc::new(Shared {
                core,
                threads: Mutex::new(threads),
            }),
        })
    }

    /// What opening had to do.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.core().recovery
    }

    /// The world that the database lives in.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.core().env
    }

    /// When a commit is reported.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.core().durability
    }

    /// Takes a snapshot of the newest visible state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.core().forest, &self.core().registry)
    }

    /// Takes a snapshot of the state at `index`, if a transaction has
    /// [kept](Transaction::keep_version) it and it is not released yet. It stays readable as long as
    /// it lives, also if the version is released meanwhile.
    #[must_use]
    pub fn snapshot_at(&self, index: Index) -> Option<Snapshot> {
        Snapshot::take_kept(&self.core().forest, &self.core().kept, index)
    }

    /// The value under `key` in the newest visible state: what [`Database::snapshot`] and a read
    /// of it give, at less cost.
    ///
    /// # Errors
    /// As [`View::get`](crate::View::get).
    pub fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        loop {
            let visible = self.core().registry.visible.get();
            match self.core().forest.get(tree, key, Seqno::new(visible)) {
                // Nothing keeps the state for this one read: a newer one is as good.
                Err(TreeReadError::TooOld { .. })
                    if visible < self.core().registry.visible.get() => {}
                found => return Ok(found?),
            }
        }
    }

    /// Starts a transaction at the newest visible state.
    #[must_use]
    pub fn begin(&self) -> Transaction {
        Transaction::new(self.clone(), self.snapshot())
    }

    /// Runs `work` in a transaction and commits it; runs it again, on a newer snapshot, when the
    /// commit conflicts with another. Returns what the committed run returned, when the commit is
    /// visible and durable (as far as the database's mode asks for it).
    ///
    /// `work` may run several times and should do nothing but work on the transaction.
    ///
    /// # Errors
    /// What `work` returns, or what the commit failed with.
    pub fn transact<T, E: From<CommitError>>(
        &self,
        work: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let (value, handle) = self.transact_start(work)?;
        handle.wait()?;
        Ok(value)
    }

    /// As [`Self::transact`], but returns as soon as the transaction has been accepted, with the
    /// handle to wait for or to await.
    ///
    /// # Errors
    /// What `work` returns, or why the transaction was not accepted.
    pub fn transact_start<T, E: From<CommitError>>(
        &self,
        mut work: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<(T, CommitHandle), E> {
        for attempt in 1..=ATTEMPTS_MAX {
            let mut tx = self.begin();
            let value = work(&mut tx)?;
            match tx.commit() {
                Ok(handle) => return Ok((value, handle)),
                Err(CommitError::Conflict { with }) => self.core().pipeline.wait_settled(with),
                Err(other) => return Err(other.into()),
            }
            self.core().pause_after(attempt);
        }
        Err(CommitError::TooManyConflicts {
            attempts: ATTEMPTS_MAX,
        }
        .into())
    }

    pub(crate) fn submit(
        &self,
        snapshot: Snapshot,
        reads: &ReadSet,
        mutations: Vec<Mutation>,
    ) -> Result<CommitHandle, CommitError> {
        let size = |mutation: &Mutation| mutation.key.len() + value_bytes(&mutation.change);
        self.core().pace(mutations.iter().map(size).sum());
        self.core().pipeline.submit(snapshot, reads, mutations)
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.core().kinds
    }

    /// The oldest commit that [`Self::changes`] can begin with: older ones are in tables only.
    #[must_use]
    pub fn oldest_change(&self) -> Index {
        self.core().log.group(GROUP).purged.index.next()
    }

    /// Streams commits from `from` on: those that are in the log, then those to come.
    ///
    /// # Errors
    /// When `from` is no longer in the log.
    pub fn changes(&self, from: Index) -> Result<ChangeFeed, OpenError> {
        let subscription = self.core().log.subscribe(GROUP, from)?;
        Ok(ChangeFeed::new(subscription, Arc::clone(self.core())))
    }

    /// Why the database accepts no more writes, if it does not.
    #[must_use]
    pub fn stopped(&self) -> Option<CommitError> {
        self.core().pipeline.is_stopped()
    }

    /// Waits until a snapshot sees `index`, or the database accepts no more writes.
    pub fn wait_visible(&self, index: Index) {
        self.core().pipeline.wait_visible(index);
    }

    /// Waits until the commit that another [conflicted](CommitError::Conflict) with can be seen, or
    /// did not happen, or the database accepts no more writes. For those who run a transaction
    /// again by themselves: before that, it would meet the same conflict.
    pub fn wait_settled(&self, with: Index) {
        self.core().pipeline.wait_settled(with);
    }

    /// Does what housekeeping has to do just now. Only needed without the housekeeping thread.
    pub fn housekeeping_step(&self) {
        let Some(_step) = self.core().steps.begin() else {
            // The folder may belong to somebody else already.
            return;
        };
        let before = &self.core().seen;
        let mut seen = *before.lock();
        housekeeping::step(self.core(), &mut seen, true);
        *before.lock() = seen;
        self.core().background_step();
    }

    /// Closes the database: what was accepted is made durable, nothing more is accepted, and the
    /// data folder is free for another process. Snapshots stay readable.
    ///
    /// # Errors
    /// When something cannot be made durable.
    pub fn close(&self) -> Result<(), CommitError> {
        self.shared.close()
    }

    /// Figures for people and for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = self.core();
        let (log_segments, log_bytes) = core.log.size();
        let forest = core.forest.stats();
        let (kept_versions, kept_readers) = core.kept.count();
        Stats {
            visible: core.registry.visible.get(),
            durable_bytes: core.log.durable().get(),
            log_segments,
            log_bytes,
            readers: core.registry.count() + kept_readers,
            kept_versions,
            commits: core.pipeline.stats(),
            trees: forest.trees.len(),
            memory_rows: forest.trees.values().map(|tree| tree.entries).sum(),
            memory_bytes: forest.trees.values().map(|tree| tree.bytes).sum(),
            pressure_thousandths: core.forest.pressure().thousandths,
            slowed: Duration::from_micros(core.pace.slowed_us()),
            background_failure: core.failures.get(),
            forest,
        }
    }

    /// Figures about the trees, level by level, and about caches and background work.
    #[must_use]
    pub fn forest_stats(&self) -> nexusbase_forest::Stats {
        self.core().forest.stats()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }
}

impl Shared {
    fn close(&self) -> Result<(), CommitError> {
        let pipeline = &self.core.pipeline;
        if !pipeline.begin_close() {
            return pipeline.wait_closed();
        }
        // Steps on callers' threads write to the folder, too.
        self.core.steps.refuse();
        self.core.forest.stop();
        let finished = pipeline.finish();
        self.core.steps.wait();
        // Housekeeping writes to the folder as well, so it ends before the folder is free.
        let threads = self.threads.lock().take();
        drop(threads);
        // A safeguard, like the log's claim: without room for it nothing is lost.
        let _ = self.core.forest.claim_step();
        self.core.folder.lock().take();
        pipeline.end_close();
        finished
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Everything acknowledged is as durable as its mode promises already; this is for the
        // weaker modes and for the log's last claim. Who wants to know calls `close`.
        let _ = self.close();
    }
}

impl Core {
    /// What the threads do, once: a flush or else a compaction.
    fn background_step(&self) {
        if self.pipeline.is_stopped().is_some() {
            return;
        }
        match flush_step(self) {
            Ok(Done::Worked) => return,
            Ok(Done::Nothing | Done::Soon) => {}
            Err(error) => return self.background_failed(Work::Flush, &error),
        }
        if let Err(error) = compact_step(self) {
            self.background_failed(Work::Compact, &error);
        }
    }

    /// Lets others get ahead of a transaction that was refused again and again; by chance, so that
    /// two in the same trouble do not meet again.
    fn pause_after(&self, attempt: u32) {
        let Some(excess) = attempt.checked_sub(ATTEMPTS_EAGER) else {
            return;
        };
        let mut chance = [0];
        // Without chance the pause is just not random.
        let _ = self.env.random.fill(&mut chance);
        let longest = PAUSE * (1 << excess.min(6));
        let pause = longest * u32::from(chance[0]) / u32::from(u8::MAX);
        // The visible index never gets there: this waits for the time to pass.
        self.registry.visible.wait_beyond(u64::MAX, pause);
    }
}

#[cfg(feature = "broken-on-purpose")]
fn keep(options: &Options) -> Keep {
    if options.broken_half_entries {
        |mut mutations| {
            mutations.truncate(mutations.len().div_ceil(2));
            mutations
        }
    } else {
        |mutations| mutations
    }
}

#[cfg(not(feature = "broken-on-purpose"))]
fn keep(_: &Options) -> Keep {
    |mutations| mutations
}

/// Bytes of what a change writes beside its key.
fn value_bytes(change: &Change) -> usize {
    match change {
        Change::Put(value) | Change::Merge(value) => value.len(),
        Change::DeleteRange { end: Some(end) } => end.len(),
        Change::Delete | Change::DeleteRange { end: None } => 0,
    }
}
