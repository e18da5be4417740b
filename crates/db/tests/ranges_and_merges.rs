//! What deleting ranges and merging promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::Bound;

use nexusbase_db::{
    Bytes, CommitError, Database, Direction, Error, Index, KeyRange, Options, RANGE_DELETES_MAX,
    RowChange, Transaction, TreeId, TreeKind, View, WriteError,
};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimDisk, SimRng};

/// The union of sets of bytes.
const SETS: TreeKind = TreeKind {
    name: "sets",
    merge: Some(union),
    ..TreeKind::ROWS
};

fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

fn open(disk: &SimDisk) -> Database {
    let options = Options {
        segment_bytes: 1 << 20,
        kinds: vec![SETS],
        housekeeping_thread: false,
        env: Env {
            fs: std::sync::Arc::new(disk.for_this_life()),
            ..Env::os()
        },
        ..Options::default()
    };
    Database::open_with("/data", options).unwrap()
}

fn database() -> (Database, TreeId) {
    let db = open(&SimDisk::new(1));
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree_of("t", &SETS)?))
        .unwrap();
    (db, tree)
}

fn commit(db: &Database, work: impl Fn(&mut Transaction) -> Result<(), WriteError>) {
    db.transact(|tx| Ok::<_, Error>(work(tx)?)).unwrap();
}

fn put_all(db: &Database, tree: TreeId, keys: &[&str]) {
    commit(db, |tx| {
        keys.iter()
            .try_for_each(|key| tx.put(tree, key.as_bytes(), b"x"))
    });
}

/// The keys from `start` to `end`, which is not among them.
fn range(start: &str, end: &str) -> KeyRange {
    KeyRange::from_bounds(Bound::Included(start.into()), Bound::Excluded(end.into()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn rows(view: &dyn View, tree: TreeId) -> Vec<String> {
    let scan = |direction| {
        view.scan(tree, KeyRange::all(), direction)
            .unwrap()
            .map(|row| row.map(|(key, value)| format!("{}={}", text(&key), text(&value))))
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    };
    let forward = scan(Direction::Forward);
    let mut reverse = scan(Direction::Reverse);
    reverse.reverse();
    assert_eq!(forward, reverse);
    forward
}

fn get(view: &dyn View, tree: TreeId, key: &str) -> Option<String> {
    let value = view.get(tree, key.as_bytes()).unwrap();
    value.map(|value| text(&value))
}

#[test]
fn a_deleted_range_is_gone_and_what_is_put_into_it_afterwards_stays() {
    let (db, t) = database();
    put_all(&db, t, &["a", "b", "c", "d"]);
    let mut tx = db.begin();
    tx.put(t, b"b", b"before").unwrap();
    tx.put(t, b"bb", b"before").unwrap();
    tx.delete_range(t, &range("b", "d")).unwrap();
    tx.put(t, b"c", b"after").unwrap();
    let expected = ["a=x", "c=after", "d=x"];
    assert_eq!(rows(&tx, t), expected);
    assert_eq!(get(&tx, t, "b"), None);
    assert_eq!(get(&tx, t, "bb"), None);
    assert_eq!(get(&tx, t, "c").as_deref(), Some("after"));
    assert_eq!(rows(&db.snapshot(), t), ["a=x", "b=x", "c=x", "d=x"]);
    tx.commit().unwrap().wait().unwrap();
    assert_eq!(rows(&db.snapshot(), t), expected);
}

#[test]
fn bounds_of_all_sorts_delete_what_they_hold() {
    use Bound::{Excluded, Included, Unbounded};
    let b = || b"b".to_vec();
    for (start, end, left) in [
        (Unbounded, Excluded(b()), vec!["b=x", "b\0=x", "c=x"]),
        (Unbounded, Included(b()), vec!["b\0=x", "c=x"]),
        (Excluded(b()), Unbounded, vec!["=x", "a=x", "b=x"]),
        (
            Included(b()),
            Included(b()),
            vec!["=x", "a=x", "b\0=x", "c=x"],
        ),
        (
            Excluded(b()),
            Excluded(b()),
            vec!["=x", "a=x", "b=x", "b\0=x", "c=x"],
        ),
        (Unbounded, Unbounded, vec![]),
    ] {
        let (db, t) = database();
        put_all(&db, t, &["", "a", "b", "b\0", "c"]);
        let range = KeyRange::from_bounds(start, end);
        let mut tx = db.begin();
        tx.delete_range(t, &range).unwrap();
        assert_eq!(rows(&tx, t), left, "{range:?}");
        tx.commit().unwrap().wait().unwrap();
        assert_eq!(rows(&db.snapshot(), t), left, "{range:?}");
    }
}

#[test]
fn blind_merges_and_range_deletes_conflict_with_nobody() {
    let (db, t) = database();
    put_all(&db, t, &["a", "c"]);
    let mut merging = db.begin();
    merging.merge(t, b"a", b"m").unwrap();
    let mut deleting = db.begin();
    deleting.delete_range(t, &range("b", "z")).unwrap();
    commit(&db, |tx| tx.merge(t, b"a", b"n"));
    put_all(&db, t, &["d"]);
    merging.commit().unwrap().wait().unwrap();
    deleting.commit().unwrap().wait().unwrap();
    // It deletes what is there when it commits, also what its snapshot did not see.
    assert_eq!(rows(&db.snapshot(), t), ["a=mnx"]);
}

#[test]
fn who_has_read_what_another_deletes_by_a_range_is_refused() {
    type Read = fn(&Transaction, TreeId);
    let reads: [(Read, bool); 5] = [
        (|tx, t| drop(get(tx, t, "b")), true),
        // Not there, and nothing is deleted: but that could have been otherwise.
        (|tx, t| drop(get(tx, t, "bb")), true),
        (|tx, t| drop(get(tx, t, "a")), false),
        (|tx, t| drop(rows(tx, t)), true),
        (
            |tx, t| {
                let mut scan = tx.scan(t, KeyRange::all(), Direction::Forward).unwrap();
                assert!(scan.next().is_some());
            },
            false,
        ),
    ];
    for (number, (read, conflict)) in reads.into_iter().enumerate() {
        let (db, t) = database();
        put_all(&db, t, &["a", "b"]);
        let mut tx = db.begin();
        read(&tx, t);
        tx.put(t, b"z", b"x").unwrap();
        commit(&db, |tx| tx.delete_range(t, &range("b", "c")));
        let refused = matches!(tx.commit(), Err(CommitError::Conflict { .. }));
        assert_eq!(refused, conflict, "read {number}");
    }
}

/// What a transaction has deleted by a range it does not read, so it depends on nothing there.
#[test]
fn a_scan_over_a_range_that_was_deleted_before_reads_nothing_of_it() {
    let (db, t) = database();
    put_all(&db, t, &["a", "b", "c"]);
    let mut tx = db.begin();
    tx.delete_range(t, &range("b", "c")).unwrap();
    assert_eq!(rows(&tx, t), ["a=x", "c=x"]);
    assert_eq!(get(&tx, t, "b"), None);
    commit(&db, |tx| tx.put(t, b"bb", b"x"));
    tx.commit().unwrap().wait().unwrap();
    assert_eq!(rows(&db.snapshot(), t), ["a=x", "c=x"]);
    let mut tx = db.begin();
    tx.delete_range(t, &range("b", "c")).unwrap();
    rows(&tx, t);
    commit(&db, |tx| tx.put(t, b"d", b"x"));
    assert!(matches!(tx.commit(), Err(CommitError::Conflict { .. })));
}

#[test]
fn a_merge_is_seen_joined_with_what_lies_beneath() {
    let (db, t) = database();
    put_all(&db, t, &["below", "deleted", "put", "ranged"]);
    let mut tx = db.begin();
    tx.delete(t, b"deleted").unwrap();
    tx.put(t, b"put", b"p").unwrap();
    tx.delete_range(t, &KeyRange::prefix(b"r")).unwrap();
    for key in ["below", "deleted", "new", "put", "ranged"] {
        tx.merge(t, key.as_bytes(), b"c").unwrap();
        tx.merge(t, key.as_bytes(), b"ab").unwrap();
    }
    let expected = [
        "below=abcx",
        "deleted=abc",
        "new=abc",
        "put=abcp",
        "ranged=abc",
    ];
    assert_eq!(rows(&tx, t), expected);
    for row in expected {
        let (key, value) = row.split_once('=').unwrap();
        assert_eq!(get(&tx, t, key).as_deref(), Some(value));
    }
    tx.commit().unwrap().wait().unwrap();
    assert_eq!(rows(&db.snapshot(), t), expected);
}

/// To look at what was merged is to read what lies beneath.
#[test]
fn a_merge_that_was_looked_at_conflicts_with_a_change_beneath() {
    for scanned in [false, true] {
        let (db, t) = database();
        put_all(&db, t, &["a"]);
        let mut tx = db.begin();
        tx.merge(t, b"a", b"m").unwrap();
        if scanned {
            assert_eq!(rows(&tx, t), ["a=mx"]);
        } else {
            assert_eq!(get(&tx, t, "a").as_deref(), Some("mx"));
        }
        commit(&db, |tx| tx.merge(t, b"a", b"n"));
        assert!(matches!(tx.commit(), Err(CommitError::Conflict { .. })));
    }
}

#[test]
fn a_tree_that_cannot_merge_says_so() {
    let (db, _) = database();
    let mut tx = db.begin();
    let plain = tx.create_tree("plain").unwrap();
    let refused = tx.merge(plain, b"a", b"b").unwrap_err();
    let text = format!("tree {plain} is of kind \"rows\", which cannot merge values");
    assert_eq!(refused.to_string(), text);
}

#[test]
fn the_feed_shows_ranges_before_the_keys_of_their_tree() {
    let (db, t) = database();
    let other = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree("other")?))
        .unwrap();
    commit(&db, |tx| {
        tx.put(other, b"k", b"v")?;
        tx.merge(t, b"m", b"o")?;
        tx.delete_range(t, &range("x", "y"))?;
        tx.delete_range(t, &range("y", "z"))?;
        tx.delete_range(t, &KeyRange::prefix(b"p"))?;
        tx.put(t, b"a", b"v")?;
        tx.delete_range(
            other,
            &KeyRange::from_bounds(Bound::Included(b"z".to_vec()), Bound::Unbounded),
        )
    });
    let last = db.snapshot().index();
    let mut feed = db.changes(last).unwrap();
    let change = feed.try_next().unwrap().unwrap();
    assert_eq!(change.index, last);
    let shown: Vec<(TreeId, Bytes, RowChange)> = change
        .mutations
        .into_iter()
        .map(|m| (m.tree, m.key, m.change))
        .collect();
    let ranged = |end: Option<&'static str>| RowChange::DeleteRange {
        end: end.map(Into::into),
    };
    let expected = [
        (t, "p".into(), ranged(Some("q"))),
        // Those that touch are one.
        (t, "x".into(), ranged(Some("z"))),
        (t, "a".into(), RowChange::Put("v".into())),
        (t, "m".into(), RowChange::Merge("o".into())),
        (other, "z".into(), ranged(None)),
        (other, "k".into(), RowChange::Put("v".into())),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_range_deleted_in_a_tree_of_this_transaction_leaves_no_trace() {
    let (db, _) = database();
    commit(&db, |tx| {
        let new = tx.create_tree_of("new", &SETS)?;
        tx.put(new, b"a", b"x")?;
        tx.delete_range(new, &KeyRange::all())?;
        tx.merge(new, b"b", b"m")
    });
    let new = db.snapshot().tree("new").unwrap().unwrap();
    assert_eq!(rows(&db.snapshot(), new), ["b=m"]);
    let mut feed = db.changes(db.snapshot().index()).unwrap();
    let of_tree: Vec<RowChange> = feed
        .try_next()
        .unwrap()
        .unwrap()
        .mutations
        .into_iter()
        .filter(|mutation| mutation.tree == new)
        .map(|mutation| mutation.change)
        .collect();
    assert_eq!(of_tree, [RowChange::Put("m".into())]);
}

#[test]
fn a_tree_dropped_after_a_range_of_it_was_deleted_leaves_only_the_drop() {
    let (db, t) = database();
    commit(&db, |tx| {
        tx.delete_range(t, &KeyRange::all())?;
        tx.drop_tree("t").map(drop)
    });
    let mut feed = db.changes(db.snapshot().index()).unwrap();
    let change = feed.try_next().unwrap().unwrap();
    assert!(change.mutations.iter().all(|m| m.tree == TreeId::new(0)));
}

#[test]
fn too_many_ranges_and_bounds_over_the_limit_are_refused() {
    let (db, t) = database();
    let mut tx = db.begin();
    let numbered = |from: usize, to: usize| {
        let key = |number| u32::try_from(number).unwrap().to_be_bytes().to_vec();
        KeyRange::from_bounds(Bound::Included(key(from)), Bound::Excluded(key(to)))
    };
    // Those that touch are one.
    for number in 0..2 * RANGE_DELETES_MAX {
        let range = numbered(number, number + 1);
        tx.delete_range(t, &range).unwrap();
    }
    for number in 1..RANGE_DELETES_MAX {
        let number = 1_000_000 + 2 * number;
        let range = numbered(number, number + 1);
        tx.delete_range(t, &range).unwrap();
    }
    let refused = tx.delete_range(t, &KeyRange::prefix(b"x"));
    assert!(matches!(refused, Err(WriteError::TooManyRanges { .. })));
    let key = vec![1; nexusbase_db::KEY_BYTES_MAX];
    let all_but = KeyRange::from_bounds(Bound::Excluded(key.clone()), Bound::Unbounded);
    db.begin().delete_range(t, &all_but).unwrap();
    let longer = KeyRange::prefix(&[&key[..], &[1, 1]].concat());
    let refused = db.begin().delete_range(t, &longer);
    assert!(matches!(refused, Err(WriteError::KeyTooLarge { .. })));
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn step(rng: &mut SimRng, tx: &mut Transaction, t: TreeId, model: &mut Model) {
    let key = |rng: &mut SimRng| vec![b'a' + u8::try_from(rng.below(12)).unwrap()];
    let (at, value) = (key(rng), key(rng));
    match rng.below(8) {
        0 | 1 => {
            tx.put(t, &at, &value).unwrap();
            model.insert(at, value);
        }
        2 => {
            tx.delete(t, &at).unwrap();
            model.remove(&at);
        }
        3 | 4 => {
            tx.merge(t, &at, &value).unwrap();
            let joined = model.get(&at).map(|below| union(below, &value));
            model.insert(at, joined.unwrap_or(value));
        }
        _ => {
            let end = (rng.below(4) > 0).then(|| key(rng));
            let range = KeyRange::from_bounds(
                Bound::Included(at),
                end.map_or(Bound::Unbounded, Bound::Excluded),
            );
            tx.delete_range(t, &range).unwrap();
            model.retain(|key, _| !range.contains(key));
        }
    }
}

/// Against a map that every change is made to at once: inside the transaction after every
/// change, in both directions and by key; after the commit; and after recovery.
#[test]
fn any_mix_of_changes_does_the_same_in_the_transaction_after_it_and_after_recovery() {
    for seed in 0..40 {
        let mut rng = SimRng::new(seed);
        let disk = SimDisk::new(seed);
        let db = open(&disk);
        let t = db
            .transact(|tx| Ok::<_, Error>(tx.create_tree_of("t", &SETS)?))
            .unwrap();
        let mut model = Model::new();
        let same = |view: &dyn View, model: &Model| {
            let expected: Vec<String> = model
                .iter()
                .map(|(key, value)| format!("{}={}", text(key), text(value)))
                .collect();
            assert_eq!(rows(view, t), expected, "seed {seed}");
            for key in b'a'..=b'l' {
                let found = view.get(t, &[key]).unwrap();
                assert_eq!(found.as_deref(), model.get(&[key][..]).map(Vec::as_slice));
            }
        };
        for _ in 0..8 {
            let before = db.snapshot();
            let old = model.clone();
            let mut tx = db.begin();
            for _ in 0..rng.below(12) {
                step(&mut rng, &mut tx, t, &mut model);
                same(&tx, &model);
            }
            tx.commit().unwrap().wait().unwrap();
            same(&db.snapshot(), &model);
            same(&before, &old);
        }
        db.close().unwrap();
        disk.crash(seed);
        let db = open(&disk);
        same(&db.snapshot(), &model);
        assert!(db.snapshot().index() >= Index::new(1));
    }
}
