//! Many operations at once.

use nexusbase_documents::store::{
    BulkMode, Change, ChangeError, Deleted, Done, IndexSpec, Operation, UpdateOptions, Updated,
};
use nexusbase_documents::{Collection, Error};

use crate::{all, check, collection, document, insert, operators, selection};

fn put(text: &str) -> Operation {
    Operation::Insert(document(text))
}

fn update(filter: &str, change: &str, options: UpdateOptions) -> Operation {
    Operation::Update {
        selection: selection(filter),
        change: Box::new(operators(change)),
        options,
    }
}

fn delete(filter: &str, many: bool) -> Operation {
    let selection = selection(filter);
    Operation::Delete { selection, many }
}

fn outcomes(things: &Collection, operations: &[Operation], mode: BulkMode) -> Vec<String> {
    let outcomes = things.bulk(operations, mode).unwrap();
    let words = outcomes.into_iter().map(|(at, outcome)| match outcome {
        Ok(Done::Inserted(id)) => format!("{at} {id:?}"),
        Ok(Done::Updated(Updated {
            matched,
            modified,
            upserted,
            ..
        })) => {
            format!("{at} {matched} {modified} {}", upserted.is_some())
        }
        Ok(Done::Deleted(Deleted { deleted, .. })) => format!("{at} -{deleted}"),
        Err(Error::DuplicateId { .. }) => format!("{at} duplicate"),
        Err(Error::KeyTooLarge { .. }) => format!("{at} key"),
        Err(Error::DuplicateKey { .. }) => format!("{at} taken"),
        Err(Error::Schema { .. }) => format!("{at} schema"),
        Err(Error::Change(ChangeError::TooLarge { .. })) => format!("{at} too large"),
        Err(Error::Change(_)) => format!("{at} change"),
        Err(other) => format!("{at} {other}"),
    });
    words.collect()
}

fn operations() -> Vec<Operation> {
    let long = "x".repeat(40_000);
    vec![
        put(r#"{"_id":2,"n":1}"#),
        update("{}", r#"{"$inc":{"n":1}}"#, UpdateOptions::many()),
        put(r#"{"_id":2}"#),
        // No index can hold what it makes of the document.
        update(
            r#"{"_id":2}"#,
            &format!(r#"{{"$set":{{"k":"{long}"}}}}"#),
            UpdateOptions::one(),
        ),
        update(
            r#"{"_id":7}"#,
            r#"{"$set":{"n":7}}"#,
            UpdateOptions::one().or_insert(),
        ),
        update(r#"{"_id":7}"#, r#"{"$push":{"n":7}}"#, UpdateOptions::one()),
        delete(r#"{"_id":1}"#, false),
        delete(r#"{"_id":{"$gt":5}}"#, true),
    ]
}

fn things() -> Collection {
    let things = collection();
    things
        .create_index(&IndexSpec::on("k").unwrap(), |_| {})
        .unwrap();
    insert(&things, &[r#"{"_id":1,"n":5}"#]);
    things
}

#[test]
fn each_operation_has_its_own_outcome() {
    let things = things();
    assert_eq!(
        outcomes(&things, &operations(), BulkMode::Unordered),
        [
            "0 Int32(2)",
            "1 2 2 false",
            "2 duplicate",
            "3 key",
            "4 0 0 true",
            "5 change",
            "6 -1",
            "7 -1"
        ]
    );
    assert_eq!(all(&things), [r#"{"_id":2,"n":2}"#]);
    check(things.documents());
}

#[test]
fn an_ordered_list_ends_with_the_first_operation_that_is_refused() {
    let things = things();
    let mut operations = operations();
    assert_eq!(
        outcomes(&things, &operations, BulkMode::Ordered),
        ["0 Int32(2)", "1 2 2 false", "2 duplicate"]
    );
    assert_eq!(all(&things), [r#"{"_id":1,"n":6}"#, r#"{"_id":2,"n":2}"#]);
    operations.drain(..3);
    assert_eq!(outcomes(&things, &operations, BulkMode::Ordered), ["0 key"]);
    operations.remove(0);
    assert_eq!(
        outcomes(&things, &operations, BulkMode::Ordered),
        ["0 0 0 true", "1 change"]
    );
    operations.drain(..2);
    assert_eq!(
        outcomes(&things, &operations, BulkMode::Ordered),
        ["0 -1", "1 -1"]
    );
    assert_eq!(all(&things), [r#"{"_id":2,"n":2}"#]);
    check(things.documents());
}

#[test]
fn an_operation_that_is_refused_after_it_has_changed_some_documents_changes_none() {
    let things = things();
    let unique = IndexSpec::on("u").unwrap().unique().sparse();
    things.create_index(&unique, |_| {}).unwrap();
    let operations = [
        put(r#"{"_id":2,"n":1}"#),
        put(r#"{"_id":3,"n":1}"#),
        // The first document gets it, and the second is refused.
        update("{}", r#"{"$set":{"u":1}}"#, UpdateOptions::many()),
        update(r#"{"_id":3}"#, r#"{"$set":{"u":2}}"#, UpdateOptions::one()),
        // Refused before it has changed anything.
        put(r#"{"_id":4,"u":2}"#),
        update(r#"{"_id":2}"#, r#"{"$set":{"u":2}}"#, UpdateOptions::one()),
        update("{}", r#"{"$inc":{"n":1}}"#, UpdateOptions::many()),
    ];
    assert_eq!(
        outcomes(&things, &operations, BulkMode::Unordered),
        [
            "0 Int32(2)",
            "1 Int32(3)",
            "2 taken",
            "3 1 1 false",
            "4 taken",
            "5 taken",
            "6 3 3 false"
        ]
    );
    let expected = [
        r#"{"_id":1,"n":6}"#,
        r#"{"_id":2,"n":2}"#,
        r#"{"_id":3,"n":2,"u":2}"#,
    ];
    assert_eq!(all(&things), expected);
    check(things.documents());
    let things = self::things();
    things.create_index(&unique, |_| {}).unwrap();
    assert_eq!(
        outcomes(&things, &operations, BulkMode::Ordered),
        ["0 Int32(2)", "1 Int32(3)", "2 taken"]
    );
    let expected = [
        r#"{"_id":1,"n":5}"#,
        r#"{"_id":2,"n":1}"#,
        r#"{"_id":3,"n":1}"#,
    ];
    assert_eq!(all(&things), expected);
    check(things.documents());
}

#[test]
fn an_atomic_list_is_done_as_a_whole_or_not_at_all() {
    let things = things();
    let operations = operations();
    for refused in [2, 3, 5] {
        let mut some: Vec<_> = operations.clone();
        let at = [2, 3, 5]
            .iter()
            .take_while(|other| **other < refused)
            .count();
        for earlier in [5, 3, 2].iter().filter(|other| **other < refused) {
            some.remove(*earlier);
        }
        let outcome = outcomes(&things, &some, BulkMode::Atomic);
        assert_eq!(outcome.len(), 1, "{outcome:?}");
        assert!(
            outcome[0].starts_with(&format!("{} ", refused - at)),
            "{outcome:?}"
        );
        assert_eq!(all(&things), [r#"{"_id":1,"n":5}"#]);
    }
    let good: Vec<_> = [0, 1, 4, 6, 7].map(|at| operations[at].clone()).to_vec();
    let expected = ["0 Int32(2)", "1 2 2 false", "2 0 0 true", "3 -1", "4 -1"];
    assert_eq!(outcomes(&things, &good, BulkMode::Atomic), expected);
    check(things.documents());
}

#[test]
fn a_list_that_is_too_large_for_one_transaction_takes_more_unless_it_is_atomic() {
    let things = collection();
    let long = "x".repeat(15 << 20);
    let many: Vec<_> = (0..6)
        .map(|i| put(&format!(r#"{{"_id":{i},"a":"{long}"}}"#)))
        .collect();
    let atomic = things.bulk(&many, BulkMode::Atomic).unwrap();
    assert!(
        matches!(&atomic[..], [(4, Err(Error::Database(_)))]),
        "{}",
        atomic.len()
    );
    assert!(all(&things).is_empty());
    let done = outcomes(&things, &many, BulkMode::Ordered);
    assert_eq!(done.len(), 6, "{done:?}");
    // One that is too large by itself is refused, and the others are done.
    let set = update("{}", r#"{"$set":{"b":1}}"#, UpdateOptions::many());
    let one = update(r#"{"_id":1}"#, r#"{"$set":{"b":1}}"#, UpdateOptions::one());
    let list = [one, set, delete(r#"{"_id":5}"#, false)];
    assert_eq!(
        outcomes(&things, &list, BulkMode::Unordered),
        ["0 1 1 false", "1 too large", "2 -1"]
    );
}

#[test]
fn a_replacement_is_an_operation_too() {
    let things = things();
    let replacement = Operation::Update {
        selection: selection(r#"{"n":5}"#),
        change: Box::new(Change::Replacement(document(r#"{"m":1}"#))),
        options: UpdateOptions::one(),
    };
    assert_eq!(
        outcomes(&things, &[replacement], BulkMode::Ordered),
        ["0 1 1 false"]
    );
    assert_eq!(all(&things), [r#"{"_id":1,"m":1}"#]);
}

#[test]
fn deleted_documents_do_not_come_back() {
    let things = things();
    let done = things.bulk(&[delete(r#"{"n":5}"#, false)], BulkMode::Atomic);
    let gone = Deleted {
        deleted: 1,
        document: None,
    };
    assert!(
        matches!(&done.unwrap()[..], [(0, Ok(Done::Deleted(deleted)))] if *deleted == gone),
        "a list of deletions holds none of the documents in memory"
    );
}
