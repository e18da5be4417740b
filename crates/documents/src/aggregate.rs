//! Pipelines: documents that pass through stages.
//!
//! A pipeline is an array of stages in the shape that MongoDB's users know:
//! `[{"$match": {"kind": "tool"}}, {"$group": {"_id": "$owner", "size": {"$sum": "$size"}}}]`.
//! Stages are `$match $project $addFields $set $unset $group $sort $limit $skip $unwind $count
//! $lookup $sortByCount $replaceRoot $replaceWith`; accumulators of a group `$sum $avg $min $max
//! $first $last $push $addToSet $count $mergeObjects $stdDevPop $stdDevSamp`. Everything else is
//! refused by name, with its place, never ignored.
//!
//! Stages compute with expressions: paths (`$a.b`), the variables `$$ROOT`, `$$CURRENT` and
//! `$$REMOVE`, constants, objects, arrays, and operators:
//! - `$literal $and $or $not $cond $ifNull $switch $let $eq $ne $gt $gte $lt $lte $cmp $type`;
//! - `$add $subtract $multiply $divide $mod $abs $ceil $floor $round $trunc $sum $avg $min $max`;
//! - `$concat $toLower $toUpper $substr $substrBytes $substrCP $strLenBytes $strLenCP $split $trim
//!   $ltrim $rtrim $indexOfCP`;
//! - `$size $arrayElemAt $first $last $in $indexOfArray $concatArrays $slice $reverseArray $range
//!   $filter $map $reduce $isArray $objectToArray $arrayToObject $mergeObjects`;
//! - `$isNumber $toBool $toInt $toLong $toDouble $toDecimal $toString $toDate $toObjectId`;
//! - `$year $month $dayOfMonth $dayOfYear $dayOfWeek $hour $minute $second $millisecond
//!   $dateToString`, all in UTC.
//!
//! What it promises: a pipeline that parsed has no mistake that could be seen without documents.
//! The stages in front that a query can answer are put to the planner as a query (`split`), so
//! that indexes help, and that never changes the answer. The others pull documents one by one;
//! those that have to collect take at most [`MEMORY_BYTES_MAX`] together (a `$sort` that the query
//! does has the limit of queries), and a `$sort` before a `$limit` keeps only what the limit lets
//! through. All collections that a pipeline reads are
//! read in one state of the database. Where no `$sort` decides, documents come in the order in
//! which the access finds them, which is that of `_id` when the whole collection is read.
//!
//! What it does not do: write, draw random numbers, or know the time.

mod accumulator;
mod error;
mod expression;
mod run;
mod split;
mod stage;
mod sum;

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};

use crate::document::check_structure;
use crate::error::DocumentError;
use crate::pointer::join_index;
use crate::query::Query;
use expression::mistake;
use stage::Stage;

pub use error::{AggregateError, ExpressionError, PipelineError};
pub use run::Aggregation;
pub(crate) use run::{Context, Documents, Source};

/// How many stages a pipeline may have.
pub const STAGES_MAX: usize = 100;

/// How deeply pipelines may be nested by `$lookup`.
pub const PIPELINE_NESTING_MAX: usize = 20;

/// How much memory the stages of one pipeline may use together for what they collect.
pub const MEMORY_BYTES_MAX: usize = 100 * 1024 * 1024;

/// A pipeline, parsed and checked.
///
/// ```
/// use bson::rawdoc;
/// use nexusbase_db::Database;
/// use nexusbase_documents::{Documents, Pipeline, bson, json::parse_value};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tools = Documents::new(&Database::in_memory()?).collection("tools")?;
/// tools.insert(&rawdoc! { "_id": 1, "owner": "ann", "size": 5 })?;
/// tools.insert(&rawdoc! { "_id": 2, "owner": "ann", "size": 7 })?;
///
/// let stages = parse_value(br#"[{"$group": {"_id": "$owner", "size": {"$sum": "$size"}}}]"#)?;
/// let pipeline = Pipeline::from_value(stages.as_raw_bson_ref())?;
/// let made = tools.aggregate(&pipeline)?;
/// assert_eq!(made, [rawdoc! { "_id": "ann", "size": 12 }]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The part that the planner answers.
    query: Query,
    /// The filters in that part, as they were written.
    matches: Vec<RawDocumentBuf>,
    /// What comes behind it.
    stages: Vec<Stage>,
}

impl Pipeline {
    /// Reads a pipeline.
    ///
    /// # Errors
    /// One that names what is not supported or not understood, and where.
    pub fn parse(stages: &RawArray) -> Result<Self, PipelineError> {
        let whole = RawDocument::from_bytes(stages.as_bytes()).map_err(|source| {
            let (at, source) = (String::new(), Box::new(source));
            DocumentError::Damaged { at, source }
        })?;
        check_structure(whole)?;
        Self::parse_at(stages, "", 0)
    }

    /// Reads a pipeline from any value, of which only an array is one.
    ///
    /// # Errors
    /// As for [`Pipeline::parse`].
    pub fn from_value(value: RawBsonRef<'_>) -> Result<Self, PipelineError> {
        match value {
            RawBsonRef::Array(stages) => Self::parse(stages),
            other => Err(mistake("", "an array of stages", other)),
        }
    }

    /// The other collections that it reads, by the names that stand in it. A name that stands there
    /// twice is there twice.
    #[must_use]
    pub fn collections(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.name_collections(&mut names);
        names
    }

    fn name_collections<'p>(&'p self, names: &mut Vec<&'p str>) {
        for stage in &self.stages {
            if let Stage::Lookup(lookup) = stage {
                lookup.name_collections(names);
            }
        }
    }

    /// Reads a pipeline that lies in `depth` others and whose structure is checked.
    fn parse_at(stages: &RawArray, at: &str, depth: usize) -> Result<Self, PipelineError> {
        if depth > PIPELINE_NESTING_MAX {
            return Err(PipelineError::TooDeep {
                at: at.to_owned(),
                max: PIPELINE_NESTING_MAX,
            });
        }
        let mut parsed = Vec::new();
        for (index, stage) in stages.into_iter().enumerate() {
            let here = join_index(at, index);
            let stage = stage.map_err(|source| DocumentError::Damaged {
                at: here.clone(),
                source: Box::new(source),
            })?;
            Stage::parse(stage, &here, depth, &mut parsed)?;
            if index >= STAGES_MAX {
                return Err(PipelineError::TooManyStages {
                    at: at.to_owned(),
                    stages: stages.into_iter().count(),
                    max: STAGES_MAX,
                });
            }
        }
        split::split(parsed, at)
    }
}
