//! The order of answers.
//!
//! A [`Sort`] is a list of paths with directions. For each document it makes one composite key
//! ([`Sort::key`]) whose byte order is the order asked for; `_id` is always the last part, in the
//! direction of the part before it, so that the order is total, pages are stable, and an index
//! serves it forwards and backwards.
//!
//! A missing field counts as null. An array counts as its smallest element ascending and as its
//! largest descending; arrays inside it are not opened; an empty array is below null. A path that
//! fans out takes the smallest or largest over everything that it reaches.
//!
//! `{"score": {"$meta": "textScore"}}` is the order by how well documents answer a `$text` search, the
//! best first, and of equals by `_id`. It stands alone, and only a collection can give it.
//!
//! [`TopK`] collects documents by such keys in bounded memory.

mod top_k;

use bson::raw::{RawBsonRef, RawDocument};

use crate::error::{SortError, ValueError};
use crate::path::{Found, Path};
use crate::value::key::{self, Direction};
use crate::value::{Class, compare, type_name};

pub use top_k::{SORT_MEMORY_BYTES_MAX, TopK};

/// How many keys a sort may have, `_id` at its end not counted.
pub const SORT_KEYS_MAX: usize = 32;

/// An order of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    keys: Vec<SortKey>,
    /// Before the keys, by the score of a search.
    by_score: bool,
}

/// One part of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// What to order by.
    pub path: Path,
    /// Which way.
    pub direction: Direction,
}

impl Sort {
    /// Reads an order as it is written on a command line or in a URL: paths separated by commas,
    /// a leading `-` for descending. The empty text is the order of `_id`.
    ///
    /// # Errors
    /// One that names the key that is wrong.
    pub fn parse(text: &str) -> Result<Self, SortError> {
        Self::from_keys(parse_keys(text)?)
    }

    /// Reads an order from a document such as `{"size": -1, "name": 1}`. The empty document is
    /// the order of `_id`.
    ///
    /// # Errors
    /// One that names the key that is wrong.
    pub fn from_document(document: &RawDocument) -> Result<Self, SortError> {
        if names_score(document)? {
            return Ok(Self {
                by_score: true,
                ..Self::from_keys(Vec::new())?
            });
        }
        Self::from_keys(keys_of(document)?)
    }

    /// Reads an order from any value, of which only an object is one.
    ///
    /// # Errors
    /// As for [`Sort::from_document`].
    pub fn from_value(value: RawBsonRef<'_>) -> Result<Self, SortError> {
        match value {
            RawBsonRef::Document(document) => Self::from_document(document),
            other => Err(SortError::NotAnObject {
                found: type_name(other),
            }),
        }
    }

    /// The order of these keys, and `_id` if it is not among them.
    ///
    /// # Errors
    /// When there are too many.
    fn from_keys(mut keys: Vec<SortKey>) -> Result<Self, SortError> {
        if keys.len() > SORT_KEYS_MAX {
            return Err(SortError::TooManyKeys {
                keys: keys.len(),
                max: SORT_KEYS_MAX,
            });
        }
        if !keys.iter().any(|key| key.path.as_str() == "_id") {
            let direction = keys
                .last()
                .map_or(Direction::Ascending, |key| key.direction);
            push_key(&mut keys, "_id", direction)?;
        }
        Ok(Self {
            keys,
            by_score: false,
        })
    }

    /// Whether the score of a search decides, and the [keys](Self::keys) only between equals.
    #[must_use]
    pub const fn is_by_score(&self) -> bool {
        self.by_score
    }

    /// The parts of the order; the one by `_id` is always there.
    #[must_use]
    pub fn keys(&self) -> &[SortKey] {
        &self.keys
    }

    /// Appends the composite key of a document.
    ///
    /// # Errors
    /// When a part of the document that had to be read is damaged or nested too deeply; `out` is
    /// then as before. When it is an order by score, which a document alone does not say.
    pub fn key(&self, document: &RawDocument, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.by_score {
            let what = "an order by the text score";
            return Err(ValueError::TextSearch { what });
        }
        let start = out.len();
        for part in &self.keys {
            if let Err(error) = part.encode(document, out) {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl SortKey {
    /// The value by which a document is ordered.
    ///
    /// # Errors
    /// As for [`Sort::key`].
    pub fn value<'a>(&self, document: &'a RawDocument) -> Result<RawBsonRef<'a>, ValueError> {
        let mut best = None;
        self.path.visit(document, &mut |found| {
            match found {
                Found::Missing | Found::Apart => self.improve(&mut best, RawBsonRef::Null)?,
                Found::Value {
                    value: RawBsonRef::Array(array),
                    unwrap: true,
                } => {
                    if array.is_empty() {
                        self.improve(&mut best, RawBsonRef::Undefined)?;
                    }
                    for element in array {
                        self.improve(&mut best, element?)?;
                    }
                }
                Found::Value { value, .. } => self.improve(&mut best, value)?,
            }
            Ok(false)
        })?;
        Ok(best.unwrap_or(RawBsonRef::Null))
    }

    fn improve<'a>(
        &self,
        best: &mut Option<RawBsonRef<'a>>,
        value: RawBsonRef<'a>,
    ) -> Result<(), ValueError> {
        let better = match *best {
            None => true,
            Some(best) => {
                let ordering = compare(value, best)?;
                match self.direction {
                    Direction::Ascending => ordering.is_lt(),
                    Direction::Descending => ordering.is_gt(),
                }
            }
        };
        if better {
            *best = Some(value);
        }
        Ok(())
    }

    fn encode(&self, document: &RawDocument, out: &mut Vec<u8>) -> Result<(), ValueError> {
        key::encode_directed(self.value(document)?, self.direction, out)
    }
}

/// Whether a value is `{"$meta": "textScore"}`; none if it is not an object of that kind at all.
pub(crate) fn text_score(value: RawBsonRef<'_>) -> Option<Result<bool, ValueError>> {
    let mut fields = value.as_document()?.into_iter();
    match fields.next()? {
        Ok((name, of)) if name.as_str() == "$meta" => {
            let is_score = of == RawBsonRef::String("textScore");
            Some(Ok(is_score && fields.next().is_none()))
        }
        Ok(_) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Whether an order is one by the score of a search.
fn names_score(document: &RawDocument) -> Result<bool, SortError> {
    for field in document {
        let (name, value) = field.map_err(ValueError::from)?;
        if let Some(is_score) = text_score(value) {
            if is_score? && document.iter_elements().count() == 1 {
                return Ok(true);
            }
            let key = name.as_str().to_owned();
            return Err(SortError::Score { key });
        }
    }
    Ok(false)
}

/// Reads paths separated by commas, a leading `-` for descending.
pub(crate) fn parse_keys(text: &str) -> Result<Vec<SortKey>, SortError> {
    let mut keys = Vec::new();
    if !text.trim().is_empty() {
        for part in text.split(',').map(str::trim) {
            let (name, direction) = match part.strip_prefix('-') {
                Some(name) => (name, Direction::Descending),
                None => (part.strip_prefix('+').unwrap_or(part), Direction::Ascending),
            };
            push_key(&mut keys, name, direction)?;
        }
    }
    Ok(keys)
}

/// Reads paths with their directions, 1 or -1, in the order in which they stand.
pub(crate) fn keys_of(document: &RawDocument) -> Result<Vec<SortKey>, SortError> {
    let mut keys = Vec::new();
    for field in document {
        let (name, value) = field.map_err(ValueError::from)?;
        let is = |number| {
            let number = RawBsonRef::Int32(number);
            Class::of(value) == Class::Number
                && matches!(compare(value, number), Ok(std::cmp::Ordering::Equal))
        };
        let direction = if is(1) {
            Direction::Ascending
        } else if is(-1) {
            Direction::Descending
        } else {
            return Err(SortError::Direction {
                key: name.as_str().to_owned(),
            });
        };
        push_key(&mut keys, name.as_str(), direction)?;
    }
    Ok(keys)
}

fn push_key(keys: &mut Vec<SortKey>, name: &str, direction: Direction) -> Result<(), SortError> {
    let path = Path::parse(name).map_err(|source| SortError::Path {
        key: name.to_owned(),
        source,
    })?;
    if keys.iter().any(|key| key.path == path) {
        return Err(SortError::Duplicate {
            key: name.to_owned(),
        });
    }
    keys.push(SortKey { path, direction });
    Ok(())
}
