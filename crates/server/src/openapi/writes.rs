//! Headers and bodies of writes, for the description only: bodies are never decoded into these.

#![expect(
    unused_qualifications,
    reason = "the derives repeat the types of fields with their path"
)]

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::Document;

/// What must be there.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct ConditionParameters {
    /// Tags with commas between them, one of which the document must have; `*` for any document.
    #[param(rename = "If-Match", required = false)]
    if_match: Option<String>,
    /// Tags, none of which the document may have; `*` for no document at all.
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: Option<String>,
}

/// How much of a result is answered.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct PreferParameter {
    /// `return=minimal` for an answer without a body, `return=representation` for the document.
    /// An answer that follows it says so in `Preference-Applied`.
    #[param(rename = "Prefer", required = false, example = "return=minimal")]
    prefer: Option<String>,
}

/// Doing a request once.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct OnceParameter {
    /// A text of 1 to 255 characters that is new with each new request, in quotation marks or
    /// without. The same request again, with the same key, is not done again: for a day it gets
    /// the same answer, with `Idempotency-Replayed: true`. The answer is kept in the transaction
    /// that carries the request out. What is refused changes nothing and is not kept, so a refused
    /// request may be sent again. Another body under the key is refused with 422; while the first
    /// request is under way, the answer is 409. A key counts for one API key, method and URL.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        max_length = 512,
        example = "8e03978e-40d5-43dd-bc93-6894a57f9324"
    )]
    idempotency_key: Option<String>,
}

/// How to do many operations that come as lines.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct BulkParameters {
    /// For lines: how they hang together. Of JSON, the mode stands in the body.
    #[param(required = false, inline)]
    mode: Option<BulkMode>,
}

/// How operations hang together.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum BulkMode {
    /// One after the other, up to the first that is refused.
    Ordered,
    /// Each that is not refused.
    Unordered,
    /// All or none.
    Atomic,
}

/// How to set a schema.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct SchemaParameters {
    /// Whether what is stored must satisfy it, too.
    #[param(required = false, example = false)]
    check: Option<bool>,
}

/// Update operators.
pub(crate) struct UpdateOperators;

impl PartialSchema for UpdateOperators {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "Operators with the fields that they change: `$set`, `$setOnInsert`, `$unset`, \
                 `$rename`, `$currentDate`, `$inc`, `$mul`, `$min`, `$max`, `$bit`, `$push`, \
                 `$addToSet`, `$pop`, `$pull`, `$pullAll`.",
            ))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .property_names(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some("^\\$")),
            ))
            .examples([json!({"$set": {"version": "1.3.2"}, "$inc": {"downloads": 1}})])
            .into()
    }
}

impl ToSchema for UpdateOperators {}

/// A JSON Patch.
pub(crate) struct JsonPatchBody;

impl PartialSchema for JsonPatchBody {
    fn schema() -> RefOr<Schema> {
        let operation = ObjectBuilder::new()
            .property("op", ObjectBuilder::new().schema_type(Type::String))
            .property("path", ObjectBuilder::new().schema_type(Type::String))
            .required("op")
            .required("path")
            .additional_properties(Some(AdditionalProperties::FreeForm(true)));
        ArrayBuilder::new()
            .items(operation)
            .description(Some("Operations of RFC 6902, done one after the other."))
            .examples([json!([
                {"op": "test", "path": "/version", "value": "1.3.1"},
                {"op": "replace", "path": "/version", "value": "1.3.2"},
            ])])
            .into()
    }
}

impl ToSchema for JsonPatchBody {}

/// A JSON Schema.
pub(crate) struct JsonSchema;

impl PartialSchema for JsonSchema {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "A JSON Schema. Documents are held against it as relaxed extended JSON, dates as \
                 their text.",
            ))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .examples([json!({
                "type": "object",
                "required": ["version"],
                "properties": {"version": {"type": "string"}, "size": {"minimum": 0}},
            })])
            .into()
    }
}

impl ToSchema for JsonSchema {}

/// What is to become of documents; exactly one of `update`, `replacement`, `merge_patch` and
/// `json_patch` is there.
#[derive(ToSchema)]
#[schema(example = json!({
    "filter": {"section": "database", "size": {"$gt": 1000}},
    "update": {"$set": {"checked": true}},
    "many": true,
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct UpdateRequest {
    /// Which documents; `{}` for all.
    #[schema(value_type = Object)]
    filter: (),
    /// Operators.
    update: Option<UpdateOperators>,
    /// A document to stand in place of the one that is found.
    replacement: Option<Document>,
    /// What is to be different (RFC 7396).
    merge_patch: Option<Document>,
    /// A list of changes (RFC 6902).
    #[schema(value_type = Option<Vec<Object>>)]
    json_patch: (),
    /// For `$[name]` in paths of operators: which elements of arrays.
    #[schema(value_type = Option<Vec<Object>>)]
    array_filters: (),
    /// All that are found, not just one.
    #[schema(default = false)]
    many: Option<bool>,
    /// Insert a document where none is found.
    #[schema(default = false)]
    upsert: Option<bool>,
    /// Which of those that are found is the one: an object such as `{"size": -1}`, or text such as
    /// `-size`.
    #[schema(value_type = Option<Value>)]
    sort: (),
    /// Which version of the one document is answered.
    #[schema(inline)]
    r#return: Option<Returned>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum Returned {
    None,
    Before,
    After,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum ReturnedBefore {
    None,
    Before,
}

/// What a change has done.
#[derive(ToSchema)]
#[schema(example = json!({"matched": 12, "modified": 10, "upserted_id": null}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct UpdateAnswer {
    /// How many documents were found.
    matched: u64,
    /// How many are different now.
    modified: u64,
    /// The `_id` of the document that was inserted; null if none was.
    #[schema(value_type = Value)]
    upserted_id: (),
    /// The document, if it was asked for; null if there was none.
    document: Option<Document>,
}

/// What is to be deleted.
#[derive(ToSchema)]
#[schema(example = json!({"filter": {"obsolete": true}, "many": true}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct DeleteRequest {
    /// Which documents; `{}` for all.
    #[schema(value_type = Object)]
    filter: (),
    /// All that are found, not just one.
    #[schema(default = false)]
    many: Option<bool>,
    /// Which of those that are found is the one.
    #[schema(value_type = Option<Value>)]
    sort: (),
    /// Whether the one document is answered.
    #[schema(inline)]
    r#return: Option<ReturnedBefore>,
}

/// What a deletion has done.
#[derive(ToSchema)]
#[schema(example = json!({"deleted": 3}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct DeleteAnswer {
    /// How many documents are gone.
    deleted: u64,
    /// The document, if it was asked for; null if there was none.
    document: Option<Document>,
}

/// Many operations.
#[derive(ToSchema)]
#[schema(example = json!({
    "operations": [
        {"insert": {"_id": "zlib", "size": 1_500_000}},
        {"replace": {"_id": "zstd", "document": {"size": 2_000_000}, "upsert": true}},
        {"update": {"filter": {"size": {"$gt": 1_000_000}}, "update": {"$set": {"large": true}},
            "many": true}},
        {"delete": {"filter": {"obsolete": true}, "many": true}},
    ],
    "mode": "atomic",
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct BulkRequest {
    /// What to do, in this order. Each has exactly one member.
    operations: Vec<BulkOperation>,
    /// How they hang together.
    #[schema(inline)]
    mode: Option<BulkMode>,
}

/// One operation of many.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct BulkOperation {
    /// A document to insert.
    insert: Option<Document>,
    /// A document to put in place of another: `_id` or `filter`, `document`, `upsert`.
    #[schema(value_type = Option<Object>)]
    replace: (),
    /// As the body of `updateDocuments`, without `return`.
    #[schema(value_type = Option<Object>)]
    update: (),
    /// Documents to delete: `filter`, `many`.
    #[schema(value_type = Option<Object>)]
    delete: (),
}

/// What came of operations.
#[derive(ToSchema)]
#[schema(example = json!({
    "inserted": 1, "matched": 0, "modified": 0, "upserted": 0, "deleted": 2, "failed": 0,
    "outcomes": [
        {"index": 0, "status": 201, "_id": "zlib"},
        {"index": 1, "status": 200, "deleted": 2},
    ],
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct BulkAnswer {
    /// How many documents were inserted by `insert`.
    inserted: u64,
    /// How many documents were found to be changed.
    matched: u64,
    /// How many of them are different now.
    modified: u64,
    /// How many were inserted because none was found.
    upserted: u64,
    /// How many are gone.
    deleted: u64,
    /// How many operations were refused.
    failed: u64,
    /// What came of each operation that was tried.
    outcomes: Vec<BulkOutcome>,
}

/// What came of an operation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct BulkOutcome {
    /// Which one, from 0.
    index: u64,
    /// Its line, from 1, of lines.
    line: Option<u64>,
    /// The status that it would have been answered with by itself.
    status: u64,
    /// The id of the document that was inserted.
    #[schema(value_type = Option<Value>)]
    _id: (),
    /// Documents found.
    matched: Option<u64>,
    /// Documents changed.
    modified: Option<u64>,
    /// The id of the document that an upsert has inserted; null if it has not.
    #[schema(value_type = Option<Value>)]
    upserted_id: (),
    /// Documents deleted.
    deleted: Option<u64>,
    /// Why it was refused: a problem, without `instance`.
    #[schema(value_type = Option<Object>)]
    error: (),
}

/// What is to be different about a collection.
#[derive(ToSchema)]
#[schema(example = json!({"require_conditions": true}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct CollectionChange {
    /// Whether one document is changed only with the header If-Match or If-None-Match.
    require_conditions: Option<bool>,
}

/// How to rename a collection.
#[derive(ToSchema)]
#[schema(example = json!({"to": "archive", "replace": false}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct RenameRequest {
    /// The new name.
    to: String,
    /// Whether a collection that has the name already is dropped.
    #[schema(default = false)]
    replace: Option<bool>,
}
