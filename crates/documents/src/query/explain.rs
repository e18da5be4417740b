//! How a query was answered, for people and programs.

use bson::raw::{RawArrayBuf, RawDocumentBuf, cstr};
use nexusbase_db::Direction;

use super::index_scan::IndexScan;
use super::plan::{self, Choice, Plan};
use super::reader::ReadCounts;
use crate::value::key::Direction as Way;

/// How documents are found, in short. [`Explain::plan`] says it at length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// All documents, in the order of `_id`.
    Collection,
    /// By `_id`.
    Id {
        /// What of it, for people.
        bounds: String,
    },
    /// By an index, or by several: then their names are joined by `&` if a document must be in
    /// all of them, and by `|` if one is enough.
    Index {
        /// The name of the index.
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

impl SortKind {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ByAccess => "by-access",
            Self::InMemory => "in-memory",
        }
    }
}

/// How a query was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// How documents were found.
    pub access: Access,
    /// How the order came about.
    pub sort: SortKind,
    /// The plan that was taken.
    pub plan: PlanStep,
    /// What it was thought to cost, in documents read in a scan.
    pub estimated_cost: u64,
    /// The plans that were thought to cost more, in the order in which [`super::Hint::Number`]
    /// counts, the one that was taken left out.
    pub rejected: Vec<Rejected>,
    /// Index rows read.
    pub index_rows_read: u64,
    /// Documents read.
    pub documents_read: u64,
    /// Documents returned.
    pub documents_returned: u64,
    /// Time from the question to the last answer, in microseconds.
    pub micros: u64,
}

/// A plan that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The number that a hint can ask for it by.
    pub number: usize,
    /// What it would have done.
    pub plan: PlanStep,
    /// How the order would have come about.
    pub sort: SortKind,
    /// What it was thought to cost, in documents read in a scan.
    pub estimated_cost: u64,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// `collection`, `id`, `index`, `text`, or what makes one of several: `intersection`, `union`.
    pub kind: &'static str,
    /// The name of the index that is read.
    pub index: Option<String>,
    /// What of it, part by part.
    pub bounds: Vec<PartBounds>,
    /// How many ranges of keys that makes.
    pub ranges: usize,
    /// Whether it is read from its last key to its first.
    pub reverse: bool,
    /// About how many rows there are to read; none for a part of several.
    pub estimated_rows: Option<u64>,
    /// The steps that it is made of.
    pub inputs: Vec<PlanStep>,
}

/// What is read of one part of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartBounds {
    /// The path that the part is on.
    pub path: String,
    /// Whether it is descending.
    pub descending: bool,
    /// What of it, for people.
    pub bounds: String,
}

/// What bounds that leave nothing out are called.
const ALL: &str = "all";

/// What is known of the work so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub(crate) read: ReadCounts,
    pub(crate) returned: u64,
    pub(crate) micros: u64,
}

impl Explain {
    pub(crate) fn new(choice: &Choice, work: Work) -> Self {
        let plan = choice.plan();
        let others = choice.plans.iter().enumerate();
        let rejected = others.filter(|(number, _)| *number != choice.chosen);
        Self {
            access: short(&plan.access),
            sort: plan.sort,
            plan: whole_step(plan),
            estimated_cost: whole(plan.cost),
            rejected: rejected
                .map(|(number, plan)| Rejected {
                    number,
                    plan: whole_step(plan),
                    sort: plan.sort,
                    estimated_cost: whole(plan.cost),
                })
                .collect(),
            index_rows_read: work.read.index_rows,
            documents_read: work.read.documents,
            documents_returned: work.returned,
            micros: work.micros,
        }
    }

    /// Of a collection that is not there.
    pub(crate) const fn nothing() -> Self {
        Self {
            access: Access::Collection,
            sort: SortKind::None,
            plan: PlanStep {
                kind: "collection",
                index: None,
                bounds: Vec::new(),
                ranges: 0,
                reverse: false,
                estimated_rows: Some(0),
                inputs: Vec::new(),
            },
            estimated_cost: 0,
            rejected: Vec::new(),
            index_rows_read: 0,
            documents_read: 0,
            documents_returned: 0,
            micros: 0,
        }
    }

    /// All of it as an object, under the names of the fields.
    #[must_use]
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("plan"), self.plan.to_document());
        document.append(cstr!("sort"), self.sort.name());
        document.append(cstr!("estimated_cost"), number(self.estimated_cost));
        document.append(cstr!("index_rows_read"), number(self.index_rows_read));
        document.append(cstr!("documents_read"), number(self.documents_read));
        document.append(cstr!("documents_returned"), number(self.documents_returned));
        document.append(cstr!("micros"), number(self.micros));
        let mut rejected = RawArrayBuf::new();
        for one in &self.rejected {
            let mut other = RawDocumentBuf::new();
            other.append(cstr!("number"), number(one.number as u64));
            other.append(cstr!("plan"), one.plan.to_document());
            other.append(cstr!("sort"), one.sort.name());
            other.append(cstr!("estimated_cost"), number(one.estimated_cost));
            rejected.push(other);
        }
        document.append(cstr!("rejected"), rejected);
        document
    }
}

impl PlanStep {
    fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("kind"), self.kind);
        if let Some(index) = &self.index {
            document.append(cstr!("index"), index.as_str());
        }
        if !self.bounds.is_empty() {
            let mut parts = RawArrayBuf::new();
            for part in &self.bounds {
                let mut one = RawDocumentBuf::new();
                one.append(cstr!("path"), part.path.as_str());
                one.append(cstr!("descending"), part.descending);
                one.append(cstr!("bounds"), part.bounds.as_str());
                parts.push(one);
            }
            document.append(cstr!("bounds"), parts);
        }
        document.append(cstr!("ranges"), number(self.ranges as u64));
        document.append(cstr!("reverse"), self.reverse);
        if let Some(rows) = self.estimated_rows {
            document.append(cstr!("estimated_rows"), number(rows));
        }
        if !self.inputs.is_empty() {
            let mut inputs = RawArrayBuf::new();
            for input in &self.inputs {
                inputs.push(input.to_document());
            }
            document.append(cstr!("inputs"), inputs);
        }
        document
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people, which is not negative; too large a one is the largest"
)]
const fn whole(number: f64) -> u64 {
    number.round() as u64
}

fn short(access: &plan::Access) -> Access {
    match access {
        plan::Access::Documents(scan) => match &scan.bounds {
            None => Access::Collection,
            Some(bounds) => Access::Id {
                bounds: bounds.clone(),
            },
        },
        plan::Access::Index(scan) => Access::Index {
            path: scan.index().name().to_owned(),
            bounds: text(scan),
        },
        plan::Access::Common(scans) => joined(scans.iter().map(index_names), " & "),
        plan::Access::Branches(branches) => {
            joined(branches.iter().map(|(_, access)| names(access)), " | ")
        }
        plan::Access::Text(scan) => Access::Index {
            path: scan.index().name().to_owned(),
            bounds: scan.words.clone(),
        },
    }
}

/// Names and bounds of several accesses, side by side.
fn joined(several: impl Iterator<Item = (String, String)>, by: &str) -> Access {
    let (paths, bounds): (Vec<_>, Vec<_>) = several.unzip();
    Access::Index {
        path: paths.join(by),
        bounds: bounds.join(by),
    }
}

fn index_names(scan: &IndexScan) -> (String, String) {
    (scan.index().name().to_owned(), text(scan))
}

fn names(access: &plan::Access) -> (String, String) {
    match short(access) {
        Access::Collection => ("_id".to_owned(), ALL.to_owned()),
        Access::Id { bounds } => ("_id".to_owned(), bounds),
        Access::Index { path, bounds } => (path, bounds),
    }
}

/// The bounds of all parts; of an index on one path, without its name.
fn text(scan: &IndexScan) -> String {
    let parts = part_bounds(scan);
    match parts.as_slice() {
        [only] => only.bounds.clone(),
        parts => {
            let bounded = parts.iter().filter(|part| part.bounds != ALL);
            let each: Vec<_> = bounded
                .map(|part| format!("{} {}", part.path, part.bounds))
                .collect();
            if each.is_empty() {
                ALL.to_owned()
            } else {
                each.join(", ")
            }
        }
    }
}

fn part_bounds(scan: &IndexScan) -> Vec<PartBounds> {
    let parts = scan.index().spec.parts.iter().zip(&scan.bounds);
    parts
        .map(|(part, bounds)| PartBounds {
            path: part.path.as_str().to_owned(),
            descending: part.direction == Way::Descending,
            bounds: bounds
                .as_ref()
                .map_or_else(|| ALL.to_owned(), |bounds| bounds.text.clone()),
        })
        .collect()
}

fn whole_step(plan: &Plan) -> PlanStep {
    let mut step = step(&plan.access);
    step.reverse = plan.direction == Direction::Reverse;
    step.estimated_rows = Some(whole(plan.estimate.rows));
    step
}

fn step(access: &plan::Access) -> PlanStep {
    let several = |kind, inputs: Vec<PlanStep>| PlanStep {
        kind,
        index: None,
        bounds: Vec::new(),
        ranges: inputs.iter().map(|input| input.ranges).sum(),
        reverse: false,
        estimated_rows: None,
        inputs,
    };
    match access {
        plan::Access::Documents(scan) => PlanStep {
            kind: if scan.bounds.is_some() {
                "id"
            } else {
                "collection"
            },
            bounds: scan
                .bounds
                .iter()
                .map(|bounds| PartBounds {
                    path: "_id".to_owned(),
                    descending: false,
                    bounds: bounds.clone(),
                })
                .collect(),
            ranges: scan.ranges.len(),
            ..several("", Vec::new())
        },
        plan::Access::Index(scan) => index_step(scan),
        plan::Access::Common(scans) => {
            several("intersection", scans.iter().map(index_step).collect())
        }
        plan::Access::Branches(branches) => {
            let inputs = branches.iter().map(|(_, access)| step(access));
            several("union", inputs.collect())
        }
        plan::Access::Text(scan) => PlanStep {
            index: Some(scan.index().name().to_owned()),
            bounds: vec![PartBounds {
                path: scan.index().spec.text(),
                descending: false,
                bounds: scan.words.clone(),
            }],
            ranges: scan.ranges.len(),
            ..several("text", Vec::new())
        },
    }
}

fn index_step(scan: &IndexScan) -> PlanStep {
    PlanStep {
        kind: "index",
        index: Some(scan.index().name().to_owned()),
        bounds: part_bounds(scan),
        ranges: scan.ranges.len(),
        reverse: false,
        estimated_rows: None,
        inputs: Vec::new(),
    }
}
