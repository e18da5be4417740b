//! Revisions, and changes on conditions.

use std::sync::Barrier;

use nexusbase_documents::Error;
use nexusbase_documents::store::{Condition, Returning, Revision, revision};

use crate::{all, collection, document, insert, int, operators};

#[test]
fn a_revision_is_the_same_for_the_same_content_and_comes_back_from_its_text() {
    let (a, b) = (
        document(r#"{"_id":1,"a":1}"#),
        document(r#"{"_id":1,"a":1.0}"#),
    );
    assert_eq!(revision(&a), revision(&document(r#"{"_id":1,"a":1}"#)));
    assert_ne!(revision(&a), revision(&b));
    let text = revision(&a).to_string();
    assert_eq!(text.len(), 32);
    assert_eq!(Revision::parse(&text), Some(revision(&a)));
    // The text stands in what clients keep: it must stay.
    assert_eq!(text, GOLDEN);
    for wrong in [
        "",
        "0",
        &text[1..],
        &text.to_uppercase(),
        &text.replace(&text[..1], "+"),
    ] {
        assert_eq!(Revision::parse(wrong), None, "{wrong}");
    }
}

const GOLDEN: &str = "1ced9d93809920a05133d7cea2ccd94f";

#[test]
fn a_change_happens_only_if_its_condition_is_met() {
    let id = int(1);
    let id = id.as_raw_bson_ref();
    let stored = revision(&document(r#"{"_id":1,"n":1}"#));
    let other = revision(&document("{}"));
    let matches = |revisions: &[Revision]| Condition::Matches(revisions.to_vec());
    for (condition, if_there, if_not) in [
        (Condition::Any, true, true),
        (Condition::Exists, true, false),
        (Condition::Absent, false, true),
        (matches(&[other, stored]), true, false),
        (matches(&[other]), false, false),
        (matches(&[]), false, false),
    ] {
        for (there, met) in [(true, if_there), (false, if_not)] {
            let things = || {
                let things = collection();
                if there {
                    insert(&things, &[r#"{"_id":1,"n":1}"#]);
                }
                things
            };
            let (put, patched, deleted) = (things(), things(), things());
            let inc = operators(r#"{"$inc":{"n":1}}"#);
            let outcomes = [
                put.replace_if(id, &document(r#"{"n":5}"#), &condition)
                    .err(),
                patched
                    .change(id, &inc, &condition, true, Returning::Nothing)
                    .err(),
                deleted.delete_if(id, &condition).err(),
            ];
            for outcome in outcomes {
                let words = format!("{condition:?}, there: {there}");
                match outcome {
                    None => assert!(met, "{words}"),
                    Some(Error::Precondition { current, .. }) => {
                        assert!(!met, "{words}");
                        assert_eq!(current, there.then_some(stored), "{words}");
                    }
                    Some(other) => panic!("{words}: {other}"),
                }
            }
            let left = |changed: &str| match (met, there) {
                (true, _) => vec![changed.to_owned()],
                (false, true) => vec![r#"{"_id":1,"n":1}"#.to_owned()],
                (false, false) => vec![],
            };
            assert_eq!(all(&put), left(r#"{"_id":1,"n":5}"#));
            let n = if there { 2 } else { 1 };
            assert_eq!(all(&patched), left(&format!(r#"{{"_id":1,"n":{n}}}"#)));
            assert_eq!(all(&deleted).is_empty(), met || !there);
        }
    }
}

#[test]
fn what_a_condition_has_seen_must_still_be_so_when_the_transaction_commits() {
    let id = int(1);
    let id = id.as_raw_bson_ref();
    for way in 0..3 {
        let things = collection();
        insert(&things, &[r#"{"_id":1,"n":0}"#]);
        let stored = things.get(id).unwrap().unwrap();
        let condition = Condition::Matches(vec![revision(&stored)]);
        let db = things.documents().database();
        let (mut first, mut second) = (db.begin(), db.begin());
        for tx in [&mut first, &mut second] {
            let mut within = things.within(tx);
            let new = document(r#"{"n":5}"#);
            let inc = operators(r#"{"$inc":{"n":1}}"#);
            match way {
                0 => assert!(within.replace_if(id, &new, &condition).unwrap()),
                1 => drop(
                    within
                        .change(id, &inc, &condition, false, Returning::Nothing)
                        .unwrap(),
                ),
                _ => assert!(within.delete_if(id, &condition).unwrap()),
            }
        }
        first.commit().unwrap().wait().unwrap();
        assert!(second.commit().is_err(), "way {way}");
    }
}

#[test]
fn of_two_writers_with_the_same_revision_exactly_one_wins() {
    const THREADS: i32 = 4;
    let things = collection();
    insert(&things, &[r#"{"_id":1,"n":0}"#]);
    let id = int(1);
    let barrier = Barrier::new(THREADS.unsigned_abs() as usize);
    for round in 0..20 {
        let stored = things.get(id.as_raw_bson_ref()).unwrap().unwrap();
        let condition = Condition::Matches(vec![revision(&stored)]);
        let write = |thread: i32| {
            let new = document(&format!(r#"{{"round":{round},"by":{thread}}}"#));
            barrier.wait();
            match things.replace_if(id.as_raw_bson_ref(), &new, &condition) {
                Ok(replaced) => usize::from(replaced),
                Err(Error::Precondition { .. }) => 0,
                Err(other) => panic!("{other}"),
            }
        };
        let write = &write;
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|i| scope.spawn(move || write(i)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(won, 1, "round {round}");
    }
}
