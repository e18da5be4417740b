//! The description of the service for programs: OpenAPI 3.1, at `/openapi.json`.
//!
//! Each handler carries its own description; this module has what they share: parameters, the
//! shapes of bodies, and the problems that belong to each kind of request, taken from the same
//! table as the answers.

mod problems;
mod schemas;
mod writes;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::response::Response;
use hyper::StatusCode;
use nexusbase_documents::json::Form;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{OpenApi, PathItem};

use crate::app;
use crate::auth::{API_KEY, is_open};
use crate::negotiate::{Media, Wanted, text};
use crate::observe::described;

pub(crate) use problems::{
    ApiKeyReadProblems, ApiKeyWriteProblems, ChangesProblems, HealthProblems, MetricsProblems,
    QueryProblems, ReadProblems, ReadyProblems, ServiceProblems, StoreReadProblems,
    StoreWriteProblems, TransactionProblems, WriteProblems,
};
pub(crate) use schemas::{
    ApiKeyParameter, CollectionParameter, Document, Documents, Explain, FindParameters,
    IdParameter, IndexParameter, InsertAnswer, InsertParameters, Inserted, Page,
};

pub(crate) use writes::{
    BulkAnswer, BulkParameters, BulkRequest, CollectionChange, ConditionParameters, DeleteAnswer,
    DeleteRequest, JsonPatchBody, JsonSchema, OnceParameter, PreferParameter, RenameRequest,
    SchemaParameters, UpdateAnswer, UpdateOperators, UpdateRequest,
};

/// The ways to bring a key, by their names in the description.
const SCHEMES: [&str; 2] = ["apiKey", "bearer"];

/// What is not part of any route.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "NexusBase",
        description = "Documents and key-value stores over HTTP.\n\n\
            Documents are JSON objects in MongoDB's Extended JSON: what JSON cannot say is \
            written as an object such as `{\"$date\": \"2026-01-01T00:00:00Z\"}`. Both its forms \
            are read; answers are relaxed, or canonical with \
            `Accept: application/json; form=canonical`.\n\n\
            Key-value stores hold bytes under keys that are bytes. In a URL, keys are \
            percent-encoded; in JSON, keys and values are strings if they are UTF-8, and otherwise \
            objects such as `{\"base64\": \"AP8=\"}`. What a store can do depends on its engine, \
            which says it (`/engines`); what it cannot do is answered with the problem \
            `/problems/unsupported`.\n\n\
            Every error is a problem document (RFC 9457, `application/problem+json`); its `type` \
            is stable. Every answer has the header `x-request-id`, which a request may set.\n\n\
            Answers of 1 KiB and more are compressed for those who accept it (`Accept-Encoding: \
            zstd, gzip`), and bodies may come so (`Content-Encoding`); the limit on a body holds \
            for what it is when it is decoded.\n\n\
            Requests bring an API key, as `X-API-Key: nxb_…` or `Authorization: Bearer nxb_…`, \
            unless the server was started without authentication. A key has a role (`read`, \
            `write`, `admin`) and scopes: the collections and stores that it is for. Without a \
            valid key the answer is 401; with one that does not suffice, 403. Where the number \
            of requests is limited, answers have the fields `RateLimit` and `RateLimit-Policy` \
            (draft-ietf-httpapi-ratelimit-headers-10), and beyond the limit the answer is 429.\n\n\
            Unless it serves other machines, the service answers for the hosts `localhost`, \
            `127.0.0.1` and `[::1]` only. It refuses writes from web pages of another origin.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "documents", description = "Documents of a collection."),
        (name = "collections", description = "Collections."),
        (name = "indexes", description = "Indexes of a collection."),
        (name = "transactions", description = "Several operations as one."),
        (name = "changes", description = "What happens to documents and collections."),
        (name = "stores", description = "Key-value stores, and the engines that keep them."),
        (name = "keys", description = "Keys and values of a store."),
        (name = "versions", description = "States of a store that can be gone back to."),
        (name = "events", description = "What happens to stores, as it happens."),
        (name = "api-keys", description = "The keys that requests bring."),
        (name = "service", description = "The service itself."),
    ),
    components(schemas(problems::ProblemDocument)),
)]
struct Base;

/// The document without any route.
pub(crate) fn base() -> OpenApi {
    let mut api = Base::openapi();
    let components = api.components.get_or_insert_default();
    components.responses.extend(problems::components());
    let header = ApiKeyValue::new(API_KEY.as_str());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.security_schemes = BTreeMap::from([
        (
            SCHEMES[0].to_owned(),
            SecurityScheme::ApiKey(ApiKey::Header(header)).into(),
        ),
        (SCHEMES[1].to_owned(), SecurityScheme::Http(bearer).into()),
    ]);
    api
}

/// The same routes, with the keys that they need.
fn protected(mut item: PathItem) -> PathItem {
    let methods = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ];
    for operation in methods.into_iter().flatten() {
        let either = |scheme| SecurityRequirement::new::<_, [String; 0], String>(scheme, []);
        operation.security = Some(SCHEMES.map(either).into());
    }
    item
}

/// The OpenAPI document of the service, as JSON.
#[must_use]
pub fn openapi_json() -> String {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let (_, mut api) = app::routes().split_for_parts();
        // The router's parameters that span several segments are plain ones to OpenAPI.
        let paths = std::mem::take(&mut api.paths.paths).into_iter();
        api.paths.paths = paths
            .map(|(path, item)| (described(&path).into_owned(), item))
            .map(|(path, item)| {
                if is_open(&path) {
                    (path, item)
                } else {
                    (path, protected(item))
                }
            })
            .collect();
        // A document that was built cannot fail to be written; a test writes it.
        serde_json::to_string(&api).unwrap_or_default()
    });
    DOCUMENT.clone()
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "service",
    responses(
        (status = 200, description = "An OpenAPI document.", body = Object,
            content_type = "application/json"),
        ServiceProblems,
    ),
)]
pub(crate) async fn document() -> Response {
    let wanted = Wanted {
        media: Media::Json,
        form: Form::Relaxed,
    };
    text(StatusCode::OK, wanted, openapi_json())
}
