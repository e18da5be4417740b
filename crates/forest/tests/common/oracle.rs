//! The simplest thing that could be right: maps that keep every version.

use std::collections::BTreeMap;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Direction, FingerprintSum, KeyRange, Mutation, RangeSum, TreeChange, TreeId, TreeKind,
};

use super::kinds::{KINDS, add_fingerprint, union};
use super::ops::View;

pub(crate) type Rows = Vec<(Vec<u8>, Bytes)>;

/// Versions of a key, oldest first.
type Versions = Vec<(u64, Option<Bytes>)>;

pub(crate) struct OracleTree {
    pub(crate) kind: TreeKind,
    pub(crate) dropped: Option<u64>,
    keys: BTreeMap<Vec<u8>, Versions>,
}

#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) trees: BTreeMap<TreeId, OracleTree>,
    pub(crate) applied: u64,
    pub(crate) floor: u64,
    pub(crate) pins: Vec<u64>,
    /// What nobody reads, but must be there after a reopening.
    pub(crate) flushed: u64,
}

/// Versions of a key before the unneeded are looked for.
const VERSIONS_MAX: usize = 40;

fn version(versions: &Versions, at: u64) -> Option<&Bytes> {
    let newer = versions.partition_point(|(seqno, _)| *seqno <= at);
    versions[..newer].last()?.1.as_ref()
}

fn push(versions: &mut Versions, at: u64, value: Option<Bytes>) {
    versions.pop_if(|last| last.0 == at);
    versions.push((at, value));
}

impl OracleTree {
    fn is_live(&self) -> bool {
        self.dropped.is_none()
    }

    pub(crate) fn get(&self, key: &[u8], at: u64) -> Option<&Bytes> {
        version(self.keys.get(key)?, at)
    }

    fn range(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Versions)> {
        let bounds = (!range.is_empty()).then(|| (range.start(), range.end()));
        bounds
            .into_iter()
            .flat_map(|bounds| self.keys.range::<[u8], _>(bounds))
    }

    pub(crate) fn scan(&self, range: &KeyRange, direction: Direction, at: u64) -> Rows {
        let rows = self.range(range);
        let mut rows: Rows = rows
            .filter_map(|(key, versions)| Some((key.clone(), version(versions, at)?.clone())))
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows
    }

    pub(crate) fn sum(&self, range: &KeyRange, at: u64) -> RangeSum {
        let mut sum = RangeSum::default();
        for (key, versions) in self.range(range) {
            if version(versions, at).is_some() {
                sum.rows += 1;
                if self.kind.fingerprint.is_some() {
                    add_fingerprint(&mut sum.fingerprint, key);
                }
            }
        }
        debug_assert!(sum.rows > 0 || sum.fingerprint == FingerprintSum::default());
        sum
    }

    fn delete_range(&mut self, start: &[u8], end: Option<&Bytes>, at: u64) {
        let keys = self
            .keys
            .range_mut::<[u8], _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded));
        for (_, versions) in keys.take_while(|(key, _)| end.is_none_or(|end| key.as_slice() < end))
        {
            if version(versions, at).is_some() {
                push(versions, at, None);
            }
        }
    }
}

impl Oracle {
    pub(crate) fn is_readable(&self, at: u64) -> bool {
        at <= self.applied && (at >= self.floor || self.pins.contains(&at))
    }

    /// The tree, if a reader at `at` finds it.
    pub(crate) fn tree(&self, id: TreeId, at: u64) -> Option<&OracleTree> {
        let tree = self.trees.get(&id).filter(|_| self.is_readable(at));
        tree.filter(|tree| tree.dropped.is_none_or(|dropped| at < dropped))
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (TreeId, &OracleTree)> {
        let live = self.trees.iter().filter(|(_, tree)| tree.is_live());
        live.map(|(id, tree)| (*id, tree))
    }

    pub(crate) fn scan(&self, view: &View) -> Option<Rows> {
        let tree = self.tree(view.tree, view.at)?;
        Some(tree.scan(&view.range, view.direction, view.at))
    }

    /// Applies the next entry.
    pub(crate) fn apply(&mut self, trees: &[TreeChange], mutations: &[Mutation]) {
        self.applied += 1;
        let at = self.applied;
        for change in trees {
            if let TreeChange::Create { tree, kind } = change {
                let kind = *KINDS.iter().find(|known| known.name == kind).unwrap();
                let (dropped, keys) = (None, BTreeMap::new());
                let new = OracleTree {
                    kind,
                    dropped,
                    keys,
                };
                self.trees.insert(*tree, new);
            }
        }
        // Range deletes concern what earlier entries wrote, wherever they stand.
        for mutation in mutations {
            if let Change::DeleteRange { end } = &mutation.change {
                let tree = self.trees.get_mut(&mutation.tree).unwrap();
                tree.delete_range(&mutation.key, end.as_ref(), at);
            }
        }
        // Of two changes of a key, the last counts.
        let mut rows: BTreeMap<(TreeId, &Bytes), &Change> = BTreeMap::new();
        for mutation in mutations {
            if !matches!(mutation.change, Change::DeleteRange { .. }) {
                rows.insert((mutation.tree, &mutation.key), &mutation.change);
            }
        }
        for ((tree, key), change) in rows {
            self.write(tree, key, change, at);
        }
        for change in trees {
            if let TreeChange::Drop { tree } = change {
                self.trees.get_mut(tree).unwrap().dropped = Some(at);
            }
        }
    }

    fn write(&mut self, tree: TreeId, key: &Bytes, change: &Change, at: u64) {
        let mut needed = self.pins.clone();
        needed.extend([self.flushed, self.floor]);
        let newest_needed = self.floor.max(self.flushed);
        let least = self.floor.min(self.flushed);
        let tree = self.trees.get_mut(&tree).unwrap();
        let versions = tree.keys.entry(key.to_vec()).or_default();
        let value = match change {
            Change::Put(value) => Some(value.clone()),
            Change::Merge(operand) => Some(match version(versions, at) {
                Some(base) => Bytes::from(union(base, operand)),
                None => operand.clone(),
            }),
            Change::Delete | Change::DeleteRange { .. } => None,
        };
        push(versions, at, value);
        if versions.len() > VERSIONS_MAX && newest_needed < at {
            let seqnos: Vec<u64> = versions.iter().map(|(seqno, _)| *seqno).collect();
            let mut place = 0;
            versions.retain(|(seqno, _)| {
                place += 1;
                let until = seqnos.get(place).copied().unwrap_or(u64::MAX);
                until > least || needed.iter().any(|at| seqno <= at && *at < until)
            });
        }
    }

    /// Forgets trees that nobody can find any more.
    pub(crate) fn forget(&mut self) {
        let least = self.pins.iter().copied().min().unwrap_or(self.floor);
        let least = least.min(self.floor).min(self.flushed);
        self.trees
            .retain(|_, tree| tree.dropped.is_none_or(|dropped| dropped > least));
    }
}
