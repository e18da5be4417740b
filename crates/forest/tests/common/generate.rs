//! Random operations by seed. They keep what the forest asks of its owner: numbers of trees are
//! new, pins can be read, and what is put into a counted tree is not there.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{Change, Direction, KeyRange, Mutation, TreeChange, TreeId};
use nexusbase_io::sim::SimRng;

use super::kinds::{KEYS, KINDS, key};
use super::ops::{Op, SLOTS, View};
use super::oracle::Oracle;

pub(crate) struct Generator {
    rng: SimRng,
    oracle: Oracle,
    next_tree: u32,
}

/// Trees at a time.
const TREES_MAX: usize = 5;

/// Operations that a seed makes.
pub(crate) fn operations(seed: u64, count: usize) -> Vec<Op> {
    let mut generator = Generator {
        rng: SimRng::new(seed),
        oracle: Oracle::default(),
        next_tree: 1,
    };
    let creates = (0..KINDS.len()).map(|kind| generator.create(kind));
    let creates = creates.collect();
    let mut operations = vec![generator.entry(creates, Vec::new())];
    while operations.len() < count {
        let next = generator.next();
        operations.push(next);
    }
    operations
}

impl Generator {
    fn create(&mut self, kind: usize) -> TreeChange {
        let tree = TreeId::new(self.next_tree);
        // Gaps happen too.
        self.next_tree += 1 + u32::from(self.rng.chance(0.2));
        let kind = KINDS[kind].name.to_owned();
        TreeChange::Create { tree, kind }
    }

    fn entry(&mut self, trees: Vec<TreeChange>, mutations: Vec<Mutation>) -> Op {
        self.oracle.apply(&trees, &mutations);
        Op::Apply(trees, mutations)
    }

    fn next(&mut self) -> Op {
        match self.rng.below(1000) {
            0..400 => self.write(),
            400..402 => self.change_trees(),
            402..600 => Op::Get(self.tree(), self.key(), self.seqno()),
            600..690 => Op::Scan(self.view()),
            690..730 => {
                let view = self.view();
                let seeks = 1 + self.rng.index(4);
                let seek = |me: &mut Self| (me.key(), me.rng.index(4));
                Op::Seek(view, (0..seeks).map(|_| seek(self)).collect())
            }
            730..770 => Op::Where(self.view(), self.zones()),
            770..830 => Op::Sum(self.view()),
            830..836 => Op::Hold(self.rng.index(SLOTS), self.wide_view()),
            836..852 => Op::Continue(self.rng.index(SLOTS), 1 + self.rng.index(20)),
            852..880 => self.floor(),
            880..890 => self.pins(),
            890..896 => Op::Seal,
            896..924 => Op::Flush,
            924..984 => Op::Compact,
            984..985 => Op::CompactTree(self.tree()),
            985..988 => Op::RemoveTree,
            988..998 => Op::RemoveObsolete,
            998 => Op::Checkpoint,
            _ => self.reopen(),
        }
    }

    fn write(&mut self) -> Op {
        let live: Vec<TreeId> = self.oracle.live().map(|(id, _)| id).collect();
        let mut mutations = Vec::new();
        let mut written = BTreeSet::new();
        if live.is_empty() {
            return self.entry(Vec::new(), mutations);
        }
        let deletes_range = self.rng.chance(0.01);
        if deletes_range {
            let tree = live[self.rng.index(live.len())];
            mutations.push(self.delete_range(tree));
        }
        let limit = if self.rng.chance(0.02) { 60 } else { 4 };
        let count = self.rng.index(limit);
        for _ in 0..count {
            let tree = live[self.rng.index(live.len())];
            let kind = self.oracle.trees[&tree].kind;
            let key = Bytes::from(self.key());
            let change = if kind.counted {
                // The first change of a key in an entry has to be right; and after a range
                // delete in the same entry it is not plain what that is.
                let first = written.insert((tree, key.clone()));
                if deletes_range {
                    continue;
                }
                let is_there = self.oracle.trees[&tree].get(&key, u64::MAX).is_some();
                match if first {
                    is_there
                } else {
                    self.rng.chance(0.5)
                } {
                    true => Change::Delete,
                    false => Change::Put(self.value()),
                }
            } else {
                match self.rng.below(10) {
                    0..3 => Change::Delete,
                    3..8 if kind.merge.is_some() => Change::Merge(self.bits()),
                    _ if kind.merge.is_some() => Change::Put(self.bits()),
                    _ => Change::Put(self.value()),
                }
            };
            mutations.push(Mutation { tree, key, change });
        }
        if self.rng.chance(0.1) {
            let turn = self.rng.index(mutations.len());
            let is_counted = |m: &Mutation| self.oracle.trees[&m.tree].kind.counted;
            if !mutations.iter().any(is_counted) {
                mutations.rotate_left(turn);
            }
        }
        self.entry(Vec::new(), mutations)
    }

    fn delete_range(&mut self, tree: TreeId) -> Mutation {
        let start = self.rng.below(KEYS);
        let length = match self.rng.below(10) {
            0 => KEYS,
            1 => 0,
            _ => self.rng.below(40),
        };
        let end = self.rng.chance(0.95).then(|| key(start + length).into());
        Mutation {
            tree,
            key: Bytes::from(key(start)),
            change: Change::DeleteRange { end },
        }
    }

    fn change_trees(&mut self) -> Op {
        let live: Vec<TreeId> = self.oracle.live().map(|(id, _)| id).collect();
        if live.len() < 2 || (live.len() < TREES_MAX && self.rng.chance(0.6)) {
            let kind = self.rng.index(KINDS.len());
            let create = self.create(kind);
            return self.entry(vec![create], Vec::new());
        }
        let tree = live[self.rng.index(live.len())];
        self.entry(vec![TreeChange::Drop { tree }], Vec::new())
    }

    fn tree(&mut self) -> TreeId {
        let known: Vec<TreeId> = self.oracle.trees.keys().copied().collect();
        if known.is_empty() || self.rng.chance(0.01) {
            return TreeId::new(self.next_tree);
        }
        known[self.rng.index(known.len())]
    }

    fn number(&mut self) -> u64 {
        if self.rng.chance(0.3) {
            return 100 + self.rng.below(12);
        }
        self.rng.below(KEYS)
    }

    fn key(&mut self) -> Vec<u8> {
        key(self.number())
    }

    fn value(&mut self) -> Bytes {
        let length = match self.rng.below(8) {
            0 => self.rng.index(3),
            1 => self.rng.index(300),
            _ => self.rng.index(50),
        };
        let mut value = self.oracle.applied.to_be_bytes().to_vec();
        value.resize(8 + length, b'.');
        value.drain(..4);
        if length > 20 {
            self.rng.fill(&mut value[8..14]);
        }
        value.into()
    }

    /// One bit of a few, or of many.
    fn bits(&mut self) -> Bytes {
        let length = if self.rng.chance(0.2) { 60 } else { 6 };
        let mut bits = vec![0; 1 + self.rng.index(length)];
        let at = self.rng.index(bits.len());
        bits[at] = 1 << self.rng.below(8);
        bits.into()
    }

    /// A seqno that can be read at; rarely, one that cannot.
    fn seqno(&mut self) -> u64 {
        let (floor, applied) = (self.oracle.floor, self.oracle.applied);
        match self.rng.below(100) {
            0 => applied + 1,
            1 => floor.saturating_sub(1 + self.rng.below(10)),
            2..20 => floor,
            20..40 if !self.oracle.pins.is_empty() => {
                let pins = &self.oracle.pins;
                pins[self.rng.index(pins.len())]
            }
            40..70 => floor + self.rng.below(applied - floor + 1),
            _ => applied,
        }
    }

    fn view(&mut self) -> View {
        View {
            tree: self.tree(),
            range: self.range(),
            direction: self.direction(),
            at: self.seqno(),
        }
    }

    fn wide_view(&mut self) -> View {
        let range = KeyRange::all();
        View {
            range,
            ..self.view()
        }
    }

    fn direction(&mut self) -> Direction {
        [Direction::Forward, Direction::Reverse][self.rng.index(2)]
    }

    fn range(&mut self) -> KeyRange {
        match self.rng.below(100) {
            0..4 => return KeyRange::all(),
            4..40 => {
                let mut prefix = self.key();
                prefix.truncate(1 + self.rng.index(3));
                if !prefix.is_empty() {
                    return KeyRange::prefix(&prefix);
                }
            }
            _ => {}
        }
        let start = self.number();
        let end = match self.rng.below(20) {
            // In the wrong order.
            0 => start.saturating_sub(self.rng.below(10)),
            _ => start + self.rng.below(40),
        };
        let mut bound = |number| match self.rng.below(40) {
            0 => Bound::Unbounded,
            1..20 => Bound::Included(key(number)),
            _ => Bound::Excluded(key(number)),
        };
        KeyRange::from_bounds(bound(start), bound(end))
    }

    fn zones(&mut self) -> Vec<(usize, std::ops::RangeInclusive<u64>)> {
        let mut zones = Vec::new();
        for zone in 0..2 {
            if self.rng.chance(0.7) {
                let from = self.rng.below(256);
                zones.push((zone, from..=from + self.rng.below(100)));
            }
        }
        zones
    }

    fn floor(&mut self) -> Op {
        let ahead = self.oracle.applied - self.oracle.floor;
        let step = match self.rng.below(4) {
            0 => ahead,
            _ => self.rng.below(ahead + 1),
        };
        self.oracle.floor += step;
        self.oracle.flushed = self.oracle.floor;
        self.oracle.forget();
        Op::Floor(self.oracle.floor)
    }

    fn pins(&mut self) -> Op {
        let oracle = &mut self.oracle;
        oracle.pins.retain(|_| self.rng.chance(0.7));
        let free = 3_usize.saturating_sub(oracle.pins.len());
        for _ in 0..self.rng.index(free + 1) {
            let span = oracle.applied - oracle.floor + 1;
            oracle.pins.push(oracle.floor + self.rng.below(span));
        }
        oracle.pins.sort_unstable();
        oracle.pins.dedup();
        Op::Pins(oracle.pins.clone())
    }

    fn reopen(&mut self) -> Op {
        self.oracle.pins.clear();
        self.oracle.floor = self.oracle.applied;
        self.oracle.flushed = self.oracle.floor;
        self.oracle.forget();
        let at_once = self.rng.chance(0.5);
        Op::Reopen { at_once }
    }
}
