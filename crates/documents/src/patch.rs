//! Patches: changing a document by a document that says how it differs.
//!
//! Two standards. A merge patch (RFC 7396, [`merge_patch`]) is an object whose fields replace
//! those of the document, with null for those that go away. A JSON Patch (RFC 6902,
//! [`JsonPatch`]) is a list of operations on places that are named by JSON pointers.
//!
//! What they promise: the result may be stored, types that JSON does not have stay as they are,
//! and the `_id` does not change. A patch is applied as a whole or not at all. The work and the
//! memory that one patch can ask for are limited.
//!
//! Both are our own because the known libraries work on JSON trees, in which a date, a decimal or
//! an int64 would be lost.

mod error;
mod json_patch;
mod merge;
mod pointer;
mod same;

use bson::raw::{RawDocument, RawDocumentBuf};

pub use error::PatchError;
pub use json_patch::{JsonPatch, OPERATIONS_MAX};
pub use merge::merge_patch;

use crate::document::check_document;
use crate::path::field;
use crate::tree::identical;

/// The result of a patch, if it may take the place of the document.
fn checked(document: &RawDocument, patched: RawDocumentBuf) -> Result<RawDocumentBuf, PatchError> {
    check_document(&patched)?;
    let id = field(document, "_id")?;
    if id.is_some() && !identical(id, field(&patched, "_id")?) {
        return Err(PatchError::Id);
    }
    Ok(patched)
}
