//! Carries operations out on a forest, and compares each answer with the oracle's or writes it
//! down.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{
    Cursor, Direction, Forest, ForestOptions, KeyRange, Mutation, ReadError, Seqno, TreeChange,
    TreeId,
};
use nexusbase_io::sim::{SimDisk, SimRng};

use super::kinds::ZONES;
use super::ops::{Op, SLOTS, View};
use super::oracle::{Oracle, Rows};

/// How background work is done beside the operations that ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Housekeeping {
    /// Only when asked for.
    Asked,
    /// Until nothing is left, after each entry.
    Eager,
}

/// What went wrong, and at which operation.
pub(crate) type Failure = (usize, String);

struct Slot {
    cursor: Cursor,
    /// What is still to come, if it is known.
    expected: std::vec::IntoIter<(Vec<u8>, Bytes)>,
}

pub(crate) struct Runner {
    disk: SimDisk,
    options: ForestOptions,
    housekeeping: Housekeeping,
    forest: Option<Forest>,
    oracle: Oracle,
    /// Whether answers are compared with the oracle's.
    compares: bool,
    /// What the log would have: entry 1 first.
    log: Vec<(Vec<TreeChange>, Vec<Mutation>)>,
    slots: [Option<Slot>; SLOTS],
    /// A hash of each answer.
    pub(crate) answers: Vec<u64>,
    rng: SimRng,
    checkpoints: usize,
    /// How many rows were compared.
    pub(crate) compared: usize,
    /// The most levels and tables that a tree had.
    pub(crate) most: (usize, usize),
}

const DIR: &str = "/forest";

impl Runner {
    pub(crate) fn new(options: ForestOptions, housekeeping: Housekeeping, compares: bool) -> Self {
        Self {
            disk: SimDisk::new(1),
            options,
            housekeeping,
            forest: None,
            oracle: Oracle::default(),
            compares,
            log: Vec::new(),
            slots: Default::default(),
            answers: Vec::new(),
            rng: SimRng::new(1),
            checkpoints: 0,
            compared: 0,
            most: (0, 0),
        }
    }

    /// Does everything, and what must hold in the end.
    pub(crate) fn run(&mut self, operations: &[Op]) -> Result<(), Failure> {
        self.forest = Some(self.open(Path::new(DIR)).map_err(|error| (0, error))?);
        for (place, operation) in operations.iter().enumerate() {
            self.carry_out(operation).map_err(|error| (place, error))?;
        }
        self.settle().map_err(|error| (operations.len(), error))
    }

    fn open(&self, dir: &Path) -> Result<Forest, String> {
        let fs = Arc::new(self.disk.clone());
        let forest = Forest::open(fs, dir, self.options.clone()).map_err(text)?;
        forest.remove_unreferenced().map_err(|e| e.to_string())?;
        Ok(forest)
    }

    fn forest(&self) -> &Forest {
        self.forest.as_ref().unwrap()
    }

    fn carry_out(&mut self, operation: &Op) -> Result<(), String> {
        match operation {
            Op::Apply(trees, mutations) => self.apply(trees, mutations)?,
            Op::Get(tree, key, at) => self.get(*tree, key, *at)?,
            Op::Scan(view) => self.scan(view)?,
            Op::Seek(view, seeks) => self.seek(view, seeks)?,
            Op::Where(view, zones) => self.scan_where(view, zones)?,
            Op::Sum(view) => self.sum(view)?,
            Op::Hold(slot, view) => self.hold(*slot, view)?,
            Op::Continue(slot, steps) => self.go_on(*slot, *steps)?,
            Op::Floor(at) => {
                self.oracle.floor = *at;
                self.forest().set_oldest_needed(Seqno::new(*at));
            }
            Op::Pins(pins) => {
                self.oracle.pins.clone_from(pins);
                let pins: Vec<_> = pins.iter().copied().map(Seqno::new).collect();
                self.forest().set_pins(&pins);
            }
            Op::Seal => drop(self.forest().seal()),
            Op::Flush => drop(self.forest().flush_step().map_err(text)?),
            Op::Compact => drop(self.forest().compact_step().map_err(text)?),
            Op::CompactTree(tree) => drop(self.forest().compact_tree(*tree).map_err(text)?),
            Op::RemoveTree => drop(self.forest().remove_tree_step().map_err(text)?),
            Op::RemoveObsolete => drop(self.forest().remove_obsolete_step().map_err(text)?),
            Op::Reopen { at_once } => self.reopen(*at_once)?,
            Op::Checkpoint => self.checkpoint()?,
        }
        self.oracle.flushed = self.forest().flushed_through().get();
        Ok(())
    }

    fn apply(&mut self, trees: &[TreeChange], mutations: &[Mutation]) -> Result<(), String> {
        self.oracle.forget();
        self.oracle.apply(trees, mutations);
        self.log.push((trees.to_vec(), mutations.to_vec()));
        let at = Seqno::new(self.oracle.applied);
        let applied = self.forest().apply(at, trees, mutations.iter().cloned());
        applied.map_err(text)?;
        if self.housekeeping == Housekeeping::Eager {
            while self.forest().flush_step().map_err(text)? {}
            while self.forest().compact_step().map_err(text)? {}
            self.forest().remove_obsolete_step().map_err(text)?;
        } else if self.forest().pressure().thousandths > 1000 {
            // As slow as writers are made then.
            self.forest().flush_step().map_err(text)?;
        }
        Ok(())
    }

    /// Compares an answer with the oracle's, and writes it down.
    fn check<T: PartialEq + Hash + std::fmt::Debug>(
        &mut self,
        what: impl FnOnce() -> String,
        found: Result<T, ReadError>,
        expected: impl FnOnce(&Oracle) -> Option<T>,
    ) -> Result<(), String> {
        if let Err(ReadError::Disk(error)) = &found {
            return Err(format!("{}: {error}", what()));
        }
        let found = found.ok();
        let mut hasher = DefaultHasher::new();
        found.hash(&mut hasher);
        self.answers.push(hasher.finish());
        if !self.compares {
            return Ok(());
        }
        let expected = expected(&self.oracle);
        if found != expected {
            let what = what();
            return Err(format!(
                "{what}:\n   found {found:?}\nexpected {expected:?}"
            ));
        }
        Ok(())
    }

    fn get(&mut self, tree: TreeId, key: &[u8], at: u64) -> Result<(), String> {
        let found = self.forest().get(tree, key, Seqno::new(at));
        let expected = |oracle: &Oracle| {
            let tree = oracle.tree(tree, at)?;
            Some(tree.get(key, at).cloned())
        };
        self.check(|| format!("get {key:?}"), found, expected)
    }

    fn cursor(&self, view: &View) -> Result<Cursor, ReadError> {
        let (range, at) = (view.range.clone(), Seqno::new(view.at));
        self.forest().cursor(view.tree, range, view.direction, at)
    }

    fn scan(&mut self, view: &View) -> Result<(), String> {
        let found = self.cursor(view).and_then(rows);
        self.compared += found.as_ref().map_or(0, Vec::len);
        self.check(|| "scan".to_owned(), found, |oracle| oracle.scan(view))
    }

    fn seek(&mut self, view: &View, seeks: &[(Vec<u8>, usize)]) -> Result<(), String> {
        let found = self.cursor(view).and_then(|mut cursor| {
            let mut found = Vec::new();
            for (key, steps) in seeks {
                let mut there = cursor.seek(key)?;
                let mut left = *steps;
                while there {
                    found.push((cursor.key().to_vec(), copy(cursor.value()?)));
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    there = cursor.advance()?;
                }
            }
            Ok(found)
        });
        let expected = |oracle: &Oracle| {
            let all = oracle.scan(view)?;
            let mut expected = Vec::new();
            for (key, steps) in seeks {
                let reached = all.iter().filter(|(other, _)| match view.direction {
                    Direction::Forward => other >= key,
                    Direction::Reverse => other <= key,
                });
                expected.extend(reached.take(steps + 1).cloned());
            }
            Some(expected)
        };
        self.check(|| format!("seek {seeks:?}"), found, expected)
    }

    fn scan_where(
        &mut self,
        view: &View,
        zones: &[(usize, RangeInclusive<u64>)],
    ) -> Result<(), String> {
        let (range, at) = (view.range.clone(), Seqno::new(view.at));
        let forest = self.forest();
        let cursor = forest.cursor_where(view.tree, range, view.direction, at, zones);
        let found = cursor.and_then(rows);
        let expected = |oracle: &Oracle| {
            let has_zones = !oracle.tree(view.tree, view.at)?.kind.zones.is_empty();
            let mut rows = oracle.scan(view)?;
            rows.retain(|(key, _)| {
                let fits = |(zone, wanted): &(usize, RangeInclusive<u64>)| {
                    wanted.contains(&ZONES[*zone](key))
                };
                !has_zones || zones.iter().all(fits)
            });
            Some(rows)
        };
        self.check(|| "where".to_owned(), found, expected)
    }

    fn sum(&mut self, view: &View) -> Result<(), String> {
        let at = Seqno::new(view.at);
        let found = self.forest().sum(view.tree, &view.range, at);
        let found = found.map(|sum| (sum.rows, sum.fingerprint.0));
        let expected = |oracle: &Oracle| {
            let sum = oracle.tree(view.tree, view.at)?.sum(&view.range, view.at);
            Some((sum.rows, sum.fingerprint.0))
        };
        self.check(|| "sum".to_owned(), found, expected)
    }

    fn hold(&mut self, slot: usize, view: &View) -> Result<(), String> {
        let expected = self.oracle.scan(view).unwrap_or_default();
        self.slots[slot] = match self.cursor(view) {
            Ok(cursor) => Some(Slot {
                cursor,
                expected: expected.into_iter(),
            }),
            Err(ReadError::Disk(error)) => return Err(text(error)),
            Err(_) => None,
        };
        Ok(())
    }

    fn go_on(&mut self, number: usize, steps: usize) -> Result<(), String> {
        let Some(mut slot) = self.slots[number].take() else {
            return Ok(());
        };
        for _ in 0..steps {
            let row = match slot.cursor.advance().map_err(text)? {
                true => {
                    let key = slot.cursor.key().to_vec();
                    Some((key, copy(slot.cursor.value().map_err(text)?)))
                }
                false => None,
            };
            let next = slot.expected.next();
            self.check(|| "a held scan".to_owned(), Ok(row), |_| Some(next))?;
        }
        self.slots[number] = Some(slot);
        Ok(())
    }

    fn reopen(&mut self, at_once: bool) -> Result<(), String> {
        self.slots = Default::default();
        self.note_shape();
        let flushed = self.forest().flushed_through();
        self.forest = None;
        let forest = self.open(Path::new(DIR))?;
        if forest.applied() != flushed || forest.flushed_through() != flushed {
            return Err(format!("{flushed} was flushed, {} is", forest.applied()));
        }
        self.compare_all(&forest, flushed.get())?;
        let seqno = |place: usize| Seqno::new(place as u64 + 1);
        let first = usize::try_from(flushed.get()).unwrap();
        let later = self.log.iter().enumerate().skip(first);
        if at_once {
            let mut trees = Vec::new();
            let mut changes = Vec::new();
            for (place, (created, mutations)) in later {
                trees.extend(created.iter().map(|change| (seqno(place), change.clone())));
                changes.extend(
                    mutations
                        .iter()
                        .map(|change| (seqno(place), change.clone())),
                );
            }
            let through = Seqno::new(self.oracle.applied);
            forest.replay(through, &trees, changes).map_err(text)?;
        } else {
            for (place, (trees, mutations)) in later {
                let mutations = mutations.iter().cloned();
                forest.apply(seqno(place), trees, mutations).map_err(text)?;
            }
        }
        let between = self.oracle.applied - flushed.get();
        let at = flushed.get() + self.rng.below(between + 1);
        if at >= self.oracle.floor {
            self.compare_all(&forest, at)?;
        }
        self.compare_all(&forest, self.oracle.applied)?;
        forest.set_oldest_needed(Seqno::new(self.oracle.applied));
        self.oracle.floor = self.oracle.applied;
        self.oracle.pins.clear();
        self.forest = Some(forest);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        self.checkpoints += 1;
        let dir = PathBuf::from(format!("/checkpoint{}", self.checkpoints));
        let through = self.forest().checkpoint(&dir).map_err(text)?;
        let copy = self.open(&dir)?;
        if copy.applied() != through || self.forest().flushed_through() != through {
            return Err(format!("{through} was said, {} is there", copy.applied()));
        }
        self.compare_all(&copy, through.get())?;
        drop(copy);
        for path in self.disk.paths() {
            if path.starts_with(&dir) {
                nexusbase_io::Fs::remove(&self.disk, &path).map_err(text)?;
            }
        }
        Ok(())
    }

    /// Whether everything is in a forest, at a seqno that need not be readable in the first.
    fn compare_all(&mut self, forest: &Forest, at: u64) -> Result<(), String> {
        if !self.compares {
            return Ok(());
        }
        for (id, tree) in &self.oracle.trees {
            let Ok(cursor) =
                forest.cursor(*id, KeyRange::all(), Direction::Forward, Seqno::new(at))
            else {
                // Not created yet, or dropped already: then nothing can be there.
                if tree.dropped.is_none_or(|dropped| at < dropped)
                    && !tree
                        .scan(&KeyRange::all(), Direction::Forward, at)
                        .is_empty()
                {
                    return Err(format!("tree {id} is not there at {at}"));
                }
                continue;
            };
            let found = rows(cursor).map_err(text)?;
            let expected = tree.scan(&KeyRange::all(), Direction::Forward, at);
            self.compared += found.len();
            if found != expected {
                let applied = self.oracle.applied;
                return Err(format!(
                    "tree {id} at {at} of {applied}:\n   found {found:?}\nexpected {expected:?}"
                ));
            }
        }
        Ok(())
    }

    fn note_shape(&mut self) {
        for tree in self.forest().stats().trees.values() {
            let levels = tree.levels.iter().filter(|level| level.tables > 0).count();
            let tables = tree.levels.iter().map(|level| level.tables).sum();
            self.most = (self.most.0.max(levels), self.most.1.max(tables));
        }
    }

    /// What is left when nobody reads the past and everything was cleaned up.
    fn settle(&mut self) -> Result<(), String> {
        self.note_shape();
        self.slots = Default::default();
        let applied = self.oracle.applied;
        self.oracle.pins.clear();
        self.oracle.floor = applied;
        let forest = self.forest.take().unwrap();
        forest.set_pins(&[]);
        forest.set_oldest_needed(Seqno::new(applied));
        forest.seal();
        while forest.flush_step().map_err(text)? {}
        while forest.compact_step().map_err(text)? {}
        while forest.remove_tree_step().map_err(text)? {}
        self.compare_all(&forest, applied)?;
        for (id, _) in self.oracle.live() {
            forest.compact_tree(id).map_err(text)?;
        }
        while forest.compact_step().map_err(text)? {}
        self.compare_all(&forest, applied)?;
        forest.remove_obsolete_step().map_err(text)?;
        let stats = forest.stats();
        if stats.weight_faults > 0 {
            return Err(format!("{} weights were wrong", stats.weight_faults));
        }
        let mut tables = 0;
        for (id, tree) in &stats.trees {
            let rows: u64 = tree.levels.iter().map(|level| level.rows).sum();
            tables += tree.levels.iter().map(|level| level.tables).sum::<usize>();
            let live = self.oracle.tree(*id, applied);
            let live = live.map_or(0, |tree| tree.sum(&KeyRange::all(), applied).rows);
            // What is to be merged onto a value that is kept apart stays beside it.
            let most = if tree.kind == "sets" { 2 * live } else { live };
            let right = (live..=most).contains(&rows) && tree.entries == 0;
            if tree.range_deletes > 0 || !right {
                return Err(format!("tree {id} has {live} live rows, but {tree:?}"));
            }
        }
        let files = self.disk.paths();
        let files = files.iter().filter(|path| path.starts_with(DIR));
        let ending = |end: &str| {
            let with = files
                .clone()
                .filter(|path| path.extension().is_some_and(|e| e == end));
            with.count()
        };
        if (ending("tbl"), ending("blob")) != (tables, stats.blob_files) {
            return Err(format!("{stats:?}, but {:?}", files.collect::<Vec<_>>()));
        }
        Ok(())
    }
}

fn rows(mut cursor: Cursor) -> Result<Rows, ReadError> {
    let mut rows = Vec::new();
    while cursor.advance()? {
        rows.push((cursor.key().to_vec(), copy(cursor.value()?)));
    }
    Ok(rows)
}

fn copy(value: &[u8]) -> Bytes {
    Bytes::copy_from_slice(value)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
