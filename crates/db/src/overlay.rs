//! Reading through a transaction: rows of its snapshot, remembered as far as they are read, with
//! its own writes laid over them.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{Direction, KeyRange, TreeId};

use crate::read_set::ReadSet;
use crate::span::Span;
use crate::view::{Row, Scan};
use crate::writes::OwnRow;

/// A scan of the snapshot that remembers how far it has read.
pub(crate) struct Tracked<'a> {
    pub(crate) reads: &'a RefCell<ReadSet>,
    pub(crate) tree: TreeId,
    pub(crate) range: KeyRange,
    pub(crate) direction: Direction,
    pub(crate) rows: Scan<'a>,
    pub(crate) last: Option<Bytes>,
    /// Whether the scan came to its end.
    pub(crate) all: bool,
}

impl Iterator for Tracked<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.rows.next();
        match &row {
            Some(Ok((key, _))) => self.last = Some(key.clone()),
            Some(Err(_)) => {}
            None => self.all = true,
        }
        row
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        let (mut start, mut end) = (self.range.start(), self.range.end());
        if !self.all {
            let Some(last) = &self.last else { return };
            match self.direction {
                Direction::Forward => end = Bound::Included(last),
                Direction::Reverse => start = Bound::Included(last),
            }
        }
        if let Some(span) = Span::between(start, end) {
            self.reads.borrow_mut().add_range(self.tree, span);
        }
    }
}

/// Rows of the snapshot with the transaction's own changes laid over them.
pub(crate) struct Overlay<I: Iterator> {
    below: Peekable<I>,
    own: Peekable<std::vec::IntoIter<OwnRow>>,
    direction: Direction,
}

impl<I: Iterator<Item = Row>> Overlay<I> {
    pub(crate) fn new(below: I, own: Vec<OwnRow>, direction: Direction) -> Self {
        Self {
            below: below.peekable(),
            own: own.into_iter().peekable(),
            direction,
        }
    }
}

impl<I: Iterator<Item = Row>> Iterator for Overlay<I> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            let order = match (self.below.peek(), self.own.peek()) {
                (Some(Err(_)), _) | (_, None) => return self.below.next(),
                (None, Some(_)) => Ordering::Greater,
                (Some(Ok((below, _))), Some((own, _))) => match self.direction {
                    Direction::Forward => below.cmp(own),
                    Direction::Reverse => own.cmp(below),
                },
            };
            if order == Ordering::Less {
                return self.below.next();
            }
            // The own change hides the row, or is merged into it.
            let below = if order == Ordering::Equal {
                self.below.next().and_then(Result::ok)
            } else {
                None
            };
            let (key, write) = self.own.next()?;
            if let Some(value) = write.over(below.as_ref().map(|row| &row.1)) {
                return Some(Ok((key, value)));
            }
        }
    }
}
