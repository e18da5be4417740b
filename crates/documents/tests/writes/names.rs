//! What collections are called.

use nexusbase_db::{Database, View};
use nexusbase_documents::store::IndexSpec;
use nexusbase_documents::{Documents, Error};

use crate::{all, check, document, documents, insert};

#[test]
fn a_renamed_collection_keeps_its_documents_and_indexes() {
    let documents = documents();
    let [a, b] = ["a", "b"].map(|name| documents.collection(name).unwrap());
    assert!(!a.rename("b", false).unwrap());
    insert(&a, &[r#"{"_id":1,"k":1}"#]);
    a.create_index(&IndexSpec::on("k").unwrap(), |_| {})
        .unwrap();
    assert!(a.rename("a", false).unwrap());
    assert!(a.rename("b", false).unwrap());
    assert!(a.info().unwrap().is_none() && all(&a).is_empty());
    assert_eq!(all(&b), [r#"{"_id":1,"k":1}"#]);
    assert_eq!(b.info().unwrap().unwrap().indexes.len(), 1);
    // The name is free for another, whose trees must not be those of the first.
    insert(&a, &[r#"{"_id":2}"#]);
    assert_eq!((all(&a).len(), all(&b).len()), (1, 1));
    check(&documents);
    let refused = a.rename("b", false);
    assert!(matches!(refused, Err(Error::CollectionExists { .. })));
    assert!(matches!(a.rename(".", false), Err(Error::Name(_))));
    assert!(a.rename("b", true).unwrap());
    assert_eq!(all(&b), [r#"{"_id":2}"#]);
    let trees = documents
        .database()
        .snapshot()
        .trees("documents/a")
        .unwrap();
    assert_eq!(trees.len(), 1, "{trees:?}");
    check(&documents);
}

#[test]
fn two_collections_change_names_in_one_transaction() {
    let documents = documents();
    let [a, b, c] = ["a", "b", "c"].map(|name| documents.collection(name).unwrap());
    insert(&a, &[r#"{"_id":"a"}"#]);
    insert(&b, &[r#"{"_id":"b"}"#]);
    documents
        .transact(|tx| {
            a.within(tx).rename("c", false)?;
            b.within(tx).rename("a", false)?;
            c.within(tx).rename("b", false)
        })
        .unwrap();
    assert_eq!(
        (all(&a), all(&b)),
        (vec![r#"{"_id":"b"}"#.into()], vec![r#"{"_id":"a"}"#.into()])
    );
    assert!(c.info().unwrap().is_none());
}

#[test]
fn a_write_that_a_rename_overtakes_does_not_land_under_the_wrong_name() {
    let documents = documents();
    let [a, b] = ["a", "b"].map(|name| documents.collection(name).unwrap());
    insert(&a, &[r#"{"_id":1}"#]);
    let mut tx = documents.database().begin();
    a.within(&mut tx).insert(&document(r#"{"_id":2}"#)).unwrap();
    a.rename("b", false).unwrap();
    tx.commit().unwrap_err();
    assert_eq!(all(&b), [r#"{"_id":1}"#]);
}

#[test]
fn names_and_options_are_there_after_a_restart() {
    let disk = nexusbase_io::sim::SimDisk::new(1);
    let open = || {
        let options = nexusbase_db::Options {
            env: nexusbase_io::Env::simulated(&disk, 1),
            housekeeping_thread: false,
            ..nexusbase_db::Options::default()
        };
        Documents::new(&Database::open_with("/data", options).unwrap())
    };
    {
        let documents = open();
        let a = documents.collection("a").unwrap();
        insert(&a, &[r#"{"_id":1}"#]);
        a.set_schema(Some(r#"{"required":["_id"]}"#), true).unwrap();
        a.set_require_conditions(true).unwrap();
        a.rename("b", false).unwrap();
        documents.database().close().unwrap();
    }
    let b = open().collection("b").unwrap();
    let info = b.info().unwrap().unwrap();
    assert_eq!(info.schema.as_deref(), Some(r#"{"required":["_id"]}"#));
    assert!(info.require_conditions);
    assert_eq!(all(&b).len(), 1);
}
