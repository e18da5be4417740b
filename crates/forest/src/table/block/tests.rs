//! The disk form of a block: golden bytes, and whatever is written is read again.

use super::*;
use crate::Seqno;
use crate::row::{BlobRef, FileId};

fn row<'a>(key: &'a [u8], seqno: u64, weight: i8, cell: Cell<'a>) -> RowRef<'a> {
    RowRef {
        key,
        seqno: Seqno::new(seqno),
        weight,
        cell,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const BLOB_7: Cell<'_> = Cell::Blob(BlobRef {
    file: FileId(7),
    offset: 300,
    length: 5,
});

#[test]
fn the_bytes_of_a_block_never_change() {
    let mut builder = BlockBuilder::new(4);
    builder.add(&row(b"apple", 0, 1, Cell::Put(b"red")));
    builder.add(&row(b"apply", 1000, 0, Cell::Merge(b"one")));
    builder.add(&row(b"apply", 900, -1, Cell::Delete));
    builder.add(&row(b"b", 0, 1, BLOB_7));
    builder.add(&row(b"c", 901, 0, BLOB_7));
    let mut out = Vec::new();
    builder.finish(&mut out);
    let parts = [
        // Kind, 5 rows, 63 bytes in memory, base 900, columns of 18, 3 and 8 bytes.
        "52 05 3f 8407 12 03 08",
        // Put, +1, as many bytes shared as before the first row.
        "84 05 03",
        // Merge, 0, seqno, key and value as long as the last.
        "72 04",
        // Delete, -1, seqno, key as long as the last: nothing new is shared.
        "39 05",
        // Blob, +1.
        "07 00 01 07 ac02 05",
        // Blob, 0, seqno, file, key length and shared bytes as in the last.
        "f3 ac02 05",
        // Seqnos.
        "64 00 01",
        // Keys.
        "6170706c65 79 62 63",
        // Values.
        "726564 6f6e65",
    ];
    assert_eq!(hex(&out), parts.concat().replace(' ', ""));
}

#[test]
fn a_builder_starts_anew_after_each_block() {
    let mut builder = BlockBuilder::new(16);
    let rows = [
        row(b"a", 9, 1, Cell::Put(b"x")),
        row(b"ab", 7, 1, BLOB_7),
        row(b"abc", 7, 1, Cell::Put(b"x")),
    ];
    let mut blocks = [Vec::new(), Vec::new()];
    for out in &mut blocks {
        assert!(builder.is_empty());
        rows.iter().for_each(|row| builder.add(row));
        assert_eq!(builder.rows(), 3);
        builder.finish(out);
    }
    assert_eq!(blocks[0], blocks[1]);
}

/// What the comparison with other engines rests on.
#[test]
fn a_row_at_the_bottom_costs_about_one_byte_more_than_its_key_and_value() {
    let mut builder = BlockBuilder::new(16);
    let mut key = [0; 16];
    for number in 0..100_u64 {
        // As in a table of millions of keys: neighbours share two bytes.
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key[2] = u8::try_from(2 * number).unwrap();
        key[8..].copy_from_slice(&hash.to_be_bytes());
        builder.add(&row(&key, 0, 1, Cell::Put(&[7; 128])));
    }
    let mut out = Vec::new();
    builder.finish(&mut out);
    assert!(out.len() < 100 * 144, "{} bytes", out.len());
}

#[test]
fn the_size_foretold_is_never_below_the_real_one() {
    for rows in 1..200_u64 {
        let mut builder = BlockBuilder::new(8);
        for number in 0..rows {
            let key = number.to_be_bytes();
            let seqno = number.pow(5) % 1_000_003;
            builder.add(&row(
                &key,
                seqno,
                1,
                Cell::Put(&key[..(number % 8) as usize]),
            ));
        }
        let (foretold, mut out) = (builder.bytes(), Vec::new());
        builder.finish(&mut out);
        assert!(out.len() <= foretold && foretold <= 2 * out.len() + 60);
    }
}

#[test]
fn a_common_prefix_ends_where_the_first_bytes_differ() {
    for length in 0..40 {
        let a = vec![1; 40];
        let mut b = a.clone();
        b[length] = 2;
        assert_eq!(common_prefix(&a, &b), length);
        assert_eq!(common_prefix(&a, &a[..length]), length);
        assert_eq!(common_prefix(&a[..length], &a), length);
    }
}
