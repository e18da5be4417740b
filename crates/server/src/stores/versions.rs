//! Versions: states of a store that can be gone back to.

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_kv::{Operation, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::condition::Conditions;
use super::keys::answer;
use super::lifetime::now_ms;
use super::list::{KeyPage, page};
use super::parameters::{
    KeyParameter, ListParameters, PageParameters, PageQuestion, RangeParameters, StoreParameter,
    StoredValue, VersionParameter,
};
use super::path::{StorePath, VersionKeyPath, VersionPath};
use super::{check, url, versioned};
use crate::auth::{Models, Permit, Read, Write};
use crate::collections::no_parameters;
use crate::negotiate::{json, put_header};
use crate::observe::Deadline;
use crate::openapi::{StoreReadProblems, StoreWriteProblems};
use crate::operation::{self, Progress};
use crate::problem::Problem;

/// All versions of a store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// The oldest first.
    versions: Vec<VersionDescription>,
}

/// A version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version, example = json!({
    "number": 3, "name": "before-import", "note": "", "time_ms": 1_767_225_600_000_u64,
    "keys": 42, "bytes": 4200, "exact": true,
}))]
pub(crate) struct VersionDescription {
    /// Its number: 1 for a store's first, then always one more.
    number: u64,
    /// Its name, if it was given one.
    #[schema(required)]
    name: Option<String>,
    /// What somebody wanted to say about it.
    note: String,
    /// When it was taken, in milliseconds since 1970.
    time_ms: u64,
    /// Keys in it.
    keys: u64,
    /// Bytes of its keys and values.
    bytes: u64,
    /// Whether these two are exact, or estimated.
    exact: bool,
}

impl From<Version> for VersionDescription {
    fn from(version: Version) -> Self {
        Self {
            number: version.number,
            name: version.name,
            note: version.note,
            time_ms: version.time_ms,
            keys: version.keys,
            bytes: version.bytes,
            exact: version.exact,
        }
    }
}

/// How a version is to be called.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"name": "before-import", "note": "all was well"}))]
pub(crate) struct TakeVersion {
    /// A name, which no other version of the store has, and which is no number. Versions with a
    /// name are kept whatever the store's options say.
    name: Option<String>,
    /// What to say about it; at most 1000 bytes.
    note: Option<String>,
}

/// All versions
#[utoipa::path(
    get,
    path = "/stores/{store}/versions",
    operation_id = "listVersions",
    tag = "versions",
    params(StoreParameter),
    responses(
        (status = 200, description = "The versions.", body = VersionList),
        StoreReadProblems,
    ),
)]
pub(crate) async fn list(
    permit: Permit<Read>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let store = models.store(&name)?;
        let versions = versioned(&*store, Operation::ListVersions)?.versions()?;
        let versions = versions.into_iter().map(VersionDescription::from).collect();
        json(StatusCode::OK, &VersionList { versions })
    };
    operation::read(permit, deadline, work).await
}

/// Take a version
///
/// Of the newest state.
#[utoipa::path(
    post,
    path = "/stores/{store}/versions",
    operation_id = "takeVersion",
    tag = "versions",
    params(StoreParameter),
    request_body = Option<TakeVersion>,
    responses(
        (status = 201, description = "The version.", body = VersionDescription,
            headers(("Location" = String, description = "Its URL."))),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn take(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let wanted: TakeVersion = body.optional()?;
        if let Some(name) = &wanted.name {
            check(name, "name")?;
        }
        let store = models.store(&name)?;
        let note = wanted.note.unwrap_or_default();
        let versions = versioned(&*store, Operation::TakeVersion)?;
        let version = versions.take_version(wanted.name.as_deref(), &note)?;
        let location = format!("{}/versions/{}", url(&name), version.number);
        let mut response = json(StatusCode::CREATED, &VersionDescription::from(version))?;
        put_header(&mut response, header::LOCATION, &location);
        Ok(response)
    };
    operation::write(permit, deadline, work).await
}

/// One version
#[utoipa::path(
    get,
    path = "/stores/{store}/versions/{version}",
    operation_id = "getVersion",
    tag = "versions",
    params(StoreParameter, VersionParameter),
    responses(
        (status = 200, description = "The version.", body = VersionDescription),
        StoreReadProblems,
    ),
)]
pub(crate) async fn info(
    permit: Permit<Read>,
    deadline: Deadline,
    VersionPath(name, id): VersionPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let store = models.store(&name)?;
        let version = versioned(&*store, Operation::ReadVersion)?.version(&id)?;
        json(StatusCode::OK, &VersionDescription::from(version))
    };
    operation::read(permit, deadline, work).await
}

/// Delete a version
#[utoipa::path(
    delete,
    path = "/stores/{store}/versions/{version}",
    operation_id = "deleteVersion",
    tag = "versions",
    params(StoreParameter, VersionParameter),
    responses((status = 204, description = "It is gone."), StoreWriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    VersionPath(name, id): VersionPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let store = models.store(&name)?;
        versioned(&*store, Operation::DeleteVersion)?.delete_version(&id)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    operation::write(permit, deadline, work).await
}

/// Go back to a version
///
/// The newest state becomes equal to it, in one step, and is taken as a new version. What was there
/// and in no version is gone: take a version first to keep it.
#[utoipa::path(
    post,
    path = "/stores/{store}/versions/{version}/restore",
    operation_id = "restoreVersion",
    tag = "versions",
    params(StoreParameter, VersionParameter),
    responses(
        (status = 200, description = "The new version.", body = VersionDescription),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn restore(
    permit: Permit<Write>,
    deadline: Deadline,
    VersionPath(name, id): VersionPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let store = models.store(&name)?;
        let version = versioned(&*store, Operation::RestoreVersion)?.restore_version(&id)?;
        json(StatusCode::OK, &VersionDescription::from(version))
    };
    operation::write(permit, deadline, work).await
}

/// List the keys of a version
///
/// What had not expired when the version was taken has not expired in it.
#[utoipa::path(
    get,
    path = "/stores/{store}/versions/{version}/keys",
    operation_id = "listVersionKeys",
    tag = "versions",
    params(StoreParameter, VersionParameter, RangeParameters, PageParameters, ListParameters),
    responses((status = 200, description = "A page of keys.", body = KeyPage), StoreReadProblems),
)]
pub(crate) async fn keys(
    permit: Permit<Read>,
    deadline: Deadline,
    VersionPath(name, id): VersionPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let question = PageQuestion::read(permit.limits(), &query.unwrap_or_default())?;
    let work = move |models: &Models, progress: &Progress| {
        let store = models.store(&name)?;
        let view = versioned(&*store, Operation::ReadVersion)?.at_version(&id)?;
        page(&*view, &question, progress)
    };
    operation::read(permit, deadline, work).await
}

/// Get a value of a version
#[utoipa::path(
    get,
    path = "/stores/{store}/versions/{version}/keys/{*key}",
    operation_id = "getVersionKey",
    tag = "versions",
    params(
        StoreParameter,
        VersionParameter,
        KeyParameter,
        ("If-None-Match" = Option<String>, Header, description = "Tags of values that the caller \
            has already."),
        ("If-Match" = Option<String>, Header, description = "Tags, one of which it must have."),
    ),
    responses(
        (status = 200, description = "The value, as of a key of the store.",
            body = StoredValue, content_type = "application/octet-stream",
            headers(("ETag" = String, description = "Its tag."))),
        (status = 304, description = "The caller has it already.",
            headers(("ETag" = String, description = "Its tag."))),
        StoreReadProblems,
    ),
)]
pub(crate) async fn key(
    permit: Permit<Read>,
    deadline: Deadline,
    VersionKeyPath(name, id, key): VersionKeyPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, _: &Progress| {
        let store = models.store(&name)?;
        let view = versioned(&*store, Operation::ReadVersion)?.at_version(&id)?;
        answer(view.entry(&key)?, &conditions, now_ms(models))
    };
    operation::read(permit, deadline, work).await
}
