//! Unique indexes: what counts as the same, and every race for a key.

use std::ops::ControlFlow;

use nexusbase_db::{CommitError, Database, Transaction};
use nexusbase_documents::store::{BuildProgress, Built, OnError};
use nexusbase_documents::{Collection, Documents, Error};
use nexusbase_io::sim::{SimClock, SimDisk};

use super::{collection, document, findings, id, index, insert, on, open, partial, rows};

fn is_duplicate<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| matches!(error, Error::DuplicateKey { .. }))
}

fn is_conflict(tx: Transaction) -> bool {
    match tx.commit() {
        Ok(handle) => {
            handle.wait().unwrap();
            false
        }
        Err(error) => matches!(error, CommitError::Conflict { .. }),
    }
}

/// A collection with a unique index on `a` and the documents 1 and 2, with these values.
fn unique() -> Collection {
    let things = collection();
    index(&things, &on("a").unique());
    insert(&things, r#"{"_id":1,"a":1}"#).unwrap();
    insert(&things, r#"{"_id":2,"a":2}"#).unwrap();
    things
}

fn begin(things: &Collection) -> Transaction {
    things.documents().database().begin()
}

#[test]
fn values_that_are_equal_collide_and_others_do_not() {
    for (first, second, collide) in [
        ("1", "1.0", true),
        ("1", r#"{"$numberLong":"1"}"#, true),
        ("1", r#"{"$numberDecimal":"1.00"}"#, true),
        ("1", r#""1""#, false),
        ("0.0", "-0.0", true),
        (
            r#"{"$numberDouble":"NaN"}"#,
            r#"{"$numberDecimal":"NaN"}"#,
            true,
        ),
        (r#"{"x":1,"y":2}"#, r#"{"x":1,"y":2}"#, true),
        (r#"{"x":1,"y":2}"#, r#"{"y":2,"x":1}"#, false),
        ("[1,2]", "[2,3]", true),
        ("[1,2]", "[3,4]", false),
        ("[1,1,1]", "2", false),
        ("[]", "null", false),
        ("[]", "[]", true),
        ("null", "null", true),
    ] {
        let things = collection();
        index(&things, &on("a").unique());
        insert(&things, &format!(r#"{{"_id":1,"a":{first}}}"#)).unwrap();
        let second = insert(&things, &format!(r#"{{"_id":2,"a":{second}}}"#));
        assert_eq!(is_duplicate(second), collide, "{first}");
    }
    let things = collection();
    index(&things, &on("a").unique());
    insert(&things, r#"{"_id":1}"#).unwrap();
    assert!(is_duplicate(insert(&things, r#"{"_id":2,"b":1}"#)));
    assert!(is_duplicate(insert(&things, r#"{"_id":2,"a":null}"#)));
}

#[test]
fn the_error_names_the_values_and_the_other_document() {
    let things = collection();
    index(&things, &on("a,-b.c").unique().named("both"));
    insert(&things, r#"{"_id":"x","a":"é","b":{"c":1}}"#).unwrap();
    let error = insert(&things, r#"{"_id":"y","a":"é","b":{"c":1.0}}"#).unwrap_err();
    let Error::DuplicateKey {
        collection,
        index,
        values,
        id,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((&*collection, &*index, &*id), ("things", "both", "x"));
    assert_eq!(values, r#"{"a":"é","b.c":1.0}"#);
}

#[test]
fn sparse_and_partial_unique_indexes_refuse_only_what_they_hold() {
    let things = collection();
    index(&things, &on("a").unique().sparse());
    index(&things, &partial("b", r#"{"live":true}"#).unique());
    insert(&things, r#"{"_id":1,"live":true,"b":1}"#).unwrap();
    insert(&things, r#"{"_id":2,"b":1}"#).unwrap();
    insert(&things, r#"{"_id":3,"a":null,"b":1}"#).unwrap();
    assert!(is_duplicate(insert(&things, r#"{"_id":4,"a":null}"#)));
    assert!(is_duplicate(insert(
        &things,
        r#"{"_id":4,"live":true,"b":1}"#
    )));
    // A change into the filter counts as well.
    let changed = things.replace(id(2), &document(r#"{"live":true,"b":1}"#));
    assert!(is_duplicate(changed));
    things.replace(id(1), &document(r#"{"b":1}"#)).unwrap();
    things
        .replace(id(2), &document(r#"{"live":true,"b":1}"#))
        .unwrap();
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn a_document_that_keeps_its_values_does_not_collide_with_itself() {
    let things = unique();
    assert!(
        things
            .replace(id(1), &document(r#"{"a":1,"b":1}"#))
            .unwrap()
    );
    assert!(
        things
            .replace(id(1), &document(r#"{"a":[1,3],"b":1}"#))
            .unwrap()
    );
    assert!(
        things
            .replace(id(1), &document(r#"{"a":[3,1,4]}"#))
            .unwrap()
    );
    assert!(is_duplicate(
        things.replace(id(1), &document(r#"{"a":[3,2]}"#))
    ));
    assert_eq!(rows(&things, "a").len(), 4);
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn a_refused_document_leaves_nothing_in_its_transaction() {
    let things = unique();
    index(&things, &on("b,c"));
    let documents = things.documents();
    let mut tx = documents.database().begin();
    let mut within = things.within(&mut tx);
    assert!(is_duplicate(
        within.insert(&document(r#"{"_id":3,"a":1,"b":5}"#))
    ));
    assert!(is_duplicate(
        within.replace(id(2), &document(r#"{"a":1,"b":5}"#))
    ));
    let parallel = within.insert(&document(r#"{"_id":4,"a":9,"b":[1],"c":[2]}"#));
    assert!(matches!(parallel, Err(Error::ParallelArrays { .. })));
    within.insert(&document(r#"{"_id":5,"a":5}"#)).unwrap();
    tx.commit().unwrap().wait().unwrap();
    assert_eq!(
        (rows(&things, "a").len(), rows(&things, "b,c").len()),
        (3, 3)
    );
    assert_eq!(findings(documents), [""; 0]);
    let many = [
        r#"{"_id":6,"a":6}"#,
        r#"{"_id":7,"a":1}"#,
        r#"{"_id":8,"a":8}"#,
    ];
    let many: Vec<_> = many.into_iter().map(document).collect();
    let outcomes = things.insert_each(&many, OnError::Skip).unwrap();
    let good: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true]);
}

#[test]
fn of_two_inserts_of_one_key_the_second_conflicts_and_then_is_refused() {
    let things = unique();
    let (mut one, mut two) = (begin(&things), begin(&things));
    let (mine, yours) = (
        document(r#"{"_id":10,"a":7}"#),
        document(r#"{"_id":11,"a":7}"#),
    );
    things.within(&mut one).insert(&mine).unwrap();
    things.within(&mut two).insert(&yours).unwrap();
    assert!(!is_conflict(one));
    assert!(is_conflict(two));
    assert!(is_duplicate(things.insert(&yours)));
}

#[test]
fn an_insert_and_an_update_into_one_key_cannot_both_happen() {
    for insert_first in [true, false] {
        let things = unique();
        let (mut inserting, mut updating) = (begin(&things), begin(&things));
        let (new, changed) = (document(r#"{"_id":10,"a":7}"#), document(r#"{"a":[2,7]}"#));
        things.within(&mut inserting).insert(&new).unwrap();
        things
            .within(&mut updating)
            .replace(id(2), &changed)
            .unwrap();
        if insert_first {
            assert!(!is_conflict(inserting));
            assert!(is_conflict(updating));
            assert!(is_duplicate(things.replace(id(2), &changed)));
        } else {
            assert!(!is_conflict(updating));
            assert!(is_conflict(inserting));
            assert!(is_duplicate(things.insert(&new)));
        }
        assert_eq!(findings(things.documents()), [""; 0]);
    }
}

#[test]
fn a_swap_of_two_keys_fails_at_its_first_statement_and_goes_by_a_third_value() {
    let things = unique();
    let mut tx = begin(&things);
    let mut within = things.within(&mut tx);
    assert!(is_duplicate(within.replace(id(1), &document(r#"{"a":2}"#))));
    within.replace(id(1), &document(r#"{"a":"none"}"#)).unwrap();
    within.replace(id(2), &document(r#"{"a":1}"#)).unwrap();
    within.replace(id(1), &document(r#"{"a":2}"#)).unwrap();
    assert!(!is_conflict(tx));
    assert_eq!(rows(&things, "a").len(), 2);
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn a_key_that_is_deleted_is_free_in_the_same_transaction_and_not_before_in_others() {
    let things = unique();
    let (mut one, mut two) = (begin(&things), begin(&things));
    let mut within = things.within(&mut one);
    within.delete(id(1)).unwrap();
    within.insert(&document(r#"{"_id":10,"a":1}"#)).unwrap();
    // The other does not see it, so for it the key is taken.
    let other = document(r#"{"_id":11,"a":1}"#);
    assert!(is_duplicate(things.within(&mut two).insert(&other)));
    things.within(&mut two).delete(id(1)).unwrap();
    things.within(&mut two).insert(&other).unwrap();
    assert!(!is_conflict(one));
    assert!(is_conflict(two));
    assert_eq!(findings(things.documents()), [""; 0]);
    assert_eq!(rows(&things, "a").len(), 2);
}

#[test]
fn documents_whose_arrays_overlap_cannot_both_be_inserted() {
    let things = unique();
    let (mut one, mut two) = (begin(&things), begin(&things));
    let (mine, yours) = (
        document(r#"{"_id":10,"a":[7,8]}"#),
        document(r#"{"_id":11,"a":[8,9]}"#),
    );
    things.within(&mut one).insert(&mine).unwrap();
    things.within(&mut two).insert(&yours).unwrap();
    assert!(!is_conflict(one));
    assert!(is_conflict(two));
    assert!(is_duplicate(things.insert(&yours)));
}

#[test]
fn threads_that_race_for_keys_get_each_key_once() {
    const KEYS: i32 = 40;
    let things = collection();
    index(&things, &on("a").unique());
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let things = &things;
                scope.spawn(move || {
                    let insert = |key: &i32| {
                        let text = format!(r#"{{"_id":{},"a":{key}}}"#, thread * 1000 + key);
                        match things.insert(&document(&text)) {
                            Ok(_) => true,
                            Err(Error::DuplicateKey { .. }) => false,
                            Err(error) => panic!("{error}"),
                        }
                    };
                    (0..KEYS).filter(insert).count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!((won, rows(&things, "a").len()), (40, 40));
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn a_build_over_duplicates_names_them_and_leaves_no_index() {
    let things = collection();
    let all: Vec<_> = (0..6000)
        .map(|n| document(&format!(r#"{{"_id":{n},"a":{}}}"#, n % 5985)))
        .collect();
    things.insert_many(&all).unwrap();
    let failed = things.create_index(&on("a").unique(), |_| ()).unwrap_err();
    let text = failed.to_string();
    let Error::DuplicateKeys { duplicates, .. } = failed else {
        panic!("{failed}");
    };
    let found: Vec<_> = duplicates
        .iter()
        .map(|one| (one.values.clone(), one.ids.join(" ")))
        .collect();
    let expected: Vec<_> = (0..10)
        .map(|n| (format!("{{\"a\":{n}}}"), format!("{n} {}", n + 5985)))
        .collect();
    assert_eq!(found, expected);
    assert!(text.contains(r#"{"a":3} of 3, 5988"#), "{text}");
    assert!(things.info().unwrap().unwrap().indexes.is_empty());
    insert(&things, r#"{"_id":-1,"a":0}"#).unwrap();
}

#[test]
fn a_build_that_was_stopped_behind_duplicates_finds_them_again() {
    let things = collection();
    let all: Vec<_> = (0..9000)
        .map(|n| document(&format!(r#"{{"_id":{n},"a":{}}}"#, n.max(1))))
        .collect();
    things.insert_many(&all).unwrap();
    let spec = on("a").unique();
    let stop = |progress: BuildProgress| {
        if progress.done > 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    assert_eq!(things.build_index(&spec, stop).unwrap(), Built::Paused);
    let built = things.create_index(&spec, |_| ());
    assert!(
        matches!(built, Err(Error::DuplicateKeys { .. })),
        "{built:?}"
    );
}

#[test]
fn a_unique_build_and_writers_never_let_two_have_one_key() {
    let things = collection();
    let all: Vec<_> = (0..9000)
        .map(|n| document(&format!(r#"{{"_id":{n},"a":{n}}}"#)))
        .collect();
    things.insert_many(&all).unwrap();
    let mut calls = 0;
    let built = things.build_index(&on("a").unique(), |_| {
        calls += 1;
        if calls == 2 {
            // Taken in already.
            assert!(is_duplicate(insert(&things, r#"{"_id":10000,"a":5}"#)));
            // Not taken in yet: both documents are there, and the build has to find out.
            insert(&things, r#"{"_id":10001,"a":8000}"#).unwrap();
            // A document that is not taken in yet, and whose key another has by now: its row is
            // not the one that is there.
            assert!(things.delete(id(8000)).unwrap());
            assert!(is_duplicate(insert(&things, r#"{"_id":10002,"a":8000}"#)));
            // Moved from behind the build to before it, and away.
            things
                .replace(id(8500), &document(r#"{"a":"moved"}"#))
                .unwrap();
            assert!(things.delete(id(7)).unwrap());
            insert(&things, r#"{"_id":10003,"a":7}"#).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(built.unwrap(), Built::Finished);
    assert!(calls > 2, "it has several steps");
    assert_eq!(rows(&things, "a").len(), 9000);
    assert_eq!(findings(things.documents()), [""; 0]);
    assert!(is_duplicate(insert(&things, r#"{"_id":-1,"a":"moved"}"#)));
}

#[test]
fn a_duplicate_that_a_writer_brings_during_a_build_fails_the_build() {
    let things = collection();
    let all: Vec<_> = (0..9000)
        .map(|n| document(&format!(r#"{{"_id":{n},"a":{n}}}"#)))
        .collect();
    things.insert_many(&all).unwrap();
    let mut calls = 0;
    let built = things.create_index(&on("a").unique(), |_| {
        calls += 1;
        if calls == 2 {
            insert(&things, r#"{"_id":10001,"a":8000}"#).unwrap();
        }
    });
    assert!(
        matches!(built, Err(Error::DuplicateKeys { .. })),
        "{built:?}"
    );
}

#[test]
fn keys_are_taken_after_a_crash_as_before() {
    let (disk, clock) = (SimDisk::new(5), SimClock::manual());
    let things = open(&disk, &clock).collection("things").unwrap();
    index(&things, &on("a").unique());
    insert(&things, r#"{"_id":1,"a":[1,2]}"#).unwrap();
    insert(&things, r#"{"_id":2,"a":3}"#).unwrap();
    things.delete(id(2)).unwrap();
    disk.crash(9);
    drop(things);
    let documents: Documents = open(&disk, &clock);
    let things = documents.collection("things").unwrap();
    assert!(is_duplicate(insert(&things, r#"{"_id":3,"a":2}"#)));
    insert(&things, r#"{"_id":3,"a":3}"#).unwrap();
    assert_eq!(findings(&documents), [""; 0]);
}

#[test]
fn a_unique_index_in_a_transaction_sees_its_own_rows() {
    let documents = Documents::new(&Database::in_memory().unwrap());
    let things = documents.collection("things").unwrap();
    index(&things, &on("a").unique());
    let failed = documents.transact(|tx| {
        let mut within = documents.within(tx, "things")?;
        within.insert(&document(r#"{"_id":1,"a":1}"#))?;
        within.insert(&document(r#"{"_id":2,"a":1}"#))
    });
    assert!(is_duplicate(failed));
    assert!(things.get(id(1)).unwrap().is_none());
}
