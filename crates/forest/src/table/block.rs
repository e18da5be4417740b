//! How a block of rows lies on disk, and writing one.
//!
//! A block is read as a whole ([`RowBlock`](super::row_block::RowBlock)), never in part, so there
//! is no table of restart points to search in; rows of a restart hold their whole key all the
//! same, which bounds how much a few bytes can mean. What the rows have in common lies together,
//! in columns: lengths and tags next to each other say the same over and over, which costs one
//! byte a row before compression and next to nothing after it.
//!
//! All numbers are varints (see [`varint`]).
//!
//! | part     | bytes | what |
//! |----------|-------|------|
//! | kind     | 1     | `b'R'` |
//! | rows     | 1..   | how many |
//! | memory   | 1..   | sum of the lengths of all keys (whole) and values; a blob reference counts 20 |
//! | base     | 1..   | the least seqno of a row that has one above zero; 0 if none has |
//! | H, S, K  | 1.. × 3 | how long the columns of heads, seqnos and key endings are |
//! | heads    | H     | the heads of the rows, see below |
//! | seqnos   | S     | for each row whose tag says so: its seqno minus base |
//! | keys     | K     | for each row: its key without the bytes shared with the row before |
//! | values   | rest  | for each put and merge: its value |
//!
//! The head of a row:
//!
//! | part     | there if           | what |
//! |----------|--------------------|------|
//! | tag      | always, 1 byte     | see below |
//! | shared   | tag bit 7 is clear | how many first bytes of the key are those of the row before |
//! | ending   | tag bit 5 is clear | how many bytes of the key follow these |
//! | length   | put or merge, tag bit 6 is clear | of the value |
//! | file     | blob, tag bit 6 is clear | the number of the blob file |
//! | offset   | blob               | where the value's frame starts in the blob file |
//! | length   | blob               | of the frame |
//!
//! | tag bits | what |
//! |----------|------|
//! | 0–1      | 0 put, 1 delete, 2 merge, 3 blob |
//! | 2–3      | weight: 0 is 0, 1 is +1, 2 is -1, 3 is not used |
//! | 4        | the row has a seqno above zero |
//! | 5        | the key is as long as that of the row before |
//! | 6        | the value is as long as the last one; a blob: in the file of the last one; never on a delete |
//! | 7        | as many bytes are shared as in the row before |
//!
//! Before the first row, the key, the shared bytes and the last value are empty and the last blob
//! file is 0.

use super::row_block;
use super::varint;
use crate::row::{Cell, RowRef};

/// The first byte of a block of rows.
pub(crate) const KIND: u8 = b'R';

/// The longest key, in bytes.
pub(crate) const KEY_MAX: usize = 64 << 10;
/// The longest value, in bytes.
pub(crate) const VALUE_MAX: usize = 64 << 20;

/// How many bytes a blob reference takes in memory.
pub(crate) const BLOB_REF: usize = 20;

pub(super) const PUT: u8 = 0;
pub(super) const DELETE: u8 = 1;
pub(super) const MERGE: u8 = 2;
pub(super) const BLOB: u8 = 3;
pub(super) const KIND_BITS: u8 = 0b11;
pub(super) const WEIGHT_SHIFT: u32 = 2;
pub(super) const HAS_SEQNO: u8 = 1 << 4;
pub(super) const SAME_KEY_LENGTH: u8 = 1 << 5;
pub(super) const SAME_VALUE: u8 = 1 << 6;
pub(super) const SAME_SHARED: u8 = 1 << 7;

/// Takes rows in their order and writes them as one block.
///
/// That keys and values are within their limits and the rows in order is the caller's promise; it
/// is checked when the block is read.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    restart_interval: usize,
    rows: usize,
    /// Sum of keys and values in memory.
    memory: usize,
    heads: Vec<u8>,
    seqnos: Vec<u64>,
    seqno_range: (u64, u64),
    endings: Vec<u8>,
    values: Vec<u8>,
    last: Last,
}

/// What the next row may refer to.
#[derive(Debug, Default)]
struct Last {
    key: Vec<u8>,
    shared: usize,
    value: usize,
    file: u64,
}

impl BlockBuilder {
    /// A builder of blocks of which every `restart_interval`-th row holds its whole key.
    pub(crate) fn new(restart_interval: usize) -> Self {
        Self {
            restart_interval: restart_interval.max(1),
            rows: 0,
            memory: 0,
            heads: Vec::new(),
            seqnos: Vec::new(),
            seqno_range: (u64::MAX, 0),
            endings: Vec::new(),
            values: Vec::new(),
            last: Last::default(),
        }
    }

    /// Appends a row, which comes after all that are in already.
    pub(crate) fn add(&mut self, row: &RowRef<'_>) {
        let last_key = self.last.key.as_slice();
        debug_assert!(row.key.len() <= KEY_MAX && (self.rows == 0 || last_key <= row.key));
        let restart = self.rows.is_multiple_of(self.restart_interval);
        let shared = if restart {
            0
        } else {
            common_prefix(last_key, row.key)
        };
        let (kind, same_value) = match row.cell {
            Cell::Put(value) => (PUT, value.len() == self.last.value),
            Cell::Delete => (DELETE, false),
            Cell::Merge(value) => (MERGE, value.len() == self.last.value),
            Cell::Blob(blob) => (BLOB, blob.file.0 == self.last.file),
        };
        let weight = match row.weight {
            0 => 0,
            1.. => 1,
            ..0 => 2,
        };
        let seqno = row.seqno.get();
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let tag = kind
            | weight << WEIGHT_SHIFT
            | flag(seqno != 0, HAS_SEQNO)
            | flag(row.key.len() == last_key.len(), SAME_KEY_LENGTH)
            | flag(same_value, SAME_VALUE)
            | flag(shared == self.last.shared, SAME_SHARED);
        self.heads.push(tag);
        if tag & SAME_SHARED == 0 {
            varint::put(&mut self.heads, shared as u64);
        }
        if tag & SAME_KEY_LENGTH == 0 {
            varint::put(&mut self.heads, (row.key.len() - shared) as u64);
        }
        if seqno != 0 {
            self.seqnos.push(seqno);
            let (least, greatest) = self.seqno_range;
            self.seqno_range = (least.min(seqno), greatest.max(seqno));
        }
        self.add_cell(&row.cell, same_value);
        self.endings.extend_from_slice(&row.key[shared..]);
        self.last.key.truncate(shared);
        self.last.key.extend_from_slice(&row.key[shared..]);
        self.last.shared = shared;
        self.rows += 1;
        self.memory += row.key.len();
    }

    fn add_cell(&mut self, cell: &Cell<'_>, same_value: bool) {
        match *cell {
            Cell::Put(value) | Cell::Merge(value) => {
                debug_assert!(value.len() <= VALUE_MAX);
                if !same_value {
                    varint::put(&mut self.heads, value.len() as u64);
                }
                self.values.extend_from_slice(value);
                self.last.value = value.len();
                self.memory += value.len();
            }
            Cell::Delete => {}
            Cell::Blob(blob) => {
                if !same_value {
                    varint::put(&mut self.heads, blob.file.0);
                }
                varint::put(&mut self.heads, blob.offset);
                varint::put(&mut self.heads, u64::from(blob.length));
                self.last.file = blob.file.0;
                self.memory += BLOB_REF;
            }
        }
    }

    /// About how long the block would be now: never shorter than it will be.
    pub(crate) fn bytes(&self) -> usize {
        let (least, greatest) = self.seqno_range;
        let header = 1 + 5 * 6 + 10;
        let seqnos = self.seqnos.len() * varint::length(greatest.saturating_sub(least));
        header + self.heads.len() + seqnos + self.endings.len() + self.values.len()
    }

    /// How much memory the block would take now when it is read. Keys that share long beginnings
    /// make this many times [`bytes`](Self::bytes); it must stay below
    /// [`row_block::MEMORY_MAX`].
    pub(crate) fn memory_bytes(&self) -> usize {
        row_block::memory(self.rows, self.memory)
    }

    #[cfg(test)]
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the block to `out` and starts a new one.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let base = if self.seqnos.is_empty() {
            0
        } else {
            self.seqno_range.0
        };
        out.reserve(self.bytes());
        out.push(KIND);
        varint::put(out, self.rows as u64);
        varint::put(out, self.memory as u64);
        varint::put(out, base);
        varint::put(out, self.heads.len() as u64);
        let seqnos = self.seqnos.iter().map(|seqno| varint::length(seqno - base));
        varint::put(out, seqnos.sum::<usize>() as u64);
        varint::put(out, self.endings.len() as u64);
        out.extend_from_slice(&self.heads);
        for seqno in &self.seqnos {
            varint::put(out, seqno - base);
        }
        out.extend_from_slice(&self.endings);
        out.extend_from_slice(&self.values);
        self.reset();
    }

    fn reset(&mut self) {
        self.rows = 0;
        self.memory = 0;
        self.heads.clear();
        self.seqnos.clear();
        self.seqno_range = (u64::MAX, 0);
        self.endings.clear();
        self.values.clear();
        self.last.key.clear();
        self.last.shared = 0;
        self.last.value = 0;
        self.last.file = 0;
    }
}

/// How many first bytes two keys have in common.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let words = a_words
        .iter()
        .zip(b_words)
        .take_while(|(a, b)| a == b)
        .count()
        * 8;
    let rest = a[words..].iter().zip(&b[words..]).take(8);
    words + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
