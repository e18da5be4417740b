//! What is counted or listed, and the answers, for the description.

#![expect(dead_code, reason = "only their descriptions are used")]

use utoipa::{IntoParams, ToSchema};

/// What is counted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CountParameters {
    /// Conditions as a JSON object; without it, all documents.
    #[param(required = false, example = "{\"size\": {\"$gt\": 1000}}")]
    filter: Option<String>,
    /// The name of the index to use, or `{"$natural": 1}` for the whole collection.
    #[param(required = false, example = "{\"$natural\": 1}")]
    hint: Option<String>,
}

/// Whose different values are asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DistinctParameters {
    /// The path of the values.
    #[param(example = "section", min_length = 1)]
    path: String,
    /// Conditions as a JSON object; without it, all documents.
    #[param(required = false, example = "{\"size\": {\"$gt\": 1000}}")]
    filter: Option<String>,
    /// The name of the index to use, or `{"$natural": 1}` for the whole collection.
    #[param(required = false, example = "{\"$natural\": 1}")]
    hint: Option<String>,
}

/// What is counted.
#[derive(ToSchema)]
#[schema(example = json!({"filter": {"section": "database"}}))]
pub(super) struct CountBody {
    /// Which documents; without it all.
    #[schema(value_type = Option<Object>)]
    filter: (),
    /// The name of the index to use, the number of a plan, or `{"$natural": 1}`.
    #[schema(value_type = Option<Value>)]
    hint: (),
}

/// Whose different values are asked for.
#[derive(ToSchema)]
#[schema(example = json!({"path": "section", "filter": {"size": {"$gt": 1000}}}))]
pub(super) struct DistinctBody {
    /// The path of the values.
    path: String,
    /// Of which documents; without it all.
    #[schema(value_type = Option<Object>)]
    filter: (),
    /// The name of the index to use, the number of a plan, or `{"$natural": 1}`.
    #[schema(value_type = Option<Value>)]
    hint: (),
}

/// How many there are.
#[derive(ToSchema)]
#[schema(example = json!({"count": 42}))]
pub(super) struct Counted {
    /// Documents that match.
    count: u64,
}

/// The different values.
#[derive(ToSchema)]
#[schema(example = json!({"values": ["database", "library"]}))]
pub(super) struct Distinct {
    /// In their order.
    #[schema(value_type = Vec<Value>)]
    values: (),
}
