//! One collection; each operation in a transaction of its own.

use std::sync::Arc;

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::{Snapshot, Transaction, View};

use super::definition::{CollectionInfo, Definition};
use super::documents::Documents;
use super::error::Error;
use super::index::id_key;
use super::transaction::CollectionTx;
use crate::filter::Filter;
use crate::path::Path;
use crate::query::{self, Access, Answers, Hint, Query, State};

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
        let state = self.state_in(view)?;
        let answers = state.find(clock, query)?;
        if let Access::Index { path, .. } = answers.explain().access
            && let Some(index) = state
                .definition
                .as_ref()
                .and_then(|known| known.index(&path))
        {
            self.documents.count_use(index.tree);
        }
        Ok(answers)
    }

    /// How many documents match `filter`, exactly. All of a collection, and what an index knows by
    /// itself, are counted without reading documents.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count(&self, filter: &Filter) -> Result<u64, Error> {
        self.count_in(&self.documents.database().snapshot(), filter, None)
    }

    /// As [`Self::count`], in a state that the caller holds, and in the way that `hint` names.
    ///
    /// # Errors
    /// As there, and when the hint cannot be followed.
    pub fn count_in(
        &self,
        view: &dyn View,
        filter: &Filter,
        hint: Option<&Hint>,
    ) -> Result<u64, Error> {
        self.state_in(view)?.count(filter, hint)
    }

    /// The different values that the documents which match `filter` have under `path`, in their
    /// order. Elements of arrays count one by one, a missing field is no value, and of equal
    /// values (1 and 1.0) the one in the document with the least `_id` is returned.
    ///
    /// # Errors
    /// [`Error::TooManyValues`] when they take more than 16 MiB; when the database cannot be read.
    pub fn distinct(&self, path: &Path, filter: &Filter) -> Result<Vec<RawBson>, Error> {
        self.distinct_in(&self.documents.database().snapshot(), path, filter, None)
    }

    /// As [`Self::distinct`], in a state that the caller holds, and in the way that `hint` names.
    ///
    /// # Errors
    /// As there, and when the hint cannot be followed.
    pub fn distinct_in(
        &self,
        view: &dyn View,
        path: &Path,
        filter: &Filter,
        hint: Option<&Hint>,
    ) -> Result<Vec<RawBson>, Error> {
        self.state_in(view)?.distinct(path, filter, hint)
    }

    fn state_in<'v>(&self, view: &'v dyn View) -> Result<State<'v>, Error> {
        Ok(State {
            view,
            collection: Arc::clone(&self.name),
            definition: self.definition_in(view)?,
        })
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
        self.info_in(&self.snapshot())
    }

    pub(super) fn info_in(&self, view: &dyn View) -> Result<Option<CollectionInfo>, Error> {
        let Some(definition) = self.definition_in(view)? else {
            return Ok(None);
        };
        let name = self.name.to_string();
        let sizes = self.documents.tree_sizes();
        let indexes = self
            .documents
            .index_infos(view, &sizes, &name, &definition)?;
        Ok(Some(definition.info(name, indexes)))
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
