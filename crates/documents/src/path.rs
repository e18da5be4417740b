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
mod walk;

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
        self.visit_placed(document, &mut |found, _| visitor(found))
    }

    /// As [`Self::visit`], and says for each finding in which element of the outermost array that
    /// the path fanned out over it is. An index that the path itself names is no fan-out.
    ///
    /// # Errors
    /// As for [`Self::visit`].
    pub fn visit_placed<'a>(
        &self,
        document: &'a RawDocument,
        visitor: &mut impl FnMut(Found<'a>, Option<usize>) -> Result<bool, ValueError>,
    ) -> Result<bool, ValueError> {
        walk::walk(&self.steps, document, visitor)
    }

    /// As [`Self::visit`], from an array that the first `taken` steps have led to.
    pub(crate) fn visit_from<'a>(
        &self,
        taken: usize,
        array: &'a RawArray,
        visitor: &mut impl FnMut(Found<'a>) -> Result<bool, ValueError>,
    ) -> Result<bool, ValueError> {
        let rest = self.steps.get(taken..).unwrap_or_default();
        walk::walk_from(rest, array, &mut |found, _| visitor(found))
    }

    /// Whether the step behind the first `taken` ones can be an index into an array.
    pub(crate) fn is_position(&self, taken: usize) -> bool {
        let step = self.steps.get(taken);
        step.is_some_and(|step| step.index.is_some())
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
