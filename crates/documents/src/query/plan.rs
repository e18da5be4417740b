//! Choosing an access.
//!
//! The rules, in this order:
//! 1. equality or `$in` on `_id`;
//! 2. the index with the fewest rows under an equality or `$in`, counted up to a cap;
//! 3. an index that gives the order asked for, if a limit lets the reading stop early;
//! 4. a range on `_id`, then on the index with the fewest rows in it, if it is selective;
//! 5. the whole collection, in the order of `_id`.

use nexusbase_db::{Direction, KeyRange, View};

use super::Query;
use super::bounds::{self, Bounds};
use crate::path::Path;
use crate::sort::Sort;
use crate::store::{Definition, Error, IndexDefinition};
use crate::value::key::Direction as SortDirection;

/// How many rows are counted to compare accesses.
const PROBE_ROWS: usize = 1000;

/// How documents are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// All documents, in the order of `_id`.
    Collection,
    /// By `_id`.
    Id {
        /// What of it, for people.
        bounds: String,
    },
    /// By an index.
    Index {
        /// The path that it is on.
        path: String,
        /// What of it, for people.
        bounds: String,
    },
}

/// How the order comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKind {
    /// None was asked for.
    None,
    /// The access gives it.
    ByAccess,
    /// In memory.
    InMemory,
}

/// How a query was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// How documents were found.
    pub access: Access,
    /// How the order came about.
    pub sort: SortKind,
    /// Index rows read.
    pub index_rows_read: u64,
    /// Documents read.
    pub documents_read: u64,
    /// Documents returned.
    pub documents_returned: u64,
    /// Time from the question to the last answer, in microseconds.
    pub micros: u64,
}

/// A chosen access.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) access: Access,
    pub(crate) ranges: Vec<KeyRange>,
    /// The index to read; none for an access by `_id`.
    pub(crate) index: Option<IndexAccess>,
    pub(crate) direction: Direction,
    pub(crate) sort: SortKind,
}

#[derive(Clone, Debug)]
pub(crate) struct IndexAccess {
    pub(crate) definition: IndexDefinition,
    /// A document may stand in the ranges more than once.
    pub(crate) repeats: bool,
}

pub(crate) fn choose(
    view: &dyn View,
    definition: &Definition,
    query: &Query,
) -> Result<Plan, Error> {
    let by_id = bounds::of(&query.filter, "_id", false)?;
    if let Some(bounds) = by_id.as_ref().filter(|bounds| bounds.points) {
        return Ok(id_plan(bounds, query));
    }
    let mut candidates = Vec::new();
    for index in definition.indexes.iter().filter(|index| usable(index)) {
        if let Some(bounds) = bounds::of(&query.filter, first(index).as_str(), index.is_multikey())?
        {
            candidates.push((index, bounds));
        }
    }
    let points = candidates.iter().filter(|candidate| candidate.1.points);
    if let Some((index, bounds, _)) = fewest(view, points)? {
        return Ok(index_plan(index, bounds, query));
    }
    if let Some(plan) = ordered(definition, &candidates, query) {
        return Ok(plan);
    }
    if let Some(bounds) = &by_id {
        return Ok(id_plan(bounds, query));
    }
    if let Some((index, bounds, rows)) = fewest(view, candidates.iter())?
        // Reading by a wide range costs more than reading everything in order.
        && (rows < PROBE_ROWS || query.sort.is_none())
    {
        return Ok(index_plan(index, bounds, query));
    }
    Ok(whole(query))
}

fn usable(index: &IndexDefinition) -> bool {
    let spec = &index.spec;
    index.ready
        && spec.parts.len() == 1
        && spec.parts[0].direction == SortDirection::Ascending
        && !spec.unique
        && !spec.sparse
        && spec.partial.is_none()
}

fn first(index: &IndexDefinition) -> &Path {
    &index.spec.parts[0].path
}

type Candidate<'a> = (&'a IndexDefinition, Bounds);

/// The candidate with the fewest rows, and how many, counted up to the cap.
fn fewest<'a>(
    view: &dyn View,
    candidates: impl Iterator<Item = &'a Candidate<'a>>,
) -> Result<Option<(&'a IndexDefinition, &'a Bounds, usize)>, Error> {
    let mut best: Option<(&IndexDefinition, &Bounds, usize)> = None;
    for (index, bounds) in candidates {
        let cap = best.map_or(PROBE_ROWS, |best| best.2);
        let mut rows = 0;
        for range in &bounds.ranges {
            if rows >= cap {
                break;
            }
            let scan = view.scan(index.tree, range.clone(), Direction::Forward)?;
            for row in scan.take(cap - rows) {
                row?;
                rows += 1;
            }
        }
        if best.is_none_or(|best| rows < best.2) {
            best = Some((index, bounds, rows));
        }
    }
    Ok(best)
}

fn whole(query: &Query) -> Plan {
    let (sort, direction) = order_by_id(query);
    Plan {
        access: Access::Collection,
        ranges: vec![KeyRange::all()],
        index: None,
        direction,
        sort,
    }
}

fn id_plan(bounds: &Bounds, query: &Query) -> Plan {
    let (sort, direction) = order_by_id(query);
    Plan {
        access: Access::Id {
            bounds: bounds.text.clone(),
        },
        ranges: bounds.ranges.clone(),
        index: None,
        direction,
        sort,
    }
}

fn index_plan(index: &IndexDefinition, bounds: &Bounds, query: &Query) -> Plan {
    // Under one value rows are in the order of `_id`.
    let one_value = bounds.points && bounds.ranges.len() == 1;
    let (sort, direction) = match order_by_index(index, query) {
        Some(direction) => (SortKind::ByAccess, direction),
        None if one_value => order_by_id(query),
        None => in_memory(query),
    };
    Plan {
        access: Access::Index {
            path: index.name().to_owned(),
            bounds: bounds.text.clone(),
        },
        ranges: bounds.ranges.clone(),
        index: Some(IndexAccess {
            repeats: index.is_multikey() && !one_value,
            definition: index.clone(),
        }),
        direction,
        sort,
    }
}

/// An index that gives the order asked for, where the reading can stop early.
fn ordered(definition: &Definition, candidates: &[Candidate<'_>], query: &Query) -> Option<Plan> {
    query.limit?;
    let index = definition
        .indexes
        .iter()
        .find(|index| usable(index) && order_by_index(index, query).is_some())?;
    let bounds = candidates
        .iter()
        .find(|candidate| candidate.0.tree == index.tree);
    let all = Bounds {
        ranges: vec![KeyRange::all()],
        points: false,
        text: "all".to_owned(),
    };
    Some(index_plan(
        index,
        bounds.map_or(&all, |candidate| &candidate.1),
        query,
    ))
}

/// Which way to read an index to get the order asked for, if it can give it.
fn order_by_index(index: &IndexDefinition, query: &Query) -> Option<Direction> {
    if index.is_multikey() {
        return None;
    }
    match query.sort.as_ref()?.keys() {
        [first, id]
            if &first.path == self::first(index)
                && id.path.as_str() == "_id"
                && first.direction == id.direction =>
        {
            Some(scan_direction(first.direction))
        }
        _ => None,
    }
}

fn order_by_id(query: &Query) -> (SortKind, Direction) {
    match query.sort.as_ref().map(Sort::keys) {
        None => (SortKind::None, Direction::Forward),
        Some([id, ..]) if id.path.as_str() == "_id" => {
            (SortKind::ByAccess, scan_direction(id.direction))
        }
        Some(_) => (SortKind::InMemory, Direction::Forward),
    }
}

fn in_memory(query: &Query) -> (SortKind, Direction) {
    let sort = if query.sort.is_some() {
        SortKind::InMemory
    } else {
        SortKind::None
    };
    (sort, Direction::Forward)
}

const fn scan_direction(direction: SortDirection) -> Direction {
    match direction {
        SortDirection::Ascending => Direction::Forward,
        SortDirection::Descending => Direction::Reverse,
    }
}
