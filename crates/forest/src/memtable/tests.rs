//! The memtable against a model, and under readers.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::thread;

use nexusbase_io::sim::SimRng;
use proptest::prelude::*;

use super::*;
use crate::cursor::RowCursor;
use crate::row::compare_rows;

const COUNTED: TreeKind = TreeKind {
    counted: true,
    ..TreeKind::ROWS
};

type ModelKey = (Vec<u8>, std::cmp::Reverse<u64>);
type Model = BTreeMap<ModelKey, RowChange>;

fn get(table: &Memtable, key: &[u8], at: u64) -> Option<(u64, MemCell)> {
    table.get(key, xxh3_64(key), Seqno::new(at), |found| {
        found.map(|(seqno, cell)| (seqno.get(), cell.clone()))
    })
}

fn put(table: &Memtable, key: &[u8], seqno: u64) {
    let key = Bytes::copy_from_slice(key);
    let change = RowChange::Put(key.clone());
    table.write(&TreeKind::ROWS, key, Seqno::new(seqno), change);
}

fn change_of(cell: Cell<'_>) -> RowChange {
    match cell {
        Cell::Put(value) => RowChange::Put(Bytes::copy_from_slice(value)),
        Cell::Delete => RowChange::Delete,
        Cell::Merge(operand) => RowChange::Merge(Bytes::copy_from_slice(operand)),
        Cell::Blob(_) => panic!("no blobs in memory"),
    }
}

/// Keys with much and little in common, short and long, so that heads are equal and differ.
fn some_key(rng: &mut SimRng, kind: usize) -> Vec<u8> {
    match kind {
        0 => rng.below(2000).to_be_bytes().to_vec(),
        1 => {
            let length = [0, 1, 7, 8, 9, 15, 16, 17, 40][rng.index(9)];
            let mut key = vec![0; length];
            for _ in 0..rng.index(3) {
                let at = rng.index(length);
                if let Some(byte) = key.get_mut(at) {
                    *byte = [0, 1, 255][rng.index(3)];
                }
            }
            key
        }
        2 => format!("a long common beginning {}", rng.below(3000)).into_bytes(),
        _ => vec![b'x'; rng.index(60)],
    }
}

fn filled(rng: &mut SimRng, kind: usize, writes: u64) -> (Arc<Memtable>, Model) {
    let table = Arc::new(Memtable::new(0));
    let mut model = Model::new();
    for number in 0..writes {
        let (key, seqno) = (some_key(rng, kind), 1 + number / 3);
        let change = match rng.index(3) {
            0 => RowChange::Put(Bytes::copy_from_slice(&number.to_le_bytes())),
            1 => RowChange::Delete,
            _ => RowChange::Merge(Bytes::copy_from_slice(&number.to_be_bytes())),
        };
        let shared = Bytes::copy_from_slice(&key);
        table.write(&TreeKind::ROWS, shared, Seqno::new(seqno), change.clone());
        model.insert((key, std::cmp::Reverse(seqno)), change);
    }
    (table, model)
}

fn model_get(model: &Model, key: &[u8], at: u64) -> Option<(u64, RowChange)> {
    let from = (key.to_vec(), std::cmp::Reverse(at));
    let ((found, seqno), change) = model.range(from..).next()?;
    (found == key).then(|| (seqno.0, change.clone()))
}

fn row_of(cursor: &MemtableCursor) -> Option<(ModelKey, RowChange)> {
    let row = cursor.row()?;
    let key = (row.key.to_vec(), std::cmp::Reverse(row.seqno.get()));
    Some((key, change_of(row.cell)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_is_an_ordered_map_of_versions(seed: u64, kind in 0..4_usize, writes in 0..6000_u64) {
        let mut rng = SimRng::new(seed);
        let (table, model) = filled(&mut rng, kind, writes);
        prop_assert_eq!(table.versions(), model.len() as u64);
        prop_assert_eq!(table.max_seqno().map(Seqno::get), model.keys().map(|k| k.1.0).max());
        prop_assert_eq!(table.min_seqno().map(Seqno::get), model.keys().map(|k| k.1.0).min());
        for _ in 0..2000 {
            let (key, at) = (some_key(&mut rng, kind), rng.below(writes / 3 + 2));
            let found = get(&table, &key, at).map(|(at, cell)| (at, change_of(cell.cell())));
            prop_assert_eq!(found, model_get(&model, &key, at));
        }
    }

    #[test]
    fn a_cursor_goes_where_it_is_told(seed: u64, kind in 0..4_usize, writes in 0..3000_u64) {
        let mut rng = SimRng::new(seed);
        let (table, model) = filled(&mut rng, kind, writes);
        let rows: Vec<(ModelKey, RowChange)> = model.into_iter().collect();
        let mut cursor = table.cursor();
        prop_assert!(cursor.row().is_none());
        let mut at: Option<usize> = None;
        for _ in 0..3000 {
            let (key, seqno) = (some_key(&mut rng, kind), rng.below(writes / 3 + 2));
            let probe = (key.clone(), std::cmp::Reverse(seqno));
            let index = rows.partition_point(|row| row.0 < probe);
            match rng.index(40) {
                0 => {
                    cursor.seek_first().unwrap();
                    at = Some(0);
                }
                1 => {
                    cursor.seek_last().unwrap();
                    at = rows.len().checked_sub(1);
                }
                2..5 => {
                    cursor.seek(&key, Seqno::new(seqno)).unwrap();
                    at = Some(index);
                }
                5..8 => {
                    cursor.seek_before(&key, Seqno::new(seqno)).unwrap();
                    at = index.checked_sub(1);
                }
                8..26 => {
                    cursor.next().unwrap();
                    at = at.map(|at| at + 1);
                }
                _ => {
                    cursor.prev().unwrap();
                    at = at.and_then(|at| at.checked_sub(1));
                }
            }
            at = at.filter(|at| *at < rows.len());
            prop_assert_eq!(row_of(&cursor), at.map(|at| rows[at].clone()));
        }
    }
}

#[test]
fn all_rows_come_in_order_in_both_directions_whatever_order_they_were_written_in() {
    let orders: [fn(u64) -> u64; 4] = [
        |i| i,
        |i| u64::MAX - i,
        |i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        |i| (i % 7) << 32 | i,
    ];
    for order in orders {
        let table = Arc::new(Memtable::new(1 << 20));
        let mut keys: Vec<[u8; 8]> = (0..20_000).map(|i| order(i).to_be_bytes()).collect();
        keys.iter().for_each(|key| put(&table, key, 1));
        keys.sort_unstable();
        let mut cursor = table.cursor();
        cursor.seek_first().unwrap();
        for key in &keys {
            assert_eq!(cursor.row().unwrap().key, key);
            cursor.next().unwrap();
        }
        assert!(cursor.row().is_none());
        cursor.seek_last().unwrap();
        for key in keys.iter().rev() {
            assert_eq!(cursor.row().unwrap().key, key);
            cursor.prev().unwrap();
        }
        assert!(cursor.row().is_none());
    }
}

#[test]
fn the_weight_of_a_counted_row_is_what_its_entry_changes_and_comes_out_the_same_twice() {
    use RowChange::Delete;
    let put = || RowChange::Put(Bytes::new());
    let cases: [(&[RowChange], i8); 6] = [
        (&[put()], 1),
        (&[Delete], -1),
        (&[put(), Delete], 0),
        (&[Delete, put()], 0),
        (&[put(), Delete, put()], 1),
        (&[Delete, put(), Delete], -1),
    ];
    for (changes, weight) in cases {
        let table = Memtable::new(0);
        for _ in 0..2 {
            for change in changes {
                let key = Bytes::from_static(b"key");
                table.write(&COUNTED, key, Seqno::new(1), change.clone());
            }
            let found = get(&table, b"key", 1).map(|(_, cell)| cell.weight());
            assert_eq!(found, Some(weight), "{changes:?}");
        }
        assert_eq!(table.versions(), 1);
    }
}

#[test]
fn only_puts_weigh_in_a_tree_that_is_not_counted() {
    let table = Memtable::new(0);
    let write = |seqno, change| {
        let key = Bytes::from_static(b"key");
        table.write(&TreeKind::ROWS, key, Seqno::new(seqno), change);
    };
    write(1, RowChange::Put(Bytes::new()));
    write(2, RowChange::Delete);
    write(3, RowChange::Merge(Bytes::new()));
    let weights = [1, 2, 3].map(|at| get(&table, b"key", at).unwrap().1.weight());
    assert_eq!(weights, [1, 0, 0]);
}

#[test]
fn a_cursor_misses_nothing_that_was_there_while_rows_are_inserted_around_it() {
    let mut rng = SimRng::new(3);
    for forward in [true, false] {
        let table = Arc::new(Memtable::new(0));
        (0..4000_u64).for_each(|i| put(&table, &(i * 1000).to_be_bytes(), 1));
        let mut cursor = table.cursor();
        if forward {
            cursor.seek_first().unwrap();
        } else {
            cursor.seek_last().unwrap();
        }
        let (mut old, mut last) = (0, None::<(Vec<u8>, Seqno)>);
        while let Some(row) = cursor.row() {
            let place = (row.key.to_vec(), row.seqno);
            if let Some((key, seqno)) = &last {
                let order = compare_rows((key, *seqno), (&place.0, place.1));
                assert!(if forward {
                    order.is_lt()
                } else {
                    order.is_gt()
                });
            }
            old += u64::from(row.seqno.get() == 1);
            last = Some(place);
            for _ in 0..3 {
                put(&table, &rng.below(4_000_000).to_be_bytes(), 2);
            }
            if forward {
                cursor.next().unwrap();
            } else {
                cursor.prev().unwrap();
            }
        }
        assert_eq!(old, 4000);
    }
}

/// Keys so far apart that others fit between them.
fn spaced(number: u64) -> [u8; 8] {
    (number * 1000).to_be_bytes()
}

#[test]
fn while_a_split_is_half_done_every_row_is_there_once_in_both_directions() {
    let table = Arc::new(Memtable::new(0));
    let written = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let checks = Arc::new(AtomicU64::new(0));
    let check = {
        let (table, written, checks) = (table.clone(), written.clone(), checks.clone());
        move || {
            checks.fetch_add(1, Ordering::Relaxed);
            let keys: Vec<[u8; 8]> = written.lock().iter().copied().collect();
            let at = Seqno::new(keys.len() as u64);
            let mut cursor = table.cursor();
            let mut forward = Vec::new();
            cursor.seek_first().unwrap();
            while let Some(row) = cursor.row() {
                forward.extend((row.seqno <= at).then(|| row.key.to_vec()));
                cursor.next().unwrap();
            }
            assert_eq!(forward, keys);
            let mut back = Vec::new();
            cursor.seek_last().unwrap();
            while let Some(row) = cursor.row() {
                back.extend((row.seqno <= at).then(|| row.key.to_vec()));
                cursor.prev().unwrap();
            }
            assert!(back.iter().rev().eq(&keys));
            let found = |key: &[u8; 8]| get(&table, key, at.get()).is_some();
            assert!(keys.iter().all(found));
        }
    };
    pause::set(pause::Point::HalfSplit, check);
    let mut rng = SimRng::new(5);
    for seqno in 1..=2000 {
        let key = rng.next_u64().to_be_bytes();
        put(&table, &key, seqno);
        written.lock().insert(key);
    }
    pause::clear();
    assert!(checks.load(Ordering::Relaxed) > 100);
}

#[test]
fn a_reader_that_is_overtaken_by_splits_on_its_way_down_still_finds_its_row() {
    let table = Arc::new(Memtable::new(0));
    (0..2000).for_each(|number| put(&table, &spaced(number), 1));
    let near = Arc::new(AtomicU64::new(0));
    let overtake = {
        let (table, near) = (Arc::clone(&table), Arc::clone(&near));
        move || {
            // Right before the key, so that it moves to the right half.
            let from = near.fetch_add(50, Ordering::Relaxed);
            (from..from + 40).for_each(|key| put(&table, &key.to_be_bytes(), 2));
        }
    };
    for number in (1..2000).rev() {
        let key = spaced(number);
        let again = |look: &dyn Fn()| {
            near.store(number * 1000 - 450, Ordering::Relaxed);
            pause::set(pause::Point::Routing, overtake.clone());
            look();
            pause::clear();
        };
        match number % 3 {
            0 => again(&|| assert_eq!(get(&table, &key, 1).unwrap().0, 1)),
            1 => again(&|| {
                let mut cursor = table.cursor();
                cursor.seek(&key, Seqno::MAX).unwrap();
                assert_eq!(cursor.row().unwrap().key, key);
            }),
            _ => again(&|| {
                let mut cursor = table.cursor();
                cursor.seek_before(&key, Seqno::ZERO).unwrap();
                assert_eq!(cursor.row().unwrap().key, key);
            }),
        }
    }
}

#[test]
fn a_reader_that_is_overtaken_by_splits_on_its_way_to_the_end_finds_the_last_row() {
    for rows in 100..200 {
        let table = Arc::new(Memtable::new(0));
        (0..=rows).for_each(|number| put(&table, &spaced(number), 1));
        let mut near = rows * 1000 - 900;
        let overtake = {
            let table = Arc::clone(&table);
            move || {
                (near..near + 20).for_each(|key| put(&table, &key.to_be_bytes(), 2));
                near += 20;
            }
        };
        pause::set(pause::Point::Routing, overtake);
        let mut cursor = table.cursor();
        cursor.seek_last().unwrap();
        assert_eq!(cursor.row().unwrap().key, spaced(rows));
        pause::clear();
    }
}

/// Entry `n` puts the value `n` under three of 500 keys, which follow from `n`.
fn entry_keys(entry: u64) -> [Vec<u8>; 3] {
    let mut rng = SimRng::new(entry);
    [0, 1, 2].map(|_| format!("shared beginning {}", rng.below(500) * 7919 % 500).into_bytes())
}

#[test]
fn readers_at_moving_horizons_see_exactly_the_entries_up_to_theirs() {
    const ENTRIES: u64 = 6000;
    let table = Arc::new(Memtable::new(0));
    let applied = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let read = |seed| {
        let mut rng = SimRng::new(seed);
        while !stop.load(Ordering::Relaxed) {
            let newest = applied.load(Ordering::Acquire);
            let at = newest - rng.below(newest.min(3) + 1);
            let mut expected = BTreeMap::new();
            (1..=at).for_each(|n| {
                expected.extend(entry_keys(n).map(|key| (key, n)));
            });
            for (key, n) in expected.iter().skip(rng.index(20)).step_by(20) {
                assert_eq!(get(&table, key, at).map(|found| found.0), Some(*n));
            }
            let mut seen: Vec<(Vec<u8>, u64)> = Vec::new();
            let mut cursor = table.cursor();
            let forward = rng.chance(0.5);
            if forward {
                cursor.seek_first().unwrap();
            } else {
                cursor.seek_last().unwrap();
            }
            while let Some(row) = cursor.row() {
                if row.seqno.get() <= at {
                    seen.push((row.key.to_vec(), row.seqno.get()));
                }
                if forward {
                    cursor.next().unwrap();
                } else {
                    cursor.prev().unwrap();
                }
            }
            if !forward {
                seen.reverse();
            }
            // Every version, and each once.
            let mut all: Vec<(Vec<u8>, u64)> = Vec::new();
            (1..=at).for_each(|n| all.extend(entry_keys(n).map(|key| (key, n))));
            all.sort_by(|a, b| compare_rows((&a.0, Seqno::new(a.1)), (&b.0, Seqno::new(b.1))));
            all.dedup();
            assert_eq!(seen, all);
        }
    };
    thread::scope(|scope| {
        for seed in 0..3 {
            scope.spawn(move || read(seed));
        }
        for n in 1..=ENTRIES {
            for key in entry_keys(n) {
                put(&table, &key, n);
            }
            applied.store(n, Ordering::Release);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn memory_of_keys_values_and_structure_is_counted() {
    let table = Memtable::new(0);
    let empty = table.bytes();
    assert!(empty < 8192, "{empty}");
    (0..1000_u64).for_each(|i| put(&table, &i.to_be_bytes(), 1));
    let grown = table.bytes() - empty;
    assert!((1000 * 100..1000 * 200).contains(&grown), "{grown}");
    put(&table, &[7; 10_000], 2);
    assert!(table.bytes() - empty - grown >= 20_000);
}
