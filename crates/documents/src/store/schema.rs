//! JSON Schema: what the documents of a collection must satisfy.
//!
//! Drafts 4 to 2020-12, by `$schema`; without one, 2020-12. A schema is of one piece: a reference
//! to anything outside of it is refused when the schema is set, so nothing is ever fetched. Regular
//! expressions are those of an engine that takes linear time. Formats are checked where the draft
//! says so.
//!
//! A document is held against the schema as the relaxed Extended JSON that a client sees, with one
//! exception: a date is its text, such as `"2026-01-31T12:00:00Z"`, so that `"type": "string",
//! "format": "date-time"` describes it. All other values that JSON has no words for are objects, such
//! as `{"$oid": "…"}`; numbers that are not finite are so, too.

mod json;
mod refs;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bson::raw::RawDocument;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::error::Error;
use crate::error::ValueError;

/// How many violations of one document are told, and how many documents that violate a new schema.
pub const VIOLATIONS_MAX: usize = 20;
/// The longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// The longest message about a violation, in bytes: it may show the value.
const MESSAGE_BYTES_MAX: usize = 512;
/// How much memory one regular expression may take, compiled.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is too long.
    #[error("the schema has {bytes} bytes; at most {SCHEMA_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not JSON.
    #[error("the schema is not JSON: {reason}")]
    Syntax {
        /// What is wrong, with line and column.
        reason: String,
    },
    /// It refers to something outside of itself.
    #[error(
        "the schema refers at {at:?} to {reference:?}, which is outside of it; put it under \"$defs\" \
         and refer to it by \"#/$defs/…\""
    )]
    Reference {
        /// Where, as a JSON pointer.
        at: String,
        /// What it refers to.
        reference: String,
    },
    /// Parts of it refer to one another so that holding a value against it would never end, or
    /// take too long.
    #[error("the schema refers at {at:?} {reason}")]
    Endless {
        /// Where, as a JSON pointer.
        at: String,
        /// How.
        reason: &'static str,
    },
    /// It is not a JSON Schema.
    #[error("the schema is wrong at {at:?}: {reason}")]
    Invalid {
        /// Where, as a JSON pointer.
        at: String,
        /// What is wrong.
        reason: String,
    },
    /// Documents that are there do not satisfy it.
    #[error(
        "documents of collection {collection:?} do not satisfy the schema; the first have the _id {}",
        ids.join(", ")
    )]
    Existing {
        /// The collection.
        collection: String,
        /// Their `_id`s as text; at most [`VIOLATIONS_MAX`].
        ids: Vec<String>,
    },
}

/// One way in which a document does not satisfy a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where in the document, as a JSON pointer.
    pub at: String,
    /// What in the schema, as a JSON pointer.
    pub schema: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.at.is_empty() {
            "the document"
        } else {
            &self.at
        };
        write!(f, "{place}: {} ({})", self.message, self.schema)
    }
}

/// A schema as it is stored; compiled when it is first needed.
#[derive(Clone, Debug)]
pub(crate) struct StoredSchema {
    text: Box<str>,
    compiled: OnceLock<Arc<Validator>>,
}

impl PartialEq for StoredSchema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl StoredSchema {
    /// A schema that was checked before.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            compiled: OnceLock::new(),
        }
    }

    /// Checks a new schema.
    pub(crate) fn parse(text: &str) -> Result<Self, SchemaError> {
        let schema = Self::new(text);
        let _ = schema.compiled.set(Arc::new(compile(text)?));
        Ok(schema)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Refuses a document of `collection` that does not satisfy it.
    pub(crate) fn check(&self, collection: &str, document: &RawDocument) -> Result<(), Error> {
        let compiled = match self.compiled.get() {
            Some(compiled) => compiled,
            None => {
                let compiled = compile(&self.text)?;
                self.compiled.get_or_init(|| Arc::new(compiled))
            }
        };
        let violations = violations(compiled, document)?;
        if violations.is_empty() {
            return Ok(());
        }
        Err(Error::Schema {
            collection: collection.to_owned(),
            violations,
        })
    }
}

fn compile(text: &str) -> Result<Validator, SchemaError> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(SchemaError::TooLarge { bytes: text.len() });
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| SchemaError::Syntax {
        reason: error.to_string(),
    })?;
    refs::check(&schema)?;
    let patterns = PatternOptions::regex()
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX);
    jsonschema::options()
        .offline()
        .with_pattern_options(patterns)
        .build(&schema)
        .map_err(|error| SchemaError::Invalid {
            at: error.instance_path().to_string(),
            reason: cut(error.to_string()),
        })
}

fn violations(schema: &Validator, document: &RawDocument) -> Result<Vec<Violation>, ValueError> {
    let value = json::value_of(document)?;
    let errors = schema.iter_errors(&value).take(VIOLATIONS_MAX);
    Ok(errors
        .map(|error| Violation {
            at: error.instance_path().to_string(),
            schema: error.schema_path().to_string(),
            message: cut(error.to_string()),
        })
        .collect())
}

/// The beginning of a message that is too long.
fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}
