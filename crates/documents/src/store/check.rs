//! Whether indexes agree with their documents, and making one again that does not.
//!
//! Memory does not grow with the number of documents: each is asked for the rows that it must
//! have, and, where an index has more rows than that, each row for the document that it must be
//! of. What is found is found in one snapshot,
//! so writes may go on meanwhile.

use std::fmt;

use bson::raw::RawDocument;
use nexusbase_db::{Direction, KeyRange, Snapshot, View};

use super::collection::Collection;
use super::definition::{Definition, IndexDefinition};
use super::documents::Documents;
use super::error::Error;
use super::index::id_key;
use super::index::position::Position;
use super::index::row::rows;
use crate::path::field;

/// What is wrong with a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFinding {
    /// The collection.
    pub collection: String,
    /// The name of the index; none if it is a matter of the documents.
    pub index: Option<String>,
    /// What is wrong.
    pub fault: IndexFault,
    /// The key that it was found at, as it stands in the tree.
    pub key: Vec<u8>,
}

/// How an index, or a document, is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexFault {
    /// A document has a value there, and the index has no row for it.
    Missing,
    /// A row is of no document, or of one that has no such value.
    Orphan,
    /// The definition says that each document stands in it once, and this one does not.
    NotSingle,
    /// It was begun and never finished; queries do not use it.
    Unfinished,
    /// It cannot be read.
    Unreadable(String),
    /// What is stored is not a document with the `_id` of its key.
    Document(String),
}

impl IndexFault {
    /// Whether answers may be wrong because of it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        !matches!(self, Self::Unfinished)
    }
}

impl fmt::Display for IndexFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "collection {:?}", self.collection)?;
        if let Some(name) = &self.index {
            write!(f, ", index {name}")?;
        }
        let key = self.key.escape_ascii();
        match &self.fault {
            IndexFault::Missing => write!(f, ": the row {key} of a document is missing"),
            IndexFault::Orphan => write!(f, ": the row {key} is of no document"),
            IndexFault::NotSingle => write!(
                f,
                ": the document {key} has none or several values, but the definition says that \
                 no document has"
            ),
            IndexFault::Unfinished => write!(f, ": it was never finished, and is not used"),
            IndexFault::Unreadable(reason) => write!(f, ": it cannot be read: {reason}"),
            IndexFault::Document(reason) => write!(f, ": document {key}: {reason}"),
        }
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Collections.
    pub collections: u64,
    /// Documents.
    pub documents: u64,
    /// Indexes.
    pub indexes: u64,
    /// Rows of indexes.
    pub index_rows: u64,
}

impl Documents {
    /// Holds every index of every collection against its documents, and shows what is wrong.
    ///
    /// # Errors
    /// When the definitions or the documents themselves cannot be read.
    pub fn check(&self, on_finding: &mut dyn FnMut(IndexFinding)) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        for info in self.list()? {
            let collection = self.collection(&info.name)?;
            let snapshot = self.database().snapshot();
            if let Some(definition) = collection.definition_in(&snapshot)? {
                checked.collections += 1;
                Check {
                    collection: &collection,
                    snapshot: &snapshot,
                    definition: &definition,
                    on_finding,
                    checked: &mut checked,
                }
                .run()?;
            }
        }
        Ok(checked)
    }
}

impl Collection {
    /// Drops the index called `name` and makes it again from the documents. Until it is ready,
    /// queries do without it. Returns whether there was one.
    ///
    /// # Errors
    /// As [`Collection::create_index`]; begun again, that goes on.
    pub fn rebuild_index(&self, name: &str, progress: impl FnMut(u64)) -> Result<bool, Error> {
        let begun = self.documents().transact(|tx| {
            let mut within = self.within(tx);
            let Some(spec) = within.index_spec(name)? else {
                return Ok(None);
            };
            within.drop_index(name)?;
            within.begin_index(&spec)?;
            Ok(Some(spec))
        })?;
        let Some(spec) = begun else {
            return Ok(false);
        };
        self.create_index(&spec, progress)?;
        Ok(true)
    }
}

struct Check<'a> {
    collection: &'a Collection,
    snapshot: &'a Snapshot,
    definition: &'a Definition,
    on_finding: &'a mut dyn FnMut(IndexFinding),
    checked: &'a mut Checked,
}

/// An index whose rows can be read.
struct Readable<'a> {
    index: &'a IndexDefinition,
    /// The rows that it has.
    rows: u64,
    /// The `_id` key of the last document that has rows in it for sure; none if all have.
    last: Option<Vec<u8>>,
    /// The rows that the documents up to there must have, and do have.
    right: u64,
}

impl<'a> Check<'a> {
    fn run(&mut self) -> Result<(), Error> {
        let mut readable = self.readable()?;
        let data = self.definition.data;
        for row in self
            .snapshot
            .scan(data, KeyRange::all(), Direction::Forward)?
        {
            let (key, bytes) = row?;
            self.checked.documents += 1;
            let Some(document) = self.document(&key, &bytes) else {
                continue;
            };
            for index in &mut readable {
                if index.last.as_ref().is_none_or(|last| key <= *last) {
                    index.right += self.document_has_rows(index.index, &key, document)?;
                }
            }
        }
        for index in readable {
            // No two documents can have the same row, so as many as are right are all.
            if index.right != index.rows {
                self.rows_are_of_documents(index.index)?;
            }
        }
        Ok(())
    }

    fn readable(&mut self) -> Result<Vec<Readable<'a>>, Error> {
        let mut readable = Vec::new();
        let definition = self.definition;
        for index in &definition.indexes {
            self.checked.indexes += 1;
            let rows = match self.count(index) {
                Ok(rows) => rows,
                Err(error) => {
                    let reason = error.to_string();
                    self.find(Some(index), IndexFault::Unreadable(reason), &[]);
                    continue;
                }
            };
            self.checked.index_rows += rows;
            let mut last = None;
            if !index.ready {
                self.find(Some(index), IndexFault::Unfinished, &[]);
                let name = self.collection.name();
                last = Some(Position::read(self.snapshot, index.tree, name)?.last);
            }
            readable.push(Readable {
                index,
                rows,
                last,
                right: 0,
            });
        }
        Ok(readable)
    }

    fn count(&self, index: &IndexDefinition) -> Result<u64, Error> {
        let rows = self
            .snapshot
            .scan(index.tree, KeyRange::all(), Direction::Forward)?;
        let mut count = 0;
        for row in rows {
            row?;
            count += 1;
        }
        Ok(count)
    }

    fn find(&mut self, index: Option<&IndexDefinition>, fault: IndexFault, key: &[u8]) {
        (self.on_finding)(IndexFinding {
            collection: self.collection.name().to_owned(),
            index: index.map(|index| index.name().to_owned()),
            fault,
            key: key.to_vec(),
        });
    }

    /// The document that is stored, if it is one and has the right `_id`.
    fn document<'d>(&mut self, key: &[u8], bytes: &'d [u8]) -> Option<&'d RawDocument> {
        match read_document(key, bytes) {
            Ok(document) => Some(document),
            Err(reason) => {
                self.find(None, IndexFault::Document(reason), key);
                None
            }
        }
    }

    /// How many of the rows that a document must have are there.
    fn document_has_rows(
        &mut self,
        index: &IndexDefinition,
        key: &[u8],
        document: &RawDocument,
    ) -> Result<u64, Error> {
        let rows = match rows(index, document) {
            Ok(rows) => rows,
            Err(error) => {
                self.find(None, IndexFault::Document(error.to_string()), key);
                return Ok(0);
            }
        };
        let mut flags = rows.multikey.iter().zip(&index.multikey);
        if flags.any(|(found, known)| *found && !known) {
            self.find(Some(index), IndexFault::NotSingle, key);
        }
        let mut right = 0;
        for values in rows.values {
            let (row, value) = index.row(&values, key);
            let found = self.snapshot.get(index.tree, &row)?;
            if found.is_some_and(|found| *found == *value) {
                right += 1;
            } else {
                self.find(Some(index), IndexFault::Missing, &row);
            }
        }
        Ok(right)
    }

    /// Finds the rows that are of no document.
    fn rows_are_of_documents(&mut self, index: &IndexDefinition) -> Result<(), Error> {
        let data = self.definition.data;
        for row in self
            .snapshot
            .scan(index.tree, KeyRange::all(), Direction::Forward)?
        {
            let (row, value) = row?;
            let parts = index.split_row(&row, &value);
            let document = match parts {
                Some((_, id)) => self.snapshot.get(data, id)?,
                None => None,
            };
            let belongs = parts.zip(document).is_some_and(|((values, id), document)| {
                // A document that is damaged is found with the documents.
                read_document(id, &document).is_ok_and(|document| {
                    rows(index, document)
                        .is_ok_and(|rows| rows.values.iter().any(|key| key == values))
                })
            });
            if !belongs {
                self.find(Some(index), IndexFault::Orphan, &row);
            }
        }
        Ok(())
    }
}

fn read_document<'d>(key: &[u8], bytes: &'d [u8]) -> Result<&'d RawDocument, String> {
    let document = RawDocument::from_bytes(bytes).map_err(|e| e.to_string())?;
    let id = field(document, "_id").map_err(|e| e.to_string())?;
    let id = id.ok_or("it has no _id")?;
    let found = id_key(id).map_err(|e| e.to_string())?;
    if found != key {
        return Err(format!(
            "it lies under the key {}, and its _id belongs under {}",
            key.escape_ascii(),
            found.escape_ascii()
        ));
    }
    Ok(document)
}
