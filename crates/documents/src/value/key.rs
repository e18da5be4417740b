//! Values as bytes whose plain byte order is the order of the values.
//!
//! [`encode`] appends to a buffer so that for all values
//! `memcmp(encode(a), encode(b)) == compare(a, b)`: equal numbers of different types give equal
//! bytes, so a key alone gives back an equal value ([`decode`]), and the document the value itself. An encoded value says
//! itself where it ends, and no encoding is the beginning of another, so keys of several values
//! are made by writing one after the other, each ascending or [descending](Direction), and taken
//! apart by [`split_first`].
//!
//! This is a disk format. Its byte table is `docs/format/keys.md`, and a golden test holds it
//! still. [`split_first`] reads bytes from disk: whatever they are, it does not panic.

mod decode;

use bson::raw::{RawBinaryRef, RawBsonRef, RawDocument};

use super::Class;
use super::compare::{db_pointer_parts, enter, stored_binary_len};
use super::number::Number;
use crate::{NESTING_MAX, ValueError};

pub use decode::{decode, decode_first};

/// Ends objects, arrays and texts; below the first byte of every value.
const END: u8 = 0x00;
/// Follows a zero byte that is part of a text; an end is followed by another [`END`].
const ESCAPED: u8 = 0xFF;
/// The number equals the double before this byte.
const EXACT: u8 = 0x00;
/// The number is above the double before this byte, and below the next double.
const BETWEEN: u8 = 0x01;
/// The eight bytes of NaN, below those of minus infinity.
const NAN: [u8; 8] = [0; 8];
/// Added to the power of ten of a decimal, which may be negative.
const ADJUSTED_BIAS: i32 = 0x4000;
/// How many bytes 34 decimal digits need.
const COEFFICIENT_BYTES: usize = 15;
/// What follows [`BETWEEN`]: the power of ten and the coefficient.
const BETWEEN_BYTES: usize = 2 + COEFFICIENT_BYTES;

/// Which way a part of a key is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first: every byte of the part is inverted.
    Descending,
}

impl Direction {
    /// What every byte of a part in this direction is combined with by exclusive or.
    fn mask(self) -> u8 {
        match self {
            Self::Ascending => 0x00,
            Self::Descending => 0xFF,
        }
    }
}

/// Appends the key of a value, ascending.
///
/// # Errors
/// When an object or array in the value is damaged or nested too deeply; `out` is then as before.
pub fn encode(value: RawBsonRef<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
    encode_directed(value, Direction::Ascending, out)
}

/// Appends the key of a value in the given direction.
///
/// # Errors
/// As for [`encode`].
pub fn encode_directed(
    value: RawBsonRef<'_>,
    direction: Direction,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let start = out.len();
    let written = put_value(value, 1, out);
    if written.is_err() {
        out.truncate(start);
    } else if direction == Direction::Descending {
        invert(&mut out[start..]);
    }
    written
}

/// Inverts every byte, which turns an ascending part of a key into a descending one and back.
pub fn invert(part: &mut [u8]) {
    for byte in part {
        *byte = !*byte;
    }
}

/// The first value of an ascending key, and what follows it; `None` when the bytes do not begin
/// with an encoded value. The value's own bytes are checked for shape, not for meaning.
#[must_use]
pub fn split_first(key: &[u8]) -> Option<(&[u8], &[u8])> {
    split_first_directed(key, Direction::Ascending)
}

/// The first value of a key whose first part has the given direction, and what follows it.
#[must_use]
pub fn split_first_directed(key: &[u8], direction: Direction) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader {
        rest: key,
        mask: direction.mask(),
    };
    reader.skip_value(1)?;
    key.split_at_checked(key.len() - reader.rest.len())
}

fn put_value(value: RawBsonRef<'_>, level: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
    out.push(Class::of(value).byte());
    put_content(value, level, out)
}

/// Writes what follows the class.
fn put_content(value: RawBsonRef<'_>, level: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if let Some(number) = Number::of(value) {
        put_number(number, out);
        return Ok(());
    }
    match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            put_text(text.as_bytes(), out);
        }
        RawBsonRef::Document(object) => put_object(object, level, out)?,
        RawBsonRef::Array(array) => {
            enter(level)?;
            for element in array {
                put_value(element?, level + 1, out)?;
            }
            out.push(END);
        }
        RawBsonRef::Binary(binary) => put_binary(binary, out),
        RawBsonRef::ObjectId(id) => out.extend_from_slice(&id.bytes()),
        RawBsonRef::Boolean(value) => out.push(u8::from(value)),
        RawBsonRef::DateTime(date) => {
            let flipped = date.timestamp_millis() ^ i64::MIN;
            out.extend_from_slice(&flipped.to_be_bytes());
        }
        RawBsonRef::Timestamp(timestamp) => {
            out.extend_from_slice(&timestamp.time.to_be_bytes());
            out.extend_from_slice(&timestamp.increment.to_be_bytes());
        }
        RawBsonRef::RegularExpression(regex) => {
            put_name(regex.pattern.as_str(), out);
            put_name(regex.options.as_str(), out);
        }
        RawBsonRef::DbPointer(pointer) => {
            let (namespace, id) = db_pointer_parts(pointer);
            put_text(&namespace, out);
            out.extend_from_slice(&id);
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            put_text(code.code.as_bytes(), out);
            put_object(code.scope, level, out)?;
        }
        // The classes of one value each; numbers are written above.
        _ => {}
    }
    Ok(())
}

fn put_object(object: &RawDocument, level: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
    enter(level)?;
    for field in object {
        let (name, value) = field?;
        out.push(Class::of(value).byte());
        put_name(name.as_str(), out);
        put_content(value, level + 1, out)?;
    }
    out.push(END);
    Ok(())
}

/// Writes text that cannot contain a zero byte.
fn put_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(END);
}

/// Writes text in which zero bytes are escaped.
fn put_text(text: &[u8], out: &mut Vec<u8>) {
    let mut parts = text.split(|byte| *byte == END);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&[END, ESCAPED]);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[END, END]);
}

fn put_binary(binary: RawBinaryRef<'_>, out: &mut Vec<u8>) {
    let stored_len = stored_binary_len(binary);
    // BSON lengths are below 2^31.
    let len = u32::try_from(stored_len).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.push(binary.subtype.into());
    if stored_len > binary.bytes.len() {
        let inner = u32::try_from(binary.bytes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&inner.to_be_bytes());
    }
    out.extend_from_slice(binary.bytes);
}

fn put_number(number: Number, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(&NAN);
        out.push(EXACT);
        return;
    }
    let (floor, above) = number.floor();
    let bits = if floor == 0.0 { 0 } else { floor.to_bits() };
    // The order of doubles is that of their bits, except that negative ones run backwards.
    let ordered = if bits >> 63 == 1 {
        !bits
    } else {
        bits | (1 << 63)
    };
    out.extend_from_slice(&ordered.to_be_bytes());
    let Some((negative, magnitude)) = above.and_then(super::decimal::Decimal::magnitude) else {
        out.push(EXACT);
        return;
    };
    out.push(BETWEEN);
    let start = out.len();
    // From -6176 to 6144, so the sum is a positive number of two bytes.
    let adjusted = u16::try_from(magnitude.adjusted + ADJUSTED_BIAS).unwrap_or(0);
    out.extend_from_slice(&adjusted.to_be_bytes());
    out.extend_from_slice(&magnitude.coefficient.to_be_bytes()[16 - COEFFICIENT_BYTES..]);
    if negative {
        invert(&mut out[start..]);
    }
}

/// Walks over encoded bytes without believing them.
struct Reader<'a> {
    rest: &'a [u8],
    mask: u8,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first ^ self.mask)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    fn skip_name(&mut self) -> Option<()> {
        let end = self.rest.iter().position(|byte| *byte ^ self.mask == END)?;
        self.skip(end + 1)
    }

    fn skip_text(&mut self) -> Option<()> {
        loop {
            self.skip_name()?;
            match self.byte()? {
                END => return Some(()),
                ESCAPED => {}
                _ => return None,
            }
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        self.skip(8)?;
        match self.byte()? {
            EXACT => Some(()),
            BETWEEN => self.skip(BETWEEN_BYTES),
            _ => None,
        }
    }

    fn skip_value(&mut self, level: usize) -> Option<()> {
        let class = Class::from_byte(self.byte()?)?;
        self.skip_content(class, level)
    }

    fn skip_content(&mut self, class: Class, level: usize) -> Option<()> {
        match class {
            Class::MinKey | Class::Undefined | Class::Null | Class::MaxKey => Some(()),
            Class::Number => self.skip_number(),
            Class::String | Class::Code => self.skip_text(),
            Class::Object => self.skip_object(level),
            Class::Array => self.skip_array(level),
            Class::Binary => self.skip_binary(),
            Class::ObjectId => self.skip(12),
            Class::Boolean => self.skip(1),
            Class::Date | Class::Timestamp => self.skip(8),
            Class::Regex => {
                self.skip_name()?;
                self.skip_name()
            }
            Class::DbPointer => {
                self.skip_text()?;
                self.skip(12)
            }
            Class::CodeWithScope => {
                self.skip_text()?;
                self.skip_object(level)
            }
        }
    }

    fn skip_binary(&mut self) -> Option<()> {
        let mut len = 0;
        for _ in 0..4 {
            len = len << 8 | usize::from(self.byte()?);
        }
        self.skip(len.checked_add(1)?)
    }

    fn skip_array(&mut self, level: usize) -> Option<()> {
        self.skip_items(level, |_| Some(()))
    }

    fn skip_object(&mut self, level: usize) -> Option<()> {
        self.skip_items(level, Self::skip_name)
    }

    /// Skips values up to the end mark; `between` skips what stands between a class and its
    /// content.
    fn skip_items(&mut self, level: usize, between: fn(&mut Self) -> Option<()>) -> Option<()> {
        if level > NESTING_MAX {
            return None;
        }
        loop {
            let byte = self.byte()?;
            if byte == END {
                return Some(());
            }
            let class = Class::from_byte(byte)?;
            between(self)?;
            self.skip_content(class, level + 1)?;
        }
    }
}
