//! How many documents match, without reading them where that can be.
//!
//! All documents of a collection, and everything under exact bounds of an index in which no
//! document has several rows, are counted by rows alone: by what the trees know of whole blocks
//! where a snapshot is asked, and row by row otherwise. Else the documents are read.

use nexusbase_db::{KeyRange, TreeId};

use super::plan::{Access, Plan};
use super::reader::{Place, Reader};
use super::rows::{IndexRows, Rows};
use super::text::Postings;
use crate::filter::Filter;
use crate::store::Error;

/// The number of documents that match, as `plan` finds them.
pub(crate) fn count(place: Place<'_>, plan: &Plan, filter: &Filter) -> Result<u64, Error> {
    if plan.exact {
        match &plan.access {
            Access::Documents(scan) => return rows(&place, place.data, &scan.ranges),
            Access::Index(scan) if !scan.is_checked() => {
                return rows(&place, scan.index().tree, &scan.ranges);
            }
            Access::Index(scan) => {
                let mut rows = IndexRows::new(&place, scan.clone(), plan.direction, None);
                let mut count = 0;
                while rows.advance()? {
                    count += 1;
                }
                return Ok(count);
            }
            Access::Text(scan) => {
                let mut postings = Postings::new(&place, scan, plan.direction, None);
                let mut count = 0;
                while postings.advance(&place, scan)? {
                    count += 1;
                }
                return Ok(count);
            }
            Access::Common(_) | Access::Branches(_) => {}
        }
    }
    let mut reader = Reader::new(place, plan, filter, None);
    let mut count = 0;
    while reader.next_with(|_, _| Ok(()))?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn rows(place: &Place<'_>, tree: TreeId, ranges: &[KeyRange]) -> Result<u64, Error> {
    let mut count = 0;
    if let Some(snapshot) = place.view.as_snapshot() {
        for range in ranges {
            count += snapshot.sum(tree, range)?.rows;
        }
        return Ok(count);
    }
    let forward = nexusbase_db::Direction::Forward;
    let mut rows = Rows::new(place.view, tree, ranges, forward, None);
    while rows.advance()? {
        count += 1;
    }
    Ok(count)
}
