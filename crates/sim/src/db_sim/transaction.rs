//! What transactions do: random steps, each compared with what it should show.

use std::ops::Bound;

use nexusbase_db::{Bytes, KeyRange, Transaction, TreeId, View, WriteError};
use nexusbase_io::sim::SimRng;

use super::kinds::{NAMES, kind_of};
use super::look::{direction, rows};
use super::model::{Op, Scanned, State, Step, same};
use super::reads::{Read, again};
use crate::Check;
use crate::world::World;

/// What a transaction should see, and what it did.
pub(super) struct Work {
    /// Its snapshot with its own changes.
    pub(super) local: State,
    pub(super) steps: Vec<Step>,
}

/// What is drawn at random for the steps of transactions.
pub(super) struct Dice {
    pub(super) rng: SimRng,
    pub(super) value_bytes: u64,
    pub(super) keys: u64,
}

pub(super) fn tell(op: &Op) -> String {
    let text = |key: &[u8]| format!("{:.12}", String::from_utf8_lossy(key));
    match op {
        Op::Create(name, tree) => format!("create {name} = {tree}"),
        Op::Drop(name, tree) => format!("drop {name} = {tree}"),
        Op::Put(tree, key, value) | Op::Insert(tree, key, value) => {
            format!("{tree}/{} = {} bytes", text(key), value.len())
        }
        Op::Delete(tree, key) | Op::Remove(tree, key) => format!("delete {tree}/{}", text(key)),
        Op::DeleteRange(tree, range) => {
            format!("delete {tree}/{:?}..{:?}", range.start(), range.end())
        }
        Op::Merge(tree, key, value) => format!("merge {tree}/{}: {value:?}", text(key)),
        Op::Keep(version, owner) => format!("keep {version} as {owner}"),
        Op::Release(version, owner) => format!("release {version} as {owner}"),
    }
}

impl Work {
    /// One random step, and whether it shows what it should. Nothing if the power goes.
    pub(super) fn step(
        &mut self,
        world: &mut World,
        tx: &mut Transaction,
        dice: &mut Dice,
    ) -> Check {
        if dice.rng.below(12) == 0 {
            return self.versions(world, tx, dice);
        }
        let name = NAMES[dice.rng.index(NAMES.len())];
        let kind = kind_of(name);
        let Some(found) = again(world, || Ok(tx.tree(name)?))? else {
            return Ok(());
        };
        same("find", &self.local.trees.get(name).copied(), &found)?;
        self.steps.push(Step::Find(name.to_owned(), found));
        let Some(tree) = found else {
            if let Some(tree) = again(world, || Ok(tx.create_tree_of(name, &kind)?))? {
                self.change(Op::Create(name.to_owned(), tree));
            }
            return Ok(());
        };
        match dice.rng.below(100) {
            0..=2 => self.drop_tree(world, tx, name, tree),
            3..=54 if kind.counted => self.insert(world, tx, tree, dice),
            55..=69 if kind.counted => self.remove(world, tx, tree, dice),
            3..=30 if kind.merge.is_some() => {
                let (key, operand) = (dice.key(), dice.set());
                let merged = again(world, || Ok(tx.merge(tree, &key, &operand)?))?;
                self.changed(merged, Op::Merge(tree, key, operand))
            }
            3..=54 => {
                let key = dice.key();
                let value = if kind.merge.is_some() {
                    dice.set()
                } else {
                    dice.value()
                };
                let put = again(world, || Ok(tx.put(tree, &key, &value)?))?;
                self.changed(put, Op::Put(tree, key, value))
            }
            55..=66 => {
                let key = dice.key();
                let deleted = again(world, || Ok(tx.delete(tree, &key)?))?;
                self.changed(deleted, Op::Delete(tree, key))
            }
            67..=69 => {
                let range = KeyRange::from_bounds(dice.bound(), dice.bound());
                let deleted = again(world, || Ok(tx.delete_range(tree, &range)?))?;
                self.changed(deleted, Op::DeleteRange(tree, range))
            }
            70..=89 => {
                let key = dice.key();
                let Some(found) = again(world, || Ok(tx.get(tree, &key)?))? else {
                    return Ok(());
                };
                same("get", &self.local.get(tree, &key), &found)?;
                self.steps.push(Step::Get(tree, key, found));
                Ok(())
            }
            _ => self.scan(world, tx, tree, dice),
        }
    }

    pub(super) fn change(&mut self, op: Op) {
        self.local.apply(&op);
        self.steps.push(Step::Change(op));
    }

    /// Notes a change, if it was made.
    fn changed(&mut self, made: Option<()>, op: Op) -> Check {
        if made.is_some() {
            self.change(op);
        }
        Ok(())
    }

    fn drop_tree(
        &mut self,
        world: &mut World,
        tx: &mut Transaction,
        name: &str,
        tree: TreeId,
    ) -> Check {
        let Some(there) = again(world, || Ok(tx.drop_tree(name)?))? else {
            return Ok(());
        };
        same("dropping a tree", &true, &there)?;
        self.change(Op::Drop(name.to_owned(), tree));
        if tx.put(tree, b"k", b"").is_ok() {
            return Err(format!("tree {tree} is dropped and takes writes"));
        }
        if tx.get(tree, b"k1").is_ok() {
            return Err(format!("tree {tree} is dropped and can be read"));
        }
        Ok(())
    }

    /// Puts a key into a counted tree, where it always has the same value.
    fn insert(
        &mut self,
        world: &mut World,
        tx: &mut Transaction,
        tree: TreeId,
        dice: &mut Dice,
    ) -> Check {
        let key = dice.key();
        let value = Bytes::from(key.repeat(key.last().map_or(1, |last| usize::from(last % 40))));
        let other = dice.rng.chance(0.2);
        let put = |tx: &mut Transaction| -> Read {
            tx.put(tree, &key, &value)?;
            if !other {
                return Ok(());
            }
            match tx.put(tree, &key, b"another") {
                Err(WriteError::CountedTree(_)) => Ok(()),
                Ok(()) => Err("a counted tree takes another value".to_owned().into()),
                Err(e) => Err(e.into()),
            }
        };
        if again(world, || put(tx))?.is_none() {
            return Ok(());
        }
        let before = self.local.get(tree, &key);
        let is_new = before.is_none();
        self.steps.push(Step::Get(tree, key.clone(), before));
        self.changed(is_new.then_some(()), Op::Insert(tree, key, value))
    }

    /// Deletes a key from a counted tree.
    fn remove(
        &mut self,
        world: &mut World,
        tx: &mut Transaction,
        tree: TreeId,
        dice: &mut Dice,
    ) -> Check {
        let key = dice.key();
        if again(world, || Ok(tx.delete(tree, &key)?))?.is_none() {
            return Ok(());
        }
        let before = self.local.get(tree, &key);
        let was_there = before.is_some();
        self.steps.push(Step::Get(tree, key.clone(), before));
        self.changed(was_there.then_some(()), Op::Remove(tree, key))
    }

    fn scan(
        &mut self,
        world: &mut World,
        tx: &Transaction,
        tree: TreeId,
        dice: &mut Dice,
    ) -> Check {
        let range = KeyRange::from_bounds(dice.bound(), dice.bound());
        let direction = direction(dice.rng.chance(0.5));
        let limit = [1, 3, usize::MAX][dice.rng.index(3)];
        let read = || rows(tx, tree, range.clone(), direction, limit);
        let Some(found) = again(world, read)? else {
            return Ok(());
        };
        let expected = self.local.scan(tree, &range, direction, limit);
        same("scan", &expected, &found)?;
        self.steps.push(Step::Scan(Scanned {
            tree,
            range,
            direction,
            limit,
            rows: found,
        }));
        Ok(())
    }
}

impl Dice {
    fn key(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0 => Vec::new(),
            1 => vec![0xff; 2],
            2 => vec![b'l'; 300],
            _ => format!("k{}", self.rng.below(self.keys)).into_bytes(),
        }
    }

    fn bound(&mut self) -> Bound<Vec<u8>> {
        match self.rng.below(4) {
            0 => Bound::Included(self.key()),
            1 => Bound::Excluded(self.key()),
            _ => Bound::Unbounded,
        }
    }

    fn value(&mut self) -> Bytes {
        let length = match self.rng.below(200) {
            0 => 70_000 + self.rng.below(30_000),
            1..=100 => self.rng.below(40),
            _ => self.rng.below(self.value_bytes),
        };
        let mut start = [0; 16];
        self.rng.fill(&mut start);
        let length = usize::try_from(length).unwrap_or(0);
        (0..length).map(|at| start[at % 16]).collect()
    }

    /// A set of bytes: they are in order, and none comes twice.
    fn set(&mut self) -> Bytes {
        let mut set = vec![0; self.rng.index(40)];
        self.rng.fill(&mut set);
        set.sort_unstable();
        set.dedup();
        set.into()
    }
}
