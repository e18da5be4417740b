//! Whether reading an index gives documents in the order asked for.
//!
//! A part that has one value in all rows that are read does not take part in their order. The
//! others must be the keys of the order, one after the other, all in their directions or all
//! against them. Rows of one tuple of values lie in the order of `_id`, which every order ends
//! with; in a unique index there is only one.
//!
//! A part under which documents can have none or several values does not order them as a sort
//! would.

use nexusbase_db::Direction;

use super::index_scan::IndexScan;
use crate::sort::Sort;
use crate::value::key::{self, Direction as Way};

use super::cursor::Cursor;

/// Which way to read to get the order, if that gives it.
pub(crate) fn of(scan: &IndexScan, sort: &Sort) -> Option<Direction> {
    if sort.is_by_score() {
        return None;
    }
    let index = scan.index();
    let parts = &index.spec.parts;
    let (mut next, mut direction) = (0, None);
    for key in sort.keys() {
        let constant = |part: usize| scan.fixed(part).is_some();
        let is_constant = (0..parts.len())
            .any(|part| parts[part].path == key.path && constant(part) && !index.multikey[part]);
        if is_constant {
            continue;
        }
        while next < parts.len() && constant(next) {
            next += 1;
        }
        if next == parts.len() {
            if index.spec.unique {
                // No two documents are left to be put in order.
                break;
            }
            if key.path.as_str() != "_id" {
                return None;
            }
            let agrees = agree(&mut direction, key.direction == Way::Ascending);
            return direction.filter(|_| agrees);
        }
        let part = &parts[next];
        if part.path != key.path
            || index.multikey[next]
            || !agree(&mut direction, part.direction == key.direction)
        {
            return None;
        }
        next += 1;
        if key.path.as_str() == "_id" {
            break;
        }
    }
    // Parts that are left would give a document several rows, or none a place in the order.
    let left = (next..parts.len()).any(|part| scan.fixed(part).is_none() && index.multikey[part]);
    (!left).then_some(direction.unwrap_or(Direction::Forward))
}

/// Whether a part goes the way that the parts before it go; the first one decides.
fn agree(direction: &mut Option<Direction>, as_stored: bool) -> bool {
    let way = if as_stored {
        Direction::Forward
    } else {
        Direction::Reverse
    };
    *direction.get_or_insert(way) == way
}

/// The row at which a page behind `after` begins, if that can be said: the one that the page
/// before ended with.
pub(crate) fn start(scan: &IndexScan, sort: &Sort, after: &Cursor) -> Option<Vec<u8>> {
    let index = scan.index();
    let mut row = Vec::new();
    for (number, part) in index.spec.parts.iter().enumerate() {
        let from = row.len();
        if let Some(fixed) = scan.fixed(number) {
            row.extend_from_slice(fixed);
        } else {
            let key = sort.keys().iter().position(|key| key.path == part.path);
            row.extend(after.part(sort, key?)?);
        }
        if part.direction == Way::Descending {
            key::invert(&mut row[from..]);
        }
    }
    if !index.spec.unique {
        let id = sort
            .keys()
            .iter()
            .position(|key| key.path.as_str() == "_id");
        row.extend(after.part(sort, id?)?);
    }
    Some(row)
}
