//! Building objects and arrays of bounded size.

use std::ops::Range;

use bson::raw::{
    CStr, RawArray, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf, RawElement,
};

use super::Value;
use crate::aggregate::error::ExpressionError;
use crate::{DOCUMENT_BYTES_MAX, ValueError};

/// An object being made.
#[derive(Debug)]
pub(crate) struct ObjectBuilder {
    operator: &'static str,
    object: RawDocumentBuf,
}

impl ObjectBuilder {
    /// An empty object, made by `operator`.
    pub(crate) fn new(operator: &'static str) -> Self {
        Self {
            operator,
            object: RawDocumentBuf::new(),
        }
    }

    /// Adds a field, unless its value is missing.
    pub(crate) fn append(&mut self, name: &CStr, value: &Value<'_>) -> Result<(), ExpressionError> {
        match value.get() {
            Some(value) => self.append_ref(name, value),
            None => Ok(()),
        }
    }

    pub(crate) fn append_ref(
        &mut self,
        name: &CStr,
        value: RawBsonRef<'_>,
    ) -> Result<(), ExpressionError> {
        self.object.append(name, value);
        check_size(self.operator, self.object.as_bytes().len())
    }

    /// Adds fields as they are in another object: whole ones, end to end.
    pub(crate) fn append_bytes(&mut self, fields: &[u8]) -> Result<(), ExpressionError> {
        if fields.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.object).into_bytes();
        check_size(self.operator, bytes.len() + fields.len())?;
        bytes.pop();
        bytes.extend_from_slice(fields);
        bytes.push(0);
        // The size was checked.
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        if let Some(head) = bytes.first_chunk_mut() {
            *head = length.to_le_bytes();
        }
        self.object = RawDocumentBuf::from_bytes(bytes)?;
        Ok(())
    }

    pub(crate) fn into_document(self) -> RawDocumentBuf {
        self.object
    }

    pub(crate) fn finish<'a>(self) -> Value<'a> {
        Value::Owned(RawBson::Document(self.object))
    }
}

/// The fields of an object, each with the bytes that it takes there. Values are not decoded.
pub(crate) fn fields_in_place(
    object: &RawDocument,
) -> impl Iterator<Item = Result<(RawElement<'_>, Range<usize>), bson::error::Error>> {
    let mut end = 4; // fields follow the length without gaps
    object.iter_elements().map(move |field| {
        let field = field?;
        let start = end;
        end = start + 1 + field.key().len() + 1 + field.size();
        Ok((field, start..end))
    })
}

/// An array that is given out element by element, without a list of them.
#[derive(Debug, Default)]
pub(crate) struct Unrolled {
    /// The array, of which what lies before `start` is not needed any more.
    bytes: Vec<u8>,
    /// Four bytes before the next element.
    start: usize,
}

impl Unrolled {
    pub(crate) fn new(array: &RawArray) -> Self {
        Self {
            bytes: array.as_bytes().to_vec(),
            start: 0,
        }
    }

    /// The next element.
    pub(crate) fn next(&mut self) -> Result<Option<RawBsonRef<'_>>, ValueError> {
        // The rest of an array is an array once it says its own length.
        let rest = self.bytes.get_mut(self.start..).unwrap_or_default();
        let length = i32::try_from(rest.len()).unwrap_or(i32::MAX);
        let Some(head) = rest.first_chunk_mut() else {
            return Ok(None);
        };
        *head = length.to_le_bytes();
        match fields_in_place(RawDocument::from_bytes(rest)?).next() {
            Some(element) => {
                let (element, place) = element?;
                self.start += place.end - place.start;
                Ok(Some(element.value()?))
            }
            None => Ok(None),
        }
    }
}

/// An array being made.
#[derive(Debug)]
pub(crate) struct ArrayBuilder {
    operator: &'static str,
    array: RawArrayBuf,
}

impl ArrayBuilder {
    /// An empty array, made by `operator`.
    pub(crate) fn new(operator: &'static str) -> Self {
        Self {
            operator,
            array: RawArrayBuf::new(),
        }
    }

    pub(crate) fn push(&mut self, value: RawBsonRef<'_>) -> Result<(), ExpressionError> {
        self.array.push(value);
        check_size(self.operator, self.array.as_bytes().len())
    }

    pub(crate) fn into_array(self) -> RawArrayBuf {
        self.array
    }

    pub(crate) fn finish<'a>(self) -> Value<'a> {
        Value::Owned(RawBson::Array(self.array))
    }
}

/// Refuses a value of more bytes than a document may have.
pub(crate) fn check_size(operator: &'static str, bytes: usize) -> Result<(), ExpressionError> {
    if bytes > DOCUMENT_BYTES_MAX {
        Err(ExpressionError::TooLarge { operator })
    } else {
        Ok(())
    }
}
