//! Walking through a range of keys at one seqno, in either direction.
//!
//! A scan owns what it needs and keeps no place in the table between calls: it reads a chunk of
//! rows, remembers the last key, and seeks behind it for the next chunk. Chunks grow, so that
//! a caller who wants one row does not pay for many, and a long scan seldom seeks.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::sync::Arc;

use bytes::Bytes;

use crate::forest::Horizon;
use crate::memtable::{Memtable, Version};
use crate::{Direction, KeyRange, ReadError, Seqno};

const FIRST_CHUNK_ROWS: usize = 8;
const LARGEST_CHUNK_ROWS: usize = 1024;

/// The rows of a range at one seqno: an iterator over keys and values.
///
/// After an error it is at its end.
#[derive(Debug)]
pub struct Scan {
    table: Arc<Memtable>,
    horizon: Arc<Horizon>,
    /// What was not read yet.
    range: KeyRange,
    direction: Direction,
    at: Seqno,
    chunk: VecDeque<(Bytes, Bytes)>,
    chunk_rows: usize,
    /// Whether the table has no more rows for `chunk`.
    finished: bool,
}

impl Scan {
    pub(crate) fn new(
        table: Arc<Memtable>,
        horizon: Arc<Horizon>,
        range: KeyRange,
        direction: Direction,
        at: Seqno,
    ) -> Self {
        let finished = range.is_empty();
        let (chunk, chunk_rows) = (VecDeque::new(), FIRST_CHUNK_ROWS);
        Self {
            table,
            horizon,
            range,
            direction,
            at,
            chunk,
            chunk_rows,
            finished,
        }
    }

    fn refill(&mut self) -> Result<(), ReadError> {
        let mut chunk = std::mem::take(&mut self.chunk);
        match self.direction {
            Direction::Forward => self.read_forward(&mut chunk),
            Direction::Reverse => self.read_reverse(&mut chunk),
        }
        self.horizon.check_kept(self.at)?;
        self.finished = chunk.len() < self.chunk_rows;
        if let Some((key, _)) = chunk.back() {
            self.range.cut_through(key, self.direction);
        }
        self.chunk = chunk;
        self.chunk_rows = (self.chunk_rows * 2).min(LARGEST_CHUNK_ROWS);
        Ok(())
    }

    fn read_forward(&self, chunk: &mut VecDeque<(Bytes, Bytes)>) {
        let mut next = self.table.first(self.range.start());
        while let Some(newest) = next
            && chunk.len() < self.chunk_rows
            && !self.range.is_before(newest.key().key())
        {
            let (seen, behind) = self.table.step_forward(newest, self.at);
            push(chunk, seen.as_ref());
            next = behind;
        }
    }

    fn read_reverse(&self, chunk: &mut VecDeque<(Bytes, Bytes)>) {
        let mut next = self.table.last(self.range.end());
        while let Some(oldest) = next
            && chunk.len() < self.chunk_rows
            && !self.range.is_behind(oldest.key().key())
        {
            let (seen, before) = self.table.step_back(oldest, self.at);
            push(chunk, seen.as_ref());
            next = before;
        }
    }
}

/// Adds the row that a version stands for, unless it is a tombstone.
fn push(chunk: &mut VecDeque<(Bytes, Bytes)>, version: Option<&Version<'_>>) {
    if let Some((version, value)) = version.and_then(|v| Some((v, v.value().as_ref()?))) {
        chunk.push_back((version.key().key().clone(), value.clone()));
    }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chunk.is_empty()
            && !self.finished
            && let Err(error) = self.refill()
        {
            self.finished = true;
            return Some(Err(error));
        }
        self.chunk.pop_front().map(Ok)
    }
}

impl FusedIterator for Scan {}
