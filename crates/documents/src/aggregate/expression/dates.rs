//! Operators on dates, in UTC.

use std::fmt::Write;

use bson::DateTime;
use bson::raw::{RawBson, RawBsonRef};

use super::Value;
use super::calendar::Moment;
use super::convert::{as_whole, impossible};
use super::operators::{operands, refused};
use crate::aggregate::error::ExpressionError;

type Outcome<'a> = Result<Value<'a>, ExpressionError>;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The point in time that a value says, unless it is null: a date, a timestamp, or an ObjectId,
/// which holds the time when it was made.
fn date(operator: &'static str, value: &Value<'_>) -> Result<Option<DateTime>, ExpressionError> {
    Ok(match value.or_null() {
        _ if value.is_nullish() => None,
        RawBsonRef::DateTime(date) => Some(date),
        RawBsonRef::Timestamp(stamp) => Some(DateTime::from_millis(i64::from(stamp.time) * 1000)),
        RawBsonRef::ObjectId(id) => Some(id.timestamp()),
        _ => return Err(refused(operator, "a date", value)),
    })
}

/// Refuses any zone but UTC.
fn check_zone(operator: &'static str, zone: &Value<'_>) -> Result<(), ExpressionError> {
    match zone.get() {
        None | Some(RawBsonRef::String("UTC" | "GMT" | "Z" | "+00:00" | "+0000" | "+00")) => Ok(()),
        Some(RawBsonRef::String(_)) => Err(ExpressionError::Operand {
            operator,
            expected: "the timezone UTC",
            found: "another",
        }),
        Some(_) => Err(refused(operator, "the name of a timezone", zone)),
    }
}

/// `$year` and the like: the operator's name says which part.
pub(super) fn part<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, zone] = operands(values);
    check_zone(operator, &zone)?;
    let Some(date) = date(operator, &value)? else {
        return Ok(Value::NULL);
    };
    let moment = Moment::of(date);
    let part = match operator {
        "$year" => moment.year,
        "$month" => moment.month,
        "$dayOfMonth" => moment.day,
        "$dayOfYear" => moment.day_of_year,
        "$dayOfWeek" => moment.day_of_week,
        "$hour" => moment.hour,
        "$minute" => moment.minute,
        "$second" => moment.second,
        _ => moment.millisecond,
    };
    // The years of 64 bits of milliseconds fit easily.
    Ok(Value::Ref(RawBsonRef::Int32(
        i32::try_from(part).unwrap_or(i32::MAX),
    )))
}

pub(super) fn to_date<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    let found = match value.or_null() {
        RawBsonRef::Int64(_) | RawBsonRef::Double(_) | RawBsonRef::Decimal128(_) => {
            as_whole(value.or_null()).map(DateTime::from_millis)
        }
        RawBsonRef::String(text) => from_text(text),
        RawBsonRef::Int32(_) => None,
        _ => match date(operator, &value)? {
            Some(date) => Some(date),
            None => return Ok(Value::NULL),
        },
    };
    match found {
        Some(date) => Ok(Value::Ref(RawBsonRef::DateTime(date))),
        None => Err(impossible(operator, &value)),
    }
}

/// Reads `2024-01-31`, with a time and a zone or without.
fn from_text(text: &str) -> Option<DateTime> {
    let complete = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ if text.ends_with('Z') || text.get(10..)?.contains(['+', '-']) => text.to_owned(),
        _ => format!("{text}Z"),
    };
    DateTime::parse_rfc3339_str(complete).ok()
}

pub(super) fn to_string<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, format, zone, on_null] = operands(values);
    check_zone(operator, &zone)?;
    let Some(date) = date(operator, &value)? else {
        return Ok(match on_null {
            Value::Missing => Value::NULL,
            on_null => on_null,
        });
    };
    let moment = Moment::of(date);
    let text = match format.get() {
        None => moment.to_string(),
        Some(RawBsonRef::String(format)) => formatted(operator, &moment, format)?,
        Some(_) => return Err(refused(operator, "a string as the format", &format)),
    };
    Ok(Value::Owned(RawBson::String(text)))
}

fn formatted(
    operator: &'static str,
    moment: &Moment,
    format: &str,
) -> Result<String, ExpressionError> {
    let mut text = String::new();
    let mut rest = format.chars();
    let name = || {
        let number = usize::try_from(moment.month - 1).unwrap_or_default();
        MONTHS.get(number).copied().unwrap_or_default()
    };
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        // Writing to a string cannot fail.
        let _ = match rest.next() {
            Some('Y') => write!(text, "{:04}", moment.year),
            Some('m') => write!(text, "{:02}", moment.month),
            Some('d') => write!(text, "{:02}", moment.day),
            Some('H') => write!(text, "{:02}", moment.hour),
            Some('M') => write!(text, "{:02}", moment.minute),
            Some('S') => write!(text, "{:02}", moment.second),
            Some('L') => write!(text, "{:03}", moment.millisecond),
            Some('j') => write!(text, "{:03}", moment.day_of_year),
            Some('w') => write!(text, "{}", moment.day_of_week),
            Some('u') => write!(text, "{}", (moment.day_of_week + 5) % 7 + 1),
            Some('b') => write!(text, "{}", name().get(..3).unwrap_or_default()),
            Some('B') => write!(text, "{}", name()),
            Some('z') => write!(text, "+0000"),
            Some('Z') => write!(text, "0"),
            Some('%') => write!(text, "%"),
            _ => {
                return Err(ExpressionError::Operand {
                    operator,
                    expected: "a format of %Y %m %d %H %M %S %L %j %w %u %b %B %z %Z and %%",
                    found: "another",
                });
            }
        };
    }
    Ok(text)
}
