//! What a collection is called, and what is asked of its documents and of who changes them.

use std::sync::Arc;

use bson::raw::RawBsonRef;
use nexusbase_db::{Direction, KeyRange, View};

use super::changes::lifecycle;
use super::collection::Collection;
use super::definition::{CollectionInfo, Definition};
use super::error::Error;
use super::schema::{SchemaError, StoredSchema, VIOLATIONS_MAX};
use super::transaction::CollectionTx;
use crate::id::text::format_exact;
use crate::path::field;
use crate::query::stored_document;

impl CollectionTx<'_> {
    /// What the collection is, as this transaction sees it; none if there is no such collection.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn info(&self) -> Result<Option<CollectionInfo>, Error> {
        self.collection().info_in(self.view())
    }

    /// Whether servers must refuse changes of documents that come without a condition.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn requires_conditions(&self) -> Result<bool, Error> {
        let definition = self.definition()?;
        Ok(definition.is_some_and(|definition| definition.require_conditions))
    }

    /// Calls the collection `name` from now on; this handle means the old name still. With `replace`,
    /// another collection of that name is dropped. Returns whether there was one to rename.
    ///
    /// # Errors
    /// When no collection can have that name, or another has it and is not to be replaced.
    pub fn rename(&mut self, name: &str, replace: bool) -> Result<bool, Error> {
        let target = self.collection().documents().collection(name)?;
        let Some(definition) = self.definition()? else {
            return Ok(false);
        };
        let from = self.collection().clone();
        if target.name() == from.name() {
            return Ok(true);
        }
        let mut other = target.within(self.tx);
        if other.definition()?.is_some() {
            if !replace {
                return Err(Error::CollectionExists {
                    collection: name.to_owned(),
                });
            }
            other.drop_collection()?;
        }
        other.put_definition(&definition)?;
        let documents = from.documents();
        lifecycle::renamed(self.tx, &from, name, definition.data)?;
        documents.delete_definition(self.tx, from.name())?;
        Ok(true)
    }

    /// Demands of every document that is written from now on that it satisfies this JSON Schema, or
    /// with none that it satisfies nothing. With `check_existing`, the documents that are there
    /// must satisfy it, too. The collection is created if need be.
    ///
    /// # Errors
    /// [`SchemaError`] when the schema cannot be used or a document does not satisfy it.
    pub fn set_schema(&mut self, schema: Option<&str>, check_existing: bool) -> Result<(), Error> {
        let schema = schema.map(StoredSchema::parse).transpose()?;
        let definition = self.definition_or_create()?;
        if let Some(schema) = schema.as_ref().filter(|_| check_existing) {
            self.check_existing(&definition, schema)?;
        }
        self.set(&definition, |changed| changed.schema = schema)
    }

    /// Says whether servers must refuse changes of documents that come without a condition. The
    /// collection is created if need be.
    ///
    /// # Errors
    /// When the database cannot be read or the transaction becomes too large.
    pub fn set_require_conditions(&mut self, required: bool) -> Result<(), Error> {
        let definition = self.definition_or_create()?;
        self.set(&definition, |changed| changed.require_conditions = required)
    }

    fn set(
        &mut self,
        definition: &Arc<Definition>,
        change: impl FnOnce(&mut Definition),
    ) -> Result<(), Error> {
        let mut changed = Definition::clone(definition);
        change(&mut changed);
        if changed != **definition {
            self.put_definition(&changed)?;
            lifecycle::options_changed(self.tx, definition.data)?;
        }
        Ok(())
    }

    fn check_existing(
        &mut self,
        definition: &Definition,
        schema: &StoredSchema,
    ) -> Result<(), Error> {
        let name = self.collection().name().to_owned();
        let mut ids = Vec::new();
        let rows = self
            .tx
            .scan(definition.data, KeyRange::all(), Direction::Forward)?;
        for row in rows {
            let document = stored_document(&name, &row?.1)?;
            match schema.check(&name, &document) {
                Err(Error::Schema { .. }) => {
                    let id = field(&document, "_id")?.unwrap_or(RawBsonRef::Null);
                    ids.push(format_exact(id)?);
                }
                checked => checked?,
            }
            if ids.len() == VIOLATIONS_MAX {
                break;
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let collection = name;
        Err(SchemaError::Existing { collection, ids }.into())
    }
}

impl Collection {
    /// Renames the collection; see [`CollectionTx::rename`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn rename(&self, name: &str, replace: bool) -> Result<bool, Error> {
        self.documents()
            .transact(|tx| self.within(tx).rename(name, replace))
    }

    /// Sets or removes the schema; see [`CollectionTx::set_schema`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn set_schema(&self, schema: Option<&str>, check_existing: bool) -> Result<(), Error> {
        self.documents()
            .transact(|tx| self.within(tx).set_schema(schema, check_existing))
    }

    /// Says whether changes need conditions; see [`CollectionTx::set_require_conditions`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn set_require_conditions(&self, required: bool) -> Result<(), Error> {
        self.documents()
            .transact(|tx| self.within(tx).set_require_conditions(required))
    }
}
