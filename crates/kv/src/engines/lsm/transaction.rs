//! Transactions: those of the database, over any stores of the engine.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use nexusbase_db::{Bytes, CommitError, Snapshot, Transaction as DbTransaction, TreeId, View as _};

use super::failure::Fault;
use super::store::put_row;
use super::view::{LsmView, entry};
use super::{Core, LIMITS, NAME, expiry, row};
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
    /// Keys and values that it has written.
    bytes: usize,
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
            bytes: 0,
        }
    }

    /// It in its own store.
    fn part(&mut self) -> Part<'_> {
        Part {
            core: &self.core,
            life: &self.life,
            tx: &mut self.tx,
            bytes: &mut self.bytes,
            store: Cow::Borrowed(&self.store),
            tree: self.tree,
            now_ms: self.now_ms,
        }
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            life: &self.life,
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
        let operation = Operation::Begin;
        super::check(&self.life, operation, &self.store)?;
        let found = self.core.catalog.find(&self.tx, store);
        let (_, place) = super::named(operation, store, found)?;
        Ok(Box::new(Part {
            core: &self.core,
            life: &self.life,
            tx: &mut self.tx,
            bytes: &mut self.bytes,
            store: Cow::Owned(store.to_owned()),
            tree: place.tree,
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
        super::named(Operation::Commit, &store, committed)?;
        expiry::sweep(&core, 1);
        Ok(())
    }
}

/// Reading a transaction in one store.
struct Reader<'a> {
    life: &'a Life,
    tx: &'a DbTransaction,
    store: &'a str,
    tree: TreeId,
    now_ms: u64,
}

impl<'a> Reader<'a> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        super::check(self.life, Operation::Get, self.store)?;
        let found = entry(self.tx, self.tree, key, || self.now_ms);
        super::named(Operation::Get, self.store, found).map_err(|e| e.key(key))
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + 'a>> {
        super::check(self.life, Operation::Iterate, self.store)?;
        let rows = self.tx.scan(self.tree, range, direction);
        let rows = super::named(Operation::Iterate, self.store, rows.map_err(Fault::from))?;
        Ok(Box::new(TransactionCursor {
            store: self.store,
            rows: Some(rows),
            now_ms: self.now_ms,
            row: None,
        }))
    }
}

/// A transaction in one store.
struct Part<'a> {
    core: &'a Core,
    /// That of the handle that the transaction was begun with.
    life: &'a Life,
    tx: &'a mut DbTransaction,
    /// Keys and values that the transaction has written, in all stores.
    bytes: &'a mut usize,
    store: Cow<'a, str>,
    tree: TreeId,
    now_ms: u64,
}

impl Part<'_> {
    fn reader(&self) -> Reader<'_> {
        Reader {
            life: self.life,
            tx: self.tx,
            store: &self.store,
            tree: self.tree,
            now_ms: self.now_ms,
        }
    }

    /// What the transaction will have written after so many bytes more.
    fn with(&self, bytes: usize) -> std::result::Result<usize, Fault> {
        let (bytes, limit) = (*self.bytes + bytes, LIMITS.batch_bytes);
        if bytes > limit {
            let what = "a transaction";
            return Err(ErrorKind::TooLarge { what, bytes, limit }.into());
        }
        Ok(bytes)
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
        super::check(self.life, operation, &self.store)?;
        let checked = LIMITS.check_put(operation, key, &put);
        let size = checked.map_err(named)?;
        let done = self.with(size).and_then(|bytes| {
            put_row(self.core, self.tx, self.tree, key, &put)?;
            Ok(bytes)
        });
        let done = done.map_err(|fault| named(fault.error(operation)).key(key));
        *self.bytes = done?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        let operation = Operation::Delete;
        let named = |e: Error| e.engine(NAME).store(&self.store);
        super::check(self.life, operation, &self.store)?;
        let checked = LIMITS.check_key(operation, key);
        let size = checked.map_err(named)?;
        let Some(found) = self.entry(key)? else {
            return Ok(false);
        };
        let done = self.with(size).and_then(|bytes| {
            self.tx.delete(self.tree, key)?;
            expiry::forget(self.core, self.tx, self.tree, key, found.expires_ms)?;
            Ok(bytes)
        });
        *self.bytes = super::named(operation, &self.store, done)?;
        Ok(true)
    }
}

/// A walk through a transaction's rows.
struct TransactionCursor<'a> {
    store: &'a str,
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
        let named = |fault: Fault| {
            let error = fault.error(Operation::Iterate);
            error.engine(NAME).store(self.store)
        };
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
    /// That of the handle that it was begun with.
    life: Arc<Life>,
    view: LsmView,
}

impl LsmReader {
    pub(super) fn new(
        core: Arc<Core>,
        life: Arc<Life>,
        (snapshot, tree): (Snapshot, TreeId),
        store: &str,
    ) -> Self {
        let view = LsmView {
            snapshot: Arc::new(snapshot),
            tree,
            expiry: core.catalog.expiry,
            store: store.to_owned(),
            now_ms: core.now_ms(),
        };
        Self { core, life, view }
    }

    fn check(&self, operation: Operation) -> Result<()> {
        super::check(&self.life, operation, &self.view.store)
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
        self.check(Operation::Get)?;
        self.view.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.check(Operation::Get)?;
        self.view.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.check(Operation::Iterate)?;
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
        self.check(Operation::Begin)?;
        let found = self.core.catalog.find(&*self.view.snapshot, store);
        let (_, place) = super::named(Operation::Begin, store, found)?;
        let view = LsmView {
            snapshot: Arc::clone(&self.view.snapshot),
            tree: place.tree,
            expiry: self.core.catalog.expiry,
            store: store.to_owned(),
            now_ms: self.view.now_ms,
        };
        let (core, life) = (Arc::clone(&self.core), Arc::clone(&self.life));
        Ok(Box::new(Self { core, life, view }))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.check(Operation::Commit)
    }
}
