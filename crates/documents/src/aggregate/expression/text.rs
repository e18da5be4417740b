//! Operators on strings.
//!
//! Positions count characters (code points), in the operators that end in `Bytes` bytes.

use bson::raw::{RawBson, RawBsonRef};

use super::build::check_size;
use super::convert::{text_of, whole_number};
use super::operators::{count, operands, refused};
use super::{ArrayBuilder, Value};
use crate::aggregate::error::ExpressionError;

type Outcome<'a> = Result<Value<'a>, ExpressionError>;

/// What [`trim`] takes away by itself.
const SPACES: &str = "\0\t\n\u{b}\u{c}\r \u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\
    \u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}";

fn string<'a>(text: impl Into<String>) -> Value<'a> {
    Value::Owned(RawBson::String(text.into()))
}

/// The text of a value that must be a string.
fn required<'v>(operator: &'static str, value: &'v Value<'_>) -> Result<&'v str, ExpressionError> {
    match value.get() {
        Some(RawBsonRef::String(text) | RawBsonRef::Symbol(text)) => Ok(text),
        _ => Err(refused(operator, "a string", value)),
    }
}

/// A position or a length that is not negative.
fn position(operator: &'static str, value: &Value<'_>) -> Result<usize, ExpressionError> {
    let number = whole_number(operator, value)?;
    usize::try_from(number).map_err(|_| ExpressionError::Operand {
        operator,
        expected: "a number of at least 0",
        found: "a negative one",
    })
}

pub(super) fn concat<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let mut joined = String::new();
    for value in values {
        if value.is_nullish() {
            return Ok(Value::NULL);
        }
        joined.push_str(required(operator, &value)?);
        check_size(operator, joined.len())?;
    }
    Ok(string(joined))
}

pub(super) fn to_lower<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    Ok(string(text_of(operator, &value)?.to_ascii_lowercase()))
}

pub(super) fn to_upper<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    Ok(string(text_of(operator, &value)?.to_ascii_uppercase()))
}

pub(super) fn length<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    let text = required(operator, &value)?;
    Ok(count(if operator == "$strLenCP" {
        text.chars().count()
    } else {
        text.len()
    }))
}

pub(super) fn substring<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, start, length] = operands(values);
    let text = text_of(operator, &value)?;
    let start = position(operator, &start)?;
    let length = position(operator, &length)?;
    let part: String = text.chars().skip(start).take(length).collect();
    Ok(string(part))
}

/// A negative length means everything from the start on.
pub(super) fn substring_bytes<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, start, length] = operands(values);
    let text = text_of(operator, &value)?;
    let Ok(start) = usize::try_from(whole_number(operator, &start)?) else {
        return Ok(string(""));
    };
    let length = usize::try_from(whole_number(operator, &length)?).unwrap_or(usize::MAX);
    let start = start.min(text.len());
    let end = start.saturating_add(length).min(text.len());
    match text.get(start..end) {
        Some(part) => Ok(string(part)),
        None => Err(ExpressionError::Operand {
            operator,
            expected: "a range of bytes between characters",
            found: "one within a character",
        }),
    }
}

pub(super) fn split<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, separator] = operands(values);
    if value.is_nullish() || separator.is_nullish() {
        return Ok(Value::NULL);
    }
    let (text, separator) = (required(operator, &value)?, required(operator, &separator)?);
    if separator.is_empty() {
        return Err(ExpressionError::Operand {
            operator,
            expected: "a separator",
            found: "an empty string",
        });
    }
    let mut parts = ArrayBuilder::new(operator);
    for part in text.split(separator) {
        parts.push(RawBsonRef::String(part))?;
    }
    Ok(parts.finish())
}

/// `$trim`, `$ltrim` and `$rtrim`.
pub(super) fn trim<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let given = values.len() > 1 && !matches!(values.get(1), Some(Value::Missing));
    let [value, chars] = operands(values);
    if value.is_nullish() || (given && chars.is_nullish()) {
        return Ok(Value::NULL);
    }
    let text = required(operator, &value)?;
    let chars = if given {
        required(operator, &chars)?
    } else {
        SPACES
    };
    let is_cut = |c: char| chars.contains(c);
    let mut trimmed = text;
    if operator != "$rtrim" {
        trimmed = trimmed.trim_start_matches(is_cut);
    }
    if operator != "$ltrim" {
        trimmed = trimmed.trim_end_matches(is_cut);
    }
    Ok(string(trimmed))
}

pub(super) fn index_of<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, wanted, start, end] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    let (text, wanted) = (required(operator, &value)?, required(operator, &wanted)?);
    let or = |given: &Value<'_>, default| match given {
        Value::Missing => Ok(default),
        given => position(operator, given),
    };
    let (start, end) = (or(&start, 0)?, or(&end, usize::MAX)?);
    let none = Value::Ref(RawBsonRef::Int32(-1));
    let byte = |position: usize| {
        let at = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        at.into_iter().nth(position)
    };
    let Some(from) = byte(start).filter(|_| start <= end) else {
        return Ok(none);
    };
    let part = &text[from..byte(end).unwrap_or(text.len())];
    Ok(match part.find(wanted) {
        Some(at) => count(start + part[..at].chars().count()),
        None => none,
    })
}
