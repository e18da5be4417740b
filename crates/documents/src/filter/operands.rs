//! From a document to a filter: the operands of operators.

use std::cmp::Ordering;

use bson::raw::{RawBson, RawBsonRef};

use super::parse::{damaged, operand, operand_array};
use super::{Literal, Test, Types};
use crate::error::{DocumentError, FilterError, ValueError};
use crate::pointer::Place;
use crate::value::{Class, Number, compare, type_name};

/// A value to compare with.
pub(super) fn literal(
    operator: &'static str,
    value: RawBsonRef<'_>,
    at: Place<'_>,
) -> Result<Literal, FilterError> {
    if Class::of(value) == Class::Undefined {
        let expected = "a value that can be compared (null stands for missing)";
        return Err(operand(operator, at, expected, "undefined"));
    }
    Ok(Literal(RawBson::from(value)))
}

/// Values in order and without repetitions.
pub(super) fn ordered(
    mut literals: Vec<Literal>,
    at: Place<'_>,
) -> Result<Vec<Literal>, FilterError> {
    // The whole filter was checked, so comparing cannot fail; the first error is kept all the
    // same, because an order that is not one would make a search find nothing.
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
        Some(ValueError::Damaged(source)) => Err(damaged(at, *source)),
        Some(_) => Err(DocumentError::TooDeep { at: at.pointer() }.into()),
    }
}

/// What `$exists` takes for yes: all but false, zero, null.
pub(super) fn is_true(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Boolean(value) => value,
        RawBsonRef::Null | RawBsonRef::Undefined => false,
        number if Class::of(number) == Class::Number => {
            !matches!(compare(number, RawBsonRef::Int32(0)), Ok(Ordering::Equal))
        }
        _ => true,
    }
}

/// Reads the operand of `$type`: a name, a number, or a list of them.
pub(super) fn types(value: RawBsonRef<'_>, at: Place<'_>) -> Result<Types, FilterError> {
    let RawBsonRef::Array(array) = value else {
        return one_type(value, at);
    };
    let mut types = Types::default();
    for (index, element) in array.into_iter().enumerate() {
        let element = element.map_err(|source| damaged(at, source))?;
        types = types.and(one_type(element, at.index(index))?);
    }
    if array.is_empty() {
        return Err(operand("$type", at, "at least one type", "an empty array"));
    }
    Ok(types)
}

fn one_type(value: RawBsonRef<'_>, at: Place<'_>) -> Result<Types, FilterError> {
    const EXPECTED: &str = "the name of a type, such as \"string\" or \"number\", or its code";
    let refused = |found| operand("$type", at, EXPECTED, found);
    match value {
        RawBsonRef::String(name) => {
            Types::from_name(name).ok_or_else(|| refused("the name of none"))
        }
        other => match Number::of(other) {
            None => Err(refused(type_name(other))),
            Some(number) => number
                .whole()
                .and_then(Types::from_code)
                .ok_or_else(|| refused("the code of none")),
        },
    }
}

/// Reads the operand of `$mod`: divisor and remainder, both without their fractions.
pub(super) fn modulo(value: RawBsonRef<'_>, at: Place<'_>) -> Result<Test, FilterError> {
    const EXPECTED: &str = "an array of a divisor and a remainder";
    let array = operand_array("$mod", value, at)?;
    let mut numbers = [0; 2];
    let mut count = 0;
    for element in array {
        let element = element.map_err(|source| damaged(at, source))?;
        let here = at.index(count);
        let Some(slot) = numbers.get_mut(count) else {
            return Err(operand("$mod", at, EXPECTED, "more than two values"));
        };
        let number = Number::of(element)
            .ok_or_else(|| operand("$mod", here, "a number", type_name(element)))?;
        let expected = "a number within 64 bits";
        let found = "one that is not";
        *slot = number
            .truncated()
            .ok_or_else(|| operand("$mod", here, expected, found))?;
        count += 1;
    }
    let [divisor, remainder] = numbers;
    if count < numbers.len() {
        return Err(operand("$mod", at, EXPECTED, "fewer than two values"));
    }
    if divisor == 0 {
        let expected = "a divisor that is not zero without its fraction";
        return Err(operand("$mod", at.index(0), expected, "zero"));
    }
    Ok(Test::Mod { divisor, remainder })
}

/// Reads the operand of `$size`.
pub(super) fn size(value: RawBsonRef<'_>, at: Place<'_>) -> Result<u64, FilterError> {
    const EXPECTED: &str = "a whole number that is not negative";
    let Some(number) = Number::of(value) else {
        return Err(operand("$size", at, EXPECTED, type_name(value)));
    };
    let size = number.whole().and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| operand("$size", at, EXPECTED, "another number"))
}
