//! Random work on a forest and on the simplest thing that could be right: a map that keeps every
//! version for ever. What the forest drops must never show.
#![cfg(test)]

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{
    ApplyError, Change, Direction, Forest, KeyRange, Mutation, ReadError, Seqno, TreeId,
};
use nexusbase_io::sim::SimRng;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Default)]
struct ModelTree {
    keys: BTreeMap<Vec<u8>, BTreeMap<u64, Option<Vec<u8>>>>,
    dropped: Option<u64>,
}

impl ModelTree {
    fn get(&self, key: &[u8], at: u64) -> Option<Vec<u8>> {
        self.keys.get(key)?.range(..=at).next_back()?.1.clone()
    }

    fn scan(&self, range: &KeyRange, direction: Direction, at: u64) -> Rows {
        let keys = self.keys.keys().filter(|key| range.contains(key));
        let mut rows: Rows = keys
            .filter_map(|key| Some((key.clone(), self.get(key, at)?)))
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows
    }
}

struct World {
    rng: SimRng,
    forest: Forest,
    trees: BTreeMap<TreeId, ModelTree>,
    next_tree: u32,
    applied: u64,
    oldest_needed: u64,
    /// How many rows reads have compared.
    compared: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: SimRng::new(seed),
            forest: Forest::new(),
            trees: BTreeMap::new(),
            next_tree: 1,
            applied: 0,
            oldest_needed: 0,
            compared: 0,
        }
    }

    /// Few keys, so that they have many versions; some longer than what a row keeps inline.
    fn key(&mut self) -> Vec<u8> {
        let mut key = match self.rng.below(4) {
            0 => Vec::new(),
            1 => vec![0; self.rng.index(3)],
            2 => b"a prefix that is longer than 24 bytes".to_vec(),
            _ => b"common".to_vec(),
        };
        for _ in 0..self.rng.index(3) {
            key.push([0, b'a', b'b', 254, 255][self.rng.index(5)]);
        }
        key
    }

    fn range(&mut self) -> KeyRange {
        if self.rng.chance(0.2) {
            return KeyRange::all();
        }
        if self.rng.chance(0.3) {
            return KeyRange::prefix(&self.key());
        }
        let mut bound = || match self.rng.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(self.key()),
            _ => Bound::Excluded(self.key()),
        };
        KeyRange::from_bounds(bound(), bound())
    }

    fn any_tree(&mut self) -> TreeId {
        // One more than there are: unknown trees are part of the test.
        TreeId::new(1 + u32::try_from(self.rng.below(u64::from(self.next_tree))).unwrap())
    }

    fn create_tree(&mut self) {
        let id = TreeId::new(self.next_tree);
        self.next_tree += 1;
        self.forest.create_tree(id).unwrap();
        assert_eq!(self.forest.create_tree(id), Err(ApplyError::TreeExists(id)));
        self.trees.insert(id, ModelTree::default());
    }

    fn drop_tree(&mut self) {
        let id = self.any_tree();
        let result = self.forest.drop_tree(id, Seqno::new(self.applied));
        match self
            .trees
            .get_mut(&id)
            .filter(|tree| tree.dropped.is_none())
        {
            Some(tree) => {
                result.unwrap();
                tree.dropped = Some(self.applied);
            }
            None => assert_eq!(result, Err(ApplyError::UnknownTree(id))),
        }
    }

    fn apply(&mut self) {
        let at = self.applied + 1;
        let mut entry = BTreeMap::new();
        for _ in 0..self.rng.index(6) {
            let tree = self.any_tree();
            if self
                .trees
                .get(&tree)
                .is_some_and(|tree| tree.dropped.is_none())
            {
                let value = format!("{at} {}", self.rng.below(10)).into_bytes();
                entry.insert((tree, self.key()), self.rng.chance(0.6).then_some(value));
            }
        }
        let mutations = entry.iter().map(|((tree, key), value)| Mutation {
            tree: *tree,
            key: Bytes::copy_from_slice(key),
            change: match value {
                Some(value) => Change::Put(Bytes::copy_from_slice(value)),
                None => Change::Delete,
            },
        });
        self.forest.apply(Seqno::new(at), mutations).unwrap();
        self.applied = at;
        for ((tree, key), value) in entry {
            let tree = self.trees.get_mut(&tree).unwrap();
            tree.keys.entry(key).or_default().insert(at, value);
        }
    }

    fn read(&mut self) {
        let id = self.any_tree();
        // Also one below and one above what can be read.
        let span = self.applied - self.oldest_needed + 3;
        let at = (self.oldest_needed + self.rng.below(span)).saturating_sub(1);
        let (key, range) = (self.key(), self.range());
        let direction = [Direction::Forward, Direction::Reverse][self.rng.index(2)];
        let found = self.forest.get(id, &key, Seqno::new(at));
        let rows = self
            .forest
            .scan(id, range.clone(), direction, Seqno::new(at));
        let tree = self
            .trees
            .get(&id)
            .filter(|tree| tree.dropped.is_none_or(|drop| at < drop));
        let (seqno, bound) = (Seqno::new(at), Seqno::new);
        let expected_error = if at > self.applied {
            Some(ReadError::NotApplied {
                at: seqno,
                applied: bound(self.applied),
            })
        } else if tree.is_none() {
            Some(ReadError::UnknownTree {
                tree: id,
                at: seqno,
            })
        } else if at < self.oldest_needed {
            Some(ReadError::TooOld {
                at: seqno,
                oldest_needed: bound(self.oldest_needed),
            })
        } else {
            None
        };
        if let Some(expected) = expected_error {
            // A tree that was dropped long ago is unknown, or too old to ask for.
            let other = ReadError::UnknownTree {
                tree: id,
                at: seqno,
            };
            let error = found.unwrap_err();
            assert!(error == expected || error == other, "{error}");
            assert_eq!(rows.unwrap_err(), error);
            return;
        }
        let tree = tree.unwrap();
        assert_eq!(
            found.unwrap().map(|value| value.to_vec()),
            tree.get(&key, at),
            "{key:?} {at}"
        );
        let rows: Rows = rows
            .unwrap()
            .map(|row| {
                row.map(|(key, value)| (key.to_vec(), value.to_vec()))
                    .unwrap()
            })
            .collect();
        assert_eq!(
            rows,
            tree.scan(&range, direction, at),
            "{range:?} {direction:?} {at}"
        );
        self.compared += rows.len();
    }

    fn advance_oldest_needed(&mut self) {
        let ahead = self.applied - self.oldest_needed;
        self.oldest_needed += self.rng.below(ahead + 1);
        self.forest
            .set_oldest_needed(Seqno::new(self.oldest_needed));
        // It never goes back.
        self.forest
            .set_oldest_needed(Seqno::new(self.oldest_needed / 2));
        assert_eq!(self.forest.oldest_needed().get(), self.oldest_needed);
    }

    /// What is left when nobody reads the past and everything was cleaned up.
    fn settle(&mut self) {
        self.forest.set_oldest_needed(Seqno::new(self.applied));
        self.oldest_needed = self.applied;
        while self.forest.stats().superseding > 0 {
            self.applied += 1;
            self.forest.apply(Seqno::new(self.applied), []).unwrap();
        }
        self.forest.set_oldest_needed(Seqno::new(self.applied));
        self.oldest_needed = self.applied;
        let alive = self.trees.iter().filter(|(_, tree)| tree.dropped.is_none());
        let expected: BTreeMap<TreeId, u64> = alive
            .map(|(id, tree)| {
                let rows = tree.scan(&KeyRange::all(), Direction::Forward, self.applied);
                (*id, rows.len() as u64)
            })
            .collect();
        let found = self
            .forest
            .stats()
            .trees
            .into_iter()
            .map(|(id, tree)| (id, tree.entries));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    }

    fn run(&mut self, operations: u64) {
        for operation in 0..operations {
            match self.rng.below(1000) {
                0..=4 if self.next_tree < 40 => self.create_tree(),
                5..=6 if operation > 1000 => self.drop_tree(),
                7..=30 => self.advance_oldest_needed(),
                31..=32 => self.settle(),
                33..=600 => self.apply(),
                _ => self.read(),
            }
        }
        self.settle();
    }
}

#[test]
fn every_read_at_a_needed_seqno_equals_the_model_and_garbage_goes() {
    let mut compared = 0;
    for seed in 0..30 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.run(5_000);
        compared += world.compared;
    }
    assert!(
        compared > 100_000,
        "{compared} rows are too few to prove anything"
    );
}
