//! One collection; each operation in a transaction of its own.

use std::sync::Arc;

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::{
    Bytes, Direction, Error as DbError, KeyRange, Snapshot, Transaction, TreeId, View, WriteError,
};

use super::definition::{CollectionInfo, Definition, IndexDefinition};
use super::documents::Documents;
use super::error::Error;
use super::index::{IndexSpec, id_key};
use super::transaction::CollectionTx;
use crate::query::{self, Answers, Query};

/// How many documents an index build takes in per transaction.
const BUILD_CHUNK: usize = 500;

/// A collection of documents. Clones mean the same collection; whether it exists is looked up by
/// each operation.
#[derive(Clone, Debug)]
pub struct Collection {
    documents: Documents,
    name: Arc<str>,
}

impl Collection {
    pub(crate) fn new(documents: Documents, name: &str) -> Self {
        Self {
            documents,
            name: name.into(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All collections of its database.
    #[must_use]
    pub const fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Works on the collection inside a transaction.
    #[must_use]
    pub fn within<'tx>(&self, tx: &'tx mut Transaction) -> CollectionTx<'tx> {
        CollectionTx::new(self.clone(), tx)
    }

    /// Creates the collection. Returns whether it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub fn create(&self) -> Result<bool, Error> {
        self.documents.transact(|tx| self.within(tx).create())
    }

    /// Drops the collection with its documents and indexes. Returns whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_collection(&self) -> Result<bool, Error> {
        self.documents
            .transact(|tx| self.within(tx).drop_collection())
    }

    /// Inserts a document; see [`CollectionTx::insert`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn insert(&self, document: &RawDocument) -> Result<RawBson, Error> {
        self.documents
            .transact(|tx| self.within(tx).insert(document))
    }

    /// Inserts several documents, all or none, and returns their `_id`s.
    ///
    /// # Errors
    /// As [`Self::insert`], with the number of the document (from 0) that is at fault.
    pub fn insert_many(
        &self,
        documents: &[RawDocumentBuf],
    ) -> Result<Vec<RawBson>, (usize, Error)> {
        let mut at_fault = 0;
        let inserted = self.documents.transact(|tx| {
            let mut collection = self.within(tx);
            let insert = |(number, document): (usize, &RawDocumentBuf)| {
                at_fault = number;
                collection.insert(document)
            };
            documents.iter().enumerate().map(insert).collect()
        });
        inserted.map_err(|error| (at_fault, error))
    }

    /// The document with this `_id`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get(&self, id: RawBsonRef<'_>) -> Result<Option<RawDocumentBuf>, Error> {
        self.get_in(&self.documents.database().snapshot(), id)
    }

    /// Replaces a document, or inserts it; see [`CollectionTx::replace`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn replace(&self, id: RawBsonRef<'_>, document: &RawDocument) -> Result<bool, Error> {
        self.documents
            .transact(|tx| self.within(tx).replace(id, document))
    }

    /// Deletes a document. Returns whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete(&self, id: RawBsonRef<'_>) -> Result<bool, Error> {
        self.documents.transact(|tx| self.within(tx).delete(id))
    }

    /// The documents that a query asks for. The answers stand still at the newest state: they are
    /// read as they are asked for, and what is written meanwhile does not show.
    ///
    /// # Errors
    /// When the query is refused or the database cannot be read.
    pub fn find(&self, query: &Query) -> Result<Vec<RawDocumentBuf>, Error> {
        self.find_in(&self.documents.database().snapshot(), query)?
            .collect()
    }

    /// As [`Self::find`], one by one, in a state that the caller holds.
    ///
    /// # Errors
    /// As there.
    pub fn find_in<'v>(&self, view: &'v dyn View, query: &Query) -> Result<Answers<'v>, Error> {
        let clock = &self.documents.database().env().clock;
        let definition = self.definition_in(view)?;
        query::find(view, clock, &self.name, definition, query)
    }

    /// Whether the collection exists in a state that the caller holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn exists_in(&self, view: &dyn View) -> Result<bool, Error> {
        Ok(self.definition_in(view)?.is_some())
    }

    /// The collection's indexes, if it exists.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn info(&self) -> Result<Option<CollectionInfo>, Error> {
        let definition = self.definition_in(&self.documents.database().snapshot())?;
        Ok(definition.map(|definition| CollectionInfo {
            name: self.name.to_string(),
            indexes: definition
                .indexes
                .iter()
                .map(IndexDefinition::info)
                .collect(),
        }))
    }

    /// Creates an index, or finishes one whose creation was interrupted. Returns whether there was
    /// anything to do. Others read and write meanwhile; queries use the index when this returns.
    /// `progress` hears how many documents have been taken in.
    ///
    /// # Errors
    /// When a document cannot be in the index, or the database fails.
    pub fn create_index(&self, spec: &IndexSpec, progress: impl FnMut(u64)) -> Result<bool, Error> {
        let begun = self
            .documents
            .transact(|tx| self.within(tx).begin_index(spec))?;
        let Some(tree) = begun else {
            return Ok(false);
        };
        let name = spec.name();
        if let Err(error) = self.fill_index(name, tree, progress) {
            if matches!(error, Error::KeyTooLarge { .. }) || is_too_large(&error) {
                // The index could never be finished, and would go on refusing documents.
                self.documents
                    .transact(|tx| self.within(tx).abandon_index(name, tree))?;
            }
            return Err(error);
        }
        self.documents
            .transact(|tx| self.within(tx).finish_index(name, tree))?;
        Ok(true)
    }

    /// Takes all documents into an index that is kept up to date already.
    fn fill_index(
        &self,
        name: &str,
        tree: TreeId,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        // Whatever is written from here on keeps the index up to date by itself; what this
        // snapshot shows may be changed or deleted meanwhile, so each document is read again.
        let snapshot = self.documents.database().snapshot();
        let Some(definition) = self.definition_in(&snapshot)? else {
            return Ok(());
        };
        let mut keys = snapshot.scan(definition.data, KeyRange::all(), Direction::Forward)?;
        let mut done = 0;
        loop {
            let chunk = keys
                .by_ref()
                .take(BUILD_CHUNK)
                .map(|row| row.map(|row| row.0));
            let chunk = chunk.collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.fill_chunk(name, tree, &chunk)?;
            done += chunk.len() as u64;
            progress(done);
        }
    }

    /// Takes documents into an index: in one transaction, or in more if they have so many values
    /// that one would be too large.
    fn fill_chunk(&self, name: &str, tree: TreeId, keys: &[Bytes]) -> Result<(), Error> {
        let filled = self.documents.transact(|tx| {
            let mut collection = self.within(tx);
            keys.iter()
                .try_for_each(|key| collection.fill_index(name, tree, key))
        });
        match filled {
            Err(error) if keys.len() > 1 && is_too_large(&error) => {
                let (first, second) = keys.split_at(keys.len() / 2);
                self.fill_chunk(name, tree, first)?;
                self.fill_chunk(name, tree, second)
            }
            filled => filled,
        }
    }

    /// Drops the index called `name`. Returns whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_index(&self, name: &str) -> Result<bool, Error> {
        self.documents
            .transact(|tx| self.within(tx).drop_index(name))
    }

    /// A state of the database to read from, more than once if need be.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.documents.database().snapshot()
    }

    pub(crate) fn definition_in(&self, view: &dyn View) -> Result<Option<Arc<Definition>>, Error> {
        self.documents.definition(view, &self.name)
    }

    /// The document with this `_id` in a state that the caller holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get_in(
        &self,
        view: &dyn View,
        id: RawBsonRef<'_>,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        let Some(definition) = self.definition_in(view)? else {
            return Ok(None);
        };
        self.stored_in(view, &definition, &id_key(id)?)
    }

    pub(crate) fn stored_in(
        &self,
        view: &dyn View,
        definition: &Definition,
        key: &[u8],
    ) -> Result<Option<RawDocumentBuf>, Error> {
        match view.get(definition.data, key)? {
            Some(bytes) => query::stored_document(&self.name, &bytes).map(Some),
            None => Ok(None),
        }
    }
}

fn is_too_large(error: &Error) -> bool {
    matches!(
        error,
        Error::Database(DbError::Write(WriteError::TransactionTooLarge { .. }))
    )
}
