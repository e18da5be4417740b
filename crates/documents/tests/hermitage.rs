//! The ten anomalies of the Hermitage tests, through every way to find documents: each ends as it
//! would if the transactions had run one after the other.
//!
//! The interleavings are the published ones: several transactions are begun, take their steps in
//! turn, and commit in turn. A transaction may be refused when it commits; what must never happen
//! is that all of them commit and the anomaly is there.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use bson::raw::{RawBson, RawDocumentBuf};
use nexusbase_db::{CommitError, Database, Transaction};
use nexusbase_documents::store::{Change, IndexSpec, Selection, UpdateOptions};
use nexusbase_documents::{Collection, Documents, Error, Query, Update, json};

fn document(text: &str) -> RawDocumentBuf {
    json::parse_document(text.as_bytes()).unwrap()
}

/// How documents are found and changed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// One by one, by `_id`.
    Ids,
    /// By a filter that no index helps with.
    Scan,
    /// By equality in an index.
    Index,
    /// By an element of an array in an index.
    Multikey,
    /// By a unique index.
    Unique,
    /// By an index that holds only some documents.
    Partial,
    /// By whether a field exists, and how many there are.
    Exists,
}

const WAYS: [Way; 7] = [
    Way::Ids,
    Way::Scan,
    Way::Index,
    Way::Multikey,
    Way::Unique,
    Way::Partial,
    Way::Exists,
];

/// A collection with the documents 1 and 2, whose values are 10 and 20.
struct Stage {
    things: Collection,
    way: Way,
}

impl Stage {
    fn new(way: Way) -> Self {
        let db = Database::in_memory().unwrap();
        let stage = Self {
            things: Documents::new(&db).collection("things").unwrap(),
            way,
        };
        let index = |spec: IndexSpec| assert!(stage.things.create_index(&spec, |_| {}).unwrap());
        match way {
            Way::Index => index(IndexSpec::on("value").unwrap()),
            Way::Multikey => index(IndexSpec::on("tags").unwrap()),
            Way::Unique => index(IndexSpec::on("key").unwrap().unique()),
            Way::Partial => {
                let filter = document(r#"{"value":{"$gte":0}}"#);
                index(IndexSpec::on("value").unwrap().partial(&filter).unwrap());
            }
            Way::Ids | Way::Scan | Way::Exists => {}
        }
        for (id, value) in [(1, 10), (2, 20)] {
            stage.things.insert(&Self::of(id, value)).unwrap();
        }
        if way == Way::Unique {
            let twin = stage.things.insert(&document(r#"{"_id":5,"key":"k1"}"#));
            assert!(matches!(twin, Err(Error::DuplicateKey { .. })), "{twin:?}");
        }
        stage
    }

    fn of(id: i32, value: i32) -> RawDocumentBuf {
        document(&format!(
            r#"{{"_id":{id},"key":"k{id}","value":{value},"tags":["all","v{value}"],"v{value}":1}}"#
        ))
    }

    fn begin(&self) -> Transaction {
        self.things.documents().database().begin()
    }

    /// Which documents have this value.
    fn with_value(&self, value: i32) -> String {
        match self.way {
            Way::Multikey => format!(r#"{{"tags":"v{value}"}}"#),
            Way::Exists => format!(r#"{{"v{value}":{{"$exists":true}}}}"#),
            _ => format!(r#"{{"value":{value}}}"#),
        }
    }

    /// Which document has this `_id`, in the words of the way.
    fn with_id(&self, id: i32) -> String {
        match self.way {
            Way::Unique => format!(r#"{{"key":"k{id}"}}"#),
            Way::Scan | Way::Exists => format!(r#"{{"$or":[{{"_id":{id}}},{{"_id":{id}}}]}}"#),
            _ => format!(r#"{{"_id":{id}}}"#),
        }
    }

    fn find(&self, tx: &mut Transaction, filter: &str) -> Vec<(i32, i32)> {
        let query = Query::new(&document(filter)).unwrap();
        let within = self.things.within(tx);
        let found = within.find(&query).unwrap();
        let mut found: Vec<_> = found
            .map(|one| {
                let one = one.unwrap();
                (one.get_i32("_id").unwrap(), one.get_i32("value").unwrap())
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// The value of a document.
    fn value(&self, tx: &mut Transaction, id: i32) -> Option<i32> {
        if self.way == Way::Ids {
            let id = RawBson::Int32(id);
            let found = self.things.within(tx).get(id.as_raw_bson_ref()).unwrap();
            return found.map(|one| one.get_i32("value").unwrap());
        }
        let found = self.find(tx, &self.with_id(id));
        found.first().map(|(_, value)| *value)
    }

    /// All documents that have the value.
    fn by_value(&self, tx: &mut Transaction, value: i32) -> Vec<i32> {
        let found = if self.way == Way::Ids {
            (1..=5)
                .filter_map(|id| Some((id, self.value(tx, id)?)))
                .collect()
        } else {
            self.find(tx, &self.with_value(value))
        };
        let of_value = found.into_iter().filter(|(_, other)| *other == value);
        of_value.map(|(id, _)| id).collect()
    }

    /// All documents.
    fn all(&self, tx: &mut Transaction) -> Vec<(i32, i32)> {
        match self.way {
            Way::Ids => (1..=5)
                .filter_map(|id| Some((id, self.value(tx, id)?)))
                .collect(),
            Way::Multikey => self.find(tx, r#"{"tags":"all"}"#),
            Way::Partial | Way::Index => self.find(tx, r#"{"value":{"$gte":0}}"#),
            Way::Unique => self.find(tx, r#"{"key":{"$gte":""}}"#),
            Way::Exists => self.find(tx, r#"{"value":{"$exists":true}}"#),
            Way::Scan => self.find(tx, "{}"),
        }
    }

    /// Gives a document another value.
    fn set(&self, tx: &mut Transaction, id: i32, value: i32) {
        let new = Self::of(id, value);
        let mut within = self.things.within(tx);
        if self.way == Way::Ids {
            let id = RawBson::Int32(id);
            within.replace(id.as_raw_bson_ref(), &new).unwrap();
            return;
        }
        let selection = Selection::new(&document(&self.with_id(id))).unwrap();
        let change = Change::Replacement(new);
        let done = within
            .update(&selection, &change, &UpdateOptions::one())
            .unwrap();
        assert_eq!(done.matched, 1);
    }

    /// Adds to the value of all documents.
    fn add_to_all(&self, tx: &mut Transaction, more: i32) {
        for (id, value) in self.all(tx) {
            self.set(tx, id, value + more);
        }
    }

    fn delete_value(&self, tx: &mut Transaction, value: i32) {
        if self.way == Way::Ids {
            for id in self.by_value(tx, value) {
                let id = RawBson::Int32(id);
                self.things.within(tx).delete(id.as_raw_bson_ref()).unwrap();
            }
            return;
        }
        let selection = Selection::new(&document(&self.with_value(value))).unwrap();
        self.things.within(tx).delete_many(&selection).unwrap();
    }

    fn insert(&self, tx: &mut Transaction, id: i32, value: i32) {
        self.things.within(tx).insert(&Self::of(id, value)).unwrap();
    }

    /// What is there in the end, and that the indexes agree.
    fn end(&self) -> Vec<(i32, i32)> {
        let documents = self.things.documents();
        documents.check(&mut |finding| panic!("{finding}")).unwrap();
        self.all(&mut self.begin())
    }
}

/// Whether the transaction was committed; refusing it for a conflict is the other possibility.
fn commit(tx: Transaction) -> bool {
    match tx.commit() {
        Ok(handle) => {
            handle.wait().unwrap();
            true
        }
        Err(CommitError::Conflict { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn each(test: impl Fn(&Stage)) {
    for way in WAYS {
        println!("{way:?}");
        test(&Stage::new(way));
    }
}

#[test]
fn g0_write_cycles() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        stage.set(&mut t1, 1, 11);
        stage.set(&mut t2, 1, 12);
        stage.set(&mut t1, 2, 21);
        let first = commit(t1);
        stage.set(&mut t2, 2, 22);
        let second = commit(t2);
        assert!(first);
        let expected = if second {
            [(1, 12), (2, 22)]
        } else {
            [(1, 11), (2, 21)]
        };
        assert_eq!(stage.end(), expected);
    });
}

#[test]
fn g1a_aborted_reads() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        stage.set(&mut t1, 1, 101);
        let before = [(1, 10), (2, 20)];
        assert_eq!(stage.all(&mut t2), before);
        drop(t1);
        assert_eq!(stage.all(&mut t2), before);
        assert!(commit(t2));
        assert_eq!(stage.end(), before);
    });
}

#[test]
fn g1b_intermediate_reads() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        stage.set(&mut t1, 1, 101);
        let before = [(1, 10), (2, 20)];
        assert_eq!(stage.all(&mut t2), before);
        stage.set(&mut t1, 1, 11);
        assert!(commit(t1));
        assert_eq!(stage.all(&mut t2), before);
        assert!(commit(t2));
        assert_eq!(stage.end(), [(1, 11), (2, 20)]);
    });
}

#[test]
fn g1c_circular_information_flow() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        stage.set(&mut t1, 1, 11);
        stage.set(&mut t2, 2, 22);
        assert_eq!(stage.value(&mut t1, 2), Some(20));
        assert_eq!(stage.value(&mut t2, 1), Some(10));
        // Each has missed what the other wrote, so one of them must not have happened.
        assert!(!(commit(t1) & commit(t2)), "{:?}", stage.end());
    });
}

#[test]
fn otv_observed_transaction_vanishes() {
    each(|stage| {
        let (mut t1, mut t2, mut t3) = (stage.begin(), stage.begin(), stage.begin());
        stage.set(&mut t1, 1, 11);
        stage.set(&mut t1, 2, 19);
        stage.set(&mut t2, 1, 12);
        assert!(commit(t1));
        let mut t4 = stage.begin();
        assert_eq!(stage.value(&mut t4, 1), Some(11));
        stage.set(&mut t2, 2, 18);
        let second = commit(t2);
        // What was seen of the first is still there, whatever came behind it.
        assert_eq!(stage.value(&mut t4, 2), Some(19));
        assert_eq!(stage.value(&mut t4, 1), Some(11));
        assert_eq!(stage.all(&mut t3), [(1, 10), (2, 20)]);
        assert!(commit(t3) && commit(t4));
        let expected = if second {
            [(1, 12), (2, 18)]
        } else {
            [(1, 11), (2, 19)]
        };
        assert_eq!(stage.end(), expected);
    });
}

#[test]
fn pmp_predicate_many_preceders() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        assert!(stage.by_value(&mut t1, 30).is_empty());
        stage.insert(&mut t2, 3, 30);
        assert!(commit(t2));
        assert!(stage.by_value(&mut t1, 30).is_empty());
        assert!(commit(t1));
        assert_eq!(stage.end().len(), 3);
    });
    // The same where the second writes by the predicate.
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        stage.add_to_all(&mut t1, 10);
        assert_eq!(stage.by_value(&mut t2, 20), [2]);
        stage.delete_value(&mut t2, 20);
        assert!(commit(t1));
        let second = commit(t2);
        assert!(!second, "it has deleted the document that is now 30");
        assert_eq!(stage.end(), [(1, 20), (2, 30)]);
    });
}

#[test]
fn p4_lost_update() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        let (one, two) = (
            stage.value(&mut t1, 1).unwrap(),
            stage.value(&mut t2, 1).unwrap(),
        );
        stage.set(&mut t1, 1, one + 1);
        stage.set(&mut t2, 1, two + 1);
        assert!(commit(t1));
        assert!(!commit(t2), "an addition is lost");
        assert_eq!(stage.end(), [(1, 11), (2, 20)]);
    });
}

#[test]
fn g_single_read_skew() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        assert_eq!(stage.value(&mut t1, 1), Some(10));
        assert_eq!(stage.all(&mut t2), [(1, 10), (2, 20)]);
        stage.set(&mut t2, 1, 12);
        stage.set(&mut t2, 2, 18);
        assert!(commit(t2));
        assert_eq!(stage.value(&mut t1, 2), Some(20));
        assert!(commit(t1), "who only reads is never refused");
        assert_eq!(stage.end(), [(1, 12), (2, 18)]);
    });
    // The same where the first writes by what it has read.
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        assert_eq!(stage.value(&mut t1, 1), Some(10));
        stage.set(&mut t2, 1, 12);
        stage.set(&mut t2, 2, 18);
        assert!(commit(t2));
        stage.delete_value(&mut t1, 20);
        assert!(!commit(t1));
        assert_eq!(stage.end(), [(1, 12), (2, 18)]);
    });
}

#[test]
fn g2_item_write_skew() {
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        for tx in [&mut t1, &mut t2] {
            assert_eq!(
                (stage.value(tx, 1), stage.value(tx, 2)),
                (Some(10), Some(20))
            );
        }
        stage.set(&mut t1, 1, 11);
        stage.set(&mut t2, 2, 21);
        assert!(commit(t1));
        assert!(!commit(t2), "each has written what the other had read");
        assert_eq!(stage.end(), [(1, 11), (2, 20)]);
    });
}

#[test]
fn g2_anti_dependency_cycles() {
    // Both read that nothing has the value, an empty range, and both add one that has.
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        for tx in [&mut t1, &mut t2] {
            assert!(stage.by_value(tx, 30).is_empty());
        }
        stage.insert(&mut t1, 3, 30);
        stage.insert(&mut t2, 4, 30);
        assert!(commit(t1));
        assert!(!commit(t2), "a phantom");
        assert_eq!(stage.end(), [(1, 10), (2, 20), (3, 30)]);
    });
    // Both count all, and both add one.
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        for tx in [&mut t1, &mut t2] {
            assert_eq!(stage.all(tx).len(), 2);
        }
        stage.insert(&mut t1, 3, 1);
        stage.insert(&mut t2, 4, 1);
        assert!(commit(t1));
        assert!(!commit(t2), "a phantom");
        assert_eq!(stage.end().len(), 3);
    });
    // The third only reads; with what it saw there is no order of the three.
    each(|stage| {
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        assert_eq!(stage.all(&mut t1), [(1, 10), (2, 20)]);
        stage.set(&mut t2, 2, 25);
        assert!(commit(t2));
        let mut t3 = stage.begin();
        assert_eq!(stage.all(&mut t3), [(1, 10), (2, 25)]);
        assert!(commit(t3));
        stage.set(&mut t1, 1, 0);
        assert!(!commit(t1));
        assert_eq!(stage.end(), [(1, 10), (2, 25)]);
    });
}

/// The parsing of operators is beside the point elsewhere in this file; here they are what writes.
#[test]
fn additions_by_operators_are_never_lost() {
    each(|stage| {
        let inc = Update::parse(&document(r#"{"$inc":{"value":1}}"#), &[]).unwrap();
        let inc = Change::Operators(inc);
        let selection = Selection::new(&document(&stage.with_id(1))).unwrap();
        let (mut t1, mut t2) = (stage.begin(), stage.begin());
        for tx in [&mut t1, &mut t2] {
            let mut within = stage.things.within(tx);
            within
                .update(&selection, &inc, &UpdateOptions::many())
                .unwrap();
        }
        assert!(commit(t1));
        assert!(!commit(t2));
        assert_eq!(
            stage
                .things
                .find(&Query::new(&document(r#"{"value":11}"#)).unwrap())
                .unwrap()
                .len(),
            1
        );
    });
}
