//! A handle of a store, and a state of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nexusbase_kv::entry::MEDIA_TYPE_BYTES_MAX;
use nexusbase_kv::version::check_version;
use nexusbase_kv::{
    Capabilities, Cursor, Direction, Entry, Error, ErrorKind, Expected, KeyRange, Operation, Put,
    Result, Row, RowRef, Store, StoreStats, Swap, Transactional, Version, VersionId, Versioned,
    View, Write,
};

use super::{Data, ENGINE, Fault, Inner, Rows, World, capabilities, error};

#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) engine: Arc<Inner>,
    pub(crate) name: String,
    pub(crate) id: u64,
    closed: Arc<AtomicBool>,
}

impl Handle {
    pub(crate) fn new(engine: &Arc<Inner>, name: &str, id: u64) -> Self {
        Self {
            engine: Arc::clone(engine),
            name: name.to_owned(),
            id,
            closed: Arc::default(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind) -> Error {
        error(operation, &self.name, kind)
    }

    /// This store's data in the world.
    pub(crate) fn find<'a>(
        &self,
        operation: Operation,
        world: &'a mut World,
    ) -> Result<&'a mut Data> {
        let data = world.stores.get_mut(&self.name);
        let data = data.filter(|data| data.id == self.id);
        let data = data.ok_or_else(|| self.error(operation, ErrorKind::StoreNotFound))?;
        if self.is_closed() || self.engine.closed.load(Ordering::SeqCst) {
            return Err(self.error(operation, ErrorKind::Closed));
        }
        Ok(data)
    }

    fn with<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&mut Data, u64) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.engine.world.lock();
        let now = self.engine.now();
        work(self.find(operation, &mut world)?, now)
    }

    fn state(&self, operation: Operation) -> Result<State> {
        self.with(operation, |data, now_ms| {
            Ok(State {
                rows: Arc::clone(&data.rows),
                now_ms,
                fault: self.engine.fault,
            })
        })
    }

    pub(crate) fn check_limits(&self, operation: Operation, writes: &[Write<'_>]) -> Result<()> {
        let limits = self.capabilities().limits;
        let mut batch = 0;
        for write in writes {
            let (key, value, media_type) = match *write {
                Write::Put(key, put) => (key, put.value, put.media_type.unwrap_or_default()),
                Write::Delete(key) => (key, [].as_slice(), ""),
            };
            batch += key.len() + value.len();
            for (what, bytes, limit) in [
                ("a key", key.len(), limits.key_bytes),
                ("a value", value.len(), limits.value_bytes),
                ("a media type", media_type.len(), MEDIA_TYPE_BYTES_MAX),
                ("a batch", batch, limits.batch_bytes),
            ] {
                if bytes > limit {
                    let kind = ErrorKind::TooLarge { what, bytes, limit };
                    return Err(self.error(operation, kind).key(key));
                }
            }
        }
        Ok(())
    }

    fn add_version(data: &mut Data, now_ms: u64, name: Option<&str>, note: &str) -> Version {
        let live = data
            .rows
            .iter()
            .filter(|(_, entry)| !entry.is_expired(now_ms));
        let rows: Rows = live
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        data.last_version += 1;
        let version = Version {
            number: data.last_version,
            name: name.map(str::to_owned),
            note: note.to_owned(),
            time_ms: now_ms,
            keys: rows.len() as u64,
            bytes: rows
                .iter()
                .map(|(k, e)| (k.len() + e.value.len()) as u64)
                .sum(),
            exact: true,
        };
        data.versions.push((version.clone(), Arc::new(rows)));
        version
    }

    fn version_at(&self, operation: Operation, data: &Data, id: &VersionId) -> Result<usize> {
        let at = data.versions.iter().position(|(version, _)| version.is(id));
        at.ok_or_else(|| self.error(operation, ErrorKind::VersionNotFound(id.clone())))
    }
}

impl View for Handle {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.state(Operation::Get)?.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.state(Operation::Get)?.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        let state = self.state(Operation::Iterate)?;
        if self.engine.fault == Fault::CursorReadsLive {
            return Ok(Box::new(LiveWalk {
                handle: self.clone(),
                range,
                direction,
                walk: state.walk(&KeyRange::all(), direction),
                at: 0,
            }));
        }
        Ok(Box::new(state.walk(&range, direction)))
    }

    fn count(&self, range: KeyRange) -> Result<u64> {
        self.state(Operation::Iterate)?.count(range)
    }
}

impl Store for Handle {
    fn name(&self) -> &str {
        &self.name
    }

    fn engine_name(&self) -> &str {
        ENGINE
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn is_open(&self) -> bool {
        let mut world = self.engine.world.lock();
        let is_open = self.find(Operation::Get, &mut world).is_ok();
        is_open || self.engine.fault == Fault::SaysItIsOpen
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<()> {
        self.check_limits(Operation::Write, writes)?;
        if self.engine.fault == Fault::BatchesInParts && writes.len() > 1 {
            writes
                .iter()
                .try_for_each(|write| self.write(std::slice::from_ref(write)))?;
        }
        self.with(Operation::Write, |data, _| {
            if self.engine.fault == Fault::StaleCompareAndSet {
                data.stale = Arc::clone(&data.rows);
            }
            for write in writes {
                match *write {
                    Write::Put(key, put) => {
                        data.change(key, Some(self.engine.entry(put)), self.engine.fault);
                    }
                    Write::Delete(key) => data.change(key, None, self.engine.fault),
                }
            }
            Ok(())
        })
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.with(Operation::Delete, |data, now| {
            let there = data
                .rows
                .get(key)
                .is_some_and(|entry| !entry.is_expired(now));
            data.change(key, None, self.engine.fault);
            Ok(there)
        })
    }

    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap> {
        let operation = Operation::CompareAndSet;
        let write = new.map_or(Write::Delete(key), |put| Write::Put(key, put));
        self.check_limits(operation, &[write])?;
        self.with(operation, |data, now| {
            let stale = self.engine.fault == Fault::StaleCompareAndSet;
            let rows = if stale { &data.stale } else { &data.rows };
            let found = rows
                .get(key)
                .filter(|entry| !entry.is_expired(now))
                .cloned();
            if !expected.is(found.as_ref()) {
                return Ok(Swap::Differs(found));
            }
            data.change(
                key,
                new.map(|put| self.engine.entry(put)),
                self.engine.fault,
            );
            Ok(Swap::Done)
        })
    }

    fn clear(&self) -> Result<()> {
        self.with(Operation::Clear, |data, _| {
            data.rows = Arc::default();
            Ok(())
        })
    }

    fn snapshot(&self) -> Result<Box<dyn View + Send>> {
        let state = self.state(Operation::Get)?;
        if self.engine.fault == Fault::SnapshotIsTheLiveState {
            return Ok(Box::new(self.clone()));
        }
        Ok(Box::new(state))
    }

    fn stats(&self) -> Result<StoreStats> {
        self.with(Operation::Stats, |data, _| {
            Ok(StoreStats {
                keys: data.rows.len() as u64,
                bytes: data
                    .rows
                    .iter()
                    .map(|(k, e)| (k.len() + e.value.len()) as u64)
                    .sum(),
                exact: true,
                versions: data.versions.len() as u64,
                ..StoreStats::default()
            })
        })
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn transactional(&self) -> Option<&dyn Transactional> {
        (self.engine.fault != Fault::SaysTransactions).then_some(self)
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        (self.engine.fault != Fault::SaysVersions).then_some(self)
    }
}

impl Versioned for Handle {
    fn take_version(&self, name: Option<&str>, note: &str) -> Result<Version> {
        let operation = Operation::TakeVersion;
        check_version(name, note).map_err(|e| e.engine(ENGINE).store(&self.name))?;
        self.with(operation, |data, now| {
            if let Some(name) = name
                && data
                    .versions
                    .iter()
                    .any(|(version, _)| version.name.as_deref() == Some(name))
            {
                return Err(self.error(operation, ErrorKind::VersionExists(name.to_owned())));
            }
            Ok(Self::add_version(data, now, name, note))
        })
    }

    fn versions(&self) -> Result<Vec<Version>> {
        self.with(Operation::ListVersions, |data, _| {
            Ok(data
                .versions
                .iter()
                .map(|(version, _)| version.clone())
                .collect())
        })
    }

    fn at_version(&self, version: &VersionId) -> Result<Box<dyn View + Send>> {
        self.with(Operation::ReadVersion, |data, _| {
            let (version, rows) =
                &data.versions[self.version_at(Operation::ReadVersion, data, version)?];
            let live = self.engine.fault == Fault::VersionIsTheLiveState;
            let rows = Arc::clone(if live { &data.rows } else { rows });
            let (now_ms, fault) = (version.time_ms, self.engine.fault);
            Ok(Box::new(State {
                rows,
                now_ms,
                fault,
            }) as Box<dyn View + Send>)
        })
    }

    fn restore_version(&self, version: &VersionId) -> Result<Version> {
        let operation = Operation::RestoreVersion;
        if self.engine.fault == Fault::RestoreInSteps {
            let rows = self.with(operation, |data, _| {
                Ok(Arc::clone(
                    &data.versions[self.version_at(operation, data, version)?].1,
                ))
            })?;
            for (key, entry) in &*rows {
                self.put(key, entry.as_put())?;
            }
        }
        self.with(operation, |data, now| {
            let at = self.version_at(operation, data, version)?;
            data.rows = Arc::clone(&data.versions[at].1);
            let note = format!("restored from version {}", data.versions[at].0.number);
            if self.engine.fault == Fault::RestoreIsNoVersion {
                return Ok(data.versions[at].0.clone());
            }
            Ok(Self::add_version(data, now, None, &note))
        })
    }

    fn delete_version(&self, version: &VersionId) -> Result<()> {
        self.with(Operation::DeleteVersion, |data, _| {
            let at = self.version_at(Operation::DeleteVersion, data, version)?;
            data.versions.remove(at);
            Ok(())
        })
    }
}

/// One state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) rows: Arc<Rows>,
    pub(crate) now_ms: u64,
    pub(crate) fault: Fault,
}

impl State {
    pub(crate) fn walk(&self, range: &KeyRange, direction: Direction) -> Walk {
        let inside = self.rows.iter().filter(|(key, _)| range.contains(key));
        let there = inside.filter(|(_, entry)| !entry.is_expired(self.now_ms));
        let mut rows: Vec<_> = there
            .map(|(key, entry)| Row {
                key: key.clone().into(),
                entry: entry.clone(),
            })
            .collect();
        if direction == Direction::Reverse {
            rows.reverse();
            let bounded = !matches!(range.end(), std::ops::Bound::Unbounded);
            if self.fault == Fault::ReverseRangeOffByOne && bounded && !rows.is_empty() {
                rows.remove(0);
            }
        }
        if self.fault == Fault::SaysOrdered && rows.len() > 50 {
            rows.swap(3, 30);
        }
        Walk { rows, at: 0 }
    }
}

impl View for State {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        let found = self.rows.get(key);
        Ok(found
            .filter(|entry| !entry.is_expired(self.now_ms))
            .cloned())
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.entry(key)).collect()
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.walk(&range, direction)))
    }

    fn count(&self, range: KeyRange) -> Result<u64> {
        if self.fault == Fault::CountsExpired {
            return Ok(self.rows.keys().filter(|key| range.contains(key)).count() as u64);
        }
        Ok(self.walk(&range, Direction::Forward).rows.len() as u64)
    }
}

/// A walk through rows that were collected before.
pub(crate) struct Walk {
    pub(crate) rows: Vec<Row>,
    pub(crate) at: usize,
}

impl Cursor for Walk {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        self.at += 1;
        let row = self.rows.get(self.at - 1);
        Ok(row.map(|Row { key, entry }| RowRef {
            key,
            value: &entry.value,
            expires_ms: entry.expires_ms,
            media_type: entry.media_type.as_deref(),
        }))
    }
}

/// A walk that looks at the newest state at each step.
struct LiveWalk {
    handle: Handle,
    range: KeyRange,
    direction: Direction,
    walk: Walk,
    at: usize,
}

impl Cursor for LiveWalk {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        let state = self.handle.state(Operation::Iterate)?;
        self.walk = state.walk(&self.range, self.direction);
        self.walk.at = self.at;
        self.at += 1;
        self.walk.next()
    }
}
