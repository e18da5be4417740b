//! The forest itself: the set of trees, the one applier, and the readers' entrance.
//!
//! Locks, in the order in which they may be taken: `forest.manifest` (a queue among background
//! work, the only one held over I/O), `forest.applier` (while an entry is applied),
//! `forest.background` (the state that the manifest has, and who works on what),
//! `forest.roster` (while one picture of the trees replaces another), `forest.horizon` (while the
//! floor or the pins change), `forest.cache`. No read takes any but the last, and that only after
//! it has read from disk.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use nexusbase_io::Fs;
use parking_lot::Mutex;

use crate::background::Background;
use crate::cache::Cache;
use crate::error::ApplyError;
use crate::horizon::Horizon;
use crate::manifest::Manifest;
use crate::memtable::Memtable;
use crate::mutation::{Change, Mutation, TreeChange};
use crate::options::ForestOptions;
use crate::range_delete::RangeDelete;
use crate::retention::Retention;
use crate::stats::Counters;
use crate::tree::{Roster, Tree};
use crate::{Seqno, TreeId};

/// Many ordered trees, written in the order of one log.
#[derive(Debug)]
pub struct Forest {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: ForestOptions,
    pub(crate) cache: Arc<Cache>,
    pub(crate) trees: ArcSwap<Roster>,
    /// Lock `forest.roster`.
    pub(crate) sealing: Mutex<Sealing>,
    /// Lock `forest.applier`.
    pub(crate) applier: Mutex<Applier>,
    pub(crate) horizon: Horizon,
    /// Lock `forest.manifest`.
    pub(crate) manifest: Mutex<Manifest>,
    /// Lock `forest.background`.
    pub(crate) background: Mutex<Background>,
    pub(crate) counters: Counters,
    /// See [`Forest::pressure`], in thousandths.
    pub(crate) pressure: AtomicU64,
    /// Background work is to end: see [`Forest::stop`].
    pub(crate) stopping: AtomicBool,
    /// The time of the newest entry, in milliseconds since 1970: what expiry goes by.
    pub(crate) log_time_ms: AtomicU64,
}

/// What only the applying thread needs.
#[derive(Debug, Default)]
pub(crate) struct Applier {
    /// About what the active memtables take.
    active_bytes: u64,
    /// What has happened since the last sealing, beside rows.
    pending: Happened,
}

/// What entries do beside writing rows: the manifest has to know.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) created: Vec<(TreeId, &'static str)>,
    pub(crate) dropped: Vec<(TreeId, Seqno)>,
    pub(crate) range_deletes: Vec<(TreeId, RangeDelete)>,
}

/// Sealed memtables of all trees: everything up to `through` that no table has yet, and no older
/// set.
#[derive(Debug)]
pub(crate) struct SealedSet {
    pub(crate) through: Seqno,
    pub(crate) memtables: Vec<(TreeId, Arc<Memtable>)>,
    pub(crate) happened: Happened,
    pub(crate) bytes: u64,
}

/// The sealed sets, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Sealing {
    pub(crate) sets: VecDeque<Arc<SealedSet>>,
    /// Through what the newest sealed set, or the manifest, goes.
    pub(crate) through: Seqno,
}

impl Forest {
    /// Applies the entry `at`: what it writes can be read at `at` and later, and is not seen by
    /// readers below. `trees` are created before, or dropped after, its `mutations` are applied.
    /// A key that comes twice has the last change; a range delete concerns only what earlier
    /// entries wrote.
    ///
    /// One entry is applied at a time; a second caller waits. Readers do not.
    ///
    /// # Errors
    /// [`ApplyError::Gap`] when `at` does not follow [`Forest::applied`],
    /// [`ApplyError::TreeExists`] for a tree whose number was used before,
    /// [`ApplyError::UnknownKind`], [`ApplyError::UnknownTree`], [`ApplyError::CannotMerge`]:
    /// `applied` has not moved, so that no reader can see a part of the entry.
    pub fn apply(
        &self,
        at: Seqno,
        trees: &[TreeChange],
        mutations: impl IntoIterator<Item = Mutation>,
    ) -> Result<(), ApplyError> {
        let mut applier = self.applier.lock();
        let applied = self.applied();
        if !follows(applied, at) {
            return Err(ApplyError::Gap {
                expected: next(applied),
                found: at,
            });
        }
        self.create_trees(&mut applier, trees)?;
        let rows = mutations.into_iter().map(|mutation| (at, mutation));
        self.write_rows(&mut applier, rows)?;
        self.drop_trees(&mut applier, trees, at)?;
        self.horizon.set_applied(at);
        if applier.active_bytes >= self.options.seal_bytes() {
            self.seal_with(&mut applier);
        }
        Ok(())
    }

    /// Applies all entries up to `through` at once: what a recovery does, with no reader there.
    /// Sorting first makes this faster than one entry after the other: neighbours in a memtable
    /// are written one after another. Trees are created before, and dropped after, all changes.
    ///
    /// # Errors
    /// [`ApplyError::Gap`] when a change is not of an entry behind [`Forest::applied`] and up to
    /// `through`; else as [`Forest::apply`].
    pub fn replay(
        &self,
        through: Seqno,
        trees: &[(Seqno, TreeChange)],
        mut changes: Vec<(Seqno, Mutation)>,
    ) -> Result<(), ApplyError> {
        let mut applier = self.applier.lock();
        let applied = self.applied();
        let seqnos = changes.iter().map(|(at, _)| at);
        let outside = |at: &&Seqno| **at <= applied || **at > through;
        if let Some(at) = seqnos.chain(trees.iter().map(|(at, _)| at)).find(outside) {
            return Err(ApplyError::Gap {
                expected: next(applied),
                found: *at,
            });
        }
        // Stable, so that of two changes of one key by one entry the later one stays the later.
        changes.sort_by(|(a_at, a), (b_at, b)| (a.tree, &a.key, a_at).cmp(&(b.tree, &b.key, b_at)));
        for (_, change) in trees {
            self.create_trees(&mut applier, std::slice::from_ref(change))?;
        }
        self.write_rows(&mut applier, changes)?;
        for (at, change) in trees {
            self.drop_trees(&mut applier, std::slice::from_ref(change), *at)?;
        }
        self.horizon.set_applied(through);
        if applier.active_bytes >= self.options.seal_bytes() {
            self.seal_with(&mut applier);
        }
        Ok(())
    }

    /// Creates a tree that is there before any entry, unless it is there. No entry may create it.
    ///
    /// # Errors
    /// [`ApplyError::UnknownKind`].
    pub fn ensure_tree(&self, tree: TreeId, kind: &str) -> Result<(), ApplyError> {
        let mut applier = self.applier.lock();
        if self.trees.load().get(tree).is_some() {
            return Ok(());
        }
        let kind = kind.to_owned();
        self.create_trees(&mut applier, &[TreeChange::Create { tree, kind }])
    }

    fn create_trees(
        &self,
        applier: &mut Applier,
        changes: &[TreeChange],
    ) -> Result<(), ApplyError> {
        for change in changes {
            let TreeChange::Create { tree, kind } = change else {
                continue;
            };
            let known = self.options.kind(kind);
            let kind = known.ok_or_else(|| ApplyError::UnknownKind {
                tree: *tree,
                kind: kind.to_string(),
            })?;
            let _sealing = self.sealing.lock();
            let mut roster = Roster::clone(&self.trees.load());
            if roster.get(*tree).is_some() {
                return Err(ApplyError::TreeExists(*tree));
            }
            roster.set(*tree, Tree::new(kind));
            self.trees.store(Arc::new(roster));
            applier.pending.created.push((*tree, kind.name));
        }
        Ok(())
    }

    fn drop_trees(
        &self,
        applier: &mut Applier,
        changes: &[TreeChange],
        at: Seqno,
    ) -> Result<(), ApplyError> {
        for change in changes {
            let TreeChange::Drop { tree: id } = change else {
                continue;
            };
            let _sealing = self.sealing.lock();
            let mut roster = Roster::clone(&self.trees.load());
            let tree = roster.get(*id).filter(|tree| tree.dropped.is_none());
            let tree = tree.ok_or(ApplyError::UnknownTree(*id))?;
            let dropped = Tree {
                dropped: Some(at),
                ..Tree::clone(tree)
            };
            roster.set(*id, dropped);
            self.trees.store(Arc::new(roster));
            applier.pending.dropped.push((*id, at));
        }
        Ok(())
    }

    fn write_rows(
        &self,
        applier: &mut Applier,
        changes: impl IntoIterator<Item = (Seqno, Mutation)>,
    ) -> Result<(), ApplyError> {
        let roster = self.trees.load();
        let mut range_deletes = Vec::new();
        for (
            at,
            Mutation {
                tree: id,
                key,
                change,
            },
        ) in changes
        {
            let tree = roster.get(id).filter(|tree| tree.dropped.is_none());
            let tree = tree.ok_or(ApplyError::UnknownTree(id))?;
            if matches!(change, Change::Merge(_)) && tree.kind.merge.is_none() {
                return Err(ApplyError::CannotMerge {
                    tree: id,
                    kind: tree.kind.name,
                });
            }
            match change.into_row() {
                Ok(row) => {
                    let before = tree.active.bytes();
                    tree.active.write(&tree.kind, key, at, row);
                    applier.active_bytes += tree.active.bytes().saturating_sub(before);
                }
                // Without keys it means nothing, and the manifest takes none of that sort.
                Err(end) if end.as_ref().is_some_and(|end| *end <= key) => {}
                Err(end) => {
                    let (start, seqno) = (key, at);
                    range_deletes.push((id, RangeDelete { start, end, seqno }));
                }
            }
        }
        drop(roster);
        self.delete_ranges(applier, range_deletes);
        Ok(())
    }

    fn delete_ranges(&self, applier: &mut Applier, range_deletes: Vec<(TreeId, RangeDelete)>) {
        if range_deletes.is_empty() {
            return;
        }
        let _sealing = self.sealing.lock();
        let mut roster = Roster::clone(&self.trees.load());
        for (id, range_delete) in range_deletes {
            let Some(tree) = roster.get(id) else { continue };
            let is_empty = range_delete.end.as_ref();
            let is_empty = is_empty.is_some_and(|end| *end <= range_delete.start);
            // An entry may say it twice.
            if is_empty
                || tree
                    .range_deletes
                    .iter()
                    .any(|known| *known == range_delete)
            {
                continue;
            }
            let mut tree = Tree::clone(tree);
            tree.range_deletes = Arc::new(tree.range_deletes.with(range_delete.clone()));
            roster.set(id, tree);
            applier.pending.range_deletes.push((id, range_delete));
        }
        self.trees.store(Arc::new(roster));
    }

    /// Seals the memtables of all trees, so that the next flush makes everything applied so far
    /// durable in tables. Returns through which entry.
    pub fn seal(&self) -> Seqno {
        self.seal_with(&mut self.applier.lock())
    }

    /// Between two entries, because whoever applies holds the applier.
    fn seal_with(&self, applier: &mut Applier) -> Seqno {
        let through = self.applied();
        let mut sealing = self.sealing.lock();
        if sealing.through >= through {
            return sealing.through;
        }
        let mut memtables = Vec::new();
        let mut roster = Roster::clone(&self.trees.load());
        roster.update(|id, tree| {
            if tree.active.is_empty() {
                return None;
            }
            memtables.push((id, Arc::clone(&tree.active)));
            let mut new = tree.clone();
            new.sealed.insert(0, Arc::clone(&tree.active));
            new.active = Arc::new(Memtable::new(tree.active.bytes()));
            Some(new)
        });
        let bytes = std::mem::take(&mut applier.active_bytes);
        self.cache.pin(bytes);
        sealing.sets.push_back(Arc::new(SealedSet {
            through,
            memtables,
            happened: std::mem::take(&mut applier.pending),
            bytes,
        }));
        sealing.through = through;
        self.trees.store(Arc::new(roster));
        self.measure_pressure(&sealing);
        through
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Seqno {
        self.horizon.applied()
    }

    /// The lowest seqno from which on every one can be read at.
    #[must_use]
    pub fn oldest_needed(&self) -> Seqno {
        self.horizon.floor()
    }

    /// Declares that nobody will read below `at` any more, but for what is
    /// [pinned](Forest::set_pins): versions that only such readers could see are dropped by
    /// flushes and compactions, dropped trees by housekeeping. Never goes back, and never beyond
    /// what is applied.
    pub fn set_oldest_needed(&self, at: Seqno) {
        self.horizon.raise_floor(at.min(self.applied()));
    }

    /// Tells a forest that was just opened what was pinned when it was closed: before any
    /// compaction, and before [`Forest::set_oldest_needed`], or what was pinned may be gone.
    /// (Flushes of entries that were applied since drop nothing: all of them are above the floor.
    /// The forest keeps no list of its own.)
    pub fn restore_pins(&self, pins: &[Seqno]) {
        self.horizon.restore_pins(pins);
    }

    /// Declares the seqnos that must stay readable however far
    /// [`Forest::set_oldest_needed`] goes. One that is not readable any more cannot be pinned.
    pub fn set_pins(&self, pins: &[Seqno]) {
        self.horizon.set_pins(pins);
    }

    /// What has to be kept, for background work that starts now and whose outcome is in the trees
    /// from the entry `through` on.
    ///
    /// Entries behind `through` may be lost with the log's end, and others get their seqnos. So
    /// nothing that they do (range deletes, drops of trees) may be worked into tables before they
    /// are flushed themselves; and what opening makes readable is everything from `through` on.
    pub(crate) fn retention(&self, through: Seqno) -> Retention {
        let retention = self.horizon.retention(through);
        #[cfg(feature = "broken-on-purpose")]
        if self.options.broken == crate::options::Broken::VersionBelowSnapshot {
            return Retention::new(self.applied(), Vec::new());
        }
        retention
    }

    /// Whether tables are synced before the manifest names them.
    #[cfg(feature = "broken-on-purpose")]
    pub(crate) fn syncs_tables(&self) -> bool {
        self.options.broken != crate::options::Broken::ManifestBeforeSync
    }

    #[cfg(not(feature = "broken-on-purpose"))]
    #[expect(clippy::unused_self, reason = "as its broken variant")]
    pub(crate) const fn syncs_tables(&self) -> bool {
        true
    }

    /// Makes steps that are under way, and all later ones, end soon with [`StepError::Stopped`](crate::StepError::Stopped),
    /// without having changed anything.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// How many sets of memtables wait for [`Forest::flush_step`].
    #[must_use]
    pub fn sealed_sets(&self) -> usize {
        self.sealing.lock().sets.len()
    }

    /// Notes the time of an entry, in milliseconds since 1970. What expires, expires by this.
    pub fn note_time(&self, unix_ms: u64) {
        self.log_time_ms.fetch_max(unix_ms, Ordering::Relaxed);
    }
}

fn follows(before: Seqno, at: Seqno) -> bool {
    before.get().checked_add(1) == Some(at.get())
}

fn next(seqno: Seqno) -> Seqno {
    Seqno::new(seqno.get().saturating_add(1))
}
