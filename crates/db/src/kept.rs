//! Kept versions: states of the database that stay readable until they are released.
//!
//! Which versions are kept is said by rows of the [catalog](crate::catalog), which are written and
//! deleted by transactions like all others. This is what is known of them in memory, and what the
//! forest is told: a version is pinned from the moment when a commit that keeps it is accepted.
//!
//! What it promises: a version that a row of the catalog keeps is pinned, in this life and, whatever
//! of the log a crash leaves, in the next; and so is each version that somebody reads. Therefore
//! a pin outlives its row until the log is sure to have the entry that releases it, and until no
//! checkpoint is under way that may still get the row; and when the log fails, nothing is unpinned
//! that an entry keeps of which nobody knows whether it is in the log.
//!
//! What it does not: hold the floor down. A kept version costs the rows that it shows and that
//! later commits have replaced, not everything that came after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase_forest::{Forest, Mutation, Seqno};
use nexusbase_log::Index;
use parking_lot::Mutex;

use crate::catalog::{self, CATALOG, VersionChange};
#[cfg(feature = "broken-on-purpose")]
use crate::options::BrokenKept;

/// What one entry does to kept versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct VersionChanges {
    keeps: Vec<u64>,
    releases: Vec<u64>,
}

impl VersionChanges {
    /// What is among `mutations`, which are in the order of a write set: the catalog comes first.
    pub(crate) fn of(mutations: &[Mutation]) -> Self {
        let mut changes = Self::default();
        for mutation in mutations.iter().take_while(|m| m.tree == CATALOG) {
            // What makes no sense is refused when it is applied.
            match catalog::version_change(mutation) {
                Ok(Some(VersionChange::Keep(version))) => changes.keeps.push(version.get()),
                Ok(Some(VersionChange::Release(version))) => changes.releases.push(version.get()),
                Ok(None) | Err(_) => {}
            }
        }
        changes
    }
}

/// The versions that must stay readable.
#[derive(Debug)]
pub(crate) struct Kept {
    forest: Arc<Forest>,
    /// Lock `db.kept`: held to count, and while the forest is told, which takes no more than its
    /// lock `forest.horizon`. Two who tell it must not overtake each other.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    versions: BTreeMap<u64, Reasons>,
    /// Entries that release something, and what: their versions are pinned still.
    released: Vec<(u64, u64)>,
    /// Entries up to this one are known to be durable in the log.
    durable: u64,
    /// How many want that nothing is unpinned for having been released.
    held: usize,
    /// There are other versions than those that the forest was told.
    changed: bool,
}

/// Why a version is pinned: how often for each reason.
#[derive(Clone, Copy, Debug, Default)]
struct Reasons {
    /// Rows of the catalog that can be seen.
    rows: usize,
    /// Rows that are being committed, and those that are deleted but may come back after a crash.
    unsure: usize,
    /// Snapshots.
    readers: usize,
}

impl State {
    fn change(&mut self, version: u64, change: impl FnOnce(&mut Reasons)) {
        let before = self.versions.len();
        let reasons = self.versions.entry(version).or_default();
        change(reasons);
        if reasons.rows + reasons.unsure + reasons.readers == 0 {
            self.versions.remove(&version);
        }
        self.changed |= self.versions.len() != before;
    }

    /// Forgets the releases that nothing can take back any more.
    fn settle(&mut self) {
        if self.held > 0 {
            return;
        }
        let durable = self.durable;
        let settled = self.released.extract_if(.., |(at, _)| *at <= durable);
        for (_, version) in settled.collect::<Vec<_>>() {
            self.change(version, |reasons| reasons.unsure -= 1);
        }
    }

    fn pins(&self) -> Vec<Seqno> {
        self.versions.keys().copied().map(Seqno::new).collect()
    }
}

impl Kept {
    /// What `rows` of the catalog keep, in a forest that was just opened: to be called before its
    /// floor rises and before any compaction.
    pub(crate) fn restore(forest: Arc<Forest>, rows: &[(Index, String)]) -> Self {
        let mut state = State::default();
        for (version, _) in rows {
            state.change(version.get(), |reasons| reasons.rows += 1);
        }
        forest.restore_pins(&state.pins());
        state.changed = false;
        Self {
            forest,
            state: Mutex::new(state),
        }
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let done = change(&mut state);
        if std::mem::take(&mut state.changed) {
            self.forest.set_pins(&state.pins());
        }
        done
    }

    /// Pins what an entry is to keep: before it is queued, and while the snapshot that it was
    /// written from keeps the floor down.
    pub(crate) fn begin(&self, changes: &VersionChanges) {
        if changes.keeps.is_empty() {
            return;
        }
        self.update(|state| {
            for version in &changes.keeps {
                state.change(*version, |reasons| reasons.unsure += 1);
            }
        });
    }

    /// An entry that was begun is not in the log, and never will be.
    pub(crate) fn take_back(&self, changes: &VersionChanges) {
        if changes.keeps.is_empty() {
            return;
        }
        self.update(|state| {
            for version in &changes.keeps {
                state.change(*version, |reasons| reasons.unsure -= 1);
            }
        });
    }

    /// The entry `at`, which was begun, is applied.
    pub(crate) fn apply(&self, at: Index, changes: &VersionChanges) {
        if changes.keeps.is_empty() && changes.releases.is_empty() {
            return;
        }
        self.update(|state| {
            for version in &changes.keeps {
                state.change(*version, |reasons| {
                    reasons.unsure -= 1;
                    reasons.rows += 1;
                });
            }
            for version in &changes.releases {
                // Only what was kept is ever released, each row once.
                state.change(*version, |reasons| {
                    reasons.rows -= 1;
                    reasons.unsure += 1;
                });
                state.released.push((at.get(), *version));
            }
            state.settle();
        });
    }

    /// Entries up to this one are durable in the log.
    pub(crate) fn durable(&self, through: u64) {
        self.update(|state| {
            state.durable = state.durable.max(through);
            state.settle();
        });
    }

    /// Keeps what is released meanwhile: a copy of the tables may be older than the release.
    pub(crate) fn hold_releases(&self) -> HeldReleases<'_> {
        self.state.lock().held += 1;
        HeldReleases(self)
    }

    /// Breaks a promise on purpose, before the floor of the forest rises.
    #[cfg(feature = "broken-on-purpose")]
    pub(crate) fn break_it(&self, broken: BrokenKept) {
        match broken {
            BrokenKept::No => {}
            BrokenKept::Forgotten => self.forest.restore_pins(&[]),
            BrokenKept::ReleasedAtOnce => self.durable(u64::MAX),
        }
    }

    /// Begins to read a version, if it is kept.
    pub(crate) fn enter(&self, version: Index) -> bool {
        self.update(|state| {
            let reasons = state.versions.get_mut(&version.get());
            let kept = reasons.filter(|reasons| reasons.rows > 0);
            kept.map(|reasons| reasons.readers += 1).is_some()
        })
    }

    /// Ends what [`Self::enter`] has begun.
    pub(crate) fn leave(&self, version: Index) {
        self.update(|state| state.change(version.get(), |reasons| reasons.readers -= 1));
    }

    /// How many versions are kept, and how many snapshots of such are open.
    pub(crate) fn count(&self) -> (usize, usize) {
        let state = self.state.lock();
        let versions = state.versions.values();
        let readers = versions.clone().map(|reasons| reasons.readers).sum();
        (versions.filter(|reasons| reasons.rows > 0).count(), readers)
    }
}

/// As long as this lives, nothing is unpinned for having been released.
#[derive(Debug)]
pub(crate) struct HeldReleases<'a>(&'a Kept);

impl Drop for HeldReleases<'_> {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.held -= 1;
            state.settle();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexusbase_forest::{ForestOptions, KeyRange, TreeId, TreeKind};
    use nexusbase_io::sim::SimDisk;
    use std::path::Path;

    fn forest_at(through: u64) -> Arc<Forest> {
        let fs = Arc::new(SimDisk::new(1));
        let forest = Forest::open(fs, Path::new("/forest"), ForestOptions::new([7; 16])).unwrap();
        forest.ensure_tree(CATALOG, TreeKind::ROWS.name).unwrap();
        for at in 1..=through {
            forest.apply(Seqno::new(at), &[], []).unwrap();
        }
        Arc::new(forest)
    }

    fn keeps(version: u64) -> VersionChanges {
        VersionChanges {
            keeps: vec![version],
            releases: Vec::new(),
        }
    }

    fn releases(version: u64) -> VersionChanges {
        VersionChanges {
            keeps: Vec::new(),
            releases: vec![version],
        }
    }

    fn is_readable(forest: &Forest, at: u64) -> bool {
        let tree = TreeId::new(0);
        let at = Seqno::new(at);
        let cursor = forest.cursor(
            tree,
            KeyRange::all(),
            nexusbase_forest::Direction::Forward,
            at,
        );
        cursor.is_ok()
    }

    #[test]
    fn a_release_frees_nothing_before_the_log_is_sure_to_have_it() {
        let forest = forest_at(9);
        let kept = Kept::restore(Arc::clone(&forest), &[]);
        kept.begin(&keeps(3));
        forest.set_oldest_needed(Seqno::new(9));
        assert!(
            !kept.enter(Index::new(3)),
            "it is not kept before the commit"
        );
        kept.apply(Index::new(4), &keeps(3));
        kept.apply(Index::new(6), &releases(3));
        kept.durable(5);
        assert!(is_readable(&forest, 3));
        assert!(!kept.enter(Index::new(3)), "it is released");
        kept.durable(6);
        assert!(!is_readable(&forest, 3));
        assert_eq!(kept.count(), (0, 0));
    }

    #[test]
    fn a_release_frees_nothing_while_a_copy_is_made() {
        let forest = forest_at(9);
        let kept = Kept::restore(Arc::clone(&forest), &[]);
        kept.begin(&keeps(3));
        forest.set_oldest_needed(Seqno::new(9));
        kept.apply(Index::new(4), &keeps(3));
        let (one, another) = (kept.hold_releases(), kept.hold_releases());
        kept.durable(9);
        kept.apply(Index::new(6), &releases(3));
        drop(one);
        assert!(is_readable(&forest, 3));
        drop(another);
        assert!(!is_readable(&forest, 3));
    }

    #[test]
    fn a_version_is_pinned_as_long_as_one_owner_or_one_reader_is_left() {
        let forest = forest_at(9);
        let row = |owner: &str| (Index::new(3), owner.to_owned());
        let kept = Kept::restore(Arc::clone(&forest), &[row("a"), row("b")]);
        forest.set_oldest_needed(Seqno::new(9));
        kept.durable(9);
        assert_eq!(kept.count(), (1, 0));
        kept.apply(Index::new(5), &releases(3));
        assert!(kept.enter(Index::new(3)));
        kept.apply(Index::new(6), &releases(3));
        assert_eq!(kept.count(), (0, 1));
        assert!(is_readable(&forest, 3));
        kept.leave(Index::new(3));
        assert!(!is_readable(&forest, 3));
    }

    #[test]
    fn a_commit_that_did_not_happen_keeps_nothing() {
        let forest = forest_at(9);
        let kept = Kept::restore(Arc::clone(&forest), &[]);
        kept.begin(&keeps(3));
        forest.set_oldest_needed(Seqno::new(9));
        assert!(is_readable(&forest, 3));
        kept.take_back(&keeps(3));
        assert!(!is_readable(&forest, 3));
    }
}
