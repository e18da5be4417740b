//! Parameters and answers of changes, for the description only.

use utoipa::{IntoParams, ToSchema};

/// Which changes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct ChangesParameters {
    /// The position of the last change that was dealt with; `0` for the beginning, if it is still
    /// there. Without it, changes from now on.
    #[param(required = false, pattern = "^[0-9]+(\\.[0-9]+)?$", example = "12.3")]
    since: Option<String>,
    /// Conditions as a JSON object. Documents that are put and do not match are `unmatched`.
    #[param(required = false, example = "{\"size\": {\"$gt\": 1000}}")]
    filter: Option<String>,
    /// Whether `put` has the document. Default: true.
    #[param(required = false, example = true)]
    documents: Option<bool>,
    /// Of a page: how many changes at most.
    #[param(required = false, minimum = 1, example = 100)]
    limit: Option<i64>,
    /// Of a page: for how many milliseconds to wait, if there is no change yet. Default: 0.
    #[param(required = false, minimum = 0, maximum = 30_000, example = 1000)]
    wait_ms: Option<i64>,
}

/// A page of changes.
#[derive(ToSchema)]
#[schema(example = json!({
    "changes": [{"position": "12.1", "time_ms": 1_790_000_000_000_u64, "collection": "packages",
        "event": "put", "_id": "zlib", "document": {"_id": "zlib", "size": 1_500_000}}],
    "next": "12.1",
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ChangesPage {
    /// In the order of the commits.
    changes: Vec<ChangeDescription>,
    /// Where to go on, for `since`.
    next: String,
}

/// A change.
#[derive(ToSchema)]
#[schema(as = Change)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ChangeDescription {
    /// Where to go on behind it, for `since`.
    position: String,
    /// When it was committed, in milliseconds since 1970.
    time_ms: u64,
    /// The collection.
    collection: String,
    /// `put`, `unmatched`, `delete`, `created`, `dropped`, `renamed` or `options`.
    event: String,
    /// `renamed`: what it was called before.
    from: Option<String>,
    /// Which document.
    #[schema(value_type = Option<Value>)]
    _id: (),
    /// `put`: what it is now.
    #[schema(value_type = Option<Object>)]
    document: (),
}
