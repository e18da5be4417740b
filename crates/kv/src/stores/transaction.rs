//! Transactions that keep to what each store was told, and tell what they did once it is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::rules::Rules;
use super::watched::{Context, check_writable, with_time};
use crate::domain::event::KEY_BYTES_MAX;
use crate::domain::{
    Cursor, Direction, Entry, Error, ErrorKind, EventKind, KeyRange, Operation, Put, Result, Store,
    Transaction, View, WriteView,
};

/// So many keys of each store are noted; what changes more is told without keys.
const KEYS_MAX: usize = 10_000;

/// What a transaction has written in each store. It is noted also when nobody listens: somebody may
/// before the commit.
type Changes = BTreeMap<String, Written>;

/// What a transaction has written in a store.
#[derive(Debug)]
struct Written {
    rules: Arc<Rules>,
    /// The keys, and whether they were put. None: too many.
    keys: Option<BTreeMap<Bytes, bool>>,
    key_bytes: usize,
}

impl Written {
    fn note(&mut self, key: &[u8], is_put: bool) {
        let Some(keys) = &mut self.keys else {
            return;
        };
        self.key_bytes += key.len();
        if keys.len() >= KEYS_MAX || self.key_bytes > KEY_BYTES_MAX {
            self.keys = None;
            return;
        }
        keys.insert(Bytes::copy_from_slice(key), is_put);
    }

    fn event(self) -> EventKind {
        let Some(keys) = self.keys else {
            return EventKind::ManyChanged;
        };
        let (put, deleted): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, is_put)| *is_put);
        let only_keys = |keys: Vec<(Bytes, bool)>| keys.into_iter().map(|(key, _)| key).collect();
        EventKind::Changed {
            put: only_keys(put),
            deleted: only_keys(deleted),
        }
    }
}

fn note(changes: &mut Changes, rules: &Arc<Rules>, store: &str, key: &[u8], is_put: bool) {
    if let Some(written) = changes.get_mut(store) {
        written.note(key, is_put);
        return;
    }
    let mut written = Written {
        rules: Arc::clone(rules),
        keys: Some(BTreeMap::new()),
        key_bytes: 0,
    };
    written.note(key, is_put);
    changes.insert(store.to_owned(), written);
}

fn read_only(operation: Operation, store: &str) -> Error {
    let kind = ErrorKind::ReadOnly("the store's options say so");
    Error::new(operation, kind).store(store)
}

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
        note(&mut self.changes, &context.rules, store.name(), key, true);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        let Self { context, store, .. } = self;
        check_writable(&context.rules, Operation::Delete, &**store)?;
        let deleted = self.inner.delete(key)?;
        note(&mut self.changes, &context.rules, store.name(), key, false);
        Ok(deleted)
    }
}

impl Transaction for WatchedTransaction {
    fn also(&mut self, store: &str) -> Result<Box<dyn WriteView + '_>> {
        let operation = Operation::Begin;
        let names = self.context.names.upgrade();
        let names = names.ok_or_else(|| Error::new(operation, ErrorKind::Closed).store(store))?;
        let known = names.find(operation, store)?;
        known.rules.check_complete(operation, store)?;
        let engine = self.store.engine_name();
        Ok(Box::new(Part {
            inner: self.inner.also(store).map_err(|e| e.engine(engine))?,
            store: store.to_owned(),
            rules: known.rules,
            context: &self.context,
            changes: &mut self.changes,
        }))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Self {
            inner,
            store,
            context,
            changes,
        } = *self;
        // They may have become so after the writes.
        if let Some((name, _)) = changes
            .iter()
            .find(|(_, written)| written.rules.is_read_only())
        {
            return Err(read_only(Operation::Commit, name).engine(store.engine_name()));
        }
        inner.commit()?;
        for (store, written) in changes {
            context.events.publish(&store, || written.event());
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
        if self.rules.is_read_only() {
            return Err(read_only(operation, &self.store));
        }
        Ok(())
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
        note(self.changes, &self.rules, &self.store, key, true);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.check_writable(Operation::Delete)?;
        let deleted = self.inner.delete(key)?;
        note(self.changes, &self.rules, &self.store, key, false);
        Ok(deleted)
    }
}
