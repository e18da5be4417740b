//! The `_id` of a document: what it may be, how one is made, and how it is written in a URL.
//!
//! Any value but an array, a regular expression or undefined can be an `_id`. A document that
//! comes without one gets a UUID of version 7 (RFC 9562), stored as BSON binary of subtype 4: its
//! first bits are the time, so that new documents lie side by side in the collection and the
//! order of `_id` is the order of creation. [`UuidV7`] makes them from a clock and random bytes
//! that its caller brings.
//!
//! Text forms are in [`text`].

pub mod text;

use bson::raw::RawBsonRef;

use crate::error::IdError;
use crate::value::type_name;

/// Checks that a value can be an `_id`.
///
/// # Errors
/// When its type cannot.
pub fn check(value: RawBsonRef<'_>) -> Result<(), IdError> {
    match value {
        RawBsonRef::Array(_) | RawBsonRef::RegularExpression(_) | RawBsonRef::Undefined => {
            Err(IdError::Type {
                found: type_name(value),
            })
        }
        _ => Ok(()),
    }
}

/// How many bits of a UUID the counter takes: the 12 behind the version, and 30 more.
const COUNTER_BITS: u32 = 42;
/// The time field has 48 bits.
const MILLIS_MAX: u64 = (1 << 48) - 1;

/// Makes UUIDs of version 7 that only grow, within one process.
///
/// Method 1 of RFC 9562, section 6.2, with a long counter: in each new millisecond a counter of
/// 42 bits begins at a random number whose highest bit is zero, and grows by one; the 32 bits
/// behind it are random each time. When the clock stands still or goes back, the counter goes on
/// with the last time; in the improbable case that it overflows, the time moves on by one.
#[derive(Clone, Debug, Default)]
pub struct UuidV7 {
    millis: u64,
    counter: u64,
}

impl UuidV7 {
    /// A generator that has made none yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next UUID, from the time in milliseconds since 1970 and ten fresh random bytes.
    #[must_use]
    pub fn next(&mut self, unix_ms: u64, random: [u8; 10]) -> [u8; 16] {
        let [a, b, c, d, e, f, tail @ ..] = random;
        let now = unix_ms.min(MILLIS_MAX);
        if now > self.millis {
            self.millis = now;
            let seed = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
            self.counter = seed & ((1 << (COUNTER_BITS - 1)) - 1);
        } else {
            self.counter += 1;
            if self.counter >> COUNTER_BITS != 0 {
                self.counter = 0;
                self.millis = (self.millis + 1).min(MILLIS_MAX);
            }
        }
        let version = 7 << 12;
        let high = self.millis << 16 | version | self.counter >> 30;
        let variant = 0b10 << 62;
        let low_counter = (self.counter & ((1 << 30) - 1)) << 32;
        let low = variant | low_counter | u64::from(u32::from_be_bytes(tail));
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
}

/// Reads a UUID in its one usual form: 32 hexadecimal digits of either case in groups of 8, 4, 4,
/// 4 and 12 with hyphens between them.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    if text.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (position, byte) in text.bytes().enumerate() {
        if HYPHENS.contains(&position) {
            if byte != b'-' {
                return None;
            }
        } else {
            value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
        }
    }
    Some(value.to_be_bytes())
}

/// Writes a UUID in its usual form, in lower case.
#[must_use]
pub fn format_uuid(uuid: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(uuid));
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}
