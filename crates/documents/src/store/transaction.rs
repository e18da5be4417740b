//! What can be done to a collection inside a transaction.

use std::sync::Arc;

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::{Transaction, TreeId, View};

use super::changes::lifecycle;
use super::collection::Collection;
use super::definition::Definition;
use super::error::Error;
use super::index::id_key;
use super::revision::Condition;
use crate::DOCUMENT_BYTES_MAX;
use crate::document::check_document;
use crate::error::DocumentError;
use crate::filter::Filter;
use crate::id::text::format;
use crate::path::{Path, field};
use crate::query::{Answers, Query};

/// A collection inside a transaction: sees the transaction's own writes, and nobody else sees
/// them before it is committed.
#[derive(Debug)]
pub struct CollectionTx<'tx> {
    pub(super) collection: Collection,
    pub(super) tx: &'tx mut Transaction,
}

impl<'tx> CollectionTx<'tx> {
    pub(crate) const fn new(collection: Collection, tx: &'tx mut Transaction) -> Self {
        Self { collection, tx }
    }

    pub(crate) const fn collection(&self) -> &Collection {
        &self.collection
    }

    pub(crate) fn view(&self) -> &dyn View {
        &*self.tx
    }

    /// Creates the collection. Returns whether it is new.
    ///
    /// # Errors
    /// When the database cannot be read or the transaction becomes too large.
    pub fn create(&mut self) -> Result<bool, Error> {
        if self.definition()?.is_some() {
            return Ok(false);
        }
        self.create_new()?;
        Ok(true)
    }

    /// Drops the collection with its documents and indexes. Returns whether there was one.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn drop_collection(&mut self) -> Result<bool, Error> {
        let Some(definition) = self.definition()? else {
            return Ok(false);
        };
        lifecycle::dropped(self.tx, &self.collection, definition.data)?;
        for index in &definition.indexes {
            self.drop_index_tree(index)?;
        }
        self.drop_tree(definition.data)?;
        self.collection
            .documents()
            .delete_definition(self.tx, self.collection.name())?;
        Ok(true)
    }

    /// Inserts a document and returns its `_id`; one is generated if the document has none. The
    /// collection is created if need be.
    ///
    /// # Errors
    /// When the document breaks a rule, or one with its `_id` is there already.
    pub fn insert(&mut self, document: &RawDocument) -> Result<RawBson, Error> {
        check_document(document)?;
        let (id, document) = self.with_id(document)?;
        let key = id_key(id.as_raw_bson_ref())?;
        let mut definition = self.definition_or_create()?;
        self.check_schema(&definition, &document)?;
        if self.tx.get(definition.data, &key)?.is_some() {
            return Err(Error::DuplicateId {
                collection: self.collection.name().to_owned(),
                id: format(id.as_raw_bson_ref())?,
            });
        }
        self.write(&mut definition, &key, None, Some(&document))?;
        Ok(id)
    }

    /// The document with this `_id`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get(&self, id: RawBsonRef<'_>) -> Result<Option<RawDocumentBuf>, Error> {
        self.collection.get_in(self.tx, id)
    }

    /// Replaces the document with this `_id` by another; inserts it if there is none. Returns
    /// whether one was replaced. The new document may leave out `_id`, but not bring another.
    ///
    /// # Errors
    /// When the document breaks a rule.
    pub fn replace(&mut self, id: RawBsonRef<'_>, document: &RawDocument) -> Result<bool, Error> {
        self.replace_if(id, document, &Condition::Any)
    }

    /// Deletes the document with this `_id`. Returns whether there was one.
    ///
    /// # Errors
    /// When the database cannot be read or the transaction becomes too large.
    pub fn delete(&mut self, id: RawBsonRef<'_>) -> Result<bool, Error> {
        self.delete_if(id, &Condition::Any)
    }

    /// The documents that a query asks for, as this transaction sees them.
    ///
    /// # Errors
    /// When the query is refused or the database cannot be read.
    pub fn find(&self, query: &Query) -> Result<Answers<'_>, Error> {
        self.collection.find_in(self.tx, query)
    }

    /// How many documents match `filter`, as this transaction sees them; see
    /// [`Collection::count`].
    ///
    /// # Errors
    /// As there.
    pub fn count(&self, filter: &Filter) -> Result<u64, Error> {
        self.collection.count_in(self.tx, filter, None)
    }

    /// The different values under `path`, as this transaction sees them; see
    /// [`Collection::distinct`].
    ///
    /// # Errors
    /// As there.
    pub fn distinct(&self, path: &Path, filter: &Filter) -> Result<Vec<RawBson>, Error> {
        self.collection.distinct_in(self.tx, path, filter, None)
    }

    pub(super) fn definition(&self) -> Result<Option<Arc<Definition>>, Error> {
        self.collection.definition_in(self.tx)
    }

    pub(super) fn definition_or_create(&mut self) -> Result<Arc<Definition>, Error> {
        match self.definition()? {
            Some(definition) => Ok(definition),
            None => self.create_new().map(Arc::new),
        }
    }

    fn create_new(&mut self) -> Result<Definition, Error> {
        let prefix = self.free_prefix()?;
        let definition = Definition {
            data: self.create_tree(&format!("{prefix}/data"))?,
            prefix: prefix.into(),
            indexes: Vec::new(),
            schema: None,
            require_conditions: false,
        };
        self.put_definition(&definition)?;
        lifecycle::created(self.tx, self.collection.name(), definition.data)?;
        Ok(definition)
    }

    pub(super) fn put_definition(&mut self, definition: &Definition) -> Result<(), Error> {
        self.collection
            .documents()
            .put_definition(self.tx, self.collection.name(), definition)
    }

    /// A prefix for the names of this collection's trees. One that was renamed keeps the trees
    /// that are called after its old name.
    fn free_prefix(&self) -> Result<String, Error> {
        let name = self.collection.name();
        let mut prefix = format!("documents/{name}");
        let mut number = 1;
        while self.tx.tree(&format!("{prefix}/data"))?.is_some() {
            number += 1;
            prefix = format!("documents/{name}~{number}");
        }
        Ok(prefix)
    }

    pub(super) fn create_tree(&mut self, name: &str) -> Result<TreeId, Error> {
        Ok(self.tx.create_tree(name)?)
    }

    pub(super) fn drop_tree(&mut self, tree: TreeId) -> Result<(), Error> {
        if let Some(name) = self.tx.tree_name(tree)? {
            self.tx.drop_tree(&name)?;
        }
        Ok(())
    }

    /// Refuses a document that does not satisfy the collection's schema.
    pub(super) fn check_schema(
        &self,
        definition: &Definition,
        document: &RawDocument,
    ) -> Result<(), Error> {
        match &definition.schema {
            Some(schema) => schema.check(self.collection.name(), document),
            None => Ok(()),
        }
    }

    /// Writes what becomes of the document at `key`, which satisfies the schema, and brings the
    /// indexes along. If an index refuses the document, nothing has been written.
    pub(super) fn write(
        &mut self,
        definition: &mut Arc<Definition>,
        key: &[u8],
        before: Option<&RawDocument>,
        after: Option<&RawDocument>,
    ) -> Result<(), Error> {
        self.change_index_rows(definition, key, before, after)?;
        match after {
            Some(after) => self.tx.put(definition.data, key, after.as_bytes())?,
            None => self.tx.delete(definition.data, key)?,
        }
        Ok(())
    }

    pub(super) fn stored(
        &self,
        definition: &Definition,
        key: &[u8],
    ) -> Result<Option<RawDocumentBuf>, Error> {
        self.collection.stored_in(self.tx, definition, key)
    }

    /// The document's `_id`, generated if it has none, and the document with it in first place.
    pub(super) fn with_id(
        &self,
        document: &RawDocument,
    ) -> Result<(RawBson, RawDocumentBuf), Error> {
        let id = match field(document, "_id")? {
            Some(id) => id.into(),
            None => self.collection.documents().new_id()?,
        };
        let document = first_id(id.as_raw_bson_ref(), document)?;
        Ok((id, document))
    }
}

/// `document` with `id` as its first field.
pub(super) fn first_id(
    id: RawBsonRef<'_>,
    document: &RawDocument,
) -> Result<RawDocumentBuf, Error> {
    let first = document
        .iter_elements()
        .next()
        .transpose()
        .map_err(crate::ValueError::from)?;
    if first.is_some_and(|element| element.key() == "_id") {
        return Ok(document.to_owned());
    }
    let mut ordered = RawDocumentBuf::new();
    ordered.append(bson::raw::cstr!("_id"), id);
    for element in document {
        let (name, value) = element.map_err(crate::ValueError::from)?;
        if name != "_id" {
            ordered.append(name, value);
        }
    }
    let bytes = ordered.as_bytes().len();
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(DocumentError::TooLarge { bytes }.into());
    }
    Ok(ordered)
}
