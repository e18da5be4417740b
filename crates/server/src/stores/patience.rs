//! Reading for as long as somebody waits: a walk through much that answers little must end when
//! the request's time is up.

use nexusbase_kv::{
    Cursor, Direction, Entry, Error, ErrorKind, KeyRange, Operation, Result, RowRef, View,
};

use crate::operation::Progress;

/// A view whose walks end when nobody waits any more.
pub(super) struct Patient<'a> {
    pub(super) view: &'a dyn View,
    pub(super) progress: &'a Progress,
}

struct PatientCursor<'a> {
    cursor: Box<dyn Cursor + 'a>,
    progress: &'a Progress,
}

impl View for Patient<'_> {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.view.entry(key)
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.view.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(PatientCursor {
            cursor: self.view.cursor(range, direction)?,
            progress: self.progress,
        }))
    }
}

impl Cursor for PatientCursor<'_> {
    fn next(&mut self) -> Result<Option<RowRef<'_>>> {
        if self.progress.is_given_up() {
            // Nobody reads it.
            return Err(Error::new(Operation::Iterate, ErrorKind::Closed));
        }
        self.cursor.next()
    }
}
