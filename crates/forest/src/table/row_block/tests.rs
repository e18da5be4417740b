//! The parsed block against a naive list of rows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::row::compare_rows;
use crate::table::block::{BlockBuilder, HAS_SEQNO, KEY_MAX, KIND, VALUE_MAX};
use crate::table::filter::hash_key;

#[derive(Clone, Debug)]
enum OwnedCell {
    Put(Vec<u8>),
    Delete,
    Merge(Vec<u8>),
    Blob(BlobRef),
}

type Rows = BTreeMap<(Vec<u8>, Reverse<Seqno>), (i8, OwnedCell)>;

fn refs(rows: &Rows) -> Vec<RowRef<'_>> {
    let mut refs = Vec::new();
    for ((key, seqno), (weight, cell)) in rows {
        refs.push(RowRef {
            key,
            seqno: seqno.0,
            weight: *weight,
            cell: match cell {
                OwnedCell::Put(value) => Cell::Put(value),
                OwnedCell::Delete => Cell::Delete,
                OwnedCell::Merge(value) => Cell::Merge(value),
                OwnedCell::Blob(blob) => Cell::Blob(*blob),
            },
        });
    }
    refs
}

fn raw(rows: &[RowRef<'_>], restart_interval: usize) -> Vec<u8> {
    let mut builder = BlockBuilder::new(restart_interval);
    rows.iter().for_each(|row| builder.add(row));
    let mut out = Vec::new();
    builder.finish(&mut out);
    out
}

/// Few different ones, so that they meet: empty, beginnings of each other, all bits set, alike for
/// longer than any head.
fn any_key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0), Just(b'a'), Just(0xff)];
    (0..3_usize, vec(byte, 0..6)).prop_map(|(common, rest)| {
        let mut key = [b"".as_slice(), b"common", b"common start"][common].to_vec();
        key.extend(rest);
        key
    })
}

fn any_seqno() -> impl Strategy<Value = Seqno> {
    prop_oneof![0..6_u64, 1_000_000..1_000_003_u64, Just(u64::MAX)].prop_map(Seqno::new)
}

fn any_cell() -> impl Strategy<Value = OwnedCell> {
    let value = || prop_oneof![vec(any::<u8>(), 0..4), vec(any::<u8>(), 126..130)];
    let blob = (0..3_u64, any::<u64>(), any::<u32>()).prop_map(|(file, offset, length)| BlobRef {
        file: FileId(file),
        offset,
        length,
    });
    prop_oneof![
        4 => value().prop_map(OwnedCell::Put),
        1 => Just(OwnedCell::Delete),
        1 => value().prop_map(OwnedCell::Merge),
        1 => blob.prop_map(OwnedCell::Blob),
    ]
}

fn any_rows(most: usize) -> impl Strategy<Value = Rows> {
    let key = (any_key(), any_seqno().prop_map(Reverse));
    btree_map(key, (-1..=1_i8, any_cell()), 0..most)
}

fn all_rows(block: &RowBlock) -> Vec<RowRef<'_>> {
    (0..block.len()).map(|index| block.row(index)).collect()
}

/// Everything that a block answers is what a search through all rows finds.
fn check(rows: &[RowRef<'_>], block: &RowBlock, keys: &[Vec<u8>], seqnos: &[Seqno]) {
    assert_eq!(all_rows(block), rows);
    let twice = rows.windows(2).any(|pair| pair[0].key == pair[1].key);
    let puts = rows
        .iter()
        .all(|row| matches!(row.cell, Cell::Put(_) | Cell::Blob(_)));
    assert_eq!(block.is_plain(), puts && !twice);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!((block.key(index), block.seqno(index)), (row.key, row.seqno));
    }
    let own = rows.iter().map(|row| row.key);
    for key in own.chain(keys.iter().map(Vec::as_slice)) {
        for &at in seqnos {
            let naive = rows.iter().find(|row| row.key == key && row.seqno <= at);
            let naive = naive.map_or(Find::NotHere, |row| Find::Row(*row));
            assert_eq!(block.find(key, hash_key(key), at), naive);
            let before = |row: &&RowRef<'_>| compare_rows((row.key, row.seqno), (key, at)).is_lt();
            let naive = rows.iter().take_while(before).count();
            assert_eq!(block.lower_bound(key, at), naive);
        }
    }
}

const SEQNOS: [Seqno; 6] = [
    Seqno::ZERO,
    Seqno::new(3),
    Seqno::new(5),
    Seqno::new(1_000_001),
    Seqno::new(u64::MAX - 1),
    Seqno::MAX,
];

proptest! {
    #[test]
    fn a_block_answers_like_the_rows_that_went_in(
        rows in any_rows(60), restart in 1..20_usize, keys in vec(any_key(), 0..20),
    ) {
        let rows = refs(&rows);
        let mut builder = BlockBuilder::new(restart);
        rows.iter().for_each(|row| builder.add(row));
        let memory = builder.memory_bytes();
        let mut raw = Vec::new();
        builder.finish(&mut raw);
        let block = RowBlock::parse(&raw).unwrap();
        prop_assert_eq!(block.memory_bytes(), size_of::<RowBlock>() + memory);
        check(&rows, &block, &keys, &SEQNOS);
    }

    #[test]
    fn damage_is_an_error_or_another_valid_block(
        rows in any_rows(12), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut raw = raw(&refs(&rows), 4);
        prop_assert!(RowBlock::parse(&raw[..cut.index(raw.len())]).is_err());
        for (at, bits) in flips {
            let at = at.index(raw.len());
            raw[at] ^= bits;
        }
        check_damaged(&raw);
    }

    #[test]
    fn any_bytes_are_an_error_or_a_valid_block(rest in vec(any::<u8>(), 0..64)) {
        check_damaged(&[&[KIND], rest.as_slice()].concat());
    }
}

/// If these bytes are a block, its rows are in order and it answers like them.
fn check_damaged(raw: &[u8]) {
    let Ok(block) = RowBlock::parse(raw) else {
        return;
    };
    let rows = all_rows(&block);
    for pair in rows.windows(2) {
        let [a, b] = [pair[0], pair[1]].map(|row| (row.key, row.seqno));
        assert!(compare_rows(a, b).is_lt());
    }
    check(&rows, &block, &[], &SEQNOS);
}

fn put(key: &[u8], seqno: u64) -> RowRef<'_> {
    RowRef {
        key,
        seqno: Seqno::new(seqno),
        weight: 1,
        cell: Cell::Put(b"value"),
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error_or_another_valid_block() {
    let keys: Vec<_> = (0..40_u64)
        .map(|number| (number * 1000).to_be_bytes())
        .collect();
    let rows: Vec<_> = keys.iter().map(|key| put(key, u64::from(key[7]))).collect();
    let raw = raw(&rows, 16);
    for cut in 0..raw.len() {
        assert!(RowBlock::parse(&raw[..cut]).is_err(), "cut at {cut}");
    }
    assert!(RowBlock::parse(&[&raw[..], b"."].concat()).is_err());
    for bit in 0..8 * raw.len() {
        let mut raw = raw.clone();
        raw[bit / 8] ^= 1 << (bit % 8);
        check_damaged(&raw);
    }
}

/// Two puts without values, written by hand because a builder would object. Keys of one byte or
/// two, seqnos from 1.
fn two_puts(rows: [(&[u8], u8); 2]) -> Vec<u8> {
    let [(first, newer), (second, older)] = rows;
    let [a, b] = [first, second].map(|key| u8::try_from(key.len()).unwrap());
    let head = |length| [PUT | 1 << WEIGHT_SHIFT | HAS_SEQNO, 0, length, 0];
    let header = [KIND, 2, a + b, 1, 8, 2, a + b];
    let heads = [head(a), head(b)].concat();
    [&header, &heads[..], &[newer - 1, older - 1], first, second].concat()
}

#[test]
fn rows_out_of_order_are_an_error() {
    for good in [
        [(&b"a"[..], 1), (b"b", 1)],
        [(b"a", 2), (b"a", 1)],
        [(b"a", 1), (b"aa", 2)],
    ] {
        let block = RowBlock::parse(&two_puts(good)).unwrap();
        assert_eq!(block.row(1).key, good[1].0);
    }
    for bad in [
        [(&b"b"[..], 1), (&b"a"[..], 1)],
        [(b"a", 1), (b"a", 1)],
        [(b"a", 1), (b"a", 2)],
        [(b"aa", 1), (b"a", 1)],
        [(b"ab", 1), (b"aa", 1)],
    ] {
        let error = RowBlock::parse(&two_puts(bad)).unwrap_err();
        assert_eq!(error, "a block with rows out of order in row 1");
    }
}

#[test]
fn no_rows_are_a_block() {
    let block = RowBlock::parse(&raw(&[], 16)).unwrap();
    assert!(block.is_empty() && block.is_plain());
    check(&[], &block, &[Vec::new(), b"a".to_vec()], &SEQNOS);
}

#[test]
fn many_versions_of_one_key_are_told_apart() {
    let rows: Vec<_> = (1..=300)
        .rev()
        .map(|seqno| put(b"key", 2 * seqno))
        .collect();
    let block = RowBlock::parse(&raw(&rows, 16)).unwrap();
    let seqnos: Vec<_> = (0..=602).map(Seqno::new).collect();
    for (index, at) in seqnos.iter().enumerate() {
        let found = block.find(b"key", hash_key(b"key"), *at);
        let expected = (index as u64).min(600) / 2 * 2;
        match found {
            Find::Row(row) => assert_eq!(row.seqno, Seqno::new(expected)),
            Find::NotHere => assert_eq!(expected, 0),
        }
        let at = block.lower_bound(b"key", *at);
        assert_eq!(at as u64, 300 - expected / 2);
    }
}

#[test]
fn a_block_may_have_more_rows_than_16_bits_count() {
    let keys: Vec<_> = (0..200_000_u32).map(u32::to_be_bytes).collect();
    let rows: Vec<_> = keys.iter().map(|key| put(key, 0)).collect();
    let block = RowBlock::parse(&raw(&rows, 16)).unwrap();
    assert_eq!(block.len(), rows.len());
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(
            block.find(row.key, hash_key(row.key), Seqno::ZERO),
            Find::Row(*row)
        );
        assert_eq!(block.lower_bound(row.key, Seqno::ZERO), index);
    }
    let other = 200_000_u32.to_be_bytes();
    assert_eq!(
        block.find(&other, hash_key(&other), Seqno::MAX),
        Find::NotHere
    );
}

#[test]
fn the_longest_keys_and_a_huge_value_fit() {
    let (mut first, second) = (vec![1; KEY_MAX], vec![1; KEY_MAX]);
    first[KEY_MAX - 1] = 0;
    let value = vec![7; VALUE_MAX];
    let huge = RowRef {
        cell: Cell::Put(&value),
        ..put(&second, 3)
    };
    let rows = [put(&first, 4), huge];
    let block = RowBlock::parse(&raw(&rows, 16)).unwrap();
    assert!(block.row(1) == huge && block.row(0) == rows[0]);
    assert!(block.find(&second, hash_key(&second), Seqno::MAX) == Find::Row(huge));
}

/// Six bytes can stand for a key of 64 KiB, so a block that is small on disk could be gigabytes.
#[test]
fn what_would_take_too_much_memory_is_an_error() {
    let mut key = vec![0; KEY_MAX];
    let mut builder = BlockBuilder::new(usize::MAX);
    for number in 0..5000_u32 {
        key[KEY_MAX - 4..].copy_from_slice(&number.to_be_bytes());
        builder.add(&put(&key, 0));
    }
    assert!(builder.memory_bytes() > MEMORY_MAX && builder.bytes() < 200_000);
    let mut raw = Vec::new();
    builder.finish(&mut raw);
    assert!(RowBlock::parse(&raw).is_err());
}

/// What a block says of itself bounds it from the first row on, not when all has been taken.
#[test]
fn more_bytes_than_the_block_says_are_noticed_at_the_row_that_has_them() {
    let key = [1; 100];
    let rows: Vec<_> = (1..=100).rev().map(|seqno| put(&key, seqno)).collect();
    let mut raw = raw(&rows, 16);
    // Kind, 100 rows, and 10,500 bytes in two bytes, of which 500 are left.
    assert_eq!(raw[..4], [KIND, 100, 0x84, 0x52]);
    raw[2..4].copy_from_slice(&[0xf4, 0x03]);
    // With the headers of all rows, that is room for 17 of them.
    let error = RowBlock::parse(&raw).unwrap_err();
    assert_eq!(error, "a block with more bytes than it says in row 17");
}
