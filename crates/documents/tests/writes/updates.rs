//! Changing and deleting documents that match a filter.

use std::sync::Barrier;

use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::rawdoc;
use nexusbase_documents::patch::JsonPatch;
use nexusbase_documents::store::{
    Change, ChangeError, Condition, IndexSpec, Returning, UpdateOptions, Updated,
};
use nexusbase_documents::{Error, Query, sort::Sort};

use crate::{all, check, collection, document, insert, int, operators, selection, text};

fn updated(matched: u64, modified: u64) -> Updated {
    Updated {
        matched,
        modified,
        ..Updated::default()
    }
}

fn json_patch(operations: &[RawDocumentBuf]) -> Change {
    let mut patch = RawArrayBuf::new();
    for operation in operations {
        patch.push(operation.clone());
    }
    Change::JsonPatch(JsonPatch::parse(&patch).unwrap())
}

#[test]
fn one_or_all_that_match_are_changed_and_counted() {
    let things = collection();
    insert(
        &things,
        &[
            r#"{"_id":1,"a":1}"#,
            r#"{"_id":2,"a":1}"#,
            r#"{"_id":3,"a":2}"#,
        ],
    );
    let (set, one) = (operators(r#"{"$set":{"b":1}}"#), selection(r#"{"a":1}"#));
    assert_eq!(
        things.update(&one, &set, &UpdateOptions::one()).unwrap(),
        updated(1, 1)
    );
    // The first is so already: it matches, and is not modified.
    assert_eq!(
        things.update(&one, &set, &UpdateOptions::many()).unwrap(),
        updated(2, 1)
    );
    assert_eq!(
        all(&things),
        [
            r#"{"_id":1,"a":1,"b":1}"#,
            r#"{"_id":2,"a":1,"b":1}"#,
            r#"{"_id":3,"a":2}"#
        ]
    );
    assert_eq!(things.delete_many(&one).unwrap(), 2);
    assert_eq!(all(&things), [r#"{"_id":3,"a":2}"#]);
    assert_eq!(things.delete_many(&one).unwrap(), 0);
}

#[test]
fn a_change_of_nothing_writes_nothing() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"a":1}"#]);
    let db = things.documents().database();
    let before = db.snapshot().index();
    let all = selection("{}");
    let same = document(r#"{"a":1}"#);
    let none: [RawDocumentBuf; 0] = [];
    for change in [
        operators(r#"{"$set":{"a":1}}"#),
        Change::Replacement(same.clone()),
        Change::MergePatch(same.clone()),
        json_patch(&none),
    ] {
        assert_eq!(
            things.update(&all, &change, &UpdateOptions::one()).unwrap(),
            updated(1, 0)
        );
    }
    let one = int(1);
    assert!(things.replace(one.as_raw_bson_ref(), &same).unwrap());
    assert_eq!(db.snapshot().index(), before);
}

#[test]
fn the_id_never_changes() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"a":1}"#]);
    let patch = json_patch(&[rawdoc! { "op": "replace", "path": "/_id", "value": 2 }]);
    let removal = json_patch(&[rawdoc! { "op": "remove", "path": "/_id" }]);
    for change in [
        operators(r#"{"$set":{"_id":2}}"#),
        operators(r#"{"$unset":{"_id":1}}"#),
        Change::Replacement(document(r#"{"_id":2}"#)),
        Change::MergePatch(document(r#"{"_id":2}"#)),
        Change::MergePatch(document(r#"{"_id":null}"#)),
        patch,
        removal,
    ] {
        let refused = things.update(&selection("{}"), &change, &UpdateOptions::one());
        assert!(
            matches!(refused, Err(Error::Change(_) | Error::IdChanged { .. })),
            "{change:?}: {refused:?}"
        );
    }
    assert_eq!(all(&things), [r#"{"_id":1,"a":1}"#]);
}

#[test]
fn every_kind_of_change_keeps_the_indexes_right() {
    let things = collection();
    things
        .create_index(&IndexSpec::on("a").unwrap(), |_| {})
        .unwrap();
    insert(
        &things,
        &[
            r#"{"_id":1,"a":[1,2]}"#,
            r#"{"_id":2,"a":3}"#,
            r#"{"_id":3}"#,
        ],
    );
    let add = json_patch(&[rawdoc! { "op": "add", "path": "/a", "value": [7, 8] }]);
    for change in [
        operators(r#"{"$push":{"a":9}}"#),
        Change::Replacement(document(r#"{"a":[4,5]}"#)),
        Change::MergePatch(document(r#"{"a":null}"#)),
        add,
    ] {
        things
            .update(&selection(r#"{"_id":1}"#), &change, &UpdateOptions::one())
            .unwrap();
        check(things.documents());
    }
    assert_eq!(all(&things)[0], r#"{"_id":1,"a":[7,8]}"#);
    things
        .update(
            &selection("{}"),
            &operators(r#"{"$set":{"a":5}}"#),
            &UpdateOptions::many(),
        )
        .unwrap();
    check(things.documents());
    things.delete_many(&selection(r#"{"a":5}"#)).unwrap();
    check(things.documents());
    assert!(all(&things).is_empty());
}

#[test]
fn a_document_is_changed_once_however_it_moves_in_the_index() {
    let things = collection();
    things
        .create_index(&IndexSpec::on("n").unwrap(), |_| {})
        .unwrap();
    let numbers: Vec<_> = (0..50)
        .map(|i| document(&format!(r#"{{"_id":{i},"n":{i}}}"#)))
        .collect();
    things.insert_many(&numbers).unwrap();
    let done = things
        .update(
            &selection(r#"{"n":{"$gte":0}}"#),
            &operators(r#"{"$inc":{"n":10}}"#),
            &UpdateOptions::many(),
        )
        .unwrap();
    assert_eq!(done, updated(50, 50));
    let expected: Vec<_> = (0..50)
        .map(|i| format!(r#"{{"_id":{i},"n":{}}}"#, i + 10))
        .collect();
    assert_eq!(all(&things), expected);
    check(things.documents());
}

#[test]
fn the_version_that_was_asked_for_comes_back_from_the_one_that_comes_first() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"n":1}"#, r#"{"_id":2,"n":2}"#]);
    let options = |returning| UpdateOptions {
        sort: Some(Sort::parse("-n").unwrap()),
        ..UpdateOptions::one().returning(returning)
    };
    let inc = operators(r#"{"$inc":{"n":1}}"#);
    let done = |returning| {
        let done = things
            .update(&selection("{}"), &inc, &options(returning))
            .unwrap();
        done.document.map(|document| text(&document))
    };
    assert_eq!(done(Returning::Before).unwrap(), r#"{"_id":2,"n":2}"#);
    assert_eq!(done(Returning::After).unwrap(), r#"{"_id":2,"n":4}"#);
    assert_eq!(done(Returning::Nothing), None);
    let last = Sort::parse("n").unwrap();
    let deleted = things.delete_one(&selection("{}"), Some(&last)).unwrap();
    assert_eq!(text(&deleted.unwrap()), r#"{"_id":1,"n":1}"#);
    assert_eq!(all(&things), [r#"{"_id":2,"n":5}"#]);
    let many = UpdateOptions::many().returning(Returning::After);
    let refused = things.update(&selection("{}"), &inc, &many);
    assert!(matches!(
        refused,
        Err(Error::Change(ChangeError::ReturnMany))
    ));
    let replacement = Change::Replacement(document("{}"));
    let refused = things.update(&selection("{}"), &replacement, &UpdateOptions::many());
    assert!(matches!(
        refused,
        Err(Error::Change(ChangeError::ReplaceMany))
    ));
}

#[test]
fn an_upsert_inserts_what_the_filter_and_the_change_say() {
    let things = collection();
    let upsert = UpdateOptions::one().or_insert().returning(Returning::After);
    for (filter, change, expected) in [
        (
            r#"{"_id":1,"a":5,"b":{"$ne":1}}"#,
            operators(r#"{"$set":{"c":1},"$setOnInsert":{"d":2}}"#),
            r#"{"_id":1,"a":5,"c":1,"d":2}"#,
        ),
        (
            r#"{"_id":2}"#,
            Change::Replacement(document(r#"{"x":1}"#)),
            r#"{"_id":2,"x":1}"#,
        ),
        (
            r#"{"_id":3}"#,
            Change::MergePatch(document(r#"{"x":1,"y":null}"#)),
            r#"{"_id":3,"x":1}"#,
        ),
    ] {
        let done = things.update(&selection(filter), &change, &upsert).unwrap();
        assert_eq!((done.matched, done.modified), (0, 0));
        assert!(done.upserted.is_some());
        assert_eq!(text(&done.document.unwrap()), expected);
        let again = things.update(
            &selection(filter),
            &change,
            &UpdateOptions::one().or_insert(),
        );
        assert_eq!(again.unwrap().upserted, None);
    }
    let refused = things.update(&selection(r#"{"_id":9}"#), &json_patch(&[]), &upsert);
    assert!(matches!(
        refused,
        Err(Error::Change(ChangeError::UpsertPatch))
    ));
    let other = Change::Replacement(document(r#"{"_id":8}"#));
    let refused = things.update(&selection(r#"{"_id":9}"#), &other, &upsert);
    assert!(matches!(refused, Err(Error::IdChanged { .. })));
    let id = int(4);
    let inc = operators(r#"{"$inc":{"n":1}}"#);
    let by_id = |upsert| {
        let after = Returning::After;
        things
            .change(id.as_raw_bson_ref(), &inc, &Condition::Any, upsert, after)
            .unwrap()
    };
    assert_eq!(by_id(false), Updated::default());
    assert_eq!(text(&by_id(true).document.unwrap()), r#"{"_id":4,"n":1}"#);
    assert_eq!(text(&by_id(false).document.unwrap()), r#"{"_id":4,"n":2}"#);
}

#[test]
fn of_two_upserts_of_one_filter_one_inserts_and_the_other_changes() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20;
    let things = collection();
    things.create().unwrap();
    let barrier = Barrier::new(THREADS);
    let inserted: usize = std::thread::scope(|scope| {
        let work = || {
            let mut inserted = 0;
            for round in 0..ROUNDS {
                barrier.wait();
                let filter = selection(&format!(r#"{{"key":{round}}}"#));
                let inc = operators(r#"{"$inc":{"n":1}}"#);
                let options = UpdateOptions::one().or_insert();
                let done = things.update(&filter, &inc, &options).unwrap();
                inserted += usize::from(done.upserted.is_some());
            }
            inserted
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(inserted, ROUNDS);
    let there = all(&things);
    assert_eq!(there.len(), ROUNDS);
    assert!(
        there
            .iter()
            .all(|one| one.ends_with(&format!("\"n\":{THREADS}}}"))),
        "{there:?}"
    );
}

#[test]
fn an_upsert_that_comes_second_conflicts_and_changes_when_it_runs_again() {
    let index = IndexSpec::on("key").unwrap();
    for index in [None, Some(index.clone()), Some(index.unique())] {
        let things = collection();
        if let Some(index) = index {
            things.create_index(&index, |_| {}).unwrap();
        }
        things.create().unwrap();
        let db = things.documents().database();
        let filter = selection(r#"{"key":1}"#);
        let upsert = |tx: &mut _| {
            let inc = operators(r#"{"$inc":{"n":1}}"#);
            things
                .within(tx)
                .update(&filter, &inc, &UpdateOptions::one().or_insert())
        };
        let (mut first, mut second) = (db.begin(), db.begin());
        assert!(upsert(&mut first).unwrap().upserted.is_some());
        assert!(upsert(&mut second).unwrap().upserted.is_some());
        first.commit().unwrap().wait().unwrap();
        second.commit().unwrap_err();
        let mut again = db.begin();
        assert_eq!(upsert(&mut again).unwrap(), updated(1, 1));
        again.commit().unwrap().wait().unwrap();
        assert_eq!(all(&things).len(), 1);
        check(things.documents());
    }
}

#[test]
fn of_two_upserts_at_once_on_a_unique_index_one_inserts_and_the_other_changes() {
    let things = collection();
    let unique = IndexSpec::on("key").unwrap().unique();
    things.create_index(&unique, |_| {}).unwrap();
    let inc = operators(r#"{"$inc":{"n":1}}"#);
    let options = UpdateOptions::one().or_insert();
    // The same filter, another one for the same document, and one that the document does not match.
    for (key, other, is_one) in [
        (1, r#"{"key":1}"#, true),
        (2, r#"{"key":2,"m":{"$exists":false}}"#, true),
        (3, r#"{"key":3,"m":1}"#, false),
    ] {
        let filter = selection(&format!(r#"{{"key":{key}}}"#));
        let mut runs = Vec::new();
        let done = things.documents().transact(|tx| {
            let done = things.within(tx).update(&selection(other), &inc, &options);
            runs.push(done.as_ref().is_ok_and(|done| done.upserted.is_some()));
            if runs.len() == 1 {
                // Before this one commits, the other one has.
                let first = things.update(&filter, &inc, &options).unwrap();
                assert!(first.upserted.is_some());
            }
            done
        });
        assert_eq!(runs, [true, false]);
        if is_one {
            assert_eq!(done.unwrap(), updated(1, 1));
        } else {
            assert!(matches!(done, Err(Error::DuplicateKey { .. })), "{done:?}");
        }
    }
    let numbers: Vec<_> = things
        .find(&Query::new(&document("{}")).unwrap().sort("key").unwrap())
        .unwrap()
        .iter()
        .map(|one| (one.get_i32("key").unwrap(), one.get_i32("n").unwrap()))
        .collect();
    assert_eq!(numbers, [(1, 2), (2, 2), (3, 1)]);
    check(things.documents());
}

#[test]
fn a_change_of_more_than_a_transaction_holds_changes_nothing_and_says_so() {
    let things = collection();
    let long = "x".repeat(12 << 20);
    for i in 0..6 {
        things
            .insert(&document(&format!(r#"{{"_id":{i},"a":"{long}"}}"#)))
            .unwrap();
    }
    let db = things.documents().database();
    let before = db.snapshot().index();
    let set = operators(r#"{"$set":{"b":1}}"#);
    let refused = things.update(&selection("{}"), &set, &UpdateOptions::many());
    let Err(Error::Change(error @ ChangeError::TooLarge { .. })) = refused else {
        panic!("{:?}", refused.map(|done| done.modified));
    };
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    assert_eq!(db.snapshot().index(), before);
    // What goes into one is done, and what changes nothing does not count.
    let part = selection(r#"{"_id":{"$lt":3}}"#);
    assert_eq!(
        things.update(&part, &set, &UpdateOptions::many()).unwrap(),
        updated(3, 3)
    );
    let part = selection(r#"{"_id":{"$lt":5}}"#);
    assert_eq!(
        things.update(&part, &set, &UpdateOptions::many()).unwrap(),
        updated(5, 2)
    );
    assert_eq!(things.delete_many(&selection("{}")).unwrap(), 6);
}
