//! Ids as text: one segment of a URL, one argument of a command.
//!
//! Text that begins with `{` or `"` is extended JSON and means exactly that value:
//! `{"$oid": "…"}`, `{"$numberDecimal": "1.5"}`, `"5"` (the string). So is what follows a leading
//! `=`: `=5`, `=true`. All other text may mean several ids, and [`parse`] gives them in the order
//! in which they are to be tried:
//!
//! 1. the string itself, always;
//! 2. if it has the usual form of a UUID, that UUID (binary, subtype 4);
//! 3. if it is 24 hexadecimal digits, that ObjectId;
//! 4. if it is an integer of 64 bits written in the shortest way (`-5`, but not `+5` or `05`),
//!    that number, which equals a double or decimal of the same value.
//!
//! The first id that exists is the one that is meant. Two documents of one collection can share a
//! text, such as the string `5` and the number 5: then the plain text means the string, and the
//! other is named by extended JSON, which [`format_exact`] writes.
//!
//! Percent-encoding is not done here.

use bson::Binary;
use bson::oid::ObjectId;
use bson::raw::{RawBson, RawBsonRef};
use bson::spec::BinarySubtype;

use super::{check, format_uuid, parse_uuid};
use crate::error::{IdError, ValueError};
use crate::json::{self, Form};

/// What a text begins with that means one value only.
const FORCED: [char; 3] = ['{', '"', '='];

/// The ids that a text can mean, in the order in which they are to be tried; at least one.
///
/// # Errors
/// When the text is empty, begins like JSON and is none, or is JSON that cannot be an `_id`.
pub fn parse(text: &str) -> Result<Vec<RawBson>, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.starts_with(FORCED) {
        let value = json::parse_value(text.strip_prefix('=').unwrap_or(text).as_bytes())?;
        check(value.as_raw_bson_ref())?;
        return Ok(vec![value]);
    }
    let mut candidates = vec![RawBson::String(text.to_owned())];
    candidates.extend(parse_uuid(text).map(uuid_value));
    if text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        candidates.extend(ObjectId::parse_str(text).ok().map(RawBson::ObjectId));
    }
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        candidates.push(RawBson::Int64(number));
    }
    Ok(candidates)
}

/// The BSON value of a UUID: binary, subtype 4.
#[must_use]
pub fn uuid_value(uuid: [u8; 16]) -> RawBson {
    RawBson::Binary(Binary {
        subtype: BinarySubtype::Uuid,
        bytes: uuid.to_vec(),
    })
}

/// The shortest text for an id: [`parse`] gives it back among its candidates, and as the first
/// one if it is a string. What has no plain text is written as extended JSON.
///
/// # Errors
/// When the value is damaged or nested too deeply.
pub fn format(id: RawBsonRef<'_>) -> Result<String, ValueError> {
    match id {
        RawBsonRef::String(text) if !text.is_empty() && !text.starts_with(FORCED) => {
            Ok(text.to_owned())
        }
        RawBsonRef::Int32(number) => Ok(number.to_string()),
        RawBsonRef::Int64(number) => Ok(number.to_string()),
        RawBsonRef::ObjectId(id) => Ok(id.to_hex()),
        RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
            match binary.bytes.try_into() {
                Ok(uuid) => Ok(format_uuid(uuid)),
                Err(_) => format_exact(id),
            }
        }
        _ => format_exact(id),
    }
}

/// The text for an id that means nothing else: [`parse`] gives back this value and no other.
///
/// # Errors
/// As for [`format()`].
pub fn format_exact(id: RawBsonRef<'_>) -> Result<String, ValueError> {
    let mut out = String::new();
    json::write_value(id, Form::Canonical, &mut out)?;
    if !out.starts_with(FORCED) {
        out.insert(0, '='); // true, false and null would be read as strings
    }
    Ok(out)
}
