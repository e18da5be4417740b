//! How a question in a body and the way it was answered look, in JSON and in the description.

use nexusbase_documents::json::{Form, to_string};
use nexusbase_documents::query::{Access, Explain};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};

/// A question.
#[derive(ToSchema)]
#[schema(example = json!({
    "filter": {"section": "database", "size": {"$gt": 1000}},
    "sort": {"size": -1, "name": 1},
    "projection": {"name": 1, "size": 1},
    "limit": 20,
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct QueryBody {
    /// Which documents; without it all. Conditions by path: `{"size": {"$gt": 1000}}`.
    #[schema(value_type = Option<Object>)]
    filter: (),
    /// In which order: an object such as `{"size": -1, "name": 1}`, whose order counts, or text
    /// such as `-size,name`; `_id` decides at the end.
    #[schema(value_type = Option<Value>, example = json!({"size": -1, "name": 1}))]
    sort: (),
    /// What of the documents: an object such as `{"name": 1}` or `{"notes": 0}`, or text such as
    /// `name,owner.mail`.
    #[schema(value_type = Option<Value>, example = json!({"name": 1, "size": 1}))]
    projection: (),
    /// How many documents at most; more than the server's limit mean that limit.
    #[schema(minimum = 1, example = 20)]
    limit: Option<i64>,
    /// How many documents to leave out first. Not together with a cursor.
    #[schema(minimum = 0)]
    skip: Option<i64>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// Whether to say how the documents were found.
    explain: Option<bool>,
    /// How to find them, against the choice that would be made: the name of an index, the number
    /// of a plan as `explain` counts them, or `{"$natural": 1}` for the whole collection.
    #[schema(value_type = Option<Value>)]
    hint: (),
    /// Whether to count how many match, on all pages together.
    total: Option<bool>,
}

/// How documents were found.
pub(crate) fn explain(explain: &Explain, returned: u64) -> Result<Value, Problem> {
    let access = match &explain.access {
        Access::Collection => json!({"kind": "collection"}),
        Access::Id { bounds } => json!({"kind": "id", "path": "_id", "bounds": bounds}),
        Access::Index { path, bounds } => {
            json!({"kind": "index", "path": path, "bounds": bounds})
        }
    };
    let all = to_string(&explain.to_document(), Form::Relaxed)?;
    let all = serde_json::from_str(&all);
    let mut all: Map<String, Value> =
        all.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    all.insert("access".to_owned(), access);
    all.insert("documents_returned".to_owned(), returned.into());
    Ok(all.into())
}
