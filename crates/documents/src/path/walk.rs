//! Walking a path through a document.
//!
//! A numeric step is a name in an object and an index in an array, so one value can be reached by
//! many routes, and their number can grow exponentially with the length of the path. Where that
//! could happen, each array is walked once per number of steps left: the findings are the same.

use std::collections::HashSet;

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::{Found, Step, field};
use crate::ValueError;

/// With so many numeric steps, at most `2^` this number of routes lead to one value, which is not
/// worth remembering them.
const AMBIGUOUS_STEPS_MAX: usize = 4;

/// Calls the visitor with everything that the steps find, and with the element of the outermost
/// array fanned out over, until it answers true.
pub(super) fn walk<'a, V>(
    steps: &[Step],
    document: &'a RawDocument,
    visitor: &mut V,
) -> Result<bool, ValueError>
where
    V: FnMut(Found<'a>, Option<usize>) -> Result<bool, ValueError>,
{
    Walk::new(steps, visitor).object(document, steps, None)
}

/// As [`walk`], from an array that steps before these have led to.
pub(super) fn walk_from<'a, V>(
    steps: &[Step],
    array: &'a RawArray,
    visitor: &mut V,
) -> Result<bool, ValueError>
where
    V: FnMut(Found<'a>, Option<usize>) -> Result<bool, ValueError>,
{
    Walk::new(steps, visitor).value(Some(RawBsonRef::Array(array)), steps, None)
}

struct Walk<'v, V> {
    visitor: &'v mut V,
    /// The arrays walked, by address, and how many steps were left; only where it is needed.
    walked: Option<HashSet<(usize, usize)>>,
}

impl<'v, 'a, V> Walk<'v, V>
where
    V: FnMut(Found<'a>, Option<usize>) -> Result<bool, ValueError>,
{
    fn new(steps: &[Step], visitor: &'v mut V) -> Self {
        let ambiguous = steps.iter().filter(|step| step.index.is_some()).count();
        Self {
            visitor,
            walked: (ambiguous > AMBIGUOUS_STEPS_MAX).then(HashSet::new),
        }
    }

    fn object(
        &mut self,
        object: &'a RawDocument,
        steps: &[Step],
        outer: Option<usize>,
    ) -> Result<bool, ValueError> {
        let Some((step, rest)) = steps.split_first() else {
            return Ok(false); // only for a path without steps, which cannot be made
        };
        self.value(field(object, &step.name)?, rest, outer)
    }

    /// Continues from what the step before found.
    fn value(
        &mut self,
        value: Option<RawBsonRef<'a>>,
        rest: &[Step],
        outer: Option<usize>,
    ) -> Result<bool, ValueError> {
        match value {
            Some(value) if rest.is_empty() => {
                let unwrap = true;
                (self.visitor)(Found::Value { value, unwrap }, outer)
            }
            Some(RawBsonRef::Document(object)) => self.object(object, rest, outer),
            Some(RawBsonRef::Array(array)) => self.array(array, rest, outer),
            Some(_) | None => (self.visitor)(Found::Missing, outer),
        }
    }

    /// Continues in the elements of an array.
    fn array(
        &mut self,
        array: &'a RawArray,
        steps: &[Step],
        outer: Option<usize>,
    ) -> Result<bool, ValueError> {
        let Some((step, rest)) = steps.split_first() else {
            return Ok(false); // steps are left wherever this is called
        };
        if let Some(walked) = &mut self.walked
            && !walked.insert((array.as_bytes().as_ptr().addr(), steps.len()))
        {
            return Ok(false);
        }
        // Where the step is an index of this array, objects that lack a field of that name are
        // not taken for missing it: the index is what was meant.
        let indexed = match step.index {
            Some(index) => array.iter_elements().nth(index).transpose()?.is_some(),
            None => false,
        };
        for (position, element) in array.into_iter().enumerate() {
            let element = element?;
            let is_indexed = indexed && step.index == Some(position);
            let placed = outer.or(Some(position));
            let stop = match element {
                RawBsonRef::Document(object) => match field(object, &step.name)? {
                    None if indexed => false,
                    value => self.value(value, rest, placed)?,
                },
                _ if indexed => false,
                _ => (self.visitor)(Found::Apart, placed)?,
            };
            if stop || (is_indexed && self.indexed(element, rest, outer)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Continues from the array element that an index named. An array there is not fanned out
    /// over: only another index leads into it.
    fn indexed(
        &mut self,
        element: RawBsonRef<'a>,
        rest: &[Step],
        outer: Option<usize>,
    ) -> Result<bool, ValueError> {
        let Some((step, after)) = rest.split_first() else {
            let (value, unwrap) = (element, false);
            return (self.visitor)(Found::Value { value, unwrap }, outer);
        };
        match element {
            RawBsonRef::Document(object) => self.object(object, rest, outer),
            RawBsonRef::Array(inner) => {
                let value = match step.index {
                    Some(index) => inner.into_iter().nth(index).transpose()?,
                    None => None,
                };
                self.value(value, after, outer)
            }
            _ => (self.visitor)(Found::Apart, outer),
        }
    }
}
