//! What a database should contain: written without a look at how the database does it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use nexusbase_db::{Bytes, Direction, KeyRange, Mutation, RowChange, TreeId};

use super::kinds::union;
use crate::Check;

pub(super) type Key = Vec<u8>;

/// The state of all trees.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) trees: BTreeMap<String, TreeId>,
    pub(super) rows: BTreeMap<(TreeId, Key), Bytes>,
    /// Versions that are kept, and by whom.
    pub(super) kept: BTreeSet<(u64, String)>,
}

/// A change.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(String, TreeId),
    Drop(String, TreeId),
    Put(TreeId, Key, Bytes),
    Delete(TreeId, Key),
    DeleteRange(TreeId, KeyRange),
    Merge(TreeId, Key, Bytes),
    /// A put of a key that was not there, into a counted tree.
    Insert(TreeId, Key, Bytes),
    /// A delete of a key that was there, from a counted tree.
    Remove(TreeId, Key),
    Keep(u64, String),
    /// Of a version that was kept.
    Release(u64, String),
}

/// What a transaction did: changes, and reads with what they showed.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Change(Op),
    Find(String, Option<TreeId>),
    Get(TreeId, Key, Option<Bytes>),
    Scan(Scanned),
    /// Whether a version was kept.
    IsKept(u64, String, bool),
    /// All kept versions by owners of a prefix.
    Kept(String, Vec<(u64, String)>),
}

impl Step {
    pub(super) const fn change(&self) -> Option<&Op> {
        match self {
            Self::Change(op) => Some(op),
            _ => None,
        }
    }
}

/// A scan, and the rows that it showed.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    pub(super) tree: TreeId,
    pub(super) range: KeyRange,
    pub(super) direction: Direction,
    /// How many rows were taken.
    pub(super) limit: usize,
    pub(super) rows: Vec<(Key, Bytes)>,
}

impl State {
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(name, tree) => {
                self.trees.insert(name.clone(), *tree);
            }
            Op::Drop(name, tree) => {
                self.trees.remove(name);
                self.rows.retain(|(of, _), _| of != tree);
            }
            Op::Put(tree, key, value) | Op::Insert(tree, key, value) => {
                self.rows.insert((*tree, key.clone()), value.clone());
            }
            Op::Delete(tree, key) | Op::Remove(tree, key) => {
                self.rows.remove(&(*tree, key.clone()));
            }
            Op::DeleteRange(tree, range) => {
                self.rows
                    .retain(|(of, key), _| of != tree || !range.contains(key));
            }
            Op::Merge(tree, key, operand) => {
                let row = self.rows.entry((*tree, key.clone()));
                row.and_modify(|value| *value = union(value, operand).into())
                    .or_insert_with(|| operand.clone());
            }
            Op::Keep(version, owner) => {
                self.kept.insert((*version, owner.clone()));
            }
            Op::Release(version, owner) => {
                self.kept.remove(&(*version, owner.clone()));
            }
        }
    }

    pub(super) fn is_kept(&self, version: u64, owner: &str) -> bool {
        self.kept.contains(&(version, owner.to_owned()))
    }

    pub(super) fn kept_by(&self, prefix: &str) -> Vec<(u64, String)> {
        let kept = self.kept.iter();
        kept.filter(|(_, owner)| owner.starts_with(prefix))
            .cloned()
            .collect()
    }

    pub(super) fn get(&self, tree: TreeId, key: &[u8]) -> Option<Bytes> {
        self.rows.get(&(tree, key.to_vec())).cloned()
    }

    pub(super) fn scan(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Vec<(Key, Bytes)> {
        let mut rows: Vec<(Key, Bytes)> = self
            .rows
            .iter()
            .filter(|((of, key), _)| *of == tree && range.contains(key))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows.truncate(limit);
        rows
    }

    /// The state after all of `steps`, if each of their reads shows here what it showed there.
    pub(super) fn replay(&self, steps: &[Step]) -> Check<Self> {
        let mut state = self.clone();
        for step in steps {
            match step {
                Step::Change(op) => state.apply(op),
                Step::Find(name, found) => same("find", &state.trees.get(name).copied(), found)?,
                Step::Get(tree, key, found) => same("get", &state.get(*tree, key), found)?,
                Step::Scan(scan) => {
                    let rows = state.scan(scan.tree, &scan.range, scan.direction, scan.limit);
                    same("scan", &rows, &scan.rows)?;
                }
                Step::IsKept(version, owner, found) => {
                    same("kept", &state.is_kept(*version, owner), found)?;
                }
                Step::Kept(prefix, found) => same("kept", &state.kept_by(prefix), found)?,
            }
        }
        Ok(state)
    }
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Check {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (short(expected), short(found));
    Err(format!("{what} should show {expected}, and shows {found}"))
}

fn short(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take(300).collect()
}

/// What a commit leaves of its own changes, trees that come and go left out.
#[derive(Debug, Default)]
pub(super) struct Net {
    /// Trees that are new: nothing lies beneath what is written there.
    created: Vec<TreeId>,
    ranges: Vec<(TreeId, KeyRange)>,
    rows: BTreeMap<(TreeId, Key), RowChange>,
    /// Whether a version is kept or released.
    kept: BTreeMap<Vec<u8>, RowChange>,
}

/// The key of a kept version, as `docs/format.md` describes it.
fn key_of_kept(version: u64, owner: &str) -> Vec<u8> {
    [&[4][..], &version.to_be_bytes(), owner.as_bytes()].concat()
}

impl Net {
    pub(super) fn of(ops: &[Op]) -> Self {
        let mut net = Self::default();
        ops.iter().for_each(|op| net.add(op));
        net
    }

    fn add(&mut self, op: &Op) {
        let row = |tree: &TreeId, key: &Key| (*tree, key.clone());
        match op {
            Op::Create(_, tree) => self.created.push(*tree),
            Op::Drop(_, tree) => {
                self.rows.retain(|(of, _), _| of != tree);
                self.ranges.retain(|(of, _)| of != tree);
            }
            Op::Put(tree, key, value) => {
                let put = RowChange::Put(value.clone());
                self.rows.insert(row(tree, key), put);
            }
            Op::Delete(tree, key) => {
                self.rows.insert(row(tree, key), RowChange::Delete);
            }
            // Of one and the other in one transaction nothing is left.
            Op::Insert(tree, key, value) => {
                if self.rows.remove(&row(tree, key)).is_none() {
                    let put = RowChange::Put(value.clone());
                    self.rows.insert(row(tree, key), put);
                }
            }
            Op::Remove(tree, key) => {
                if self.rows.remove(&row(tree, key)).is_none() {
                    self.rows.insert(row(tree, key), RowChange::Delete);
                }
            }
            Op::DeleteRange(tree, range) => {
                self.rows
                    .retain(|(of, key), _| of != tree || !range.contains(key));
                if !self.created.contains(tree) && !range.is_empty() {
                    self.ranges.push((*tree, range.clone()));
                }
            }
            Op::Merge(tree, key, operand) => {
                let hidden = self.created.contains(tree) || self.deletes(*tree, key);
                let merged = match self.rows.get(&row(tree, key)) {
                    Some(RowChange::Put(value)) => RowChange::Put(union(value, operand).into()),
                    Some(RowChange::Merge(before)) => {
                        RowChange::Merge(union(before, operand).into())
                    }
                    None if !hidden => RowChange::Merge(operand.clone()),
                    _ => RowChange::Put(operand.clone()),
                };
                self.rows.insert(row(tree, key), merged);
            }
            Op::Keep(version, owner) => {
                let put = RowChange::Put(Bytes::new());
                self.kept.insert(key_of_kept(*version, owner), put);
            }
            Op::Release(version, owner) => {
                let key = key_of_kept(*version, owner);
                if self.kept.remove(&key).is_none() {
                    self.kept.insert(key, RowChange::Delete);
                }
            }
        }
    }

    /// Whether a range that it deletes has the key.
    fn deletes(&self, tree: TreeId, key: &[u8]) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(of, range)| *of == tree && range.contains(key))
    }

    /// Whether nothing is written: then it is no commit.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.ranges.is_empty() && self.kept.is_empty()
    }

    /// Whether `shown`, with the rows of trees in the catalog left out, is the same: of ranges, as far as the keys
    /// go that there can be.
    pub(super) fn compare<'a>(&self, shown: impl Iterator<Item = &'a Mutation>) -> Check {
        let mut found = Self::default();
        for mutation in shown {
            let Mutation { tree, key, change } = mutation;
            if *tree == TreeId::new(0) {
                found.kept.insert(key.to_vec(), change.clone());
            } else if let RowChange::DeleteRange { end } = change {
                if found.rows.keys().any(|(of, _)| of == tree) {
                    return Err("a range is deleted behind the rows of its tree".to_owned());
                }
                let end = end.as_ref().map(|end| end.to_vec());
                let end = end.map_or(Bound::Unbounded, Bound::Excluded);
                let range = KeyRange::from_bounds(Bound::Included(key.to_vec()), end);
                found.ranges.push((*tree, range));
            } else {
                found.rows.insert((*tree, key.to_vec()), change.clone());
            }
        }
        same("the entry", &self.rows, &found.rows)?;
        same("the entry", &self.kept, &found.kept)?;
        for (tree, _) in self.ranges.iter().chain(&found.ranges) {
            for key in all_keys() {
                let what = "whether the entry deletes a key by a range";
                let deletes = |net: &Self| (*tree, &key[..], net.deletes(*tree, &key));
                same(what, &deletes(self), &deletes(&found))?;
            }
        }
        Ok(())
    }
}

/// All keys that are ever used.
pub(super) fn all_keys() -> Vec<Key> {
    let mut keys = vec![Vec::new(), vec![0xff; 2], vec![b'l'; 300]];
    keys.extend((0..KEYS).map(|n| format!("k{n}").into_bytes()));
    keys
}

/// How many ordinary keys there are at most.
pub(super) const KEYS: u64 = 60;

/// All commits that were ever submitted and may have happened, by index.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    commits: Vec<Vec<Op>>,
    /// The state after all of them.
    pub(super) head: State,
    /// A state on the way, and its index: most questions are about one near the last.
    cached: (u64, State),
    /// What a power cut must leave at least.
    pub(super) durable: u64,
    /// What a kill must leave at least.
    pub(super) acknowledged: u64,
}

impl Timeline {
    /// The index of the last commit.
    pub(super) const fn last(&self) -> u64 {
        self.commits.len() as u64
    }

    /// Takes a commit in; returns the index that it must get.
    pub(super) fn push(&mut self, ops: Vec<Op>, head: State) -> u64 {
        self.commits.push(ops);
        self.head = head;
        self.last()
    }

    pub(super) fn acknowledge(&mut self, index: u64, durable: bool) {
        self.acknowledged = self.acknowledged.max(index);
        if durable {
            self.durable = self.durable.max(index);
        }
    }

    /// Only the commits up to `last` have happened.
    pub(super) fn cut(&mut self, last: u64) {
        self.commits
            .truncate(usize::try_from(last).unwrap_or(usize::MAX));
        self.head = self.state_at(last);
    }

    pub(super) fn commit(&self, index: u64) -> Option<&[Op]> {
        let at = usize::try_from(index.checked_sub(1)?).ok()?;
        self.commits.get(at).map(Vec::as_slice)
    }

    /// The state after commit `index`.
    pub(super) fn state_at(&mut self, index: u64) -> State {
        if self.cached.0 > index {
            self.cached = (0, State::default());
        }
        while self.cached.0 < index {
            let (done, state) = &mut self.cached;
            let at = usize::try_from(*done).unwrap_or(usize::MAX);
            let Some(ops) = self.commits.get(at) else {
                break;
            };
            ops.iter().for_each(|op| state.apply(op));
            *done += 1;
        }
        self.cached.1.clone()
    }
}
