//! What a document must be before it is stored.
//!
//! Text that comes in as JSON is checked by its parser; BSON that an embedding program hands over
//! is checked here. Both obey the same rules: at most 16 MiB and 100 levels, valid BSON
//! throughout, no name twice in one object, and only names that a path can address: not empty,
//! without a leading `$`, without a dot. (A NUL cannot occur in a BSON name.)
//!
//! A document that passed never fails later in comparing, encoding or filtering.

use bson::raw::{RawBsonRef, RawDocument};

use crate::error::DocumentError;
use crate::{DOCUMENT_BYTES_MAX, NESTING_MAX, id, pointer};

/// How many names are compared pairwise before sorting them is cheaper.
const PAIRWISE_NAMES_MAX: usize = 16;

/// Checks that a document may be stored: everything the module says, and the type of its `_id` if
/// it has one.
///
/// # Errors
/// One that names the rule and the place.
pub fn check_document(document: &RawDocument) -> Result<(), DocumentError> {
    Walk {
        storable: true,
        at: String::new(),
    }
    .start(document)?;
    for field in document {
        let (name, value) = field.map_err(|source| damaged("", source))?;
        if name.as_str() == "_id" {
            id::check(value)?;
        }
    }
    Ok(())
}

/// Checks size, nesting and that every byte is valid BSON, but no names: what a filter or another
/// piece of a request must be before it is walked.
///
/// # Errors
/// One that names the rule and the place.
pub fn check_structure(document: &RawDocument) -> Result<(), DocumentError> {
    Walk {
        storable: false,
        at: String::new(),
    }
    .start(document)
}

/// A name that stands more than once in one object, nested objects not counted.
///
/// # Errors
/// When the document is damaged.
pub fn duplicate_name(document: &RawDocument) -> Result<Option<&str>, bson::error::Error> {
    let mut few = [""; PAIRWISE_NAMES_MAX];
    for (count, element) in document.iter_elements().enumerate() {
        let name = element?.key().as_str();
        if few[..count].contains(&name) {
            return Ok(Some(name));
        }
        if count == PAIRWISE_NAMES_MAX {
            return duplicate_among_many(document);
        }
        few[count] = name;
    }
    Ok(None)
}

fn duplicate_among_many(document: &RawDocument) -> Result<Option<&str>, bson::error::Error> {
    let names = document
        .iter_elements()
        .map(|element| Ok(element?.key().as_str()));
    let mut names = names.collect::<Result<Vec<_>, bson::error::Error>>()?;
    names.sort_unstable();
    Ok(names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0]))
}

/// Why a name may not be stored.
fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.starts_with('$') {
        Some("begins with $, which marks operators")
    } else if name.contains('.') {
        Some("contains a dot, which separates the parts of a path")
    } else {
        None
    }
}

fn damaged(at: &str, source: bson::error::Error) -> DocumentError {
    DocumentError::Damaged {
        at: at.to_owned(),
        source: Box::new(source),
    }
}

/// A walk over everything in a document.
struct Walk {
    /// Whether the rules for names apply.
    storable: bool,
    /// The place, as a JSON pointer.
    at: String,
}

impl Walk {
    fn start(mut self, document: &RawDocument) -> Result<(), DocumentError> {
        let bytes = document.as_bytes().len();
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes });
        }
        self.object(document, 1)
    }

    fn object(&mut self, object: &RawDocument, level: usize) -> Result<(), DocumentError> {
        self.enter(level)?;
        if self.storable {
            let duplicate = duplicate_name(object).map_err(|source| damaged(&self.at, source))?;
            if let Some(name) = duplicate {
                let (at, name) = (self.at.clone(), name.to_owned());
                return Err(DocumentError::DuplicateName { at, name });
            }
        }
        for field in object {
            let (name, value) = field.map_err(|source| damaged(&self.at, source))?;
            let name = name.as_str();
            if let Some(reason) = name_fault(name).filter(|_| self.storable) {
                let (at, name) = (self.at.clone(), name.to_owned());
                return Err(DocumentError::Name { at, name, reason });
            }
            let here = self.at.len();
            if is_container(value) {
                pointer::push_name(&mut self.at, name);
                self.value(value, level)?;
                self.at.truncate(here);
            }
        }
        Ok(())
    }

    fn array(&mut self, array: &bson::raw::RawArray, level: usize) -> Result<(), DocumentError> {
        self.enter(level)?;
        for (index, element) in array.into_iter().enumerate() {
            let value = element.map_err(|source| damaged(&self.at, source))?;
            let here = self.at.len();
            if is_container(value) {
                pointer::push_index(&mut self.at, index);
                self.value(value, level)?;
                self.at.truncate(here);
            }
        }
        Ok(())
    }

    fn value(&mut self, value: RawBsonRef<'_>, level: usize) -> Result<(), DocumentError> {
        match value {
            RawBsonRef::Document(object) => self.object(object, level + 1),
            RawBsonRef::Array(array) => self.array(array, level + 1),
            RawBsonRef::JavaScriptCodeWithScope(code) => self.object(code.scope, level + 1),
            _ => Ok(()),
        }
    }

    fn enter(&self, level: usize) -> Result<(), DocumentError> {
        if level > NESTING_MAX {
            return Err(DocumentError::TooDeep {
                at: self.at.clone(),
            });
        }
        Ok(())
    }
}

fn is_container(value: RawBsonRef<'_>) -> bool {
    matches!(
        value,
        RawBsonRef::Document(_) | RawBsonRef::Array(_) | RawBsonRef::JavaScriptCodeWithScope(_)
    )
}
