//! How the URLs of documents, and ids in answers, are written. Finding, inserting and changing
//! documents have their own files.
//!
//! An id in a URL may mean several values (see `nexusbase_documents::id::text`): `5` is the
//! string first, then the number.

use nexusbase_documents::bson::raw::RawBsonRef;
use nexusbase_documents::id;
use nexusbase_documents::json::{Form, write_value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::collections::url;
use crate::problem::Problem;

/// What of an id must be encoded in a path.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The answer to one insert or replacement.
pub(crate) fn one_id(id: RawBsonRef<'_>, form: Form) -> Result<String, Problem> {
    let mut body = "{\"_id\":".to_owned();
    write_value(id, form, &mut body)?;
    body.push('}');
    Ok(body)
}

/// The URL that names this document and, whatever other ids there are, no other.
pub(crate) fn document_url(name: &str, id: RawBsonRef<'_>) -> Result<String, Problem> {
    let text = match id {
        // These would be taken for steps in the path.
        RawBsonRef::String(dots @ ("." | "..")) => format!("\"{dots}\""),
        RawBsonRef::Int32(number) => format!("={number}"),
        RawBsonRef::Int64(number) => format!("={number}"),
        RawBsonRef::String(_) | RawBsonRef::ObjectId(_) | RawBsonRef::Binary(_) => {
            id::text::format(id)?
        }
        _ => id::text::format_exact(id)?,
    };
    let text = utf8_percent_encode(&text, SEGMENT);
    Ok(format!("{}/documents/{text}", url(name)))
}
