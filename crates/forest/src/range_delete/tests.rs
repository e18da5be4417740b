//! Range deletes against the plain rule.

use proptest::prelude::*;

use super::*;

fn delete(start: &[u8], end: Option<&[u8]>, seqno: u64) -> RangeDelete {
    RangeDelete {
        start: Bytes::copy_from_slice(start),
        end: end.map(Bytes::copy_from_slice),
        seqno: Seqno::new(seqno),
    }
}

fn is_in(delete: &RangeDelete, key: &[u8]) -> bool {
    *delete.start <= *key && delete.end.as_ref().is_none_or(|end| *key < **end)
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(b'a'..b'd', 0..3)
}

prop_compose! {
    fn deletes()(all in prop::collection::vec((keys(), prop::option::of(keys()), 1u64..9), 0..7))
        -> Vec<RangeDelete>
    {
        all.iter().map(|(s, e, seqno)| delete(s, e.as_deref(), *seqno)).collect()
    }
}

proptest! {
    #[test]
    fn what_lies_over_a_key_is_what_the_originals_say(all in deletes(), probes in prop::collection::vec(keys(), 1..20)) {
        let mut set = RangeDeletes::default();
        all.iter().for_each(|delete| set = set.with(delete.clone()));
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
        prop_assert_eq!(&set.fragments, &RangeDeletes::new(&all).fragments);
        let over = |key: &[u8]| {
            let mut seqnos: Vec<_> = all.iter().filter(|d| is_in(d, key)).map(|d| d.seqno).collect();
            seqnos.sort_unstable_by(|a, b| b.cmp(a));
            seqnos.dedup();
            seqnos
        };
        let mut cursor = RangeDeletesCursor::new(Arc::new(set.clone()));
        let mut sorted = probes;
        sorted.sort();
        for key in &sorted {
            let expected = over(key);
            prop_assert_eq!(cursor.over(key, Direction::Forward), &*expected);
            for at in (0..10).map(Seqno::new) {
                let newest = expected.iter().copied().find(|seqno| *seqno <= at);
                prop_assert_eq!(set.covering(key, at), newest);
                let above = expected.iter().copied().rfind(|seqno| *seqno > at);
                prop_assert_eq!(oldest_above(&expected, at), above);
            }
        }
        for key in sorted.iter().rev() {
            prop_assert_eq!(cursor.over(key, Direction::Reverse), &*over(key));
        }
        cursor.jump();
        prop_assert_eq!(cursor.over(&sorted[sorted.len() - 1], Direction::Forward), &*over(&sorted[sorted.len() - 1]));
    }
}

#[test]
fn a_range_delete_hides_older_rows_from_those_who_see_it_and_only_what_it_was_not_worked_into() {
    let set = RangeDeletes::new(&[delete(b"b", Some(b"d"), 5)]);
    let hides = |key: &[u8], row, purged, at| {
        set.hides(key, Seqno::new(row), Seqno::new(purged), Seqno::new(at))
    };
    assert!(hides(b"b", 4, 0, 5) && hides(b"czz", 0, 4, 9));
    assert!(!hides(b"b", 5, 0, 9), "as new as the delete");
    assert!(!hides(b"b", 4, 0, 4), "not seen yet");
    assert!(!hides(b"b", 0, 5, 9), "worked into the table");
    assert!(!hides(b"a", 4, 0, 9) && !hides(b"d", 4, 0, 9), "outside");
}

#[test]
fn a_range_delete_of_nothing_hides_nothing() {
    let set = RangeDeletes::new(&[delete(b"b", Some(b"b"), 5), delete(b"c", Some(b"a"), 6)]);
    assert!(set.is_empty());
    assert_eq!(set.iter().count(), 2);
}
