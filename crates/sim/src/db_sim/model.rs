//! What a database should contain: written without a look at how the database does it.

use std::collections::BTreeMap;

use nexusbase_db::{Bytes, Direction, KeyRange, TreeId};

use crate::Check;

pub(super) type Key = Vec<u8>;

/// The state of all trees.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) trees: BTreeMap<String, TreeId>,
    pub(super) rows: BTreeMap<(TreeId, Key), Bytes>,
}

/// A change.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(String, TreeId),
    Drop(String, TreeId),
    Put(TreeId, Key, Bytes),
    Delete(TreeId, Key),
}

/// What a transaction did: changes, and reads with what they showed.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Change(Op),
    Find(String, Option<TreeId>),
    Get(TreeId, Key, Option<Bytes>),
    Scan(Scanned),
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
            Op::Put(tree, key, value) => {
                self.rows.insert((*tree, key.clone()), value.clone());
            }
            Op::Delete(tree, key) => {
                self.rows.remove(&(*tree, key.clone()));
            }
        }
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

/// What a commit leaves of its own changes, by tree and key, the catalog left out.
pub(super) fn net(ops: &[Op]) -> BTreeMap<(TreeId, Key), Option<Bytes>> {
    let mut net = BTreeMap::new();
    for op in ops {
        match op {
            Op::Create(..) => {}
            Op::Drop(_, tree) => net.retain(|(of, _), _| of != tree),
            Op::Put(tree, key, value) => {
                net.insert((*tree, key.clone()), Some(value.clone()));
            }
            Op::Delete(tree, key) => {
                net.insert((*tree, key.clone()), None);
            }
        }
    }
    net
}

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
