//! A block of rows in memory, as it lies in the cache.
//!
//! [`RowBlock::parse`] checks every byte of a [block](super::block) and spreads it out so that
//! whatever is asked of it afterwards cannot fail, allocates nothing and touches few cache lines.
//! All of it is one piece of memory:
//!
//! | part    | bytes      | what |
//! |---------|------------|------|
//! | buckets | 4 × power of two | hash table from key to its newest row: where the row starts, and above that as many high bits of the key's hash as fit; 0 is empty |
//! | heads   | 4 × rows   | the four bytes of each key after those that all keys share |
//! | offsets | 4 × rows   | where each row starts |
//! | rows    | 16 + ..    | seqno (8 bytes), shape (4), value length (4), key, value |
//!
//! A point read touches a bucket and the row. A search touches the heads, which are in few lines,
//! and the rows that are found, but none on the way.

mod parse;

use std::cmp::Ordering;

use super::block::{DELETE, KIND_BITS, MERGE, PUT, WEIGHT_SHIFT};
use crate::Seqno;
use crate::row::{BlobRef, Cell, FileId, RowRef};

/// The most memory that a block may take. Offsets fit into 28 bits, so that a bucket has at least
/// four bits of the hash.
pub(crate) const MEMORY_MAX: usize = 256 << 20;

const WORD: usize = 4;
const ROW_HEADER: usize = 16;
/// Where the shape of a row lies in its header.
const SHAPE: usize = 8;
/// In the shape: the key's length, then the tag's kind and weight from bit 24 on.
const KEY_LENGTH: u32 = (1 << 17) - 1;
const TAG_SHIFT: u32 = 24;
/// In the last byte of the shape: the next row has the same key.
const MORE: u8 = 1 << 7;

/// Buckets for `rows` rows: a quarter of them or more stays empty.
const fn buckets_for(rows: usize) -> usize {
    (rows + rows / 3 + 1).next_power_of_two()
}

/// How much memory a block takes that has so many rows with so many bytes of keys and values.
pub(crate) const fn memory(rows: usize, contents: usize) -> usize {
    WORD * buckets_for(rows) + (2 * WORD + ROW_HEADER) * rows + contents
}

/// What a block knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Find<'a> {
    /// The block has no version that old. Others may: of the versions of one key, some can lie in
    /// the block and the older ones in the next.
    NotHere,
    /// The newest version that is old enough.
    Row(RowRef<'a>),
}

/// A block of rows that was found right.
#[derive(Debug)]
pub(crate) struct RowBlock {
    data: Box<[u8]>,
    rows: usize,
    /// Number of buckets minus one.
    bucket_mask: u32,
    /// The bits of a bucket that say where the row starts.
    offset_mask: u32,
    /// How many first bytes all keys share.
    prefix: usize,
    plain: bool,
}

impl RowBlock {
    /// The block that these raw bytes are, all of them; or what is wrong with them.
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, String> {
        parse::parse(raw)
    }

    /// How many rows it has.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether all rows are puts and no key comes twice.
    pub(crate) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// The memory that it takes.
    pub(crate) const fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.data.len()
    }

    /// The row at `index`, which is below [`len`](Self::len).
    #[inline]
    pub(crate) fn row(&self, index: usize) -> RowRef<'_> {
        self.stored(self.offset(index)).row()
    }

    /// The key of the row at `index`.
    #[inline]
    pub(crate) fn key(&self, index: usize) -> &[u8] {
        self.stored(self.offset(index)).key
    }

    /// The seqno of the row at `index`.
    #[inline]
    #[cfg(test)]
    pub(crate) fn seqno(&self, index: usize) -> Seqno {
        self.stored(self.offset(index)).seqno
    }

    /// The newest version of `key`, whose [hash](hash_key) this is, that is not above `at`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], hash: u64, at: Seqno) -> Find<'_> {
        let wanted = fingerprint(hash);
        let mut bucket = first_bucket(hash, self.bucket_mask);
        loop {
            let entry = word(&self.data, bucket as usize * WORD);
            if entry == 0 {
                return Find::NotHere;
            }
            if (entry ^ wanted) & !self.offset_mask == 0 {
                let stored = self.stored((entry & self.offset_mask) as usize);
                if stored.key == key {
                    return self.version(stored, at);
                }
            }
            bucket = (bucket + 1) & self.bucket_mask;
        }
    }

    /// From the newest version of a key on: the first that is not above `at`.
    #[inline]
    fn version<'a>(&'a self, mut stored: Stored<'a>, at: Seqno) -> Find<'a> {
        while stored.seqno > at {
            if !stored.more {
                return Find::NotHere;
            }
            stored = Stored::at(stored.rest);
        }
        Find::Row(stored.row())
    }

    /// The index of the first row that is not before `(key, seqno)`; [`len`](Self::len) if all are.
    pub(crate) fn lower_bound(&self, key: &[u8], seqno: Seqno) -> usize {
        let Some(shared) = (self.rows > 0).then(|| &self.key(0)[..self.prefix]) else {
            return 0;
        };
        let (start, rest) = key.split_at(key.len().min(self.prefix));
        match start.cmp(shared) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.rows,
            Ordering::Equal => {}
        }
        let head = head(rest);
        let heads = &self.data[self.heads_start()..][..self.rows * WORD];
        let (heads, _) = heads.as_chunks::<WORD>();
        let mut low = heads.partition_point(|other| u32::from_le_bytes(*other) < head);
        // Mostly at most one row has this head.
        let mut count = match heads[low..] {
            [first, ..] if u32::from_le_bytes(first) != head => 0,
            [_, second, ..] if u32::from_le_bytes(second) == head => {
                heads[low..].partition_point(|other| u32::from_le_bytes(*other) == head)
            }
            [_, ..] => 1,
            [] => 0,
        };
        while count > 0 {
            let half = count / 2;
            let stored = self.stored(self.offset(low + half));
            let before = match stored.key[self.prefix..].cmp(rest) {
                Ordering::Less => true,
                Ordering::Equal => stored.seqno > seqno,
                Ordering::Greater => false,
            };
            if before {
                low += half + 1;
                count -= half + 1;
            } else {
                count = half;
            }
        }
        low
    }

    #[inline]
    const fn heads_start(&self) -> usize {
        (self.bucket_mask as usize + 1) * WORD
    }

    #[inline]
    fn offset(&self, index: usize) -> usize {
        debug_assert!(index < self.rows);
        word(&self.data, self.heads_start() + (self.rows + index) * WORD) as usize
    }

    #[inline]
    fn stored(&self, offset: usize) -> Stored<'_> {
        Stored::at(self.data.get(offset..).unwrap_or_default())
    }
}

#[inline]
fn word(data: &[u8], at: usize) -> u32 {
    match data.get(at..).and_then(<[u8]>::first_chunk) {
        Some(word) => u32::from_le_bytes(*word),
        None => 0,
    }
}

/// The part of a hash that stands in a bucket beside the offset: its high bits.
#[inline]
const fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The bucket where the search for a key begins: the low bits choose.
#[inline]
const fn first_bucket(hash: u64, mask: u32) -> u32 {
    (hash & 0xffff_ffff) as u32 & mask
}

/// The first four bytes, filled up with zeros, as a number that is ordered like them: if two
/// differ, then what they are of is ordered in the same way.
#[inline]
fn head(rest: &[u8]) -> u32 {
    if let Some(head) = rest.first_chunk() {
        return u32::from_be_bytes(*head);
    }
    let mut padded = [0; WORD];
    padded[..rest.len()].copy_from_slice(rest);
    u32::from_be_bytes(padded)
}

/// A row where it lies.
struct Stored<'a> {
    seqno: Seqno,
    tag: u8,
    more: bool,
    key: &'a [u8],
    value: &'a [u8],
    /// The rows behind it.
    rest: &'a [u8],
}

impl<'a> Stored<'a> {
    /// The row that starts here. Of bytes that are too few, which a parsed block does not have:
    /// an empty one.
    #[inline]
    fn at(bytes: &'a [u8]) -> Self {
        let (header, bytes) = match bytes.split_first_chunk::<ROW_HEADER>() {
            Some((header, bytes)) => (u128::from_le_bytes(*header), bytes),
            None => (0, bytes),
        };
        let shape = (header >> 64 & 0xffff_ffff) as u32;
        let (key, bytes) = split(bytes, (shape & KEY_LENGTH) as usize);
        let (value, rest) = split(bytes, (header >> 96) as usize);
        let tag = (shape >> TAG_SHIFT) as u8;
        Self {
            seqno: Seqno::new((header & 0xffff_ffff_ffff_ffff) as u64),
            tag,
            more: tag & MORE != 0,
            key,
            value,
            rest,
        }
    }

    #[inline]
    fn row(&self) -> RowRef<'a> {
        let cell = match self.tag & KIND_BITS {
            PUT => Cell::Put(self.value),
            DELETE => Cell::Delete,
            MERGE => Cell::Merge(self.value),
            _ => Cell::Blob(unpack_blob(self.value)),
        };
        RowRef {
            key: self.key,
            seqno: self.seqno,
            weight: [0, 1, -1, 0][usize::from(self.tag >> WEIGHT_SHIFT & 3)],
            cell,
        }
    }
}

#[inline]
fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

fn unpack_blob(packed: &[u8]) -> BlobRef {
    let (words, rest) = packed.as_chunks::<8>();
    let number = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
    BlobRef {
        file: FileId(number(0)),
        offset: number(1),
        length: word(rest, 0),
    }
}

#[cfg(test)]
mod tests;
