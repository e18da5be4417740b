//! Pages: some rows of a range, and where to go on.

use std::ops::Bound;

use bytes::Bytes;

use super::cursor::Cursor;
use super::entry::Row;
use super::error::Result;
use super::{Direction, KeyRange};

/// What a page should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// Which keys.
    pub range: KeyRange,
    /// In which order.
    pub direction: Direction,
    /// At most so many rows; 0 is 1.
    pub limit: usize,
    /// The page ends once its keys and values have so many bytes.
    pub bytes: usize,
    /// Where the page before ended ([`Page::next`]).
    pub after: Option<Bytes>,
}

impl PageQuery {
    /// The first 1,000 rows of `range`, or the first MiB.
    #[must_use]
    pub const fn new(range: KeyRange) -> Self {
        Self {
            range,
            direction: Direction::Forward,
            limit: 1000,
            bytes: 1 << 20,
            after: None,
        }
    }

    /// What is left of the range.
    #[must_use]
    pub fn remaining(&self) -> KeyRange {
        let Some(after) = &self.after else {
            return self.range.clone();
        };
        let own = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
        let (start, end) = (own(self.range.start()), own(self.range.end()));
        let beyond = Bound::Excluded(after.to_vec());
        // A place outside of the range must not make the range larger.
        match self.direction {
            Direction::Forward if self.range.contains(after) => KeyRange::from_bounds(beyond, end),
            Direction::Reverse if self.range.contains(after) => {
                KeyRange::from_bounds(start, beyond)
            }
            Direction::Forward if is_before(after, self.range.start()) => self.range.clone(),
            Direction::Reverse if is_behind(after, self.range.end()) => self.range.clone(),
            Direction::Forward | Direction::Reverse => {
                KeyRange::from_bounds(Bound::Excluded(Vec::new()), Bound::Excluded(Vec::new()))
            }
        }
    }
}

fn is_before(key: &[u8], start: Bound<&[u8]>) -> bool {
    match start {
        Bound::Included(start) => key < start,
        Bound::Excluded(start) => key <= start,
        Bound::Unbounded => false,
    }
}

fn is_behind(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Included(end) => key > end,
        Bound::Excluded(end) => key >= end,
        Bound::Unbounded => false,
    }
}

/// Some rows of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// To be given as [`PageQuery::after`] for the next page; none if this is the last.
    pub next: Option<Bytes>,
}

impl Page {
    /// The rows of `cursor`, as far as they fit. A row that is too large by itself is a page of
    /// its own.
    pub(super) fn collect(mut cursor: Box<dyn Cursor + '_>, query: &PageQuery) -> Result<Self> {
        let mut page = Self::default();
        let mut bytes = 0;
        while let Some(row) = cursor.next()? {
            if let Some(last) = page.rows.last()
                && (page.rows.len() >= query.limit || bytes >= query.bytes)
            {
                page.next = Some(last.key.clone());
                break;
            }
            bytes += row.key.len() + row.value.len();
            page.rows.push(row.to_row());
        }
        Ok(page)
    }
}
