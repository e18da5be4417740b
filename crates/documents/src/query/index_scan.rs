//! Which part of an index a filter asks for.
//!
//! Values (`=`, `$in`) of the first parts and one range behind them make ranges of keys. What the
//! filter says of later parts is checked on each row, before its document is read.
//!
//! Of several parts of one index that may have found their values in one array, conditions bound
//! only one: two conditions may be met by two of its elements.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexusbase_db::KeyRange;

use super::bounds::{self, Bounds};
use super::implies;
use super::interval::{Intervals, behind};
use crate::ValueError;
use crate::filter::{Condition, Test};
use crate::sort::SortKey;
use crate::store::{Definition, IndexDefinition};
use crate::value::key::{Direction, split_first_directed};

/// How many ranges the values of several parts may make; behind that, a part makes one range.
const RANGES_MAX: usize = 1000;

/// A part of an index.
#[derive(Clone, Debug)]
pub(crate) struct IndexScan {
    definition: Arc<Definition>,
    at: usize,
    /// What the filter says of each part of the index.
    pub(crate) bounds: Vec<Option<Bounds>>,
    /// Ranges of rows, in order and apart.
    pub(crate) ranges: Vec<KeyRange>,
    /// What has to be checked on each row: the bounds of parts that make no range of their own,
    /// as they stand in a row.
    checks: Vec<Option<Intervals>>,
    /// Which conditions of the filter (by number) hold for a document exactly if it has a row here
    /// that passes the checks.
    pub(crate) met: BTreeSet<usize>,
    /// A document may have several rows here.
    pub(crate) repeats: bool,
}

impl IndexScan {
    /// The part of index `at` in which every document that meets `conditions` has a row; none if
    /// the index may lack one of them.
    pub(crate) fn new(
        definition: &Arc<Definition>,
        at: usize,
        conditions: &[Condition],
    ) -> Result<Option<Self>, ValueError> {
        let index = &definition.indexes[at];
        if !index.ready || index.spec.is_text || !holds_all(index, conditions)? {
            return Ok(None);
        }
        let mut met = met_by_membership(index, conditions);
        let parts = &index.spec.parts;
        let mut bounds: Vec<Option<Bounds>> = Vec::with_capacity(parts.len());
        for (number, part) in parts.iter().enumerate() {
            let shares_array = (0..number).any(|before| {
                let bounded = bounds[before].is_some() && index.multikey[before];
                bounded && parts[before].path.first() == part.path.first()
            });
            let multikey = index.multikey[number];
            let found = if multikey && shares_array {
                None
            } else {
                bounds::of(conditions, part.path.as_str(), multikey)?
            };
            if let Some(found) = &found {
                met.extend(&found.met);
            }
            bounds.push(found.map(|found| found.bounds));
        }
        let (ranges, ranged) = ranges(parts, &bounds);
        let check = |(number, bounds): (usize, &Option<Bounds>)| {
            let bounds = bounds.as_ref().filter(|_| number >= ranged)?;
            Some(match parts[number].direction {
                Direction::Ascending => bounds.intervals.clone(),
                Direction::Descending => bounds.intervals.inverted(),
            })
        };
        let mut checks: Vec<_> = bounds.iter().enumerate().map(check).collect();
        while checks.pop_if(|last| last.is_none()).is_some() {}
        let mut scan = Self {
            definition: Arc::clone(definition),
            at,
            bounds,
            ranges,
            checks,
            met,
            repeats: false,
        };
        scan.repeats = (0..parts.len()).any(|part| index.multikey[part] && !scan.is_fixed(part));
        Ok(Some(scan))
    }

    pub(crate) fn index(&self) -> &IndexDefinition {
        &self.definition.indexes[self.at]
    }

    /// The value that part has in all rows here, if there is just one.
    pub(crate) fn fixed(&self, part: usize) -> Option<&[u8]> {
        self.bounds[part].as_ref()?.intervals.single()
    }

    fn is_fixed(&self, part: usize) -> bool {
        self.fixed(part).is_some()
    }

    /// Whether the filter says anything of the index.
    pub(crate) fn is_bounded(&self) -> bool {
        self.bounds.iter().any(Option::is_some)
    }

    /// Whether rows here have to be looked at one by one.
    pub(crate) const fn is_checked(&self) -> bool {
        !self.checks.is_empty()
    }

    /// Whether rows here are in the order of `_id`, each document once.
    pub(crate) fn is_one_value(&self) -> bool {
        let parts = self.index().spec.parts.len();
        !self.index().spec.unique
            && self.ranges.len() == 1
            && (0..parts).all(|part| self.is_fixed(part))
    }

    /// How many rows there are at most, if the index itself says it.
    pub(crate) fn rows_max(&self) -> Option<u64> {
        let points = |bounds: &Option<Bounds>| {
            let bounds = bounds.as_ref();
            bounds.is_some_and(|bounds| bounds.intervals.is_points())
        };
        let unique = self.index().spec.unique && !self.is_checked();
        (unique && self.bounds.iter().all(points)).then_some(self.ranges.len() as u64)
    }

    /// Whether a row passes the checks; none if it is damaged.
    pub(crate) fn passes(&self, row: &[u8]) -> Option<bool> {
        let mut rest = row;
        for (part, check) in self.index().spec.parts.iter().zip(&self.checks) {
            let (value, behind) = split_first_directed(rest, part.direction)?;
            if check.as_ref().is_some_and(|check| !check.contains(value)) {
                return Some(false);
            }
            rest = behind;
        }
        Some(true)
    }

    /// Whether a row lies in the ranges and passes the checks.
    pub(crate) fn holds(&self, row: &[u8]) -> bool {
        let within = |range: &KeyRange| range.contains(row);
        self.passes(row) == Some(true) && self.ranges.iter().any(within)
    }
}

/// Whether every document that meets the conditions is in the index.
pub(super) fn holds_all(
    index: &IndexDefinition,
    conditions: &[Condition],
) -> Result<bool, ValueError> {
    if let Some(partial) = &index.spec.partial
        && !implies::all(conditions, partial.filter.conjuncts())?
    {
        return Ok(false);
    }
    if !index.spec.sparse {
        return Ok(true);
    }
    for part in &index.spec.parts {
        if implies::is_there(conditions, &part.path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The conditions that every document in the index meets.
fn met_by_membership(index: &IndexDefinition, conditions: &[Condition]) -> BTreeSet<usize> {
    let spec = &index.spec;
    let partial = spec.partial.as_ref();
    let partial = partial.map_or(&[][..], |partial| partial.filter.conjuncts());
    let is_met = |condition: &Condition| {
        let exists = |path: &str| {
            // A document with several values may have others than missing ones.
            spec.sparse
                && !index.is_multikey()
                && matches!(spec.parts.as_slice(), [only] if only.path.as_str() == path)
        };
        let there = match condition {
            Condition::Field {
                path,
                test: Test::Exists,
            } => exists(path.as_str()),
            _ => false,
        };
        there || partial.iter().any(|one| implies::is_same(one, condition))
    };
    let met = conditions.iter().enumerate();
    let met = met.filter(|(_, condition)| is_met(condition));
    met.map(|(number, _)| number).collect()
}

/// Ranges of rows, in order and apart, and from which part on bounds are not in them.
fn ranges(parts: &[SortKey], bounds: &[Option<Bounds>]) -> (Vec<KeyRange>, usize) {
    let mut prefixes = vec![Vec::new()];
    for (number, (part, bounds)) in parts.iter().zip(bounds).enumerate() {
        let Some(bounds) = bounds else {
            return (
                prefixes
                    .iter()
                    .map(|prefix| KeyRange::prefix(prefix))
                    .collect(),
                number,
            );
        };
        let directed = |intervals: &Intervals| match part.direction {
            Direction::Ascending => intervals.clone(),
            Direction::Descending => intervals.inverted(),
        };
        let product = prefixes
            .len()
            .saturating_mul(bounds.intervals.as_slice().len());
        if product > RANGES_MAX {
            let hull = directed(&bounds.intervals.hull());
            return (within(&prefixes, &hull), number);
        }
        let intervals = directed(&bounds.intervals);
        if !intervals.is_points() {
            return (within(&prefixes, &intervals), number + 1);
        }
        prefixes = prefixes
            .iter()
            .flat_map(|prefix| {
                let points = intervals.as_slice().iter();
                points.map(move |point| [prefix.as_slice(), &point.start].concat())
            })
            .collect();
    }
    let ranges = prefixes.iter().map(|prefix| KeyRange::prefix(prefix));
    (ranges.collect(), parts.len())
}

/// What of the rows behind each prefix lies within.
fn within(prefixes: &[Vec<u8>], intervals: &Intervals) -> Vec<KeyRange> {
    use std::ops::Bound;
    let ranges = prefixes.iter().flat_map(|prefix| {
        intervals.as_slice().iter().map(move |interval| {
            let start = [prefix.as_slice(), &interval.start].concat();
            let end = match &interval.end {
                Some(end) => Some([prefix.as_slice(), end].concat()),
                None => behind(prefix),
            };
            let end = end.map_or(Bound::Unbounded, Bound::Excluded);
            KeyRange::from_bounds(Bound::Included(start), end)
        })
    });
    ranges.collect()
}
