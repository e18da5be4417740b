//! Changing and deleting documents: those that match a filter, and single ones on conditions.
//!
//! What it promises: each call is a piece of one transaction, so all of it happens or nothing. An
//! `_id` never changes. A change that changes nothing writes nothing, and counts as matched but not
//! modified. Memory is bounded by what one transaction may write: what is more is refused with
//! [`ChangeError::TooLarge`] before anything is written.
//!
//! Two upserts of one filter at once: both read that nothing matches, so the second to commit
//! conflicts, runs again, and changes what the first has inserted.

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_db::{Error as DbError, TRANSACTION_BYTES_MAX, WriteError};

use super::change::{Change, ChangeError, Selection};
use super::collection::Collection;
use super::error::Error;
use super::index::id_key;
use super::revision::Condition;
use super::transaction::{CollectionTx, first_id};
use crate::document::check_document;
use crate::id;
use crate::id::text::format;
use crate::path::field;
use crate::query::Query;
use crate::sort::Sort;
use crate::update::Now;

/// What a row costs in a transaction beside its key and value, at least.
const ROW_OVERHEAD: usize = 16;

/// Which version of a changed document comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returning {
    /// None.
    #[default]
    Nothing,
    /// The document before the change; none if an upsert has inserted it.
    Before,
    /// The document after the change.
    After,
}

/// How documents are changed.
#[derive(Clone, Debug, Default)]
pub struct UpdateOptions {
    /// All that match, not just one.
    pub many: bool,
    /// Inserts a document where none matches.
    pub upsert: bool,
    /// Which version of the document comes back, where one is changed.
    pub returning: Returning,
    /// Which of those that match is the one.
    pub sort: Option<Sort>,
}

impl UpdateOptions {
    /// Changes all documents that match.
    #[must_use]
    pub fn many() -> Self {
        Self {
            many: true,
            ..Self::default()
        }
    }

    /// Changes one document that matches.
    #[must_use]
    pub fn one() -> Self {
        Self::default()
    }

    /// The same, and inserts a document where none matches.
    #[must_use]
    pub fn or_insert(mut self) -> Self {
        self.upsert = true;
        self
    }

    /// The same, and this version of the document comes back.
    #[must_use]
    pub fn returning(mut self, returning: Returning) -> Self {
        self.returning = returning;
        self
    }
}

/// What a change has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Updated {
    /// How many documents matched.
    pub matched: u64,
    /// How many are different now.
    pub modified: u64,
    /// The `_id` of the document that was inserted, if one was.
    pub upserted: Option<RawBson>,
    /// The version that was asked for.
    pub document: Option<RawDocumentBuf>,
}

/// What a deletion has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deleted {
    /// How many documents are gone.
    pub deleted: u64,
    /// The document, where one was to be deleted.
    pub document: Option<RawDocumentBuf>,
}

impl CollectionTx<'_> {
    /// Changes the documents that are selected.
    ///
    /// # Errors
    /// When the change cannot be applied to one of them, a result breaks a rule, or all of it is
    /// too large for one transaction. The transaction may hold a part of it then: do not commit it.
    pub fn update(
        &mut self,
        selection: &Selection,
        change: &Change,
        options: &UpdateOptions,
    ) -> Result<Updated, Error> {
        if options.many && !change.is_for_many() {
            return Err(ChangeError::ReplaceMany.into());
        }
        if options.many && options.returning != Returning::Nothing {
            return Err(ChangeError::ReturnMany.into());
        }
        let now = self.now();
        let found = self.changes_to(selection, change, options, now)?;
        if found.matched == 0 && options.upsert {
            let document = change.insertion(selection, now)?;
            return self.upsert(&document, options.returning);
        }
        let (matched, modified) = (found.matched, found.changed.len() as u64);
        for (key, after) in found.changed {
            self.change_document(&key, Some(&after))
                .map_err(too_large)?;
        }
        Ok(Updated {
            matched,
            modified,
            upserted: None,
            document: found.document,
        })
    }

    /// Deletes all documents that are selected. Returns how many.
    ///
    /// # Errors
    /// When all of it is too large for one transaction, or the database cannot be read. The
    /// transaction may hold a part of it then: do not commit it.
    pub fn delete_many(&mut self, selection: &Selection) -> Result<u64, Error> {
        let keys = self.keys_of(selection)?;
        for key in &keys {
            self.change_document(key, None).map_err(too_large)?;
        }
        Ok(keys.len() as u64)
    }

    /// Deletes the first document that is selected in the order of `sort`, and returns it.
    ///
    /// # Errors
    /// When the order is refused or the database cannot be read.
    pub fn delete_one(
        &mut self,
        selection: &Selection,
        sort: Option<&Sort>,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        let query = query(selection, sort, Some(1));
        let found = self.find(&query)?.next().transpose()?;
        if let Some(document) = &found {
            self.change_document(&key_of(document)?, None)?;
        }
        Ok(found)
    }

    /// As [`Self::replace`], if the document that is there meets `condition`.
    ///
    /// # Errors
    /// [`Error::Precondition`] when it does not; else as [`Self::replace`].
    pub fn replace_if(
        &mut self,
        id: RawBsonRef<'_>,
        document: &RawDocument,
        condition: &Condition,
    ) -> Result<bool, Error> {
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
        let before = self.stored_if(id, condition)?;
        let mut definition = self.definition_or_create()?;
        if before.as_deref().map(RawDocument::as_bytes) != Some(document.as_bytes()) {
            self.check_schema(&definition, &document)?;
            self.write(&mut definition, &key, before.as_deref(), Some(&document))?;
        }
        Ok(before.is_some())
    }

    /// As [`Self::delete`], if the document that is there meets `condition`.
    ///
    /// # Errors
    /// [`Error::Precondition`] when it does not; else as [`Self::delete`].
    pub fn delete_if(&mut self, id: RawBsonRef<'_>, condition: &Condition) -> Result<bool, Error> {
        let before = self.stored_if(id, condition)?;
        if before.is_some() {
            self.change_document(&id_key(id)?, None)?;
        }
        Ok(before.is_some())
    }

    /// Changes the document with this `_id`, if it meets `condition`. With `upsert`, one is inserted
    /// where there is none.
    ///
    /// # Errors
    /// [`Error::Precondition`] when it does not; else as [`Self::update`].
    pub fn change(
        &mut self,
        id: RawBsonRef<'_>,
        change: &Change,
        condition: &Condition,
        upsert: bool,
        returning: Returning,
    ) -> Result<Updated, Error> {
        id::check(id)?;
        let before = self.stored_if(id, condition)?;
        let now = self.now();
        let selection = Selection::of_id(id)?;
        let Some(before) = before else {
            if !upsert {
                return Ok(Updated::default());
            }
            let document = change.insertion(&selection, now)?;
            return self.upsert(&document, returning);
        };
        let after = change.apply(&before, selection.filter(), now)?;
        if let Some(after) = &after {
            let definition = self.definition_or_create()?;
            self.check_schema(&definition, after)?;
            self.change_document(&id_key(id)?, Some(after))?;
        }
        Ok(Updated {
            matched: 1,
            modified: u64::from(after.is_some()),
            upserted: None,
            document: chosen(returning, before, after.as_ref()),
        })
    }

    fn now(&self) -> Now {
        self.collection().documents().now()
    }

    fn stored_if(
        &self,
        id: RawBsonRef<'_>,
        condition: &Condition,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        let stored = self.get(id)?;
        condition.check(self.collection().name(), id, stored.as_deref())?;
        Ok(stored)
    }

    fn upsert(&mut self, document: &RawDocument, returning: Returning) -> Result<Updated, Error> {
        let id = self.insert(document)?;
        let document = match returning {
            Returning::After => self.get(id.as_raw_bson_ref())?,
            Returning::Before | Returning::Nothing => None,
        };
        Ok(Updated {
            matched: 0,
            modified: 0,
            upserted: Some(id),
            document,
        })
    }

    /// Writes what becomes of a document that exists.
    fn change_document(&mut self, key: &[u8], after: Option<&RawDocument>) -> Result<(), Error> {
        let mut definition = self.definition_or_create()?;
        let before = self.stored(&definition, key)?;
        self.write(&mut definition, key, before.as_deref(), after)
    }

    /// What the change makes of the documents that match. Nothing is written yet: a document must
    /// not be found again because it was changed.
    fn changes_to(
        &self,
        selection: &Selection,
        change: &Change,
        options: &UpdateOptions,
        now: Now,
    ) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        let mut bytes = 0;
        let Some(definition) = self.definition()? else {
            return Ok(changes);
        };
        let limit = (!options.many).then_some(1);
        for document in self.find(&query(selection, options.sort.as_ref(), limit))? {
            let document = document?;
            changes.matched += 1;
            let after = change.apply(&document, selection.filter(), now)?;
            let key = key_of(&document)?;
            if !options.many {
                changes.document = chosen(options.returning, document, after.as_ref());
            }
            if let Some(after) = after {
                self.check_schema(&definition, &after)?;
                bytes += key.len() + after.as_bytes().len() + ROW_OVERHEAD;
                fits(bytes)?;
                changes.changed.push((key, after));
            }
        }
        Ok(changes)
    }

    fn keys_of(&self, selection: &Selection) -> Result<Vec<Vec<u8>>, Error> {
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for document in self.find(&query(selection, None, None))? {
            let key = key_of(&document?)?;
            bytes += key.len() + ROW_OVERHEAD;
            fits(bytes)?;
            keys.push(key);
        }
        Ok(keys)
    }
}

/// What becomes of documents.
#[derive(Default)]
struct Changes {
    matched: u64,
    /// Their keys, and what they are afterwards.
    changed: Vec<(Vec<u8>, RawDocumentBuf)>,
    document: Option<RawDocumentBuf>,
}

fn query(selection: &Selection, sort: Option<&Sort>, limit: Option<usize>) -> Query {
    Query {
        filter: selection.filter().clone(),
        sort: sort.cloned(),
        limit,
        ..Query::default()
    }
}

fn key_of(document: &RawDocument) -> Result<Vec<u8>, Error> {
    // Every stored document has one; none has the key of null.
    id_key(field(document, "_id")?.unwrap_or(RawBsonRef::Null))
}

fn chosen(
    returning: Returning,
    before: RawDocumentBuf,
    after: Option<&RawDocumentBuf>,
) -> Option<RawDocumentBuf> {
    match returning {
        Returning::Nothing => None,
        Returning::Before => Some(before),
        Returning::After => Some(after.cloned().unwrap_or(before)),
    }
}

fn fits(bytes: usize) -> Result<(), Error> {
    let limit = TRANSACTION_BYTES_MAX;
    if bytes > limit {
        return Err(ChangeError::TooLarge { limit }.into());
    }
    Ok(())
}

/// Says of a transaction that became too large what that means for a change of many.
fn too_large(error: Error) -> Error {
    match error {
        Error::Database(DbError::Write(WriteError::TransactionTooLarge { limit, .. })) => {
            ChangeError::TooLarge { limit }.into()
        }
        other => other,
    }
}

impl Collection {
    /// Changes the documents that are selected; see [`CollectionTx::update`].
    ///
    /// # Errors
    /// As there, or when the commit fails. Nothing is changed then.
    pub fn update(
        &self,
        selection: &Selection,
        change: &Change,
        options: &UpdateOptions,
    ) -> Result<Updated, Error> {
        self.documents()
            .transact(|tx| self.within(tx).update(selection, change, options))
    }

    /// Deletes all documents that are selected. Returns how many.
    ///
    /// # Errors
    /// As [`CollectionTx::delete_many`], or when the commit fails. Nothing is deleted then.
    pub fn delete_many(&self, selection: &Selection) -> Result<u64, Error> {
        self.documents()
            .transact(|tx| self.within(tx).delete_many(selection))
    }

    /// Deletes the first document that is selected in the order of `sort`, and returns it.
    ///
    /// # Errors
    /// As [`CollectionTx::delete_one`], or when the commit fails.
    pub fn delete_one(
        &self,
        selection: &Selection,
        sort: Option<&Sort>,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        self.documents()
            .transact(|tx| self.within(tx).delete_one(selection, sort))
    }

    /// Replaces a document on a condition; see [`CollectionTx::replace_if`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn replace_if(
        &self,
        id: RawBsonRef<'_>,
        document: &RawDocument,
        condition: &Condition,
    ) -> Result<bool, Error> {
        self.documents()
            .transact(|tx| self.within(tx).replace_if(id, document, condition))
    }

    /// Deletes a document on a condition; see [`CollectionTx::delete_if`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn delete_if(&self, id: RawBsonRef<'_>, condition: &Condition) -> Result<bool, Error> {
        self.documents()
            .transact(|tx| self.within(tx).delete_if(id, condition))
    }

    /// Changes a document on a condition; see [`CollectionTx::change`].
    ///
    /// # Errors
    /// As there, or when the commit fails.
    pub fn change(
        &self,
        id: RawBsonRef<'_>,
        change: &Change,
        condition: &Condition,
        upsert: bool,
        returning: Returning,
    ) -> Result<Updated, Error> {
        self.documents().transact(|tx| {
            self.within(tx)
                .change(id, change, condition, upsert, returning)
        })
    }
}
