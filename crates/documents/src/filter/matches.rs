//! Whether a document matches, read in place.
//!
//! A test of a field holds when it holds for something that the path finds: the value itself,
//! one of its elements if it is an array (one level deep), or, for tests that accept null, the
//! fact that the field is missing. Negation is outside of that: it is the complement of a whole
//! condition over a whole document.

use std::cmp::Ordering;

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::{Comparison, Condition, Element, Filter, Literal, Test};
use crate::ValueError;
use crate::path::Found;
use crate::value::{Class, Number, compare, is_nan};

impl Filter {
    /// Whether a document matches.
    ///
    /// # Errors
    /// When a part of the document that had to be read is damaged or nested too deeply, or a
    /// pattern met its limits.
    pub fn matches(&self, document: &RawDocument) -> Result<bool, ValueError> {
        all_hold(&self.conjuncts, document)
    }
}

fn all_hold(conditions: &[Condition], document: &RawDocument) -> Result<bool, ValueError> {
    every(conditions, |condition| condition.holds(document))
}

/// Whether the test holds for all items; nothing is asked after the first that it does not.
fn every<T>(
    items: impl IntoIterator<Item = T>,
    mut test: impl FnMut(T) -> Result<bool, ValueError>,
) -> Result<bool, ValueError> {
    for item in items {
        if !test(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the test holds for an item; nothing is asked after the first that it does.
fn some<T>(
    items: impl IntoIterator<Item = T>,
    mut test: impl FnMut(T) -> Result<bool, ValueError>,
) -> Result<bool, ValueError> {
    Ok(!every(items, |item| Ok(!test(item)?))?)
}

impl Condition {
    /// Whether a document meets the condition.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn holds(&self, document: &RawDocument) -> Result<bool, ValueError> {
        match self {
            Self::Field { path, test } => path.visit(document, &mut |found| test.finds(found)),
            Self::All(conditions) => all_hold(conditions, document),
            Self::Any(conditions) => some(conditions, |condition| condition.holds(document)),
            Self::Not(condition) => Ok(!condition.holds(document)?),
            Self::Text(text) => text.holds(document),
        }
    }

    /// Whether a value by itself meets the condition, wherever it stands: paths do not count.
    fn holds_for(&self, value: RawBsonRef<'_>) -> Result<bool, ValueError> {
        match self {
            Self::Field { test, .. } => test.holds(value),
            Self::All(conditions) => every(conditions, |condition| condition.holds_for(value)),
            Self::Any(conditions) => some(conditions, |condition| condition.holds_for(value)),
            Self::Not(condition) => Ok(!condition.holds_for(value)?),
            // It cannot stand in a condition on an element.
            Self::Text(_) => Err(ValueError::TextSearch { what: "$text" }),
        }
    }
}

impl Element {
    /// Whether an array element meets all that is asked of it.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn holds(&self, element: RawBsonRef<'_>) -> Result<bool, ValueError> {
        match self {
            Self::Value(conditions) => every(conditions, |condition| condition.holds_for(element)),
            Self::Object(conditions) => match element {
                RawBsonRef::Document(object) => all_hold(conditions, object),
                RawBsonRef::Array(array) => {
                    // An array is stored like an object whose names are the indexes.
                    all_hold(conditions, RawDocument::from_bytes(array.as_bytes())?)
                }
                _ => Ok(false),
            },
        }
    }

    /// The first element of an array that meets it, and where it is.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn first_in<'a>(
        &self,
        array: &'a RawArray,
    ) -> Result<Option<(usize, RawBsonRef<'a>)>, ValueError> {
        for (index, element) in array.into_iter().enumerate() {
            let element = element?;
            if self.holds(element)? {
                return Ok(Some((index, element)));
            }
        }
        Ok(None)
    }
}

impl Test {
    /// Whether the test holds for what a path found.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn finds(&self, found: Found<'_>) -> Result<bool, ValueError> {
        match found {
            Found::Apart => Ok(false),
            Found::Missing => self.accepts_missing(),
            Found::Value { value, unwrap } => {
                if self.holds(value)? {
                    return Ok(true);
                }
                match value {
                    RawBsonRef::Array(array) if unwrap && !self.is_of_arrays() => {
                        some(array, |element| self.holds(element?))
                    }
                    _ => Ok(false),
                }
            }
        }
    }

    /// Whether a missing field, which equals null, passes.
    fn accepts_missing(&self) -> Result<bool, ValueError> {
        match self {
            Self::Compare(..) | Self::In(_) => self.holds(RawBsonRef::Null),
            Self::Either(tests) => some(tests, Self::accepts_missing),
            Self::Exists
            | Self::Type(_)
            | Self::Pattern(_)
            | Self::Mod { .. }
            | Self::Size(_)
            | Self::Element(_) => Ok(false),
        }
    }

    /// Whether it is about an array as a whole, and so never about its elements.
    pub(super) fn is_of_arrays(&self) -> bool {
        matches!(self, Self::Size(_) | Self::Element(_))
    }

    /// Whether the test holds for this value alone, not for what is in it.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn holds(&self, value: RawBsonRef<'_>) -> Result<bool, ValueError> {
        Ok(match self {
            Self::Exists => true,
            Self::Compare(comparison, literal) => comparison.holds(value, literal.value())?,
            Self::In(literals) => is_among(literals, value)?,
            Self::Type(types) => types.hold(value),
            Self::Pattern(pattern) => pattern.holds(value)?,
            Self::Mod { divisor, remainder } => Number::of(value)
                .and_then(Number::truncated)
                // The smallest integer by -1 is beyond 64 bits, and leaves nothing all the same.
                .is_some_and(|number| number.wrapping_rem(*divisor) == *remainder),
            Self::Size(size) => match value {
                RawBsonRef::Array(array) => has_size(array, *size)?,
                _ => false,
            },
            Self::Element(element) => match value {
                RawBsonRef::Array(array) => element.first_in(array)?.is_some(),
                _ => false,
            },
            Self::Either(tests) => some(tests, |test| test.holds(value))?,
        })
    }
}

impl Comparison {
    /// Whether a value compares so with a literal, within one class: no number is above or below
    /// a string. `MinKey` and `MaxKey` alone compare with everything, and NaN with nothing but
    /// itself.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn holds(self, value: RawBsonRef<'_>, literal: RawBsonRef<'_>) -> Result<bool, ValueError> {
        let class = Class::of(literal);
        let bracketed = self == Self::Eq || !matches!(class, Class::MinKey | Class::MaxKey);
        if bracketed && Class::of(value) != class {
            return Ok(false);
        }
        let ordering = compare(value, literal)?;
        if ordering.is_ne() && (is_nan(value) || is_nan(literal)) {
            // MinKey and MaxKey are the only literals that have an order with NaN.
            return Ok(!bracketed && self.accepts(ordering));
        }
        Ok(self.accepts(ordering))
    }

    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Gt => ordering.is_gt(),
            Self::Gte => ordering.is_ge(),
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
        }
    }
}

/// Searches literals that are in order.
fn is_among(literals: &[Literal], value: RawBsonRef<'_>) -> Result<bool, ValueError> {
    let mut failure = None;
    let found = literals.binary_search_by(|literal| {
        compare(literal.value(), value).unwrap_or_else(|error| {
            failure = Some(error);
            Ordering::Equal
        })
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(found.is_ok()),
    }
}

/// Whether an array has exactly so many elements.
fn has_size(array: &RawArray, size: u64) -> Result<bool, ValueError> {
    let mut count = 0;
    for element in array.iter_elements() {
        element?;
        count += 1;
        if count > size {
            return Ok(false);
        }
    }
    Ok(count == size)
}
