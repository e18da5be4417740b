//! A store on a keyspace: what a caller holds.

use std::fmt;
use std::sync::Arc;

use super::transaction::KeyspaceTransaction;
use super::view::{StateCursor, StateView, count};
use super::{Backing, Change, Keyspace};
use crate::domain::{
    Capabilities, Cursor, Direction, Entry, Error, ErrorKind, Expected, KeyRange, Mode, Operation,
    Put, Result, Store, StoreStats, Swap, Transaction, Transactional, Transactions, Versioned,
    View, Write,
};
use crate::life::Life;

/// What a store and its transactions share.
#[derive(Debug)]
pub(crate) struct Shared<B> {
    pub(super) name: String,
    pub(super) engine: &'static str,
    pub(super) keyspace: Arc<Keyspace<B>>,
    life: Life,
}

impl<B: Backing> Shared<B> {
    pub(super) fn error(&self, operation: Operation, kind: ErrorKind) -> Error {
        self.named(Error::new(operation, kind))
    }

    pub(super) fn named(&self, error: Error) -> Error {
        error.engine(self.engine).store(&self.name)
    }

    pub(super) fn check(&self, operation: Operation) -> Result<()> {
        self.life
            .check()
            .map_err(|kind| self.error(operation, kind))
    }
}

/// A store on a keyspace.
pub(crate) struct KeyspaceStore<B> {
    pub(super) shared: Arc<Shared<B>>,
}

impl<B: Backing> KeyspaceStore<B> {
    pub(crate) fn new(name: &str, engine: &'static str, keyspace: Arc<Keyspace<B>>) -> Self {
        let shared = Shared {
            name: name.to_owned(),
            engine,
            keyspace,
            life: Life::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The keyspace that it works on.
    pub(crate) fn keyspace(&self) -> &Arc<Keyspace<B>> {
        &self.shared.keyspace
    }

    /// Whether it can still be used.
    pub(crate) fn life(&self) -> &Life {
        &self.shared.life
    }

    pub(super) fn check(&self, operation: Operation) -> Result<()> {
        self.shared.check(operation)
    }

    pub(super) fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| self.shared.named(e))
    }
}

impl<B> fmt::Debug for KeyspaceStore<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.shared.engine)
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl<B: Backing> View for KeyspaceStore<B> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.check(Operation::Get)?;
        Ok(self.shared.keyspace.entry(key))
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.snapshot()?.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.check(Operation::Iterate)?;
        let (state, now_ms) = (self.shared.keyspace.state(), self.shared.keyspace.now_ms());
        Ok(Box::new(StateCursor::new(
            &state, &range, direction, now_ms,
        )))
    }

    fn count(&self, range: KeyRange) -> Result<u64> {
        self.check(Operation::Iterate)?;
        let (state, now_ms) = (self.shared.keyspace.state(), self.shared.keyspace.now_ms());
        Ok(count(&state, &range, now_ms))
    }
}

impl<B: Backing> Store for KeyspaceStore<B> {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn engine_name(&self) -> &str {
        self.shared.engine
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.keyspace.backing().capabilities()
    }

    fn is_open(&self) -> bool {
        self.shared.life.check().is_ok()
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<()> {
        self.check(Operation::Write)?;
        let limits = self.capabilities().limits;
        self.named(limits.check(Operation::Write, writes))?;
        let changes = writes.iter().map(|write| match *write {
            Write::Put(key, put) => Change::Put(key, put.to_entry()),
            Write::Delete(key) => Change::Delete(key),
        });
        let changes = changes.collect();
        self.named(self.shared.keyspace.commit(changes))
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check(Operation::Delete)?;
        let keyspace = &self.shared.keyspace;
        self.named(keyspace.update(key, |found| {
            let change = found.map(|_| Change::Delete(key));
            (change, found.is_some())
        }))
    }

    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap> {
        let operation = Operation::CompareAndSet;
        self.check(operation)?;
        let limits = self.capabilities().limits;
        let checked = match &new {
            Some(put) => limits.check_put(operation, key, put),
            None => limits.check_key(operation, key),
        };
        self.named(checked)?;
        self.named(self.shared.keyspace.update(key, |found| {
            if !expected.is(found) {
                return (None, Swap::Differs(found.cloned()));
            }
            let change = match new {
                Some(put) => Some(Change::Put(key, put.to_entry())),
                None => found.map(|_| Change::Delete(key)),
            };
            (change, Swap::Done)
        }))
    }

    fn clear(&self) -> Result<()> {
        self.check(Operation::Clear)?;
        self.named(self.shared.keyspace.commit(vec![Change::Clear]))
    }

    fn snapshot(&self) -> Result<Box<dyn View + Send>> {
        self.check(Operation::Get)?;
        let (state, now_ms) = (self.shared.keyspace.state(), self.shared.keyspace.now_ms());
        Ok(Box::new(StateView::new(state, now_ms)))
    }

    fn stats(&self) -> Result<StoreStats> {
        self.check(Operation::Stats)?;
        let state = self.shared.keyspace.state();
        let backing = self.shared.keyspace.backing();
        Ok(StoreStats {
            keys: state.len(),
            bytes: state.bytes(),
            exact: true,
            disk_bytes: backing.disk_bytes(),
            versions: self.named(backing.versions())?.len() as u64,
            damage: backing.damage(),
        })
    }

    fn close(&self) -> Result<()> {
        if self.shared.life.check().is_err() {
            return Ok(());
        }
        self.shared.life.close();
        let keyspace = &self.shared.keyspace;
        self.named(keyspace.replace(|newest| keyspace.backing().close(newest).map(|()| (None, ()))))
    }

    fn compact(&self) -> Result<bool> {
        self.check(Operation::Compact)?;
        let keyspace = &self.shared.keyspace;
        self.named(keyspace.backing().compact(keyspace))
    }

    fn transactional(&self) -> Option<&dyn Transactional> {
        let has = self.capabilities().transactions != Transactions::None;
        has.then_some(self)
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        self.capabilities().versioned.then_some(self)
    }
}

impl<B: Backing> Transactional for KeyspaceStore<B> {
    fn begin(&self, mode: Mode) -> Result<Box<dyn Transaction>> {
        self.check(Operation::Begin)?;
        let transaction = KeyspaceTransaction::new(Arc::clone(&self.shared), mode);
        Ok(Box::new(transaction))
    }
}
