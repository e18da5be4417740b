//! What a user's scan sees of an ordered source: each live key once, at one seqno.
//!
//! Versions that are newer than the seqno are skipped; of the rest the newest decides, unless a
//! range delete lies over it, and merge rows are joined with what lies beneath. A key is walked to
//! its end in either direction; after [`STEPS_BEFORE_SEEK`] versions it is left by a seek.
//!
//! An entry is lent from the source where possible. It is copied when the source has to be moved
//! to know it: in reverse, where the newest version of a key comes last, unless the source says
//! that there is no other ([`RowCursor::key_ends`]), and when values are merged.
//!
//! Promises: the same entries in both directions. Does not: read blobs, but for merging onto one;
//! check that `at` can still be read.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::RowCursor;
use crate::kind::Merge;
use crate::range_delete::{RangeDeletes, RangeDeletesCursor, newest_seen};
use crate::row::{BlobRef, Cell, RowRef};
use crate::{Direction, DiskError, KeyRange, Seqno};

#[cfg(test)]
mod tests;

/// How many versions of a key are stepped over before it is left by a seek.
const STEPS_BEFORE_SEEK: usize = 16;

/// Where values are that are kept apart.
pub(crate) trait Blobs {
    /// Fetches the one of a key.
    fn read(&self, key: &[u8], blob: BlobRef) -> Result<Bytes, DiskError>;
}

/// A key that is there, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Inline(&'a [u8]),
    Blob(BlobRef),
}

/// A scan of one source in one direction.
#[derive(Debug)]
pub(crate) struct Visible<R, B> {
    rows: R,
    view: View<B>,
    range: KeyRange,
    direction: Direction,
    place: Place,
    /// The entry when it is [`Place::Held`], or the key that is being left.
    key: Vec<u8>,
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the range.
    Start,
    /// The entry is the source's row.
    OnRow,
    /// The entry is a copy; the source is behind the key.
    Held,
    End,
}

/// By what a row is judged.
#[derive(Debug)]
struct View<B> {
    at: Seqno,
    deletes: RangeDeletesCursor,
    merge: Option<Merge>,
    blobs: B,
}

/// What was found of a key so far.
#[derive(Debug)]
struct Held {
    base: Base,
    /// The value of the base, then of the entry.
    value: Vec<u8>,
    /// All merge rows above the base, joined.
    operand: Vec<u8>,
    has_operand: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Nothing,
    Inline,
    Blob(BlobRef),
}

impl<B> View<B> {
    /// Whether a range delete hides a row from this view.
    #[inline]
    fn is_deleted(&mut self, row: &RowRef<'_>, purged_through: Seqno, walk: Direction) -> bool {
        if self.deletes.is_empty() {
            return false;
        }
        newest_seen(self.deletes.over(row.key, walk), self.at)
            .is_some_and(|seqno| seqno > row.seqno.max(purged_through))
    }
}

impl Held {
    fn clear(&mut self) {
        self.base = Base::Nothing;
        self.has_operand = false;
    }

    fn set_base(&mut self, cell: Cell<'_>) {
        self.base = match cell {
            Cell::Put(value) => {
                self.value.clear();
                self.value.extend_from_slice(value);
                Base::Inline
            }
            Cell::Blob(blob) => Base::Blob(blob),
            Cell::Delete | Cell::Merge(_) => Base::Nothing,
        };
    }

    fn add_operand(&mut self, operand: &[u8], merge: Option<Merge>) {
        match merge {
            Some(merge) if self.has_operand => self.operand = merge(&self.operand, operand),
            // Nothing can have written a second one if the kind does not merge.
            _ => {
                self.operand.clear();
                self.operand.extend_from_slice(operand);
            }
        }
        self.has_operand = true;
    }

    /// Makes the value of what was found; says whether there is one.
    fn finish<B: Blobs>(&mut self, view: &View<B>, key: &[u8]) -> Result<bool, DiskError> {
        if !self.has_operand {
            return Ok(self.base != Base::Nothing);
        }
        match (self.base, view.merge) {
            (Base::Inline, Some(merge)) => self.value = merge(&self.value, &self.operand),
            (Base::Blob(blob), Some(merge)) => {
                self.value = merge(&view.blobs.read(key, blob)?, &self.operand);
            }
            _ => std::mem::swap(&mut self.value, &mut self.operand),
        }
        self.base = Base::Inline;
        Ok(true)
    }
}

/// How to look at a source.
#[derive(Debug)]
pub(crate) struct ViewOptions<B> {
    pub(crate) range: KeyRange,
    pub(crate) direction: Direction,
    pub(crate) at: Seqno,
    pub(crate) deletes: Arc<RangeDeletes>,
    pub(crate) merge: Option<Merge>,
    pub(crate) blobs: B,
}

impl<R: RowCursor, B: Blobs> Visible<R, B> {
    /// Before the first entry of the range, in the direction of the scan.
    pub(crate) fn new(rows: R, options: ViewOptions<B>) -> Self {
        Self {
            rows,
            view: View {
                at: options.at,
                deletes: RangeDeletesCursor::new(options.deletes),
                merge: options.merge,
                blobs: options.blobs,
            },
            range: options.range,
            direction: options.direction,
            place: Place::Start,
            key: Vec::new(),
            held: Held {
                base: Base::Nothing,
                value: Vec::new(),
                operand: Vec::new(),
                has_operand: false,
            },
        }
    }

    /// Goes to the next entry in the direction of the scan; says whether there is one. After the
    /// end or an error there is none, until a seek.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<bool, DiskError> {
        // What is left at an error.
        let place = std::mem::replace(&mut self.place, Place::End);
        match (place, self.direction) {
            (Place::End, _) => return Ok(false),
            (Place::Held, _) => {}
            (Place::OnRow, Direction::Forward) => self.leave_key()?,
            // An entry is on a row in reverse only if the row is the newest of its key.
            (Place::OnRow, Direction::Reverse) => self.rows.prev()?,
            (Place::Start, _) => self.start()?,
        }
        self.find()
    }

    /// Goes to the first entry of the range at or behind `key` in the direction of the scan,
    /// wherever the scan is; says whether there is one.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<bool, DiskError> {
        self.place = Place::End;
        self.view.deletes.jump();
        match self.direction {
            Direction::Forward if self.range.is_behind(key) => self.start()?,
            Direction::Forward => self.rows.seek(key, Seqno::MAX)?,
            Direction::Reverse if self.range.is_before(key) => self.start()?,
            Direction::Reverse => {
                self.set_key(key);
                self.seek_last_of_key()?;
            }
        }
        self.find()
    }

    /// Where it is, if at an entry.
    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        match self.place {
            Place::Start | Place::End => None,
            Place::OnRow => {
                let row = self.rows.row()?;
                let value = match row.cell {
                    Cell::Put(value) => Value::Inline(value),
                    Cell::Blob(blob) => Value::Blob(blob),
                    Cell::Delete | Cell::Merge(_) => return None,
                };
                let key = row.key;
                Some(Entry { key, value })
            }
            Place::Held => {
                let value = match self.held.base {
                    Base::Inline => Value::Inline(&self.held.value),
                    Base::Blob(blob) => Value::Blob(blob),
                    Base::Nothing => return None,
                };
                let key = &self.key;
                Some(Entry { key, value })
            }
        }
    }

    fn find(&mut self) -> Result<bool, DiskError> {
        let found = match self.direction {
            Direction::Forward => self.find_forward()?,
            Direction::Reverse => self.find_reverse()?,
        };
        self.place = found.unwrap_or(Place::End);
        Ok(found.is_some())
    }

    fn start(&mut self) -> Result<(), DiskError> {
        match self.direction {
            Direction::Forward => match self.range.start() {
                Bound::Unbounded => self.rows.seek_first(),
                Bound::Included(key) => self.rows.seek(key, Seqno::MAX),
                Bound::Excluded(key) => {
                    self.key.clear();
                    self.key.extend_from_slice(key);
                    self.seek_next_key()
                }
            },
            Direction::Reverse => match self.range.end() {
                Bound::Unbounded => self.rows.seek_last(),
                Bound::Excluded(key) => self.rows.seek_before(key, Seqno::MAX),
                Bound::Included(key) => {
                    self.key.clear();
                    self.key.extend_from_slice(key);
                    self.seek_last_of_key()
                }
            },
        }
    }

    /// From a row of the range on: the first entry.
    #[inline]
    fn find_forward(&mut self) -> Result<Option<Place>, DiskError> {
        while let Some(row) = self.rows.row() {
            if self.range.is_before(row.key) {
                return Ok(None);
            }
            if row.seqno > self.view.at {
                self.skip_newer()?;
                continue;
            }
            let purged = self.rows.purged_through();
            let hidden = self.view.is_deleted(&row, purged, Direction::Forward);
            match row.cell {
                _ if hidden => self.leave_key()?,
                Cell::Delete => self.leave_key()?,
                Cell::Put(_) | Cell::Blob(_) => return Ok(Some(Place::OnRow)),
                Cell::Merge(_) => {
                    self.set_key_to_row();
                    self.collect_down()?;
                    self.leave_rest_of_key()?;
                    if self.held.finish(&self.view, &self.key)? {
                        return Ok(Some(Place::Held));
                    }
                }
            }
        }
        Ok(None)
    }

    /// At the oldest row of a key of the range: the first entry in reverse.
    #[inline]
    fn find_reverse(&mut self) -> Result<Option<Place>, DiskError> {
        while let Some(row) = self.rows.row() {
            if self.range.is_behind(row.key) {
                return Ok(None);
            }
            let only = self.rows.key_ends();
            if row.seqno > self.view.at {
                // It is the oldest, so the others are too new as well.
                self.leave_key_back()?;
                continue;
            }
            if only && row.cell.hides_older() {
                let purged = self.rows.purged_through();
                let hidden = self.view.is_deleted(&row, purged, Direction::Reverse);
                if !hidden && row.cell != Cell::Delete {
                    return Ok(Some(Place::OnRow));
                }
                self.rows.prev()?;
                continue;
            }
            self.collect_up()?;
            if self.held.finish(&self.view, &self.key)? {
                return Ok(Some(Place::Held));
            }
        }
        Ok(None)
    }

    /// From a row of `self.key` that is seen on: holds what it and the older ones say.
    fn collect_down(&mut self) -> Result<(), DiskError> {
        self.held.clear();
        while let Some(row) = self.rows.row() {
            let purged = self.rows.purged_through();
            if row.key != self.key || self.view.is_deleted(&row, purged, Direction::Forward) {
                return Ok(());
            }
            let Cell::Merge(operand) = row.cell else {
                self.held.set_base(row.cell);
                return Ok(());
            };
            self.held.add_operand(operand, self.view.merge);
            self.rows.next()?;
        }
        Ok(())
    }

    /// From the oldest row of a key on: holds what those that are seen say, and leaves the key.
    fn collect_up(&mut self) -> Result<(), DiskError> {
        self.set_key_to_row();
        self.held.clear();
        for _ in 0..STEPS_BEFORE_SEEK {
            let Some(row) = self.rows.row() else {
                return Ok(());
            };
            if row.seqno > self.view.at {
                return self.leave_rest_of_key_back();
            }
            let purged = self.rows.purged_through();
            match row.cell {
                _ if self.view.is_deleted(&row, purged, Direction::Reverse) => self.held.clear(),
                Cell::Merge(operand) => self.held.add_operand(operand, self.view.merge),
                base => {
                    self.held.clear();
                    self.held.set_base(base);
                }
            }
            let last = self.rows.key_ends();
            self.rows.prev()?;
            if last || self.rows.row().is_none_or(|row| row.key != self.key) {
                return Ok(());
            }
        }
        // Too many: from the newest that is seen, down.
        self.rows.seek(&self.key, self.view.at)?;
        self.view.deletes.jump();
        self.collect_down()?;
        self.view.deletes.jump();
        self.rows.seek_before(&self.key, Seqno::MAX)
    }

    /// From a row that is too new: to the first of its key that is not, or behind the key.
    fn skip_newer(&mut self) -> Result<(), DiskError> {
        if self.rows.key_ends() {
            return self.rows.next();
        }
        self.set_key_to_row();
        for _ in 0..STEPS_BEFORE_SEEK {
            self.rows.next()?;
            match self.rows.row() {
                Some(row) if row.seqno > self.view.at && row.key == self.key => {}
                _ => return Ok(()),
            }
        }
        self.rows.seek(&self.key, self.view.at)
    }

    /// To the first row of the next key.
    #[inline]
    fn leave_key(&mut self) -> Result<(), DiskError> {
        if self.rows.key_ends() {
            return self.rows.next();
        }
        self.set_key_to_row();
        self.rows.next()?;
        self.leave_rest_of_key()
    }

    /// To the first row behind `self.key`, from a row of it or that very row.
    #[inline]
    fn leave_rest_of_key(&mut self) -> Result<(), DiskError> {
        for _ in 0..STEPS_BEFORE_SEEK {
            match self.rows.row() {
                Some(row) if row.key == self.key => self.rows.next()?,
                _ => return Ok(()),
            }
        }
        self.seek_next_key()
    }

    /// To the last row of the key before, from a row of a key that cannot be seen.
    fn leave_key_back(&mut self) -> Result<(), DiskError> {
        if self.rows.key_ends() {
            return self.rows.prev();
        }
        self.set_key_to_row();
        self.leave_rest_of_key_back()
    }

    /// To the last row before `self.key`, from a row of it or that very row.
    fn leave_rest_of_key_back(&mut self) -> Result<(), DiskError> {
        for _ in 0..STEPS_BEFORE_SEEK {
            match self.rows.row() {
                Some(row) if row.key == self.key => self.rows.prev()?,
                _ => return Ok(()),
            }
        }
        self.rows.seek_before(&self.key, Seqno::MAX)
    }

    fn set_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    #[inline]
    fn set_key_to_row(&mut self) {
        self.key.clear();
        if let Some(row) = self.rows.row() {
            self.key.extend_from_slice(row.key);
        }
    }

    /// To the first row behind all of `self.key`.
    fn seek_next_key(&mut self) -> Result<(), DiskError> {
        self.key.push(0);
        let sought = self.rows.seek(&self.key, Seqno::MAX);
        self.key.pop();
        sought
    }

    /// To the last row of `self.key` or before it.
    fn seek_last_of_key(&mut self) -> Result<(), DiskError> {
        self.key.push(0);
        let sought = self.rows.seek_before(&self.key, Seqno::MAX);
        self.key.pop();
        sought
    }
}
