//! Indexes of every kind agree with their documents, whatever was done and in whatever order.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bson::raw::{RawBson, RawDocumentBuf};
use bson::{Bson, DateTime, Document, doc};
use nexusbase_db::Database;
use nexusbase_documents::store::Built;
use nexusbase_documents::{Collection, Documents, Error, IndexSpec};
use nexusbase_io::sim::{SimClock, SimDisk};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{findings, id, index, open, rows, tree_of};

/// So many different `_id`s.
const IDS: i32 = 10;
/// So many different names of indexes.
const NAMES: usize = 4;

#[derive(Clone, Debug)]
enum Operation {
    Insert(i32, Document),
    Replace(i32, Document),
    Delete(i32),
    /// Both documents in one transaction.
    ReplaceTwo(i32, i32, Document),
    /// Creates an index, or goes on with it.
    Create(usize, Box<IndexSpec>),
    /// Begins one, and stops at once.
    Begin(usize, Box<IndexSpec>),
    Drop(usize),
    Rebuild(usize),
    /// A crash, and a new start.
    Reopen(u64),
}

fn leaf() -> impl Strategy<Value = Bson> {
    select(vec![
        Bson::Null,
        Bson::Int32(1),
        Bson::Double(1.0),
        Bson::Int64(2),
        Bson::Int32(3),
        Bson::String("x".to_owned()),
        Bson::DateTime(DateTime::from_millis(5)),
        Bson::Boolean(true),
        Bson::Array(Vec::new()),
    ])
}

/// Objects, arrays, and arrays of objects with arrays.
fn value() -> impl Strategy<Value = Bson> {
    leaf().prop_recursive(4, 12, 3, |inner| {
        let object = (
            proptest::option::of(inner.clone()),
            proptest::option::of(inner.clone()),
        );
        let object = object.prop_map(|(x, y)| {
            let mut object = Document::new();
            if let Some(x) = x {
                object.insert("x", x);
            }
            if let Some(y) = y {
                object.insert("y", y);
            }
            Bson::Document(object)
        });
        prop_oneof![3 => object, 2 => vec(inner, 0..4).prop_map(Bson::Array)]
    })
}

fn content() -> impl Strategy<Value = Document> {
    let field = || proptest::option::weighted(0.8, value());
    (field(), field()).prop_map(|(a, b)| {
        let mut content = Document::new();
        if let Some(a) = a {
            content.insert("a", a);
        }
        if let Some(b) = b {
            content.insert("b", b);
        }
        content
    })
}

fn spec() -> impl Strategy<Value = Box<IndexSpec>> {
    let paths = [
        "a", "-b", "a.x", "a.y", "-a.x.y", "b.x", "a.0", "b.1.x", "_id",
    ];
    let paths = subsequence(paths.to_vec(), 1..4).prop_shuffle();
    let kind = (any::<bool>(), 0..6, proptest::bool::weighted(0.2));
    (paths, kind).prop_filter_map("not an index", |(paths, (unique, which, expires))| {
        let single = paths.len() == 1;
        let mut spec = IndexSpec::on(&paths.join(",")).ok()?;
        if unique {
            spec = spec.unique();
        }
        let filter = |filter: Document| RawDocumentBuf::try_from(&filter).unwrap();
        spec = match which {
            0 => spec.sparse(),
            1 => spec.partial(&filter(doc! { "a": { "$gte": 1 } })).unwrap(),
            2 => spec
                .partial(&filter(
                    doc! { "$or": [{ "b": { "$exists": true } }, { "a.x": 1 }] },
                ))
                .unwrap(),
            _ => spec,
        };
        if expires && single {
            spec = spec.expire_after(1);
        }
        Some(Box::new(spec))
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = || 0..IDS;
    let name = || 0..NAMES;
    prop_oneof![
        6 => (id(), content()).prop_map(|(id, new)| Operation::Insert(id, new)),
        6 => (id(), content()).prop_map(|(id, new)| Operation::Replace(id, new)),
        2 => (id(), id(), content()).prop_map(|(one, two, new)| Operation::ReplaceTwo(one, two, new)),
        3 => id().prop_map(Operation::Delete),
        4 => (name(), spec()).prop_map(|(name, spec)| Operation::Create(name, spec)),
        2 => (name(), spec()).prop_map(|(name, spec)| Operation::Begin(name, spec)),
        1 => name().prop_map(Operation::Drop),
        1 => name().prop_map(Operation::Rebuild),
        1 => any::<u64>().prop_map(Operation::Reopen),
    ]
}

fn raw(number: i32, content: &Document) -> RawDocumentBuf {
    let mut all = doc! { "_id": number };
    all.extend(content.clone());
    RawDocumentBuf::try_from(&all).unwrap()
}

/// A collection, and what must be in it.
struct World {
    disk: SimDisk,
    clock: SimClock,
    documents: Documents,
    things: Collection,
    model: BTreeMap<i32, RawDocumentBuf>,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(3), SimClock::manual());
        let documents = open(&disk, &clock);
        let things = documents.collection("things").unwrap();
        things.create().unwrap();
        Self {
            disk,
            clock,
            documents,
            things,
            model: BTreeMap::new(),
        }
    }

    /// The specs of all indexes, with whether they are ready.
    fn specs(&self) -> Vec<(IndexSpec, bool)> {
        let info = self.things.info().unwrap().unwrap();
        let indexes = info.indexes.into_iter();
        indexes.map(|index| (index.spec, index.ready)).collect()
    }

    /// The one that is called so, or else `new`.
    fn known(&self, name: usize, new: &IndexSpec) -> IndexSpec {
        let new = new.clone().named(&name.to_string());
        let mut specs = self.specs().into_iter().map(|(spec, _)| spec);
        specs.find(|spec| spec.name() == new.name()).unwrap_or(new)
    }

    /// Writes documents in one transaction, or finds that they are refused for a good reason.
    fn write(&mut self, new: &[RawDocumentBuf]) {
        let written = self.documents.transact(|tx| {
            let mut within = self.things.within(tx);
            for document in new {
                within.replace(document.get("_id").unwrap().unwrap(), document)?;
            }
            Ok(())
        });
        match written {
            Ok(()) => {
                for document in new {
                    self.model.insert(number(document), document.clone());
                }
            }
            Err(Error::DuplicateKey { index, .. }) => self.is_impossible(&index, new),
            Err(Error::ParallelArrays { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Builds the unique index over the documents as they would have been.
    fn is_impossible(&self, index: &str, new: &[RawDocumentBuf]) {
        let (spec, ready) = self
            .specs()
            .into_iter()
            .find(|(spec, _)| spec.name() == index)
            .unwrap();
        if new.len() > 1 || !ready {
            // Statement by statement, it may be refused on the way to what is possible; and while an
            // index is built, documents that are there already may collide.
            return;
        }
        let mut documents = self.model.clone();
        documents.extend(new.iter().map(|one| (number(one), one.clone())));
        let db = Database::in_memory().unwrap();
        let other = Documents::new(&db).collection("things").unwrap();
        let all: Vec<_> = documents.into_values().collect();
        other.insert_many(&all).unwrap();
        let built = other.create_index(&spec, |_| ());
        assert!(
            matches!(built, Err(Error::DuplicateKeys { .. })),
            "{built:?}"
        );
    }

    fn build(&self, spec: &IndexSpec, stop: bool) {
        let built = self.things.build_index(spec, |_| {
            if stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match built {
            Ok(Built::Paused) => assert!(stop),
            Ok(_) | Err(Error::DuplicateKeys { .. } | Error::ParallelArrays { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Insert(number, content) if self.model.contains_key(number) => {
                let refused = self.things.insert(&raw(*number, content));
                assert!(matches!(refused, Err(Error::DuplicateId { .. })));
            }
            Operation::Insert(number, content) | Operation::Replace(number, content) => {
                self.write(&[raw(*number, content)]);
            }
            Operation::ReplaceTwo(one, two, content) => {
                let without = doc! { "b": content.get("b").cloned().unwrap_or(Bson::Null) };
                self.write(&[raw(*one, content), raw(*two, &without)]);
            }
            Operation::Delete(number) => {
                let was = self.model.remove(number).is_some();
                assert_eq!(self.things.delete(id(*number)).unwrap(), was);
            }
            Operation::Create(name, spec) => self.build(&self.known(*name, spec), false),
            Operation::Begin(name, spec) => self.build(&self.known(*name, spec), true),
            Operation::Drop(name) => {
                self.things.drop_index(&name.to_string()).unwrap();
            }
            Operation::Rebuild(name) => {
                let built = self.things.rebuild_index(&name.to_string(), |_| ());
                match built {
                    Ok(_) | Err(Error::DuplicateKeys { .. } | Error::ParallelArrays { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Operation::Reopen(seed) => {
                self.disk.crash(*seed);
                let before = self.specs();
                self.documents = open(&self.disk, &self.clock);
                self.things = self.documents.collection("things").unwrap();
                assert_eq!(self.specs(), before);
            }
        }
    }

    fn verify(&self) {
        assert_eq!(findings(&self.documents), [""; 0]);
        for (number, document) in &self.model {
            assert_eq!(
                self.things.get(id(*number)).unwrap().as_ref(),
                Some(document)
            );
        }
    }

    /// Every index equals one that is made anew, and one that was there before the documents.
    fn compare_with_others(&self) {
        let all: Vec<_> = self.model.values().cloned().collect();
        for (spec, ready) in self.specs() {
            if !ready {
                continue;
            }
            let name = spec.name();
            let maintained = rows(&self.things, name);
            assert!(self.things.rebuild_index(name, |_| ()).unwrap());
            assert_eq!(rows(&self.things, name), maintained, "{spec:?}");
            let db = Database::in_memory().unwrap();
            let other = Documents::new(&db).collection("things").unwrap();
            index(&other, &spec);
            other.insert_many(&all).unwrap();
            assert_eq!(rows(&other, name), maintained, "{spec:?}");
        }
        self.verify();
    }
}

fn number(document: &RawDocumentBuf) -> i32 {
    match document.get("_id").unwrap().map(RawBson::from) {
        Some(RawBson::Int32(number)) => number,
        other => panic!("{other:?}"),
    }
}

/// Changes an index behind the back of its collection.
fn tamper(things: &Collection, name: &str, row: &[u8], value: Option<&[u8]>) {
    let tree = tree_of(things, name);
    let tampered = things.documents().transact(|tx| {
        match value {
            Some(value) => tx.put(tree, row, value)?,
            None => tx.delete(tree, row)?,
        }
        Ok(())
    });
    tampered.unwrap();
}

#[test]
fn rows_that_lack_or_should_not_be_are_found_and_gone_after_a_rebuild() {
    for (spec, ready) in [
        (IndexSpec::on("a").unwrap(), true),
        (IndexSpec::on("a,-b").unwrap().unique(), true),
        (IndexSpec::on("a").unwrap().sparse(), true),
        (IndexSpec::on("a").unwrap(), false),
        (IndexSpec::on("a").unwrap().unique(), false),
    ] {
        let db = Database::in_memory().unwrap();
        let documents = Documents::new(&db);
        let things = documents.collection("things").unwrap();
        for (number, a) in [(1, vec![1, 2]), (2, vec![3])] {
            things.insert(&raw(number, &doc! { "a": a })).unwrap();
        }
        let built = things.build_index(&spec, |progress| {
            if ready || progress.done == 0 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        assert_eq!(built.unwrap() == Built::Finished, ready);
        assert_eq!(findings(&documents), [""; 0], "{spec:?}");
        let name = spec.name();
        let good = rows(&things, name);
        assert_eq!(good.len(), 3);
        let (key, value) = &good[1];
        tamper(&things, name, key, None);
        let found = findings(&documents);
        assert!(
            found.len() == 1 && found[0].contains("missing"),
            "{found:?}"
        );
        let other = [key, &b"x"[..]].concat();
        tamper(&things, name, key, Some(value));
        tamper(&things, name, &other, Some(value));
        let found = findings(&documents);
        assert!(
            found.len() == 1 && found[0].contains("no document"),
            "{found:?}"
        );
        tamper(&things, name, &other, None);
        tamper(&things, name, key, Some(b"other"));
        if spec == spec.clone().unique() {
            assert_eq!(
                findings(&documents).len(),
                2,
                "one is missing and one too many"
            );
        }
        assert!(things.rebuild_index(name, |_| ()).unwrap());
        assert_eq!(rows(&things, name), good);
        assert_eq!(findings(&documents), [""; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn indexes_agree_with_storage_after_any_sequence_of_operations(
        operations in vec(operation(), 1..40),
    ) {
        let mut world = World::new();
        for operation in &operations {
            world.run(operation);
        }
        world.verify();
        world.compare_with_others();
    }
}
