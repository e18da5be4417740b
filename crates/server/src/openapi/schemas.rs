//! Parameters and bodies, for the description only: documents are never decoded into these.

#![expect(
    unused_qualifications,
    reason = "the derives repeat the types of fields with their path"
)]

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// The collection in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct CollectionParameter {
    /// The collection's name.
    #[param(
        example = "packages",
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9_.\\-]*$"
    )]
    name: String,
}

/// The document in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct IdParameter {
    /// The document's id. Plain text can mean several ids, and the first that exists is taken:
    /// the string; the UUID; the ObjectId; the whole number. Text that begins with `{` or `"` is
    /// extended JSON and means exactly that value, and so is what follows a leading `=`.
    #[param(example = "zlib", min_length = 1)]
    id: String,
}

/// The index in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct IndexParameter {
    /// The index's name. That of an index which was not given one is the text of its paths, such
    /// as `section,-size`.
    #[param(example = "owner.mail", min_length = 1)]
    index: String,
}

/// The key in a URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct ApiKeyParameter {
    /// The key's id: what stands in its text between the first two underscores.
    #[param(example = "3f9a1c2b7d04")]
    api_key: String,
}

/// What is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct FindParameters {
    /// Conditions as a JSON object: `{"field": value}` or `{"field": {"$gt": value}}`; all of them
    /// must hold.
    #[param(required = false, example = "{\"size\": {\"$gt\": 1000}}")]
    filter: Option<String>,
    /// Paths with commas between them, `-` for descending, or an object such as
    /// `{"size": -1, "name": 1}`; `_id` decides at the end.
    #[param(required = false, example = "-size,name")]
    sort: Option<String>,
    /// How many documents at most; more than the server's limit (1000 unless configured
    /// otherwise) mean that limit.
    #[param(required = false, minimum = 1, example = 100)]
    limit: Option<i64>,
    /// How many documents to leave out first. Not together with a cursor.
    #[param(required = false, minimum = 0, example = 0)]
    skip: Option<i64>,
    /// Where the page before ended: its `next`. Filter and sort must be the same.
    #[param(required = false, min_length = 12, pattern = "^[A-Za-z0-9_\\-]+$")]
    cursor: Option<String>,
    /// Paths of the fields to answer, with commas between them; `_id` is always there. Or a
    /// projection as an object: `{"name": 1}`, `{"notes": 0}`, `{"tags": {"$slice": 3}}`.
    #[param(required = false, example = "name,size")]
    fields: Option<String>,
    /// Whether to say how the documents were found.
    #[param(required = false, example = false)]
    explain: Option<bool>,
    /// Whether to count the documents that match on all pages together, which costs as much as
    /// looking at them.
    #[param(required = false, example = false)]
    total: Option<bool>,
}

/// How to insert.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct InsertParameters {
    /// For lines: whether the first one that cannot be inserted ends the request (`stop`, the
    /// default) or such lines are left out and reported (`skip`).
    #[param(required = false, inline)]
    on_error: Option<OnError>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum OnError {
    Stop,
    Skip,
}

/// A document.
pub(crate) struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "A document: a JSON object, with extended JSON for what JSON cannot say. At most \
                 16 MiB as BSON and 100 levels; names of fields are not empty, do not begin with \
                 `$` and contain no dot.",
            ))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .property_names(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some("^[^$.\\x00][^.\\x00]*$")),
            ))
            .examples([json!({"_id": "zlib", "version": "1.3.1", "size": 1_500_000})])
            .into()
    }
}

impl ToSchema for Document {}

/// One document, or several.
pub(crate) struct Documents;

impl PartialSchema for Documents {
    fn schema() -> RefOr<Schema> {
        let many = ArrayBuilder::new().items(Ref::from_schema_name("Document"));
        OneOfBuilder::new()
            .description(Some("One document, or an array of them."))
            .item(Ref::from_schema_name("Document"))
            .item(many)
            .into()
    }
}

impl ToSchema for Documents {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Document".to_owned(), Document::schema()));
    }
}

/// A page of documents.
#[derive(ToSchema)]
#[schema(example = json!({"documents": [{"_id": "zlib", "size": 1_500_000}], "next": null}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Page {
    /// In the order asked for.
    documents: Vec<Document>,
    /// Where the next page begins, for the parameter `cursor`; null if nothing follows.
    #[schema(required)]
    next: Option<String>,
    /// How many match on all pages together, if asked for; at most 100,000 are counted.
    total: Option<u64>,
    /// Whether `total` is all of them.
    total_exact: Option<bool>,
    /// How they were found, if asked for.
    explain: Option<Explain>,
}

/// How documents were found.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Explain {
    /// By what.
    access: Access,
    /// `by-access` if the access gives the order, `in-memory` if it was made, or `none`.
    sort: String,
    /// The plan that was taken, step by step.
    #[schema(value_type = Object)]
    plan: (),
    /// What it was thought to cost, in documents read in a scan.
    estimated_cost: u64,
    /// The plans that were thought to cost more, with the numbers that a hint can name.
    #[schema(value_type = Vec<Object>)]
    rejected: (),
    /// Index rows read.
    index_rows_read: u64,
    /// Documents read, which may be one more than are on the page.
    documents_read: u64,
    /// Documents on the page.
    documents_returned: u64,
    /// Microseconds.
    micros: u64,
}

/// By what documents were found.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Access {
    /// `collection` (all of it), `id` or `index`.
    kind: String,
    /// The path that the index is on.
    path: Option<String>,
    /// What of it was read.
    bounds: Option<String>,
}

/// The id of one document.
#[derive(ToSchema)]
#[schema(example = json!({"_id": "zlib"}))]
pub(crate) struct Inserted {
    /// Any JSON value but an array; an object if it is extended JSON.
    #[schema(value_type = Value)]
    _id: (),
}

/// What was inserted.
#[derive(ToSchema)]
#[schema(example = json!({"inserted": 2, "ids": ["zlib", "zstd"]}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct InsertAnswer {
    /// The id, of one document.
    #[schema(value_type = Option<Value>)]
    _id: (),
    /// How many, of several.
    inserted: Option<u64>,
    /// Their ids, in the order of the documents.
    #[schema(value_type = Option<Vec<Value>>)]
    ids: (),
    /// How many lines were left out.
    failed: Option<u64>,
    /// Which, and why; the first thousand of them.
    failures: Option<Vec<Failure>>,
}

/// A line that was left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Failure {
    /// Its number, from 1.
    line: u64,
    /// A problem, without `instance`.
    #[schema(value_type = Object)]
    error: (),
}
