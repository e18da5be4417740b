//! What a `test` of a JSON Patch takes for equal.
//!
//! Not the equality of filters: the order of an object's members does not matter. Numbers are
//! equal by value, whatever their types; all other values as they are compared everywhere.

use bson::raw::{RawBsonRef, RawDocument};

use crate::value::equal;
use crate::{NESTING_MAX, ValueError};

/// Whether two values are equal for a `test`.
pub(super) fn same(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> Result<bool, ValueError> {
    same_at(a, b, 1)
}

fn same_at(a: RawBsonRef<'_>, b: RawBsonRef<'_>, level: usize) -> Result<bool, ValueError> {
    if level > NESTING_MAX {
        return Err(ValueError::TooDeep);
    }
    match (a, b) {
        (RawBsonRef::Document(a), RawBsonRef::Document(b)) => {
            let (a, b) = (members(a)?, members(b)?);
            if a.len() != b.len() {
                return Ok(false);
            }
            for ((a_name, a), (b_name, b)) in a.into_iter().zip(b) {
                if a_name != b_name || !same_at(a, b, level + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (RawBsonRef::Array(a), RawBsonRef::Array(b)) => {
            let (mut a, mut b) = (a.into_iter(), b.into_iter());
            loop {
                match (a.next().transpose()?, b.next().transpose()?) {
                    (None, None) => return Ok(true),
                    (Some(a), Some(b)) if same_at(a, b, level + 1)? => {}
                    _ => return Ok(false),
                }
            }
        }
        (a, b) => equal(a, b),
    }
}

/// The members of an object by name.
fn members(object: &RawDocument) -> Result<Vec<(&str, RawBsonRef<'_>)>, ValueError> {
    let members = object.iter().map(|member| {
        let (name, value) = member?;
        Ok((name.as_str(), value))
    });
    let mut members = members.collect::<Result<Vec<_>, ValueError>>()?;
    members.sort_by_key(|(name, _)| *name);
    Ok(members)
}
