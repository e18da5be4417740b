//! The path of a field in an expression.

use bson::raw::{RawArray, RawBson, RawBsonRef, RawDocument};

use super::{ArrayBuilder, Value};
use crate::aggregate::error::ExpressionError;
use crate::path::{Path, field};

/// Names of fields, one inside the other; none for the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath {
    steps: Box<[Box<str>]>,
}

impl FieldPath {
    /// The path to the value itself.
    pub(crate) fn itself() -> Self {
        Self {
            steps: Box::default(),
        }
    }

    pub(crate) fn new(path: &Path) -> Self {
        Self {
            steps: path.parts().map(Box::from).collect(),
        }
    }

    /// What it finds. Nothing is copied unless the path fans out over an array.
    pub(crate) fn find<'a>(&self, value: RawBsonRef<'a>) -> Result<Value<'a>, ExpressionError> {
        match value {
            value if self.steps.is_empty() => Ok(Value::Ref(value)),
            RawBsonRef::Document(object) => in_object(object, &self.steps),
            RawBsonRef::Array(array) => in_array(array, &self.steps),
            _ => Ok(Value::Missing),
        }
    }
}

fn in_object<'a>(
    object: &'a RawDocument,
    steps: &[Box<str>],
) -> Result<Value<'a>, ExpressionError> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(Value::Ref(RawBsonRef::Document(object)));
    };
    match field(object, step)? {
        value if rest.is_empty() => Ok(value.into()),
        Some(RawBsonRef::Document(inner)) => in_object(inner, rest),
        Some(RawBsonRef::Array(array)) => in_array(array, rest),
        _ => Ok(Value::Missing),
    }
}

/// What the objects in an array have; arrays in it are left out.
fn in_array<'a>(array: &'a RawArray, steps: &[Box<str>]) -> Result<Value<'a>, ExpressionError> {
    let mut found = ArrayBuilder::new("a path");
    for element in array {
        if let RawBsonRef::Document(object) = element?
            && let Some(value) = in_object(object, steps)?.get()
        {
            found.push(value)?;
        }
    }
    Ok(Value::Owned(RawBson::Array(found.into_array())))
}
