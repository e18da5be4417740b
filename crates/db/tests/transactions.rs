//! What transactions promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use nexusbase_db::{CommitError, Database, Direction, Error, KeyRange, TreeId, View, WriteError};

fn database() -> Database {
    Database::in_memory().unwrap()
}

fn tree(db: &Database, name: &str) -> TreeId {
    db.transact(|tx| Ok::<_, Error>(tx.create_tree(name)?))
        .unwrap()
}

fn put(db: &Database, tree: TreeId, key: &str, value: &str) {
    db.transact(|tx| Ok::<_, Error>(tx.put(tree, key.as_bytes(), value.as_bytes())?))
        .unwrap();
}

fn rows(view: &dyn View, tree: TreeId, direction: Direction) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    view.scan(tree, KeyRange::all(), direction)
        .unwrap()
        .map(|row| row.map(|(key, value)| (text(&key), text(&value))).unwrap())
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_transaction_sees_its_own_writes_laid_over_its_snapshot() {
    let db = database();
    let t = tree(&db, "t");
    for key in ["a", "c", "e"] {
        put(&db, t, key, "old");
    }
    let mut tx = db.begin();
    tx.put(t, b"b", b"new").unwrap();
    tx.put(t, b"c", b"new").unwrap();
    tx.delete(t, b"e").unwrap();
    put(&db, t, "d", "others");

    let expected = pairs(&[("a", "old"), ("b", "new"), ("c", "new")]);
    assert_eq!(rows(&tx, t, Direction::Forward), expected);
    let reversed: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(rows(&tx, t, Direction::Reverse), reversed);
    assert_eq!(tx.get(t, b"e").unwrap(), None);
    assert_eq!(tx.get(t, b"b").unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn what_is_not_committed_is_seen_by_nobody() {
    let db = database();
    let t = tree(&db, "t");
    let mut tx = db.begin();
    tx.put(t, b"a", b"1").unwrap();
    assert_eq!(db.snapshot().get(t, b"a").unwrap(), None);
    drop(tx);
    assert_eq!(db.snapshot().get(t, b"a").unwrap(), None);
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let db = database();
    let t = tree(&db, "t");
    put(&db, t, "a", "1");
    let before = db.snapshot();
    put(&db, t, "a", "2");
    db.transact(|tx| Ok::<_, Error>(tx.drop_tree("t")?))
        .unwrap();
    assert_eq!(before.get(t, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(before.tree("t").unwrap(), Some(t));
    assert_eq!(db.snapshot().tree("t").unwrap(), None);
}

#[test]
fn a_changed_key_that_was_read_is_a_conflict() {
    let db = database();
    let t = tree(&db, "t");
    let mut tx = db.begin();
    tx.get(t, b"a").unwrap();
    tx.put(t, b"b", b"1").unwrap();
    put(&db, t, "a", "1");
    assert!(matches!(tx.commit(), Err(CommitError::Conflict { .. })));
}

#[test]
fn a_row_that_appears_in_a_range_that_was_read_is_a_conflict() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let db = database();
        let t = tree(&db, "t");
        put(&db, t, "m", "1");
        let mut tx = db.begin();
        assert_eq!(rows(&tx, t, direction).len(), 1);
        tx.put(t, b"x", b"1").unwrap();
        put(&db, t, "a", "1");
        assert!(
            matches!(tx.commit(), Err(CommitError::Conflict { .. })),
            "{direction:?}"
        );
    }
}

#[test]
fn a_scan_conflicts_only_as_far_as_it_was_read() {
    let db = database();
    let t = tree(&db, "t");
    for key in ["a", "b", "c", "d", "e", "f"] {
        put(&db, t, key, "1");
    }
    let mut tx = db.begin();
    let first = tx
        .scan(t, KeyRange::all(), Direction::Forward)
        .unwrap()
        .next();
    assert!(first.is_some());
    tx.put(t, b"a", b"2").unwrap();
    put(&db, t, "f", "2");
    tx.commit().unwrap().wait().unwrap();
}

#[test]
fn blind_writes_do_not_conflict() {
    let db = database();
    let t = tree(&db, "t");
    let mut tx = db.begin();
    tx.put(t, b"a", b"1").unwrap();
    put(&db, t, "a", "2");
    tx.commit().unwrap().wait().unwrap();
    assert_eq!(
        db.snapshot().get(t, b"a").unwrap().as_deref(),
        Some(&b"1"[..])
    );
}

#[test]
fn a_dropped_tree_refuses_writes_also_from_transactions_that_saw_it() {
    let db = database();
    let t = tree(&db, "t");
    let mut tx = db.begin();
    tx.put(t, b"a", b"1").unwrap();
    db.transact(|tx| Ok::<_, Error>(tx.drop_tree("t")?))
        .unwrap();
    assert!(matches!(tx.commit(), Err(CommitError::Conflict { .. })));
    let refused = db.begin().put(t, b"a", b"1");
    assert!(matches!(refused, Err(WriteError::NoSuchTree(_))));
}

#[test]
fn a_transaction_cannot_read_a_tree_that_it_has_dropped() {
    let db = database();
    let t = tree(&db, "t");
    put(&db, t, "a", "1");
    let mut tx = db.begin();
    tx.drop_tree("t").unwrap();
    tx.get(t, b"a").unwrap_err();
    tx.scan(t, KeyRange::all(), Direction::Forward).unwrap_err();
}

#[test]
fn a_tree_created_and_dropped_in_one_transaction_leaves_nothing() {
    let db = database();
    db.transact(|tx| {
        let t = tx.create_tree("t")?;
        tx.put(t, b"a", b"1")?;
        tx.drop_tree("t")?;
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(db.snapshot().trees("").unwrap(), vec![]);
    tree(&db, "t");
}

#[test]
fn limits_are_refused_before_anything_is_written() {
    let db = database();
    let t = tree(&db, "t");
    let mut tx = db.begin();
    let key = vec![0; nexusbase_db::KEY_BYTES_MAX + 1];
    assert!(matches!(
        tx.put(t, &key, b""),
        Err(WriteError::KeyTooLarge { .. })
    ));
    let value = vec![0; nexusbase_db::VALUE_BYTES_MAX + 1];
    assert!(matches!(
        tx.put(t, b"a", &value),
        Err(WriteError::ValueTooLarge { .. })
    ));
    let value = vec![0; nexusbase_db::TRANSACTION_BYTES_MAX / 2];
    tx.put(t, b"a", &value).unwrap();
    assert!(matches!(
        tx.put(t, b"b", &value),
        Err(WriteError::TransactionTooLarge { .. })
    ));
    tx.put(t, b"a", b"small").unwrap();
    tx.put(t, b"b", &value).unwrap();
    tx.commit().unwrap().wait().unwrap();
}

/// Accounts are moved between by many threads at once; the sum must hold in every snapshot.
#[test]
fn money_is_neither_made_nor_lost_by_concurrent_transfers() {
    const ACCOUNTS: u64 = 8;
    let db = database();
    let t = tree(&db, "accounts");
    for account in 0..ACCOUNTS {
        put(&db, t, &account.to_string(), "100");
    }
    let total = move |view: &dyn View| -> i64 {
        rows(view, t, Direction::Forward)
            .iter()
            .map(|row| row.1.parse::<i64>().unwrap())
            .sum()
    };
    let transfer = move |tx: &mut nexusbase_db::Transaction, from: u64, to: u64, sum: i64| {
        let balance = |tx: &nexusbase_db::Transaction, account: u64| {
            let value = tx.get(t, account.to_string().as_bytes()).unwrap().unwrap();
            std::str::from_utf8(&value).unwrap().parse::<i64>().unwrap()
        };
        let (a, b) = (balance(tx, from), balance(tx, to));
        if from != to && a >= sum {
            tx.put(
                t,
                from.to_string().as_bytes(),
                (a - sum).to_string().as_bytes(),
            )
            .unwrap();
            tx.put(
                t,
                to.to_string().as_bytes(),
                (b + sum).to_string().as_bytes(),
            )
            .unwrap();
        }
    };
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let checker = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(total(&db.snapshot()), 100 * ACCOUNTS as i64);
                seen += 1;
            }
            seen
        });
        let writers: Vec<_> = (0..8u64)
            .map(|thread| {
                let db = &db;
                scope.spawn(move || {
                    let mut rng = nexusbase_io::sim::SimRng::new(thread);
                    for _ in 0..200 {
                        let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
                        let sum = rng.below(30) as i64;
                        db.transact(|tx| {
                            transfer(tx, from, to, sum);
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                    }
                })
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(checker.join().unwrap() > 0);
    });
    assert_eq!(total(&db.snapshot()), 100 * ACCOUNTS as i64);
}

/// Write skew: of two doctors on call one may leave, if the other stays. Each transaction
/// reads both rows and writes one; under snapshot isolation both could leave.
#[test]
fn two_doctors_never_leave_at_once() {
    let db = database();
    let t = tree(&db, "on call");
    for round in 0..200 {
        put(&db, t, "alice", "on");
        put(&db, t, "bob", "on");
        let leave = |name: &'static str| {
            let db = &db;
            move || {
                db.transact(|tx| {
                    if rows(tx, t, Direction::Forward)
                        .iter()
                        .all(|row| row.1 == "on")
                    {
                        tx.put(t, name.as_bytes(), b"off")?;
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(leave("alice"));
            scope.spawn(leave("bob"));
        });
        let on = rows(&db.snapshot(), t, Direction::Forward);
        assert_eq!(
            on.iter().filter(|row| row.1 == "on").count(),
            1,
            "round {round}"
        );
    }
}
