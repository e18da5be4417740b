//! What can be done to a collection inside a transaction.

use std::sync::Arc;

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::{Transaction, TreeId, View};

use super::collection::Collection;
use super::definition::{Definition, IndexDefinition};
use super::error::Error;
use super::index::{entry_keys, id_key};
use crate::DOCUMENT_BYTES_MAX;
use crate::document::check_document;
use crate::error::DocumentError;
use crate::id;
use crate::id::text::format;
use crate::path::{Path, field};
use crate::query::{Answers, Query};

/// A collection inside a transaction: sees the transaction's own writes, and nobody else sees
/// them before it is committed.
#[derive(Debug)]
pub struct CollectionTx<'tx> {
    collection: Collection,
    tx: &'tx mut Transaction,
}

impl<'tx> CollectionTx<'tx> {
    pub(crate) const fn new(collection: Collection, tx: &'tx mut Transaction) -> Self {
        Self { collection, tx }
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
        for index in &definition.indexes {
            self.tx.drop_tree(&self.index_tree_name(&index.path))?;
        }
        self.tx.drop_tree(&self.data_tree_name())?;
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
        let mut definition = self.definition_or_create()?;
        let key = id_key(id.as_raw_bson_ref())?;
        if self.tx.get(definition.data, &key)?.is_some() {
            return Err(Error::DuplicateId {
                collection: self.collection.name().to_owned(),
                id: format(id.as_raw_bson_ref())?,
            });
        }
        self.tx.put(definition.data, &key, document.as_bytes())?;
        self.change_index_rows(&mut definition, &key, None, Some(&document))?;
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
        check_document(document)?;
        id::check(id)?;
        let key = id_key(id)?;
        let document = match field(document, "_id")? {
            None => first_id(id, document)?,
            Some(found) if id_key(found)? == key => first_id(found, document)?,
            Some(found) => {
                return Err(Error::IdChanged {
                    expected: format(id)?,
                    found: format(found)?,
                });
            }
        };
        let mut definition = self.definition_or_create()?;
        let before = self.stored(&definition, &key)?;
        self.tx.put(definition.data, &key, document.as_bytes())?;
        self.change_index_rows(&mut definition, &key, before.as_deref(), Some(&document))?;
        Ok(before.is_some())
    }

    /// Deletes the document with this `_id`. Returns whether there was one.
    ///
    /// # Errors
    /// When the database cannot be read or the transaction becomes too large.
    pub fn delete(&mut self, id: RawBsonRef<'_>) -> Result<bool, Error> {
        let Some(mut definition) = self.definition()? else {
            return Ok(false);
        };
        let key = id_key(id)?;
        let Some(before) = self.stored(&definition, &key)? else {
            return Ok(false);
        };
        self.tx.delete(definition.data, &key)?;
        self.change_index_rows(&mut definition, &key, Some(&before), None)?;
        Ok(true)
    }

    /// The documents that a query asks for, as this transaction sees them.
    ///
    /// # Errors
    /// When the query is refused or the database cannot be read.
    pub fn find(&self, query: &Query) -> Result<Answers<'_>, Error> {
        self.collection.find_in(self.tx, query)
    }

    /// Adds an index that holds no document yet and is not read yet, but kept up to date from
    /// now on. Returns its tree if it has to be filled.
    pub(crate) fn begin_index(&mut self, path: &Path) -> Result<Option<TreeId>, Error> {
        if path.as_str() == "_id" {
            let (path, reason) = (
                "_id".to_owned(),
                "every collection has that index".to_owned(),
            );
            return Err(Error::IndexPath { path, reason });
        }
        let definition = self.definition_or_create()?;
        if let Some(index) = definition.index(path.as_str()) {
            return Ok((!index.ready).then_some(index.tree));
        }
        let tree = self.tx.create_tree(&self.index_tree_name(path))?;
        let mut changed = Definition::clone(&definition);
        let index = IndexDefinition {
            path: path.clone(),
            tree,
            multikey: false,
            ready: false,
        };
        changed.indexes.push(index);
        self.put_definition(&changed)?;
        Ok(Some(tree))
    }

    /// Puts the index rows of the document at `key`, which the index may lack still.
    pub(crate) fn fill_index(
        &mut self,
        path: &Path,
        tree: TreeId,
        key: &[u8],
    ) -> Result<(), Error> {
        let mut definition = self.required_definition(path, tree)?;
        let Some(document) = self.stored(&definition, key)? else {
            return Ok(());
        };
        let index = definition
            .indexes
            .iter()
            .position(|index| index.path == *path);
        if let Some(at) = index {
            self.put_index_rows(&mut definition, at, key, &document)?;
        }
        Ok(())
    }

    /// Releases an index for reading.
    pub(crate) fn finish_index(&mut self, path: &Path, tree: TreeId) -> Result<(), Error> {
        let mut changed = Definition::clone(&*self.required_definition(path, tree)?);
        if let Some(index) = changed.index_mut(path.as_str()) {
            index.ready = true;
        }
        self.put_definition(&changed)
    }

    /// Drops an index that cannot be filled, unless another has replaced or finished it.
    pub(crate) fn abandon_index(&mut self, path: &Path, tree: TreeId) -> Result<(), Error> {
        let begun = self.definition()?.is_some_and(|known| {
            let index = known.index(path.as_str());
            index.is_some_and(|index| index.tree == tree && !index.ready)
        });
        if begun {
            self.drop_index(path.as_str())?;
        }
        Ok(())
    }

    /// Drops an index. Returns whether there was one.
    ///
    /// # Errors
    /// When the database cannot be read or the transaction becomes too large.
    pub fn drop_index(&mut self, path: &str) -> Result<bool, Error> {
        let Some(definition) = self.definition()? else {
            return Ok(false);
        };
        let Some(index) = definition.index(path) else {
            return Ok(false);
        };
        self.tx.drop_tree(&self.index_tree_name(&index.path))?;
        let mut changed = Definition::clone(&definition);
        changed.indexes.retain(|index| index.path.as_str() != path);
        self.put_definition(&changed)?;
        Ok(true)
    }

    /// The definition, if it has the index that lies in `tree`. One on the same path that lies in
    /// another is another: somebody has dropped the first and begun anew.
    fn required_definition(&self, path: &Path, tree: TreeId) -> Result<Arc<Definition>, Error> {
        let definition = self.definition()?.filter(|known| {
            let index = known.index(path.as_str());
            index.is_some_and(|index| index.tree == tree)
        });
        definition.ok_or_else(|| Error::NoSuchIndex {
            collection: self.collection.name().to_owned(),
            path: path.as_str().to_owned(),
        })
    }

    fn definition(&self) -> Result<Option<Arc<Definition>>, Error> {
        self.collection.definition_in(self.tx)
    }

    fn definition_or_create(&mut self) -> Result<Arc<Definition>, Error> {
        match self.definition()? {
            Some(definition) => Ok(definition),
            None => self.create_new().map(Arc::new),
        }
    }

    fn create_new(&mut self) -> Result<Definition, Error> {
        let data = self.tx.create_tree(&self.data_tree_name())?;
        let definition = Definition {
            data,
            indexes: Vec::new(),
        };
        self.put_definition(&definition)?;
        Ok(definition)
    }

    fn put_definition(&mut self, definition: &Definition) -> Result<(), Error> {
        self.collection
            .documents()
            .put_definition(self.tx, self.collection.name(), definition)
    }

    fn data_tree_name(&self) -> String {
        format!("documents/{}/data", self.collection.name())
    }

    fn index_tree_name(&self, path: &Path) -> String {
        format!("documents/{}/index/{path}", self.collection.name())
    }

    fn stored(&self, definition: &Definition, key: &[u8]) -> Result<Option<RawDocumentBuf>, Error> {
        self.collection.stored_in(self.tx, definition, key)
    }

    /// The document's `_id`, generated if it has none, and the document with it in first place.
    fn with_id(&self, document: &RawDocument) -> Result<(RawBson, RawDocumentBuf), Error> {
        let id = match field(document, "_id")? {
            Some(id) => id.into(),
            None => self.collection.documents().new_id()?,
        };
        let document = first_id(id.as_raw_bson_ref(), document)?;
        Ok((id, document))
    }

    /// Brings the indexes from `before` to `after`.
    fn change_index_rows(
        &mut self,
        definition: &mut Arc<Definition>,
        key: &[u8],
        before: Option<&RawDocument>,
        after: Option<&RawDocument>,
    ) -> Result<(), Error> {
        for at in 0..definition.indexes.len() {
            if let Some(before) = before {
                let index = &definition.indexes[at];
                let values = match entry_keys(&index.path, before) {
                    Ok(entries) => entries.keys,
                    // It came before the index, which is not filled yet and has no row of it.
                    Err(Error::KeyTooLarge { .. }) => Vec::new(),
                    Err(error) => return Err(error),
                };
                for value in values {
                    self.tx.delete(index.tree, &[&value, key].concat())?;
                }
            }
            if let Some(after) = after {
                self.put_index_rows(definition, at, key, after)?;
            }
        }
        Ok(())
    }

    fn put_index_rows(
        &mut self,
        definition: &mut Arc<Definition>,
        at: usize,
        key: &[u8],
        document: &RawDocument,
    ) -> Result<(), Error> {
        let index = &definition.indexes[at];
        let entries = entry_keys(&index.path, document)?;
        for value in entries.keys {
            self.tx.put(index.tree, &[&value, key].concat(), &[])?;
        }
        if !entries.single && !index.multikey {
            let mut changed = Definition::clone(definition);
            changed.indexes[at].multikey = true;
            self.put_definition(&changed)?;
            *definition = Arc::new(changed);
        }
        Ok(())
    }
}

/// `document` with `id` as its first field.
fn first_id(id: RawBsonRef<'_>, document: &RawDocument) -> Result<RawDocumentBuf, Error> {
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
