//! Changes: what is to become of documents that exist, and what an upsert puts where none does.

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf, cstr};

use super::error::Error;
use super::index::id_key;
use super::transaction::first_id;
use crate::FilterError;
use crate::document::check_document;
use crate::filter::{Comparison, Filter, Test};
use crate::id::text::format;
use crate::patch::{JsonPatch, PatchError, merge_patch};
use crate::path::field;
use crate::update::{Now, Update, UpdateError};

/// Which documents are to be changed or deleted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// As it was given: an upsert takes values from it.
    document: RawDocumentBuf,
    filter: Filter,
}

impl Selection {
    /// Those that match a filter of the shape that [`Filter`](crate::filter) describes.
    ///
    /// # Errors
    /// When the filter is refused.
    pub fn new(filter: &RawDocument) -> Result<Self, FilterError> {
        Ok(Self {
            document: filter.to_owned(),
            filter: Filter::parse(filter)?,
        })
    }

    /// The one with this `_id`.
    pub(super) fn of_id(id: RawBsonRef<'_>) -> Result<Self, FilterError> {
        let mut equal = RawDocumentBuf::new();
        equal.append(cstr!("$eq"), id);
        let mut filter = RawDocumentBuf::new();
        filter.append(cstr!("_id"), equal);
        Self::new(&filter)
    }

    /// The filter.
    #[must_use]
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// What is to become of a document.
#[derive(Clone, Debug)]
pub enum Change {
    /// Operators such as `$set`.
    Operators(Update),
    /// Another document in its place, which may leave out `_id`.
    Replacement(RawDocumentBuf),
    /// A merge patch (RFC 7396).
    MergePatch(RawDocumentBuf),
    /// A JSON Patch (RFC 6902).
    JsonPatch(JsonPatch),
}

/// Why documents cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// An update cannot be applied.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// A patch cannot be applied.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// One document would replace several.
    #[error("a replacement is for one document; to change several, use operators or a patch")]
    ReplaceMany,
    /// The document that an upsert inserts cannot be made.
    #[error(
        "a JSON Patch changes a document that exists; to insert one where none does, use operators, \
         a merge patch or a replacement"
    )]
    UpsertPatch,
    /// There are several documents, and one was to be returned.
    #[error("a change of several documents returns none of them; change one, or ask for none")]
    ReturnMany,
    /// All that is to be changed does not go into one transaction.
    #[error(
        "what is to be changed is over the limit of {limit} bytes that one transaction can write, \
         and nothing was changed; narrow the filter, for example to a range of _id, and change part \
         by part"
    )]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl Change {
    /// Whether it can be applied to several documents.
    pub(super) const fn is_for_many(&self) -> bool {
        !matches!(self, Self::Replacement(_))
    }

    /// The document after the change, with its `_id` first; none if nothing changes.
    pub(super) fn apply(
        &self,
        document: &RawDocument,
        filter: &Filter,
        now: Now,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        let changed = match self {
            Self::Operators(update) => update
                .apply(document, filter, now)
                .map_err(ChangeError::from)?,
            Self::Replacement(replacement) => Some(replaced(document, replacement)?),
            Self::MergePatch(patch) => {
                Some(merge_patch(document, patch).map_err(ChangeError::from)?)
            }
            Self::JsonPatch(patch) => Some(patch.apply(document).map_err(ChangeError::from)?),
        };
        Ok(changed.filter(|changed| changed.as_bytes() != document.as_bytes()))
    }

    /// The document that an upsert inserts where nothing is selected; it may lack an `_id`.
    pub(super) fn insertion(
        &self,
        selection: &Selection,
        now: Now,
    ) -> Result<RawDocumentBuf, Error> {
        let document = match self {
            Self::Operators(update) => {
                let document = update.upsert(&selection.document, now);
                return Ok(document.map_err(ChangeError::from)?);
            }
            Self::Replacement(document) => document.clone(),
            Self::MergePatch(patch) => {
                merge_patch(&RawDocumentBuf::new(), patch).map_err(ChangeError::from)?
            }
            Self::JsonPatch(_) => return Err(ChangeError::UpsertPatch.into()),
        };
        match (wanted_id(&selection.filter), field(&document, "_id")?) {
            (Some(wanted), None) => first_id(wanted.as_raw_bson_ref(), &document),
            (Some(wanted), Some(found)) if id_key(found)? != id_key(wanted.as_raw_bson_ref())? => {
                Err(Error::IdChanged {
                    expected: format(wanted.as_raw_bson_ref())?,
                    found: format(found)?,
                })
            }
            _ => Ok(document),
        }
    }
}

/// What a replacement makes of a document: itself, with the document's `_id` in first place.
fn replaced(document: &RawDocument, by: &RawDocument) -> Result<RawDocumentBuf, Error> {
    check_document(by)?;
    let Some(id) = field(document, "_id")? else {
        return Ok(by.to_owned());
    };
    match field(by, "_id")? {
        None => first_id(id, by),
        Some(found) if id_key(found)? == id_key(id)? => first_id(found, by),
        Some(found) => Err(Error::IdChanged {
            expected: format(id)?,
            found: format(found)?,
        }),
    }
}

/// The `_id` that every document matching `filter` has, if it says so.
fn wanted_id(filter: &Filter) -> Option<RawBson> {
    filter
        .constraints("_id")
        .find_map(|constraint| match constraint.test {
            Test::Compare(Comparison::Eq, literal) => Some(literal.value().into()),
            _ => None,
        })
}
