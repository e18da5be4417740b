//! Documents as the JSON that a schema is about.

use bson::raw::{RawBsonRef, RawDocument};
use serde_json::{Map, Number, Value};

use crate::NESTING_MAX;
use crate::error::ValueError;
use crate::json::{self, Form};

/// A document as JSON; dates are their texts, and all else is relaxed Extended JSON.
pub(super) fn value_of(document: &RawDocument) -> Result<Value, ValueError> {
    object(document, 1)
}

fn object(object: &RawDocument, level: usize) -> Result<Value, ValueError> {
    enter(level)?;
    let mut fields = Map::new();
    for field in object {
        let (name, field) = field?;
        fields.insert(name.as_str().to_owned(), value(field, level)?);
    }
    Ok(Value::Object(fields))
}

fn value(value: RawBsonRef<'_>, level: usize) -> Result<Value, ValueError> {
    Ok(match value {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(value) => Value::Bool(value),
        RawBsonRef::String(text) => Value::String(text.to_owned()),
        RawBsonRef::Int32(number) => Value::Number(number.into()),
        RawBsonRef::Int64(number) => Value::Number(number.into()),
        RawBsonRef::Document(inner) => object(inner, level + 1)?,
        RawBsonRef::Array(array) => {
            enter(level + 1)?;
            let mut elements = Vec::new();
            for element in array {
                elements.push(self::value(element?, level + 1)?);
            }
            Value::Array(elements)
        }
        RawBsonRef::Double(number) => match Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => extended(value)?,
        },
        RawBsonRef::DateTime(_) => match extended(value)? {
            Value::Object(mut date) => match date.remove("$date") {
                Some(text @ Value::String(_)) => text,
                // Outside of the years that the text can say.
                Some(other) => Value::Object(Map::from_iter([("$date".to_owned(), other)])),
                None => Value::Object(date),
            },
            other => other,
        },
        other => extended(other)?,
    })
}

fn extended(value: RawBsonRef<'_>) -> Result<Value, ValueError> {
    let mut text = String::new();
    json::write_value(value, Form::Relaxed, &mut text)?;
    // What was just written is JSON, except where its own nesting is beyond that of the reader.
    serde_json::from_str(&text).map_err(|_| ValueError::TooDeep)
}

fn enter(level: usize) -> Result<(), ValueError> {
    if level > NESTING_MAX {
        return Err(ValueError::TooDeep);
    }
    Ok(())
}
