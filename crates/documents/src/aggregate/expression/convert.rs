//! Operators that say or change the type of a value.
//!
//! Converting null or nothing makes null. A number that does not fit the type, or a text that
//! does not say a value of it, is an error.

use bson::Decimal128;
use bson::oid::ObjectId;
use bson::raw::{RawBson, RawBsonRef};

use super::Value;
use super::calendar::Moment;
use super::operators::{boolean, operands, refused};
use crate::aggregate::error::ExpressionError;
use crate::json::{Form, write_value};
use crate::value::decimal::Decimal;
use crate::value::{Class, compare};

type Outcome<'a> = Result<Value<'a>, ExpressionError>;

/// The name of a type, as `$type` gives it.
pub(super) fn type_of<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    let name = match value.get() {
        None => "missing",
        Some(RawBsonRef::Double(_)) => "double",
        Some(RawBsonRef::String(_)) => "string",
        Some(RawBsonRef::Document(_)) => "object",
        Some(RawBsonRef::Array(_)) => "array",
        Some(RawBsonRef::Binary(_)) => "binData",
        Some(RawBsonRef::Undefined) => "undefined",
        Some(RawBsonRef::ObjectId(_)) => "objectId",
        Some(RawBsonRef::Boolean(_)) => "bool",
        Some(RawBsonRef::DateTime(_)) => "date",
        Some(RawBsonRef::Null) => "null",
        Some(RawBsonRef::RegularExpression(_)) => "regex",
        Some(RawBsonRef::DbPointer(_)) => "dbPointer",
        Some(RawBsonRef::JavaScriptCode(_)) => "javascript",
        Some(RawBsonRef::Symbol(_)) => "symbol",
        Some(RawBsonRef::JavaScriptCodeWithScope(_)) => "javascriptWithScope",
        Some(RawBsonRef::Int32(_)) => "int",
        Some(RawBsonRef::Timestamp(_)) => "timestamp",
        Some(RawBsonRef::Int64(_)) => "long",
        Some(RawBsonRef::Decimal128(_)) => "decimal",
        Some(RawBsonRef::MinKey) => "minKey",
        Some(RawBsonRef::MaxKey) => "maxKey",
    };
    Ok(Value::Ref(RawBsonRef::String(name)))
}

pub(super) fn is_number<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    Ok(boolean(Class::of(value.or_null()) == Class::Number))
}

/// The integer that equals a number of any type, if there is one within 64 bits.
pub(crate) fn as_whole(value: RawBsonRef<'_>) -> Option<i64> {
    let candidate = truncated(value)?;
    let equals = compare(value, RawBsonRef::Int64(candidate)).is_ok_and(std::cmp::Ordering::is_eq);
    equals.then_some(candidate)
}

/// A number as the nearest double.
pub(crate) fn as_double(value: RawBsonRef<'_>) -> Option<f64> {
    match value {
        RawBsonRef::Int32(number) => Some(f64::from(number)),
        RawBsonRef::Int64(number) => Some(number as f64),
        RawBsonRef::Double(number) => Some(number),
        RawBsonRef::Decimal128(number) => {
            Some(Decimal::from_bytes(number.bytes()).nearest_double())
        }
        _ => None,
    }
}

/// A number without what is behind the point, if that is within 64 bits.
fn truncated(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        RawBsonRef::Double(number) => {
            const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
            let fits = (-TWO_TO_63..TWO_TO_63).contains(&number);
            #[expect(clippy::cast_possible_truncation, reason = "in the range of i64")]
            fits.then_some(number.trunc() as i64)
        }
        RawBsonRef::Decimal128(number) => {
            let Decimal::Finite {
                negative,
                coefficient,
                exponent,
            } = Decimal::from_bytes(number.bytes())
            else {
                return None;
            };
            let power = 10u128.checked_pow(exponent.unsigned_abs());
            let size = match power {
                _ if coefficient == 0 => 0,
                Some(power) if exponent >= 0 => coefficient.checked_mul(power)?,
                Some(power) => coefficient / power,
                None if exponent < 0 => 0,
                None => return None,
            };
            let size = i128::try_from(size).ok()?;
            i64::try_from(if negative { -size } else { size }).ok()
        }
        _ => None,
    }
}

/// An operand that must be an integer, of any type of number.
pub(super) fn whole_number(
    operator: &'static str,
    value: &Value<'_>,
) -> Result<i64, ExpressionError> {
    as_whole(value.or_null()).ok_or_else(|| refused(operator, "an integer", value))
}

/// The text of a value for operators that take anything short; nothing is the empty one.
pub(super) fn text_of(
    operator: &'static str,
    value: &Value<'_>,
) -> Result<String, ExpressionError> {
    match value.or_null() {
        _ if value.is_nullish() => Ok(String::new()),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            Ok(text.to_owned())
        }
        RawBsonRef::Int32(_)
        | RawBsonRef::Int64(_)
        | RawBsonRef::Double(_)
        | RawBsonRef::Decimal128(_)
        | RawBsonRef::DateTime(_) => written(operator, value),
        _ => Err(refused(operator, "a string", value)),
    }
}

fn written(operator: &'static str, value: &Value<'_>) -> Result<String, ExpressionError> {
    Ok(match value.or_null() {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => text.to_owned(),
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        RawBsonRef::Double(number) => double_text(number),
        RawBsonRef::Decimal128(number) => number.to_string(),
        RawBsonRef::Boolean(value) => value.to_string(),
        RawBsonRef::ObjectId(id) => id.to_hex(),
        RawBsonRef::DateTime(date) => Moment::of(date).to_string(),
        _ => {
            return Err(refused(
                operator,
                "a number, date, boolean, id or string",
                value,
            ));
        }
    })
}

/// The shortest text that means the same double, with an exponent where it would be long.
fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number != 0.0 && !(1e-5..1e16).contains(&number.abs()) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
            _ => text,
        };
    }
    number.to_string()
}

/// The refusal of a conversion, with the value as it would be written.
pub(super) fn impossible(operator: &'static str, value: &Value<'_>) -> ExpressionError {
    let mut text = String::new();
    let written = write_value(value.or_null(), Form::Relaxed, &mut text).is_ok();
    let value = if written && text.len() <= 100 {
        text
    } else {
        value.described().to_owned()
    };
    ExpressionError::Conversion { operator, value }
}

pub(super) fn to_string<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    Ok(Value::Owned(RawBson::String(written(operator, &value)?)))
}

fn integer(operator: &'static str, value: &Value<'_>) -> Result<i64, ExpressionError> {
    let number = match value.or_null() {
        RawBsonRef::Boolean(value) => Some(i64::from(value)),
        RawBsonRef::DateTime(date) if operator == "$toLong" => Some(date.timestamp_millis()),
        RawBsonRef::String(text) => text.parse().ok(),
        other => truncated(other),
    };
    number.ok_or_else(|| impossible(operator, value))
}

pub(super) fn to_int<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    match i32::try_from(integer(operator, &value)?) {
        Ok(number) => Ok(Value::Ref(RawBsonRef::Int32(number))),
        Err(_) => Err(impossible(operator, &value)),
    }
}

pub(super) fn to_long<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    Ok(Value::Ref(RawBsonRef::Int64(integer(operator, &value)?)))
}

pub(super) fn to_double<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    let number = match value.or_null() {
        _ if value.is_nullish() => return Ok(Value::NULL),
        RawBsonRef::Boolean(value) => Some(f64::from(u8::from(value))),
        RawBsonRef::DateTime(date) => Some(date.timestamp_millis() as f64),
        RawBsonRef::String(text) => text.parse().ok(),
        RawBsonRef::Decimal128(number) => {
            let decimal = Decimal::from_bytes(number.bytes());
            let infinite = matches!(decimal, Decimal::Infinity { .. });
            let double = decimal.nearest_double();
            (infinite || !double.is_infinite()).then_some(double)
        }
        other => as_double(other),
    };
    match number {
        Some(number) => Ok(Value::Owned(RawBson::Double(number))),
        None => Err(impossible(operator, &value)),
    }
}

pub(super) fn to_decimal<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    let number = match value.or_null() {
        _ if value.is_nullish() => return Ok(Value::NULL),
        RawBsonRef::Decimal128(_) => return Ok(value),
        RawBsonRef::Int32(number) => Some(Decimal::from_i64(number.into())),
        RawBsonRef::Int64(number) => Some(Decimal::from_i64(number)),
        RawBsonRef::Double(number) => Some(Decimal::from_double(number)),
        RawBsonRef::Boolean(value) => Some(Decimal::from_i64(value.into())),
        RawBsonRef::DateTime(date) => Some(Decimal::from_i64(date.timestamp_millis())),
        RawBsonRef::String(text) => match text.parse::<Decimal128>() {
            Ok(number) => Some(Decimal::from_bytes(number.bytes())),
            Err(_) => None,
        },
        _ => None,
    };
    match number {
        Some(number) => {
            let bytes = number.to_bytes();
            Ok(Value::Owned(RawBson::Decimal128(Decimal128::from_bytes(
                bytes,
            ))))
        }
        None => Err(impossible(operator, &value)),
    }
}

pub(super) fn to_bool<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    Ok(boolean(value.is_true()?))
}

pub(super) fn to_object_id<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    match value.or_null() {
        _ if value.is_nullish() => Ok(Value::NULL),
        RawBsonRef::ObjectId(_) => Ok(value),
        RawBsonRef::String(text) => match ObjectId::parse_str(text) {
            Ok(id) => Ok(Value::Ref(RawBsonRef::ObjectId(id))),
            Err(_) => Err(impossible(operator, &value)),
        },
        _ => Err(impossible(operator, &value)),
    }
}
