//! `$unwind`: one document per element of an array.

use std::rc::Rc;

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};

use super::set::Place;
use super::{check_made, expected, failed};
use crate::aggregate::error::{ExpressionError, PipelineError};
use crate::aggregate::expression::{Unrolled, field_path, mistake};
use crate::aggregate::run::{Context, Documents};
use crate::pointer::join;
use crate::store::Error;

/// One document per element of an array.
#[derive(Clone, Debug)]
pub(in crate::aggregate) struct Unwind {
    at: String,
    path: Place,
    /// Where the number of the element goes.
    index: Option<Place>,
    /// Whether documents without an element pass as well.
    preserve: bool,
}

/// What is left of the document that is being unwound.
#[derive(Default)]
struct Left {
    document: RawDocumentBuf,
    number: i64,
    elements: Unrolled,
}

impl Unwind {
    pub(super) fn parse(value: RawBsonRef<'_>, at: String) -> Result<Self, PipelineError> {
        const PATH: &str = "the path of a field that begins with $";
        let (mut path, mut index, mut preserve) = (None, None, false);
        match value {
            RawBsonRef::String(text) => path = Some(text),
            RawBsonRef::Document(options) => {
                for (name, option) in options.iter().flatten() {
                    let here = join(&at, name.as_str());
                    match (name.as_str(), option) {
                        ("path", RawBsonRef::String(text)) => path = Some(text),
                        ("path", other) => return Err(mistake(&here, PATH, other)),
                        ("includeArrayIndex", RawBsonRef::String(text)) => {
                            index = Some(Place::parse(text, &here)?);
                        }
                        ("includeArrayIndex", other) => {
                            return Err(mistake(&here, "the path of a field", other));
                        }
                        ("preserveNullAndEmptyArrays", RawBsonRef::Boolean(flag)) => {
                            preserve = flag;
                        }
                        ("preserveNullAndEmptyArrays", other) => {
                            return Err(mistake(&here, "true or false", other));
                        }
                        (other, _) => {
                            let options = "path, includeArrayIndex or preserveNullAndEmptyArrays";
                            return Err(expected(&here, options, format!("{other:?}")));
                        }
                    }
                }
            }
            other => return Err(mistake(&at, PATH, other)),
        }
        let path = path.ok_or_else(|| expected(&at, PATH, "none"))?;
        let path = Place::new(&field_path(path, &at)?, &at)?;
        Ok(Self {
            at,
            path,
            index,
            preserve,
        })
    }

    pub(super) fn run<'v>(
        &'v self,
        mut documents: Documents<'v>,
        context: &Rc<Context<'v>>,
    ) -> Documents<'v> {
        let context = Rc::clone(context);
        let mut left = Left::default();
        Box::new(std::iter::from_fn(move || {
            let next = context.pass().map_err(Error::from);
            next.and_then(|()| self.next(&mut documents, &mut left))
                .transpose()
        }))
    }

    fn next(
        &self,
        documents: &mut Documents<'_>,
        left: &mut Left,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        loop {
            let made = self.element(left);
            if let Some(made) = made.map_err(|source| failed(&self.at, source))? {
                // Only the number of the element can make a document larger or deeper.
                if self.index.is_some() {
                    check_made(&self.at, &made)?;
                }
                return Ok(Some(made));
            }
            let Some(document) = documents.next().transpose()? else {
                return Ok(None);
            };
            let other = self.begin(&document, left);
            let other = other.map_err(|source| failed(&self.at, source))?;
            if other.is_some() {
                return Ok(other);
            }
        }
    }

    /// The next element in the place of its array, if there is one left.
    fn element(&self, left: &mut Left) -> Result<Option<RawDocumentBuf>, ExpressionError> {
        let Some(element) = left.elements.next()? else {
            return Ok(None);
        };
        let made = self.path.set(&left.document, Some(element))?;
        let number = left.number;
        left.number += 1;
        self.with_index(made, RawBsonRef::Int64(number)).map(Some)
    }

    fn with_index(
        &self,
        document: RawDocumentBuf,
        index: RawBsonRef<'_>,
    ) -> Result<RawDocumentBuf, ExpressionError> {
        match &self.index {
            Some(place) => place.set(&document, Some(index)),
            None => Ok(document),
        }
    }

    /// Lays out the elements of the next document, or, if it has no array, returns what becomes
    /// of it.
    fn begin(
        &self,
        document: &RawDocument,
        left: &mut Left,
    ) -> Result<Option<RawDocumentBuf>, ExpressionError> {
        let passed = match self.path.get(document)? {
            Some(RawBsonRef::Array(array)) if !array.is_empty() => {
                left.elements = Unrolled::new(array);
                left.number = 0;
                // Without the array, which would be copied for each of its elements.
                left.document = self.path.set(document, Some(RawBsonRef::Null))?;
                return Ok(None);
            }
            Some(RawBsonRef::Array(_)) if self.preserve => self.path.set(document, None)?,
            None | Some(RawBsonRef::Null | RawBsonRef::Undefined) if self.preserve => {
                document.to_owned()
            }
            None | Some(RawBsonRef::Null | RawBsonRef::Undefined | RawBsonRef::Array(_)) => {
                return Ok(None);
            }
            Some(_) => document.to_owned(),
        };
        self.with_index(passed, RawBsonRef::Null).map(Some)
    }
}
