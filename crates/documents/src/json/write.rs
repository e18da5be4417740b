//! BSON as extended JSON text, written straight from the raw bytes.

use std::fmt::Write;

use bson::DateTime;
use bson::raw::{RawBinaryRef, RawBsonRef, RawDocument};
use bson::spec::BinarySubtype;

use crate::id::format_uuid;
use crate::{NESTING_MAX, ValueError};

/// Which form of extended JSON is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Numbers, dates and UUIDs as people write them; whether a number was an int32 or an int64 is lost.
    #[default]
    Relaxed,
    /// Every value with its type, so that reading gives back the same bytes.
    Canonical,
}

/// A document as text, on one line.
///
/// # Errors
/// When the document is damaged or nested too deeply.
pub fn to_string(document: &RawDocument, form: Form) -> Result<String, ValueError> {
    let mut out = String::with_capacity(document.as_bytes().len());
    write_document(document, form, &mut out)?;
    Ok(out)
}

/// Appends a document as text, on one line.
///
/// # Errors
/// As for [`to_string`]; `out` then holds a part of the document.
pub fn write_document(
    document: &RawDocument,
    form: Form,
    out: &mut String,
) -> Result<(), ValueError> {
    Writer { form, out }.object(document, 1)
}

/// Appends a value as text, on one line.
///
/// # Errors
/// As for [`to_string`]; `out` then holds a part of the value.
pub fn write_value(value: RawBsonRef<'_>, form: Form, out: &mut String) -> Result<(), ValueError> {
    Writer { form, out }.value(value, 1)
}

struct Writer<'a> {
    form: Form,
    out: &'a mut String,
}

impl Writer<'_> {
    /// Writes formatted text; writing to a string cannot fail.
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }

    fn object(&mut self, object: &RawDocument, level: usize) -> Result<(), ValueError> {
        enter(level)?;
        self.out.push('{');
        for (index, field) in object.iter().enumerate() {
            let (name, value) = field?;
            if index > 0 {
                self.out.push(',');
            }
            self.text(name.as_str());
            self.out.push(':');
            self.value(value, level + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn value(&mut self, value: RawBsonRef<'_>, level: usize) -> Result<(), ValueError> {
        match value {
            RawBsonRef::Null => self.out.push_str("null"),
            RawBsonRef::Boolean(value) => self.put(format_args!("{value}")),
            RawBsonRef::String(text) => self.text(text),
            RawBsonRef::Int32(number) => self.integer("$numberInt", i64::from(number)),
            RawBsonRef::Int64(number) => self.integer("$numberLong", number),
            RawBsonRef::Double(number) => self.double(number),
            RawBsonRef::Document(object) => self.object(object, level)?,
            RawBsonRef::Array(array) => {
                enter(level)?;
                self.out.push('[');
                for (index, element) in array.into_iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.value(element?, level + 1)?;
                }
                self.out.push(']');
            }
            RawBsonRef::DateTime(date) => self.date(date),
            RawBsonRef::JavaScriptCodeWithScope(code) => {
                self.wrapped("$code", code.code);
                self.out.pop();
                self.out.push_str(",\"$scope\":");
                self.object(code.scope, level)?;
                self.out.push('}');
            }
            other => self.rare(other),
        }
        Ok(())
    }

    /// The types that JSON has nothing like, and that contain nothing.
    fn rare(&mut self, value: RawBsonRef<'_>) {
        match value {
            RawBsonRef::ObjectId(id) => self.wrapped("$oid", &id.to_hex()),
            RawBsonRef::Decimal128(number) => self.wrapped("$numberDecimal", &number.to_string()),
            RawBsonRef::Symbol(text) => self.wrapped("$symbol", text),
            RawBsonRef::JavaScriptCode(code) => self.wrapped("$code", code),
            RawBsonRef::Binary(binary) => self.binary(binary),
            RawBsonRef::Timestamp(stamp) => {
                let (time, increment) = (stamp.time, stamp.increment);
                self.put(format_args!(
                    "{{\"$timestamp\":{{\"t\":{time},\"i\":{increment}}}}}"
                ));
            }
            RawBsonRef::RegularExpression(regex) => {
                self.out.push_str("{\"$regularExpression\":{\"pattern\":");
                self.text(regex.pattern.as_str());
                self.out.push_str(",\"options\":");
                self.text(regex.options.as_str());
                self.out.push_str("}}");
            }
            RawBsonRef::DbPointer(pointer) => {
                let (namespace, id) = crate::value::db_pointer_parts(pointer);
                self.out.push_str("{\"$dbPointer\":{\"$ref\":");
                self.text(&String::from_utf8_lossy(&namespace));
                self.out.push_str(",\"$id\":{\"$oid\":\"");
                for byte in id {
                    self.put(format_args!("{byte:02x}"));
                }
                self.out.push_str("\"}}}");
            }
            RawBsonRef::MinKey => self.out.push_str("{\"$minKey\":1}"),
            RawBsonRef::MaxKey => self.out.push_str("{\"$maxKey\":1}"),
            RawBsonRef::Undefined => self.out.push_str("{\"$undefined\":true}"),
            // All others are written by `value`.
            _ => self.out.push_str("null"),
        }
    }

    fn wrapped(&mut self, wrapper: &str, text: &str) {
        self.put(format_args!("{{\"{wrapper}\":"));
        self.text(text);
        self.out.push('}');
    }

    fn integer(&mut self, wrapper: &str, number: i64) {
        match self.form {
            Form::Relaxed => self.put(format_args!("{number}")),
            Form::Canonical => self.put(format_args!("{{\"{wrapper}\":\"{number}\"}}")),
        }
    }

    fn double(&mut self, number: f64) {
        if number.is_nan() {
            self.out.push_str("{\"$numberDouble\":\"NaN\"}");
        } else if number.is_infinite() {
            let sign = if number < 0.0 { "-" } else { "" };
            self.put(format_args!("{{\"$numberDouble\":\"{sign}Infinity\"}}"));
        } else if self.form == Form::Relaxed {
            // This form always has a point or an exponent, so it is read as a double again.
            self.put(format_args!("{number:?}"));
        } else {
            self.put(format_args!("{{\"$numberDouble\":\"{number:?}\"}}"));
        }
    }

    fn date(&mut self, date: DateTime) {
        // From 1970 to 9999, where all readers agree on the text.
        const MILLIS_END: i64 = 253_402_300_800_000;
        let millis = date.timestamp_millis();
        if self.form == Form::Relaxed
            && (0..MILLIS_END).contains(&millis)
            && let Ok(text) = date.try_to_rfc3339_string()
        {
            self.wrapped("$date", &text);
            return;
        }
        self.put(format_args!(
            "{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}"
        ));
    }

    fn binary(&mut self, binary: RawBinaryRef<'_>) {
        // A UUID as people write it, and as it stands in a URL; every reader of the format knows
        // this form.
        if self.form == Form::Relaxed
            && binary.subtype == BinarySubtype::Uuid
            && let Ok(uuid) = binary.bytes.try_into()
        {
            self.wrapped("$uuid", &format_uuid(uuid));
            return;
        }
        self.out.push_str("{\"$binary\":{\"base64\":\"");
        push_base64(binary.bytes, self.out);
        let subtype = u8::from(binary.subtype);
        self.put(format_args!("\",\"subType\":\"{subtype:02x}\"}}}}"));
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(plain) = rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\x1F')) {
            let (before, from) = rest.split_at(plain);
            self.out.push_str(before);
            // All of these are one byte long.
            let (character, after) = from.split_at(1);
            match character {
                "\"" => self.out.push_str("\\\""),
                "\\" => self.out.push_str("\\\\"),
                "\n" => self.out.push_str("\\n"),
                "\r" => self.out.push_str("\\r"),
                "\t" => self.out.push_str("\\t"),
                control => {
                    let byte = control.as_bytes().first().copied().unwrap_or_default();
                    self.put(format_args!("\\u{byte:04x}"));
                }
            }
            rest = after;
        }
        self.out.push_str(rest);
        self.out.push('"');
    }
}

fn enter(level: usize) -> Result<(), ValueError> {
    if level > NESTING_MAX {
        Err(ValueError::TooDeep)
    } else {
        Ok(())
    }
}

fn push_base64(bytes: &[u8], out: &mut String) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let mut group = 0u32;
        for index in 0..3 {
            group = group << 8 | chunk.get(index).map_or(0, |byte| u32::from(*byte));
        }
        for letter in 0..4 {
            if letter > chunk.len() {
                out.push('=');
            } else {
                let index = (group >> (18 - 6 * letter)) & 63;
                out.push(char::from(LETTERS[index as usize]));
            }
        }
    }
}
