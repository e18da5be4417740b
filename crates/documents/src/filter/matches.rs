//! Whether a document matches, read in place.
//!
//! A test of a field holds when it holds for something that the path finds: the value itself,
//! one of its elements if it is an array (one level deep), or, for tests that accept null, the
//! fact that the field is missing. Negation is outside of that: it is the complement of a whole
//! condition over a whole document.

use std::cmp::Ordering;

use bson::raw::{RawBsonRef, RawDocument};

use super::{Comparison, Condition, Filter, Literal, Test};
use crate::ValueError;
use crate::path::Found;
use crate::value::{Class, compare, is_nan};

impl Filter {
    /// Whether a document matches.
    ///
    /// # Errors
    /// When a part of the document that had to be read is damaged or nested too deeply.
    pub fn matches(&self, document: &RawDocument) -> Result<bool, ValueError> {
        all_hold(&self.conjuncts, document)
    }
}

fn all_hold(conditions: &[Condition], document: &RawDocument) -> Result<bool, ValueError> {
    for condition in conditions {
        if !condition.holds(document)? {
            return Ok(false);
        }
    }
    Ok(true)
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
            Self::Any(conditions) => {
                for condition in conditions {
                    if condition.holds(document)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(condition) => Ok(!condition.holds(document)?),
        }
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
            Found::Missing => match self {
                Self::Exists => Ok(false),
                test => test.holds(RawBsonRef::Null),
            },
            Found::Value { value, unwrap } => {
                if self.holds(value)? {
                    return Ok(true);
                }
                match value {
                    RawBsonRef::Array(array) if unwrap => {
                        for element in array {
                            if self.holds(element?)? {
                                return Ok(true);
                            }
                        }
                        Ok(false)
                    }
                    _ => Ok(false),
                }
            }
        }
    }

    /// Whether the test holds for this value alone, not for what is in it.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn holds(&self, value: RawBsonRef<'_>) -> Result<bool, ValueError> {
        match self {
            Self::Exists => Ok(true),
            Self::Compare(comparison, literal) => comparison.holds(value, literal.value()),
            Self::In(literals) => is_among(literals, value),
        }
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
