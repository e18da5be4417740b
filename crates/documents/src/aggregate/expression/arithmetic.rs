//! Operators on numbers.
//!
//! The rules of types are those of [`value::arithmetic`](crate::value::arithmetic), with integers
//! beyond 64 bits as doubles. Null or a missing operand makes null.

use bson::raw::RawBsonRef;
use bson::{DateTime, Decimal128};

use super::Value;
use super::arrays::spread;
use super::convert::whole_number;
use super::operators::{operands, refused};
use crate::aggregate::error::ExpressionError;
use crate::aggregate::sum::Sum;
use crate::value::arithmetic::{self, Answer, ArithmeticError, Overflow};
use crate::value::decimal::Decimal;
use crate::value::{Class, compare};

type Outcome<'a> = Result<Value<'a>, ExpressionError>;

/// Makes an error of arithmetic one of `operator`.
fn failed(operator: &'static str) -> impl Fn(ArithmeticError) -> ExpressionError {
    move |source| ExpressionError::Arithmetic { operator, source }
}

fn is_number(value: &Value<'_>) -> bool {
    Class::of(value.or_null()) == Class::Number
}

/// A date so many milliseconds later.
fn moved<'a>(
    operator: &'static str,
    date: DateTime,
    by: RawBsonRef<'_>,
    forward: bool,
) -> Outcome<'a> {
    let by = whole_part(operator, &Value::Ref(by))?;
    let millis = date.timestamp_millis();
    let moved = if forward {
        millis.checked_add(by)
    } else {
        millis.checked_sub(by)
    };
    match moved {
        Some(millis) => Ok(Value::Ref(RawBsonRef::DateTime(DateTime::from_millis(
            millis,
        )))),
        None => Err(ExpressionError::Operand {
            operator,
            expected: "a date within 64 bits of milliseconds",
            found: "one beyond",
        }),
    }
}

/// A number rounded to an integer.
fn whole_part(operator: &'static str, value: &Value<'_>) -> Result<i64, ExpressionError> {
    let rounded = to_place(operator, value, 0, Rounding::Nearest)?;
    whole_number(operator, &rounded)
}

pub(super) fn add<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    if values.iter().any(Value::is_nullish) {
        return Ok(Value::NULL);
    }
    let mut date = None;
    let mut total = RawBsonRef::Int32(0);
    for value in values {
        match value.or_null() {
            RawBsonRef::DateTime(found) if date.is_none() => date = Some(found),
            number if is_number(&value) => {
                let sum = arithmetic::add(total, number, Overflow::Double);
                total = sum.map_err(failed(operator))?;
            }
            _ => return Err(refused(operator, "numbers and at most one date", &value)),
        }
    }
    match date {
        None => Ok(Value::Ref(total)),
        Some(date) => moved(operator, date, total, true),
    }
}

pub(super) fn subtract<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [a, b] = operands(values);
    if a.is_nullish() || b.is_nullish() {
        return Ok(Value::NULL);
    }
    match (a.or_null(), b.or_null()) {
        (RawBsonRef::DateTime(a), RawBsonRef::DateTime(b)) => {
            let between = a.timestamp_millis().saturating_sub(b.timestamp_millis());
            Ok(Value::Ref(RawBsonRef::Int64(between)))
        }
        (RawBsonRef::DateTime(date), number) if is_number(&b) => {
            moved(operator, date, number, false)
        }
        (a, b) => calculated(operator, arithmetic::subtract(a, b, Overflow::Double)),
    }
}

fn calculated<'a>(operator: &'static str, result: Result<Answer, ArithmeticError>) -> Outcome<'a> {
    Ok(Value::Ref(result.map_err(failed(operator))?))
}

pub(super) fn multiply<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    if values.iter().any(Value::is_nullish) {
        return Ok(Value::NULL);
    }
    let mut total = RawBsonRef::Int32(1);
    for value in values {
        let factor = value.or_null();
        let product = arithmetic::multiply(total, factor, Overflow::Double);
        total = product.map_err(failed(operator))?;
    }
    Ok(Value::Ref(total))
}

pub(super) fn divide<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [a, b] = operands(values);
    if a.is_nullish() || b.is_nullish() {
        return Ok(Value::NULL);
    }
    calculated(operator, arithmetic::divide(a.or_null(), b.or_null()))
}

pub(super) fn modulo<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [a, b] = operands(values);
    if a.is_nullish() || b.is_nullish() {
        return Ok(Value::NULL);
    }
    calculated(operator, arithmetic::modulo(a.or_null(), b.or_null()))
}

pub(super) fn abs<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    Ok(match value.or_null() {
        _ if value.is_nullish() => Value::NULL,
        RawBsonRef::Double(number) => Value::Ref(RawBsonRef::Double(number.abs())),
        RawBsonRef::Decimal128(number) => match Decimal::from_bytes(number.bytes()) {
            Decimal::Finite { negative: true, .. } | Decimal::Infinity { negative: true } => {
                decimal(Decimal::from_bytes(number.bytes()).negated())
            }
            _ => value,
        },
        number if compare(number, RawBsonRef::Int32(0))?.is_lt() && is_number(&value) => {
            let negated = arithmetic::subtract(RawBsonRef::Int32(0), number, Overflow::Refuse);
            calculated(operator, negated)?
        }
        _ if is_number(&value) => value,
        _ => return Err(refused(operator, "a number", &value)),
    })
}

fn decimal<'a>(value: Decimal) -> Value<'a> {
    Value::Ref(RawBsonRef::Decimal128(Decimal128::from_bytes(
        value.to_bytes(),
    )))
}

/// What happens to the digits behind the last place that is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Nearest,
    Down,
    Up,
    TowardsZero,
}

impl Rounding {
    fn double(self, number: f64) -> f64 {
        match self {
            Self::Nearest => number.round_ties_even(),
            Self::Down => number.floor(),
            Self::Up => number.ceil(),
            Self::TowardsZero => number.trunc(),
        }
    }

    /// How much a quotient cut to `quotient` moves away from zero for the rest of a division by
    /// `unit`.
    fn step(self, negative: bool, quotient: u128, rest: u128, unit: u128) -> u128 {
        u128::from(match self {
            _ if rest == 0 => false,
            Self::TowardsZero => false,
            Self::Down => negative,
            Self::Up => !negative,
            Self::Nearest => {
                let half = unit / 2;
                rest > half || (rest == half && quotient % 2 == 1)
            }
        })
    }
}

pub(super) fn ceil<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    to_place(operator, &value, 0, Rounding::Up)
}

pub(super) fn floor<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    to_place(operator, &value, 0, Rounding::Down)
}

pub(super) fn round<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    at_place(operator, values, Rounding::Nearest)
}

pub(super) fn trunc<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    at_place(operator, values, Rounding::TowardsZero)
}

fn at_place<'a>(operator: &'static str, values: Vec<Value<'a>>, rounding: Rounding) -> Outcome<'a> {
    let with_place = values.len() > 1;
    let [value, place] = operands(values);
    if with_place && place.is_nullish() {
        return Ok(Value::NULL);
    }
    let place = if with_place {
        whole_number(operator, &place)?
    } else {
        0
    };
    let place = i32::try_from(place)
        .ok()
        .filter(|place| (-20..=100).contains(place));
    let place = place.ok_or(ExpressionError::Operand {
        operator,
        expected: "a place from -20 to 100",
        found: "another",
    })?;
    to_place(operator, &value, place, rounding)
}

/// Cuts a number to so many digits behind the point, or, where that is negative, before it.
fn to_place<'a>(
    operator: &'static str,
    value: &Value<'_>,
    place: i32,
    rounding: Rounding,
) -> Outcome<'a> {
    Ok(match value.or_null() {
        _ if value.is_nullish() => Value::NULL,
        RawBsonRef::Double(number) => Value::Ref(RawBsonRef::Double(match place {
            0 => rounding.double(number),
            _ if number.is_finite() => double_to_place(number, place, rounding),
            _ => number,
        })),
        RawBsonRef::Decimal128(number) => decimal(decimal_to_place(
            Decimal::from_bytes(number.bytes()),
            place,
            rounding,
        )),
        RawBsonRef::Int32(number) => {
            let rounded = integer_to_place(number.into(), place, rounding);
            Value::Ref(i32::try_from(rounded).map_or(RawBsonRef::Int64(rounded), RawBsonRef::Int32))
        }
        RawBsonRef::Int64(number) => {
            Value::Ref(RawBsonRef::Int64(integer_to_place(number, place, rounding)))
        }
        _ => return Err(refused(operator, "a number", value)),
    })
}

/// By way of its decimal digits: scaling by a power of ten would round twice.
fn double_to_place(number: f64, place: i32, rounding: Rounding) -> f64 {
    let exact = Decimal::from_double(number);
    decimal_to_place(exact, place, rounding).nearest_double()
}

fn integer_to_place(number: i64, place: i32, rounding: Rounding) -> i64 {
    if place >= 0 {
        return number;
    }
    let unit = 10u128.pow(place.unsigned_abs());
    let size = u128::from(number.unsigned_abs());
    let (quotient, rest) = (size / unit, size % unit);
    let rounded = (quotient + rounding.step(number < 0, quotient, rest, unit)) * unit;
    let rounded = i64::try_from(rounded).unwrap_or(i64::MAX);
    if number < 0 { -rounded } else { rounded }
}

fn decimal_to_place(number: Decimal, place: i32, rounding: Rounding) -> Decimal {
    let Decimal::Finite {
        negative,
        coefficient,
        exponent,
    } = number
    else {
        return number;
    };
    let drop = -place - exponent;
    if drop <= 0 {
        return number;
    }
    // More digits than there are leave nothing but the rest.
    let unit = 10u128.checked_pow(drop.unsigned_abs());
    let (quotient, step) = match unit {
        Some(unit) => {
            let (quotient, rest) = (coefficient / unit, coefficient % unit);
            (quotient, rounding.step(negative, quotient, rest, unit))
        }
        None => (0, rounding.step(negative, 0, coefficient.min(1), u128::MAX)),
    };
    Decimal::Finite {
        negative,
        coefficient: quotient + step,
        exponent: -place,
    }
}

fn totalled(values: Vec<Value<'_>>) -> Result<Sum, ExpressionError> {
    let mut total = Sum::default();
    for value in spread(values) {
        total.add(value?.or_null());
    }
    Ok(total)
}

pub(super) fn sum<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    Ok(totalled(values)?.total().into())
}

pub(super) fn average<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    Ok(totalled(values)?.average().into())
}

pub(super) fn min<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    extreme(values, false)
}

pub(super) fn max<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    extreme(values, true)
}

fn extreme(values: Vec<Value<'_>>, largest: bool) -> Outcome<'_> {
    let mut best = Value::NULL;
    for value in spread(values) {
        let value = value?;
        if value.is_nullish() {
            continue;
        }
        let better = best.is_nullish() || {
            let order = value.compare(&best)?;
            if largest {
                order.is_gt()
            } else {
                order.is_lt()
            }
        };
        if better {
            best = value;
        }
    }
    Ok(best)
}
