//! Transactions that keep to what each store was told, and tell what they did once it is done.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_io::Clock;

use super::rules::Rules;
use super::watched::{Context, with_time};
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

    /// It in its own store.
    fn home(&mut self) -> Part<'_, &mut dyn Transaction> {
        Part {
            inner: &mut *self.inner,
            store: Cow::Borrowed(self.store.name()),
            engine: self.store.engine_name(),
            rules: Arc::clone(&self.context.rules),
            clock: &*self.context.clock,
            changes: &mut self.changes,
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
        self.home().put(key, put)
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.home().delete(key)
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
            store: Cow::Owned(store.to_owned()),
            engine,
            rules: known.rules,
            clock: &*self.context.clock,
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
        for (name, written) in &changes {
            // It may have become read-only after the writes.
            let rules = &written.rules;
            rules.check_writable(Operation::Commit, store.engine_name(), name)?;
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

/// A transaction in one store: its own, or another.
struct Part<'a, W> {
    inner: W,
    store: Cow<'a, str>,
    engine: &'a str,
    rules: Arc<Rules>,
    clock: &'a dyn Clock,
    changes: &'a mut Changes,
}

impl<'a, W, T> View for Part<'a, W>
where
    W: DerefMut<Target = T>,
    T: WriteView + ?Sized + 'a,
{
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

impl<'a, W, T> WriteView for Part<'a, W>
where
    W: DerefMut<Target = T>,
    T: WriteView + ?Sized + 'a,
{
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()> {
        let operation = Operation::Write;
        self.rules
            .check_writable(operation, self.engine, &self.store)?;
        let put = with_time(&self.rules, self.clock, put);
        self.inner.put(key, put)?;
        note(self.changes, &self.rules, &self.store, key, true);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool> {
        let operation = Operation::Delete;
        self.rules
            .check_writable(operation, self.engine, &self.store)?;
        let deleted = self.inner.delete(key)?;
        note(self.changes, &self.rules, &self.store, key, false);
        Ok(deleted)
    }
}
