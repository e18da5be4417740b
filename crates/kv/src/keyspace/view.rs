//! Reading one state.

use super::state::{Cell, State};
use crate::btree;
use crate::domain::{Cursor, Direction, Entry, KeyRange, Result, RowRef, View};

/// One state at one time.
#[derive(Debug)]
pub(crate) struct StateView {
    state: State,
    now_ms: u64,
}

impl StateView {
    pub(crate) const fn new(state: State, now_ms: u64) -> Self {
        Self { state, now_ms }
    }
}

impl View for StateView {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        let cell = self.state.live(key, self.now_ms);
        Ok(cell.map(|cell| cell.entry.clone()))
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        keys.iter().map(|key| self.entry(key)).collect()
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(StateCursor::new(
            &self.state,
            &range,
            direction,
            self.now_ms,
        )))
    }

    fn count(&self, range: KeyRange) -> Result<u64> {
        Ok(count(&self.state, &range, self.now_ms))
    }
}

/// The number of entries in `range` that have not expired at `now_ms`.
pub(crate) fn count(state: &State, range: &KeyRange, now_ms: u64) -> u64 {
    if *range == KeyRange::all() {
        return state.count(now_ms);
    }
    let mut cursor = state.cursor(range, Direction::Forward);
    let mut count = 0;
    while let Some((_, cell)) = cursor.next() {
        count += u64::from(!cell.entry.is_expired(now_ms));
    }
    count
}

/// A walk through what has not expired.
pub(crate) struct StateCursor {
    cells: btree::Cursor<Cell>,
    now_ms: u64,
}

impl StateCursor {
    pub(crate) fn new(state: &State, range: &KeyRange, direction: Direction, now_ms: u64) -> Self {
        Self {
            cells: state.cursor(range, direction),
            now_ms,
        }
    }

    /// The next row.
    pub(crate) fn next_cell(&mut self) -> Option<(&[u8], &Cell)> {
        self.cells.find(|cell| !cell.entry.is_expired(self.now_ms))
    }
}

impl Cursor for StateCursor {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        Ok(self.next_cell().map(|(key, cell)| row(key, &cell.entry)))
    }
}

/// A row, lent.
pub(crate) fn row<'a>(key: &'a [u8], entry: &'a Entry) -> RowRef<'a> {
    RowRef {
        key,
        value: &entry.value,
        expires_ms: entry.expires_ms,
        media_type: entry.media_type.as_deref(),
    }
}
