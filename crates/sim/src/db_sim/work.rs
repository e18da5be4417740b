//! What happens while the database lives.

use std::ops::Bound;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use nexusbase_db::{
    Bytes, CommitError, CommitHandle, Durability, Error, KeyRange, Transaction, TreeId, View,
};
use nexusbase_io::sim::SimRng;

use super::Sim;
use super::look::{direction, rows};
use super::model::{Op, Scanned, State, Step, same};
use crate::Check;

const NAMES: [&str; 4] = ["accounts", "b", "index", "zz"];

/// A transaction that is being worked on.
pub(super) struct OpenTransaction {
    tx: Transaction,
    work: Work,
}

/// What a transaction should see, and what it did.
struct Work {
    /// Its snapshot with its own changes.
    local: State,
    steps: Vec<Step>,
}

/// What is drawn at random for the steps of transactions.
struct Dice {
    rng: SimRng,
    value_bytes: u64,
}

impl Sim {
    fn dice(&mut self) -> Dice {
        Dice {
            rng: SimRng::new(self.world.rng.next_u64()),
            value_bytes: self.value_bytes,
        }
    }

    /// Begins a transaction, or goes on with one.
    pub(super) fn work_on_transaction(&mut self) -> Check {
        let mut dice = self.dice();
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        if life.transactions.is_empty()
            || (life.transactions.len() < 3 && self.world.rng.chance(0.4))
        {
            let tx = life.db.begin();
            let local = self.timeline.state_at(tx.snapshot_index().get());
            let steps = Vec::new();
            let work = Work { local, steps };
            life.transactions.push(OpenTransaction { tx, work });
        }
        let one = self.world.rng.index(life.transactions.len());
        let OpenTransaction { tx, work } = &mut life.transactions[one];
        for _ in 0..=self.world.rng.below(3) {
            work.step(tx, &mut dice)?;
        }
        Ok(())
    }

    /// Commits a transaction, and waits for it or not.
    pub(super) fn commit_one(&mut self) -> Check {
        let Some(life) = self
            .life
            .as_mut()
            .filter(|life| !life.transactions.is_empty())
        else {
            return self.work_on_transaction();
        };
        let one = self.world.rng.index(life.transactions.len());
        let OpenTransaction { tx, work } = life.transactions.remove(one);
        let before = tx.snapshot_index().get();
        match tx.commit() {
            Ok(handle) => self.accepted(handle, work, before)?,
            Err(CommitError::Conflict { .. }) if self.timeline.last() > before => {
                self.world.story.tell("a commit is refused: conflict");
                self.world.story.report.conflicts += 1;
            }
            Err(CommitError::Stopped(_)) if self.has_stopped() => {}
            Err(e) => return Err(format!("commit: {e}")),
        }
        match self.world.rng.below(3) {
            0 => self.wait_for_one(),
            _ => Ok(()),
        }
    }

    /// Runs a transaction as users do, with automatic retry.
    pub(super) fn transact(&mut self) -> Check {
        let mut dice = self.dice();
        let (stay, timeline) = (self.world.rng.chance(0.7), &mut self.timeline);
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        // Transactions of others may be on their way: then this one may have to run twice.
        let mut wrong = Ok(());
        let started = life.db.transact_start(|tx| {
            let local = timeline.state_at(tx.snapshot_index().get());
            let steps = Vec::new();
            let mut work = Work { local, steps };
            for _ in 0..3 {
                wrong = wrong.clone().and_then(|()| work.step(tx, &mut dice));
            }
            Ok::<_, Error>((work, tx.snapshot_index().get()))
        });
        wrong?;
        // Earlier ones may have been refused for lack of space meanwhile.
        self.hear_answers()?;
        match started {
            Ok(((work, before), handle)) => self.accepted(handle, work, before)?,
            Err(Error::Commit(CommitError::Stopped(_))) if self.has_stopped() => return Ok(()),
            Err(e) => return Err(format!("transact: {e}")),
        }
        if stay { self.wait_for_one() } else { Ok(()) }
    }

    fn accepted(&mut self, handle: CommitHandle, work: Work, before: u64) -> Check {
        let changes = |step: &Step| matches!(step, Step::Change(_));
        if !work.steps.iter().any(changes) {
            let index = handle.wait().map_err(|e| format!("a read failed: {e}"))?;
            return same("a transaction that only reads", &before, &index.get());
        }
        let head = self
            .timeline
            .head
            .replay(&work.steps)
            .map_err(|e| format!("a commit was accepted that is not serializable: {e}"))?;
        let ops: Vec<Op> = work
            .steps
            .into_iter()
            .filter_map(|step| match step {
                Step::Change(op) => Some(op),
                _ => None,
            })
            .collect();
        let text: Vec<String> = ops.iter().map(tell).collect();
        let index = self.timeline.push(ops, head);
        self.world
            .story
            .tell(format!("commit {index} submitted: [{}]", text.join(", ")));
        self.in_flight.push_back((index, handle));
        Ok(())
    }

    /// Waits for one of the commits on their way.
    pub(super) fn wait_for_one(&mut self) -> Check {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let one = self.world.rng.index(self.in_flight.len());
        let (index, handle) = &self.in_flight[one];
        let answer = handle.wait();
        self.world
            .story
            .tell(format!("waited for {index}: {answer:?}"));
        Ok(())
    }

    pub(super) fn housekeeping(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Ok(());
        };
        life.db.housekeeping_step();
        self.world.story.tell("housekeeping");
        if matches!(self.durability, Durability::Interval(_)) && life.db.stopped().is_none() {
            let visible = life.db.snapshot().index().get();
            self.timeline.acknowledge(visible, true);
        }
        Ok(())
    }

    pub(super) fn has_stopped(&self) -> bool {
        let stopped = self.life.as_ref().and_then(|life| life.db.stopped());
        matches!(stopped, Some(CommitError::Stopped(_)))
    }

    /// Learns what the last step has done to the commits on their way, and whether the database
    /// has stopped, which it may only if a fault was met since operation `before`.
    pub(super) fn hear(&mut self, before: u64) -> Check {
        if self.has_stopped() {
            let excused = self.world.excused(before);
            let Some(life) = &mut self.life else {
                return Ok(());
            };
            if !life.stopped && !excused {
                return Err(format!(
                    "it stopped without a reason: {:?}",
                    life.db.stopped()
                ));
            }
            life.stopped = true;
        }
        self.hear_answers()
    }

    /// Takes in what is answered of the commits on their way.
    pub(super) fn hear_answers(&mut self) -> Check {
        let mut context = Context::from_waker(Waker::noop());
        while let Some((index, handle)) = self.in_flight.front_mut() {
            let index = *index;
            match Pin::new(handle).poll(&mut context) {
                Poll::Pending | Poll::Ready(Err(CommitError::Stopped(_))) => return Ok(()),
                Poll::Ready(Ok(given)) => {
                    same("a commit's index", &index, &given.get())?;
                    let durable = self.durability == Durability::Always;
                    self.timeline.acknowledge(index, durable);
                    self.world.story.report.acknowledged += 1;
                    self.in_flight.pop_front();
                }
                Poll::Ready(Err(CommitError::NoSpace(e))) => {
                    if !self.world.tight && self.world.planned.is_none() {
                        return Err(format!("commit {index}: {e}"));
                    }
                    self.world
                        .story
                        .tell(format!("commit {index} and later: {e}"));
                    self.world.story.report.full += 1;
                    return self.refused(index);
                }
                Poll::Ready(Err(e)) => return Err(format!("commit {index}: {e}")),
            }
        }
        Ok(())
    }

    /// The commits from `first` on did not happen, and must all say so.
    fn refused(&mut self, first: u64) -> Check {
        self.timeline.cut(first - 1);
        for (index, handle) in std::mem::take(&mut self.in_flight) {
            if !matches!(handle.wait(), Err(CommitError::NoSpace(_))) {
                return Err(format!("commit {index} happened without {first}"));
            }
        }
        Ok(())
    }
}

fn tell(op: &Op) -> String {
    match op {
        Op::Create(name, tree) => format!("create {name} = {tree}"),
        Op::Drop(name, tree) => format!("drop {name} = {tree}"),
        Op::Put(tree, key, value) => {
            let key = String::from_utf8_lossy(key);
            format!("{tree}/{key:.12} = {} bytes", value.len())
        }
        Op::Delete(tree, key) => format!("delete {tree}/{:.12}", String::from_utf8_lossy(key)),
    }
}

impl Work {
    /// One random step, and whether it shows what it should.
    fn step(&mut self, tx: &mut Transaction, dice: &mut Dice) -> Check {
        let name = NAMES[dice.rng.index(NAMES.len())];
        let found = tx.tree(name).map_err(|e| format!("find tree: {e}"))?;
        same("find", &self.local.trees.get(name).copied(), &found)?;
        self.steps.push(Step::Find(name.to_owned(), found));
        let Some(tree) = found else {
            let tree = tx
                .create_tree(name)
                .map_err(|e| format!("create tree: {e}"))?;
            self.change(Op::Create(name.to_owned(), tree));
            return Ok(());
        };
        match dice.rng.below(100) {
            0..=2 => {
                let there = tx.drop_tree(name).map_err(|e| format!("drop tree: {e}"))?;
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
            3..=54 => {
                let (key, value) = (dice.key(), dice.value());
                tx.put(tree, &key, &value)
                    .map_err(|e| format!("put: {e}"))?;
                self.change(Op::Put(tree, key, value));
                Ok(())
            }
            55..=69 => {
                let key = dice.key();
                tx.delete(tree, &key).map_err(|e| format!("delete: {e}"))?;
                self.change(Op::Delete(tree, key));
                Ok(())
            }
            70..=89 => {
                let key = dice.key();
                let found = tx.get(tree, &key).map_err(|e| format!("get: {e}"))?;
                same("get", &self.local.get(tree, &key), &found)?;
                self.steps.push(Step::Get(tree, key, found));
                Ok(())
            }
            _ => self.scan(tx, tree, dice),
        }
    }

    fn change(&mut self, op: Op) {
        self.local.apply(&op);
        self.steps.push(Step::Change(op));
    }

    fn scan(&mut self, tx: &Transaction, tree: TreeId, dice: &mut Dice) -> Check {
        let range = KeyRange::from_bounds(dice.bound(), dice.bound());
        let direction = direction(dice.rng.chance(0.5));
        let limit = [1, 3, usize::MAX][dice.rng.index(3)];
        let found = rows(tx, tree, range.clone(), direction, limit)?;
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
            _ => format!("k{}", self.rng.below(9)).into_bytes(),
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
}
