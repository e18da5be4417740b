//! Keys in order, a page at a time, and how many there are.

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::StatusCode;
use nexusbase_kv::View;
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::{
    ListParameters, PageParameters, PageQuestion, RangeParameters, StoreParameter, range_question,
};
use super::path::StorePath;
use super::text::{Text, token};
use crate::auth::{Models, Permit, Read};
use crate::negotiate::json;
use crate::observe::Deadline;
use crate::openapi::StoreReadProblems;
use crate::operation::{self, Progress};
use crate::problem::Problem;

/// A page ends when its keys and values have so many bytes, whatever the limit says.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "keys": [{"key": "user:1", "value": "Ada"}, {"key": {"base64": "AP8="}, "value": ""}],
    "next": null,
}))]
pub(crate) struct KeyPage {
    /// In the order asked for.
    keys: Vec<KeyRow>,
    /// Where the next page begins, for the parameter `after`; null if nothing follows.
    #[schema(required)]
    next: Option<String>,
}

/// A key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyRow {
    /// The key.
    key: Text,
    /// What is under it, if values were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Text>,
    /// From when on it is gone, in milliseconds since 1970, if it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    /// What the value is, if somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
}

/// How many keys there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"count": 42}))]
pub(crate) struct KeyCount {
    /// How many.
    count: u64,
}

/// A page of `view`. Values that nobody asked for are not copied.
pub(super) fn page(
    view: &dyn View,
    question: &PageQuestion,
    progress: &Progress,
) -> Result<Response, Problem> {
    let query = &question.query;
    let mut cursor = view.cursor(query.remaining(), query.direction)?;
    let (mut keys, mut next, mut bytes): (Vec<KeyRow>, _, _) = (Vec::new(), None, 0);
    while let Some(row) = cursor.next()? {
        if let Some(last) = keys.last()
            && (keys.len() >= query.limit || bytes >= PAGE_BYTES)
        {
            next = Some(token(&last.key.0));
            break;
        }
        bytes += row.key.len();
        let value = question.values.then(|| Text::copy(row.value));
        bytes += value.as_ref().map_or(0, |value| value.0.len());
        keys.push(KeyRow {
            key: Text::copy(row.key),
            value,
            expires_ms: row.expires_ms,
            media_type: row.media_type.map(str::to_owned),
        });
        if progress.is_given_up() {
            return Err(operation::busy("nobody waits for the answer any more"));
        }
    }
    json(StatusCode::OK, &KeyPage { keys, next })
}

/// List keys
///
/// In their order, or against it, a page at a time: `next` is null exactly when nothing follows.
/// Each page shows one state; each key that is there all the time is on exactly one page, whatever
/// is written meanwhile. A page may have fewer keys than `limit` asks for, because its size in
/// bytes is bounded too.
#[utoipa::path(
    get,
    path = "/stores/{store}/keys",
    operation_id = "listKeys",
    tag = "keys",
    params(StoreParameter, RangeParameters, PageParameters, ListParameters),
    responses((status = 200, description = "A page of keys.", body = KeyPage), StoreReadProblems),
)]
pub(crate) async fn keys(
    permit: Permit<Read>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let question = PageQuestion::read(permit.limits(), &query.unwrap_or_default())?;
    let work = move |models: &Models, progress: &Progress| {
        let store = models.store(&name)?;
        page(&*store, &question, progress)
    };
    operation::read(permit, deadline, work).await
}

/// Count keys
#[utoipa::path(
    get,
    path = "/stores/{store}/count",
    operation_id = "countKeys",
    tag = "keys",
    params(StoreParameter, RangeParameters),
    responses((status = 200, description = "How many.", body = KeyCount), StoreReadProblems),
)]
pub(crate) async fn count(
    permit: Permit<Read>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let range = range_question(&query.unwrap_or_default())?;
    let work = move |models: &Models, _: &Progress| {
        let count = models.store(&name)?.count(range)?;
        json(StatusCode::OK, &KeyCount { count })
    };
    operation::read(permit, deadline, work).await
}
