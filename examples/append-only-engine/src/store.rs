//! A store: everything in memory, and each change at the end of a file first.

use std::ops::Bound;
use std::sync::Arc;

use nexusbase_io::{Clock, File};
use nexusbase_kv::entry::MEDIA_TYPE_BYTES_MAX;
use nexusbase_kv::{
    Capabilities, Cursor, Direction, Entry, Error, ErrorKind, Expected, KeyRange, Limits,
    Operation, Put, Result, RowRef, Store, StoreOptions, StoreStats, Swap, Transactions, View,
    Write,
};
use parking_lot::RwLock;

use crate::folder::{Content, Folder};
use crate::record::{Change, Rows, encode};

/// The name of the engine.
pub(crate) const ENGINE: &str = "append-only";

/// What its stores can do.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    durable: true,
    ordered: true,
    transactions: Transactions::None,
    versioned: false,
    larger_than_memory: false,
    limits: Limits {
        key_bytes: 4 << 10,
        value_bytes: 16 << 20,
        batch_bytes: 32 << 20,
    },
};

/// Why a store does nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Dropped,
}

#[derive(Debug)]
pub(crate) struct AppendStore {
    name: String,
    folder: Folder,
    clock: Arc<dyn Clock>,
    /// Held over a write and its sync: changes come one after the other, and are seen when they
    /// are durable.
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// Shared with snapshots and cursors: whoever changes it while it is shared copies it first.
    rows: Arc<Rows>,
    options: StoreOptions,
    file: Arc<dyn File>,
    /// Where the file ends.
    length: u64,
    /// A write has failed, so nobody knows what the file's end is until it is read again.
    failed: bool,
    end: Option<End>,
}

impl AppendStore {
    pub(crate) fn new(
        name: &str,
        folder: &Folder,
        clock: &Arc<dyn Clock>,
        content: Content,
    ) -> Self {
        let state = State {
            rows: Arc::new(content.rows),
            options: content.options,
            file: content.file,
            length: content.end as u64,
            failed: false,
            end: None,
        };
        Self {
            name: name.to_owned(),
            folder: folder.clone(),
            clock: Arc::clone(clock),
            state: RwLock::new(state),
        }
    }

    fn error(&self, operation: Operation, kind: impl Into<ErrorKind>) -> Error {
        Error::new(operation, kind.into())
            .engine(ENGINE)
            .store(&self.name)
    }

    pub(crate) fn options(&self) -> StoreOptions {
        self.state.read().options.clone()
    }

    pub(crate) fn set_options(&self, options: &StoreOptions) -> Result<()> {
        let change = Change::Options(options.clone());
        self.change(Operation::SetOptions, |_| (vec![change], ()))
    }

    /// Ends the store's work. The first reason counts, but what was closed can still be dropped.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.write();
        if state.end != Some(End::Dropped) {
            state.end = Some(end);
        }
    }

    fn check_open(&self, operation: Operation, state: &State) -> Result<()> {
        match state.end {
            None => Ok(()),
            Some(End::Closed) => Err(self.error(operation, ErrorKind::Closed)),
            Some(End::Dropped) => Err(self.error(operation, ErrorKind::StoreNotFound)),
        }
    }

    /// The newest state.
    fn now(&self, operation: Operation) -> Result<Snapshot> {
        let state = self.state.read();
        self.check_open(operation, &state)?;
        let (rows, now_ms) = (Arc::clone(&state.rows), self.clock.unix_ms());
        Ok(Snapshot { rows, now_ms })
    }

    /// Looks at the newest state, and makes the changes that `decide` decides on. Nobody else
    /// changes anything in between.
    fn change<T>(
        &self,
        operation: Operation,
        decide: impl FnOnce(&Snapshot) -> (Vec<Change>, T),
    ) -> Result<T> {
        let mut state = self.state.write();
        self.check_open(operation, &state)?;
        let (rows, now_ms) = (Arc::clone(&state.rows), self.clock.unix_ms());
        let (changes, answer) = decide(&Snapshot { rows, now_ms });
        if changes.is_empty() {
            return Ok(answer);
        }
        if state.failed {
            let reason = "an earlier write has failed; close the store and open it again";
            return Err(self.error(operation, ErrorKind::Failed(reason.into())));
        }
        let record = encode(&changes);
        if let Err(e) = state.file.write_durable_at(&record, state.length) {
            state.failed = true;
            return Err(self.error(operation, e));
        }
        state.length += record.len() as u64;
        let State { rows, options, .. } = &mut *state;
        for change in changes {
            change.apply(Arc::make_mut(rows), options);
        }
        Ok(answer)
    }

    fn check_limits(&self, operation: Operation, writes: &[Write<'_>]) -> Result<()> {
        let mut batch = 0;
        for write in writes {
            let (key, value, media_type) = match *write {
                Write::Put(key, put) => (key, put.value, put.media_type.unwrap_or_default()),
                Write::Delete(key) => (key, [].as_slice(), ""),
            };
            batch += key.len() + value.len();
            let limits = CAPABILITIES.limits;
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
}

fn to_change(write: &Write<'_>) -> Change {
    match *write {
        Write::Put(key, put) => Change::Put(key.to_vec(), put.to_entry()),
        Write::Delete(key) => Change::Delete(key.to_vec()),
    }
}

impl View for AppendStore {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.now(Operation::Get)?.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.now(Operation::Get)?.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(
            self.now(Operation::Iterate)?.walk(range, direction),
        ))
    }
}

impl Store for AppendStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn engine_name(&self) -> &str {
        ENGINE
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn is_open(&self) -> bool {
        self.state.read().end.is_none()
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<()> {
        self.check_limits(Operation::Write, writes)?;
        self.change(Operation::Write, |_| {
            (writes.iter().map(to_change).collect(), ())
        })
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.change(Operation::Delete, |now| {
            let there = now.find(key).is_some();
            (
                there
                    .then(|| Change::Delete(key.to_vec()))
                    .into_iter()
                    .collect(),
                there,
            )
        })
    }

    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap> {
        let write = new.map_or(Write::Delete(key), |put| Write::Put(key, put));
        self.check_limits(Operation::CompareAndSet, &[write])?;
        self.change(Operation::CompareAndSet, |now| {
            let found = now.find(key);
            if expected.is(found) {
                (vec![to_change(&write)], Swap::Done)
            } else {
                (Vec::new(), Swap::Differs(found.cloned()))
            }
        })
    }

    fn clear(&self) -> Result<()> {
        self.change(Operation::Clear, |_| (vec![Change::Clear], ()))
    }

    fn snapshot(&self) -> Result<Box<dyn View + Send>> {
        Ok(Box::new(self.now(Operation::Get)?))
    }

    fn stats(&self) -> Result<StoreStats> {
        let now = self.now(Operation::Stats)?;
        let size = |(key, entry): (&Vec<u8>, &Entry)| (key.len() + entry.value.len()) as u64;
        Ok(StoreStats {
            keys: now.rows.len() as u64,
            bytes: now.rows.iter().map(size).sum(),
            exact: true,
            disk_bytes: Some(self.state.read().length),
            ..StoreStats::default()
        })
    }

    fn close(&self) -> Result<()> {
        self.end(End::Closed);
        Ok(())
    }

    fn compact(&self) -> Result<bool> {
        let mut state = self.state.write();
        self.check_open(Operation::Compact, &state)?;
        let saved = self.folder.save(&self.name, &state.options, &state.rows);
        let (file, length) = saved.map_err(|e| {
            // Nobody knows which file has the name now.
            state.failed = true;
            self.error(Operation::Compact, e)
        })?;
        let shorter = length < state.length;
        (state.file, state.length, state.failed) = (file, length, false);
        Ok(shorter)
    }
}

/// One state.
struct Snapshot {
    rows: Arc<Rows>,
    now_ms: u64,
}

impl Snapshot {
    fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.rows
            .get(key)
            .filter(|entry| !entry.is_expired(self.now_ms))
    }

    fn walk(&self, range: KeyRange, direction: Direction) -> Walk {
        let (rows, now_ms) = (Arc::clone(&self.rows), self.now_ms);
        Walk {
            rows,
            now_ms,
            left: range,
            direction,
        }
    }
}

impl View for Snapshot {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        Ok(self.find(key).cloned())
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        Ok(keys.iter().map(|key| self.find(key).cloned()).collect())
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.walk(range, direction)))
    }
}

/// A walk through a state.
struct Walk {
    rows: Arc<Rows>,
    now_ms: u64,
    left: KeyRange,
    direction: Direction,
}

impl Cursor for Walk {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        // A map refuses to be asked for such a range.
        if self.left.is_empty() {
            return Ok(None);
        }
        let rows = self
            .rows
            .range::<[u8], _>((self.left.start(), self.left.end()));
        let mut rows = rows.filter(|(_, entry)| !entry.is_expired(self.now_ms));
        let found = match self.direction {
            Direction::Forward => rows.next(),
            Direction::Reverse => rows.next_back(),
        };
        let Some((key, entry)) = found else {
            // Nothing more, for ever.
            self.left = KeyRange::from_bounds(beyond(b""), beyond(b""));
            return Ok(None);
        };
        let own = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
        self.left = match self.direction {
            Direction::Forward => KeyRange::from_bounds(beyond(key), own(self.left.end())),
            Direction::Reverse => KeyRange::from_bounds(own(self.left.start()), beyond(key)),
        };
        let Put {
            value,
            expires_ms,
            media_type,
        } = entry.as_put();
        Ok(Some(RowRef {
            key,
            value,
            expires_ms,
            media_type,
        }))
    }
}

fn beyond(key: &[u8]) -> Bound<Vec<u8>> {
    Bound::Excluded(key.to_vec())
}
