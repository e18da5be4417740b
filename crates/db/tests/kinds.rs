//! What kinds of trees promise: that they are known again, and that counted trees can be counted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use nexusbase_db::{
    CommitError, Database, Direction, Error, Index, KeyRange, OpenError, Options, RowChange,
    Transaction, TreeId, TreeKind, View, WriteError,
};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimDisk, SimRng};

const COUNTED: TreeKind = TreeKind {
    name: "counted",
    merge: Some(|a, _| a.to_vec()),
    counted: true,
    ..TreeKind::ROWS
};

fn try_open(disk: &SimDisk, kinds: &[TreeKind]) -> Result<Database, OpenError> {
    let options = Options {
        segment_bytes: 1 << 20,
        kinds: kinds.to_vec(),
        housekeeping_thread: false,
        env: Env {
            fs: Arc::new(disk.for_this_life()),
            ..Env::os()
        },
        ..Options::default()
    };
    Database::open_with("/data", options)
}

fn database() -> (Database, TreeId) {
    let db = try_open(&SimDisk::new(1), &[COUNTED]).unwrap();
    let tree = db
        .transact(|tx| Ok::<_, Error>(tx.create_tree_of("t", &COUNTED)?))
        .unwrap();
    (db, tree)
}

fn commit(
    db: &Database,
    work: impl Fn(&mut Transaction) -> Result<(), WriteError>,
) -> Result<(), Error> {
    db.transact(|tx| Ok::<_, Error>(work(tx)?))
}

/// The changes of `tree` by the commits from `from` on, each as +1 for a put and -1 for a delete.
fn logged(db: &Database, tree: TreeId, from: Index) -> Vec<(Vec<u8>, i64)> {
    let mut feed = db.changes(from).unwrap();
    std::iter::from_fn(|| feed.try_next().unwrap())
        .flat_map(|change| change.mutations)
        .filter(|mutation| mutation.tree == tree)
        .map(|mutation| {
            let is_put = matches!(mutation.change, RowChange::Put(_));
            assert!(is_put || mutation.change == RowChange::Delete);
            (mutation.key.to_vec(), if is_put { 1 } else { -1 })
        })
        .collect()
}

#[test]
fn a_tree_keeps_its_kind_over_a_reopening() {
    let disk = SimDisk::new(1);
    let db = try_open(&disk, &[COUNTED]).unwrap();
    db.transact(|tx| {
        tx.create_tree("plain")?;
        let counted = tx.create_tree_of("counted", &COUNTED)?;
        tx.put(counted, b"a", b"1")?;
        Ok::<_, Error>(())
    })
    .unwrap();
    db.close().unwrap();
    let db = try_open(&disk, &[COUNTED]).unwrap();
    let snapshot = db.snapshot();
    let kind = |name| {
        let tree = snapshot.tree(name).unwrap().unwrap();
        assert_eq!(snapshot.tree_name(tree).unwrap().as_deref(), Some(name));
        (tree, snapshot.tree_kind(tree).unwrap().unwrap())
    };
    assert_eq!(kind("plain").1, "rows");
    let (counted, name) = kind("counted");
    assert_eq!(name, "counted");
    let refused = db.begin().put(counted, b"a", b"2");
    assert!(matches!(refused, Err(WriteError::CountedTree(_))));
}

#[test]
fn a_tree_of_an_unknown_kind_is_refused_by_name_and_nothing_is_lost() {
    let disk = SimDisk::new(1);
    let db = try_open(&disk, &[COUNTED]).unwrap();
    commit(&db, |tx| tx.create_tree_of("sums", &COUNTED).map(drop)).unwrap();
    db.close().unwrap();
    drop(db);
    let refused = try_open(&disk, &[]).unwrap_err();
    assert!(matches!(refused, OpenError::UnknownKind { .. }));
    let expected = "tree \"sums\" is of kind \"counted\", which this program does not know";
    assert!(refused.to_string().starts_with(expected), "{refused}");
    try_open(&disk, &[COUNTED]).unwrap();
}

#[test]
fn a_kind_that_the_database_was_not_opened_with_cannot_be_used() {
    let db = Database::in_memory().unwrap();
    let refused = db.begin().create_tree_of("t", &COUNTED);
    assert!(matches!(refused, Err(WriteError::UnknownKind("counted"))));
    assert!(matches!(
        try_open(&SimDisk::new(1), &[COUNTED, COUNTED]),
        Err(OpenError::Kind { .. })
    ));
}

#[test]
fn in_a_counted_tree_a_value_never_changes() {
    let (db, t) = database();
    commit(&db, |tx| tx.put(t, b"a", b"1")).unwrap();
    let index = db.snapshot().index();
    commit(&db, |tx| tx.put(t, b"a", b"1")).unwrap();
    commit(&db, |tx| tx.delete(t, b"b")).unwrap();
    assert_eq!(db.snapshot().index(), index, "nothing to write");
    let refused = db.begin().put(t, b"a", b"2").unwrap_err();
    assert!(matches!(refused, WriteError::CountedTree(_)), "{refused}");
    let mut tx = db.begin();
    tx.put(t, b"b", b"1").unwrap();
    assert!(tx.put(t, b"b", b"2").is_err());
    // Also not by way of a delete: the log would show a put of a key that is there.
    let mut tx = db.begin();
    tx.delete(t, b"a").unwrap();
    assert!(tx.put(t, b"a", b"2").is_err());
    assert_eq!(tx.get(t, b"a").unwrap(), None);
}

#[test]
fn in_a_counted_tree_what_undoes_itself_leaves_no_trace() {
    let (db, t) = database();
    commit(&db, |tx| tx.put(t, b"a", b"1")).unwrap();
    let index = db.snapshot().index();
    commit(&db, |tx| {
        tx.put(t, b"new", b"1")?;
        tx.delete(t, b"new")?;
        tx.delete(t, b"a")?;
        tx.put(t, b"a", b"1")
    })
    .unwrap();
    assert_eq!(db.snapshot().index(), index);
    assert_eq!(
        db.snapshot().get(t, b"a").unwrap().as_deref(),
        Some(&b"1"[..])
    );
}

#[test]
fn in_a_counted_tree_writes_that_meet_are_conflicts() {
    type Work = fn(&mut Transaction, TreeId) -> Result<(), WriteError>;
    let works: [Work; 2] = [
        |tx, t| tx.put(t, b"new", b"1"),
        |tx, t| tx.delete(t, b"old"),
    ];
    for work in works {
        let (db, t) = database();
        commit(&db, |tx| tx.put(t, b"old", b"1")).unwrap();
        let mut tx = db.begin();
        work(&mut tx, t).unwrap();
        commit(&db, |tx| work(tx, t)).unwrap();
        assert!(matches!(tx.commit(), Err(CommitError::Conflict { .. })));
    }
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let (db, t) = database();
    let refused = db.begin().delete_range(t, &KeyRange::all()).unwrap_err();
    let text = format!("tree {t} is of kind \"counted\", which cannot delete a range of keys");
    assert_eq!(refused.to_string(), text);
    let refused = db.begin().merge(t, b"a", b"1");
    assert!(matches!(refused, Err(WriteError::Unsupported { .. })));
}

/// Whatever a transaction tries, of what reaches the log every put is of a key that is not there
/// and every delete of one that is.
#[test]
fn every_put_in_the_log_of_a_counted_tree_inserts_and_every_delete_removes() {
    for seed in 0..30 {
        let mut rng = SimRng::new(seed);
        let (db, t) = database();
        for _ in 0..20 {
            let mut tx = db.begin();
            for _ in 0..rng.below(10) {
                let key = [u8::try_from(rng.below(6)).unwrap()];
                if rng.below(2) == 0 {
                    // Refused or not.
                    let _ = tx.put(t, &key, &[u8::try_from(rng.below(2)).unwrap()]);
                } else {
                    tx.delete(t, &key).unwrap();
                }
            }
            let seen: Vec<_> = tx
                .scan(t, KeyRange::all(), Direction::Forward)
                .unwrap()
                .map(Result::unwrap)
                .collect();
            tx.commit().unwrap().wait().unwrap();
            let after: Vec<_> = db
                .snapshot()
                .scan(t, KeyRange::all(), Direction::Forward)
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(seen, after);
        }
        let mut there = BTreeSet::new();
        for (key, weight) in logged(&db, t, Index::new(1)) {
            let changed = if weight > 0 {
                there.insert(key)
            } else {
                there.remove(&key)
            };
            assert!(changed, "seed {seed}");
        }
    }
}
