//! JSON merge patch (RFC 7396).
//!
//! A field of the patch replaces the field of that name; null removes it; an object is merged
//! into an object, and into an empty one where there is none. Arrays are replaced whole. So a
//! null cannot be stored in this way, except in an array.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};

use super::{PatchError, checked};
use crate::ValueError;
use crate::document::check_structure;
use crate::tree::{Node, Object, Opened};

/// The document with a merge patch applied.
///
/// # Errors
/// When the patch is damaged, too deep or too large, the result may not be stored, or the `_id`
/// would change.
pub fn merge_patch(
    document: &RawDocument,
    patch: &RawDocument,
) -> Result<RawDocumentBuf, PatchError> {
    check_structure(patch)?;
    let mut root = Node::Raw(RawBsonRef::Document(document));
    let Opened::Object(object) = root.open()? else {
        return Ok(document.to_owned()); // a document is an object
    };
    merge(object, patch)?;
    checked(document, object.encode())
}

/// Merges an object, whose nesting is limited, into another.
fn merge<'a>(target: &mut Object<'a>, patch: &'a RawDocument) -> Result<(), ValueError> {
    for field in patch {
        let (name, value) = field?;
        let slot = match value {
            RawBsonRef::Null => {
                target.take(name.as_str());
                continue;
            }
            _ => target.slot(name),
        };
        let RawBsonRef::Document(inner) = value else {
            *slot = Some(Node::Raw(value));
            continue;
        };
        let node = slot.get_or_insert_with(|| Node::Object(Object::default()));
        if let Opened::Object(object) = node.open()? {
            merge(object, inner)?;
        } else {
            let mut object = Object::default();
            merge(&mut object, inner)?;
            *node = Node::Object(object);
        }
    }
    Ok(())
}
