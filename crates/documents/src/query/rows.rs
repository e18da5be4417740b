//! Walking through ranges of a tree, row by row, without copying where that can be.
//!
//! A snapshot lends its rows. What a transaction shows, with its own writes laid over, is copied,
//! and remembered as read.

use std::ops::Bound;
use std::sync::Arc;

use nexusbase_db::{Bytes, Cursor, Direction, KeyRange, Scan, TreeId, View};

use super::index_scan::IndexScan;
use super::reader::Place;
use crate::store::Error;

/// Rows of ranges that are in order and apart from each other.
pub(crate) struct Rows<'v> {
    view: &'v dyn View,
    tree: TreeId,
    direction: Direction,
    /// Those still to be read, the next one last.
    ranges: Vec<KeyRange>,
    at: At<'v>,
    /// How many rows were read.
    pub(crate) read: u64,
}

enum At<'v> {
    Between,
    Lent(Box<Cursor>),
    Copied(Scan<'v>, (Bytes, Bytes)),
}

impl<'v> Rows<'v> {
    /// The rows of `ranges`, which are ascending; from `start` on in the direction, if given.
    pub(crate) fn new(
        view: &'v dyn View,
        tree: TreeId,
        ranges: &[KeyRange],
        direction: Direction,
        start: Option<&[u8]>,
    ) -> Self {
        let cut = |range: &KeyRange| match start {
            Some(start) => from(range, start, direction),
            None => range.clone(),
        };
        let mut ranges: Vec<KeyRange> = ranges.iter().map(cut).collect();
        if start.is_some() {
            ranges.retain(|range| !range.is_empty());
        }
        if direction == Direction::Forward {
            ranges.reverse();
        }
        Self {
            view,
            tree,
            direction,
            ranges,
            at: At::Between,
            read: 0,
        }
    }

    /// Goes to the next row. Returns whether there is one.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        loop {
            let found = match &mut self.at {
                At::Between => false,
                At::Lent(cursor) => cursor.advance().map_err(read_error)?,
                At::Copied(scan, row) => match scan.next().transpose()? {
                    Some(next) => {
                        *row = next;
                        true
                    }
                    None => false,
                },
            };
            if found {
                self.read += 1;
                return Ok(true);
            }
            let Some(range) = self.ranges.pop() else {
                self.at = At::Between;
                return Ok(false);
            };
            self.open(range)?;
        }
    }

    fn open(&mut self, range: KeyRange) -> Result<(), Error> {
        self.at = match self.view.as_snapshot() {
            Some(snapshot) => {
                let cursor = snapshot.cursor(self.tree, range, self.direction)?;
                At::Lent(Box::new(cursor))
            }
            None => {
                let scan = self.view.scan(self.tree, range, self.direction)?;
                At::Copied(scan, (Bytes::new(), Bytes::new()))
            }
        };
        Ok(())
    }

    /// Goes to `key`, or the first row behind it in the direction, if it is not there already.
    /// Returns whether there is one. Only for a walk through one range that has begun.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<bool, Error> {
        if let At::Lent(cursor) = &mut self.at {
            self.read += 1;
            return Ok(cursor.seek(key).map_err(read_error)?);
        }
        let direction = self.direction;
        loop {
            if !self.advance()? {
                return Ok(false);
            }
            let here = self.row()?.0;
            let reached = match direction {
                Direction::Forward => here >= key,
                Direction::Reverse => here <= key,
            };
            if reached {
                return Ok(true);
            }
        }
    }

    /// The key and the value that it is at.
    pub(crate) fn row(&mut self) -> Result<(&[u8], &[u8]), Error> {
        match &mut self.at {
            At::Between => Ok((&[], &[])),
            At::Lent(cursor) => Ok(cursor.row().map_err(read_error)?),
            At::Copied(_, (key, value)) => Ok((key, value)),
        }
    }
}

/// Cursors of a snapshot report what the disk says.
fn read_error(error: nexusbase_db::DiskError) -> nexusbase_db::ReadError {
    nexusbase_db::ReadError::Forest(error.into())
}

/// The part of `range` from `start` on in the direction.
fn from(range: &KeyRange, start: &[u8], direction: Direction) -> KeyRange {
    let owned = |bound: Bound<&[u8]>| bound.map(<[u8]>::to_vec);
    let (low, high) = (owned(range.start()), owned(range.end()));
    let cut = Bound::Included(start.to_vec());
    let lies = |bound: &Bound<Vec<u8>>, inside: fn(&[u8], &[u8]) -> bool| match bound {
        Bound::Included(key) | Bound::Excluded(key) => inside(key, start),
        Bound::Unbounded => false,
    };
    match direction {
        Direction::Forward if lies(&low, |key, start| key > start) => range.clone(),
        Direction::Forward => KeyRange::from_bounds(cut, high),
        Direction::Reverse if lies(&high, |key, start| key <= start) => range.clone(),
        Direction::Reverse => KeyRange::from_bounds(low, cut),
    }
}

/// Rows of a part of an index.
pub(crate) struct IndexRows<'v> {
    pub(crate) scan: IndexScan,
    pub(crate) rows: Rows<'v>,
    collection: Arc<str>,
}

impl<'v> IndexRows<'v> {
    pub(crate) fn new(
        place: &Place<'v>,
        scan: IndexScan,
        direction: Direction,
        start: Option<&[u8]>,
    ) -> Self {
        let tree = scan.index().tree;
        let rows = Rows::new(place.view, tree, &scan.ranges, direction, start);
        Self {
            scan,
            rows,
            collection: Arc::clone(&place.collection),
        }
    }

    /// Goes to the next row that passes the checks. Returns whether there is one.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        while self.rows.advance()? {
            if !self.scan.is_checked() {
                return Ok(true);
            }
            let (row, _) = self.rows.row()?;
            match self.scan.passes(row) {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => return Err(damaged(&self.collection, &self.scan)),
            }
        }
        Ok(false)
    }

    /// The values of the row that it is at, and the key of its document.
    pub(crate) fn row(&mut self) -> Result<(&[u8], &[u8]), Error> {
        let (key, value) = self.rows.row()?;
        let index = self.scan.index();
        let split = index.split_row(key, value);
        split.ok_or_else(|| damaged(&self.collection, &self.scan))
    }
}

fn damaged(collection: &str, scan: &IndexScan) -> Error {
    Error::Damaged {
        collection: collection.to_owned(),
        reason: format!("a row of the index {} cannot be read", scan.index().name()),
    }
}
