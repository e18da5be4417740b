//! From a document to a filter.
//!
//! The whole document is checked for damage and nesting first, so the recursion here is bounded.
//! Every refusal names its place in the filter as a JSON pointer.

use std::cmp::Ordering;
use std::sync::Arc;

use bson::raw::{RawArray, RawBson, RawBsonRef, RawDocument};

use super::{Comparison, Condition, FIELD_OPERATORS, Filter, LOGICAL_OPERATORS, Literal, Test};
use crate::document::check_structure;
use crate::error::{DocumentError, FilterError, ValueError};
use crate::path::Path;
use crate::pointer::{join, join_index};
use crate::value::{Class, compare, type_name};

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// One that names what is not supported or not understood, and where.
    pub fn parse(document: &RawDocument) -> Result<Self, FilterError> {
        check_structure(document)?;
        let mut conjuncts = Vec::new();
        object(document, "", &mut conjuncts)?;
        Ok(Self { conjuncts })
    }

    /// Reads a filter from any value, of which only an object is one.
    ///
    /// # Errors
    /// As for [`Filter::parse`].
    pub fn from_value(value: RawBsonRef<'_>) -> Result<Self, FilterError> {
        match value {
            RawBsonRef::Document(document) => Self::parse(document),
            other => Err(not_an_object("", other)),
        }
    }
}

fn not_an_object(at: &str, found: RawBsonRef<'_>) -> FilterError {
    FilterError::NotAnObject {
        at: at.to_owned(),
        found: type_name(found),
    }
}

fn damaged(at: &str, source: bson::error::Error) -> FilterError {
    DocumentError::Damaged {
        at: at.to_owned(),
        source: Box::new(source),
    }
    .into()
}

/// Reads an object of conditions, and appends them.
fn object(document: &RawDocument, at: &str, out: &mut Vec<Condition>) -> Result<(), FilterError> {
    for field in document {
        let (name, value) = field.map_err(|source| damaged(at, source))?;
        let name = name.as_str();
        let here = join(at, name);
        match name {
            "$and" => {
                for part in filters("$and", value, &here)? {
                    out.extend(part);
                }
            }
            "$or" => out.push(any(filters("$or", value, &here)?)),
            "$nor" => out.push(not(any(filters("$nor", value, &here)?))),
            _ if name.starts_with('$') => {
                return Err(FilterError::UnknownOperator {
                    operator: name.to_owned(),
                    at: here,
                    supported: LOGICAL_OPERATORS,
                });
            }
            _ => field_conditions(name, value, &here, out)?,
        }
    }
    Ok(())
}

fn not(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        condition => Condition::Not(Box::new(condition)),
    }
}

fn all(mut conditions: Vec<Condition>) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        last => {
            conditions.extend(last);
            Condition::All(conditions)
        }
    }
}

fn any(parts: Vec<Vec<Condition>>) -> Condition {
    Condition::Any(parts.into_iter().map(all).collect())
}

/// Reads the operand of `$and`, `$or` or `$nor`: a list of filters, at least one.
fn filters(
    operator: &'static str,
    value: RawBsonRef<'_>,
    at: &str,
) -> Result<Vec<Vec<Condition>>, FilterError> {
    let array = operand_array(operator, value, at)?;
    let mut parts = Vec::new();
    for (index, element) in array.into_iter().enumerate() {
        let here = join_index(at, index);
        let element = element.map_err(|source| damaged(&here, source))?;
        let Some(document) = element.as_document() else {
            return Err(not_an_object(&here, element));
        };
        let mut part = Vec::new();
        object(document, &here, &mut part)?;
        parts.push(part);
    }
    if parts.is_empty() {
        return Err(FilterError::Operand {
            operator,
            at: at.to_owned(),
            expected: "at least one filter",
            found: "an empty array",
        });
    }
    Ok(parts)
}

fn operand_array<'a>(
    operator: &'static str,
    value: RawBsonRef<'a>,
    at: &str,
) -> Result<&'a RawArray, FilterError> {
    value.as_array().ok_or_else(|| FilterError::Operand {
        operator,
        at: at.to_owned(),
        expected: "an array",
        found: type_name(value),
    })
}

/// Reads what is asked of one field.
fn field_conditions(
    name: &str,
    value: RawBsonRef<'_>,
    at: &str,
    out: &mut Vec<Condition>,
) -> Result<(), FilterError> {
    let path = Path::parse_in_filter(name).map_err(|source| FilterError::Path {
        at: at.to_owned(),
        source,
    })?;
    let path = Arc::new(path);
    match value {
        RawBsonRef::Document(document) if has_operators(document, at)? => {
            operators(&path, document, at, out)
        }
        RawBsonRef::RegularExpression(_) => Err(FilterError::Regex { at: at.to_owned() }),
        value => {
            let literal = literal("equality", value, at)?;
            out.push(Condition::Field {
                path,
                test: Test::Compare(Comparison::Eq, literal),
            });
            Ok(())
        }
    }
}

/// Whether an object is one of operators; one that mixes them with fields is refused.
fn has_operators(document: &RawDocument, at: &str) -> Result<bool, FilterError> {
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
            at: at.to_owned(),
            name: name.to_owned(),
        }),
        _ => Ok(operators),
    }
}

/// Reads an object of operators on one field, and appends what it demands.
fn operators(
    path: &Arc<Path>,
    document: &RawDocument,
    at: &str,
    out: &mut Vec<Condition>,
) -> Result<(), FilterError> {
    for element in document {
        let (operator, value) = element.map_err(|source| damaged(at, source))?;
        let here = join(at, operator.as_str());
        let field = |test| Condition::Field {
            path: Arc::clone(path),
            test,
        };
        let comparison = |operator, comparison| {
            Ok(field(Test::Compare(
                comparison,
                literal(operator, value, &here)?,
            )))
        };
        let range = |operator, by| {
            if matches!(value, RawBsonRef::RegularExpression(_)) {
                return Err(FilterError::Regex { at: here.clone() });
            }
            comparison(operator, by)
        };
        out.push(match operator.as_str() {
            "$eq" => comparison("$eq", Comparison::Eq)?,
            "$ne" => not(range("$ne", Comparison::Eq)?),
            "$gt" => range("$gt", Comparison::Gt)?,
            "$gte" => range("$gte", Comparison::Gte)?,
            "$lt" => range("$lt", Comparison::Lt)?,
            "$lte" => range("$lte", Comparison::Lte)?,
            "$in" => field(Test::In(literals("$in", value, &here)?)),
            "$nin" => not(field(Test::In(literals("$nin", value, &here)?))),
            "$exists" if is_true(value) => field(Test::Exists),
            "$exists" => not(field(Test::Exists)),
            "$not" => not(all(negated(path, value, &here)?)),
            unknown => {
                return Err(FilterError::UnknownOperator {
                    operator: unknown.to_owned(),
                    at: here,
                    supported: FIELD_OPERATORS,
                });
            }
        });
    }
    Ok(())
}

/// Reads the operand of `$not`: an object of operators, at least one.
fn negated(
    path: &Arc<Path>,
    value: RawBsonRef<'_>,
    at: &str,
) -> Result<Vec<Condition>, FilterError> {
    let refused = |found| FilterError::Operand {
        operator: "$not",
        at: at.to_owned(),
        expected: "an object with at least one operator",
        found,
    };
    match value {
        RawBsonRef::Document(document) if has_operators(document, at)? => {
            let mut conditions = Vec::new();
            operators(path, document, at, &mut conditions)?;
            Ok(conditions)
        }
        RawBsonRef::Document(_) => Err(refused("an object without operators")),
        RawBsonRef::RegularExpression(_) => Err(FilterError::Regex { at: at.to_owned() }),
        other => Err(refused(type_name(other))),
    }
}

fn literal(
    operator: &'static str,
    value: RawBsonRef<'_>,
    at: &str,
) -> Result<Literal, FilterError> {
    if Class::of(value) == Class::Undefined {
        return Err(FilterError::Operand {
            operator,
            at: at.to_owned(),
            expected: "a value that can be compared (null stands for missing)",
            found: "undefined",
        });
    }
    Ok(Literal(RawBson::from(value)))
}

/// Reads the operand of `$in` or `$nin`, in order and without repetitions.
fn literals(
    operator: &'static str,
    value: RawBsonRef<'_>,
    at: &str,
) -> Result<Vec<Literal>, FilterError> {
    let array = operand_array(operator, value, at)?;
    let mut literals = Vec::new();
    for (index, element) in array.into_iter().enumerate() {
        let element = element.map_err(|source| damaged(at, source))?;
        match element {
            RawBsonRef::RegularExpression(_) => {
                return Err(FilterError::Regex {
                    at: join_index(at, index),
                });
            }
            RawBsonRef::Document(document) if begins_with_operator(document) => {
                return Err(FilterError::Operand {
                    operator,
                    at: join_index(at, index),
                    expected: "values only",
                    found: "an object with operators",
                });
            }
            _ => literals.push(literal(operator, element, &join_index(at, index))?),
        }
    }
    // The whole filter was checked, so comparing cannot fail; the first error is kept all the
    // same, because an order that is not one would make the search below find nothing.
    let mut failure = None;
    let mut order = |a: &Literal, b: &Literal| {
        compare(a.value(), b.value()).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            Ordering::Equal
        })
    };
    literals.sort_by(&mut order);
    literals.dedup_by(|a, b| order(a, b).is_eq());
    match failure {
        None => Ok(literals),
        Some(ValueError::TooDeep) => Err(DocumentError::TooDeep { at: at.to_owned() }.into()),
        Some(ValueError::Damaged(source)) => Err(DocumentError::Damaged {
            at: at.to_owned(),
            source,
        }
        .into()),
    }
}

fn begins_with_operator(document: &RawDocument) -> bool {
    let first = document.iter_elements().next();
    matches!(first, Some(Ok(first)) if first.key().as_str().starts_with('$'))
}

/// What `$exists` takes for yes: all but false, zero, null.
fn is_true(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Boolean(value) => value,
        RawBsonRef::Null | RawBsonRef::Undefined => false,
        number if Class::of(number) == Class::Number => {
            !matches!(compare(number, RawBsonRef::Int32(0)), Ok(Ordering::Equal))
        }
        _ => true,
    }
}
