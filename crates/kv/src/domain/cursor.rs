//! Walks through rows: lending, for those who only look, and as an iterator of rows.

use super::entry::{Row, RowRef};
use super::error::Result;

/// A walk through the rows of a range, of one state. It lends each row until the next step, so
/// that looking at many costs no copies.
pub trait Cursor {
    /// The next row, or none at the end; then, and after an error, none for ever.
    ///
    /// # Errors
    /// When the data cannot be read or is damaged.
    fn next(&mut self) -> Result<Option<RowRef<'_>>>;
}

/// The rows of a cursor, each in memory of its own. It ends after the first error.
pub struct Rows<'a> {
    cursor: Option<Box<dyn Cursor + 'a>>,
}

impl<'a> Rows<'a> {
    /// The rows of `cursor`.
    #[must_use]
    pub fn new(cursor: Box<dyn Cursor + 'a>) -> Self {
        Self {
            cursor: Some(cursor),
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.cursor.as_mut()?.next();
        let next = next.map(|row| row.map(|row| row.to_row())).transpose();
        if !matches!(next, Some(Ok(_))) {
            self.cursor = None;
        }
        next
    }
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}
