//! The values that extended JSON writes as objects, such as `{"$oid": "…"}`.
//!
//! An object is one of them when its first name is one of the known ones; it must then be right,
//! because a misspelt value that is stored as an ordinary object is found by nobody. Names that
//! begin with `$` and are none of these, such as `$gt`, are left alone.

use bson::oid::ObjectId;
use bson::raw::{CStr, RawBson, RawBsonRef, RawDocument, RawJavaScriptCodeWithScope};
use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, DbPointer, Decimal128, Regex, Timestamp};

use crate::error::ParseErrorKind as Kind;

/// Every name that an extended JSON value can begin with, and what it expects.
const WRAPPERS: [(&str, &str); 17] = [
    ("$oid", "a string of 24 hexadecimal digits"),
    ("$symbol", "a string"),
    ("$numberInt", "a string with an integer of 32 bits"),
    ("$numberLong", "a string with an integer of 64 bits"),
    (
        "$numberDouble",
        "a string with a number, Infinity, -Infinity or NaN",
    ),
    (
        "$numberDecimal",
        "a string with a number of at most 34 digits, Infinity or NaN",
    ),
    (
        "$binary",
        "{\"base64\": \"…\", \"subType\": \"00\"} with base64 and two hexadecimal digits",
    ),
    (
        "$uuid",
        "a string such as \"01890a5d-ac96-774b-bcce-b302099a8057\"",
    ),
    (
        "$code",
        "a string with code, and at most a $scope beside it that is an object",
    ),
    ("$scope", "a $code beside it"),
    (
        "$timestamp",
        "{\"t\": seconds, \"i\": increment} with two integers of 32 bits",
    ),
    (
        "$regularExpression",
        "{\"pattern\": \"…\", \"options\": \"…\"} with two strings without NUL",
    ),
    (
        "$dbPointer",
        "{\"$ref\": \"namespace\", \"$id\": {\"$oid\": \"…\"}}",
    ),
    (
        "$date",
        "a string such as \"2026-01-31T12:00:00Z\", or the milliseconds since 1970",
    ),
    ("$minKey", "the number 1"),
    ("$maxKey", "the number 1"),
    ("$undefined", "true"),
];

/// The value that an object stands for; `None` when it is an ordinary object.
pub(super) fn convert(object: &RawDocument) -> Result<Option<RawBson>, Kind> {
    let mut fields = object.iter().map_while(Result::ok);
    let Some((first, value)) = fields.next() else {
        return Ok(None);
    };
    let known = WRAPPERS.iter().find(|(name, _)| *name == first.as_str());
    let Some((wrapper, expected)) = known.copied() else {
        return Ok(None);
    };
    let converted = match (fields.next(), fields.next()) {
        (None, _) => one(wrapper, value),
        (Some((second, other)), None) => match (wrapper, second.as_str()) {
            ("$code", "$scope") => code_with_scope(value, other),
            ("$scope", "$code") => code_with_scope(other, value),
            _ => None,
        },
        _ => None,
    };
    converted
        .map(Some)
        .ok_or(Kind::Extended { wrapper, expected })
}

fn one(wrapper: &str, value: RawBsonRef<'_>) -> Option<RawBson> {
    match wrapper {
        "$oid" => object_id(value.as_str()?).map(RawBson::ObjectId),
        "$symbol" => Some(RawBson::Symbol(value.as_str()?.to_owned())),
        "$code" => Some(RawBson::JavaScriptCode(value.as_str()?.to_owned())),
        "$numberInt" => Some(RawBson::Int32(integer(value)?.try_into().ok()?)),
        "$numberLong" => Some(RawBson::Int64(integer(value)?)),
        "$numberDouble" => double(value.as_str()?).map(RawBson::Double),
        "$numberDecimal" => decimal(value.as_str()?).map(RawBson::Decimal128),
        "$binary" => binary(value.as_document()?).map(RawBson::Binary),
        "$uuid" => {
            let bytes = crate::id::parse_uuid(value.as_str()?)?.to_vec();
            Some(RawBson::Binary(Binary {
                subtype: BinarySubtype::Uuid,
                bytes,
            }))
        }
        "$timestamp" => timestamp(value.as_document()?).map(RawBson::Timestamp),
        "$regularExpression" => regex(value.as_document()?),
        "$dbPointer" => db_pointer(value.as_document()?),
        "$date" => date(value).map(RawBson::DateTime),
        "$minKey" => is_one(value).then_some(RawBson::MinKey),
        "$maxKey" => is_one(value).then_some(RawBson::MaxKey),
        "$undefined" => (value == RawBsonRef::Boolean(true)).then_some(RawBson::Undefined),
        _ => None,
    }
}

fn object_id(text: &str) -> Option<ObjectId> {
    let digits = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits {
        ObjectId::parse_str(text).ok()
    } else {
        None
    }
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    let text = value.as_str()?;
    if text.starts_with('+') {
        None
    } else {
        text.parse().ok()
    }
}

fn double(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if is_decimal_text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        _ => None,
    }
}

fn decimal(text: &str) -> Option<Decimal128> {
    let named = ["Infinity", "-Infinity", "NaN"].contains(&text);
    if named || is_decimal_text(text) {
        text.parse().ok()
    } else {
        None
    }
}

/// Whether a text is a sign, digits with at most one point, and an exponent, of which only digits
/// must be there. Decoders differ in what else they let through.
fn is_decimal_text(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let number = digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0;
    let exponent = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        !text.is_empty() && text.len() <= 10 && digits(text)
    });
    number && exponent
}

/// The two values of an object that has exactly the two names, in either order.
fn pair<'a>(object: &'a RawDocument, names: [&str; 2]) -> Option<[RawBsonRef<'a>; 2]> {
    let count = object.iter().count();
    let get = |name| object.get(name).ok().flatten();
    if count == 2 {
        Some([get(names[0])?, get(names[1])?])
    } else {
        None
    }
}

fn binary(object: &RawDocument) -> Option<Binary> {
    let [base64, subtype] = pair(object, ["base64", "subType"])?;
    let subtype = subtype.as_str()?;
    let digits = matches!(subtype.len(), 1 | 2) && subtype.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits {
        return None;
    }
    let subtype = BinarySubtype::from(u8::from_str_radix(subtype, 16).ok()?);
    Binary::from_base64(base64.as_str()?, subtype).ok()
}

fn timestamp(object: &RawDocument) -> Option<Timestamp> {
    let [time, increment] = pair(object, ["t", "i"])?;
    let number = |value: RawBsonRef<'_>| match value {
        RawBsonRef::Int32(number) => u32::try_from(number).ok(),
        RawBsonRef::Int64(number) => u32::try_from(number).ok(),
        _ => None,
    };
    Some(Timestamp {
        time: number(time)?,
        increment: number(increment)?,
    })
}

fn regex(object: &RawDocument) -> Option<RawBson> {
    let [pattern, options] = pair(object, ["pattern", "options"])?;
    let pattern = <&CStr>::try_from(pattern.as_str()?).ok()?.into();
    let mut letters: Vec<char> = options.as_str()?.chars().collect();
    letters.sort_unstable(); // BSON wants them in order
    let options = letters.into_iter().collect::<String>();
    let options = <&CStr>::try_from(options.as_str()).ok()?.into();
    Some(RawBson::RegularExpression(Regex { pattern, options }))
}

fn db_pointer(object: &RawDocument) -> Option<RawBson> {
    let [namespace, id] = pair(object, ["$ref", "$id"])?;
    let (namespace, id) = (namespace.as_str()?, id.as_object_id()?);
    // The type is deprecated and its parts are private, so it is read from its BSON.
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&[0x0C, 0]);
    bytes.extend_from_slice(&i32::try_from(namespace.len() + 1).ok()?.to_le_bytes());
    bytes.extend_from_slice(namespace.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&id.bytes());
    bytes.push(0);
    let length = i32::try_from(bytes.len()).ok()?.to_le_bytes();
    bytes[..4].copy_from_slice(&length);
    let document = RawDocument::from_bytes(&bytes).ok()?;
    let pointer: DbPointer = match RawBson::from(document.get("").ok()??) {
        RawBson::DbPointer(pointer) => pointer,
        _ => return None,
    };
    Some(RawBson::DbPointer(pointer))
}

fn date(value: RawBsonRef<'_>) -> Option<DateTime> {
    match value {
        RawBsonRef::String(text) => DateTime::parse_rfc3339_str(text).ok(),
        RawBsonRef::Int32(millis) => Some(DateTime::from_millis(i64::from(millis))),
        RawBsonRef::Int64(millis) => Some(DateTime::from_millis(millis)),
        _ => None,
    }
}

fn is_one(value: RawBsonRef<'_>) -> bool {
    matches!(value, RawBsonRef::Int32(1) | RawBsonRef::Int64(1))
}

fn code_with_scope(code: RawBsonRef<'_>, scope: RawBsonRef<'_>) -> Option<RawBson> {
    let code = code.as_str()?.to_owned();
    let scope = scope.as_document()?.to_owned();
    Some(RawBson::JavaScriptCodeWithScope(
        RawJavaScriptCodeWithScope { code, scope },
    ))
}
