//! Interactive transactions.

use nexusbase_documents::store::{OPERATIONS_MAX, Session, SessionError};
use nexusbase_documents::{Error, Query};

use crate::{all, collection, document, insert};

fn is_send<T: Send>() {}

#[test]
fn a_session_goes_from_thread_to_thread_and_commits_everything() {
    is_send::<Session>();
    let things = collection();
    things.create().unwrap();
    let mut session = things.documents().begin();
    session
        .run(&things, |tx| tx.insert(&document(r#"{"_id":1}"#)))
        .unwrap();
    assert!(all(&things).is_empty());
    let other = things.clone();
    let session = std::thread::spawn(move || {
        session
            .run(&other, |tx| tx.insert(&document(r#"{"_id":2}"#)))
            .unwrap();
        session
    });
    let mut session = session.join().unwrap();
    let seen = session.run(&things, |tx| {
        Ok(tx.find(&Query::new(&document("{}"))?)?.count())
    });
    assert_eq!((seen.unwrap(), session.operations()), (2, 3));
    session.commit().unwrap();
    assert_eq!(all(&things).len(), 2);
}

#[test]
fn a_session_that_is_rolled_back_or_dropped_or_has_failed_leaves_no_trace() {
    let things = collection();
    insert(&things, &[r#"{"_id":1}"#]);
    let begin = || {
        let mut session = things.documents().begin();
        session
            .run(&things, |tx| tx.insert(&document(r#"{"_id":2}"#)))
            .unwrap();
        session
    };
    begin().rollback();
    drop(begin());
    let mut failed = begin();
    let refused = failed.run(&things, |tx| tx.insert(&document(r#"{"_id":1}"#)));
    assert!(matches!(
        refused,
        Err(SessionError::Operation(Error::DuplicateId { .. }))
    ));
    let refused = failed.run_any(|_, _| Ok(()));
    assert!(matches!(refused, Err(SessionError::Failed)));
    assert!(matches!(failed.commit(), Err(SessionError::Failed)));
    assert_eq!(all(&things), [r#"{"_id":1}"#]);
}

#[test]
fn a_session_does_so_many_operations_and_no_more() {
    let things = collection();
    let mut session = things.documents().begin();
    for _ in 0..OPERATIONS_MAX {
        session.run_any(|_, _| Ok(())).unwrap();
    }
    let refused = session.run_any(|_, _| Ok(()));
    assert!(matches!(refused, Err(SessionError::TooManyOperations)));
    session.commit().unwrap();
}
