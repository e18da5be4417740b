//! Which filters a partial index can have: those of which it can be told whether a query implies
//! them, and which depend on what a document has, never on what it lacks.

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use crate::document::check_structure;
use crate::pointer::{join, join_index};

/// The operators that are allowed on a field.
const OPERATORS: &[&str] = &[
    "$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$all", "$type", "$exists",
];

/// Whether a partial index can have this filter, or why not. What it does not say is whether the
/// filter is one at all.
pub(super) fn check(filter: &RawDocument) -> Result<(), String> {
    // Nesting is bounded from here on.
    check_structure(filter).map_err(|error| error.to_string())?;
    object(filter, "")
}

fn object(filter: &RawDocument, at: &str) -> Result<(), String> {
    for field in filter {
        let (name, value) = field.map_err(|error| error.to_string())?;
        let name = name.as_str();
        let at = join(at, name);
        match value {
            RawBsonRef::Array(filters) if matches!(name, "$and" | "$or") => {
                for (number, filter) in filters.into_iter().enumerate() {
                    let filter = filter.map_err(|error| error.to_string())?;
                    if let RawBsonRef::Document(filter) = filter {
                        object(filter, &join_index(&at, number))?;
                    }
                }
            }
            _ if name.starts_with('$') => return Err(not_allowed(name, &at)),
            RawBsonRef::Document(operators) if has_operators(operators)? => {
                conditions(operators, &at)?;
            }
            RawBsonRef::RegularExpression(_) => return Err(not_allowed("a pattern", &at)),
            _ => {}
        }
    }
    Ok(())
}

fn conditions(operators: &RawDocument, at: &str) -> Result<(), String> {
    for operator in operators {
        let (name, value) = operator.map_err(|error| error.to_string())?;
        let name = name.as_str();
        let at = join(at, name);
        if !OPERATORS.contains(&name) {
            return Err(not_allowed(name, &at));
        }
        match value {
            RawBsonRef::Array(values) if matches!(name, "$in" | "$all") => plain(values, &at)?,
            _ if name == "$exists" && !is_true(value) => {
                return Err(not_allowed("$exists: false", &at));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses patterns and conditions in the list of an operator.
fn plain(values: &RawArray, at: &str) -> Result<(), String> {
    for (number, value) in values.into_iter().enumerate() {
        let here = join_index(at, number);
        match value.map_err(|error| error.to_string())? {
            RawBsonRef::RegularExpression(_) => return Err(not_allowed("a pattern", &here)),
            RawBsonRef::Document(document) if has_operators(document)? => {
                return Err(not_allowed("a condition in a list", &here));
            }
            _ => {}
        }
    }
    Ok(())
}

fn has_operators(document: &RawDocument) -> Result<bool, String> {
    let first = document.iter_elements().next().transpose();
    let first = first.map_err(|error| error.to_string())?;
    Ok(first.is_some_and(|element| element.key().as_str().starts_with('$')))
}

/// What `$exists` takes for yes.
fn is_true(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Boolean(value) => value,
        RawBsonRef::Int32(number) => number != 0,
        RawBsonRef::Int64(number) => number != 0,
        RawBsonRef::Double(number) => number != 0.0,
        RawBsonRef::Null | RawBsonRef::Undefined => false,
        _ => true,
    }
}

fn not_allowed(what: &str, at: &str) -> String {
    format!(
        "its filter has {what} at {at}; the filter of a partial index consists of $and, $or, \
         equality, {} (only true)",
        OPERATORS.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_document;

    #[test]
    fn only_conditions_that_can_be_implied_are_allowed() {
        let allowed = |text: &str| check(&parse_document(text.as_bytes()).unwrap()).is_ok();
        for filter in [
            "{}",
            r#"{"a":1,"b":{"c":1}}"#,
            r#"{"a":{"$gt":1,"$lte":9},"b":{"$in":[1,null]},"c":{"$exists":true}}"#,
            r#"{"$or":[{"a":{"$type":"string"}},{"$and":[{"b":{"$all":[1]}}]}]}"#,
        ] {
            assert!(allowed(filter), "{filter}");
        }
        for filter in [
            r#"{"a":{"$ne":1}}"#,
            r#"{"a":{"$gt":1,"$nin":[1]}}"#,
            r#"{"a":{"$not":{"$gt":1}}}"#,
            r#"{"$nor":[{"a":1}]}"#,
            r#"{"a":{"$exists":false}}"#,
            r#"{"a":{"$exists":0}}"#,
            r#"{"a":{"$regex":"x"}}"#,
            r#"{"a":{"$regularExpression":{"pattern":"x","options":""}}}"#,
            r#"{"a":{"$in":[{"$regularExpression":{"pattern":"x","options":""}}]}}"#,
            r#"{"a":{"$size":1}}"#,
            r#"{"a":{"$all":[{"$elemMatch":{"b":1}}]}}"#,
            r#"{"a":{"$elemMatch":{"b":1}}}"#,
            r#"{"$expr":{"$gt":["$a","$b"]}}"#,
            r#"{"$and":[{"$or":[{"a":{"$ne":1}}]}]}"#,
        ] {
            assert!(!allowed(filter), "{filter}");
        }
    }
}
