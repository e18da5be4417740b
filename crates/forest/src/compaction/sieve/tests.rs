//! The sieve against a naive history: every reader sees the same before and after.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::KeyRange;
use crate::cursor::RowCursor;
use crate::cursor::merge::MergeCursor;
use crate::cursor::testing::{
    History, OffsetBlobs, OwnedCell, OwnedRow, Step, VecCursor, deal, histories, into_vec, keys,
    union,
};
use crate::cursor::visible::{Blobs, Value, ViewOptions, Visible};

const MERGING: TreeKind = TreeKind {
    merge: Some(union),
    ..TreeKind::ROWS
};
const COUNTED: TreeKind = TreeKind {
    counted: true,
    ..TreeKind::ROWS
};

fn seqno(index: u64) -> Seqno {
    Seqno::new(index)
}

fn retention(floor: u64, pins: &[u64]) -> Retention {
    Retention::new(seqno(floor), pins.iter().copied().map(seqno).collect())
}

fn options<F>(kind: TreeKind, retention: Retention, bottom: F) -> SieveOptions<F> {
    let deletes = Arc::default();
    SieveOptions {
        kind,
        retention,
        deletes,
        bottom,
        now_ms: None,
        zero_seqnos: true,
    }
}

/// What comes out of the rows of some sources, as a source, and the faults that were counted.
fn sift<F: FnMut(&[u8]) -> bool>(
    inputs: Vec<VecCursor>,
    options: SieveOptions<F>,
) -> (VecCursor, u64) {
    let hints = inputs.iter().all(|input| input.hints);
    let mut rows = MergeCursor::new(inputs);
    let (mut sieve, mut out) = (Sieve::new(options), Vec::new());
    rows.seek_first().unwrap();
    while let Some(row) = rows.row() {
        let Ok(()) = sieve.push(
            &row,
            rows.purged_through(),
            rows.key_ends(),
            &mut into_vec(&mut out),
        );
        rows.next().unwrap();
    }
    let Ok(()) = sieve.finish(&mut into_vec(&mut out));
    let output = VecCursor::new(out.clone(), sieve.purged_through(), hints);
    assert_eq!(output.rows, out, "rows come out in their order");
    (output, sieve.faults())
}

fn read(sources: &[VecCursor], deletes: &Arc<RangeDeletes>, at: Seqno) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scan = Visible::new(
        MergeCursor::new(sources.to_vec()),
        ViewOptions {
            range: KeyRange::all(),
            direction: Direction::Forward,
            at,
            deletes: Arc::clone(deletes),
            merge: Some(union),
            blobs: OffsetBlobs,
        },
    );
    let mut pairs = Vec::new();
    while scan.advance().unwrap() {
        let entry = scan.entry().unwrap();
        let value = match entry.value {
            Value::Inline(value) => value.to_vec(),
            Value::Blob(blob) => OffsetBlobs.read(&[], blob).unwrap().to_vec(),
        };
        pairs.push((entry.key.to_vec(), value));
    }
    pairs
}

/// The retentions of an older and a newer compaction: the floor rises, and pins are only set at
/// or above the floor of their time.
fn retentions(last: u64, floors: [u64; 2], pins: &[(u64, bool)]) -> [Retention; 2] {
    let mut floors = floors.map(|floor| floor.min(last + 1));
    floors.sort_unstable();
    let old: Vec<u64> = pins.iter().map(|(pin, _)| *pin).collect();
    let kept = pins.iter().filter(|(pin, kept)| *kept || *pin >= floors[0]);
    let new: Vec<u64> = kept.map(|(pin, _)| *pin).collect();
    [retention(floors[0], &old), retention(floors[1], &new)]
}

fn check_reads(
    history: &History,
    sources: &[VecCursor],
    retention: &Retention,
) -> Result<(), TestCaseError> {
    let purged = sources
        .iter()
        .map(|source| source.purged_through)
        .min()
        .unwrap();
    let all = history.range_deletes();
    let mut kept = all.clone();
    // A range delete that is worked into everything can be forgotten.
    kept.retain(|delete| delete.seqno > purged);
    for deletes in [all, kept].map(|deletes| Arc::new(RangeDeletes::new(&deletes))) {
        for at in (0..=history.last().get() + 1).map(seqno) {
            if retention.is_readable(at) {
                prop_assert_eq!(read(sources, &deletes, at), history.read(at), "at {}", at);
            }
        }
    }
    Ok(())
}

/// That the bottom holds nothing that could go.
fn check_least(bottom: &VecCursor, retention: &Retention) -> Result<(), TestCaseError> {
    let floor = retention.floor();
    for versions in bottom.rows.chunk_by(|a, b| a.key == b.key) {
        let is_gone = |row: &OwnedRow| row.cell == OwnedCell::Delete && row.seqno <= floor;
        prop_assert!(!is_gone(&versions[versions.len() - 1]), "{:?}", versions);
        prop_assert!(
            !versions.windows(2).any(|two| two.iter().all(is_gone)),
            "{:?}",
            versions
        );
        // The base of a merge is no version of its own if it is a blob.
        let is_base = |two: &[OwnedRow]| {
            matches!(
                (&two[0].cell, &two[1].cell),
                (OwnedCell::Merge(_), OwnedCell::Blob(_))
            )
        };
        let bases = versions.windows(2).filter(|two| is_base(two)).count();
        let old = versions.iter().filter(|row| row.seqno <= floor).count();
        prop_assert!(
            old <= retention.floor_stripe() + 1 + bases,
            "{:?}",
            versions
        );
        prop_assert!(!matches!(
            versions[versions.len() - 1].cell,
            OwnedCell::Merge(_)
        ));
        let oldest = retention.oldest();
        let only_old = versions.len() == 1 && versions[0].seqno <= oldest;
        let pinned = retention.floor_stripe() > 0;
        prop_assert!(
            !only_old || pinned || versions[0].seqno == Seqno::ZERO,
            "{:?}",
            versions
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A table at the bottom is made at some time, then later what lies above it is flushed or
    /// compacted, with it or alone.
    #[test]
    fn every_reader_sees_the_same_before_and_after(
        history in histories(50),
        cuts in prop::collection::vec((keys(), prop::collection::vec(0u64..50, 0..3)), 0..8),
        floors: [prop::sample::Index; 2],
        pins in prop::collection::vec((0u64..50, any::<bool>()), 0..5),
        (deep, hints, zero_seqnos, everything) in any::<(bool, bool, bool, bool)>(),
    ) {
        let last = history.last().get();
        let floors = floors.map(|floor| floor.index(60) as u64);
        let [old, mut new] = retentions(last, floors, &pins);
        if everything {
            new = retention(last + 1, &[]);
        }
        let deletes = Arc::new(RangeDeletes::new(&history.range_deletes()));
        let mut dealt = deal(history.rows(), &cuts, 3).into_iter();
        let mut source = || VecCursor::new(dealt.next().unwrap(), Seqno::ZERO, hints);
        let (newer, middle, oldest) = (source(), source(), source());
        let rules = |retention: &Retention| SieveOptions {
            deletes: Arc::clone(&deletes),
            zero_seqnos,
            ..options(MERGING, retention.clone(), ())
        };
        let (beneath, _) = sift(vec![oldest], with_bottom(rules(&old), |_: &[u8]| true));
        check_reads(&history, &[newer.clone(), middle.clone(), beneath.clone()], &old)?;
        if zero_seqnos {
            check_least(&beneath, &old)?;
        }
        let tables = if deep {
            let inputs = vec![newer, middle, beneath];
            let (output, _) = sift(inputs, with_bottom(rules(&new), |_: &[u8]| true));
            if zero_seqnos {
                check_least(&output, &new)?;
            }
            vec![output]
        } else {
            let is_beneath = |key: &[u8]| beneath.rows.iter().any(|row| row.key == key);
            let (output, _) = sift(vec![newer, middle], with_bottom(rules(&new), |key: &[u8]| !is_beneath(key)));
            vec![output, beneath]
        };
        for row in tables.iter().flat_map(|table| &table.rows) {
            let live = matches!(row.cell, OwnedCell::Put(_) | OwnedCell::Blob(_));
            prop_assert_eq!(row.weight, i8::from(live));
        }
        if everything && deep {
            prop_assert_eq!(tables[0].purged_through, new.floor());
            let mut keys: Vec<_> = tables[0].rows.iter().map(|row| row.key.clone()).collect();
            keys.dedup();
            let live: Vec<_> = history.read(history.last()).into_iter().map(|(key, _)| key).collect();
            prop_assert_eq!(keys, live);
        }
        check_reads(&history, &tables, &new)?;
    }

    #[test]
    fn weights_add_up_to_the_live_rows_whatever_was_compacted(
        picks in prop::collection::vec(keys(), 0..40),
        cuts in prop::collection::vec((keys(), prop::collection::vec(0u64..40, 0..3)), 0..8),
        floors: [prop::sample::Index; 2],
        pins in prop::collection::vec((0u64..40, any::<bool>()), 0..5),
        (deep, hints) in any::<(bool, bool)>(),
    ) {
        let mut live: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        let mut rows = Vec::new();
        for (at, key) in (1..).zip(picks) {
            let there = live.entry(key.clone()).or_default();
            *there = !*there;
            let cell = if *there { OwnedCell::Put(vec![1]) } else { OwnedCell::Delete };
            rows.push(OwnedRow { key, seqno: seqno(at), weight: if *there { 1 } else { -1 }, cell });
        }
        let [old, new] = retentions(rows.len() as u64, floors.map(|f| f.index(50) as u64), &pins);
        let mut dealt = deal(rows, &cuts, 3).into_iter();
        let mut source = || VecCursor::new(dealt.next().unwrap(), Seqno::ZERO, hints);
        let (newer, middle, oldest) = (source(), source(), source());
        let (beneath, faults) = sift(vec![oldest], options(COUNTED, old, |_: &[u8]| true));
        prop_assert_eq!(faults, 0);
        let (tables, faults) = if deep {
            let (output, faults) = sift(vec![newer, middle, beneath], options(COUNTED, new, |_: &[u8]| true));
            (vec![output], faults)
        } else {
            let (output, faults) = sift(vec![newer, middle], options(COUNTED, new, |_: &[u8]| false));
            (vec![output, beneath], faults)
        };
        prop_assert_eq!(faults, 0);
        for (key, there) in live {
            let versions = || tables.iter().flat_map(|table| &table.rows).filter(|row| row.key == key);
            prop_assert_eq!(versions().map(|row| i64::from(row.weight)).sum::<i64>(), i64::from(there));
        }
    }
}

fn with_bottom<G>(options: SieveOptions<()>, bottom: G) -> SieveOptions<G> {
    SieveOptions {
        kind: options.kind,
        retention: options.retention,
        deletes: options.deletes,
        bottom,
        now_ms: options.now_ms,
        zero_seqnos: options.zero_seqnos,
    }
}

fn row(at: u64, weight: i8, cell: OwnedCell) -> OwnedRow {
    OwnedRow {
        key: b"k".to_vec(),
        seqno: seqno(at),
        weight,
        cell,
    }
}

fn put(at: u64, time: u8) -> OwnedRow {
    row(at, 1, OwnedCell::Put(vec![time]))
}

/// What is left of the versions of a key whose value is its time, at time 5 and with floor 10.
fn left_at_five(rows: Vec<OwnedRow>, pins: &[u64], bottom: bool) -> Vec<OwnedRow> {
    let kind = TreeKind {
        expiry: Some(|_, value| value.first().map(|time| u64::from(*time))),
        ..TreeKind::ROWS
    };
    let options = SieveOptions {
        now_ms: Some(5),
        ..options(kind, retention(10, pins), |_: &[u8]| bottom)
    };
    sift(vec![VecCursor::new(rows, Seqno::ZERO, false)], options)
        .0
        .rows
}

#[test]
fn a_row_whose_time_has_come_goes_once_no_pin_reads_it() {
    let gone = |at| row(at, 0, OwnedCell::Delete);
    assert_eq!(left_at_five(vec![put(9, 5)], &[], true), []);
    assert_eq!(
        left_at_five(vec![put(9, 6)], &[], true),
        [OwnedRow {
            seqno: Seqno::ZERO,
            ..put(0, 6)
        }]
    );
    assert_eq!(left_at_five(vec![put(9, 5)], &[], false), [gone(9)]);
    assert_eq!(left_at_five(vec![put(9, 5)], &[9], true).len(), 1, "pinned");
    assert_eq!(
        left_at_five(vec![put(11, 5)], &[], true),
        [put(11, 5)],
        "above the floor"
    );
    assert_eq!(
        left_at_five(vec![put(9, 5), put(3, 9)], &[4], true),
        [gone(9), put(3, 9)]
    );
    assert_eq!(
        left_at_five(vec![put(12, 9), put(9, 5)], &[], true),
        [put(12, 9)]
    );
    assert_eq!(
        left_at_five(vec![put(12, 9), put(9, 5)], &[], false),
        [put(12, 9), gone(9)]
    );
}

#[test]
fn counted_rows_do_not_expire() {
    let kind = TreeKind {
        expiry: Some(|_, _| Some(0)),
        ..COUNTED
    };
    let options = SieveOptions {
        now_ms: Some(5),
        ..options(kind, retention(10, &[]), |_: &[u8]| true)
    };
    let (output, faults) = sift(
        vec![VecCursor::new(vec![put(9, 5)], Seqno::ZERO, false)],
        options,
    );
    assert_eq!((output.rows.len(), faults), (1, 0));
}

#[test]
fn a_wrong_count_at_the_bottom_is_put_right_and_told() {
    for weight in [-1, 0] {
        let wrong = row(9, weight, OwnedCell::Put(vec![1]));
        let options = options(COUNTED, retention(10, &[]), |_: &[u8]| true);
        let (output, faults) = sift(
            vec![VecCursor::new(vec![wrong], Seqno::ZERO, true)],
            options,
        );
        assert_eq!((output.rows[0].weight, faults), (1, 1));
    }
    // A delete of what is not there: the sum over the key would be -1 for ever.
    let gone = |at| row(at, -1, OwnedCell::Delete);
    let rows = vec![put(3, 1), gone(6), gone(9)];
    let sums = options(COUNTED, retention(10, &[3, 6]), |_: &[u8]| false);
    let (output, faults) = sift(vec![VecCursor::new(rows, Seqno::ZERO, true)], sums);
    assert_eq!((output.rows, faults), (vec![gone(6), put(3, 1)], 1));
    // A put of what is there, twice.
    let options = options(COUNTED, retention(10, &[]), |_: &[u8]| true);
    let (output, faults) = sift(
        vec![VecCursor::new(
            vec![put(8, 1), put(9, 1)],
            Seqno::ZERO,
            true,
        )],
        options,
    );
    assert_eq!((output.rows[0].weight, faults), (1, 1));
}

#[test]
fn a_range_delete_takes_the_weight_of_what_it_hides_along() {
    let history = History(vec![
        Step::Write(b"k".to_vec(), OwnedCell::Put(vec![1])),
        Step::RangeDelete(b"a".to_vec(), None),
        Step::Write(b"k".to_vec(), OwnedCell::Put(vec![2])),
    ]);
    let options = SieveOptions {
        deletes: Arc::new(RangeDeletes::new(&history.range_deletes())),
        ..options(COUNTED, retention(10, &[]), |_: &[u8]| true)
    };
    let (output, faults) = sift(
        vec![VecCursor::new(history.rows(), Seqno::ZERO, true)],
        options,
    );
    assert_eq!(
        (output.rows.len(), output.rows[0].weight, faults),
        (1, 1, 0)
    );
    assert_eq!(output.purged_through, seqno(10));
}
