//! The merge against a sorted list, in both directions and with turns.

use proptest::prelude::*;

use super::*;
use crate::cursor::testing::{OwnedRow, VecCursor, cells, keys};
use crate::row::compare_rows;

#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Vec<u8>, u64),
    SeekBefore(Vec<u8>, u64),
    Next,
    Prev,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => (keys(), 0u64..7).prop_map(|(key, seqno)| Move::Seek(key, seqno)),
        2 => (keys(), 0u64..7).prop_map(|(key, seqno)| Move::SeekBefore(key, seqno)),
        15 => Just(Move::Next),
        15 => Just(Move::Prev),
    ]
}

prop_compose! {
    /// Each row with the source it lies in. Two sources may have the same key and seqno.
    fn rows()(
        all in prop::collection::btree_map((keys(), 0u64..6, 0usize..6), cells(), 0..60),
    ) -> Vec<(usize, OwnedRow)> {
        all.into_iter()
            .map(|((key, seqno, source), cell)| {
                (source, OwnedRow { key, seqno: Seqno::new(seqno), weight: 0, cell })
            })
            .collect()
    }
}

fn make(cursor: &mut impl RowCursor, to: &Move) {
    match to {
        Move::First => cursor.seek_first(),
        Move::Last => cursor.seek_last(),
        Move::Seek(key, seqno) => cursor.seek(key, Seqno::new(*seqno)),
        Move::SeekBefore(key, seqno) => cursor.seek_before(key, Seqno::new(*seqno)),
        Move::Next => cursor.next(),
        Move::Prev => cursor.prev(),
    }
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn many_sources_are_walked_as_one(rows in rows(), moves in prop::collection::vec(moves(), 1..60), hints: bool) {
        let mut sorted = rows.clone();
        sorted.sort_by(|(i, a), (j, b)| {
            compare_rows((&a.key, a.seqno), (&b.key, b.seqno)).then(i.cmp(j))
        });
        let all: Vec<_> = sorted.iter().map(|(_, row)| row.clone()).collect();
        let mut model = VecCursor::new(all.clone(), Seqno::ZERO, false);
        let sources = (0..6usize)
            .map(|source| {
                let of_it = rows.iter().filter(|(i, _)| *i == source).map(|(_, row)| row.clone());
                // What a source was purged through tells which source a row comes from.
                VecCursor::new(of_it.collect(), Seqno::new(source as u64), hints)
            })
            .collect();
        let mut merged = MergeCursor::new(sources);
        prop_assert_eq!(merged.row(), None);
        for to in &moves {
            make(&mut merged, to);
            make(&mut model, to);
            prop_assert_eq!(merged.row(), model.row());
            if let Some(place) = model.place() {
                prop_assert_eq!(merged.purged_through(), Seqno::new(sorted[place].0 as u64));
                let next = match merged.direction {
                    Direction::Forward => all.get(place + 1),
                    Direction::Reverse => place.checked_sub(1).and_then(|i| all.get(i)),
                };
                let ends = next.is_none_or(|next| next.key != all[place].key);
                let same = |(source, row): &&(usize, OwnedRow)| {
                    *source == sorted[place].0 && row.key == all[place].key
                };
                let told = hints && sorted.iter().filter(same).count() == 1;
                prop_assert_eq!(merged.key_ends(), told && ends);
            }
        }
    }
}

#[test]
fn no_source_has_no_row() {
    let mut merged = MergeCursor::<VecCursor>::new(Vec::new());
    for to in [Move::First, Move::Last, Move::Next, Move::Prev] {
        make(&mut merged, &to);
        assert_eq!(merged.row(), None);
    }
}
