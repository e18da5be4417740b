//! Random transactions beside each other, each compared with the model.

use std::cell::Cell;

use nexusbase_kv::{Direction, Entry, KeyRange, Put, Row, Store, Transaction};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::fixture::Fixture;
use crate::harness::Promise;
use crate::model::Model;
use crate::sequences::operations::{direction, key, range};
use crate::sequences::{report, runner};

pub(crate) const PROMISES: &[Promise] = &[(
    "any transactions beside each other have the outcome of some order of them",
    sequences,
)];

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Get(usize, Vec<u8>),
    Read(usize, KeyRange, Direction),
    Put(usize, Vec<u8>, u8),
    Delete(usize, Vec<u8>),
    Commit(usize),
    Rollback(usize),
    /// By nobody's transaction.
    Outside(Vec<u8>, Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..3_usize;
    prop_oneof![
        3 => Just(Step::Begin),
        4 => (at(), key()).prop_map(|(at, key)| Step::Get(at, key)),
        4 => (at(), range(), direction()).prop_map(|(at, range, to)| Step::Read(at, range, to)),
        6 => (at(), key(), any::<u8>()).prop_map(|(at, key, value)| Step::Put(at, key, value)),
        2 => (at(), key()).prop_map(|(at, key)| Step::Delete(at, key)),
        4 => at().prop_map(Step::Commit),
        1 => at().prop_map(Step::Rollback),
        2 => (key(), any::<Option<u8>>()).prop_map(|(key, value)| Step::Outside(key, value)),
    ]
}

/// A transaction, and what it should see.
struct Open {
    tx: Box<dyn Transaction>,
    /// The state in which it began, with its own writes.
    seen: Model,
    begun: Model,
    writes: Vec<(Vec<u8>, Option<Entry>)>,
    /// Ranges, each without the keys that the transaction had written itself.
    reads: Vec<(KeyRange, Vec<Vec<u8>>)>,
    /// How many changes there had been.
    changes: u64,
}

struct Run<'a> {
    store: &'a dyn Store,
    ordered: bool,
    model: Model,
    changes: u64,
    open: Vec<Open>,
}

fn only(key: &[u8]) -> KeyRange {
    let bound = || std::ops::Bound::Included(key.to_vec());
    KeyRange::from_bounds(bound(), bound())
}

fn pick(open: &mut [Open], at: usize) -> Option<&mut Open> {
    let at = at.checked_rem(open.len())?;
    open.get_mut(at)
}

impl Open {
    /// Remembers that what lies in `range` was read, but for what is the transaction's own.
    fn has_read(&mut self, key: &[u8]) {
        if self.writes.iter().all(|(written, _)| written != key) {
            self.reads.push((only(key), Vec::new()));
        }
    }

    fn write(&mut self, key: &[u8], entry: Option<Entry>) {
        match entry.clone() {
            Some(entry) => self.seen.0.insert(key.to_vec(), entry),
            None => self.seen.0.remove(key),
        };
        self.writes.push((key.to_vec(), entry));
    }
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Begin if self.open.len() < 3 => {
                let tx = super::begin(self.store);
                self.open.push(Open {
                    tx,
                    seen: self.model.clone(),
                    begun: self.model.clone(),
                    writes: Vec::new(),
                    reads: Vec::new(),
                    changes: self.changes,
                });
            }
            Step::Get(at, key) => {
                let Some(open) = pick(&mut self.open, *at) else {
                    return Ok(());
                };
                let found = open.tx.entry(key)?;
                prop_assert_eq!(
                    found.as_ref(),
                    open.seen.0.get(key),
                    "entry in a transaction"
                );
                open.has_read(key);
            }
            Step::Read(at, range, direction) => self.read(*at, range, *direction)?,
            Step::Put(at, key, value) => {
                let Some(open) = pick(&mut self.open, *at) else {
                    return Ok(());
                };
                open.tx.set(key, &[*value])?;
                open.write(key, Some(Put::new(&[*value]).to_entry()));
            }
            Step::Delete(at, key) => {
                let Some(open) = pick(&mut self.open, *at) else {
                    return Ok(());
                };
                let there = open.seen.0.contains_key(key);
                prop_assert_eq!(open.tx.delete(key)?, there, "delete in a transaction");
                open.has_read(key);
                open.write(key, None);
            }
            Step::Commit(at) if !self.open.is_empty() => {
                let open = self.open.remove(at % self.open.len());
                self.commit(open)?;
            }
            Step::Rollback(at) if !self.open.is_empty() => {
                self.open.remove(at % self.open.len()).tx.rollback();
            }
            Step::Outside(key, value) => {
                self.changes += 1;
                match value {
                    Some(value) => {
                        self.store.set(key, &[*value])?;
                        self.model.put(key, Put::new(&[*value]));
                    }
                    None => {
                        self.store.delete(key)?;
                        self.model.0.remove(key);
                    }
                }
            }
            Step::Begin | Step::Commit(_) | Step::Rollback(_) => {}
        }
        let rows = self.store.rows(KeyRange::all(), Direction::Forward)?;
        let mut rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        prop_assert_eq!(rows, self.model.all(), "the store");
        Ok(())
    }

    fn read(
        &mut self,
        at: usize,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<(), TestCaseError> {
        let ordered = self.ordered;
        let Some(open) = pick(&mut self.open, at) else {
            return Ok(());
        };
        let range = if ordered {
            range.clone()
        } else {
            KeyRange::all()
        };
        let rows = open.tx.rows(range.clone(), direction)?;
        let mut rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        if !ordered {
            rows.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let direction = if ordered {
            direction
        } else {
            Direction::Forward
        };
        prop_assert_eq!(
            rows,
            open.seen.rows(&range, direction),
            "rows in a transaction"
        );
        // Its own writes lie over what it reads: it has only read the rest.
        let written = open.writes.iter().map(|(key, _)| key.clone()).collect();
        open.reads.push((range, written));
        Ok(())
    }

    fn commit(&mut self, open: Open) -> Result<(), TestCaseError> {
        let read = |model: &Model| -> Vec<Vec<Row>> {
            let reads = open.reads.iter().map(|(range, written)| {
                let mut rows = model.rows(range, Direction::Forward);
                rows.retain(|row| written.iter().all(|key| *key != row.key));
                rows
            });
            reads.collect()
        };
        let stale = read(&open.begun) != read(&self.model) && !open.writes.is_empty();
        match open.tx.commit() {
            Ok(()) => {
                prop_assert!(
                    !stale,
                    "a commit succeeds though what it has read was changed"
                );
                for (key, entry) in open.writes {
                    self.changes += 1;
                    match entry {
                        Some(entry) => self.model.0.insert(key, entry),
                        None => self.model.0.remove(&key),
                    };
                }
            }
            Err(error) => {
                prop_assert!(error.is_conflict(), "{error:?}");
                prop_assert_ne!(
                    open.changes,
                    self.changes,
                    "a conflict though nothing has changed"
                );
            }
        }
        Ok(())
    }
}

fn sequences(fixture: &mut Fixture) {
    let count = Cell::new(0_u64);
    let outcome = runner().run(&vec(step(), 1..40), |steps| {
        count.set(count.get() + 1);
        let name = format!("case-{}", count.get());
        let store = fixture.create(&name);
        let mut run = Run {
            store: &*store,
            ordered: fixture.can().ordered,
            model: Model::default(),
            changes: 0,
            open: Vec::new(),
        };
        let outcome = steps.iter().try_for_each(|step| {
            let said = |error| TestCaseError::fail(format!("at {step:?}: {error}"));
            run.step(step).map_err(said)
        });
        drop(run);
        fixture.engine().drop_store(&name)?;
        outcome
    });
    report(outcome);
}
