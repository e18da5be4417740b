//! Transactions: those of the database, over any stores of the engine.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use nexusbase_db::{Bytes, CommitError, Snapshot, Transaction as DbTransaction, TreeId, View as _};

use super::failure::Fault;
use super::store::put_row;
use super::view::{LsmView, entry};
use super::{CAPABILITIES, Core, NAME, row};
use crate::domain::{
    Cursor, Direction, Entry, Error, ErrorKind, KeyRange, Operation, Put, Result, RowRef,
    Transaction, View, WriteView,
};
use crate::life::Life;

/// A transaction that reads and writes.
pub(super) struct LsmTransaction {
    core: Arc<Core>,
    /// That of the handle that it was begun with.
    life: Arc<Life>,
    tx: DbTransaction,
    store: String,
    tree: TreeId,
    now_ms: u64,
}

impl LsmTransaction {
    pub(super) fn new(
        core: Arc<Core>,
        life: Arc<Life>,
        tx: DbTransaction,
        store: &str,
        tree: TreeId,
    ) -> Self {
        Self {
            now_ms: core.now_ms(),
            core,
            life,
            tx,
            store: store.to_owned(),
            tree,
        }
    }

    /// It in its own store.
    fn part(&mut self) -> Part<'_> {
        Part {
            core: &self.core,
            tx: &mut self.tx,
            store: Cow::Borrowed(&self.store),
            tree: self.tree,
            now_ms: self.now_ms,
        }
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            tx: &self.tx,
            store: &self.store,
            tree: self.tree,
            now_ms: self.now_ms,
        }
    }
}

impl fmt::Debug for LsmTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl View for LsmTransaction {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.reader().entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.entry(key)).collect()
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.reader().cursor(range, direction)
    }
}

impl WriteView for LsmTransaction {
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
        self.part().put(key, put)
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.part().delete(key)
    }
}

impl Transaction for LsmTransaction {
    fn also(&mut self, store: &str) -> Result<Box<dyn WriteView + '_>> {
        let found = self.core.catalog.find(&self.tx, store);
        let (_, tree) = super::named(Operation::Begin, store, found)?;
        Ok(Box::new(Part {
            core: &self.core,
            tx: &mut self.tx,
            store: Cow::Owned(store.to_owned()),
            tree,
            now_ms: self.now_ms,
        }))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Self {
            core,
            life,
            tx,
            store,
            ..
        } = *self;
        let committed = life.check().map_err(Fault::from).and_then(|()| {
            match tx.commit().and_then(|handle| handle.wait()) {
                Err(CommitError::Conflict { with }) => {
                    // Or who runs it again would meet the same conflict until the other is done.
                    core.db.wait_settled(with);
                    // Dropping the store is a change that it conflicts with, too.
                    life.check()?;
                    Err(ErrorKind::Conflict.into())
                }
                outcome => Ok(outcome.map(drop)?),
            }
        });
        super::named(Operation::Commit, &store, committed)
    }
}

/// Reading a transaction in one store.
struct Reader<'a> {
    tx: &'a DbTransaction,
    store: &'a str,
    tree: TreeId,
    now_ms: u64,
}

impl<'a> Reader<'a> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        let found = entry(self.tx, self.tree, key, || self.now_ms);
        super::named(Operation::Get, self.store, found).map_err(|e| e.key(key))
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + 'a>> {
        let rows = self.tx.scan(self.tree, range, direction);
        let rows = super::named(Operation::Iterate, self.store, rows.map_err(Fault::from))?;
        Ok(Box::new(TransactionCursor {
            rows: Some(rows),
            now_ms: self.now_ms,
            row: None,
        }))
    }
}

/// A transaction in one store.
struct Part<'a> {
    core: &'a Core,
    tx: &'a mut DbTransaction,
    store: Cow<'a, str>,
    tree: TreeId,
    now_ms: u64,
}

impl Part<'_> {
    fn reader(&self) -> Reader<'_> {
        Reader {
            tx: self.tx,
            store: &self.store,
            tree: self.tree,
            now_ms: self.now_ms,
        }
    }
}

impl View for Part<'_> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.reader().entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.entry(key)).collect()
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.reader().cursor(range, direction)
    }
}

impl WriteView for Part<'_> {
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
        let operation = Operation::Write;
        let named = |e: Error| e.engine(NAME).store(&self.store);
        let checked = CAPABILITIES.limits.check_put(operation, key, &put);
        checked.map_err(named)?;
        let done = put_row(self.core, self.tx, self.tree, key, &put);
        done.map_err(|fault| named(fault.error(operation)).key(key))
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        let operation = Operation::Delete;
        let named = |e: Error| e.engine(NAME).store(&self.store);
        let checked = CAPABILITIES.limits.check_key(operation, key);
        checked.map_err(named)?;
        let found = self.entry(key)?.is_some();
        if found {
            let deleted = self.tx.delete(self.tree, key).map_err(Fault::from);
            super::named(operation, &self.store, deleted)?;
        }
        Ok(found)
    }
}

/// A walk through a transaction's rows.
struct TransactionCursor<'a> {
    rows: Option<nexusbase_db::Scan<'a>>,
    now_ms: u64,
    /// The row that is lent.
    row: Option<(Bytes, Bytes)>,
}

impl TransactionCursor<'_> {
    fn advance(&mut self) -> std::result::Result<bool, Fault> {
        let Some(rows) = &mut self.rows else {
            return Ok(false);
        };
        for found in rows {
            let (key, value) = found?;
            let expires_ms = row::decode(&key, &value)?.expires_ms;
            if expires_ms.is_none_or(|time| time > self.now_ms) {
                self.row = Some((key, value));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Cursor for TransactionCursor<'_> {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        let named = |fault: Fault| fault.error(Operation::Iterate).engine(NAME);
        let advanced = self.advance();
        if !matches!(advanced, Ok(true)) {
            (self.rows, self.row) = (None, None);
        }
        advanced.map_err(named)?;
        let row = self
            .row
            .as_ref()
            .map(|(key, value)| row::decode(key, value));
        row.transpose().map_err(named)
    }
}

/// A transaction that only reads: one state of all stores.
pub(super) struct LsmReader {
    core: Arc<Core>,
    view: LsmView,
}

impl LsmReader {
    pub(super) fn new(core: Arc<Core>, snapshot: Snapshot, tree: TreeId, store: &str) -> Self {
        let view = LsmView {
            snapshot: Arc::new(snapshot),
            tree,
            expiry: core.catalog.expiry,
            store: store.to_owned(),
            now_ms: core.now_ms(),
        };
        Self { core, view }
    }
}

impl fmt::Debug for LsmReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

fn read_only(operation: Operation, store: &str) -> Error {
    let kind = ErrorKind::ReadOnly("the transaction was begun to read only");
    Error::new(operation, kind).engine(NAME).store(store)
}

impl View for LsmReader {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.view.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.view.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.view.cursor(range, direction)
    }
}

impl WriteView for LsmReader {
    fn put(&mut self, _key: &[u8], _put: Put<'_>) -> Result<()> {
        Err(read_only(Operation::Write, &self.view.store))
    }

    fn delete(&mut self, _key: &[u8]) -> Result<bool> {
        Err(read_only(Operation::Delete, &self.view.store))
    }
}

impl Transaction for LsmReader {
    fn also(&mut self, store: &str) -> Result<Box<dyn WriteView + '_>> {
        let found = self.core.catalog.find(&*self.view.snapshot, store);
        let (_, tree) = super::named(Operation::Begin, store, found)?;
        let view = LsmView {
            snapshot: Arc::clone(&self.view.snapshot),
            tree,
            expiry: self.core.catalog.expiry,
            store: store.to_owned(),
            now_ms: self.view.now_ms,
        };
        let core = Arc::clone(&self.core);
        Ok(Box::new(Self { core, view }))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
