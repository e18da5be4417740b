//! Which array element a filter found: what `$` in the path of an update means.
//!
//! It is the first element of the outermost array on a condition's way that meets the condition
//! without the others. That is asked of the condition itself: a document is made that has nothing
//! but this array with one element. A condition on the array as a whole (its size, an equal
//! array, that it exists) would hold for no or all arrays, or not for the element twice, and finds
//! none; neither does a negated one. Of several conditions, the last that finds one decides.

use bson::raw::{CStr, RawArray, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use crate::ValueError;
use crate::filter::{Condition, Filter};
use crate::path::{Path, index_of};

/// The index of the array element that a filter found in a document that matches it.
pub(super) fn found(filter: &Filter, document: &RawDocument) -> Result<Option<usize>, ValueError> {
    last_found(filter.conjuncts(), document)
}

fn last_found(
    conditions: &[Condition],
    document: &RawDocument,
) -> Result<Option<usize>, ValueError> {
    let mut last = None;
    for condition in conditions {
        last = found_by(condition, document)?.or(last);
    }
    Ok(last)
}

fn found_by(condition: &Condition, document: &RawDocument) -> Result<Option<usize>, ValueError> {
    if let Condition::All(conditions) = condition {
        return last_found(conditions, document);
    }
    if let Condition::Any(conditions) = condition {
        for condition in conditions {
            if condition.holds(document)? {
                return found_by(condition, document);
            }
        }
        return Ok(None);
    }
    if let Condition::Field { path, .. } = condition {
        return found_on(path, condition, document);
    }
    Ok(None)
}

/// The first element on the way of a path that meets a condition on it.
fn found_on(
    path: &Path,
    condition: &Condition,
    document: &RawDocument,
) -> Result<Option<usize>, ValueError> {
    let Some((names, array)) = outermost_array(path, document)? else {
        return Ok(None);
    };
    let holds = |elements: &[RawBsonRef<'_>]| condition.holds(&nested(&names, elements));
    if holds(&[])? {
        return Ok(None);
    }
    for (index, element) in array.into_iter().enumerate() {
        let element = element?;
        if holds(&[element])? && holds(&[element, element])? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// The first array that a path meets, and the names that lead to it. An index into an array is no
/// search in it: the path goes on in that element.
fn outermost_array<'a>(
    path: &Path,
    document: &'a RawDocument,
) -> Result<Option<(Vec<&'a CStr>, &'a RawArray)>, ValueError> {
    let mut object = document;
    let mut names = Vec::new();
    for part in path.parts() {
        let mut value = None;
        for element in object.iter_elements() {
            let element = element?;
            if element.key().as_str() == part {
                names.push(element.key());
                value = Some(element.value()?);
                break;
            }
        }
        match value {
            Some(RawBsonRef::Document(inner)) => object = inner,
            Some(RawBsonRef::Array(array)) => {
                let next = path.parts().nth(names.len());
                let is_indexed = next.is_some_and(|part| index_of(part).is_some());
                return Ok((!is_indexed).then_some((names, array)));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// A document that has nothing but an array at the end of the names.
fn nested(names: &[&CStr], elements: &[RawBsonRef<'_>]) -> RawDocumentBuf {
    let array: RawArrayBuf = elements.iter().copied().collect();
    let mut value = RawBson::Array(array);
    for name in names.iter().rev() {
        let mut document = RawDocumentBuf::new();
        document.append(name, value);
        value = RawBson::Document(document);
    }
    match value {
        RawBson::Document(document) => document,
        _ => RawDocumentBuf::new(), // only without names, which cannot be
    }
}
