//! From a document to a filter: objects of conditions, and what combines them.
//!
//! The whole document is checked for damage and nesting first, so the recursion here is bounded.
//! Every refusal names its place in the filter as a JSON pointer.

use std::sync::Arc;

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::operands::literal;
use super::{Comparison, Condition, Element, Filter, TOP_OPERATORS, Test};
use crate::document::check_structure;
use crate::error::{DocumentError, FilterError};
use crate::path::Path;
use crate::pointer::Place;
use crate::value::type_name;

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// One that names what is not supported or not understood, and where.
    pub fn parse(document: &RawDocument) -> Result<Self, FilterError> {
        check_structure(document)?;
        let mut conjuncts = Vec::new();
        let mut parser = Parser {
            may_search: true,
            ..Parser::default()
        };
        parser.object(document, Place::Root, &mut conjuncts)?;
        Ok(Self { conjuncts })
    }

    /// Reads a filter from any value, of which only an object is one.
    ///
    /// # Errors
    /// As for [`Filter::parse`].
    pub fn from_value(value: RawBsonRef<'_>) -> Result<Self, FilterError> {
        match value {
            RawBsonRef::Document(document) => Self::parse(document),
            other => Err(not_an_object(Place::Root, other)),
        }
    }
}

/// Reads what an element of the array `field` must meet, from the operand of `$elemMatch`. The
/// document that it stands in has been checked by [`check_structure`], and has so many patterns
/// up to there.
///
/// # Errors
/// As for [`Filter::parse`]; places start at the operand.
pub(crate) fn element_condition(
    field: &Path,
    value: RawBsonRef<'_>,
    patterns: &mut usize,
) -> Result<Element, FilterError> {
    let mut parser = Parser {
        patterns: *patterns,
        ..Parser::default()
    };
    let element = parser.element(&Arc::new(field.clone()), value, Place::Root);
    *patterns = parser.patterns;
    element
}

/// A filter that is being read.
#[derive(Default)]
pub(super) struct Parser {
    /// How many patterns it has so far.
    pub(super) patterns: usize,
    /// Whether `$text` may stand here: at the top, or in `$and`, and not a second time.
    pub(super) may_search: bool,
}

pub(super) fn not_an_object(at: Place<'_>, found: RawBsonRef<'_>) -> FilterError {
    FilterError::NotAnObject {
        at: at.pointer(),
        found: type_name(found),
    }
}

pub(super) fn damaged(at: Place<'_>, source: bson::error::Error) -> FilterError {
    DocumentError::Damaged {
        at: at.pointer(),
        source: Box::new(source),
    }
    .into()
}

pub(super) fn operand(
    operator: &'static str,
    at: Place<'_>,
    expected: &'static str,
    found: &'static str,
) -> FilterError {
    FilterError::Operand {
        operator,
        at: at.pointer(),
        expected,
        found,
    }
}

pub(super) fn operand_array<'a>(
    operator: &'static str,
    value: RawBsonRef<'a>,
    at: Place<'_>,
) -> Result<&'a RawArray, FilterError> {
    value
        .as_array()
        .ok_or_else(|| operand(operator, at, "an array", type_name(value)))
}

pub(super) fn not(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        condition => Condition::Not(Box::new(condition)),
    }
}

pub(super) fn all(mut conditions: Vec<Condition>) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        last => {
            conditions.extend(last);
            Condition::All(conditions)
        }
    }
}

fn any(parts: Vec<Vec<Condition>>) -> Condition {
    let mut parts: Vec<Condition> = parts.into_iter().map(all).collect();
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            Condition::Any(parts)
        }
    }
}

/// Whether an object is one of operators; one that mixes them with fields is refused.
pub(super) fn has_operators(document: &RawDocument, at: Place<'_>) -> Result<bool, FilterError> {
    let (mut operators, mut field) = (false, None);
    for element in document.iter_elements() {
        let name = element
            .map_err(|source| damaged(at, source))?
            .key()
            .as_str();
        if name.starts_with('$') {
            operators = true;
        } else {
            field = field.or(Some(name));
        }
    }
    match field {
        Some(name) if operators => Err(FilterError::Mixed {
            at: at.pointer(),
            name: name.to_owned(),
        }),
        _ => Ok(operators),
    }
}

/// The name of the first field.
pub(super) fn first_name(document: &RawDocument) -> Option<&str> {
    let first = document.iter_elements().next()?.ok()?;
    Some(first.key().as_str())
}

impl Parser {
    /// Reads an object of conditions, and appends them.
    pub(super) fn object(
        &mut self,
        document: &RawDocument,
        at: Place<'_>,
        out: &mut Vec<Condition>,
    ) -> Result<(), FilterError> {
        for field in document {
            let (name, value) = field.map_err(|source| damaged(at, source))?;
            let name = name.as_str();
            let here = at.name(name);
            match name {
                "$and" => {
                    for part in self.filters("$and", value, here)? {
                        out.extend(part);
                    }
                }
                "$or" => match any(self.without_text(|own| own.filters("$or", value, here))?) {
                    Condition::All(conditions) => out.extend(conditions),
                    condition => out.push(condition),
                },
                "$nor" => {
                    let parts = self.without_text(|own| own.filters("$nor", value, here))?;
                    out.push(not(any(parts)));
                }
                "$text" => out.push(self.text(value, here)?),
                _ if name.starts_with('$') => {
                    return Err(FilterError::UnknownOperator {
                        operator: name.to_owned(),
                        at: here.pointer(),
                        supported: TOP_OPERATORS,
                    });
                }
                _ => self.field_conditions(name, value, here, out)?,
            }
        }
        Ok(())
    }

    /// Reads something in which `$text` cannot stand.
    pub(super) fn without_text<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        let may_search = std::mem::take(&mut self.may_search);
        let result = read(self);
        self.may_search = may_search;
        result
    }

    /// Reads the operand of `$and`, `$or` or `$nor`: a list of filters, at least one.
    fn filters(
        &mut self,
        operator: &'static str,
        value: RawBsonRef<'_>,
        at: Place<'_>,
    ) -> Result<Vec<Vec<Condition>>, FilterError> {
        let array = operand_array(operator, value, at)?;
        let mut parts = Vec::new();
        for (index, element) in array.into_iter().enumerate() {
            let here = at.index(index);
            let element = element.map_err(|source| damaged(here, source))?;
            let Some(document) = element.as_document() else {
                return Err(not_an_object(here, element));
            };
            let mut part = Vec::new();
            self.object(document, here, &mut part)?;
            parts.push(part);
        }
        if parts.is_empty() {
            let expected = "at least one filter";
            return Err(operand(operator, at, expected, "an empty array"));
        }
        Ok(parts)
    }

    /// Reads what is asked of one field.
    fn field_conditions(
        &mut self,
        name: &str,
        value: RawBsonRef<'_>,
        at: Place<'_>,
        out: &mut Vec<Condition>,
    ) -> Result<(), FilterError> {
        let path = Path::parse_in_filter(name).map_err(|source| FilterError::Path {
            at: at.pointer(),
            source,
        })?;
        let path = Arc::new(path);
        let test = match value {
            RawBsonRef::Document(document) if has_operators(document, at)? => {
                return self.operators(&path, document, at, out);
            }
            RawBsonRef::RegularExpression(regex) => {
                Test::Pattern(self.pattern(regex.pattern.as_str(), regex.options.as_str(), at)?)
            }
            value => Test::Compare(Comparison::Eq, literal("equality", value, at)?),
        };
        out.push(Condition::Field { path, test });
        Ok(())
    }
}
