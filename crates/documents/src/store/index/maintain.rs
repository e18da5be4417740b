//! Keeping the indexes up to date with a document that changes.
//!
//! Only the difference is written: rows that the document has before and after stay untouched.
//! Everything that can be refused is looked at before anything is written, so a document that is
//! refused leaves nothing in the transaction.
//!
//! Unique indexes are held by reads: who puts a row looks its key up in the transaction, so of
//! two transactions that bring the same values at once, the second conflicts and finds the first
//! one's row when it runs again.

use std::sync::Arc;

use bson::raw::RawDocument;
use nexusbase_db::{Bytes, TRANSACTION_BYTES_MAX, View};

use super::row::{Rows, describe, rows};
use super::{is_of_document, text, too_large};
use crate::id::text::format;
use crate::path::field;
use crate::store::definition::{Definition, IndexDefinition};
use crate::store::error::Error;
use crate::store::transaction::CollectionTx;

/// What changes in one index.
struct Change {
    /// Its number in the definition.
    at: usize,
    removed: Vec<Vec<u8>>,
    added: Vec<Vec<u8>>,
    multikey: Vec<bool>,
}

impl CollectionTx<'_> {
    /// Brings the indexes from `before` to `after`. Call it before the document itself is put or
    /// deleted: if this fails because of the document, nothing has been written.
    ///
    /// # Errors
    /// When an index cannot hold the document, or a unique index has its values already.
    pub(in crate::store) fn change_index_rows(
        &mut self,
        definition: &mut Arc<Definition>,
        key: &[u8],
        before: Option<&RawDocument>,
        after: Option<&RawDocument>,
    ) -> Result<(), Error> {
        let mut changes = Vec::new();
        let mut bytes = 0;
        for (at, index) in definition.indexes.iter().enumerate() {
            if let Some((before, after)) = before.zip(after)
                && text::is_same(index, before, after)?
            {
                continue;
            }
            let before = match before.map(|before| rows(index, before)) {
                Some(Ok(rows)) => rows.values,
                // It came before the index, which is not filled yet and has no row of it.
                Some(Err(error)) if is_of_document(&error) => Vec::new(),
                Some(Err(error)) => return Err(error),
                None => Vec::new(),
            };
            let rows_after = after.map(|after| rows(index, after)).transpose()?;
            let Rows { values, multikey } = rows_after.unwrap_or_default();
            let (removed, added) = difference(before, values);
            let change = Change {
                at,
                removed: self.own_rows(index, removed, key)?,
                added,
                multikey,
            };
            if let Some(after) = after {
                self.refuse_duplicates(definition, &change, key, after)?;
            }
            let sizes = change.removed.iter().chain(&change.added);
            bytes += sizes.map(|row| row.len() + key.len()).sum::<usize>();
            if bytes > TRANSACTION_BYTES_MAX {
                return Err(too_large(bytes));
            }
            changes.push(change);
        }
        for change in &changes {
            let index = &definition.indexes[change.at];
            for values in &change.removed {
                let (row, _) = index.row(values, key);
                self.tx.delete(index.tree, &row)?;
            }
            for values in &change.added {
                let (row, value) = index.row(values, key);
                self.tx.put(index.tree, &row, &value)?;
            }
        }
        let found = changes.iter().map(|change| (change.at, &*change.multikey));
        self.note_multikey(definition, found)
    }

    /// Those rows that are of the document under `key`. A unique index that is being built may
    /// lack a row of it, and have one of another document with the same values.
    fn own_rows(
        &self,
        index: &IndexDefinition,
        mut values: Vec<Vec<u8>>,
        key: &[u8],
    ) -> Result<Vec<Vec<u8>>, Error> {
        if index.spec.unique && !index.ready {
            let mut failed = None;
            values.retain(|values| match self.tx.get(index.tree, values) {
                Ok(holder) => holder.is_some_and(|holder| holder == key),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            });
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Ok(values)
    }

    fn refuse_duplicates(
        &self,
        definition: &Definition,
        change: &Change,
        key: &[u8],
        document: &RawDocument,
    ) -> Result<(), Error> {
        let index = &definition.indexes[change.at];
        for values in &change.added {
            if let Some(holder) = self.other_holder(index, values, key)? {
                return Err(Error::DuplicateKey {
                    collection: self.collection.name().to_owned(),
                    index: index.name().to_owned(),
                    values: describe(index, document, values)?,
                    id: self.id_text(definition, &holder)?,
                });
            }
        }
        Ok(())
    }

    /// The `_id` key of another document that has these values in a unique index.
    pub(super) fn other_holder(
        &self,
        index: &IndexDefinition,
        values: &[u8],
        key: &[u8],
    ) -> Result<Option<Bytes>, Error> {
        if !index.spec.unique {
            return Ok(None);
        }
        let holder = self.tx.get(index.tree, values)?;
        Ok(holder.filter(|holder| holder != key))
    }

    /// The `_id` of a stored document, as text.
    pub(super) fn id_text(&self, definition: &Definition, key: &[u8]) -> Result<String, Error> {
        let damaged = || Error::Damaged {
            collection: self.collection.name().to_owned(),
            reason: format!(
                "an index names the document {}, which is missing",
                key.escape_ascii()
            ),
        };
        let document = self.stored(definition, key)?.ok_or_else(damaged)?;
        let id = field(&document, "_id")?.ok_or_else(damaged)?;
        Ok(format(id)?)
    }

    /// Writes into the definition which parts of indexes are multikey, where it does not say so.
    pub(super) fn note_multikey<'m>(
        &mut self,
        definition: &mut Arc<Definition>,
        found: impl Iterator<Item = (usize, &'m [bool])>,
    ) -> Result<(), Error> {
        let mut changed: Option<Definition> = None;
        for (at, flags) in found {
            let known = &definition.indexes[at].multikey;
            if flags
                .iter()
                .zip(known)
                .any(|(found, known)| *found && !known)
            {
                let changed = changed.get_or_insert_with(|| Definition::clone(definition));
                for (known, found) in changed.indexes[at].multikey.iter_mut().zip(flags) {
                    *known |= found;
                }
            }
        }
        if let Some(changed) = changed {
            self.put_definition(&changed)?;
            *definition = Arc::new(changed);
        }
        Ok(())
    }
}

/// What is only in `before`, and what is only in `after`; both are sorted.
fn difference(mut before: Vec<Vec<u8>>, mut after: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut common = Vec::new();
    if !before.is_empty() {
        after.retain(|values| {
            let place = before.binary_search(values);
            common.extend(place.ok());
            place.is_err()
        });
    }
    let mut common = common.into_iter().peekable();
    let mut place = 0;
    before.retain(|_| {
        let is_common = common.next_if_eq(&place).is_some();
        place += 1;
        !is_common
    });
    (before, after)
}
