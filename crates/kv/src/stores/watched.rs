//! A store as the [`MultiStore`](crate::MultiStore) hands it out: it keeps to what the store was
//! told, and tells what happens.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use nexusbase_io::Clock;

use super::names::Names;
use super::rules::Rules;
use super::transaction::WatchedTransaction;
use crate::domain::{
    Capabilities, Cursor, Direction, Entry, Error, ErrorKind, EventKind, Events, Expected,
    KeyRange, Mode, Operation, Page, PageQuery, Put, Result, Store, StoreStats, Swap, Transaction,
    Transactional, Version, VersionId, Versioned, View, Write,
};

/// A store that keeps to its rules and tells what happens.
#[derive(Debug)]
pub(super) struct Watched {
    store: Arc<dyn Store>,
    pub(super) context: Context,
}

/// What a store, and each transaction on it, has to know.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) rules: Arc<Rules>,
    /// Names know the open stores; stores that knew the names would keep all of it for ever.
    pub(super) names: Weak<Names>,
    pub(super) events: Arc<Events>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The same, with the time that the store was told for entries without one.
pub(super) fn with_time<'a>(rules: &Rules, clock: &dyn Clock, put: Put<'a>) -> Put<'a> {
    let told = || rules.expires_ms(|| clock.unix_ms());
    Put {
        expires_ms: put.expires_ms.or_else(told),
        ..put
    }
}

impl Watched {
    pub(super) fn new(
        store: Arc<dyn Store>,
        rules: Arc<Rules>,
        names: Weak<Names>,
        events: Arc<Events>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let context = Context {
            rules,
            names,
            events,
            clock,
        };
        Self { store, context }
    }

    /// The engine's store, which knows no rules.
    pub(super) fn inner(&self) -> &dyn Store {
        &*self.store
    }

    /// Whether it can still be used; also the engine, or somebody who asked the engine, can have
    /// ended it.
    pub(super) fn is_usable(&self) -> bool {
        self.store.is_open()
    }

    pub(super) fn check_complete(&self) -> Result<()> {
        self.context
            .rules
            .check_complete(Operation::OpenStore, self.store.name())
    }

    fn check_writable(&self, operation: Operation) -> Result<()> {
        let (engine, store) = (self.store.engine_name(), self.store.name());
        self.context.rules.check_writable(operation, engine, store)
    }

    fn with_time<'a>(&self, put: Put<'a>) -> Put<'a> {
        with_time(&self.context.rules, &*self.context.clock, put)
    }

    fn publish(&self, kind: impl FnOnce() -> EventKind) {
        self.context.events.publish(self.store.name(), kind);
    }

    /// Tells that one key was put or deleted.
    fn publish_key(&self, key: &[u8], is_put: bool) {
        self.publish(|| {
            let keys = vec![Bytes::copy_from_slice(key)];
            let (put, deleted) = if is_put {
                (keys, Vec::new())
            } else {
                (Vec::new(), keys)
            };
            EventKind::Changed { put, deleted }
        });
    }

    /// The versions of a store that has some.
    fn versions_of(&self, operation: Operation) -> Result<&dyn Versioned> {
        self.store.versioned().ok_or_else(|| {
            let kind = ErrorKind::Unsupported(crate::Capability::Versions);
            Error::new(operation, kind)
                .engine(self.store.engine_name())
                .store(self.store.name())
        })
    }

    /// Forgets versions as the store was told.
    fn retain_versions(&self) -> Result<()> {
        let retention = self.context.rules.retention();
        if !retention.is_all() {
            self.prune_versions(&retention, self.context.clock.unix_ms())?;
        }
        Ok(())
    }
}

impl View for Watched {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.store.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.store.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.store.cursor(range, direction)
    }

    fn count(&self, range: KeyRange) -> Result<u64> {
        self.store.count(range)
    }

    fn page(&self, query: &PageQuery) -> Result<Page> {
        self.store.page(query)
    }
}

impl Store for Watched {
    fn name(&self) -> &str {
        self.store.name()
    }

    fn engine_name(&self) -> &str {
        self.store.engine_name()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn is_open(&self) -> bool {
        self.is_usable()
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<()> {
        self.check_writable(Operation::Write)?;
        if self.context.rules.has_ttl() {
            let timed = writes.iter().map(|write| match *write {
                Write::Put(key, put) => Write::Put(key, self.with_time(put)),
                Write::Delete(key) => Write::Delete(key),
            });
            let timed: Vec<_> = timed.collect();
            self.store.write(&timed)?;
        } else {
            self.store.write(writes)?;
        }
        self.publish(|| changed(writes));
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check_writable(Operation::Delete)?;
        let deleted = self.store.delete(key)?;
        if deleted {
            self.publish_key(key, false);
        }
        Ok(deleted)
    }

    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap> {
        self.check_writable(Operation::CompareAndSet)?;
        let new = new.map(|put| self.with_time(put));
        let swap = self.store.compare_and_set(key, expected, new)?;
        if swap == Swap::Done {
            self.publish_key(key, new.is_some());
        }
        Ok(swap)
    }

    fn clear(&self) -> Result<()> {
        self.check_writable(Operation::Clear)?;
        self.store.clear()?;
        self.publish(|| EventKind::Cleared);
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn View + Send>> {
        self.store.snapshot()
    }

    fn stats(&self) -> Result<StoreStats> {
        self.store.stats()
    }

    fn close(&self) -> Result<()> {
        let closed = self.store.close();
        if !self.is_usable()
            && let Some(names) = self.context.names.upgrade()
        {
            names.forget_handle(self.store.name(), self);
        }
        closed
    }

    fn compact(&self) -> Result<bool> {
        self.store.compact()
    }

    fn expire(&self, key: &[u8], expires_ms: Option<u64>) -> Result<()> {
        self.check_writable(Operation::Expire)?;
        // The engine's: here "never" would become the time that the store was told.
        self.store.expire(key, expires_ms)?;
        self.publish_key(key, true);
        Ok(())
    }

    fn transactional(&self) -> Option<&dyn Transactional> {
        self.store
            .transactional()
            .map(|_| self as &dyn Transactional)
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        self.store.versioned().map(|_| self as &dyn Versioned)
    }
}

fn changed(writes: &[Write<'_>]) -> EventKind {
    let (mut put, mut deleted) = (Vec::new(), Vec::new());
    for write in writes {
        match write {
            Write::Put(key, _) => put.push(Bytes::copy_from_slice(key)),
            Write::Delete(key) => deleted.push(Bytes::copy_from_slice(key)),
        }
    }
    EventKind::Changed { put, deleted }
}

impl Transactional for Watched {
    fn begin(&self, mode: Mode) -> Result<Box<dyn Transaction>> {
        let transactional = self.store.transactional().ok_or_else(|| {
            let kind = ErrorKind::Unsupported(crate::Capability::Transactions);
            Error::new(Operation::Begin, kind).store(self.store.name())
        })?;
        let inner = transactional.begin(mode)?;
        let store = Arc::clone(&self.store);
        Ok(Box::new(WatchedTransaction::new(
            inner,
            store,
            self.context.clone(),
        )))
    }
}

impl Versioned for Watched {
    fn take_version(&self, name: Option<&str>, note: &str) -> Result<Version> {
        let versions = self.versions_of(Operation::TakeVersion)?;
        let version = versions.take_version(name, note)?;
        self.publish(|| EventKind::VersionTaken(version.clone()));
        self.retain_versions()?;
        Ok(version)
    }

    fn versions(&self) -> Result<Vec<Version>> {
        self.versions_of(Operation::ListVersions)?.versions()
    }

    fn at_version(&self, version: &VersionId) -> Result<Box<dyn View + Send>> {
        self.versions_of(Operation::ReadVersion)?
            .at_version(version)
    }

    fn restore_version(&self, version: &VersionId) -> Result<Version> {
        self.check_writable(Operation::RestoreVersion)?;
        let restored = self
            .versions_of(Operation::RestoreVersion)?
            .restore_version(version)?;
        self.publish(|| EventKind::Restored(restored.clone()));
        self.retain_versions()?;
        Ok(restored)
    }

    fn delete_version(&self, version: &VersionId) -> Result<()> {
        let versions = self.versions_of(Operation::DeleteVersion)?;
        let number = versions.version(version)?.number;
        versions.delete_version(version)?;
        self.publish(|| EventKind::VersionDeleted { number });
        Ok(())
    }
}
