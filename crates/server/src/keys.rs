//! API keys: make, list, describe, change, rotate, revoke. What a key is, says [`auth`](crate::auth).

use std::sync::Arc;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::{Admin, KeyChange, KeyInfo, Models, NewKey, Permit, Token};
use crate::collections::no_parameters;
use crate::extract::Segments;
use crate::negotiate::{json, put_header};
use crate::observe::Deadline;
use crate::openapi::{ApiKeyParameter, ApiKeyReadProblems, ApiKeyWriteProblems};
use crate::operation::{self, Progress};
use crate::problem::Problem;
use crate::stores::JsonBody;

/// The routes of keys, with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(info, change, revoke))
        .routes(routes!(rotate))
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyList {
    /// By when they were made, the revoked ones too.
    keys: Vec<KeyInfo>,
}

/// A key with its text, which is never shown again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyWithText {
    #[serde(flatten)]
    info: KeyInfo,
    /// What requests bring in `X-API-Key`, or behind `Authorization: Bearer`.
    #[schema(example = "nxb_3f9a1c2b7d04_…")]
    key: String,
}

impl ApiKeyWithText {
    fn new(info: KeyInfo, token: &Token) -> Self {
        let key = token.reveal().to_owned();
        Self { info, key }
    }
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"grace": 3600}))]
pub(crate) struct RotateApiKey {
    /// For how many seconds the old text counts, too. Default: 0.
    grace: u64,
}

/// All keys
#[utoipa::path(
    get,
    path = "/keys",
    operation_id = "listApiKeys",
    tag = "api-keys",
    responses((status = 200, description = "The keys.", body = ApiKeyList), ApiKeyReadProblems),
)]
pub(crate) async fn list(
    permit: Permit<Admin>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = |models: &Models, _: &Progress| {
        let keys = models.keyring()?.list();
        json(StatusCode::OK, &ApiKeyList { keys })
    };
    operation::read(permit, deadline, work).await
}

/// Make a key
///
/// The answer has its text, which is stored nowhere and never shown again.
#[utoipa::path(
    post,
    path = "/keys",
    operation_id = "createApiKey",
    tag = "api-keys",
    request_body = NewKey,
    responses(
        (status = 201, description = "The key, with its text.", body = ApiKeyWithText,
            headers(("Location" = String, description = "Its URL."))),
        ApiKeyWriteProblems,
    ),
)]
pub(crate) async fn create(
    permit: Permit<Admin>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let wanted: NewKey = body.required()?;
        let (info, token) = models.keyring()?.create(&wanted)?;
        let location = format!("/keys/{}", info.id);
        let mut response = json(StatusCode::CREATED, &ApiKeyWithText::new(info, &token))?;
        put_header(&mut response, header::LOCATION, &location);
        Ok(response)
    };
    operation::write(permit, deadline, work).await
}

/// One key
#[utoipa::path(
    get,
    path = "/keys/{api_key}",
    operation_id = "getApiKey",
    tag = "api-keys",
    params(ApiKeyParameter),
    responses((status = 200, description = "The key.", body = KeyInfo), ApiKeyReadProblems),
)]
pub(crate) async fn info(
    permit: Permit<Admin>,
    deadline: Deadline,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let info = models.keyring()?.get(&id)?;
        json(StatusCode::OK, &info)
    };
    operation::read(permit, deadline, work).await
}

/// Change a key
///
/// What it is called, what it is for, how often it may ask: from the next request on. What is not
/// said stays.
#[utoipa::path(
    patch,
    path = "/keys/{api_key}",
    operation_id = "changeApiKey",
    tag = "api-keys",
    params(ApiKeyParameter),
    request_body(content(
        (KeyChange = "application/json"),
        (KeyChange = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The key as it is now.", body = KeyInfo),
        ApiKeyWriteProblems,
    ),
)]
pub(crate) async fn change(
    permit: Permit<Admin>,
    deadline: Deadline,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let change: KeyChange = body.required()?;
        let info = models.keyring()?.change(&id, &change)?;
        json(StatusCode::OK, &info)
    };
    operation::write(permit, deadline, work).await
}

/// Give a key a new text
///
/// The old one counts no more, or for a while, if the body says so.
#[utoipa::path(
    post,
    path = "/keys/{api_key}/rotate",
    operation_id = "rotateApiKey",
    tag = "api-keys",
    params(ApiKeyParameter),
    request_body = Option<RotateApiKey>,
    responses(
        (status = 200, description = "The key, with its new text.", body = ApiKeyWithText),
        ApiKeyWriteProblems,
    ),
)]
pub(crate) async fn rotate(
    permit: Permit<Admin>,
    deadline: Deadline,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let RotateApiKey { grace } = body.optional()?;
        let (info, token) = models.keyring()?.rotate(&id, grace)?;
        json(StatusCode::OK, &ApiKeyWithText::new(info, &token))
    };
    operation::write(permit, deadline, work).await
}

/// Revoke a key
///
/// For good, and for the next request already. It stays in the list.
#[utoipa::path(
    delete,
    path = "/keys/{api_key}",
    operation_id = "revokeApiKey",
    tag = "api-keys",
    params(ApiKeyParameter),
    responses((status = 204, description = "It is revoked."), ApiKeyWriteProblems),
)]
pub(crate) async fn revoke(
    permit: Permit<Admin>,
    deadline: Deadline,
    Segments([id]): Segments<1>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        models.keyring()?.revoke(&id)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    operation::write(permit, deadline, work).await
}
