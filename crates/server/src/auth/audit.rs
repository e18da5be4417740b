//! The record of what was done and refused: one event of the log (target `audit`) for each request
//! that may change something or manages keys, and for each that was refused.
//!
//! It names the key by its id. Nothing that a request brings beside its path is in it.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use hyper::{Method, StatusCode};

use super::caller::{Caller, Refused};
use crate::observe::{RequestId, described};
use crate::problem::Problem;

/// Where keys are managed.
const KEYS: &str = "/keys";

/// Writes the event of a request that deserves one.
pub(crate) async fn audit(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    // The name of a collection or a store, or the id of a key, as it stands in the URL.
    let target = request.uri().path().split('/').nth(2);
    let target = target.unwrap_or_default().to_owned();

    let response = next.run(request).await;

    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let status = response.status();
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let reads = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    let manages = route == KEYS || route.starts_with("/keys/");
    if route.is_empty() || (reads && !manages && !refused) {
        return response;
    }
    let caller = response.extensions().get::<Caller>();
    let reason = response.extensions().get::<Refused>();
    let problem = response.extensions().get::<Problem>();
    let kind = problem.map_or("", |problem| problem.kind().uri());
    tracing::info!(
        target: "audit",
        id = id.as_ref().map_or("", |RequestId(id)| id),
        key = caller.map_or("", Caller::id),
        method = method.as_str(),
        route = &*described(route),
        name = target,
        status = status.as_u16(),
        outcome = outcome(status),
        problem = kind,
        reason = reason.map_or("", |Refused(reason)| reason),
    );
    response
}

fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            "refused"
        }
        status if status.is_success() => "done",
        // What is there already is no failure.
        status if status.is_redirection() => "unchanged",
        StatusCode::GATEWAY_TIMEOUT => "unknown",
        _ => "failed",
    }
}
