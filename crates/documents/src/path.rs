//! Dotted paths, and what they find in a document.
//!
//! `a.b.c` names the field `c` in the field `b` in the field `a`. A step that meets an array fans
//! out over its elements, one level deep: elements that are objects are searched, arrays inside
//! the array are not. A numeric step is a field name in an object and an index in an array (and
//! in an array of objects it is both). [`Path::visit`] hands out what is found one by one, without
//! allocating, and tells a missing field from one that is null.
//!
//! Three findings differ ([`Found`]). A *value* may be an array; whether a condition then looks
//! at its elements as well is the visitor's business. *Missing* means that an object was reached
//! that lacks the field (or a plain value that can have none), which equals null. *Apart* means an
//! array element that the path does not apply to, such as the 1 in `{a: [1, {b: 2}]}` for `a.b`:
//! no condition matches it, while sorting counts it as null.

mod field;

use std::fmt;

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use crate::error::PathError;
use crate::{NESTING_MAX, ValueError};

pub use field::field;

/// A dotted path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path {
    text: Box<str>,
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    name: Box<str>,
    /// The index that the name stands for in an array.
    index: Option<usize>,
}

/// What a path found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    /// A value.
    Value {
        /// The value.
        value: RawBsonRef<'a>,
        /// Whether its elements count as well if it is an array. They do not when the last step
        /// was an index into an array.
        unwrap: bool,
    },
    /// No such field in an object that was reached.
    Missing,
    /// An array element in which the path cannot continue.
    Apart,
}

impl Path {
    /// Reads a path as orders, projections and indexes use it: at least one part, no empty part,
    /// none that begins with `$`.
    ///
    /// # Errors
    /// One that says what is wrong with the path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        for part in text.split('.') {
            if part.is_empty() {
                return Err(PathError::EmptyPart {
                    path: text.to_owned(),
                });
            }
            if part.starts_with('$') {
                let (path, part) = (text.to_owned(), part.to_owned());
                return Err(PathError::Dollar { path, part });
            }
        }
        Self::parse_in_filter(text)
    }

    /// Reads a path as filters use it: an empty part is no error, it names a field with an empty
    /// name, which no stored document has.
    ///
    /// # Errors
    /// [`PathError::TooLong`] when the path has more parts than documents have levels.
    pub fn parse_in_filter(text: &str) -> Result<Self, PathError> {
        let parts = text.split('.').count();
        if parts > NESTING_MAX {
            return Err(PathError::TooLong { parts });
        }
        let step = |part: &str| Step {
            name: part.into(),
            index: index_of(part),
        };
        Ok(Self {
            text: text.into(),
            steps: text.split('.').map(step).collect(),
        })
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the steps.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.steps.iter().map(|step| &*step.name)
    }

    /// The first step: the field of the document itself.
    #[must_use]
    pub fn first(&self) -> &str {
        // There is always a step; an empty path is one step with an empty name.
        self.steps.first().map_or("", |step| &step.name)
    }

    /// Whether this path leads to, or into, what `other` names: `a.b` lies within `a` and `a.b`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.steps.starts_with(&other.steps)
    }

    /// Calls `visitor` with what the path finds in `document` until it answers true, and returns
    /// whether it did. An empty array on the way finds nothing at all.
    ///
    /// # Errors
    /// When the part of the document that is read is damaged, or the visitor fails.
    pub fn visit<'a>(
        &self,
        document: &'a RawDocument,
        visitor: &mut impl FnMut(Found<'a>) -> Result<bool, ValueError>,
    ) -> Result<bool, ValueError> {
        visit_object(document, &self.steps, visitor)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({:?})", self.text)
    }
}

/// The index that a part stands for: digits without a leading zero.
pub(crate) fn index_of(part: &str) -> Option<usize> {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (part.len() > 1 && part.starts_with('0')) {
        return None;
    }
    part.parse().ok()
}

fn visit_object<'a>(
    object: &'a RawDocument,
    steps: &[Step],
    visitor: &mut impl FnMut(Found<'a>) -> Result<bool, ValueError>,
) -> Result<bool, ValueError> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(false); // only for a path without steps, which cannot be made
    };
    visit_value(field(object, &step.name)?, rest, visitor)
}

/// Continues from what the step before found.
fn visit_value<'a>(
    value: Option<RawBsonRef<'a>>,
    rest: &[Step],
    visitor: &mut impl FnMut(Found<'a>) -> Result<bool, ValueError>,
) -> Result<bool, ValueError> {
    match value {
        Some(value) if rest.is_empty() => visitor(Found::Value {
            value,
            unwrap: true,
        }),
        Some(RawBsonRef::Document(object)) => visit_object(object, rest, visitor),
        Some(RawBsonRef::Array(array)) => visit_array(array, rest, visitor),
        Some(_) | None => visitor(Found::Missing),
    }
}

/// Continues in the elements of an array.
fn visit_array<'a>(
    array: &'a RawArray,
    steps: &[Step],
    visitor: &mut impl FnMut(Found<'a>) -> Result<bool, ValueError>,
) -> Result<bool, ValueError> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(false); // steps are left wherever this is called
    };
    // Where the step is an index of this array, objects that lack a field of that name are not
    // taken for missing it: the index is what was meant.
    let indexed = match step.index {
        Some(index) => array.iter_elements().nth(index).transpose()?.is_some(),
        None => false,
    };
    for (position, element) in array.into_iter().enumerate() {
        let element = element?;
        let is_indexed = indexed && step.index == Some(position);
        let stop = match element {
            RawBsonRef::Document(object) => match field(object, &step.name)? {
                None if indexed => false,
                value => visit_value(value, rest, visitor)?,
            },
            _ if indexed => false,
            _ => visitor(Found::Apart)?,
        };
        if stop || (is_indexed && visit_indexed(element, rest, visitor)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Continues from the array element that an index named. An array there is not fanned out over:
/// only another index leads into it.
fn visit_indexed<'a>(
    element: RawBsonRef<'a>,
    rest: &[Step],
    visitor: &mut impl FnMut(Found<'a>) -> Result<bool, ValueError>,
) -> Result<bool, ValueError> {
    let Some((step, after)) = rest.split_first() else {
        return visitor(Found::Value {
            value: element,
            unwrap: false,
        });
    };
    match element {
        RawBsonRef::Document(object) => visit_object(object, rest, visitor),
        RawBsonRef::Array(inner) => {
            let value = match step.index {
                Some(index) => inner.into_iter().nth(index).transpose()?,
                None => None,
            };
            visit_value(value, after, visitor)
        }
        _ => visitor(Found::Apart),
    }
}
