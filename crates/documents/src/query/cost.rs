//! What a way to find documents would cost, in units of one document read in a scan.
//!
//! The constants say what the steps cost relative to one another where everything is in memory
//! (`examples/access_costs.rs` measures that); on disk reading single documents costs more, which
//! only moves the balance towards the scan. What is estimated is wrong now and then; then a query is
//! slower than it could be, and its answer the same.

use nexusbase_db::View;

use super::plan::{Access, Question};
use crate::filter::Filter;
use crate::store::{Definition, Error};

/// Reading the next document of the collection, and checking it against a filter.
const SCANNED_DOCUMENT: f64 = 1.0;
/// What reading a whole collection costs beside its documents: where there are a few only, it makes
/// no difference, and a plan should not change as soon as there are more.
const WHOLE_COLLECTION: f64 = 32.0;
/// Reading the next row of an index.
const INDEX_ROW: f64 = 0.5;
/// Finding a document by its `_id`, and checking it.
const FETCHED_DOCUMENT: f64 = 4.0;
/// Finding the first row of a range.
const RANGE: f64 = 4.0;
/// Putting a document into order, for each halving of their number.
const SORTED_DOCUMENT: f64 = 0.3;
/// Finding the words of a document, whatever it was found by.
const TEXT_OF_DOCUMENT: f64 = 10.0;
/// Which part of documents is taken to meet conditions of which nothing is known.
const UNKNOWN_PART: f64 = 0.25;
/// How many ranges of an index are asked for their rows; the others are taken to be like them.
const RANGES_ASKED: usize = 16;

/// How many rows and documents an access reads, and what that costs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimate {
    /// Rows of the collection or of indexes.
    pub(crate) rows: f64,
    /// Documents that are read one by one.
    pub(crate) fetched: f64,
    /// All of it, to the last row.
    pub(crate) cost: f64,
}

/// Asks how many rows there are.
pub(crate) struct Estimates<'a> {
    view: &'a dyn View,
    definition: &'a Definition,
    /// All documents.
    documents: Option<f64>,
}

impl<'a> Estimates<'a> {
    pub(crate) const fn new(view: &'a dyn View, definition: &'a Definition) -> Self {
        Self {
            view,
            definition,
            documents: None,
        }
    }

    /// About how many documents there are.
    pub(crate) fn documents(&mut self) -> Result<f64, Error> {
        if let Some(documents) = self.documents {
            return Ok(documents);
        }
        let all = nexusbase_db::KeyRange::all();
        let documents = self.view.estimate(self.definition.data, &all)? as f64;
        Ok(*self.documents.insert(documents))
    }

    /// What an access costs if it is read to its end; `documents`: they have to be read, and not
    /// only counted.
    pub(crate) fn of(&mut self, access: &Access, documents: bool) -> Result<Estimate, Error> {
        Ok(match access {
            Access::Documents(scan) => {
                let rows = match scan.rows_max {
                    Some(rows) => rows as f64,
                    None if scan.bounds.is_none() => self.documents()?,
                    None => self.rows(self.definition.data, &scan.ranges)?,
                };
                let begin = match scan.bounds {
                    None => WHOLE_COLLECTION,
                    Some(_) => scan.ranges.len() as f64 * RANGE,
                };
                Estimate {
                    rows,
                    fetched: 0.0,
                    cost: begin + rows * SCANNED_DOCUMENT,
                }
            }
            Access::Index(scan) => {
                let rows = match scan.rows_max() {
                    Some(rows) => rows as f64,
                    None => self.rows(scan.index().tree, &scan.ranges)?,
                };
                let checked = if scan.is_checked() { UNKNOWN_PART } else { 1.0 };
                let fetched = if documents { rows * checked } else { 0.0 };
                let seeks = scan.ranges.len() as f64 * RANGE;
                Estimate {
                    rows,
                    fetched,
                    cost: seeks + rows * INDEX_ROW + fetched * FETCHED_DOCUMENT,
                }
            }
            Access::Common(scans) => {
                let [one, other] = &**scans;
                let one = self.rows(one.index().tree, &one.ranges)?;
                let other = self.rows(other.index().tree, &other.ranges)?;
                let fewer = one.min(other);
                // As if the two had nothing to do with one another.
                let common = one * other / self.documents()?.max(1.0);
                let fetched = common.min(fewer);
                // The longer walk skips what the shorter one does not have.
                let rows = 2.0 * fewer;
                Estimate {
                    rows,
                    fetched,
                    cost: 2.0 * RANGE + fewer * (INDEX_ROW + RANGE) + fetched * FETCHED_DOCUMENT,
                }
            }
            Access::Branches(branches) => {
                let mut sum = Estimate::default();
                for (_, access) in branches {
                    let one = self.of(access, true)?;
                    sum.rows += one.rows;
                    sum.fetched += one.fetched;
                    sum.cost += one.cost;
                }
                sum
            }
            Access::Text(scan) => {
                let rows = self.rows(scan.index().tree, &scan.ranges)?;
                let found = rows.min(self.documents()?);
                let fetched = if documents { found } else { 0.0 };
                let seeks = scan.ranges.len() as f64 * RANGE;
                Estimate {
                    rows,
                    fetched,
                    cost: seeks + rows * INDEX_ROW + fetched * FETCHED_DOCUMENT,
                }
            }
        })
    }

    /// About how many rows the ranges have.
    fn rows(
        &self,
        tree: nexusbase_db::TreeId,
        ranges: &[nexusbase_db::KeyRange],
    ) -> Result<f64, Error> {
        let asked = ranges.len().min(RANGES_ASKED);
        let mut rows = 0;
        // Spread over all of them.
        for number in 0..asked {
            let range = &ranges[number * ranges.len() / asked];
            rows += self.view.estimate(tree, range)?;
        }
        Ok(rows as f64 * ranges.len() as f64 / asked.max(1) as f64)
    }
}

/// What it costs beside that to look for words in the documents that an access reads.
pub(crate) fn reading_text(access: &Access, estimate: Estimate) -> f64 {
    let documents = match access {
        Access::Documents(_) => estimate.rows,
        _ => estimate.fetched,
    };
    documents * TEXT_OF_DOCUMENT
}

/// About how many documents match: as many as the best access finds, less what it does not know.
pub(crate) fn matching(estimates: &[(Estimate, bool)], documents: f64, filter: &Filter) -> f64 {
    let unknown = |exact: bool| if exact { 1.0 } else { UNKNOWN_PART };
    let some = if filter.is_empty() { 1.0 } else { UNKNOWN_PART };
    let least = estimates
        .iter()
        .map(|(estimate, exact)| estimate.rows.min(documents) * unknown(*exact));
    least.fold(documents * some, f64::min).max(1.0)
}

/// What it costs to answer: an access that gives the order asked for may stop early; any other has
/// to be read to its end, and put into order if there is one.
pub(crate) fn answering(
    estimate: Estimate,
    in_memory: bool,
    matching: f64,
    question: &Question<'_>,
) -> f64 {
    if in_memory {
        let kept = question
            .limit
            .map_or(matching, |limit| matching.min(limit as f64));
        return estimate.cost + matching * SORTED_DOCUMENT * (kept + 2.0).log2();
    }
    let part = question
        .limit
        .map_or(1.0, |limit| (limit as f64 / matching).min(1.0));
    estimate.cost * part
}
