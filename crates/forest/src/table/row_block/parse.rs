//! Reading a block of rows: the only place where its bytes can turn out to be wrong.
//!
//! One pass over the columns writes the rows, the hash table and the offsets, and checks on the
//! way that lengths, numbers and tags are possible, that rows are in order and that no byte is
//! left over. A second one, over the rows, notes the heads of the keys, because how much all keys
//! share is only known then.

use std::cmp::Ordering;

use super::{
    MEMORY_MAX, MORE, ROW_HEADER, RowBlock, SHAPE, Stored, TAG_SHIFT, WORD, buckets_for,
    fingerprint, first_bucket, head, memory, word,
};
use crate::row::{BlobRef, FileId};
use crate::table::block::{
    BLOB, BLOB_REF, DELETE, HAS_SEQNO, KEY_MAX, KIND, KIND_BITS, MERGE, PUT, SAME_KEY_LENGTH,
    SAME_SHARED, SAME_VALUE, VALUE_MAX, WEIGHT_SHIFT, common_prefix,
};
use crate::table::filter::hash_key;
use crate::table::varint::{Damage, Reader};

/// See [`RowBlock::parse`].
pub(super) fn parse(raw: &[u8]) -> Result<RowBlock, String> {
    let columns = Columns::read(raw).map_err(|damage| format!("a block with {damage}"))?;
    let mut parser = Parser::new(&columns, raw.len())?;
    for row in 0..columns.rows {
        parser
            .row(row)
            .map_err(|damage| format!("a block with {damage} in row {row}"))?;
    }
    parser.finish()
}

/// The parts of a raw block.
struct Columns<'a> {
    rows: usize,
    /// Memory that keys and values take.
    contents: usize,
    base: u64,
    heads: Reader<'a>,
    seqnos: Reader<'a>,
    endings: Reader<'a>,
    values: Reader<'a>,
}

impl<'a> Columns<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, Damage> {
        let mut reader = Reader(raw);
        if reader.byte()? != KIND {
            return Err("a first byte that is not 'R'");
        }
        // Every row has a tag, so there cannot be more rows than bytes.
        let rows = reader.length(raw.len())?;
        let contents = reader.length(MEMORY_MAX)?;
        let base = reader.varint()?;
        let heads = reader.length(raw.len())?;
        let seqnos = reader.length(raw.len())?;
        let endings = reader.length(raw.len())?;
        Ok(Self {
            rows,
            contents,
            base,
            heads: Reader(reader.take(heads)?),
            seqnos: Reader(reader.take(seqnos)?),
            endings: Reader(reader.take(endings)?),
            values: reader,
        })
    }
}

/// A block that is being read.
struct Parser<'a> {
    base: u64,
    heads: Reader<'a>,
    seqnos: Reader<'a>,
    endings: Reader<'a>,
    values: Reader<'a>,
    data: Vec<u8>,
    /// How long `data` will be.
    memory: usize,
    rows: usize,
    heads_start: usize,
    bucket_mask: u32,
    offset_mask: u32,
    last: Last,
    plain: bool,
}

/// What the next row may refer to.
struct Last {
    /// Where the row starts.
    row: usize,
    key: usize,
    seqno: u64,
    shared: usize,
    value: usize,
    file: u64,
}

impl<'a> Parser<'a> {
    fn new(columns: &Columns<'a>, raw: usize) -> Result<Self, String> {
        let memory = memory(columns.rows, columns.contents);
        if memory > MEMORY_MAX || columns.rows > columns.heads.0.len() {
            return Err(format!(
                "a block of {} rows and {} bytes in {raw}",
                columns.rows, columns.contents
            ));
        }
        let buckets = buckets_for(columns.rows);
        let heads_start = buckets * WORD;
        let rows_start = heads_start + 2 * WORD * columns.rows;
        // Keys that share a lot can be a lot longer than they were in the block. If the block
        // says that they are, more is taken only as they come.
        let mut data = Vec::with_capacity(memory.min(rows_start + 32 * raw));
        data.resize(rows_start, 0);
        // Both are below MEMORY_MAX.
        let low = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Self {
            base: columns.base,
            heads: columns.heads,
            seqnos: columns.seqnos,
            endings: columns.endings,
            values: columns.values,
            data,
            memory,
            rows: columns.rows,
            heads_start,
            bucket_mask: low(buckets - 1),
            offset_mask: low(memory.next_power_of_two() - 1),
            last: Last {
                row: rows_start,
                key: 0,
                seqno: 0,
                shared: 0,
                value: 0,
                file: 0,
            },
            plain: true,
        })
    }

    /// Reads one more row.
    #[inline]
    fn row(&mut self, index: usize) -> Result<(), Damage> {
        let tag = self.heads.byte()?;
        let shared = match tag & SAME_SHARED {
            0 => self.heads.length(self.last.key)?,
            _ => self.last.shared,
        };
        let key_length = match tag & SAME_KEY_LENGTH {
            0 => shared + self.heads.length(KEY_MAX)?,
            _ => self.last.key,
        };
        if shared > self.last.key || shared > key_length || key_length > KEY_MAX {
            return Err("a key of an impossible length");
        }
        let ending = self.endings.take(key_length - shared)?;
        let seqno = match tag & HAS_SEQNO {
            0 => 0,
            _ => (self.base.checked_add(self.seqnos.varint()?))
                .filter(|seqno| *seqno > 0)
                .ok_or("an impossible seqno")?,
        };
        let start = self.data.len();
        let last_key = self.last.row + ROW_HEADER;
        let same_key = self.check_order(index, shared, ending, seqno)?;
        let value = self.value(tag)?;
        let value_length = value.as_ref().len();

        let kept_tag = tag & (KIND_BITS | 3 << WEIGHT_SHIFT);
        let mut header = u128::from(seqno);
        header |= (key_length as u128 | u128::from(kept_tag) << TAG_SHIFT) << 64;
        header |= (value_length as u128) << 96;
        self.data.extend_from_slice(&header.to_le_bytes());
        self.data.extend_from_within(last_key..last_key + shared);
        self.data.extend_from_slice(ending);
        self.data.extend_from_slice(value.as_ref());
        if self.data.len() > self.memory {
            return Err("more bytes than it says");
        }

        let offset = u32::try_from(start).unwrap_or(u32::MAX);
        self.set_word(self.heads_start + (self.rows + index) * WORD, offset);
        if same_key {
            self.data[self.last.row + SHAPE + 3] |= MORE;
        } else {
            let key = &self.data[start + ROW_HEADER..][..key_length];
            self.enter(hash_key(key), offset);
        }
        self.plain &= !same_key && matches!(tag & KIND_BITS, PUT | BLOB);
        self.last.row = start;
        self.last.key = key_length;
        self.last.seqno = seqno;
        self.last.shared = shared;
        Ok(())
    }

    /// Whether the row has the key of the one before; an error if it does not come after it.
    #[inline]
    fn check_order(
        &self,
        index: usize,
        shared: usize,
        ending: &[u8],
        seqno: u64,
    ) -> Result<bool, Damage> {
        if index == 0 {
            return Ok(false);
        }
        let last_key = &self.data[self.last.row + ROW_HEADER..][..self.last.key];
        let last_ending = &last_key[shared..];
        // Nearly always the first bytes differ.
        if let (Some(first), Some(last)) = (ending.first(), last_ending.first())
            && first > last
        {
            return Ok(false);
        }
        match ending.cmp(last_ending) {
            Ordering::Greater => Ok(false),
            Ordering::Equal if seqno < self.last.seqno => Ok(true),
            _ => Err("rows out of order"),
        }
    }

    #[inline]
    fn value(&mut self, tag: u8) -> Result<Value<'a>, Damage> {
        if tag >> WEIGHT_SHIFT & 3 == 3 {
            return Err("an unknown weight");
        }
        let kind = tag & KIND_BITS;
        if kind == PUT || kind == MERGE {
            if tag & SAME_VALUE == 0 {
                self.last.value = self.heads.length(VALUE_MAX)?;
            }
            return Ok(Value::Bytes(self.values.take(self.last.value)?));
        }
        if kind == DELETE {
            return match tag & SAME_VALUE {
                0 => Ok(Value::Bytes(&[])),
                _ => Err("a value on a delete"),
            };
        }
        if tag & SAME_VALUE == 0 {
            self.last.file = self.heads.varint()?;
        }
        let offset = self.heads.varint()?;
        let length = u32::try_from(self.heads.varint()?);
        Ok(Value::Blob(pack_blob(BlobRef {
            file: FileId(self.last.file),
            offset,
            length: length.map_err(|_| "a blob of an impossible length")?,
        })))
    }

    #[inline]
    fn set_word(&mut self, at: usize, word: u32) {
        if let Some(bytes) = self.data.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = word.to_le_bytes();
        }
    }

    /// Enters the newest row of a key into the hash table, which has room for all of them.
    #[inline]
    fn enter(&mut self, hash: u64, offset: u32) {
        let mut bucket = first_bucket(hash, self.bucket_mask);
        while word(&self.data, bucket as usize * WORD) != 0 {
            bucket = (bucket + 1) & self.bucket_mask;
        }
        let entry = fingerprint(hash) & !self.offset_mask | offset;
        self.set_word(bucket as usize * WORD, entry);
    }

    fn finish(self) -> Result<RowBlock, String> {
        let columns = [&self.heads, &self.seqnos, &self.endings, &self.values];
        if self.data.len() != self.memory || columns.iter().any(|column| !column.is_empty()) {
            return Err("a block with bytes that belong to no row".to_owned());
        }
        let mut block = RowBlock {
            data: self.data.into_boxed_slice(),
            rows: self.rows,
            bucket_mask: self.bucket_mask,
            offset_mask: self.offset_mask,
            prefix: 0,
            plain: self.plain,
        };
        if let Some(last) = block.rows.checked_sub(1) {
            block.prefix = common_prefix(block.key(0), block.key(last));
            fill_heads(&mut block);
        }
        Ok(block)
    }
}

enum Value<'a> {
    Bytes(&'a [u8]),
    Blob([u8; BLOB_REF]),
}

impl AsRef<[u8]> for Value<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Blob(packed) => packed,
        }
    }
}

/// Notes the head of each key.
fn fill_heads(block: &mut RowBlock) {
    let heads_start = block.heads_start();
    let (front, rows) = block.data.split_at_mut(heads_start + 2 * WORD * block.rows);
    let rows_start = front.len();
    let (heads, offsets) = front[heads_start..].split_at_mut(WORD * block.rows);
    let (heads, _) = heads.as_chunks_mut::<WORD>();
    let (offsets, _) = offsets.as_chunks::<WORD>();
    for (slot, offset) in heads.iter_mut().zip(offsets) {
        let offset = u32::from_le_bytes(*offset) as usize - rows_start;
        let key = Stored::at(&rows[offset..]).key;
        *slot = head(&key[block.prefix..]).to_le_bytes();
    }
}

fn pack_blob(blob: BlobRef) -> [u8; BLOB_REF] {
    let mut packed = [0; BLOB_REF];
    packed[..8].copy_from_slice(&blob.file.0.to_le_bytes());
    packed[8..16].copy_from_slice(&blob.offset.to_le_bytes());
    packed[16..].copy_from_slice(&blob.length.to_le_bytes());
    packed
}
