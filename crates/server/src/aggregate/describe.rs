//! How pipelines and what they make look, for the description.

#![expect(dead_code, reason = "only their schemas are used")]

use utoipa::ToSchema;

use crate::openapi::{Document, Explain};

/// A pipeline.
#[derive(ToSchema)]
#[schema(example = json!({"pipeline": [
    {"$match": {"size": {"$gt": 1000}}},
    {"$group": {"_id": "$section", "size": {"$sum": "$size"}}},
    {"$sort": {"size": -1}},
]}))]
pub(super) struct AggregateBody {
    /// Its stages, each an object with one field: `$match`, `$project`, `$addFields`, `$set`,
    /// `$unset`, `$group`, `$sort`, `$limit`, `$skip`, `$unwind`, `$count`, `$lookup`,
    /// `$sortByCount`, `$replaceRoot` or `$replaceWith`.
    #[schema(value_type = Vec<Object>)]
    pipeline: (),
    /// Whether to say how the documents would be found, instead of running the pipeline.
    explain: Option<bool>,
}

/// What a pipeline has made.
#[derive(ToSchema)]
#[schema(example = json!({"documents": [{"_id": "database", "size": 70_000}]}))]
pub(super) struct Aggregated {
    /// In the order in which they came out.
    documents: Option<Vec<Document>>,
    /// How the documents of the first stages would be found, if that was asked for instead.
    explain: Option<Explain>,
}
