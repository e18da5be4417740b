//! `$slice`: a part of an array.

use std::ops::Range;

use bson::raw::RawBsonRef;

use crate::error::{ProjectionError, ValueError};
use crate::value::{Number, type_name};

const OPERATOR: &str = "$slice";

/// Which elements of an array are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// Where they begin; from the end if it is negative.
    start: i64,
    /// How many there are at most.
    count: u64,
}

impl Slice {
    /// Reads a number of elements, from the end if it is negative, or an array of where they
    /// begin and how many there are.
    ///
    /// # Errors
    /// One that names the field and what is wrong.
    pub(super) fn parse(
        field: &dyn Fn() -> String,
        value: RawBsonRef<'_>,
    ) -> Result<Self, ProjectionError> {
        let refused = |expected, found: &str| ProjectionError::Operand {
            operator: OPERATOR,
            field: field(),
            expected,
            found: found.to_owned(),
        };
        if let Some(count) = Number::of(value).map(Number::saturated) {
            return Ok(Self {
                start: count.min(0),
                count: count.unsigned_abs(),
            });
        }
        let RawBsonRef::Array(array) = value else {
            let expected = "a number, or an array of two";
            return Err(refused(expected, type_name(value)));
        };
        let mut numbers = Vec::new();
        for element in array {
            let element = element.map_err(ValueError::from)?;
            if matches!(
                element,
                RawBsonRef::Null | RawBsonRef::Array(_) | RawBsonRef::Document(_)
            ) {
                return Err(ProjectionError::Computed {
                    field: field(),
                    found: "$slice of an expression".to_owned(),
                });
            }
            let number = Number::of(element).map(Number::saturated);
            let found = type_name(element);
            numbers.push(number.ok_or_else(|| refused("numbers only", found))?);
            if numbers.len() > 2 {
                return Err(refused("a number, or an array of two", "more than two"));
            }
        }
        match numbers[..] {
            [start, count] if count > 0 => Ok(Self {
                start,
                count: count.unsigned_abs(),
            }),
            [_, _] => Err(refused("a count above zero", "one that is not")),
            _ => Err(refused("a number, or an array of two", "fewer than two")),
        }
    }

    /// The indexes of the elements in an array of that length.
    pub(super) fn of(self, length: usize) -> Range<usize> {
        let clamped = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(length);
        let from = clamped(self.start.unsigned_abs());
        let start = if self.start < 0 { length - from } else { from };
        start..start.saturating_add(clamped(self.count)).min(length)
    }
}
