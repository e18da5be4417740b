//! Scans against a naive history.

use proptest::prelude::*;

use super::*;
use crate::cursor::merge::MergeCursor;
use crate::cursor::testing::{History, OffsetBlobs, VecCursor, deal, histories, keys, union};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn bounds() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        2 => Just(Bound::Unbounded),
        1 => keys().prop_map(Bound::Included),
        1 => keys().prop_map(Bound::Excluded),
    ]
}

prop_compose! {
    fn ranges()(start in bounds(), end in bounds()) -> KeyRange {
        KeyRange::from_bounds(start, end)
    }
}

fn cuts() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u64>)>> {
    prop::collection::vec((keys(), prop::collection::vec(0u64..70, 0..4)), 0..8)
}

fn owned(entry: Entry<'_>) -> (Vec<u8>, Vec<u8>) {
    let value = match entry.value {
        Value::Inline(value) => value.to_vec(),
        Value::Blob(blob) => OffsetBlobs.read(&[], blob).unwrap().to_vec(),
    };
    (entry.key.to_vec(), value)
}

/// All entries from where the scan is, `found` being what it said of the one it is at.
fn rest<R: RowCursor>(scan: &mut Visible<R, OffsetBlobs>, mut found: bool) -> Pairs {
    let mut pairs = Vec::new();
    while found {
        pairs.push(owned(scan.entry().unwrap()));
        found = scan.advance().unwrap();
    }
    assert_eq!(scan.entry(), None);
    assert!(!scan.advance().unwrap());
    pairs
}

fn scan(
    history: &History,
    sources: &[VecCursor],
    (range, direction, at): (&KeyRange, Direction, Seqno),
) -> Visible<MergeCursor<VecCursor>, OffsetBlobs> {
    Visible::new(
        MergeCursor::new(sources.to_vec()),
        ViewOptions {
            range: range.clone(),
            direction,
            at,
            deletes: Arc::new(RangeDeletes::new(&history.range_deletes())),
            merge: Some(union),
            blobs: OffsetBlobs,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_scan_sees_what_the_history_says(
        history in histories(70), cuts in cuts(), range in ranges(), hints: bool,
        probes in prop::collection::vec(keys(), 1..4),
    ) {
        let sources: Vec<_> = deal(history.rows(), &cuts, 4)
            .into_iter()
            .map(|rows| VecCursor::new(rows, Seqno::ZERO, hints))
            .collect();
        for at in (0..=history.last().get() + 1).map(Seqno::new) {
            let mut expected = history.read(at);
            expected.retain(|(key, _)| range.contains(key));
            let mut forward = scan(&history, &sources, (&range, Direction::Forward, at));
            let found = forward.advance().unwrap();
            prop_assert_eq!(rest(&mut forward, found), expected.clone());
            for probe in &probes {
                let behind = expected.iter().filter(|(key, _)| key >= probe).cloned();
                let found = forward.seek(probe).unwrap();
                prop_assert_eq!(rest(&mut forward, found), behind.collect::<Pairs>());
            }
            expected.reverse();
            let mut reverse = scan(&history, &sources, (&range, Direction::Reverse, at));
            let found = reverse.advance().unwrap();
            prop_assert_eq!(rest(&mut reverse, found), expected.clone());
            for probe in &probes {
                let before = expected.iter().filter(|(key, _)| key <= probe).cloned();
                let found = reverse.seek(probe).unwrap();
                prop_assert_eq!(rest(&mut reverse, found), before.collect::<Pairs>());
            }
        }
    }
}
