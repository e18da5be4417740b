//! The document that an upsert inserts.
//!
//! It begins with what the filter demands to be equal: fields with a plain value or `$eq`, also
//! dotted ones and those inside `$and`, and lists of one alternative, which are the same. Ranges
//! and the like say nothing. Then the update is applied to it.

use std::collections::BTreeMap;

use bson::raw::{RawBson, RawBsonRef, RawDocument};

use super::error::UpdateError;
use super::operation::Operation;
use super::path::UpdatePath;
use super::plan::{Leaf, Plan};
use crate::ValueError;
use crate::document::check_structure;

/// What stands for an operator in messages.
const FILTER: &str = "an upsert from the filter";

/// The fields that a new document gets from a filter.
pub(super) fn plan(filter: &RawDocument) -> Result<Plan, UpdateError> {
    check_structure(filter)?;
    let mut plan = Plan::Fields(BTreeMap::new());
    collect(filter, &mut plan)?;
    Ok(plan)
}

fn collect(filter: &RawDocument, plan: &mut Plan) -> Result<(), UpdateError> {
    for field in filter {
        let (name, value) = field.map_err(ValueError::from)?;
        match (name.as_str(), value) {
            ("$and", RawBsonRef::Array(parts)) => {
                for part in parts {
                    if let RawBsonRef::Document(part) = part.map_err(ValueError::from)? {
                        collect(part, plan)?;
                    }
                }
            }
            ("$or", value) => {
                if let Some(RawBsonRef::Document(part)) = only(value)? {
                    collect(part, plan)?;
                }
            }
            (operator, _) if operator.starts_with('$') => {}
            (path, RawBsonRef::Document(document)) if has_operators(document)? => {
                for condition in document {
                    let (operator, value) = condition.map_err(ValueError::from)?;
                    let value = match operator.as_str() {
                        "$eq" => Some(value),
                        "$all" | "$in" => only(value)?.filter(|value| !is_condition(*value)),
                        _ => None,
                    };
                    if let Some(value) = value {
                        add(path, value, plan)?;
                    }
                }
            }
            (_, RawBsonRef::RegularExpression(_)) => {}
            (path, value) => add(path, value, plan)?,
        }
    }
    Ok(())
}

/// The element of an array of one.
fn only(value: RawBsonRef<'_>) -> Result<Option<RawBsonRef<'_>>, ValueError> {
    let RawBsonRef::Array(array) = value else {
        return Ok(None);
    };
    let mut elements = array.into_iter();
    let first = elements.next().transpose()?;
    Ok(first.filter(|_| elements.next().is_none()))
}

fn has_operators(document: &RawDocument) -> Result<bool, ValueError> {
    let first = document.iter_elements().next().transpose()?;
    Ok(first.is_some_and(|first| first.key().as_str().starts_with('$')))
}

/// Whether an alternative is no value: a pattern, or operators such as `$elemMatch`.
fn is_condition(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::RegularExpression(_) => true,
        RawBsonRef::Document(document) => matches!(has_operators(document), Ok(true)),
        _ => false,
    }
}

fn add(path: &str, value: RawBsonRef<'_>, plan: &mut Plan) -> Result<(), UpdateError> {
    let path = UpdatePath::parse(FILTER, path)?;
    let leaf = Plan::Leaf(Leaf {
        operator: FILTER,
        path: path.text.clone(),
        operation: Operation::Set(RawBson::from(value)),
    });
    plan.insert(&path, leaf).map_err(|error| match error {
        UpdateError::Conflict { path, .. } => UpdateError::Ambiguous { path },
        other => other,
    })
}
