//! The total order over BSON values.
//!
//! Types first, in the order of [`Class`]; inside a class by value: numbers exactly and across
//! their types, strings by bytes, objects field by field in stored order (class, then name, then
//! value), arrays element by element, binary by length, subtype and bytes. The order is the one
//! of the keys that [`key`](super::key) writes.

use std::cmp::Ordering;

use bson::raw::{RawBinaryRef, RawBsonRef, RawDbPointerRef, RawDocument, RawDocumentBuf, cstr};
use bson::spec::BinarySubtype;

use super::Class;
use super::number::Number;
use crate::{NESTING_MAX, ValueError};

/// Compares two values.
///
/// # Errors
/// When an object or array in either value is damaged, or nested too deeply.
pub fn compare(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> Result<Ordering, ValueError> {
    compare_at(a, b, 1)
}

/// Whether two values are equal: one in the order, whatever their types.
///
/// # Errors
/// As for [`compare`].
pub fn equal(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> Result<bool, ValueError> {
    Ok(compare(a, b)?.is_eq())
}

fn compare_at(a: RawBsonRef<'_>, b: RawBsonRef<'_>, level: usize) -> Result<Ordering, ValueError> {
    let class = Class::of(a);
    let by_class = class.cmp(&Class::of(b));
    if by_class.is_ne() {
        return Ok(by_class);
    }
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return Ok(a.compare(b));
    }
    if let (Some(a), Some(b)) = (text(a), text(b)) {
        return Ok(a.as_bytes().cmp(b.as_bytes()));
    }
    Ok(match (a, b) {
        (RawBsonRef::Document(a), RawBsonRef::Document(b)) => compare_objects(a, b, level)?,
        (RawBsonRef::Array(a), RawBsonRef::Array(b)) => {
            enter(level)?;
            compare_sequences(a.into_iter(), b.into_iter(), |a, b| {
                compare_at(a, b, level + 1)
            })?
        }
        (RawBsonRef::Binary(a), RawBsonRef::Binary(b)) => {
            let key =
                |binary: RawBinaryRef<'_>| (stored_binary_len(binary), u8::from(binary.subtype));
            key(a).cmp(&key(b)).then_with(|| a.bytes.cmp(b.bytes))
        }
        (RawBsonRef::ObjectId(a), RawBsonRef::ObjectId(b)) => a.bytes().cmp(&b.bytes()),
        (RawBsonRef::Boolean(a), RawBsonRef::Boolean(b)) => a.cmp(&b),
        (RawBsonRef::DateTime(a), RawBsonRef::DateTime(b)) => {
            a.timestamp_millis().cmp(&b.timestamp_millis())
        }
        (RawBsonRef::Timestamp(a), RawBsonRef::Timestamp(b)) => {
            (a.time, a.increment).cmp(&(b.time, b.increment))
        }
        (RawBsonRef::RegularExpression(a), RawBsonRef::RegularExpression(b)) => {
            (a.pattern.as_str(), a.options.as_str()).cmp(&(b.pattern.as_str(), b.options.as_str()))
        }
        (RawBsonRef::DbPointer(a), RawBsonRef::DbPointer(b)) => {
            db_pointer_parts(a).cmp(&db_pointer_parts(b))
        }
        (RawBsonRef::JavaScriptCodeWithScope(a), RawBsonRef::JavaScriptCodeWithScope(b)) => {
            match a.code.as_bytes().cmp(b.code.as_bytes()) {
                Ordering::Equal => compare_objects(a.scope, b.scope, level)?,
                ordering => ordering,
            }
        }
        // The classes of one value each.
        _ => Ordering::Equal,
    })
}

/// The text of the types that are compared as strings.
fn text(value: RawBsonRef<'_>) -> Option<&str> {
    match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            Some(text)
        }
        _ => None,
    }
}

/// The length by which binary values are ordered: the one that is stored, which in the deprecated
/// subtype 2 includes a second length.
pub(super) fn stored_binary_len(binary: RawBinaryRef<'_>) -> usize {
    let extra = if binary.subtype == BinarySubtype::BinaryOld {
        4
    } else {
        0
    };
    binary.bytes.len() + extra
}

/// The namespace and the ObjectId of a DBPointer, each as bytes. The type is deprecated and its
/// decoder keeps the parts to itself, so they are read from its BSON: 4 bytes of length, the
/// namespace with a NUL, 12 bytes.
pub(crate) fn db_pointer_parts(pointer: RawDbPointerRef<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!(""), RawBsonRef::DbPointer(pointer));
    let bytes = document.as_bytes();
    const HEADER: usize = 4 + 1 + 1 + 4; // document length, type, empty name, string length
    const TRAILER: usize = 1 + 12 + 1; // NUL, ObjectId, end of the document
    let split = bytes.len().saturating_sub(TRAILER).max(HEADER);
    let namespace = bytes.get(HEADER..split).unwrap_or_default();
    let id = bytes.get(split + 1..split + 13).unwrap_or_default();
    (namespace.to_vec(), id.to_vec())
}

/// Refuses an object or array at `level` when that is too deep.
pub(super) fn enter(level: usize) -> Result<(), ValueError> {
    if level > NESTING_MAX {
        Err(ValueError::TooDeep)
    } else {
        Ok(())
    }
}

fn compare_objects(a: &RawDocument, b: &RawDocument, level: usize) -> Result<Ordering, ValueError> {
    enter(level)?;
    compare_sequences(a.iter(), b.iter(), |(a_name, a), (b_name, b)| {
        let shape = Class::of(a).cmp(&Class::of(b));
        let shape = shape.then_with(|| a_name.as_str().as_bytes().cmp(b_name.as_str().as_bytes()));
        if shape.is_ne() {
            Ok(shape)
        } else {
            compare_at(a, b, level + 1)
        }
    })
}

/// Compares item by item; a prefix is smaller.
fn compare_sequences<T>(
    mut a: impl Iterator<Item = Result<T, bson::error::Error>>,
    mut b: impl Iterator<Item = Result<T, bson::error::Error>>,
    mut compare_items: impl FnMut(T, T) -> Result<Ordering, ValueError>,
) -> Result<Ordering, ValueError> {
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (None, None) => return Ok(Ordering::Equal),
            (None, Some(_)) => return Ok(Ordering::Less),
            (Some(_), None) => return Ok(Ordering::Greater),
            (Some(a), Some(b)) => {
                let ordering = compare_items(a, b)?;
                if ordering.is_ne() {
                    return Ok(ordering);
                }
            }
        }
    }
}
