//! Values that expressions work on: read in place, made, or missing.

use std::cmp::Ordering;

use bson::raw::{RawArray, RawArrayIter, RawBson, RawBsonRef};

use super::Unrolled;
use crate::ValueError;
use crate::value::{Class, compare, type_name};

/// A value of an expression. A missing one is not null: it makes no field, and no element of
/// `$push`.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// No value.
    Missing,
    /// A value in a document or in the pipeline.
    Ref(RawBsonRef<'a>),
    /// A value that was made.
    Owned(RawBson),
}

impl From<RawBson> for Value<'_> {
    fn from(value: RawBson) -> Self {
        Self::Owned(value)
    }
}

impl<'a> From<Option<RawBsonRef<'a>>> for Value<'a> {
    fn from(value: Option<RawBsonRef<'a>>) -> Self {
        value.map_or(Self::Missing, Self::Ref)
    }
}

impl<'a> Value<'a> {
    pub(crate) const NULL: Value<'static> = Value::Ref(RawBsonRef::Null);

    /// The value, unless it is missing.
    pub(crate) fn get(&self) -> Option<RawBsonRef<'_>> {
        match self {
            Self::Missing => None,
            Self::Ref(value) => Some(*value),
            Self::Owned(value) => Some(value.as_raw_bson_ref()),
        }
    }

    /// The value, or null where it is missing.
    pub(crate) fn or_null(&self) -> RawBsonRef<'_> {
        self.get().unwrap_or(RawBsonRef::Null)
    }

    /// Whether it is missing, null or undefined.
    pub(crate) fn is_nullish(&self) -> bool {
        matches!(
            self.get(),
            None | Some(RawBsonRef::Null | RawBsonRef::Undefined)
        )
    }

    /// Whether it counts as true: everything but false, zero, null and nothing.
    pub(crate) fn is_true(&self) -> Result<bool, ValueError> {
        match self.get() {
            Some(RawBsonRef::Boolean(value)) => Ok(value),
            Some(value) if Class::of(value) == Class::Number => {
                Ok(compare(value, RawBsonRef::Int32(0))?.is_ne())
            }
            _ => Ok(!self.is_nullish()),
        }
    }

    /// The order of two values. A missing one is below null, like undefined.
    pub(crate) fn compare(&self, other: &Value<'_>) -> Result<Ordering, ValueError> {
        compare(
            self.get().unwrap_or(RawBsonRef::Undefined),
            other.get().unwrap_or(RawBsonRef::Undefined),
        )
    }

    /// The value by itself.
    pub(crate) fn into_owned(self) -> Option<RawBson> {
        match self {
            Self::Missing => None,
            Self::Ref(value) => Some(value.into()),
            Self::Owned(value) => Some(value),
        }
    }

    /// The array that it is, if it is one.
    pub(crate) fn as_array(&self) -> Option<&RawArray> {
        self.get().and_then(RawBsonRef::as_array)
    }

    /// The elements, if it is an array.
    pub(crate) fn elements(&self) -> Option<Elements<'a>> {
        match self {
            Self::Ref(RawBsonRef::Array(array)) => Some(Elements::InPlace(array.into_iter())),
            Self::Owned(RawBson::Array(array)) => Some(Elements::Made(Unrolled::new(array))),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn described(&self) -> &'static str {
        self.get().map_or("nothing", type_name)
    }
}

/// The elements of an array, one by one.
pub(crate) enum Elements<'a> {
    /// In a document or in the pipeline.
    InPlace(RawArrayIter<'a>),
    /// Of an array that was made.
    Made(Unrolled),
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Value<'a>, ValueError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::InPlace(elements) => {
                let element = elements.next()?;
                Some(element.map(Value::Ref).map_err(ValueError::from))
            }
            Self::Made(elements) => match elements.next() {
                Ok(element) => element.map(|element| Ok(Value::Owned(element.into()))),
                Err(error) => Some(Err(error)),
            },
        }
    }
}
