//! The problems of each kind of request, as responses with an example for each kind of problem.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use crate::problem::{Kind, MEDIA_TYPE};

/// An error (RFC 9457). Kinds of problems add members that say where it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// A stable URI that names the kind of problem.
    #[schema(example = "/problems/duplicate-id")]
    r#type: String,
    /// The kind in a few words.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, and what to do.
    detail: String,
    /// The request's id, as in the header `x-request-id` and in the server's log.
    instance: String,
    /// Where in the body or the parameter, as a JSON pointer; empty for the whole.
    at: Option<String>,
    /// The line, from 1.
    line: Option<u64>,
    /// The column in characters, from 1.
    column: Option<u64>,
    /// Which document of an array, or which operation of a batch, from 0.
    index: Option<u64>,
    /// Which parameter of the URL.
    parameter: Option<String>,
    /// Which header.
    header: Option<String>,
    /// The limit that was exceeded.
    limit: Option<u64>,
    /// The id that is taken, or that of the other document.
    id: Option<String>,
    /// Which index of the collection.
    index_name: Option<String>,
    /// The values that another document has in a unique index.
    #[schema(value_type = Option<Object>)]
    key: (),
    /// The path in the document, or the place as a JSON pointer, that cannot be changed or indexed.
    path: Option<String>,
    /// How a document does not satisfy the schema; at most 20 places.
    violations: Option<Vec<ViolationDocument>>,
    /// The ids of documents that do not satisfy a new schema; at most 20.
    #[schema(value_type = Option<Vec<Value>>)]
    ids: (),
    /// How many documents were inserted before the request ended.
    inserted: Option<u64>,
    /// How many lines could not be inserted.
    failed: Option<u64>,
    /// The role that is needed.
    role: Option<String>,
    /// What the key would have to be for.
    scope: Option<String>,
    /// Which store.
    store: Option<String>,
    /// The tag of what is there instead of what was expected; null for nothing.
    etag: Option<String>,
    /// What the store's engine cannot do.
    capability: Option<String>,
    /// The names that are known.
    known: Option<Vec<String>>,
    /// How a transaction has ended.
    reason: Option<String>,
    /// Whether the same may work when it is tried again from the start.
    retryable: Option<bool>,
    /// The oldest position that changes can be asked for from.
    oldest: Option<String>,
    /// What the store is to be a copy of.
    of: Option<String>,
}

/// One way in which a document does not satisfy a schema.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Violation)]
pub(crate) struct ViolationDocument {
    /// Where in the document, as a JSON pointer.
    at: String,
    /// What in the schema, as a JSON pointer.
    schema: String,
    /// What is wrong.
    message: String,
}

const OF_ALL: &[Kind] = &[
    Kind::BadRequest,
    Kind::TlsRequired,
    Kind::InvalidParameter,
    Kind::ForeignHost,
    Kind::Internal,
    Kind::MethodNotAllowed,
];
/// Of what is not for everybody.
const OF_PROTECTED: &[Kind] = &[Kind::Unauthorized, Kind::Forbidden, Kind::TooManyRequests];
const OF_READS: &[Kind] = &[
    Kind::InvalidName,
    Kind::InvalidId,
    Kind::InvalidFilter,
    Kind::InvalidSort,
    Kind::InvalidFields,
    Kind::InvalidCursor,
    Kind::NoSuchCollection,
    Kind::NoSuchDocument,
    Kind::NoSuchIndex,
    Kind::NoSuchSchema,
    Kind::InvalidHeader,
    Kind::PreconditionFailed,
    Kind::NotAcceptable,
    Kind::Damaged,
    Kind::Busy,
    Kind::Timeout,
];
const OF_QUERIES: &[Kind] = &[
    Kind::InvalidBody,
    Kind::InvalidJson,
    Kind::InvalidName,
    Kind::InvalidFilter,
    Kind::InvalidSort,
    Kind::InvalidFields,
    Kind::InvalidCursor,
    Kind::InvalidPipeline,
    Kind::ForeignOrigin,
    Kind::NoSuchCollection,
    Kind::NotAcceptable,
    Kind::RequestTimeout,
    Kind::BodyTooLarge,
    Kind::DocumentTooLarge,
    Kind::PipelineFailed,
    Kind::AnswerTooLarge,
    Kind::UnsupportedMediaType,
    Kind::UnsupportedEncoding,
    Kind::Damaged,
    Kind::Busy,
    Kind::Timeout,
];
const OF_WRITES: &[Kind] = &[
    Kind::InvalidBody,
    Kind::InvalidName,
    Kind::InvalidId,
    Kind::InvalidJson,
    Kind::InvalidDocument,
    Kind::InvalidIndex,
    Kind::InvalidBody,
    Kind::InvalidHeader,
    Kind::InvalidFilter,
    Kind::InvalidSort,
    Kind::InvalidUpdate,
    Kind::InvalidSchema,
    Kind::IdChanged,
    Kind::ForeignOrigin,
    Kind::NoSuchCollection,
    Kind::NoSuchDocument,
    Kind::NoSuchIndex,
    Kind::NoSuchSchema,
    Kind::NotAcceptable,
    Kind::RequestTimeout,
    Kind::DuplicateId,
    Kind::DuplicateKey,
    Kind::IndexExists,
    Kind::CollectionExists,
    Kind::SchemaConflict,
    Kind::PatchTestFailed,
    Kind::IdempotencyUnderWay,
    Kind::Conflict,
    Kind::PreconditionFailed,
    Kind::PreconditionRequired,
    Kind::SchemaViolation,
    Kind::DocumentRefused,
    Kind::UpdateRefused,
    Kind::IdempotencyMismatch,
    Kind::BodyTooLarge,
    Kind::DocumentTooLarge,
    Kind::TransactionTooLarge,
    Kind::UnsupportedMediaType,
    Kind::UnsupportedEncoding,
    Kind::Damaged,
    Kind::Busy,
    Kind::DatabaseStopped,
    Kind::Stopping,
    Kind::OutcomeUnknown,
    Kind::DiskFull,
];
const OF_TRANSACTIONS: &[Kind] = &[
    Kind::InvalidBody,
    Kind::InvalidFilter,
    Kind::InvalidSort,
    Kind::InvalidFields,
    Kind::InvalidName,
    Kind::InvalidId,
    Kind::InvalidJson,
    Kind::InvalidDocument,
    Kind::IdChanged,
    Kind::ForeignOrigin,
    Kind::NoSuchTransaction,
    Kind::NotAcceptable,
    Kind::RequestTimeout,
    Kind::DuplicateId,
    Kind::DuplicateKey,
    Kind::Conflict,
    Kind::TransactionInUse,
    Kind::TransactionEnded,
    Kind::PreconditionFailed,
    Kind::BodyTooLarge,
    Kind::DocumentTooLarge,
    Kind::TransactionTooLarge,
    Kind::UnsupportedMediaType,
    Kind::UnsupportedEncoding,
    Kind::Damaged,
    Kind::Busy,
    Kind::Stopping,
    Kind::DatabaseStopped,
    Kind::OutcomeUnknown,
    Kind::DiskFull,
];
const OF_CHANGES: &[Kind] = &[
    Kind::InvalidHeader,
    Kind::InvalidName,
    Kind::InvalidFilter,
    Kind::InvalidCursor,
    Kind::NotAcceptable,
    Kind::HistoryGone,
    Kind::Damaged,
    Kind::Busy,
    Kind::Timeout,
];
const OF_STORE_READS: &[Kind] = &[
    Kind::InvalidHeader,
    Kind::InvalidName,
    Kind::InvalidCursor,
    Kind::NoSuchStore,
    Kind::NoSuchKey,
    Kind::NoSuchVersion,
    Kind::UnfinishedCopy,
    Kind::PreconditionFailed,
    Kind::Unsupported,
    Kind::Damaged,
    Kind::Busy,
    Kind::StoresClosed,
    Kind::Timeout,
];
const OF_STORE_WRITES: &[Kind] = &[
    Kind::InvalidHeader,
    Kind::InvalidBody,
    Kind::InvalidJson,
    Kind::InvalidName,
    Kind::NoSuchEngine,
    Kind::ForeignOrigin,
    Kind::ReadOnly,
    Kind::NoSuchStore,
    Kind::NoSuchKey,
    Kind::NoSuchVersion,
    Kind::RequestTimeout,
    Kind::StoreExists,
    Kind::VersionExists,
    Kind::UnfinishedCopy,
    Kind::Conflict,
    Kind::PreconditionFailed,
    Kind::BodyTooLarge,
    Kind::EntryTooLarge,
    Kind::UnsupportedMediaType,
    Kind::UnsupportedEncoding,
    Kind::Unsupported,
    Kind::Damaged,
    Kind::Busy,
    Kind::DatabaseStopped,
    Kind::StoresClosed,
    Kind::OutcomeUnknown,
    Kind::DiskFull,
];

const OF_API_KEY_READS: &[Kind] = &[Kind::NoSuchApiKey, Kind::Damaged, Kind::Busy, Kind::Timeout];
const OF_API_KEY_WRITES: &[Kind] = &[
    Kind::InvalidBody,
    Kind::InvalidJson,
    Kind::ForeignOrigin,
    Kind::NoSuchApiKey,
    Kind::ApiKeyRevoked,
    Kind::TooManyApiKeys,
    Kind::RequestTimeout,
    Kind::Conflict,
    Kind::BodyTooLarge,
    Kind::UnsupportedMediaType,
    Kind::Damaged,
    Kind::Busy,
    Kind::DatabaseStopped,
    Kind::OutcomeUnknown,
    Kind::DiskFull,
];

type Responses = BTreeMap<String, RefOr<Response>>;

/// Problems that go together: a name, whether a key is needed, and the kinds beside those of all
/// requests.
type Group = (&'static str, bool, &'static [Kind]);

const SERVICE: Group = ("Service", false, &[]);
const HEALTH: Group = ("Health", false, &[Kind::DatabaseStopped]);
const READY: Group = ("Ready", false, &[Kind::DatabaseStopped, Kind::Stopping]);
const READ: Group = ("Read", true, OF_READS);
const QUERY: Group = ("Query", true, OF_QUERIES);
const WRITE: Group = ("Write", true, OF_WRITES);
const TRANSACTION: Group = ("Transaction", true, OF_TRANSACTIONS);
const CHANGES: Group = ("Changes", true, OF_CHANGES);
const STORE_READ: Group = ("StoreRead", true, OF_STORE_READS);
const STORE_WRITE: Group = ("StoreWrite", true, OF_STORE_WRITES);
const METRICS: Group = ("Metrics", true, &[]);
const API_KEY_READ: Group = ("ApiKeyRead", true, OF_API_KEY_READS);
const API_KEY_WRITE: Group = ("ApiKeyWrite", true, OF_API_KEY_WRITES);

macro_rules! responses_of {
    ($($name:ident, $group:ident, $what:literal;)*) => {$(
        #[doc = $what]
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                references($group)
            }
        }
    )*};
}

responses_of! {
    ServiceProblems, SERVICE, "What a route about the service itself can answer.";
    HealthProblems, HEALTH, "What `/health` can answer.";
    ReadyProblems, READY, "What `/ready` can answer.";
    MetricsProblems, METRICS, "What `/metrics` can answer.";
    ReadProblems, READ, "What a request that changes nothing can answer.";
    QueryProblems, QUERY, "What a question in a body can answer.";
    WriteProblems, WRITE, "What a request that changes something can answer.";
    TransactionProblems, TRANSACTION, "What a request about a transaction can answer.";
    ChangesProblems, CHANGES, "What a request for changes can answer.";
    StoreReadProblems, STORE_READ, "What a request that changes nothing in a store can answer.";
    StoreWriteProblems, STORE_WRITE, "What a request that changes something in a store can answer.";
    ApiKeyReadProblems, API_KEY_READ, "What a request that shows keys can answer.";
    ApiKeyWriteProblems, API_KEY_WRITE, "What a request that changes keys can answer.";
}

/// All of them, by the names that the routes refer to.
pub(super) fn components() -> Responses {
    let all = [
        SERVICE,
        HEALTH,
        READY,
        METRICS,
        READ,
        QUERY,
        WRITE,
        TRANSACTION,
        CHANGES,
        STORE_READ,
        STORE_WRITE,
        API_KEY_READ,
        API_KEY_WRITE,
    ];
    all.into_iter()
        .flat_map(|group| {
            let named = move |(status, kinds): (String, Vec<Kind>)| {
                (component(group, &status), response(&kinds).into())
            };
            by_status(group).into_iter().map(named)
        })
        .collect()
}

fn references(group: Group) -> Responses {
    let reference = |status: String| {
        let reference = Ref::from_response_name(component(group, &status));
        (status, RefOr::Ref(reference))
    };
    by_status(group).into_keys().map(reference).collect()
}

fn component((name, ..): Group, status: &str) -> String {
    format!("{name}{status}")
}

fn by_status((_, protected, kinds): Group) -> BTreeMap<String, Vec<Kind>> {
    let mut by_status: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    let of_protected = if protected { OF_PROTECTED } else { &[] };
    for kind in OF_ALL.iter().chain(of_protected).chain(kinds) {
        let status = kind.status().as_str().to_owned();
        by_status.entry(status).or_default().push(*kind);
    }
    by_status
}

fn response(kinds: &[Kind]) -> Response {
    let titles: Vec<String> = kinds
        .iter()
        .map(|kind| format!("{} (`{}`).", kind.title(), kind.uri()))
        .collect();
    let examples = kinds.iter().map(|kind| {
        let value = json!({
            "type": kind.uri(),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "detail": "What happened, and what to do.",
            "instance": "0123456789abcdef-42",
        });
        let name = kind.uri().rsplit('/').next().unwrap_or_default();
        (name, ExampleBuilder::new().value(Some(value)).build())
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    let response = ResponseBuilder::new()
        .description(titles.join(" "))
        .content(MEDIA_TYPE, content);
    let header = |schema_type, description: &str| {
        let schema = ObjectBuilder::new().schema_type(schema_type);
        let header = HeaderBuilder::new().schema(Some(schema));
        header.description(Some(description)).build()
    };
    let mut response = response;
    if kinds
        .iter()
        .any(|kind| kind.retry_after_seconds().is_some())
    {
        let seconds = header(Type::Integer, "Seconds after which to try again.");
        response = response.header("Retry-After", seconds);
    }
    if kinds.contains(&Kind::Unauthorized) {
        let challenge = header(Type::String, "How a key can be brought.");
        response = response.header("WWW-Authenticate", challenge);
    }
    if kinds.contains(&Kind::TooManyRequests) {
        let left = header(Type::String, "What is left of the limit, and until when.");
        let policy = header(
            Type::String,
            "The limit: a quota, and the seconds that it is for.",
        );
        response = response.header("RateLimit", left);
        response = response.header("RateLimit-Policy", policy);
    }
    response.build()
}
