//! What background work shares: the state that the manifest has, who works on which files, and
//! the one way in which either changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::blob::BlobFile;
use crate::compaction::picker::Busy;
use crate::error::StepError;
use crate::forest::{Forest, SealedSet};
use crate::manifest::AppendError;
use crate::manifest::edit::Edit;
use crate::manifest::state::{State, TreeFiles};
use crate::range_delete::RangeDeletes;
use crate::row::FileId;
use crate::table::cursor::Run;
use crate::table::reader::Table;
use crate::tree::{Roster, Tables, Tree};
use crate::{DiskError, TreeId};

/// What background work knows.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// What the manifest says.
    pub(crate) state: State,
    /// The number of the next file.
    pub(crate) next_file: u64,
    /// What compactions work on, by tree.
    pub(crate) busy: BTreeMap<TreeId, Busy>,
    /// Dropped trees that somebody removes: nobody else does, and nobody compacts them.
    pub(crate) removing: BTreeSet<TreeId>,
    /// Somebody flushes.
    pub(crate) flushing: bool,
    /// Files that nothing refers to any more, but that a reader may still hold.
    pub(crate) obsolete: Vec<Obsolete>,
    /// The manifest could not be written: nothing more can be done until it is opened anew.
    pub(crate) failed: Option<StepError>,
    /// Tables that could not be compacted, and until which turn they are left alone.
    pub(crate) set_aside: BTreeMap<FileId, u64>,
    /// Counted up with each compaction, so that every tree and table has its turn.
    pub(crate) turn: u64,
}

/// A file to be removed when nobody holds it any more.
#[derive(Debug)]
pub(crate) struct Obsolete {
    pub(crate) path: PathBuf,
    pub(crate) held: Held,
}

/// What keeps a file in use.
#[derive(Debug)]
pub(crate) enum Held {
    Table(Arc<Table>),
    Blob(Arc<BlobFile>),
}

impl Obsolete {
    fn is_free(&self) -> bool {
        match &self.held {
            Held::Table(table) => Arc::strong_count(table) == 1,
            Held::Blob(blob) => Arc::strong_count(blob) == 1,
        }
    }
}

/// Files that an edit brings, opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) blobs: Vec<(FileId, Arc<BlobFile>)>,
}

impl Forest {
    /// A number for a new file.
    pub(crate) fn new_file(&self) -> FileId {
        let mut background = self.background.lock();
        let id = FileId(background.next_file);
        background.next_file += 1;
        id
    }

    /// Makes an edit durable, then visible. The files that it names must be durable, and so must
    /// their folder's entries. `flushed` is the sealed set that the edit has put into tables.
    pub(crate) fn commit(
        &self,
        mut edit: Edit,
        opened: &Opened,
        flushed: Option<&SealedSet>,
    ) -> Result<(), StepError> {
        let mut manifest = self.manifest.lock();
        if self.stopping.load(Ordering::Relaxed) {
            return Err(StepError::Stopped);
        }
        let mut state = {
            let background = self.background.lock();
            if let Some(failed) = &background.failed {
                return Err(failed.clone());
            }
            edit.next_file = background.next_file;
            background.state.clone()
        };
        // Somebody else may have retired the same meanwhile, or removed the tree.
        edit.range_deletes_retired.retain(|(id, delete)| {
            let files = state.trees.get(id);
            files.is_some_and(|files| files.range_deletes.contains(delete))
        });
        state
            .apply_or_spoil(&edit)
            .map_err(StepError::Inconsistent)?;
        // Blob files that nothing refers to any more go with the last that did.
        let unused = state.blobs.iter().filter(|(_, blob)| blob.tables == 0);
        edit.blobs_removed = unused.map(|(id, _)| *id).collect();
        state.blobs.retain(|_, blob| blob.tables > 0);
        self.noted(manifest.append(&edit))?;
        // The picture first: who picks tables from the state must find them open.
        let gone = self.publish(&edit, &state, opened, flushed);
        let mut background = self.background.lock();
        background.state = state;
        background.obsolete.extend(gone);
        Ok(())
    }

    /// Remembers when the manifest is at its end.
    fn noted(&self, appended: Result<(), AppendError>) -> Result<(), StepError> {
        appended.map_err(|error| {
            let error = StepError::from(error);
            if matches!(error, StepError::Manifest(_)) {
                self.background.lock().failed = Some(error.clone());
            }
            error
        })
    }

    /// Gives readers a picture of the trees that an edit has changed. Returns the files that are
    /// not in it any more.
    fn publish(
        &self,
        edit: &Edit,
        state: &State,
        opened: &Opened,
        flushed: Option<&SealedSet>,
    ) -> Vec<Obsolete> {
        let mut changed: BTreeSet<TreeId> = BTreeSet::new();
        changed.extend(edit.added.iter().map(|(tree, ..)| *tree));
        changed.extend(edit.removed.iter().map(|(tree, ..)| *tree));
        changed.extend(edit.moved.iter().map(|(tree, ..)| *tree));
        changed.extend(edit.range_deletes_retired.iter().map(|(tree, _)| *tree));
        let memtables = flushed.map_or(&[][..], |set| &set.memtables);
        changed.extend(memtables.iter().map(|(tree, _)| *tree));
        let mut gone = Vec::new();
        let mut sealing = self.sealing.lock();
        let mut roster = Roster::clone(&self.trees.load());
        for id in changed {
            let (Some(tree), Some(files)) = (roster.get(id), state.trees.get(&id)) else {
                continue;
            };
            let mut new = Tree::clone(tree);
            new.tables = Arc::new(tables_of(files, state, &tree.tables, opened, &mut gone));
            new.sealed.retain(|memtable| {
                let is_flushed = |flushed: &(TreeId, _)| Arc::ptr_eq(&flushed.1, memtable);
                !memtables.iter().any(is_flushed)
            });
            retire(&mut new, id, edit);
            #[cfg(feature = "broken-on-purpose")]
            if flushed.is_some() {
                break_picture(self.options.broken, &mut new, id, edit);
            }
            roster.set(id, new);
        }
        for id in &edit.trees_removed {
            if let Some(tree) = roster.remove(*id) {
                let nothing = Tables::default();
                gone.extend(unused_between(&tree.tables, &nothing));
            }
        }
        if flushed.is_some() {
            sealing.sets.pop_front();
        }
        self.trees.store(Arc::new(roster));
        self.measure_pressure(&sealing);
        gone
    }

    /// Makes sure that damage to the manifest's last edit would be noticed. To be called when
    /// nothing has happened for a while, and before the end. Costs a sync, unless it was done.
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub fn claim_step(&self) -> Result<(), StepError> {
        let mut manifest = self.manifest.lock();
        if let Some(failed) = &self.background.lock().failed {
            return Err(failed.clone());
        }
        self.noted(manifest.claim())
    }

    /// Removes files that nothing refers to and nobody reads any more. Returns how many.
    ///
    /// # Errors
    /// When a file cannot be removed. It is tried again, and at the latest at the next opening.
    pub fn remove_obsolete_step(&self) -> Result<usize, StepError> {
        let free: Vec<Obsolete> = {
            let mut background = self.background.lock();
            background
                .obsolete
                .extract_if(.., |o| o.is_free())
                .collect()
        };
        let count = free.len();
        let mut failed = None;
        for obsolete in free {
            if let Err(error) = self.fs.remove(&obsolete.path)
                && !error.is_not_found()
            {
                self.background.lock().obsolete.push(obsolete);
                failed = Some(DiskError::from(error));
            }
        }
        match failed {
            Some(error) => Err(StepError::Disk(error)),
            None => Ok(count),
        }
    }
}

/// What a defect makes of the picture that a flush gives to readers.
#[cfg(feature = "broken-on-purpose")]
fn break_picture(broken: crate::options::Broken, tree: &mut Tree, id: TreeId, edit: &Edit) {
    use crate::options::Broken;
    if broken == Broken::NewerBehindOlder {
        let mut level0 = tree.tables.level0.clone();
        if !level0.is_empty() {
            level0.rotate_left(1);
        }
        tree.tables = Arc::new(Tables {
            level0,
            runs: tree.tables.runs.clone(),
            blobs: Arc::clone(&tree.tables.blobs),
        });
    }
    if broken == Broken::RangeDeleteForgotten {
        let added = &edit.range_deletes_added;
        let mut left: Vec<_> = tree.range_deletes.iter().cloned().collect();
        left.retain(|delete| !added.iter().any(|(of, gone)| *of == id && gone == delete));
        tree.range_deletes = Arc::new(RangeDeletes::new(&left));
    }
}

/// Forgets the range deletes that no row is subject to any more.
fn retire(tree: &mut Tree, id: TreeId, edit: &Edit) {
    let retired = || {
        edit.range_deletes_retired
            .iter()
            .filter(|(of, _)| *of == id)
    };
    if retired().next().is_none() {
        return;
    }
    let left = tree.range_deletes.iter();
    let left = left.filter(|delete| !retired().any(|(_, gone)| gone == *delete));
    let left: Vec<_> = left.cloned().collect();
    tree.range_deletes = Arc::new(RangeDeletes::new(&left));
}

/// The tables that the state gives a tree, taken from those that are open. What was in `before`
/// and is not used any more goes to `gone`.
pub(crate) fn tables_of(
    files: &TreeFiles,
    state: &State,
    before: &Tables,
    opened: &Opened,
    gone: &mut Vec<Obsolete>,
) -> Tables {
    let known = before
        .all()
        .flat_map(|run| run.tables())
        .chain(&opened.tables);
    let known: BTreeMap<FileId, &Arc<Table>> = known.map(|table| (table.meta.id, table)).collect();
    let open = |id: FileId| known.get(&id).map(|table| Arc::clone(table));
    let level = |level: &Vec<Arc<crate::table::meta::TableMeta>>| -> Vec<Arc<Table>> {
        level.iter().filter_map(|meta| open(meta.id)).collect()
    };
    let mut levels = files.levels.iter().map(level);
    let level0 = levels.next().unwrap_or_default();
    let level0 = level0
        .into_iter()
        .map(|table| Arc::new(Run::new(vec![table])));
    let runs = levels.filter(|tables| !tables.is_empty());
    let used = files.tables().flat_map(|(_, table)| &table.blobs);
    let used: BTreeSet<FileId> = used.map(|used| used.file).collect();
    let blobs = before.blobs.iter().map(|(id, blob)| (*id, blob));
    let blobs = blobs.chain(opened.blobs.iter().map(|(id, blob)| (*id, blob)));
    let blobs = blobs.filter(|(id, _)| used.contains(id) && state.blobs.contains_key(id));
    let after = Tables {
        level0: level0.collect(),
        runs: runs.map(|tables| Arc::new(Run::new(tables))).collect(),
        blobs: Arc::new(blobs.map(|(id, blob)| (id, Arc::clone(blob))).collect()),
    };
    gone.extend(unused_between(before, &after));
    after
}

/// What `before` has and `after` has not.
fn unused_between(before: &Tables, after: &Tables) -> Vec<Obsolete> {
    let kept = after.all().flat_map(|run| run.tables());
    let kept: BTreeSet<FileId> = kept.map(|table| table.meta.id).collect();
    let tables = before.all().flat_map(|run| run.tables());
    let tables = tables.filter(|table| !kept.contains(&table.meta.id));
    let tables = tables.map(|table| Obsolete {
        path: table.path().to_path_buf(),
        held: Held::Table(Arc::clone(table)),
    });
    let blobs = before.blobs.iter();
    let blobs = blobs.filter(|(id, _)| !after.blobs.contains_key(id));
    let blobs = blobs.map(|(_, blob)| Obsolete {
        path: blob.path().to_path_buf(),
        held: Held::Blob(Arc::clone(blob)),
    });
    tables.chain(blobs).collect()
}
