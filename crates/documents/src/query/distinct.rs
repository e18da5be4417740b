//! The different values under a path.
//!
//! Elements of an array count one by one; a missing field is no value. Values that are equal (1 and
//! 1.0) are one, and the one that is returned is the first of the document with the least `_id`,
//! whichever way the documents are found. The values come in their order.
//!
//! Where there is an index on the path alone, and no document has several values there or every document
//! is asked for, each value is looked up once and its other rows are skipped.

use std::collections::BTreeMap;
use std::ops::Bound;

use bson::raw::{RawBson, RawBsonRef, RawDocument};
use nexusbase_db::{Direction, KeyRange};

use super::index_scan::IndexScan;
use super::interval::behind;
use super::plan::{Access, Plan};
use super::reader::{Place, Reader, read};
use super::rows::IndexRows;
use crate::filter::Filter;
use crate::path::{Found, Path};
use crate::store::Error;
use crate::value::key::{self, Direction as Way};
use crate::{DOCUMENT_BYTES_MAX, ValueError};

/// What one value takes in a BSON array beside its own bytes, at most.
const ELEMENT_BYTES: usize = 16;

/// Different values, as far as they were found: by their keys, with the `_id` of the document that
/// each is from.
struct Values {
    path: Path,
    found: BTreeMap<Vec<u8>, (Vec<u8>, RawBson)>,
    bytes: usize,
}

impl Values {
    /// Takes in the values of a document.
    fn add(&mut self, id: &[u8], document: &RawDocument) -> Result<(), Error> {
        let mut own = Vec::new();
        each(&self.path, document, &mut |value| {
            let mut bytes = Vec::new();
            key::encode(value, &mut bytes)?;
            own.push((bytes, value));
            Ok(())
        })?;
        for (bytes, value) in own {
            self.add_one(id, bytes, value)?;
        }
        Ok(())
    }

    fn add_one(&mut self, id: &[u8], bytes: Vec<u8>, value: RawBsonRef<'_>) -> Result<(), Error> {
        if let Some((known, stored)) = self.found.get_mut(&bytes) {
            if id < known.as_slice() {
                *known = id.to_vec();
                self.bytes -= size(stored.as_raw_bson_ref());
                self.bytes += size(value);
                *stored = value.into();
            }
        } else {
            self.bytes += size(value);
            self.found.insert(bytes, (id.to_vec(), value.into()));
        }
        if self.bytes > DOCUMENT_BYTES_MAX {
            return Err(Error::TooManyValues {
                path: self.path.to_string(),
                limit: DOCUMENT_BYTES_MAX,
            });
        }
        Ok(())
    }
}

/// About how many bytes a value takes in an array.
fn size(value: RawBsonRef<'_>) -> usize {
    let own = match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            text.len()
        }
        RawBsonRef::Document(document) => document.as_bytes().len(),
        RawBsonRef::Array(array) => array.as_bytes().len(),
        RawBsonRef::Binary(binary) => binary.bytes.len(),
        RawBsonRef::RegularExpression(regex) => {
            regex.pattern.as_str().len() + regex.options.as_str().len()
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => code.code.len() + code.scope.as_bytes().len(),
        _ => 16,
    };
    own + ELEMENT_BYTES
}

/// Hands out the values under a path, elements of an array one by one.
fn each<'a>(
    path: &Path,
    document: &'a RawDocument,
    visitor: &mut dyn FnMut(RawBsonRef<'a>) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    path.visit(document, &mut |found| {
        match found {
            Found::Missing | Found::Apart => {}
            Found::Value {
                value: RawBsonRef::Array(array),
                unwrap: true,
            } => {
                for element in array {
                    visitor(element?)?;
                }
            }
            Found::Value { value, .. } => visitor(value)?,
        }
        Ok(false)
    })?;
    Ok(())
}

/// Whether the values under `path` can be found by skipping through the rows of `plan`.
pub(crate) fn skips(plan: &Plan, path: &Path, filter: &Filter) -> bool {
    let Access::Index(scan) = &plan.access else {
        return false;
    };
    let index = scan.index();
    let is_on_path = matches!(index.spec.parts.as_slice(), [only] if only.path == *path);
    let every = filter.is_empty() && index.spec.partial.is_none();
    is_on_path && (every || (plan.exact && !index.is_multikey()))
}

/// The different values under `path` of the documents that match, in order.
pub(crate) fn distinct(
    place: Place<'_>,
    plan: &Plan,
    filter: &Filter,
    path: &Path,
) -> Result<Vec<RawBson>, Error> {
    let mut values = Values {
        path: path.clone(),
        found: BTreeMap::new(),
        bytes: 0,
    };
    match &plan.access {
        Access::Index(scan) if skips(plan, path, filter) => by_skips(&place, scan, &mut values)?,
        _ => {
            let mut reader = Reader::new(place, plan, filter, None);
            while reader
                .next_with(|id, document| values.add(id, document))?
                .is_some()
            {}
        }
    }
    Ok(values.found.into_values().map(|(_, value)| value).collect())
}

/// Looks at the rows of each value, which are in the order of `_id`, until a document has it (null
/// may stand for a missing field), and goes on behind that value.
fn by_skips(place: &Place<'_>, scan: &IndexScan, values: &mut Values) -> Result<(), Error> {
    for range in &scan.ranges {
        let mut rest = range.clone();
        loop {
            let mut one = scan.clone();
            one.ranges = vec![rest];
            let mut rows = IndexRows::new(place, one, Direction::Forward, None);
            let mut at: Option<Vec<u8>> = None;
            while rows.advance()? {
                let (value, id) = rows.row()?;
                if at.as_deref().is_some_and(|at| at != value) {
                    // None of the rows before had it; this is the next value already.
                    at = None;
                }
                let row = at.get_or_insert_with(|| value.to_vec()).clone();
                let id = id.to_vec();
                if values.add_equal(place, scan, &row, &id)? {
                    break;
                }
            }
            let Some(start) = at.as_deref().and_then(behind) else {
                break;
            };
            let end = range.end().map(<[u8]>::to_vec);
            rest = KeyRange::from_bounds(Bound::Included(start), end);
        }
    }
    Ok(())
}

impl Values {
    /// Takes in the value of a row, from its document. Returns whether the document has it.
    fn add_equal(
        &mut self,
        place: &Place<'_>,
        scan: &IndexScan,
        row: &[u8],
        id: &[u8],
    ) -> Result<bool, Error> {
        let Some(bytes) = place.view.get(place.data, id)? else {
            return Err(Error::Damaged {
                collection: place.collection.to_string(),
                reason: format!(
                    "the index on {} names a document that is missing",
                    scan.index().name()
                ),
            });
        };
        let mut wanted = row.to_vec();
        if scan.index().spec.parts[0].direction == Way::Descending {
            key::invert(&mut wanted);
        }
        let mut equal = None;
        let mut own = Vec::new();
        each(&self.path, read(place, &bytes)?, &mut |value| {
            own.clear();
            key::encode(value, &mut own)?;
            if own == wanted && equal.is_none() {
                equal = Some(RawBson::from(value));
            }
            Ok(())
        })?;
        match equal {
            Some(value) => {
                self.add_one(id, wanted, value.as_raw_bson_ref())?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
