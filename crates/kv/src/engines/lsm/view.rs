//! Reading one state of a store's tree.

use std::sync::Arc;

use nexusbase_db::{Cursor as TreeCursor, Snapshot, TreeId};

use super::NAME;
use super::failure::Fault;
use super::row;
use crate::domain::{Cursor, Direction, Entry, KeyRange, Operation, Result, RowRef, View};

/// One state of a store, at one time.
#[derive(Debug)]
pub(super) struct LsmView {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) tree: TreeId,
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
        let cursor = self.snapshot.cursor(self.tree, range, direction);
        let cursor = self.named(Operation::Iterate, cursor.map_err(Fault::from))?;
        Ok(Box::new(LsmCursor::new(cursor, &self.store, self.now_ms)))
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

/// A walk through what has not expired. It keeps what it reads, and needs no snapshot.
pub(super) struct LsmCursor {
    cursor: TreeCursor,
    store: String,
    now_ms: u64,
    ended: bool,
}

impl LsmCursor {
    pub(super) fn new(cursor: TreeCursor, store: &str, now_ms: u64) -> Self {
        Self {
            cursor,
            store: store.to_owned(),
            now_ms,
            ended: false,
        }
    }

    /// Goes to the next row that has not expired. Returns whether there is one.
    fn advance(&mut self) -> std::result::Result<bool, Fault> {
        while self.cursor.advance()? {
            let (key, value) = self.cursor.row()?;
            let expires_ms = row::decode(key, value)?.expires_ms;
            if expires_ms.is_none_or(|time| time > self.now_ms) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn row(&mut self) -> std::result::Result<RowRef<'_>, Fault> {
        let (key, value) = self.cursor.row()?;
        row::decode(key, value)
    }
}

impl Cursor for LsmCursor {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        if self.ended {
            return Ok(None);
        }
        let advanced = self.advance();
        self.ended = !matches!(advanced, Ok(true));
        let found = super::named(Operation::Iterate, &self.store, advanced)?;
        if !found {
            return Ok(None);
        }
        match self.row() {
            Ok(row) => Ok(Some(row)),
            Err(fault) => Err(fault.error(Operation::Iterate).engine(NAME)),
        }
    }
}
