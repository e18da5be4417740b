//! Updates: changing a document by operators.
//!
//! An update is a document such as
//! `{"$set": {"a.b": 1}, "$inc": {"n": 1}, "$push": {"list": {"$each": [2, 3], "$slice": -5}}}`,
//! with the operators and the meaning that MongoDB's users know: `$set $setOnInsert $unset
//! $rename $currentDate $inc $mul $min $max $bit` on any field, `$push` (with `$each $position
//! $sort $slice`), `$addToSet` (with `$each`), `$pop`, `$pull` and `$pullAll` on arrays. A path may
//! select array elements by their index, by `$` (the one that the filter found), `$[]` (all) and
//! `$[name]` (those that meet the array filter about `name`).
//!
//! What it promises: an update that parsed has no two operations on one place. Applying it is all
//! or nothing, depends on nothing but its arguments, and gives a document that may be stored, with
//! the `_id` that it had. Numbers keep their types ([`arithmetic`](crate::value::arithmetic)). Fields
//! keep their order; new ones come last, indexes by number before names by their bytes. What is
//! not understood is refused by name.
//!
//! What it does not do: replace documents, draw an `_id`, or read a clock.

mod apply;
mod array;
mod change;
mod error;
mod operation;
mod parse;
mod path;
mod plan;
mod position;
mod upsert;

use std::collections::BTreeMap;

use bson::Timestamp;
use bson::raw::{CString, RawBsonRef, RawDocument, RawDocumentBuf, cstr};

pub use error::UpdateError;
pub use operation::OPERATORS;

use crate::document::check_document;
use crate::filter::Filter;
use crate::path::field;
use crate::tree::{Node, Object, Opened, identical};
use apply::Application;
use path::Key;
use plan::{Plan, Rename};

/// How many nulls an update may add to arrays to reach indexes beyond their ends.
pub const PADDING_MAX: usize = 100_000;

/// How many places in one document an update may look at or change.
pub const PLACES_MAX: usize = 5_000_000;

/// An update, parsed and checked.
#[derive(Clone, Debug)]
pub struct Update {
    plan: Plan,
    filters: BTreeMap<String, ArrayFilter>,
    /// The fields that move, by number.
    renames: Vec<Rename>,
    /// Whether a path has a `$`.
    uses_found: bool,
}

#[derive(Clone, Debug)]
struct ArrayFilter {
    /// The name of the field as which elements are put to the filter.
    wrapped: CString,
    filter: Filter,
}

/// The time that `$currentDate` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// The same as a timestamp, which the caller keeps unique.
    pub timestamp: Timestamp,
}

impl Update {
    /// The changed document, or `None` if nothing changes. `filter` is the one that found the
    /// document; it decides what `$` means.
    ///
    /// # Errors
    /// When an operation does not fit what it meets, the `_id` would change, or the result may not
    /// be stored.
    pub fn apply(
        &self,
        document: &RawDocument,
        filter: &Filter,
        now: Now,
    ) -> Result<Option<RawDocumentBuf>, UpdateError> {
        let found = if self.uses_found {
            position::found(filter, document)?
                .map(index_key)
                .transpose()?
        } else {
            None
        };
        let mut node = Node::Raw(RawBsonRef::Document(document));
        let Opened::Object(root) = node.open()? else {
            return Ok(None); // a document is an object
        };
        Application::new(self, found.as_ref(), false, now).run(root)?;
        let changed = root.encode();
        if changed.as_bytes() == document.as_bytes() {
            return Ok(None);
        }
        let id = field(document, "_id")?;
        if id.is_some() && !identical(id, field(&changed, "_id")?) {
            return Err(UpdateError::Id);
        }
        check_document(&changed)?;
        Ok(Some(changed))
    }

    /// The document that an upsert inserts when `filter` finds none: the fields that the filter
    /// demands to be equal, then the update including `$setOnInsert`. The `_id` is its first
    /// field, if the filter or the update names one.
    ///
    /// # Errors
    /// As for [`Update::apply`], and when the filter demands two values of one field.
    pub fn upsert(&self, filter: &RawDocument, now: Now) -> Result<RawDocumentBuf, UpdateError> {
        let plan = upsert::plan(filter)?;
        let mut root = Object::default();
        let mut application = Application::new(self, None, true, now);
        application.fill(&plan, &mut root)?;
        let demanded = root.encode();
        application.run(&mut root)?;
        if let Some(id) = root.take("_id") {
            root.put_first(cstr!("_id"), id);
        }
        let document = root.encode();
        let id = field(&demanded, "_id")?;
        if id.is_some() && !identical(id, field(&document, "_id")?) {
            return Err(UpdateError::Id);
        }
        check_document(&document)?;
        Ok(document)
    }
}

fn index_key(index: usize) -> Result<Key, crate::ValueError> {
    Ok(Key::of(CString::try_from(index.to_string())?))
}
