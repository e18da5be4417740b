//! Reading one state of a store's tree.

use std::sync::Arc;

use nexusbase_db::{Cursor as TreeCursor, Snapshot, TreeId};

use super::failure::Fault;
use super::{NAME, expiry, row};
use crate::domain::{Cursor, Direction, Entry, KeyRange, Operation, Result, RowRef, View};

/// One state of a store, at one time.
#[derive(Debug)]
pub(super) struct LsmView {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) tree: TreeId,
    /// The tree of what expires.
    pub(super) expiry: TreeId,
    pub(super) store: String,
    pub(super) now_ms: u64,
}

impl LsmView {
    fn named<T>(&self, operation: Operation, outcome: std::result::Result<T, Fault>) -> Result<T> {
        super::named(operation, &self.store, outcome)
    }
}

impl View for LsmView {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        let found = entry(&*self.snapshot, self.tree, key, || self.now_ms);
        self.named(Operation::Get, found).map_err(|e| e.key(key))
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.entry(key)).collect()
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        let state = (&self.snapshot, self.tree, self.expiry);
        let cursor = LsmCursor::open(state, (range, direction), &self.store, self.now_ms);
        Ok(Box::new(self.named(Operation::Iterate, cursor)?))
    }
}

/// What is under `key`.
pub(super) fn entry(
    view: &dyn nexusbase_db::View,
    tree: TreeId,
    key: &[u8],
    now_ms: impl FnOnce() -> u64,
) -> std::result::Result<Option<Entry>, Fault> {
    match view.get(tree, key)? {
        Some(found) => row::entry(found, now_ms),
        None => Ok(None),
    }
}

/// After so many rows a cursor finds out whether it has to look for expired ones at all.
const LOOKED_AT: usize = 64;

/// A walk through what has not expired. It keeps what it reads.
pub(super) struct LsmCursor {
    cursor: TreeCursor,
    store: String,
    now_ms: u64,
    expired: Expired,
    ended: bool,
}

/// Whether a row may have expired.
enum Expired {
    /// It is not known; so many rows more are just looked at. The state that is walked through,
    /// and the tree of what expires.
    Unknown(usize, Arc<Snapshot>, TreeId),
    /// Some row of some store may.
    Some,
    /// No row of any store.
    None,
}

impl LsmCursor {
    /// A walk through the rows of `range` in `state`, whose entries expire as its tree `expiry` says.
    pub(super) fn open(
        (state, tree, expiry): (&Arc<Snapshot>, TreeId, TreeId),
        (range, direction): (KeyRange, Direction),
        store: &str,
        now_ms: u64,
    ) -> std::result::Result<Self, Fault> {
        Ok(Self {
            cursor: state.cursor(tree, range, direction)?,
            store: store.to_owned(),
            now_ms,
            expired: Expired::Unknown(LOOKED_AT, Arc::clone(state), expiry),
            ended: false,
        })
    }

    /// Goes to the next row that has not expired. Returns whether there is one.
    fn advance_looking(&mut self) -> std::result::Result<bool, Fault> {
        if let Expired::Unknown(rows, state, expiry) = &mut self.expired {
            *rows -= 1;
            if *rows == 0 {
                let any = expiry::is_any_due(state, *expiry, self.now_ms)?;
                self.expired = if any { Expired::Some } else { Expired::None };
            }
        }
        while self.cursor.advance()? {
            let (key, value) = self.cursor.row()?;
            let expires_ms = row::decode(key, value)?.expires_ms;
            if expires_ms.is_none_or(|time| time > self.now_ms) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn failed(&mut self, fault: Fault) -> crate::Error {
        self.ended = true;
        let error = fault.error(Operation::Iterate);
        error.engine(NAME).store(&self.store)
    }
}

impl Cursor for LsmCursor {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        if self.ended {
            return Ok(None);
        }
        // A long walk looks at each row once.
        let advanced = if matches!(self.expired, Expired::None) {
            self.cursor.advance().map_err(Fault::from)
        } else {
            self.advance_looking()
        };
        match advanced {
            Ok(true) => {}
            Ok(false) => {
                self.ended = true;
                return Ok(None);
            }
            Err(fault) => return Err(self.failed(fault)),
        }
        let failed = |fault: Fault| {
            let error = fault.error(Operation::Iterate);
            error.engine(NAME).store(&self.store)
        };
        // One after the other, without results handed on: this is what a scan does for each row.
        match self.cursor.row() {
            Ok((key, value)) => match row::plain(key, value) {
                Some(row) => Ok(Some(row)),
                None => row::decode(key, value).map(Some).map_err(failed),
            },
            Err(error) => Err(failed(error.into())),
        }
    }
}
