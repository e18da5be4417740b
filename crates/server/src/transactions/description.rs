//! Bodies of transactions, for the description only: they are read as documents.

use utoipa::{IntoParams, ToSchema};

/// The transaction in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct TransactionParameter {
    /// The transaction's id, as it was answered when it was begun.
    #[param(example = "6f1d0c4b8a3e49d7a5c2e0917b64f83d")]
    transaction: String,
}

/// How to begin.
#[derive(ToSchema)]
#[schema(example = json!({"timeout_ms": 5000}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct TransactionBody {
    /// After how many milliseconds it is rolled back. Default: 10,000.
    #[schema(minimum = 1, maximum = 30_000)]
    timeout_ms: Option<u64>,
}

/// An open transaction.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "6f1d0c4b8a3e49d7a5c2e0917b64f83d",
    "created_ms": 1_790_000_000_000_u64,
    "expires_ms": 1_790_000_010_000_u64,
    "operations": 0,
    "in_use": false,
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct TransactionInfo {
    /// Its id, which nobody can guess.
    id: String,
    /// When it was begun, in milliseconds since 1970.
    created_ms: u64,
    /// When it is rolled back, in milliseconds since 1970.
    expires_ms: u64,
    /// How many operations it has done.
    operations: u64,
    /// Whether a request works on it just now.
    in_use: bool,
}

/// What came of a commit.
#[derive(ToSchema)]
#[schema(example = json!({"index": 4711}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CommitAnswer {
    /// The commit, from which on changes can be asked for (`since`).
    index: u64,
}

/// What is to be done.
#[derive(ToSchema)]
#[schema(example = json!({"operations": [
    {"collection": "accounts", "if": {"exists": true},
        "update": {"_id": "ada", "update": {"$inc": {"balance": -10}}}},
    {"collection": "accounts", "update": {"_id": "bob", "update": {"$inc": {"balance": 10}}}},
    {"collection": "transfers", "insert": {"from": "ada", "to": "bob", "amount": 10}},
    {"collection": "accounts", "find": {"filter": {"balance": {"$lt": 0}}, "limit": 1}},
]}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct OperationsBody {
    /// In this order; at most 10,000, and 16 MiB together.
    #[schema(min_items = 1, max_items = 10_000)]
    operations: Vec<TransactionOperation>,
}

/// One operation: exactly one of `insert`, `replace`, `update`, `delete`, `get`, `find`, `count`.
#[derive(ToSchema)]
#[schema(example = json!({"collection": "accounts", "get": {"_id": "ada"}}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct TransactionOperation {
    /// The collection's name.
    collection: String,
    /// What must hold, or else nothing of the transaction happens: `{"exists": true}`,
    /// `{"absent": true}` or `{"etag": "…"}`. It is about the document that the operation names, or
    /// the one with its own `_id`.
    #[schema(value_type = Option<Object>)]
    r#if: (),
    /// The document.
    #[schema(value_type = Option<Object>)]
    insert: (),
    /// `{"_id" or "filter", "document", "upsert", "return"}`; the document's own `_id` does as well.
    #[schema(value_type = Option<Object>)]
    replace: (),
    /// `{"_id" or "filter", one of "update" (operators), "merge_patch" and "json_patch", "many",
    /// "upsert", "array_filters", "return" (none, before, after)}`
    #[schema(value_type = Option<Object>)]
    update: (),
    /// `{"_id" or "filter", "many"}`
    #[schema(value_type = Option<Object>)]
    delete: (),
    /// `{"_id"}`
    #[schema(value_type = Option<Object>)]
    get: (),
    /// `{"filter", "sort", "projection", "limit", "skip"}`; a page at most, and 8 MiB.
    #[schema(value_type = Option<Object>)]
    find: (),
    /// `{"filter"}`
    #[schema(value_type = Option<Object>)]
    count: (),
}

/// What came of operations.
#[derive(ToSchema)]
#[schema(example = json!({"results": [
    {"status": 200, "matched": 1, "modified": 1},
    {"status": 200, "matched": 1, "modified": 1},
    {"status": 201, "_id": {"$uuid": "019a0000-0000-7000-8000-000000000000"}},
    {"status": 200, "documents": [], "more": false},
]}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct OperationsAnswer {
    /// One for each operation, in order.
    results: Vec<OperationResult>,
}

/// What came of one operation.
#[derive(ToSchema)]
#[schema(example = json!({"status": 200, "count": 3}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct OperationResult {
    /// What the status of a request of its own would be.
    status: u16,
    /// `insert`: the id.
    #[schema(value_type = Option<Value>)]
    _id: (),
    /// `replace`, `update`: how many documents matched.
    matched: Option<u64>,
    /// `replace`, `update`: how many are different now.
    modified: Option<u64>,
    /// `replace`, `update`: the id of what was inserted.
    #[schema(value_type = Option<Value>)]
    upserted_id: (),
    /// `get`, and what `return` asks for; null for nothing.
    #[schema(value_type = Option<Object>)]
    document: (),
    /// `get`: its tag, for a condition.
    etag: Option<String>,
    /// `delete`: how many documents are gone.
    deleted: Option<u64>,
    /// `find`: the documents.
    #[schema(value_type = Option<Vec<Object>>)]
    documents: (),
    /// `find`: whether there are more than were answered.
    more: Option<bool>,
    /// `count`: how many documents match.
    count: Option<u64>,
}
