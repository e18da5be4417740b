//! Many ordered sources of rows as one.
//!
//! Sources are given newest first. `(key, seqno)` is unique in a tree; should two sources have the
//! same all the same, the newer source's row comes first (last in reverse).
//!
//! The sources that are at a row are kept in order. While the first of them stays before the
//! second, a step costs one comparison; when it falls behind, a binary search more. So one big
//! source among small ones costs hardly more than alone, and a source that is at its end nothing.
//!
//! Promises: rows in the order of rows, each once, in both directions, turning at any time; rows
//! that are written into a source behind its back do not upset the order. Does not: drop or
//! combine versions (see [`visible`](super::visible) and the sieve of compaction).

use std::cmp::Ordering;

use super::RowCursor;
use crate::row::RowRef;
use crate::table::separators::head;
use crate::{Direction, DiskError, Seqno};

#[cfg(test)]
mod tests;

/// A place in several sources.
#[derive(Debug)]
pub(crate) struct MergeCursor<C> {
    /// Newest first.
    sources: Vec<C>,
    /// Those that are at a row, in the order of their rows along `direction`. The first is where
    /// this cursor is; each other is at its nearest row behind that.
    order: Vec<usize>,
    direction: Direction,
    /// Whether the second in order has a row of the same key as the first.
    tied: bool,
    /// The head of the second's key: it stands still while the first moves, so most steps need to
    /// look at no other source.
    limit: Option<u64>,
    /// A copy of the key to seek all sources around.
    key: Vec<u8>,
}

impl<C: RowCursor> MergeCursor<C> {
    /// Over these sources, newest first.
    pub(crate) fn new(sources: Vec<C>) -> Self {
        Self {
            order: Vec::with_capacity(sources.len()),
            sources,
            direction: Direction::Forward,
            tied: false,
            limit: None,
            key: Vec::new(),
        }
    }

    /// Brings every source somewhere, and puts them in order.
    fn place(
        &mut self,
        direction: Direction,
        mut to: impl FnMut(&mut C) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        self.order.clear();
        self.direction = direction;
        for source in &mut self.sources {
            to(source)?;
        }
        let sources = &self.sources;
        self.order
            .extend((0..sources.len()).filter(|i| sources[*i].row().is_some()));
        self.order
            .sort_unstable_by(|a, b| compare(sources, *a, *b, direction));
        self.tied = self.is_tied();
        self.note_second();
        Ok(())
    }

    fn note_second(&mut self) {
        let second = self.order.get(1).and_then(|i| self.sources[*i].row());
        self.limit = second.map(|row| head(row.key));
    }

    fn is_tied(&self) -> bool {
        match *self.order.as_slice() {
            [first, second, ..] => {
                compare_keys(&self.sources, first, second, self.direction) == Ordering::Equal
            }
            _ => false,
        }
    }

    /// Makes every source other than the first stand on the other side of it.
    #[cold]
    fn turn(&mut self, direction: Direction) -> Result<(), DiskError> {
        let Some(&lead) = self.order.first() else {
            return Ok(());
        };
        let Some(row) = self.sources[lead].row() else {
            return Ok(());
        };
        let seqno = row.seqno;
        self.key.clear();
        self.key.extend_from_slice(row.key);
        self.order.clear();
        let key_len = self.key.len();
        // The first place behind all rows of this key and seqno.
        let behind = match seqno.get().checked_sub(1) {
            Some(older) => Seqno::new(older),
            None => {
                self.key.push(0);
                Seqno::MAX
            }
        };
        let (exact, successor) = (&self.key[..key_len], &self.key[..]);
        for (i, source) in self.sources.iter_mut().enumerate() {
            match (direction, i.cmp(&lead)) {
                (_, Ordering::Equal) => continue,
                (Direction::Forward, Ordering::Less) => source.seek(successor, behind)?,
                (Direction::Forward, Ordering::Greater) => source.seek(exact, seqno)?,
                (Direction::Reverse, Ordering::Less) => source.seek_before(successor, behind)?,
                (Direction::Reverse, Ordering::Greater) => source.seek_before(exact, seqno)?,
            }
        }
        self.place(direction, |_| Ok(()))
    }

    /// Puts the first source, which has moved, where it belongs.
    #[inline]
    fn settle(&mut self, direction: Direction) {
        let Some(row) = self.sources[self.order[0]].row() else {
            self.order.remove(0);
            self.tied = self.is_tied();
            self.note_second();
            return;
        };
        let Some(limit) = self.limit else {
            return;
        };
        let is_before = match direction {
            Direction::Forward => head(row.key) < limit,
            Direction::Reverse => head(row.key) > limit,
        };
        if is_before {
            self.tied = false;
            return;
        }
        let Some(&second) = self.order.get(1) else {
            return;
        };
        let Some(other) = self.sources[second].row() else {
            return;
        };
        match along(row.key.cmp(other.key), direction) {
            Ordering::Less => self.tied = false,
            Ordering::Equal => {
                // Whichever comes first now, the row behind it has the same key.
                self.fall_back(direction, 0);
                self.tied = true;
            }
            Ordering::Greater => {
                let behind = self.fall_back(direction, 1);
                self.tied = behind > 1 && self.is_tied();
            }
        }
    }

    /// Moves the first source behind those whose rows now come before its own, of which `known`
    /// are known, and returns how many there are.
    #[inline(never)]
    fn fall_back(&mut self, direction: Direction, known: usize) -> usize {
        let (sources, lead) = (&self.sources, self.order[0]);
        let before = known
            + self.order[1 + known..]
                .partition_point(|i| compare(sources, *i, lead, direction) == Ordering::Less);
        self.order[..=before].rotate_left(1);
        self.note_second();
        before
    }

    #[inline]
    fn step(&mut self, direction: Direction) -> Result<(), DiskError> {
        if self.direction != direction {
            self.turn(direction)?;
        }
        let Some(&lead) = self.order.first() else {
            return Ok(());
        };
        let stepped = match direction {
            Direction::Forward => self.sources[lead].next(),
            Direction::Reverse => self.sources[lead].prev(),
        };
        if stepped.is_err() {
            self.order.clear();
            return stepped;
        }
        self.settle(direction);
        Ok(())
    }
}

fn along(order: Ordering, direction: Direction) -> Ordering {
    match direction {
        Direction::Forward => order,
        Direction::Reverse => order.reverse(),
    }
}

/// The order of two sources that are at rows.
fn compare<C: RowCursor>(sources: &[C], a: usize, b: usize, direction: Direction) -> Ordering {
    let seqno = |i: usize| sources[i].row().map(|row| row.seqno);
    compare_keys(sources, a, b, direction)
        .then_with(|| along(seqno(b).cmp(&seqno(a)).then(a.cmp(&b)), direction))
}

fn compare_keys<C: RowCursor>(sources: &[C], a: usize, b: usize, direction: Direction) -> Ordering {
    let key = |i: usize| sources[i].row().map(|row| row.key);
    along(key(a).cmp(&key(b)), direction)
}

impl<C: RowCursor> RowCursor for MergeCursor<C> {
    fn seek_first(&mut self) -> Result<(), DiskError> {
        self.place(Direction::Forward, C::seek_first)
    }

    fn seek_last(&mut self) -> Result<(), DiskError> {
        self.place(Direction::Reverse, C::seek_last)
    }

    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        self.place(Direction::Forward, |source| source.seek(key, seqno))
    }

    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        self.place(Direction::Reverse, |source| source.seek_before(key, seqno))
    }

    #[inline]
    fn next(&mut self) -> Result<(), DiskError> {
        self.step(Direction::Forward)
    }

    #[inline]
    fn prev(&mut self) -> Result<(), DiskError> {
        self.step(Direction::Reverse)
    }

    #[inline]
    fn row(&self) -> Option<RowRef<'_>> {
        self.sources[*self.order.first()?].row()
    }

    #[inline]
    fn purged_through(&self) -> Seqno {
        match self.order.first() {
            Some(lead) => self.sources[*lead].purged_through(),
            None => Seqno::ZERO,
        }
    }

    #[inline]
    fn key_ends(&self) -> bool {
        !self.tied
            && self
                .order
                .first()
                .is_some_and(|lead| self.sources[*lead].key_ends())
    }
}
