//! Operators on arrays and objects.

use std::collections::HashMap;

use bson::raw::{CString, RawBson, RawBsonRef, cstr};

use super::convert::whole_number;
use super::operators::{boolean, count, operands, refused};
use super::{ArrayBuilder, Elements, ObjectBuilder, Value};
use crate::aggregate::error::ExpressionError;
use crate::error::ValueError;
use crate::path::Path;

type Outcome<'a> = Result<Value<'a>, ExpressionError>;

/// The elements of an operand that must be an array.
fn required<'a>(
    operator: &'static str,
    value: &Value<'a>,
) -> Result<Elements<'a>, ExpressionError> {
    match value.elements() {
        Some(elements) => Ok(elements),
        None => Err(refused(operator, "an array", value)),
    }
}

/// The place in `length` elements that a number means, which counts from the end if it is
/// negative.
fn place(number: i64, length: usize) -> Option<usize> {
    match usize::try_from(number) {
        Ok(place) => Some(place).filter(|place| *place < length),
        Err(_) => {
            let back = usize::try_from(number.unsigned_abs()).ok()?;
            length.checked_sub(back)
        }
    }
}

pub(super) fn size<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    match value.as_array() {
        Some(array) => Ok(count(array.into_iter().count())),
        None => Err(refused(operator, "an array", &value)),
    }
}

pub(super) fn is_array<'a>(_: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    Ok(boolean(matches!(value.get(), Some(RawBsonRef::Array(_)))))
}

fn at<'a>(operator: &'static str, value: &Value<'a>, number: i64) -> Outcome<'a> {
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    let mut elements = required(operator, value)?;
    let length = value.as_array().into_iter().flatten().count();
    let element = place(number, length).and_then(|place| elements.nth(place));
    Ok(element.transpose()?.unwrap_or(Value::Missing))
}

pub(super) fn element_at<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, number] = operands(values);
    if number.is_nullish() {
        return Ok(Value::NULL);
    }
    at(operator, &value, whole_number(operator, &number)?)
}

pub(super) fn first<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    at(operator, &value, 0)
}

pub(super) fn last<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    at(operator, &value, -1)
}

pub(super) fn is_in<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value, list] = operands(values);
    for element in required(operator, &list)? {
        if value.compare(&element?)?.is_eq() {
            return Ok(boolean(true));
        }
    }
    Ok(boolean(false))
}

pub(super) fn index_of<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [list, wanted, start, end] = operands(values);
    if list.is_nullish() {
        return Ok(Value::NULL);
    }
    let bound = |given: &Value<'_>, default| -> Result<usize, ExpressionError> {
        match given {
            Value::Missing => Ok(default),
            given => Ok(usize::try_from(whole_number(operator, given)?).unwrap_or(0)),
        }
    };
    let (start, end) = (bound(&start, 0)?, bound(&end, usize::MAX)?);
    let elements = required(operator, &list)?;
    for (number, element) in elements.enumerate().take(end).skip(start) {
        if wanted.compare(&element?)?.is_eq() {
            return Ok(count(number));
        }
    }
    Ok(Value::Ref(RawBsonRef::Int32(-1)))
}

pub(super) fn concat<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let mut joined = ArrayBuilder::new(operator);
    for value in values {
        if value.is_nullish() {
            return Ok(Value::NULL);
        }
        for element in required(operator, &value)? {
            joined.push(element?.or_null())?;
        }
    }
    Ok(joined.finish())
}

pub(super) fn reverse<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    let elements = required(operator, &value)?.collect::<Result<Vec<_>, _>>()?;
    let mut reversed = ArrayBuilder::new(operator);
    for element in elements.into_iter().rev() {
        reversed.push(element.or_null())?;
    }
    Ok(reversed.finish())
}

/// With two operands so many from the start, or from the end if negative; with three so many from
/// a place on.
pub(super) fn slice<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let with_place = values.len() > 2;
    if values.iter().any(Value::is_nullish) {
        return Ok(Value::NULL);
    }
    let [list, second, third] = operands(values);
    let elements = required(operator, &list)?;
    let second = whole_number(operator, &second)?;
    let many = |number: i64| usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
    let all = list.as_array().into_iter().flatten().count();
    let from_end = all.saturating_sub(many(second));
    let (start, length) = if with_place {
        let length = whole_number(operator, &third)?;
        if length <= 0 {
            return Err(ExpressionError::Operand {
                operator,
                expected: "a length above 0",
                found: "another",
            });
        }
        let start = if second < 0 { from_end } else { many(second) };
        (start, many(length))
    } else if second < 0 {
        (from_end, usize::MAX)
    } else {
        (0, many(second))
    };
    let mut part = ArrayBuilder::new(operator);
    for element in elements.skip(start).take(length) {
        part.push(element?.or_null())?;
    }
    Ok(part.finish())
}

pub(super) fn range<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let with_step = values.len() > 2;
    let [start, end, step] = operands(values);
    let bound = |value: &Value<'_>| {
        let number = whole_number(operator, value)?;
        i32::try_from(number).map_err(|_| refused(operator, "32-bit integers", value))
    };
    let (mut number, end) = (i64::from(bound(&start)?), i64::from(bound(&end)?));
    let step = if with_step { bound(&step)? } else { 1 };
    if step == 0 {
        return Err(ExpressionError::Operand {
            operator,
            expected: "a step other than 0",
            found: "0",
        });
    }
    let mut numbers = ArrayBuilder::new(operator);
    while (step > 0 && number < end) || (step < 0 && number > end) {
        numbers.push(RawBsonRef::Int32(i32::try_from(number).unwrap_or_default()))?;
        number += i64::from(step);
    }
    Ok(numbers.finish())
}

pub(super) fn object_to_array<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    let Some(object) = value.or_null().as_document() else {
        return Err(refused(operator, "an object", &value));
    };
    let mut pairs = ArrayBuilder::new(operator);
    for field in object {
        let (name, value) = field?;
        let mut pair = ObjectBuilder::new(operator);
        pair.append_ref(cstr!("k"), RawBsonRef::String(name.as_str()))?;
        pair.append_ref(cstr!("v"), value)?;
        pairs.push(RawBsonRef::Document(&pair.into_document()))?;
    }
    Ok(pairs.finish())
}

/// From pairs `[name, value]` or objects `{k: name, v: value}`; the last of equal names counts.
pub(super) fn array_to_object<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let [value] = operands(values);
    if value.is_nullish() {
        return Ok(Value::NULL);
    }
    let mut fields: Vec<(CString, RawBson)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for pair in required(operator, &value)? {
        let (name, value) = pair_of(operator, &pair?)?;
        match places
            .get(name.as_str())
            .and_then(|place| fields.get_mut(*place))
        {
            Some(field) => field.1 = value,
            None => {
                places.insert(name.as_str().to_owned(), fields.len());
                fields.push((name, value));
            }
        }
    }
    let mut object = ObjectBuilder::new(operator);
    for (name, value) in &fields {
        object.append_ref(name, value.as_raw_bson_ref())?;
    }
    Ok(object.finish())
}

fn pair_of(
    operator: &'static str,
    pair: &Value<'_>,
) -> Result<(CString, RawBson), ExpressionError> {
    let wrong = || refused(operator, "pairs [name, value] or {k: name, v: value}", pair);
    let (name, value) = match pair.or_null() {
        RawBsonRef::Array(pair) => {
            let parts = pair.into_iter().take(3).collect::<Result<Vec<_>, _>>()?;
            let [name, value] = parts[..] else {
                return Err(wrong());
            };
            (Some(name), Some(value))
        }
        RawBsonRef::Document(pair) => (
            crate::path::field(pair, "k")?,
            crate::path::field(pair, "v")?,
        ),
        _ => return Err(wrong()),
    };
    match (name, value) {
        // Only a name that a path can address can be stored, or read again.
        (Some(RawBsonRef::String(name)), Some(value))
            if Path::parse(name).is_ok_and(|path| path.parts().len() == 1) =>
        {
            let name = CString::try_from(name).map_err(ValueError::from)?;
            Ok((name, value.into()))
        }
        _ => Err(wrong()),
    }
}

pub(super) fn merge_objects<'a>(operator: &'static str, values: Vec<Value<'a>>) -> Outcome<'a> {
    let mut merged = Value::NULL;
    for value in spread(values) {
        merged = merge(operator, merged, value?)?;
    }
    if merged.is_nullish() {
        merged = ObjectBuilder::new(operator).finish();
    }
    Ok(merged)
}

/// The operands, or the elements of the only one if it is an array.
pub(super) fn spread<'a>(
    values: Vec<Value<'a>>,
) -> impl Iterator<Item = Result<Value<'a>, ValueError>> {
    let elements = match &values[..] {
        [only] => only.elements(),
        _ => None,
    };
    let rest = if elements.is_some() {
        Vec::new()
    } else {
        values
    };
    let elements = elements.into_iter().flatten();
    elements.chain(rest.into_iter().map(Ok))
}

/// `first` with the fields of `second`. Either may be null, which has none.
pub(crate) fn merge<'a>(
    operator: &'static str,
    first: Value<'a>,
    second: Value<'a>,
) -> Outcome<'a> {
    if second.is_nullish() {
        return Ok(first);
    }
    let Some(more) = second.or_null().as_document() else {
        return Err(refused(operator, "objects", &second));
    };
    let Some(object) = first.or_null().as_document() else {
        return Ok(second);
    };
    let mut merged = ObjectBuilder::new(operator);
    for field in object {
        let (name, value) = field?;
        let value = crate::path::field(more, name.as_str())?.unwrap_or(value);
        merged.append_ref(name, value)?;
    }
    for field in more {
        let (name, value) = field?;
        if crate::path::field(object, name.as_str())?.is_none() {
            merged.append_ref(name, value)?;
        }
    }
    Ok(merged.finish())
}
