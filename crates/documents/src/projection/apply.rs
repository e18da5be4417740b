//! From a document to what is shown of it.

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf, RawElement};
use bson::spec::ElementType;

use super::{Action, Mode, Nodes, Projection};
use crate::NESTING_MAX;
use crate::error::{ProjectionError, ValueError};
use crate::filter::Filter;
use crate::path::field;

impl Projection {
    /// What is shown of a document, where it does not matter how the document was found.
    ///
    /// # Errors
    /// When the document is damaged or nested too deeply where it had to be read, or the
    /// projection [is positional](Self::is_positional) and there is an array at its place.
    pub fn apply(&self, document: &RawDocument) -> Result<RawDocumentBuf, ProjectionError> {
        self.apply_matched(document, &Filter::default())
    }

    /// What is shown of a document that matches `filter`.
    ///
    /// # Errors
    /// When the document is damaged or nested too deeply where it had to be read, or the
    /// projection is positional and the filter did not match an element of the array.
    pub fn apply_matched(
        &self,
        document: &RawDocument,
        filter: &Filter,
    ) -> Result<RawDocumentBuf, ProjectionError> {
        let mut steps = Vec::new();
        let focus = self.focus(document, filter, &mut steps)?;
        let focus = focus.map(|index| Focus {
            steps: &steps,
            index,
        });
        let mut out = Vec::new();
        let writer = Writer { mode: self.mode };
        writer.object(document, &self.root, focus, 1, &mut out)?;
        Ok(RawDocumentBuf::from_bytes(out).map_err(ValueError::from)?)
    }

    /// The element to show of the first array on the positional path, and the steps to the array;
    /// none if there is no array.
    fn focus<'p>(
        &'p self,
        document: &RawDocument,
        filter: &Filter,
        steps: &mut Vec<&'p str>,
    ) -> Result<Option<usize>, ProjectionError> {
        let Some(positional) = &self.positional else {
            return Ok(None);
        };
        let no_element = |reason| ProjectionError::NoElement {
            field: positional.text.clone(),
            reason,
        };
        let mut object = document;
        for step in positional.path.parts() {
            steps.push(step);
            match field(object, step)? {
                Some(RawBsonRef::Document(inner)) => object = inner,
                Some(RawBsonRef::Array(array)) => {
                    let index = filter
                        .matched_element(document, &positional.path)?
                        .ok_or_else(|| no_element("the filter matched no array element"))?;
                    if array.iter_elements().nth(index).is_none() {
                        return Err(no_element(
                            "the filter matched an element of another array, and this one is \
                             shorter",
                        ));
                    }
                    return Ok(Some(index));
                }
                _ => break,
            }
        }
        Ok(None)
    }
}

/// The one array of which one element is shown.
#[derive(Clone, Copy)]
struct Focus<'f> {
    /// The way to it.
    steps: &'f [&'f str],
    index: usize,
}

impl<'f> Focus<'f> {
    /// What is left of it in a field of the object.
    fn within(self, name: &str) -> Option<Self> {
        let (step, steps) = self.steps.split_first()?;
        let index = self.index;
        (*step == name).then_some(Self { steps, index })
    }
}

#[derive(Clone, Copy)]
struct Writer {
    mode: Mode,
}

impl Writer {
    fn object(
        self,
        object: &RawDocument,
        nodes: &Nodes,
        focus: Option<Focus<'_>>,
        level: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        enter(level)?;
        let start = open(out);
        let mut at = 4; // elements follow the length without gaps
        for element in object.iter_elements() {
            let element = element?;
            let name = element.key().as_str();
            let bytes = value_bytes(object.as_bytes(), &mut at, &element);
            let Some(action) = nodes.get(name) else {
                if self.mode == Mode::Dropping {
                    put(element.element_type(), name, bytes, out);
                }
                continue;
            };
            let focus = focus.and_then(|focus| focus.within(name));
            self.named(&element, bytes, (action, focus), level, out)?;
        }
        close(out, start);
        Ok(())
    }

    /// Writes a field that the projection names.
    fn named(
        self,
        element: &RawElement<'_>,
        bytes: &[u8],
        (action, focus): (&Action, Option<Focus<'_>>),
        level: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        let name = element.key().as_str();
        let as_is = |out: &mut Vec<u8>| put(element.element_type(), name, bytes, out);
        match action {
            Action::Whole => match (self.mode, focus) {
                (Mode::Dropping, _) => {}
                (Mode::Keeping, None) => as_is(out),
                (Mode::Keeping, Some(focus)) => match element.value()? {
                    RawBsonRef::Array(array) => put_elements(name, array, focus.index, 1, out)?,
                    _ => as_is(out),
                },
            },
            Action::Below(nodes) => match element.value()? {
                RawBsonRef::Document(inner) => {
                    put_header(ElementType::EmbeddedDocument, name, out);
                    self.object(inner, nodes, focus, level + 1, out)?;
                }
                RawBsonRef::Array(array) => {
                    put_header(ElementType::Array, name, out);
                    let only = focus.map(|focus| focus.index);
                    self.array(array, nodes, only, level + 1, out)?;
                }
                _ if self.mode == Mode::Dropping => as_is(out),
                _ => {}
            },
            Action::Slice(slice) => match element.value()? {
                RawBsonRef::Array(array) => {
                    let range = slice.of(array.iter_elements().count());
                    put_elements(name, array, range.start, range.len(), out)?;
                }
                _ => as_is(out),
            },
            Action::Element(condition) => {
                if let RawBsonRef::Array(array) = element.value()?
                    && let Some((index, _)) = condition.first_in(array)?
                {
                    put_elements(name, array, index, 1, out)?;
                }
            }
        }
        Ok(())
    }

    /// Writes an array, and of each object in it the fields that are named; only one element if
    /// that is asked for.
    fn array(
        self,
        array: &RawArray,
        nodes: &Nodes,
        only: Option<usize>,
        level: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        enter(level)?;
        let start = open(out);
        let (mut at, mut kept) = (4, 0);
        for (index, element) in array.iter_elements().enumerate() {
            let element = element?;
            let bytes = value_bytes(array.as_bytes(), &mut at, &element);
            if only.is_some_and(|only| only != index) {
                continue;
            }
            let name = kept.to_string();
            match element.value()? {
                RawBsonRef::Document(inner) => {
                    put_header(ElementType::EmbeddedDocument, &name, out);
                    self.object(inner, nodes, None, level + 1, out)?;
                }
                RawBsonRef::Array(inner) => {
                    put_header(ElementType::Array, &name, out);
                    self.array(inner, nodes, None, level + 1, out)?;
                }
                _ if self.mode == Mode::Keeping => continue,
                _ => put(element.element_type(), &name, bytes, out),
            }
            kept += 1;
        }
        close(out, start);
        Ok(())
    }
}

/// Writes a field that is an array of some elements of another.
fn put_elements(
    name: &str,
    array: &RawArray,
    first: usize,
    count: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    put_header(ElementType::Array, name, out);
    let start = open(out);
    let mut at = 4;
    let mut kept = 0;
    for (index, element) in array.iter_elements().enumerate() {
        let element = element?;
        let bytes = value_bytes(array.as_bytes(), &mut at, &element);
        if kept == count {
            break;
        }
        if index >= first {
            put(element.element_type(), &kept.to_string(), bytes, out);
            kept += 1;
        }
    }
    close(out, start);
    Ok(())
}

/// The bytes of the value of an element that begins at `at`, which moves behind it.
fn value_bytes<'a>(bytes: &'a [u8], at: &mut usize, element: &RawElement<'_>) -> &'a [u8] {
    let start = *at + 1 + element.key().as_str().len() + 1;
    *at = start + element.size();
    bytes.get(start..*at).unwrap_or_default()
}

/// Leaves room for the length of a document.
fn open(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

fn close(out: &mut Vec<u8>, start: usize) {
    out.push(0);
    // What is copied is never longer than the document that it comes from, except for the
    // numbers of array elements, which only become smaller.
    let length = i32::try_from(out.len() - start).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_header(element_type: ElementType, name: &str, out: &mut Vec<u8>) {
    out.push(element_type as u8);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

fn put(element_type: ElementType, name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    put_header(element_type, name, out);
    out.extend_from_slice(bytes);
}

fn enter(level: usize) -> Result<(), ValueError> {
    if level > NESTING_MAX {
        Err(ValueError::TooDeep)
    } else {
        Ok(())
    }
}
