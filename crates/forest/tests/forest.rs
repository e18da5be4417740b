//! The promises of the forest, one by one.
#![cfg(test)]

use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::{
    ApplyError, Change, Direction, Forest, KeyRange, Mutation, ReadError, Scan, Seqno, TreeId,
};

const TREE: TreeId = TreeId::new(7);

fn forest() -> Forest {
    let forest = Forest::new();
    forest.create_tree(TREE).unwrap();
    forest
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Mutation {
    Mutation {
        tree: TREE,
        key: key.into(),
        change: Change::Put(value.into()),
    }
}

fn delete(key: impl Into<Bytes>) -> Mutation {
    Mutation {
        tree: TREE,
        key: key.into(),
        change: Change::Delete,
    }
}

/// Applies `count` entries that `entry` makes from their numbers.
fn apply_many<M>(forest: &Forest, count: u8, entry: impl Fn(u8) -> M)
where
    M: IntoIterator<Item = Mutation>,
{
    for i in 0..count {
        apply(forest, entry(i));
    }
}

/// Applies the next entry.
fn apply(forest: &Forest, mutations: impl IntoIterator<Item = Mutation>) -> Seqno {
    let at = Seqno::new(forest.applied().get() + 1);
    forest.apply(at, mutations).unwrap();
    at
}

fn get(forest: &Forest, key: &str, at: Seqno) -> Option<Bytes> {
    forest.get(TREE, key.as_bytes(), at).unwrap()
}

fn keys(scan: Scan) -> Vec<String> {
    scan.map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap())
        .collect()
}

fn scan(forest: &Forest, range: KeyRange, direction: Direction, at: Seqno) -> Vec<String> {
    keys(forest.scan(TREE, range, direction, at).unwrap())
}

fn versions(forest: &Forest) -> u64 {
    forest.stats().trees[&TREE].entries
}

#[test]
fn a_read_sees_the_newest_version_up_to_its_seqno() {
    let forest = forest();
    apply(&forest, [put("a", "1")]);
    apply(&forest, [put("b", "2")]);
    apply(&forest, [put("a", "3")]);
    apply(&forest, [delete("a")]);
    let seen: Vec<_> = (0..=4)
        .map(|at| get(&forest, "a", Seqno::new(at)))
        .collect();
    assert_eq!(
        seen,
        [
            None,
            Some("1".into()),
            Some("1".into()),
            Some("3".into()),
            None
        ]
    );
}

#[test]
fn a_gap_or_a_repetition_is_refused_and_changes_nothing() {
    let forest = forest();
    apply(&forest, [put("a", "1")]);
    for found in [0, 1, 3, u64::MAX].map(Seqno::new) {
        let error = forest.apply(found, [put("a", "x")]).unwrap_err();
        assert_eq!(
            error,
            ApplyError::Gap {
                expected: Seqno::new(2),
                found
            }
        );
    }
    assert_eq!(forest.applied(), Seqno::new(1));
    assert_eq!(get(&forest, "a", Seqno::new(1)), Some("1".into()));
    assert_eq!(versions(&forest), 1);
}

#[test]
fn an_entry_for_an_unknown_tree_is_not_applied_and_may_come_again() {
    let forest = forest();
    apply(&forest, [put("a", "1")]);
    let other = TreeId::new(8);
    let entry = [
        put("a", "2"),
        Mutation {
            tree: other,
            ..put("b", "2")
        },
        put("c", "2"),
    ];
    let at = Seqno::new(2);
    assert_eq!(
        forest.apply(at, entry.clone()),
        Err(ApplyError::UnknownTree(other))
    );
    assert_eq!(forest.applied(), Seqno::new(1));
    assert_eq!(get(&forest, "a", Seqno::new(1)), Some("1".into()));
    let too_new = ReadError::NotApplied {
        at,
        applied: Seqno::new(1),
    };
    assert_eq!(forest.get(TREE, b"a", at), Err(too_new));
    forest.create_tree(other).unwrap();
    forest.apply(at, entry).unwrap();
    assert_eq!(get(&forest, "a", at), Some("2".into()));
    assert_eq!(forest.get(other, b"b", at), Ok(Some("2".into())));
    assert_eq!(versions(&forest), 3);
}

#[test]
fn of_a_key_that_comes_twice_in_an_entry_the_last_change_counts() {
    let forest = forest();
    apply(&forest, [put("a", "1"), put("b", "1"), put("c", "1")]);
    let at = apply(
        &forest,
        [
            put("a", "2"),
            delete("a"),
            delete("b"),
            put("b", "2"),
            put("d", "2"),
            delete("d"),
        ],
    );
    assert_eq!(
        scan(&forest, KeyRange::all(), Direction::Forward, at),
        ["b", "c"]
    );
    forest.set_oldest_needed(at);
    apply_many(&forest, 5, |_| []);
    assert_eq!(
        scan(&forest, KeyRange::all(), Direction::Forward, at),
        ["b", "c"]
    );
    assert_eq!(versions(&forest), 2);
    let bytes = forest.stats().trees[&TREE].bytes;
    let same = self::forest();
    apply(&same, [put("b", "2"), put("c", "1")]);
    assert_eq!(bytes, same.stats().trees[&TREE].bytes);
}

#[test]
fn reads_outside_the_horizon_are_errors() {
    let forest = forest();
    apply_many(&forest, 5, |i| [put("a", vec![i])]);
    let mut old = forest
        .scan(TREE, KeyRange::all(), Direction::Forward, Seqno::new(2))
        .unwrap();
    forest.set_oldest_needed(Seqno::new(3));
    let too_old = ReadError::TooOld {
        at: Seqno::new(2),
        oldest_needed: Seqno::new(3),
    };
    assert_eq!(forest.get(TREE, b"a", Seqno::new(2)), Err(too_old.clone()));
    let scan = forest.scan(TREE, KeyRange::all(), Direction::Forward, Seqno::new(2));
    assert_eq!(scan.unwrap_err(), too_old);
    assert_eq!(old.next(), Some(Err(too_old)), "an open scan too");
    assert_eq!(old.next(), None);
    assert_eq!(get(&forest, "a", Seqno::new(3)), Some(vec![2].into()));
    let too_new = ReadError::NotApplied {
        at: Seqno::new(6),
        applied: Seqno::new(5),
    };
    assert_eq!(forest.get(TREE, b"a", Seqno::new(6)), Err(too_new.clone()));
    let scan = forest.scan(TREE, KeyRange::all(), Direction::Forward, Seqno::new(6));
    assert_eq!(scan.unwrap_err(), too_new);
}

#[test]
fn what_is_needed_never_runs_ahead_of_what_is_applied_nor_back() {
    let forest = forest();
    apply_many(&forest, 5, |_| []);
    forest.set_oldest_needed(Seqno::new(9));
    assert_eq!(forest.oldest_needed(), Seqno::new(5));
    forest.set_oldest_needed(Seqno::new(2));
    assert_eq!(forest.oldest_needed(), Seqno::new(5));
}

#[test]
fn a_key_that_is_overwritten_for_ever_takes_bounded_memory() {
    let forest = forest();
    for i in 0..10_000_u32 {
        let at = apply(&forest, [put("a", i.to_be_bytes().to_vec())]);
        forest.set_oldest_needed(at);
        assert!(versions(&forest) <= 2 && forest.stats().superseding <= 1);
    }
}

#[test]
fn keys_that_come_and_go_leave_nothing_behind() {
    let forest = forest();
    for i in 0..10_000_u32 {
        let key = i.to_be_bytes().to_vec();
        apply(&forest, [put(key.clone(), "x")]);
        let at = apply(&forest, [delete(key), delete("never there")]);
        forest.set_oldest_needed(at);
    }
    apply(&forest, []);
    let stats = forest.stats();
    assert_eq!(
        (stats.trees[&TREE].entries, stats.trees[&TREE].bytes),
        (0, 0)
    );
}

#[test]
fn a_held_snapshot_keeps_its_versions_and_lets_go_of_them_step_by_step() {
    let forest = forest();
    let held = apply(&forest, [put("a", "held")]);
    forest.set_oldest_needed(held);
    for i in 0..1000_u32 {
        apply(&forest, [put("a", i.to_be_bytes().to_vec())]);
    }
    assert_eq!(get(&forest, "a", held), Some("held".into()));
    assert_eq!(versions(&forest), 1001);
    forest.set_oldest_needed(forest.applied());
    // Each entry cleans up a little more than it writes.
    for _ in 0..1001 {
        apply(&forest, [put("b", "x")]);
        forest.set_oldest_needed(forest.applied());
    }
    assert!(versions(&forest) <= 3, "{}", versions(&forest));
    assert_eq!(
        get(&forest, "a", forest.applied()),
        Some(999_u32.to_be_bytes().to_vec().into())
    );
}

#[test]
fn a_dropped_tree_is_seen_by_earlier_readers_only_and_freed_after_them() {
    let forest = forest();
    let before = apply(&forest, [put("a", "1")]);
    let at = Seqno::new(before.get() + 1);
    let gap = forest.drop_tree(TREE, Seqno::new(at.get() + 1));
    assert!(matches!(gap, Err(ApplyError::Gap { .. })));
    forest.drop_tree(TREE, at).unwrap();
    assert_eq!(
        forest.apply(at, [put("a", "2")]),
        Err(ApplyError::UnknownTree(TREE))
    );
    forest.apply(at, []).unwrap();
    assert_eq!(get(&forest, "a", before), Some("1".into()));
    let unknown = ReadError::UnknownTree { tree: TREE, at };
    assert_eq!(forest.get(TREE, b"a", at), Err(unknown.clone()));
    let scan = forest.scan(TREE, KeyRange::all(), Direction::Forward, at);
    assert_eq!(scan.unwrap_err(), unknown);
    assert_eq!(
        forest.drop_tree(TREE, at),
        Err(ApplyError::UnknownTree(TREE))
    );
    assert_eq!(forest.create_tree(TREE), Err(ApplyError::TreeExists(TREE)));
    forest.set_oldest_needed(before);
    assert_eq!(forest.stats().trees.len(), 1);
    forest.set_oldest_needed(at);
    assert_eq!(forest.stats().trees.len(), 0);
}

#[test]
fn a_scan_holds_its_tree_even_when_it_is_dropped() {
    let forest = forest();
    let rows = (0..100_u8).map(|i| put(vec![i], "x"));
    let at = apply(&forest, rows);
    let mut scan = forest
        .scan(TREE, KeyRange::all(), Direction::Forward, at)
        .unwrap();
    scan.next().unwrap().unwrap();
    forest.drop_tree(TREE, Seqno::new(at.get() + 1)).unwrap();
    apply(&forest, []);
    assert_eq!(scan.map(Result::unwrap).count(), 99);
}

#[test]
fn scans_are_whole_wherever_chunks_end() {
    // Each key has a version that is too new, or is deleted, or is plain; so every kind comes to
    // lie on a border of the chunks of 8, 16, 32 …
    for kind in 0..4 {
        let forest = forest();
        let name = |i: usize| format!("{i:03}");
        let rows = 130;
        apply(&forest, (0..rows).map(|i| put(name(i), "old")));
        let at = apply(
            &forest,
            (0..rows)
                .filter(|i| (i + kind) % 4 == 0)
                .map(|i| delete(name(i))),
        );
        let newer = (0..rows).filter(|i| (i + kind) % 4 == 1);
        apply_many(&forest, 12, |_| newer.clone().map(|i| put(name(i), "new")));
        for count in 0..rows {
            let range = KeyRange::from_bounds(
                Bound::Included(name(3).into_bytes()),
                Bound::Excluded(name(3 + count).into_bytes()),
            );
            let alive = (3..rows.min(3 + count)).filter(|i| (i + kind) % 4 != 0);
            let mut expected: Vec<String> = alive.map(name).collect();
            assert_eq!(
                scan(&forest, range.clone(), Direction::Forward, at),
                expected
            );
            expected.reverse();
            assert_eq!(scan(&forest, range, Direction::Reverse, at), expected);
        }
    }
}

#[test]
fn scans_keep_to_their_bounds_in_both_directions() {
    use Bound::{Excluded, Included, Unbounded};
    let forest = forest();
    let at = apply(&forest, ["", "a", "a\0", "b", "c"].map(|key| put(key, "x")));
    let bound = |bound: Bound<&str>| bound.map(|key| key.as_bytes().to_vec());
    for (start, end, expected) in [
        (Unbounded, Unbounded, vec!["", "a", "a\0", "b", "c"]),
        (Included("a"), Included("b"), vec!["a", "a\0", "b"]),
        (Excluded("a"), Excluded("b"), vec!["a\0"]),
        (Excluded("a\0"), Excluded("b"), vec![]),
        (Included("b"), Included("b"), vec!["b"]),
        (Included("b"), Excluded("b"), vec![]),
        (Included("c"), Included("a"), vec![]),
        (Excluded(""), Unbounded, vec!["a", "a\0", "b", "c"]),
        (Unbounded, Included(""), vec![""]),
        (Included("bb"), Unbounded, vec!["c"]),
        (Unbounded, Excluded("bb"), vec!["", "a", "a\0", "b"]),
        (Included("d"), Unbounded, vec![]),
    ] {
        let range = KeyRange::from_bounds(bound(start), bound(end));
        assert_eq!(
            scan(&forest, range.clone(), Direction::Forward, at),
            expected
        );
        let mut backward = scan(&forest, range, Direction::Reverse, at);
        backward.reverse();
        assert_eq!(backward, expected);
    }
}

#[test]
fn a_prefix_scan_ends_with_the_prefix_even_at_0xff() {
    let forest = forest();
    let rows: [&[u8]; 6] = [
        b"\xfe",
        b"\xfe\xff",
        b"\xfe\xff\xff",
        b"\xff",
        b"\xff\xff",
        b"\xff\xff\0",
    ];
    let at = apply(&forest, rows.map(|key| put(Bytes::from_static(key), "x")));
    let count = |prefix: &[u8], direction| {
        forest
            .scan(TREE, KeyRange::prefix(prefix), direction, at)
            .unwrap()
            .count()
    };
    for direction in [Direction::Forward, Direction::Reverse] {
        assert_eq!(count(b"\xfe\xff", direction), 2);
        assert_eq!(count(b"\xfe", direction), 3);
        assert_eq!(count(b"\xff", direction), 3);
        assert_eq!(count(b"\xff\xff", direction), 2);
        assert_eq!(count(b"", direction), 6);
        assert_eq!(count(b"\xff\xff\xff", direction), 0);
    }
}

#[test]
fn a_scan_shows_its_seqno_whatever_is_applied_between_its_chunks() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let forest = forest();
        let name = |i: usize| format!("{i:03}");
        let at = apply(&forest, (0..200).map(|i| put(name(i), "old")));
        let scan = forest.scan(TREE, KeyRange::all(), direction, at).unwrap();
        let mut seen = Vec::new();
        for row in scan {
            seen.push(row.unwrap());
            let i = (seen.len() * 7) % 200;
            apply(
                &forest,
                [
                    put(name(i), "new"),
                    delete(name(199 - i)),
                    put(name(i) + "x", "new"),
                ],
            );
        }
        assert!(seen.iter().all(|(_, value)| value == "old"));
        let mut keys: Vec<_> = seen.into_iter().map(|(key, _)| key).collect();
        if direction == Direction::Reverse {
            keys.reverse();
        }
        assert_eq!(
            keys,
            (0..200).map(|i| Bytes::from(name(i))).collect::<Vec<_>>()
        );
    }
}
