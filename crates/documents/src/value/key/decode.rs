//! From a key back to a value.
//!
//! Equal values have one key, so a key gives back *a* value that is equal to the one it was made
//! of, and has the same key again: whole numbers that fit become int32, else int64, else doubles
//! if a double is exactly that, else decimals in their shortest form; text becomes a string (not a
//! symbol). Values of all other types come back as they were.
//!
//! Keys from disk are not believed: what is no key gives nothing, and nothing here panics.

use bson::raw::{RawBson, RawDocument};
use bson::spec::{BinarySubtype, ElementType};

use super::{ADJUSTED_BIAS, invert, split_first_directed};
use super::{BETWEEN, COEFFICIENT_BYTES, Direction, END, ESCAPED, EXACT, NAN};
use crate::NESTING_MAX;
use crate::value::Class;

/// How many digits the coefficient in a key has.
const DIGITS: i32 = 34;
/// What is added to the power of ten of a decimal when it is stored, and the largest power.
const EXPONENT_BIAS: i32 = 6176;
const EXPONENT_MAX: i32 = 6111;

/// The value of the first part of a key, as it reads by default, and what follows it; `None` when
/// the bytes do not begin with an encoded value in that direction.
#[must_use]
pub fn decode_first(key: &[u8], direction: Direction) -> Option<(RawBson, &[u8])> {
    let (part, behind) = split_first_directed(key, direction)?;
    let value = match direction {
        Direction::Ascending => decode(part)?,
        Direction::Descending => {
            let mut part = part.to_vec();
            invert(&mut part);
            decode(&part)?
        }
    };
    Some((value, behind))
}

/// The value of an ascending key of one value, as it reads by default; `None` when the bytes are
/// anything else.
#[must_use]
pub fn decode(key: &[u8]) -> Option<RawBson> {
    let mut reader = Reader { rest: key };
    let mut out = vec![0; 4];
    reader.put_element(b"", 1, &mut out)?;
    if !reader.rest.is_empty() {
        return None;
    }
    out.push(0);
    set_length(&mut out, 0)?;
    let document = RawDocument::from_bytes(&out).ok()?;
    let element = document.iter().next()?.ok()?;
    Some(element.1.into())
}

/// Writes the length of what begins at `start` into its first four bytes.
fn set_length(out: &mut [u8], start: usize) -> Option<()> {
    let length = i32::try_from(out.len() - start).ok()?;
    out.get_mut(start..start + 4)?
        .copy_from_slice(&length.to_le_bytes());
    Some(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == END)?;
        let name = self.take(end)?;
        self.byte()?;
        Some(name)
    }

    /// A text without its escapes.
    fn text(&mut self) -> Option<String> {
        let mut text = self.name()?.to_vec();
        while self.byte()? == ESCAPED {
            text.push(0);
            text.extend_from_slice(self.name()?);
        }
        String::from_utf8(text).ok()
    }

    /// Appends a value of BSON under a name.
    fn put_element(&mut self, name: &[u8], level: usize, out: &mut Vec<u8>) -> Option<()> {
        let class = Class::from_byte(self.byte()?)?;
        self.put_content(class, name, level, out)
    }

    fn put_content(
        &mut self,
        class: Class,
        name: &[u8],
        level: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let at = out.len();
        out.push(0);
        out.extend_from_slice(name);
        out.push(0);
        let element_type = match class {
            Class::MinKey => ElementType::MinKey,
            Class::Undefined => ElementType::Undefined,
            Class::Null => ElementType::Null,
            Class::MaxKey => ElementType::MaxKey,
            Class::Number => self.put_number(out)?,
            Class::String => self.put_text(ElementType::String, out)?,
            Class::Code => self.put_text(ElementType::JavaScriptCode, out)?,
            Class::Object => self.put_object(level, out)?,
            Class::Array => self.put_array(level, out)?,
            Class::Binary => self.put_binary(out)?,
            Class::ObjectId => {
                out.extend_from_slice(self.take(12)?);
                ElementType::ObjectId
            }
            Class::Boolean => {
                out.push(self.byte()?);
                ElementType::Boolean
            }
            Class::Date => {
                let millis = i64::from_be_bytes(self.array()?) ^ i64::MIN;
                out.extend_from_slice(&millis.to_le_bytes());
                ElementType::DateTime
            }
            Class::Timestamp => {
                let seconds = u32::from_be_bytes(self.array()?);
                let increment = u32::from_be_bytes(self.array()?);
                out.extend_from_slice(&increment.to_le_bytes());
                out.extend_from_slice(&seconds.to_le_bytes());
                ElementType::Timestamp
            }
            Class::Regex => {
                for _ in 0..2 {
                    out.extend_from_slice(self.name()?);
                    out.push(0);
                }
                ElementType::RegularExpression
            }
            Class::DbPointer => {
                self.put_text(ElementType::DbPointer, out)?;
                out.extend_from_slice(self.take(12)?);
                ElementType::DbPointer
            }
            Class::CodeWithScope => {
                let start = out.len();
                out.extend_from_slice(&[0; 4]);
                self.put_text(ElementType::JavaScriptCode, out)?;
                self.put_object(level, out)?;
                set_length(out, start)?;
                ElementType::JavaScriptCodeWithScope
            }
        };
        out[at] = element_type as u8;
        Some(())
    }

    fn put_text(&mut self, element_type: ElementType, out: &mut Vec<u8>) -> Option<ElementType> {
        let text = self.text()?;
        let length = i32::try_from(text.len() + 1).ok()?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
        out.push(0);
        Some(element_type)
    }

    fn put_object(&mut self, level: usize, out: &mut Vec<u8>) -> Option<ElementType> {
        let start = open(level, out)?;
        loop {
            let byte = self.byte()?;
            if byte == END {
                break;
            }
            let class = Class::from_byte(byte)?;
            let name = self.name()?;
            self.put_content(class, name, level + 1, out)?;
        }
        close(start, out)?;
        Some(ElementType::EmbeddedDocument)
    }

    fn put_array(&mut self, level: usize, out: &mut Vec<u8>) -> Option<ElementType> {
        let start = open(level, out)?;
        let mut number = 0u32;
        while *self.rest.first()? != END {
            self.put_element(number.to_string().as_bytes(), level + 1, out)?;
            number += 1;
        }
        self.byte()?;
        close(start, out)?;
        Some(ElementType::Array)
    }

    fn put_binary(&mut self, out: &mut Vec<u8>) -> Option<ElementType> {
        let length = u32::from_be_bytes(self.array()?);
        let subtype = self.byte()?;
        out.extend_from_slice(&i32::try_from(length).ok()?.to_le_bytes());
        out.push(subtype);
        let mut left = length;
        if BinarySubtype::from(subtype) == BinarySubtype::BinaryOld {
            let inner = u32::from_be_bytes(self.array()?);
            out.extend_from_slice(&i32::try_from(inner).ok()?.to_le_bytes());
            left = left.checked_sub(4)?;
        }
        out.extend_from_slice(self.take(usize::try_from(left).ok()?)?);
        Some(ElementType::Binary)
    }

    fn put_number(&mut self, out: &mut Vec<u8>) -> Option<ElementType> {
        let ordered = self.array::<8>()?;
        let is_exact = self.byte()?;
        if ordered == NAN {
            out.extend_from_slice(&f64::NAN.to_le_bytes());
            return (is_exact == EXACT).then_some(ElementType::Double);
        }
        let bits = u64::from_be_bytes(ordered);
        let bits = if bits >> 63 == 1 {
            bits ^ (1 << 63)
        } else {
            !bits
        };
        let floor = f64::from_bits(bits);
        match is_exact {
            EXACT => Some(put_double(floor, out)),
            BETWEEN => {
                let mut adjusted = self.array::<2>()?;
                let mut coefficient = [0; 16];
                coefficient[16 - COEFFICIENT_BYTES..]
                    .copy_from_slice(self.take(COEFFICIENT_BYTES)?);
                let negative = floor < 0.0;
                if negative {
                    invert(&mut adjusted);
                    invert(&mut coefficient[16 - COEFFICIENT_BYTES..]);
                }
                let adjusted = i32::from(u16::from_be_bytes(adjusted)) - ADJUSTED_BIAS;
                put_between(negative, adjusted, u128::from_be_bytes(coefficient), out)
            }
            _ => None,
        }
    }
}

fn open(level: usize, out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    (level <= NESTING_MAX).then_some(start)
}

fn close(start: usize, out: &mut Vec<u8>) -> Option<()> {
    out.push(0);
    set_length(&mut out[start..], 0)
}

/// A double, or the integer that it is.
fn put_double(double: f64, out: &mut Vec<u8>) -> ElementType {
    /// 2^63, the first integer that an int64 cannot be.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is whole, and within the range"
    )]
    let whole =
        (double.trunc() == double && (-BEYOND..BEYOND).contains(&double)).then_some(double as i64);
    match whole {
        Some(whole) => put_whole(whole, out),
        None => {
            out.extend_from_slice(&double.to_le_bytes());
            ElementType::Double
        }
    }
}

fn put_whole(whole: i64, out: &mut Vec<u8>) -> ElementType {
    if let Ok(short) = i32::try_from(whole) {
        out.extend_from_slice(&short.to_le_bytes());
        return ElementType::Int32;
    }
    out.extend_from_slice(&whole.to_le_bytes());
    ElementType::Int64
}

/// A number that is no double: an int64, or a decimal.
fn put_between(
    negative: bool,
    adjusted: i32,
    mut coefficient: u128,
    out: &mut Vec<u8>,
) -> Option<ElementType> {
    let mut exponent = adjusted - (DIGITS - 1);
    if coefficient == 0 || coefficient >= 10u128.pow(DIGITS.cast_unsigned()) {
        return None;
    }
    while coefficient.is_multiple_of(10) && exponent < EXPONENT_MAX {
        coefficient /= 10;
        exponent += 1;
    }
    let power = u32::try_from(exponent).ok();
    let size = power.and_then(|power| coefficient.checked_mul(10u128.checked_pow(power)?));
    let whole = size.and_then(|size| {
        let size = i128::try_from(size).ok()?;
        i64::try_from(if negative { -size } else { size }).ok()
    });
    if let Some(whole) = whole {
        return Some(put_whole(whole, out));
    }
    let stored = u128::try_from(exponent.checked_add(EXPONENT_BIAS)?).ok()?;
    let bits = u128::from(negative) << 127 | stored << 113 | coefficient;
    out.extend_from_slice(&bits.to_le_bytes());
    (exponent <= EXPONENT_MAX).then_some(ElementType::Decimal128)
}
