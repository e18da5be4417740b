//! One key: get, put, delete.
//!
//! A value is a body, as it is, with its media type. What others have stored is answered so that no
//! browser runs it: it is what its type says and nothing else (`nosniff`), it stands in a sandbox
//! without scripts and without this server's origin, and pages of other origins cannot embed it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, RawQuery, Request};
use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderName};
use hyper::{HeaderMap, StatusCode};
use nexusbase_kv::{Entry, Put};

use super::condition::{Conditions, Outcome, etag, etag_of};
use super::lifetime::{Now, TTL, http_date, now_ms, seconds_left, ttl};
use super::parameters::{KeyParameter, StoreParameter, StoredValue};
use super::path::KeyPath;
use crate::app::App;
use crate::auth::{Models, Permit, Read, Write};
use crate::collections::no_parameters;
use crate::extract::{Received, receive};
use crate::negotiate::put_header;
use crate::observe::Deadline;
use crate::openapi::{StoreReadProblems, StoreWriteProblems};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};

/// What a value is when nobody has said it.
const BYTES: &str = "application/octet-stream";
/// What a browser may do with a value: show it, without scripts, forms, an origin, or anything
/// from elsewhere.
const SANDBOX: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A body of any type.
pub(crate) struct ValueBody {
    media_type: Option<String>,
    received: Received,
}

impl FromRequest<Arc<App>> for ValueBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self {
            media_type: media_type(request.headers())?,
            received: receive(request, app).await?,
        })
    }
}

/// What the body is, if the request says so.
fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    match (value.to_str(), all.next()) {
        (Ok(text), None) => {
            let text = text.trim();
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        _ => {
            let detail = "the header Content-Type stands there more than once, or is no text";
            Err(Problem::new(Kind::InvalidHeader, detail).with("header", "content-type"))
        }
    }
}

/// There is nothing under the key.
pub(super) fn missing() -> Problem {
    Problem::new(Kind::NoSuchKey, "there is nothing under this key")
}

/// What is there is not what was expected; `etag` is what is there.
fn refused(etag: Option<&str>) -> Response {
    let detail = match etag {
        Some(_) => {
            "what is under the key is not what was expected; nothing was done. Its present \
                    ETag is in the header"
        }
        None => "there is nothing under the key, and something was expected; nothing was done",
    };
    let problem = Problem::new(Kind::PreconditionFailed, detail).with("etag", etag);
    let mut response = problem.into_response();
    if let Some(etag) = etag {
        put_header(&mut response, header::ETAG, etag);
    }
    response
}

/// The answer to who asks for a key, under which `found` is.
pub(super) fn answer(
    found: Option<Entry>,
    conditions: &Conditions,
    now_ms: u64,
) -> Result<Response, Problem> {
    let tag = found.as_ref().map(etag);
    if !conditions.matches(tag.as_deref()) {
        return Ok(refused(tag.as_deref()));
    }
    let (Some(entry), Some(tag)) = (found, tag) else {
        return Err(missing());
    };
    let mut response = if conditions.is_known(Some(&tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Body::from(entry.value).into_response();
        let media_type = entry.media_type.as_deref().unwrap_or(BYTES);
        put_header(&mut response, header::CONTENT_TYPE, BYTES);
        // What a program has stored may be no header; then it is bytes.
        put_header(&mut response, header::CONTENT_TYPE, media_type);
        response
    };
    put_header(&mut response, header::ETAG, &tag);
    put_header(&mut response, header::CONTENT_SECURITY_POLICY, SANDBOX);
    put_header(&mut response, RESOURCE_POLICY, "same-origin");
    if let Some(expires_ms) = entry.expires_ms {
        put_header(&mut response, header::EXPIRES, &http_date(expires_ms));
        if let Some(seconds) = seconds_left(expires_ms, now_ms) {
            put_header(&mut response, TTL, &seconds.to_string());
        }
    }
    Ok(response)
}

/// Get a value
///
/// As it was put, with its media type. `If-None-Match` with the tag of what the caller has is
/// answered with 304.
#[utoipa::path(
    get,
    path = "/stores/{store}/keys/{*key}",
    operation_id = "getKey",
    tag = "keys",
    params(
        StoreParameter,
        KeyParameter,
        ("If-None-Match" = Option<String>, Header, description = "Tags of values that the caller \
            has already."),
        ("If-Match" = Option<String>, Header, description = "Tags, one of which it must have."),
    ),
    responses(
        (status = 200, description = "The value; its media type is the one it was put with.",
            body = StoredValue, content_type = "application/octet-stream",
            headers(
                ("ETag" = String, description = "A strong tag: the 128-bit xxh3 of value, media \
                    type and time."),
                ("Expires" = Option<String>, description = "When it is gone, if it will be."),
                ("TTL" = Option<i64>, description = "The seconds until then."),
            )),
        (status = 304, description = "The caller has it already.",
            headers(("ETag" = String, description = "Its tag."))),
        StoreReadProblems,
    ),
)]
pub(crate) async fn get(
    permit: Permit<Read>,
    deadline: Deadline,
    KeyPath(name, key): KeyPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, _: &Progress| {
        let found = models.store(&name)?.entry(&key)?;
        answer(found, &conditions, now_ms(models))
    };
    operation::read(permit, deadline, work).await
}

/// Put a value
///
/// The body is the value, whatever it is, and `Content-Type` is kept with it. Without
/// preconditions it is not looked whether something was there, and the answer is always 204. With
/// `If-Match` or `If-None-Match`, looking and putting are one step, and the answer is 201 if nothing
/// was there: `If-None-Match: *` creates and never replaces, `If-Match` with the tag of what was
/// read replaces exactly that.
#[utoipa::path(
    put,
    path = "/stores/{store}/keys/{*key}",
    operation_id = "putKey",
    tag = "keys",
    params(
        StoreParameter,
        KeyParameter,
        ("If-Match" = Option<String>, Header, description = "Tags, one of which must be there; \
            `*` for whatever is there."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: nothing may be there; \
            or tags, none of which may be there."),
        ("TTL" = Option<i64>, Header, description = "The value is gone after so many seconds, at \
            least 1. Without it, the store's own time counts, or none."),
    ),
    request_body(content = StoredValue, content_type = "application/octet-stream",
        description = "The value, of any media type."),
    responses(
        (status = 201, description = "It was put where nothing was.",
            headers(("ETag" = String, description = "Its tag."))),
        (status = 204, description = "It was put.",
            headers(("ETag" = String, description = "Its tag."))),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn put(
    permit: Permit<Write>,
    deadline: Deadline,
    KeyPath(name, key): KeyPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: ValueBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let ttl = ttl(&headers)?;
    let work = move |models: &Models, progress: &Progress| {
        let store = models.store(&name)?;
        let put = Put {
            value: &body.received.bytes,
            expires_ms: Now::of(models, &name)?.expires_ms(ttl),
            media_type: body.media_type.as_deref(),
        };
        let outcome = if conditions.is_empty() {
            store.put(&key, put)?;
            Outcome::WasPresent
        } else {
            conditions.change(&*store, &key, Some(put), progress)?
        };
        let status = match outcome {
            Outcome::WasAbsent => StatusCode::CREATED,
            Outcome::WasPresent => StatusCode::NO_CONTENT,
            Outcome::Refused(etag) => return Ok(refused(etag.as_deref())),
        };
        let mut response = status.into_response();
        put_header(&mut response, header::ETAG, &etag_of(&put));
        Ok(response)
    };
    operation::write(permit, deadline, work).await
}

/// Delete a key
#[utoipa::path(
    delete,
    path = "/stores/{store}/keys/{*key}",
    operation_id = "deleteKey",
    tag = "keys",
    params(
        StoreParameter,
        KeyParameter,
        ("If-Match" = Option<String>, Header, description = "Tags, one of which must be there; \
            `*` for whatever is there."),
        ("If-None-Match" = Option<String>, Header, description = "Tags, none of which may be \
            there."),
    ),
    responses((status = 204, description = "It is gone."), StoreWriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    KeyPath(name, key): KeyPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let conditions = Conditions::read(&headers)?;
    let work = move |models: &Models, progress: &Progress| {
        let store = models.store(&name)?;
        let outcome = if !conditions.is_empty() {
            conditions.change(&*store, &key, None, progress)?
        } else if store.delete(&key)? {
            Outcome::WasPresent
        } else {
            Outcome::WasAbsent
        };
        match outcome {
            Outcome::WasPresent => Ok(StatusCode::NO_CONTENT.into_response()),
            Outcome::WasAbsent => Err(missing()),
            Outcome::Refused(etag) => Ok(refused(etag.as_deref())),
        }
    };
    operation::write(permit, deadline, work).await
}
