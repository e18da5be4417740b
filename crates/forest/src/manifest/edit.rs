//! One step of the manifest: what a flush, a compaction or an entry changed, all or nothing.
//!
//! An [`Edit`] is a list of changes to a [`State`](super::state::State). Its bytes are versioned,
//! compact (a table of short keys takes some 40 bytes) and have one spelling each; decoding
//! checks everything that can be known without the state, never panics and allocates no more
//! than what it reads. That the bytes are those that were written is the frame's business.
//!
//! # Layout
//!
//! Numbers are LEB128 (`n`), signed ones zigzag (`z`), bytes a length `n` and themselves (`b`).
//!
//! | bytes | what |
//! |---|---|
//! | u8 | version: 1 |
//! | … | sections: a tag (u8, each greater than the one before), then what the tag says |
//!
//! | tag | what follows |
//! |---|---|
//! | 1 | flushed through: n |
//! | 2 | next file: n, not 0 |
//! | 3 | log generation: n |
//! | 4 | trees created: count n, each tree n, kind b (UTF-8, not empty) |
//! | 5 | trees dropped: count n, each tree n, seqno n |
//! | 6 | trees removed: count n, each tree n |
//! | 7 | blob files added: count n, each file n, bytes n, values n |
//! | 8 | blob files removed: count n, each file n |
//! | 9 | tables removed: count n, each tree n, level u8, file n |
//! | 10 | tables moved: count n, each tree n, file n, from u8, to u8 |
//! | 11 | tables added: count n, each tree n, level u8, table |
//! | 12, 13 | range deletes added, retired: count n, each tree n, start b, 0 or (1 and end b), seqno n |
//!
//! A list is there only if it is not empty. A table is: file n, layout u8 (0 rows), bytes n, first
//! key b, last key b, rows n, weight z, fingerprint 0 or (1 and 32 bytes), min seqno n, max seqno
//! n, plain u8, zones (u8, bit i for zone i; for each that is set: least n, greatest n), purged
//! through n, blob uses (count n, each file n, values n, bytes n).

use crate::aggregate::{Aggregate, FingerprintSum};
use crate::kind::ZONES_MAX;
use crate::range_delete::RangeDelete;
use crate::row::FileId;
use crate::table::meta::{BlobUse, Layout, TableMeta};
use crate::wire::{Reader, Result, put_bytes, put_number, put_signed};
use crate::{Seqno, TreeId};

const VERSION: u8 = 1;

/// Levels that a tree may have at most; what is read from disk is held against it.
pub(crate) const LEVELS_MAX: u8 = 16;

const NO_ZONE: (u64, u64) = (u64::MAX, 0);

/// A blob file as the manifest knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobMeta {
    pub(crate) id: FileId,
    /// The file's length.
    pub(crate) bytes: u64,
    pub(crate) values: u64,
}

/// What changes, all at once. The order in which it is applied is that of the fields, but for the
/// tables: first all `removed`, then all `moved`, then all `added`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Everything up to this entry is in tables. Never goes back.
    pub(crate) flushed_through: Option<Seqno>,
    /// No file number from here on was ever used. A smaller one than known says nothing.
    pub(crate) next_file: u64,
    /// The newest segment of the log that was known then. A smaller one says nothing.
    pub(crate) log_generation: Option<u64>,
    /// With the names of their kinds.
    pub(crate) trees_created: Vec<(TreeId, String)>,
    /// From this entry on they are not there; older readers go on to see them.
    pub(crate) trees_dropped: Vec<(TreeId, Seqno)>,
    /// Gone with all their tables. They must have been dropped before.
    pub(crate) trees_removed: Vec<TreeId>,
    pub(crate) blobs_added: Vec<BlobMeta>,
    pub(crate) blobs_removed: Vec<FileId>,
    /// Tree, level and number.
    pub(crate) removed: Vec<(TreeId, u8, FileId)>,
    /// Tree, number, from this level, to that one.
    pub(crate) moved: Vec<(TreeId, FileId, u8, u8)>,
    pub(crate) added: Vec<(TreeId, u8, TableMeta)>,
    pub(crate) range_deletes_added: Vec<(TreeId, RangeDelete)>,
    pub(crate) range_deletes_retired: Vec<(TreeId, RangeDelete)>,
}

impl Edit {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let numbers = [
            (1, self.flushed_through.map(Seqno::get)),
            (2, (self.next_file > 0).then_some(self.next_file)),
            (3, self.log_generation),
        ];
        for (tag, number) in numbers {
            if let Some(number) = number {
                out.push(tag);
                put_number(&mut out, number);
            }
        }
        let out = &mut out;
        section(out, 4, &self.trees_created, |out, (tree, kind)| {
            put_tree(out, *tree);
            put_bytes(out, kind.as_bytes());
        });
        section(out, 5, &self.trees_dropped, |out, (tree, seqno)| {
            put_tree(out, *tree);
            put_number(out, seqno.get());
        });
        section(out, 6, &self.trees_removed, |out, tree| {
            put_tree(out, *tree);
        });
        section(out, 7, &self.blobs_added, |out, blob| {
            put_number(out, blob.id.0);
            put_number(out, blob.bytes);
            put_number(out, blob.values);
        });
        section(out, 8, &self.blobs_removed, |out, id| put_number(out, id.0));
        section(out, 9, &self.removed, |out, (tree, level, id)| {
            put_tree(out, *tree);
            out.push(*level);
            put_number(out, id.0);
        });
        section(out, 10, &self.moved, |out, (tree, id, from, to)| {
            put_tree(out, *tree);
            put_number(out, id.0);
            out.extend_from_slice(&[*from, *to]);
        });
        section(out, 11, &self.added, |out, (tree, level, table)| {
            put_tree(out, *tree);
            out.push(*level);
            put_table(out, table);
        });
        section(out, 12, &self.range_deletes_added, put_range_delete);
        section(out, 13, &self.range_deletes_retired, put_range_delete);
        std::mem::take(out)
    }

    /// The edit that these bytes, all of them, say.
    pub(crate) fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        Self::read(&mut Reader::new(bytes)).map_err(String::from)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let version = reader.byte()?;
        if version != VERSION {
            return reader.error(format!("version {version} where only {VERSION} is known"));
        }
        let mut edit = Self::default();
        let mut last = 0;
        while reader.left() > 0 {
            let tag = reader.byte()?;
            if tag <= last {
                return reader.error(format!("section {tag} behind section {last}"));
            }
            last = tag;
            edit.read_section(tag, reader)?;
        }
        Ok(edit)
    }

    fn read_section(&mut self, tag: u8, reader: &mut Reader<'_>) -> Result<()> {
        match tag {
            1 => self.flushed_through = Some(seqno(reader)?),
            2 => {
                self.next_file = reader.number()?;
                if self.next_file == 0 {
                    return reader.error("a next file of 0");
                }
            }
            3 => self.log_generation = Some(reader.number()?),
            4 => self.trees_created = filled(reader, |r| Ok((tree(r)?, kind(r)?)))?,
            5 => self.trees_dropped = filled(reader, |r| Ok((tree(r)?, seqno(r)?)))?,
            6 => self.trees_removed = filled(reader, tree)?,
            7 => self.blobs_added = filled(reader, blob)?,
            8 => self.blobs_removed = filled(reader, file)?,
            9 => self.removed = filled(reader, |r| Ok((tree(r)?, level(r)?, file(r)?)))?,
            10 => {
                self.moved = filled(reader, |r| Ok((tree(r)?, file(r)?, level(r)?, level(r)?)))?;
            }
            11 => self.added = filled(reader, |r| Ok((tree(r)?, level(r)?, table(r)?)))?,
            12 => self.range_deletes_added = filled(reader, range_delete)?,
            13 => self.range_deletes_retired = filled(reader, range_delete)?,
            other => return reader.error(format!("unknown section {other}")),
        }
        Ok(())
    }
}

fn section<T>(out: &mut Vec<u8>, tag: u8, list: &[T], one: impl Fn(&mut Vec<u8>, &T)) {
    if list.is_empty() {
        return;
    }
    out.push(tag);
    put_number(out, list.len() as u64);
    for item in list {
        one(out, item);
    }
}

fn put_tree(out: &mut Vec<u8>, tree: TreeId) {
    put_number(out, u64::from(tree.get()));
}

fn put_range_delete(out: &mut Vec<u8>, (tree, delete): &(TreeId, RangeDelete)) {
    put_tree(out, *tree);
    put_bytes(out, &delete.start);
    match &delete.end {
        None => out.push(0),
        Some(end) => {
            out.push(1);
            put_bytes(out, end);
        }
    }
    put_number(out, delete.seqno.get());
}

pub(crate) fn put_table(out: &mut Vec<u8>, table: &TableMeta) {
    put_number(out, table.id.0);
    out.push(match table.layout {
        Layout::Rows => 0,
    });
    put_number(out, table.bytes);
    put_bytes(out, &table.first);
    put_bytes(out, &table.last);
    let aggregate = &table.aggregate;
    put_number(out, aggregate.rows);
    put_signed(out, aggregate.weight);
    let has_fingerprint = aggregate.fingerprint != FingerprintSum::default();
    out.push(u8::from(has_fingerprint));
    if has_fingerprint {
        out.extend_from_slice(&aggregate.fingerprint.to_bytes());
    }
    put_number(out, aggregate.min_seqno.get());
    put_number(out, aggregate.max_seqno.get());
    out.push(u8::from(aggregate.plain));
    let known = |(i, zone): (usize, &(u64, u64))| u8::from(*zone != NO_ZONE) << i;
    out.push(aggregate.zones.iter().enumerate().map(known).sum());
    for (least, greatest) in aggregate.zones.iter().filter(|zone| **zone != NO_ZONE) {
        put_number(out, *least);
        put_number(out, *greatest);
    }
    put_number(out, table.purged_through.get());
    put_number(out, table.blobs.len() as u64);
    for used in &table.blobs {
        put_number(out, used.file.0);
        put_number(out, used.values);
        put_number(out, used.bytes);
    }
}

/// A list that is there has something in it.
fn filled<T>(
    reader: &mut Reader<'_>,
    one: impl Fn(&mut Reader<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let list = reader.list(one)?;
    if list.is_empty() {
        return reader.error("a section with nothing in it");
    }
    Ok(list)
}

fn seqno(reader: &mut Reader<'_>) -> Result<Seqno> {
    Ok(Seqno::new(reader.number()?))
}

fn file(reader: &mut Reader<'_>) -> Result<FileId> {
    Ok(FileId(reader.number()?))
}

fn tree(reader: &mut Reader<'_>) -> Result<TreeId> {
    let number = reader.number()?;
    match u32::try_from(number) {
        Ok(number) => Ok(TreeId::new(number)),
        Err(_) => reader.error(format!("a tree of number {number}")),
    }
}

fn level(reader: &mut Reader<'_>) -> Result<u8> {
    match reader.byte()? {
        level if level < LEVELS_MAX => Ok(level),
        level => reader.error(format!("level {level}")),
    }
}

fn kind(reader: &mut Reader<'_>) -> Result<String> {
    match str::from_utf8(reader.bytes()?) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => reader.error("the name of a kind that is empty or not UTF-8"),
    }
}

fn blob(reader: &mut Reader<'_>) -> Result<BlobMeta> {
    let (id, bytes, values) = (file(reader)?, reader.number()?, reader.number()?);
    if bytes == 0 {
        return reader.error("a blob file of no bytes");
    }
    Ok(BlobMeta { id, bytes, values })
}

fn range_delete(reader: &mut Reader<'_>) -> Result<(TreeId, RangeDelete)> {
    let (tree, start) = (tree(reader)?, reader.key()?);
    let end = if reader.flag()? {
        Some(reader.key()?)
    } else {
        None
    };
    if end.as_ref().is_some_and(|end| *end <= start) {
        return reader.error("a range delete that ends before it starts");
    }
    let seqno = seqno(reader)?;
    Ok((tree, RangeDelete { start, end, seqno }))
}

pub(crate) fn table(reader: &mut Reader<'_>) -> Result<TableMeta> {
    let id = file(reader)?;
    let layout = match reader.byte()? {
        0 => Layout::Rows,
        other => return reader.error(format!("a table of layout {other}")),
    };
    let bytes = reader.number()?;
    let (first, last) = (reader.key()?, reader.key()?);
    let aggregate = aggregate(reader)?;
    let purged_through = seqno(reader)?;
    let blobs = reader.list(|r| {
        let (file, values, bytes) = (file(r)?, r.number()?, r.number()?);
        Ok(BlobUse {
            file,
            values,
            bytes,
        })
    })?;
    let table = TableMeta {
        id,
        layout,
        bytes,
        first,
        last,
        aggregate,
        purged_through,
        blobs,
    };
    match check_table(&table) {
        Ok(()) => Ok(table),
        Err(what) => reader.error(what),
    }
}

/// What must be true of a table whatever else there is.
pub(crate) fn check_table(table: &TableMeta) -> std::result::Result<(), String> {
    let aggregate = &table.aggregate;
    let bad_zone = |zone: &(u64, u64)| *zone != NO_ZONE && zone.0 > zone.1;
    let what = if table.bytes == 0 || aggregate.rows == 0 {
        "has nothing in it"
    } else if table.first > table.last {
        "has its first key behind its last"
    } else if aggregate.min_seqno > aggregate.max_seqno {
        "has its least seqno above its greatest"
    } else if aggregate.weight.unsigned_abs() > aggregate.rows {
        "weighs more than its rows can"
    } else if aggregate.zones.iter().any(bad_zone) {
        "has a zone with its least above its greatest"
    } else {
        return Ok(());
    };
    Err(format!("table {:016x} {what}", table.id.0))
}

fn aggregate(reader: &mut Reader<'_>) -> Result<Aggregate> {
    let (rows, weight) = (reader.number()?, reader.signed()?);
    let mut fingerprint = FingerprintSum::default();
    if reader.flag()? {
        for (word, bytes) in fingerprint.0.iter_mut().zip(reader.take(32)?.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        if fingerprint == FingerprintSum::default() {
            return reader.error("a fingerprint of 0 spelled out");
        }
    }
    let (min_seqno, max_seqno) = (seqno(reader)?, seqno(reader)?);
    let plain = reader.flag()?;
    let known = reader.byte()?;
    if u32::from(known) >> ZONES_MAX != 0 {
        return reader.error("more zones than there may be");
    }
    let mut zones = [NO_ZONE; ZONES_MAX];
    for (i, zone) in zones.iter_mut().enumerate() {
        if known >> i & 1 == 1 {
            *zone = (reader.number()?, reader.number()?);
            if *zone == NO_ZONE {
                return reader.error("an unknown zone spelled out");
            }
        }
    }
    Ok(Aggregate {
        rows,
        weight,
        fingerprint,
        min_seqno,
        max_seqno,
        plain,
        zones,
    })
}

#[cfg(test)]
mod tests;
