//! Transactions that keep to what each store was told, and tell what they did once it is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::names::Rules;
use super::watched::{Context, check_writable, with_time};
use crate::domain::{
    Cursor, Direction, Entry, Error, ErrorKind, EventKind, KeyRange, Operation, Put, Result, Store,
    Transaction, View, WriteView,
};

/// The keys that a transaction has written in each store, and whether they were put.
type Changes = BTreeMap<String, BTreeMap<Bytes, bool>>;

/// A transaction.
#[derive(Debug)]
pub(super) struct WatchedTransaction {
    inner: Box<dyn Transaction>,
    store: Arc<dyn Store>,
    context: Context,
    changes: Changes,
}

impl WatchedTransaction {
    pub(super) fn new(
        inner: Box<dyn Transaction>,
        store: Arc<dyn Store>,
        context: Context,
    ) -> Self {
        Self {
            inner,
            store,
            context,
            changes: Changes::new(),
        }
    }
}

/// Notes a write, if anybody wants to know.
fn note(context: &Context, changes: &mut Changes, store: &str, key: &[u8], is_put: bool) {
    if context.events.is_watched() {
        let keys = changes.entry(store.to_owned()).or_default();
        keys.insert(Bytes::copy_from_slice(key), is_put);
    }
}

impl View for WatchedTransaction {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.inner.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.inner.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.inner.cursor(range, direction)
    }
}

impl WriteView for WatchedTransaction {
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
        let Self { context, store, .. } = self;
        check_writable(&context.rules, Operation::Write, &**store)?;
        let put = with_time(&context.rules, &*context.clock, put);
        self.inner.put(key, put)?;
        note(context, &mut self.changes, store.name(), key, true);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        let Self { context, store, .. } = self;
        check_writable(&context.rules, Operation::Delete, &**store)?;
        let deleted = self.inner.delete(key)?;
        note(context, &mut self.changes, store.name(), key, false);
        Ok(deleted)
    }
}

impl Transaction for WatchedTransaction {
    fn also(&mut self, store: &str) -> Result<Box<dyn WriteView + '_>> {
        let known = self.context.names.find(Operation::Begin, store)?;
        known.rules.check_complete(Operation::Begin, store)?;
        Ok(Box::new(Part {
            inner: self.inner.also(store)?,
            store: store.to_owned(),
            rules: known.rules,
            context: &self.context,
            changes: &mut self.changes,
        }))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Self {
            inner,
            context,
            changes,
            ..
        } = *self;
        inner.commit()?;
        for (store, keys) in changes {
            context.events.publish(&store, || {
                let (put, deleted): (Vec<_>, Vec<_>) =
                    keys.into_iter().partition(|(_, is_put)| *is_put);
                let only_keys = |keys: Vec<(Bytes, bool)>| keys.into_iter().map(|(key, _)| key);
                EventKind::Changed {
                    put: only_keys(put).collect(),
                    deleted: only_keys(deleted).collect(),
                }
            });
        }
        Ok(())
    }

    fn rollback(self: Box<Self>) {
        self.inner.rollback();
    }
}

/// A transaction in another store.
struct Part<'a> {
    inner: Box<dyn WriteView + 'a>,
    store: String,
    rules: Arc<Rules>,
    context: &'a Context,
    changes: &'a mut Changes,
}

impl Part<'_> {
    fn check_writable(&self, operation: Operation) -> Result<()> {
        if !self.rules.is_read_only() {
            return Ok(());
        }
        let kind = ErrorKind::ReadOnly("the store's options say so");
        Err(Error::new(operation, kind).store(&self.store))
    }
}

impl View for Part<'_> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.inner.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.inner.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.inner.cursor(range, direction)
    }
}

impl WriteView for Part<'_> {
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
        self.check_writable(Operation::Write)?;
        let put = with_time(&self.rules, &*self.context.clock, put);
        self.inner.put(key, put)?;
        note(self.context, self.changes, &self.store, key, true);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.check_writable(Operation::Delete)?;
        let deleted = self.inner.delete(key)?;
        note(self.context, self.changes, &self.store, key, false);
        Ok(deleted)
    }
}
