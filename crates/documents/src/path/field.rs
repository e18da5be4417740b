//! Finding one field of an object, fast.
//!
//! Most of the work of a filter is walking over fields that it does not ask for. The decoder of
//! the `bson` crate checks each name on the way for UTF-8; here the bytes are only stepped over,
//! within bounds, and the common types are decoded at the end. Whatever is unusual, whether a rare
//! type or damage, is left to the decoder, so that there is one authority on what is valid.

use bson::DateTime;
use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument};

use crate::ValueError;

/// What stepping over the bytes of an object found.
enum Scan<'a> {
    /// The object is sound and has no such field.
    Absent,
    /// The field, decoded.
    Value(RawBsonRef<'a>),
    /// The decoder must look.
    Unsure,
}

/// The value of a field of an object, not of anything inside it.
///
/// # Errors
/// When the object is damaged up to and including that field.
pub fn field<'a>(
    object: &'a RawDocument,
    name: &str,
) -> Result<Option<RawBsonRef<'a>>, ValueError> {
    match scan(object.as_bytes(), name.as_bytes()) {
        Some(Scan::Absent) => Ok(None),
        Some(Scan::Value(value)) => Ok(Some(value)),
        Some(Scan::Unsure) | None => field_decoded(object, name),
    }
}

fn field_decoded<'a>(
    object: &'a RawDocument,
    name: &str,
) -> Result<Option<RawBsonRef<'a>>, ValueError> {
    for element in object.iter_elements() {
        let element = element?;
        if element.key().as_str() == name {
            return Ok(Some(element.value()?));
        }
    }
    Ok(None)
}

/// Steps over elements until the one with the name; `None` where the bytes are not as they should
/// be.
fn scan<'a>(bytes: &'a [u8], name: &[u8]) -> Option<Scan<'a>> {
    // Between the length and the zero at the end.
    let mut rest = bytes.get(4..bytes.len().checked_sub(1)?)?;
    loop {
        let Some((tag, after)) = rest.split_first() else {
            return Some(Scan::Absent);
        };
        let end = after.iter().position(|byte| *byte == 0)?;
        let (element_name, after) = (after.get(..end)?, after.get(end + 1..)?);
        let (value, after) = after.split_at_checked(size(*tag, after)?)?;
        if element_name == name {
            return Some(decode(*tag, value).map_or(Scan::Unsure, Scan::Value));
        }
        rest = after;
    }
}

/// How many bytes a value takes, from its first ones.
fn size(tag: u8, bytes: &[u8]) -> Option<usize> {
    let length = || {
        let length = i32::from_le_bytes(*bytes.first_chunk()?);
        usize::try_from(length).ok()
    };
    let c_string = |from: usize| {
        let end = bytes.get(from..)?.iter().position(|byte| *byte == 0)?;
        Some(from + end + 1)
    };
    match tag {
        0x06 | 0x0A | 0x7F | 0xFF => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        0x02 | 0x0D | 0x0E => length()?.checked_add(4),
        0x03 | 0x04 | 0x0F => length(),
        0x05 => length()?.checked_add(5),
        0x0B => c_string(c_string(0)?),
        0x0C => length()?.checked_add(16),
        _ => None,
    }
}

/// The common types, which are those of JSON, and dates and ids. Arrays are not among them
/// because only the decoder can make one.
fn decode(tag: u8, bytes: &[u8]) -> Option<RawBsonRef<'_>> {
    Some(match tag {
        0x01 => RawBsonRef::Double(f64::from_le_bytes(bytes.try_into().ok()?)),
        0x02 => {
            let (end, text) = bytes.get(4..)?.split_last()?;
            if *end != 0 {
                return None;
            }
            RawBsonRef::String(std::str::from_utf8(text).ok()?)
        }
        0x03 => RawBsonRef::Document(RawDocument::from_bytes(bytes).ok()?),
        0x07 => RawBsonRef::ObjectId(ObjectId::from_bytes(bytes.try_into().ok()?)),
        0x08 => match bytes {
            [0] => RawBsonRef::Boolean(false),
            [1] => RawBsonRef::Boolean(true),
            _ => return None,
        },
        0x09 => RawBsonRef::DateTime(DateTime::from_millis(i64::from_le_bytes(
            bytes.try_into().ok()?,
        ))),
        0x0A => RawBsonRef::Null,
        0x10 => RawBsonRef::Int32(i32::from_le_bytes(bytes.try_into().ok()?)),
        0x12 => RawBsonRef::Int64(i64::from_le_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}
