//! What happens while the database lives.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use nexusbase_db::{CommitError, CommitHandle, Durability, Error, Transaction};
use nexusbase_io::sim::SimRng;

use super::Sim;
use super::model::{Net, Op, Step, same};
use super::transaction::{Dice, Work, tell};
use crate::Check;

/// A transaction that is being worked on.
pub(super) struct OpenTransaction {
    tx: Transaction,
    work: Work,
}

impl Sim {
    fn dice(&mut self) -> Dice {
        Dice {
            rng: SimRng::new(self.world.rng.next_u64()),
            value_bytes: self.value_bytes,
            keys: self.keys,
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
            work.step(&mut self.world, tx, &mut dice)?;
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
            Ok(handle) => self.accepted(handle, &work, before)?,
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
        let stay = self.world.rng.chance(0.7);
        let (world, timeline) = (&mut self.world, &mut self.timeline);
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
                wrong = wrong.clone().and_then(|()| work.step(world, tx, &mut dice));
            }
            Ok::<_, Error>((work, tx.snapshot_index().get()))
        });
        wrong?;
        // Earlier ones may have been refused for lack of space meanwhile.
        self.hear_answers()?;
        match started {
            Ok(((work, before), handle)) => self.accepted(handle, &work, before)?,
            Err(Error::Commit(CommitError::Stopped(_))) if self.has_stopped() => return Ok(()),
            Err(e) => return Err(format!("transact: {e}")),
        }
        if stay { self.wait_for_one() } else { Ok(()) }
    }

    /// Many transactions, one after the other, and housekeeping among them.
    pub(super) fn burst(&mut self) -> Check {
        for _ in 0..self.world.rng.below(40) {
            if self.world.disk.is_crashed() || self.has_stopped() {
                break;
            }
            self.transact()?;
            if self.world.rng.chance(0.3) {
                self.housekeeping()?;
            }
        }
        Ok(())
    }

    fn accepted(&mut self, handle: CommitHandle, work: &Work, before: u64) -> Check {
        let ops: Vec<Op> = work
            .steps
            .iter()
            .filter_map(Step::change)
            .cloned()
            .collect();
        let trees = |op: &Op| matches!(op, Op::Create(..) | Op::Drop(..));
        if !ops.iter().any(trees) && Net::of(&ops).is_empty() {
            let index = handle.wait().map_err(|e| format!("a read failed: {e}"))?;
            return same("a transaction that only reads", &before, &index.get());
        }
        let head = self
            .timeline
            .head
            .replay(&work.steps)
            .map_err(|e| format!("a commit was accepted that is not serializable: {e}"))?;
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
        // One step at a time, so that there are all states between them; or until all is done.
        for _ in 0..[1, 1, 1, 3, 10, 30][self.world.rng.index(6)] {
            life.db.housekeeping_step();
        }
        let failure = life.db.stats().background_failure;
        self.world.story.tell(format!("housekeeping: {failure:?}"));
        if failure.is_some_and(|failure| self.world.tight && failure.contains("No space")) {
            self.world.story.report.full += 1;
        }
        if matches!(self.durability, Durability::Interval(_)) && life.db.stopped().is_none() {
            let visible = life.db.snapshot().index().get();
            self.timeline.acknowledge(visible, true);
        }
        Ok(())
    }

    /// Gives the disk less room, or all that it wants: then what could not be done before is.
    pub(super) fn change_capacity(&mut self) -> Check {
        let was_tight = self.world.tight;
        self.world.change_capacity(3);
        let Some(life) = &self.life else {
            return Ok(());
        };
        if self.world.tight || !was_tight || life.stopped {
            return Ok(());
        }
        self.world.clear_faults();
        for _ in 0..100 {
            life.db.housekeeping_step();
        }
        same(
            "background work",
            &None,
            &life.db.stats().background_failure,
        )
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
