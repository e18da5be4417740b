//! Choosing an access.
//!
//! Everything that could answer is listed, estimated and compared: all documents, a range of
//! `_id`, each index that holds every document asked for and of which the filter or the order
//! says something, pairs of indexes, and, for a choice in the filter, an access for each branch.
//! The cheapest is taken, of equals the first. A query by `_id` is answered without asking.

use std::sync::Arc;

use nexusbase_db::{Direction, KeyRange, View};

use super::bounds;
use super::cost::{self, Estimate, Estimates};
use super::explain::SortKind;
use super::index_scan::IndexScan;
use super::text::TextScan;
use super::{Hint, order};
use crate::filter::{Condition, Filter};
use crate::sort::Sort;
use crate::store::{Definition, Error};
use crate::value::key::Direction as Way;

/// Up to how many `_id`s are looked up without looking for something better.
const IDS_AT_ONCE: usize = 16;
/// How many choices of a filter are tried; each costs a plan for each of its branches.
const CHOICES_TRIED_MAX: usize = 8;
/// How many conditions a filter may have to be planned anew for each branch of a choice.
const CONDITIONS_COPIED_MAX: usize = 256;
/// How many branches a choice may have to be answered by an access for each.
const BRANCHES_MAX: usize = 32;
/// How many of the best indexes are tried in pairs.
const PAIRED: usize = 3;

/// What is asked, as far as a plan depends on it.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) filter: &'q Filter,
    pub(crate) sort: Option<&'q Sort>,
    /// How many documents are enough, those that are skipped included.
    pub(crate) limit: Option<usize>,
    pub(crate) hint: Option<&'q Hint>,
    /// Whether they are only counted.
    pub(crate) count: bool,
}

/// Where documents are found.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// In the tree of documents, in the order of `_id`.
    Documents(IdScan),
    /// By an index, in its order.
    Index(IndexScan),
    /// By two indexes, in the order of `_id`.
    Common(Box<[IndexScan; 2]>),
    /// By one access for each branch of a choice, in no order.
    Branches(Vec<(Condition, Access)>),
    /// By words of the text index, in the order of `_id`.
    Text(TextScan),
}

/// A part of the tree of documents.
#[derive(Clone, Debug)]
pub(crate) struct IdScan {
    pub(crate) ranges: Vec<KeyRange>,
    /// What of `_id`, for people; none if it is everything.
    pub(crate) bounds: Option<String>,
    pub(crate) rows_max: Option<u64>,
    /// How many of the filter's conditions are met there anyway.
    pub(crate) met: usize,
}

/// A way to answer.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) access: Access,
    pub(crate) direction: Direction,
    pub(crate) sort: SortKind,
    /// Every row leads to a document that matches, and each document has one.
    pub(crate) exact: bool,
    pub(crate) estimate: Estimate,
    pub(crate) cost: f64,
}

/// The plan that was chosen, among all that were considered.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) plans: Vec<Plan>,
    pub(crate) chosen: usize,
}

impl Choice {
    pub(crate) fn plan(&self) -> &Plan {
        &self.plans[self.chosen]
    }
}

/// Considers every way to answer, and chooses one.
pub(crate) fn choose(
    view: &dyn View,
    definition: &Arc<Definition>,
    question: &Question<'_>,
) -> Result<Choice, Error> {
    let conditions = question.filter.conjuncts();
    let by_id = id_scan(conditions)?;
    if let Some(scan) = &by_id
        && question.hint.is_none()
        && scan.rows_max.is_some_and(|rows| rows <= IDS_AT_ONCE as u64)
    {
        let plan = plan(Access::Documents(scan.clone()), question);
        let plans = vec![plan];
        return Ok(Choice { plans, chosen: 0 });
    }
    let mut accesses = vec![Access::Documents(IdScan::everything())];
    accesses.extend(by_id.map(Access::Documents));
    let mut indexes = Vec::new();
    for at in 0..definition.indexes.len() {
        if let Some(scan) = IndexScan::new(definition, at, conditions)?
            && (is_of_use(&scan, question) || is_asked_for(&scan, question))
        {
            indexes.push(scan);
        }
    }
    let mut estimates = Estimates::new(view, definition);
    let pairs = pairs(&indexes, &mut estimates)?;
    accesses.extend(indexes.into_iter().map(Access::Index));
    accesses.extend(pairs);
    accesses.extend(branches(definition, conditions, &mut estimates)?);
    let text = TextScan::new(definition, view, conditions)?;
    accesses.extend(text.map(Access::Text));
    let mut plans: Vec<Plan> = accesses
        .into_iter()
        .map(|access| plan(access, question))
        .collect();
    for plan in &mut plans {
        let documents = !(question.count && plan.exact);
        plan.estimate = estimates.of(&plan.access, documents)?;
        if question.filter.text().is_some() && documents {
            plan.estimate.cost += cost::reading_text(&plan.access, plan.estimate);
        }
    }
    let found: Vec<_> = plans
        .iter()
        .map(|plan| (plan.estimate, plan.exact))
        .collect();
    let matching = cost::matching(&found, estimates.documents()?, question.filter);
    for plan in &mut plans {
        let in_memory = plan.sort == SortKind::InMemory;
        plan.cost = cost::answering(plan.estimate, in_memory, matching, question);
    }
    let chosen = match question.hint {
        Some(hint) => hinted(hint, &plans, definition)?,
        None => cheapest(&plans),
    };
    Ok(Choice { plans, chosen })
}

fn cheapest(plans: &[Plan]) -> usize {
    let mut best = 0;
    for (number, plan) in plans.iter().enumerate() {
        if plan.cost < plans[best].cost {
            best = number;
        }
    }
    best
}

/// The plan that a hint means, if it can be used.
fn hinted(hint: &Hint, plans: &[Plan], definition: &Definition) -> Result<usize, Error> {
    let found = match hint {
        // The first one is always the whole collection.
        Hint::Collection => Some(0),
        Hint::Number(number) => (*number < plans.len()).then_some(*number),
        Hint::Index(name) => plans.iter().position(|plan| match &plan.access {
            Access::Index(scan) => scan.index().name() == &**name,
            Access::Text(scan) => scan.index().name() == &**name,
            _ => false,
        }),
    };
    found.ok_or_else(|| {
        let reason = match hint {
            Hint::Index(name) => match definition.index(name) {
                None => "there is no such index",
                Some(index) if !index.ready => "it is still being built",
                Some(_) => "it does not hold every document that the filter asks for",
            },
            Hint::Number(_) | Hint::Collection => "there are not so many plans",
        };
        Error::Hint {
            hint: hint.to_string(),
            reason,
        }
    })
}

/// Whether the filter or the order makes an index worth looking at.
fn is_of_use(scan: &IndexScan, question: &Question<'_>) -> bool {
    let spec = &scan.index().spec;
    scan.is_bounded()
        || spec.partial.is_some()
        || spec.sparse
        || question
            .sort
            .is_some_and(|sort| order::of(scan, sort).is_some())
}

fn is_asked_for(scan: &IndexScan, question: &Question<'_>) -> bool {
    matches!(question.hint, Some(Hint::Index(name)) if **name == *scan.index().name())
}

impl IdScan {
    fn everything() -> Self {
        Self {
            ranges: vec![KeyRange::all()],
            bounds: None,
            rows_max: None,
            met: 0,
        }
    }
}

/// The part of the tree of documents that the conditions on `_id` leave.
fn id_scan(conditions: &[Condition]) -> Result<Option<IdScan>, Error> {
    // An `_id` is never an array, and never missing.
    let Some(found) = bounds::of(conditions, "_id", false)? else {
        return Ok(None);
    };
    let intervals = &found.bounds.intervals;
    let ranges = intervals.as_slice().iter().map(|interval| {
        use std::ops::Bound;
        let end = interval.end.clone();
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        KeyRange::from_bounds(Bound::Included(interval.start.clone()), end)
    });
    Ok(Some(IdScan {
        ranges: ranges.collect(),
        rows_max: intervals
            .is_points()
            .then_some(intervals.as_slice().len() as u64),
        bounds: Some(found.bounds.text),
        met: found.met.len(),
    }))
}

/// Pairs of indexes that find what both have by walking through both.
fn pairs(indexes: &[IndexScan], estimates: &mut Estimates<'_>) -> Result<Vec<Access>, Error> {
    let mut single = Vec::new();
    for scan in indexes.iter().filter(|scan| scan.is_one_value()) {
        let access = Access::Index(scan.clone());
        single.push((estimates.of(&access, true)?.rows, scan));
    }
    single.sort_by(|one, other| one.0.total_cmp(&other.0));
    single.truncate(PAIRED);
    let mut pairs = Vec::new();
    for (number, (_, one)) in single.iter().enumerate() {
        for (_, other) in &single[number + 1..] {
            pairs.push(Access::Common(Box::new([(*one).clone(), (*other).clone()])));
        }
    }
    Ok(pairs)
}

/// For each choice in the filter, an access for each of its branches, if each has one that is
/// not the whole collection.
fn branches(
    definition: &Arc<Definition>,
    conditions: &[Condition],
    estimates: &mut Estimates<'_>,
) -> Result<Vec<Access>, Error> {
    let mut unions = Vec::new();
    if conditions.len() > CONDITIONS_COPIED_MAX {
        return Ok(unions);
    }
    let choices = conditions.iter().enumerate();
    let choices = choices.filter_map(|(number, condition)| match condition {
        Condition::Any(any) => Some((number, any)),
        _ => None,
    });
    for (number, any) in choices.take(CHOICES_TRIED_MAX) {
        if any.len() > BRANCHES_MAX || any.is_empty() {
            continue;
        }
        let mut union = Vec::new();
        for branch in any {
            let mut all = conditions.to_vec();
            match branch {
                Condition::All(parts) => {
                    all.splice(number..=number, parts.iter().cloned());
                }
                branch => all[number] = branch.clone(),
            }
            let Some(access) = branch_access(definition, &all, estimates)? else {
                break;
            };
            union.push((branch.clone(), access));
        }
        if union.len() == any.len() {
            unions.push(Access::Branches(union));
        }
    }
    Ok(unions)
}

/// The cheapest access by `_id` or an index.
fn branch_access(
    definition: &Arc<Definition>,
    conditions: &[Condition],
    estimates: &mut Estimates<'_>,
) -> Result<Option<Access>, Error> {
    let mut best: Option<(f64, Access)> = None;
    let mut consider = |access: Access| -> Result<(), Error> {
        let cost = estimates.of(&access, true)?.cost;
        if best.as_ref().is_none_or(|(known, _)| cost < *known) {
            best = Some((cost, access));
        }
        Ok(())
    };
    if let Some(scan) = id_scan(conditions)? {
        consider(Access::Documents(scan))?;
    }
    for at in 0..definition.indexes.len() {
        if let Some(scan) = IndexScan::new(definition, at, conditions)?
            && (scan.is_bounded() || scan.index().spec.partial.is_some())
        {
            consider(Access::Index(scan))?;
        }
    }
    Ok(best.map(|(_, access)| access))
}

/// The plan that an access makes, not estimated yet.
fn plan(access: Access, question: &Question<'_>) -> Plan {
    let conditions = question.filter.conjuncts().len();
    let (order, exact) = match &access {
        Access::Documents(scan) => (order_by_id(question.sort), scan.met == conditions),
        Access::Index(scan) => {
            let by_index = question.sort.and_then(|sort| order::of(scan, sort));
            let exact = scan.met.len() == conditions && !scan.repeats;
            (by_index, exact)
        }
        Access::Common(_) => (order_by_id(question.sort), false),
        Access::Text(scan) => (order_by_id(question.sort), scan.exact),
        Access::Branches(_) => (None, false),
    };
    let sort = match (question.sort, order) {
        (None, _) => SortKind::None,
        (Some(_), Some(_)) => SortKind::ByAccess,
        (Some(_), None) => SortKind::InMemory,
    };
    Plan {
        access,
        direction: order.unwrap_or(Direction::Forward),
        sort,
        exact,
        estimate: Estimate::default(),
        cost: 0.0,
    }
}

/// Which way to read in the order of `_id` to get the order asked for.
fn order_by_id(sort: Option<&Sort>) -> Option<Direction> {
    let first = sort.filter(|sort| !sort.is_by_score())?.keys().first()?;
    (first.path.as_str() == "_id").then_some(match first.direction {
        Way::Ascending => Direction::Forward,
        Way::Descending => Direction::Reverse,
    })
}
