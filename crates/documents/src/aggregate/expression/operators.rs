//! The table of operators whose operands are all evaluated before.

use std::cmp::Ordering;

use bson::raw::RawBsonRef;

use super::{Value, arithmetic, arrays, convert, dates, text};
use crate::aggregate::error::ExpressionError;

/// What an operator makes of its operands, whose number is checked; named ones that are not given
/// are missing.
type Function = for<'a> fn(&'static str, Vec<Value<'a>>) -> Result<Value<'a>, ExpressionError>;

/// An operator.
#[derive(Debug)]
pub(crate) struct Operator {
    /// With its `$`.
    pub(super) name: &'static str,
    pub(super) arguments: Arguments,
    function: Function,
}

/// How an operator takes its operands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arguments {
    /// From so many to so many.
    Count(usize, usize),
    /// By name; the first so many are required.
    Named(&'static [&'static str], usize),
    /// A date, or `{date, timezone}`.
    Date,
}

impl Arguments {
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Count(1, 1) | Self::Date => "one operand",
            Self::Count(2, 2) => "an array of two operands",
            Self::Count(2, 3) => "an array of two or three operands",
            Self::Count(3, 3) => "an array of three operands",
            _ => "more or fewer operands",
        }
    }
}

impl Operator {
    pub(super) fn call<'a>(&self, arguments: Vec<Value<'a>>) -> Result<Value<'a>, ExpressionError> {
        (self.function)(self.name, arguments)
    }
}

/// The operator of that name.
pub(super) fn operator(name: &str) -> Option<&'static Operator> {
    let found = OPERATORS.binary_search_by(|operator| operator.name.cmp(name));
    found.ok().and_then(|number| OPERATORS.get(number))
}

const fn fixed(name: &'static str, count: usize, function: Function) -> Operator {
    let arguments = Arguments::Count(count, count);
    Operator {
        name,
        arguments,
        function,
    }
}

const fn between(name: &'static str, least: usize, most: usize, function: Function) -> Operator {
    let arguments = Arguments::Count(least, most);
    Operator {
        name,
        arguments,
        function,
    }
}

const fn any(name: &'static str, function: Function) -> Operator {
    between(name, 0, usize::MAX, function)
}

const fn named(
    name: &'static str,
    names: &'static [&'static str],
    required: usize,
    function: Function,
) -> Operator {
    let arguments = Arguments::Named(names, required);
    Operator {
        name,
        arguments,
        function,
    }
}

/// Takes a date by itself, or named, with a timezone beside it.
const fn date_part(name: &'static str) -> Operator {
    Operator {
        name,
        arguments: Arguments::Date,
        function: dates::part,
    }
}

/// All of them, in the order of their names.
pub(super) static OPERATORS: &[Operator] = &[
    fixed("$abs", 1, arithmetic::abs),
    any("$add", arithmetic::add),
    fixed("$arrayElemAt", 2, arrays::element_at),
    fixed("$arrayToObject", 1, arrays::array_to_object),
    any("$avg", arithmetic::average),
    fixed("$ceil", 1, arithmetic::ceil),
    fixed("$cmp", 2, |_, operands| cmp(&operands)),
    any("$concat", text::concat),
    any("$concatArrays", arrays::concat),
    named(
        "$dateToString",
        &["date", "format", "timezone", "onNull"],
        1,
        dates::to_string,
    ),
    date_part("$dayOfMonth"),
    date_part("$dayOfWeek"),
    date_part("$dayOfYear"),
    fixed("$divide", 2, arithmetic::divide),
    fixed("$eq", 2, |_, operands| test(&operands, Ordering::is_eq)),
    fixed("$first", 1, arrays::first),
    fixed("$floor", 1, arithmetic::floor),
    fixed("$gt", 2, |_, operands| test(&operands, Ordering::is_gt)),
    fixed("$gte", 2, |_, operands| test(&operands, Ordering::is_ge)),
    date_part("$hour"),
    fixed("$in", 2, arrays::is_in),
    between("$indexOfArray", 2, 4, arrays::index_of),
    between("$indexOfCP", 2, 4, text::index_of),
    fixed("$isArray", 1, arrays::is_array),
    fixed("$isNumber", 1, convert::is_number),
    fixed("$last", 1, arrays::last),
    fixed("$lt", 2, |_, operands| test(&operands, Ordering::is_lt)),
    fixed("$lte", 2, |_, operands| test(&operands, Ordering::is_le)),
    named("$ltrim", &["input", "chars"], 1, text::trim),
    any("$max", arithmetic::max),
    any("$mergeObjects", arrays::merge_objects),
    date_part("$millisecond"),
    any("$min", arithmetic::min),
    date_part("$minute"),
    fixed("$mod", 2, arithmetic::modulo),
    date_part("$month"),
    any("$multiply", arithmetic::multiply),
    fixed("$ne", 2, |_, operands| test(&operands, Ordering::is_ne)),
    fixed("$not", 1, not),
    fixed("$objectToArray", 1, arrays::object_to_array),
    between("$range", 2, 3, arrays::range),
    fixed("$reverseArray", 1, arrays::reverse),
    between("$round", 1, 2, arithmetic::round),
    named("$rtrim", &["input", "chars"], 1, text::trim),
    date_part("$second"),
    fixed("$size", 1, arrays::size),
    between("$slice", 2, 3, arrays::slice),
    fixed("$split", 2, text::split),
    fixed("$strLenBytes", 1, text::length),
    fixed("$strLenCP", 1, text::length),
    fixed("$substr", 3, text::substring_bytes),
    fixed("$substrBytes", 3, text::substring_bytes),
    fixed("$substrCP", 3, text::substring),
    fixed("$subtract", 2, arithmetic::subtract),
    any("$sum", arithmetic::sum),
    fixed("$toBool", 1, convert::to_bool),
    fixed("$toDate", 1, dates::to_date),
    fixed("$toDecimal", 1, convert::to_decimal),
    fixed("$toDouble", 1, convert::to_double),
    fixed("$toInt", 1, convert::to_int),
    fixed("$toLong", 1, convert::to_long),
    fixed("$toLower", 1, text::to_lower),
    fixed("$toObjectId", 1, convert::to_object_id),
    fixed("$toString", 1, convert::to_string),
    fixed("$toUpper", 1, text::to_upper),
    named("$trim", &["input", "chars"], 1, text::trim),
    between("$trunc", 1, 2, arithmetic::trunc),
    fixed("$type", 1, convert::type_of),
    date_part("$year"),
];

/// The operands one by one; more than there are, are missing.
pub(super) fn operands<const N: usize>(operands: Vec<Value<'_>>) -> [Value<'_>; N] {
    let mut operands = operands.into_iter();
    std::array::from_fn(|_| operands.next().unwrap_or(Value::Missing))
}

/// The refusal of an operand.
pub(super) fn refused(
    operator: &'static str,
    expected: &'static str,
    value: &Value<'_>,
) -> ExpressionError {
    ExpressionError::Operand {
        operator,
        expected,
        found: value.described(),
    }
}

pub(super) fn boolean<'a>(value: bool) -> Value<'a> {
    Value::Ref(RawBsonRef::Boolean(value))
}

/// A count, which is an int32 if it fits.
pub(super) fn count<'a>(value: usize) -> Value<'a> {
    match i32::try_from(value) {
        Ok(small) => Value::Ref(RawBsonRef::Int32(small)),
        Err(_) => Value::Ref(RawBsonRef::Int64(i64::try_from(value).unwrap_or(i64::MAX))),
    }
}

fn order(operands: &[Value<'_>]) -> Result<Ordering, ExpressionError> {
    let operand = |number: usize| operands.get(number).unwrap_or(&Value::Missing);
    Ok(operand(0).compare(operand(1))?)
}

fn test<'a>(
    operands: &[Value<'a>],
    accepts: fn(Ordering) -> bool,
) -> Result<Value<'a>, ExpressionError> {
    Ok(boolean(accepts(order(operands)?)))
}

fn cmp<'a>(operands: &[Value<'a>]) -> Result<Value<'a>, ExpressionError> {
    let order = order(operands)? as i8;
    Ok(Value::Ref(RawBsonRef::Int32(order.into())))
}

fn not<'a>(_: &'static str, values: Vec<Value<'a>>) -> Result<Value<'a>, ExpressionError> {
    let [value] = operands(values);
    Ok(boolean(!value.is_true()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_so_that_every_operator_is_found() {
        assert!(OPERATORS.is_sorted_by(|a, b| a.name < b.name));
        for known in OPERATORS {
            let found = operator(known.name).map(|operator| operator.name);
            assert_eq!(found, Some(known.name));
        }
    }
}
