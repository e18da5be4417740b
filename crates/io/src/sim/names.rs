//! The names of files on the simulated disk: durable ones, visible ones, and pending changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::content::Fate;
use super::random::SimRng;

/// The number of a file, whatever names it has.
pub(super) type Inode = u64;

/// A change of names that happens as a whole or not at all.
#[derive(Clone, Debug)]
struct Change {
    removes: Option<PathBuf>,
    adds: Option<(PathBuf, Inode)>,
    /// Directories that must be synced before this is durable.
    waits_for: BTreeSet<PathBuf>,
}

impl Change {
    fn new(removes: Option<&Path>, adds: Option<(&Path, Inode)>) -> Self {
        let paths = removes.into_iter().chain(adds.map(|(path, _)| path));
        Self {
            removes: removes.map(Path::to_path_buf),
            adds: adds.map(|(path, inode)| (path.to_path_buf(), inode)),
            waits_for: paths.map(|path| parent(path).to_path_buf()).collect(),
        }
    }

    fn touches(&self, path: &Path) -> bool {
        self.removes.as_deref() == Some(path)
            || self.adds.as_ref().is_some_and(|(added, _)| added == path)
    }

    fn shares_a_name_with(&self, other: &Self) -> bool {
        self.removes
            .as_deref()
            .is_some_and(|path| other.touches(path))
            || self
                .adds
                .as_ref()
                .is_some_and(|(path, _)| other.touches(path))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Inode>) {
        if let Some(path) = &self.removes {
            names.remove(path);
        }
        if let Some((path, inode)) = &self.adds {
            names.insert(path.clone(), *inode);
        }
    }
}

/// The directory that a name is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// All names of all files.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    visible: BTreeMap<PathBuf, Inode>,
    durable: BTreeMap<PathBuf, Inode>,
    /// Changes that are visible and not durable, oldest first.
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Inode> {
        self.visible.get(path).copied()
    }

    pub(super) fn visible(&self) -> impl Iterator<Item = (&Path, Inode)> {
        self.visible
            .iter()
            .map(|(path, inode)| (path.as_path(), *inode))
    }

    /// Every file that has a name, had one when the disk was last synced, or may get one.
    pub(super) fn inodes(&self) -> BTreeSet<Inode> {
        let pending = self
            .pending
            .iter()
            .filter_map(|change| change.adds.as_ref());
        let named = self.visible.values().chain(self.durable.values()).copied();
        named.chain(pending.map(|(_, inode)| *inode)).collect()
    }

    /// Removes and adds a name in one step.
    pub(super) fn change(&mut self, removes: Option<&Path>, adds: Option<(&Path, Inode)>) {
        let change = Change::new(removes, adds);
        change.apply(&mut self.visible);
        self.pending.push(change);
    }

    /// Adds a name that is durable at once.
    pub(super) fn add_durably(&mut self, path: &Path, inode: Inode) {
        let kept = self
            .pending
            .iter()
            .map(|change| change.touches(path))
            .collect();
        self.make_durable(kept);
        self.visible.insert(path.to_path_buf(), inode);
        self.durable.insert(path.to_path_buf(), inode);
    }

    pub(super) fn sync(&mut self, dir: &Path) {
        for change in &mut self.pending {
            change.waits_for.remove(dir);
        }
        let kept = self
            .pending
            .iter()
            .map(|change| change.waits_for.is_empty())
            .collect();
        self.make_durable(kept);
    }

    /// A sync that failed: some changes in `dir` are durable now, the others never will be.
    pub(super) fn fail_sync(&mut self, dir: &Path, rng: &mut SimRng) {
        let concerned = |change: &Change| change.waits_for.contains(dir);
        let kept = self
            .pending
            .iter()
            .map(|c| concerned(c) && rng.chance(0.5))
            .collect();
        self.make_durable(kept);
        self.pending.retain(|change| !concerned(change));
    }

    /// A power cut.
    pub(super) fn crash(&mut self, fate: Fate, rng: &mut SimRng) {
        let kept = self.pending.iter().map(|_| fate.keeps(rng)).collect();
        self.make_durable(kept);
        self.pending.clear();
        self.visible = self.durable.clone();
    }

    /// Makes the marked changes durable, and with each the earlier ones of the same names.
    fn make_durable(&mut self, mut kept: Vec<bool>) {
        for later in (0..kept.len())
            .rev()
            .filter(|i| kept[*i])
            .collect::<Vec<_>>()
        {
            self.mark_causes(later, &mut kept);
        }
        let mut index = 0;
        self.pending.retain(|change| {
            index += 1;
            if kept[index - 1] {
                change.apply(&mut self.durable);
            }
            !kept[index - 1]
        });
    }

    fn mark_causes(&self, later: usize, kept: &mut [bool]) {
        let mut todo = vec![later];
        while let Some(later) = todo.pop() {
            let causes = self.pending[..later]
                .iter()
                .zip(kept.iter_mut())
                .enumerate();
            for (earlier, (change, kept)) in causes {
                if !*kept && change.shares_a_name_with(&self.pending[later]) {
                    *kept = true;
                    todo.push(earlier);
                }
            }
        }
    }
}
