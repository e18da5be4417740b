//! Setting one field of a document.

use bson::raw::{CString, RawBsonRef, RawDocument, RawDocumentBuf};

use crate::aggregate::error::{ExpressionError, PipelineError};
use crate::aggregate::expression::{ObjectBuilder, check_path, fields_in_place};
use crate::path::Path;

/// The place of a field: names, one inside the other.
#[derive(Clone, Debug)]
pub(super) struct Place {
    names: Box<[CString]>,
}

impl Place {
    /// Reads the place from a dotted path that stands at `at`.
    pub(super) fn parse(text: &str, at: &str) -> Result<Self, PipelineError> {
        Self::new(&check_path(text, at)?, at)
    }

    pub(super) fn new(path: &Path, at: &str) -> Result<Self, PipelineError> {
        let names = path.parts().map(|name| super::c_string(name, at));
        Ok(Self {
            names: names.collect::<Result<_, _>>()?,
        })
    }

    /// What stands there. Only objects are looked into.
    pub(super) fn get<'a>(
        &self,
        document: &'a RawDocument,
    ) -> Result<Option<RawBsonRef<'a>>, ExpressionError> {
        let mut value = RawBsonRef::Document(document);
        for name in &self.names {
            let Some(object) = value.as_document() else {
                return Ok(None);
            };
            match crate::path::field(object, name.as_str())? {
                Some(inner) => value = inner,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    /// The document with another value there, or none. Whatever is no object on the way is
    /// replaced by one.
    pub(super) fn set(
        &self,
        document: &RawDocument,
        value: Option<RawBsonRef<'_>>,
    ) -> Result<RawDocumentBuf, ExpressionError> {
        set(Some(document), &self.names, value)
    }
}

/// As deep as the path is long, which is checked.
fn set(
    object: Option<&RawDocument>,
    names: &[CString],
    value: Option<RawBsonRef<'_>>,
) -> Result<RawDocumentBuf, ExpressionError> {
    let mut made = ObjectBuilder::new("a new field");
    let Some((name, rest)) = names.split_first() else {
        return Ok(made.into_document());
    };
    let Some(object) = object else {
        put(&mut made, name, None, rest, value)?;
        return Ok(made.into_document());
    };
    let mut old = None;
    for field in fields_in_place(object) {
        let (field, place) = field?;
        if field.key().as_str() == name.as_str() {
            old = Some((field.value()?, place));
            break;
        }
    }
    let bytes = object.as_bytes();
    let end = bytes.len() - 1; // the object ends with a zero
    let (before, after) = match &old {
        Some((_, place)) => (place.start, place.end),
        None => (end, end),
    };
    made.append_bytes(bytes.get(4..before).unwrap_or_default())?;
    put(&mut made, name, old.map(|old| old.0), rest, value)?;
    made.append_bytes(bytes.get(after..end).unwrap_or_default())?;
    Ok(made.into_document())
}

fn put(
    made: &mut ObjectBuilder,
    name: &CString,
    old: Option<RawBsonRef<'_>>,
    rest: &[CString],
    value: Option<RawBsonRef<'_>>,
) -> Result<(), ExpressionError> {
    if !rest.is_empty() {
        let inner = set(old.and_then(RawBsonRef::as_document), rest, value)?;
        return made.append_ref(name, RawBsonRef::Document(&inner));
    }
    match value {
        Some(value) => made.append_ref(name, value),
        None => Ok(()),
    }
}
