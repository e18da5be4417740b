//! What a table file is made of.

use bytes::Bytes;

use super::{FILE, noise, text};
use crate::aggregate::{Aggregate, FingerprintSum};
use crate::row::{BlobRef, Cell, FileId, RowRef, compare_rows};
use crate::table::block::BlockBuilder;
use crate::table::filter::{Filter, FilterBuilder, hash_key};
use crate::table::footer::{FOOTER_BYTES, Footer, META, decode_meta, encode_meta};
use crate::table::frame::{Compression, Handle, RAW_MAX, checksum, seal, unseal};
use crate::table::index::{self, Entry, Index};
use crate::table::meta::{BlobUse, Layout, TableMeta};
use crate::table::row_block::{Find, MEMORY_MAX, RowBlock};
use crate::wire::{put_bytes, put_number};
use crate::{Seqno, TreeId, TreeKind, manifest};

/// Frames lie here.
const OFFSET: u64 = 4096;
/// How long the file is that an index speaks of.
const FILE_BYTES: u64 = 1 << 40;
/// Frames with more in them are not made again: it would take too long.
const RESEALED_MAX: usize = 16 << 10;

/// A kind whose aggregates have everything that there can be.
const FULL: TreeKind = TreeKind {
    name: "full",
    zones: &[first_byte, length],
    fingerprint: Some(fingerprint),
    ..TreeKind::ROWS
};

fn first_byte(key: &[u8]) -> u64 {
    key.first().copied().map_or(0, u64::from)
}

fn length(key: &[u8]) -> u64 {
    key.len() as u64
}

fn fingerprint(key: &[u8]) -> [u8; 32] {
    [key.first().copied().unwrap_or(7); 32]
}

fn encode_rows(rows: &[RowRef<'_>], restart_interval: usize) -> Vec<u8> {
    let mut builder = BlockBuilder::new(restart_interval);
    rows.iter().for_each(|row| builder.add(row));
    let mut out = Vec::new();
    builder.finish(&mut out);
    out
}

fn all_rows(block: &RowBlock) -> Vec<RowRef<'_>> {
    (0..block.len()).map(|at| block.row(at)).collect()
}

/// A block of rows: rows ascend, each is found, and encoded again they are the same.
#[must_use]
pub fn row_block(input: &[u8]) -> bool {
    let Ok(block) = RowBlock::parse(input) else {
        return false;
    };
    assert!(block.memory_bytes() <= MEMORY_MAX + size_of::<RowBlock>());
    let rows = all_rows(&block);
    for pair in rows.windows(2) {
        let [a, b] = [pair[0], pair[1]].map(|row| (row.key, row.seqno));
        assert!(compare_rows(a, b).is_lt(), "rows out of order");
    }
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(block.key(at), row.key);
        let found = block.find(row.key, hash_key(row.key), row.seqno);
        assert_eq!(found, Find::Row(*row));
        assert_eq!(block.lower_bound(row.key, row.seqno), at);
    }
    for end in [0, 1, 5, input.len()] {
        let (key, at) = (&input[..end.min(input.len())], Seqno::new(end as u64));
        let expected =
            rows.partition_point(|row| compare_rows((row.key, row.seqno), (key, at)).is_lt());
        assert_eq!(block.lower_bound(key, at), expected);
        let here = rows.get(expected).filter(|row| row.key == key);
        let expected = here.map_or(Find::NotHere, |row| Find::Row(*row));
        assert_eq!(block.find(key, hash_key(key), at), expected);
    }
    let again = RowBlock::parse(&encode_rows(&rows, 16));
    assert!(again.is_ok_and(|again| all_rows(&again) == rows));
    true
}

fn put<'a>(key: &'a [u8], seqno: u64, cell: Cell<'a>) -> RowRef<'a> {
    RowRef {
        key,
        seqno: Seqno::new(seqno),
        weight: 1,
        cell,
    }
}

pub(super) fn row_blocks() -> Vec<Vec<u8>> {
    let keys: Vec<_> = (0..60)
        .map(|number| format!("common start {:03}", 3 * number).into_bytes())
        .collect();
    let value = text(20);
    let plain: Vec<_> = (0_u64..)
        .zip(&keys)
        .map(|(number, key)| put(key, 1000 + number * number % 7, Cell::Put(&value)))
        .collect();
    let blob = |length| BlobRef {
        file: FILE,
        offset: OFFSET,
        length,
    };
    let mut mixed = vec![put(b"", 0, Cell::Put(b""))];
    for key in keys.iter().take(12) {
        mixed.push(put(key, 900, Cell::Merge(&value)));
        mixed.push(put(key, 70, Cell::Merge(b"more")));
        mixed.push(RowRef {
            weight: -1,
            ..put(key, 60, Cell::Delete)
        });
        mixed.push(put(key, 50, Cell::Blob(blob(1 << 20))));
        mixed.push(put(key, 0, Cell::Blob(blob(77))));
    }
    let (long_a, long_b) = (vec![b'a'; 3000], vec![b'b'; 300]);
    let long = [
        put(&long_a, 3, Cell::Delete),
        put(&long_b, 2, Cell::Put(b"x")),
    ];
    let versions: Vec<_> = (1..40)
        .rev()
        .map(|seqno| put(b"key", seqno, Cell::Put(b"v")))
        .collect();
    vec![
        encode_rows(&plain, 16),
        encode_rows(&mixed, 4),
        encode_rows(&long, 1),
        encode_rows(&versions, 16),
        encode_rows(&plain[..3], 16),
        encode_rows(&[], 16),
    ]
}

/// What an entry of an index says.
type Said<'a> = (&'a [u8], Seqno, Handle, Aggregate);

fn entries<'a>(index: &'a Index, kind: &TreeKind) -> Vec<Said<'a>> {
    let entry = |at| {
        (
            index.separators.key(at),
            index.separators.seqno(at),
            index.handles[at],
            index.aggregate(kind, at),
        )
    };
    (0..index.len()).map(entry).collect()
}

fn index(input: &[u8], marker: u8) -> bool {
    let read = [TreeKind::ROWS, FULL].map(|kind| index_of(input, marker, &kind));
    read.contains(&true)
}

fn index_of(input: &[u8], marker: u8, kind: &TreeKind) -> bool {
    let Ok(index) = Index::parse(input, marker, kind, FILE_BYTES) else {
        return false;
    };
    let said = entries(&index, kind);
    assert_eq!(index.separators.len(), said.len());
    for (at, (key, seqno, handle, _)) in said.iter().enumerate() {
        assert!(handle.offset + u64::from(handle.length) <= FILE_BYTES);
        assert_eq!(index.separators.find(key, *seqno), at);
    }
    for end in [0, 1, 9, input.len()] {
        let (key, at) = (&input[..end.min(input.len())], Seqno::new(end as u64));
        let expected =
            said.partition_point(|said| compare_rows((said.0, said.1), (key, at)).is_lt());
        assert_eq!(index.separators.find(key, at), expected);
        let _ = index.filter.may_contain(hash_key(key));
    }
    let list: Vec<_> = said
        .iter()
        .map(|(key, seqno, handle, aggregate)| Entry {
            separator: key.to_vec(),
            seqno: *seqno,
            handle: *handle,
            aggregate: aggregate.clone(),
        })
        .collect();
    let bytes = index::encode(marker, kind, &[0], &list);
    let again = Index::parse(&bytes, marker, kind, FILE_BYTES);
    assert!(again.is_ok_and(|again| entries(&again, kind) == said));
    true
}

/// A partition of an index: every entry is found, and encoded again they are the same.
#[must_use]
pub fn index_partition(input: &[u8]) -> bool {
    index(input, index::PARTITION)
}

/// The top of an index: as a partition.
#[must_use]
pub fn index_top(input: &[u8]) -> bool {
    index(input, index::TOP)
}

fn aggregate(kind: &TreeKind, rows: u64) -> Aggregate {
    let mut aggregate = Aggregate::default();
    for seqno in 0..rows {
        let key = [seqno.to_le_bytes()[0]];
        let row = put(&key, 7 * seqno, Cell::Put(b"value"));
        aggregate.add(kind, &row, seqno > 10);
    }
    aggregate
}

fn indexes(marker: u8) -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for (kind, count, filter) in [
        (TreeKind::ROWS, 40, filters().swap_remove(0)),
        (FULL, 20, vec![0]),
        (TreeKind::ROWS, 0, vec![0]),
    ] {
        let mut offset = 0;
        let list: Vec<_> = (0..count)
            .map(|number: u32| {
                let handle = Handle {
                    offset: offset + u64::from(number % 3),
                    length: 900 + number,
                };
                offset = handle.offset + u64::from(handle.length);
                let mut aggregate = aggregate(&kind, u64::from(number) + 1);
                // Not what the rows are worth: it has to be spelled out.
                aggregate.weight -= i64::from(number % 2);
                Entry {
                    separator: format!("separator {:02}", number / 2).into_bytes(),
                    // Of one key, the newest first; behind all versions stands zero.
                    seqno: Seqno::new(if number.is_multiple_of(2) { 500 } else { 0 }),
                    handle,
                    aggregate,
                }
            })
            .collect();
        samples.push(index::encode(marker, &kind, &filter, &list));
    }
    samples
}

pub(super) fn partitions() -> Vec<Vec<u8>> {
    indexes(index::PARTITION)
}

pub(super) fn tops() -> Vec<Vec<u8>> {
    indexes(index::TOP)
}

/// A filter: it can be asked for any key.
#[must_use]
pub fn filter(input: &[u8]) -> bool {
    let Ok(filter) = Filter::parse(input) else {
        return false;
    };
    assert!(filter.memory_bytes() <= input.len() + 128);
    let edges = [0, 1, u64::MAX, u64::from(u32::MAX), !u64::from(u32::MAX)];
    for hash in edges.into_iter().chain([hash_key(input)]) {
        let has = filter.may_contain(hash);
        assert!(has || input != [0]);
    }
    true
}

pub(super) fn filters() -> Vec<Vec<u8>> {
    let of = |keys: u32, bits| {
        let mut builder = FilterBuilder::default();
        (0..keys).for_each(|key| builder.add(hash_key(&key.to_le_bytes())));
        let mut out = Vec::new();
        builder.finish(bits, &mut out);
        out
    };
    vec![of(100, 10), of(30, 20), of(0, 10), of(9, 0)]
}

/// The frame of a block: what is in it comes out again, however it is framed.
#[must_use]
pub fn block_frame(input: &[u8]) -> bool {
    let as_it_is = block_frame_as_it_is(input);
    let Some(start) = input.len().checked_sub(4) else {
        return as_it_is;
    };
    let sum = checksum(&input[..start], FILE, OFFSET);
    block_frame_as_it_is(&[&input[..start], &sum.to_le_bytes()].concat())
}

fn block_frame_as_it_is(frame: &[u8]) -> bool {
    let mut scratch = Vec::new();
    let Ok(raw) = unseal(frame, FILE, OFFSET, &mut scratch) else {
        return false;
    };
    assert!(raw.len() <= RAW_MAX);
    if raw.len() <= RESEALED_MAX {
        let mut other = Vec::new();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let mut out = Vec::new();
            seal(raw, compression, FILE, OFFSET, &mut out);
            assert_eq!(unseal(&out, FILE, OFFSET, &mut other), Ok(raw));
        }
    }
    true
}

pub(super) fn block_frames() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        for raw in [text(1500), text(200), noise(60), vec![0; 3000], Vec::new()] {
            let mut out = Vec::new();
            seal(&raw, compression, FILE, OFFSET, &mut out);
            samples.push(out);
        }
    }
    samples
}

/// The footer of a table: it says the same when it is encoded again.
#[must_use]
pub fn footer(input: &[u8]) -> bool {
    let Some(bytes) = input.first_chunk::<FOOTER_BYTES>() else {
        return false;
    };
    let as_it_is = footer_as_it_is(bytes);
    let mut mended = *bytes;
    let sum = crc32c::crc32c(&mended[..FOOTER_BYTES - 4]);
    mended[FOOTER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
    // What had the right checksum is the same bytes still.
    footer_as_it_is(&mended) | as_it_is
}

fn footer_as_it_is(bytes: &[u8; FOOTER_BYTES]) -> bool {
    let number = |at: usize| {
        bytes[at..]
            .first_chunk()
            .map_or(0, |b| u64::from_le_bytes(*b))
    };
    let (id, file_bytes) = (FileId(number(16)), number(48));
    let Ok(footer) = Footer::decode(bytes, id, file_bytes) else {
        return false;
    };
    for handle in [footer.top, footer.meta] {
        assert!(handle.offset + u64::from(handle.length) <= file_bytes);
    }
    let again = Footer::decode(&footer.encode(), id, file_bytes);
    assert_eq!(again, Ok(footer));
    let other = Footer::decode(bytes, id, file_bytes.wrapping_add(1));
    assert!(other.is_err());
    true
}

pub(super) fn footers() -> Vec<Vec<u8>> {
    let footer = Footer {
        id: FILE,
        tree: TreeId::new(5),
        top: Handle {
            offset: 70_000,
            length: 900,
        },
        meta: Handle {
            offset: 70_900,
            length: 100,
        },
        file_bytes: 71_064,
    };
    vec![footer.encode().to_vec()]
}

/// A meta block: encoded again, it is the same bytes.
#[must_use]
pub fn meta_block(input: &[u8]) -> bool {
    let Ok((tree, kind, table)) = decode_meta(input) else {
        return false;
    };
    let mut again = vec![META];
    put_number(&mut again, u64::from(tree.get()));
    put_bytes(&mut again, kind.as_bytes());
    manifest::edit::put_table(&mut again, &table);
    assert_eq!(again, input);
    true
}

/// Two tables, one with everything that there can be.
pub(super) fn tables() -> [TableMeta; 2] {
    let plain = TableMeta {
        id: FILE,
        layout: Layout::Rows,
        bytes: 71_064,
        first: Bytes::from_static(b"a"),
        last: Bytes::from_static(b"lemon"),
        aggregate: aggregate(&TreeKind::ROWS, 9),
        purged_through: Seqno::new(3),
        blobs: Vec::new(),
    };
    let mut full = TableMeta {
        id: FileId(0x2b),
        first: Bytes::from_static(b"m"),
        last: Bytes::from(text(200)),
        aggregate: aggregate(&FULL, 200),
        blobs: vec![BlobUse {
            file: FileId(0x30),
            values: 12,
            bytes: 1 << 20,
        }],
        ..plain.clone()
    };
    full.aggregate.fingerprint = FingerprintSum([1, 2, 3, u64::MAX]);
    full.aggregate.weight = -3;
    [plain, full]
}

pub(super) fn meta_blocks() -> Vec<Vec<u8>> {
    let [plain, full] = tables();
    vec![
        encode_meta(TreeId::new(5), &TreeKind::ROWS, &plain),
        encode_meta(TreeId::new(u32::MAX), &FULL, &full),
    ]
}
