//! BSON values in one total order.
//!
//! Sorting, range conditions, minimum and maximum and every index use the same order over all
//! values of all types: [`compare`] decides it, and [`key`] writes a value as bytes whose plain
//! byte order is that order. The two are proved against each other by property tests.
//!
//! The order of types: MinKey, undefined, null (a missing field counts as null), numbers, strings
//! and symbols, objects, arrays, binary, ObjectId, booleans, dates, timestamps, regular
//! expressions, DBPointer, code, code with scope, MaxKey.
//!
//! Values are read in place from BSON bytes, which are checked as they are read: damage and
//! nesting beyond [`NESTING_MAX`](crate::NESTING_MAX) are errors.

pub mod arithmetic;
mod compare;
pub mod decimal;
pub mod key;
mod number;

use bson::raw::RawBsonRef;

pub(crate) use compare::db_pointer_parts;
pub use compare::{compare, equal};
pub(crate) use number::Number;

/// A group of types that are compared with one another by value; groups are ordered among
/// themselves.
///
/// The discriminant is the first byte of an encoded value ([`key`]): part of the disk format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Below everything.
    MinKey = 0x10,
    /// The deprecated undefined; also what an empty array counts as in a sort or an index.
    Undefined = 0x18,
    /// Null, and a missing field.
    Null = 0x20,
    /// int32, int64, double and decimal128.
    Number = 0x30,
    /// Strings, and the deprecated symbols.
    String = 0x40,
    /// Embedded documents.
    Object = 0x50,
    /// Arrays as a whole.
    Array = 0x58,
    /// Binary data of any subtype.
    Binary = 0x60,
    /// ObjectId.
    ObjectId = 0x68,
    /// Booleans.
    Boolean = 0x70,
    /// Dates.
    Date = 0x78,
    /// Replication timestamps.
    Timestamp = 0x80,
    /// Regular expressions as values.
    Regex = 0x88,
    /// The deprecated DBPointer.
    DbPointer = 0x90,
    /// JavaScript code.
    Code = 0x98,
    /// JavaScript code with scope.
    CodeWithScope = 0xA0,
    /// Above everything.
    MaxKey = 0xF0,
}

impl Class {
    /// The class of a value.
    #[must_use]
    pub fn of(value: RawBsonRef<'_>) -> Self {
        match value {
            RawBsonRef::MinKey => Self::MinKey,
            RawBsonRef::Undefined => Self::Undefined,
            RawBsonRef::Null => Self::Null,
            RawBsonRef::Int32(_)
            | RawBsonRef::Int64(_)
            | RawBsonRef::Double(_)
            | RawBsonRef::Decimal128(_) => Self::Number,
            RawBsonRef::String(_) | RawBsonRef::Symbol(_) => Self::String,
            RawBsonRef::Document(_) => Self::Object,
            RawBsonRef::Array(_) => Self::Array,
            RawBsonRef::Binary(_) => Self::Binary,
            RawBsonRef::ObjectId(_) => Self::ObjectId,
            RawBsonRef::Boolean(_) => Self::Boolean,
            RawBsonRef::DateTime(_) => Self::Date,
            RawBsonRef::Timestamp(_) => Self::Timestamp,
            RawBsonRef::RegularExpression(_) => Self::Regex,
            RawBsonRef::DbPointer(_) => Self::DbPointer,
            RawBsonRef::JavaScriptCode(_) => Self::Code,
            RawBsonRef::JavaScriptCodeWithScope(_) => Self::CodeWithScope,
            RawBsonRef::MaxKey => Self::MaxKey,
        }
    }

    /// The class that an encoded value begins with.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x10 => Self::MinKey,
            0x18 => Self::Undefined,
            0x20 => Self::Null,
            0x30 => Self::Number,
            0x40 => Self::String,
            0x50 => Self::Object,
            0x58 => Self::Array,
            0x60 => Self::Binary,
            0x68 => Self::ObjectId,
            0x70 => Self::Boolean,
            0x78 => Self::Date,
            0x80 => Self::Timestamp,
            0x88 => Self::Regex,
            0x90 => Self::DbPointer,
            0x98 => Self::Code,
            0xA0 => Self::CodeWithScope,
            0xF0 => Self::MaxKey,
            _ => return None,
        })
    }

    /// The byte that an encoded value of this class begins with.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// Whether a value is not-a-number, of either type that has it.
#[must_use]
pub fn is_nan(value: RawBsonRef<'_>) -> bool {
    Number::of(value).is_some_and(Number::is_nan)
}

/// The name of a value's type, with its article, for messages.
#[must_use]
pub fn type_name(value: RawBsonRef<'_>) -> &'static str {
    match value {
        RawBsonRef::MinKey => "MinKey",
        RawBsonRef::Undefined => "undefined",
        RawBsonRef::Null => "null",
        RawBsonRef::Int32(_) | RawBsonRef::Int64(_) => "an integer",
        RawBsonRef::Double(_) => "a double",
        RawBsonRef::Decimal128(_) => "a decimal",
        RawBsonRef::String(_) => "a string",
        RawBsonRef::Symbol(_) => "a symbol",
        RawBsonRef::Document(_) => "an object",
        RawBsonRef::Array(_) => "an array",
        RawBsonRef::Binary(_) => "binary data",
        RawBsonRef::ObjectId(_) => "an ObjectId",
        RawBsonRef::Boolean(_) => "a boolean",
        RawBsonRef::DateTime(_) => "a date",
        RawBsonRef::Timestamp(_) => "a timestamp",
        RawBsonRef::RegularExpression(_) => "a regular expression",
        RawBsonRef::DbPointer(_) => "a DBPointer",
        RawBsonRef::JavaScriptCode(_) | RawBsonRef::JavaScriptCodeWithScope(_) => "code",
        RawBsonRef::MaxKey => "MaxKey",
    }
}
