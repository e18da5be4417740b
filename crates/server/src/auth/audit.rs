//! The record of what was done and refused: one event of the log (target `audit`) for each request
//! that may change something or manages keys, and for each that was refused.
//!
//! It names the key by its id. Nothing that a request brings beside its path is in it.
//!
//! The record is complete: who is let in is remembered beside the request ([`Known`]), so that the
//! event names the key also when the handler panics; and a request whose caller goes away before
//! the answer has its event too, because what it began may go on.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use hyper::{Method, StatusCode};

use super::caller::{Caller, Refused};
use crate::observe::{RequestId, described};
use crate::problem::Problem;

/// Where keys are managed.
const KEYS: &str = "/keys";

/// Who a caller turned out to be, or why nobody: known as soon as it is found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<OnceLock<Result<Caller, Refused>>>);

impl Known {
    /// Remembers it, for the event of this request.
    pub(super) fn tell(request: &Request, found: Result<Caller, Refused>) {
        if let Some(Self(known)) = request.extensions().get() {
            // It is found out once for each request.
            let _ = known.set(found);
        }
    }
}

/// A request that is under way. Dropped without an answer, it writes the event itself.
struct Entry {
    id: Option<RequestId>,
    route: Option<MatchedPath>,
    method: Method,
    /// The name of a collection or a store, or the id of a key, as it stands in the URL.
    target: String,
    known: Known,
    is_answered: bool,
}

impl Entry {
    fn new(request: &Request) -> Self {
        let target = request.uri().path().split('/').nth(2);
        Self {
            id: request.extensions().get().cloned(),
            route: request.extensions().get().cloned(),
            method: request.method().clone(),
            target: target.unwrap_or_default().to_owned(),
            known: Known::default(),
            is_answered: false,
        }
    }

    /// Writes the event, if the request deserves one; without an answer, nobody waited for it.
    fn write(&self, answer: Option<&Response>) {
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        let reads = matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let manages = route == KEYS || route.starts_with("/keys/");
        let status = answer.map(Response::status);
        let refused = status.is_some_and(is_refusal);
        if route.is_empty() || (reads && !manages && !refused) {
            return;
        }
        let (caller, reason) = match self.known.0.get() {
            Some(Ok(caller)) => (caller.id(), ""),
            Some(Err(Refused(reason))) => ("", *reason),
            None => ("", ""),
        };
        let problem = answer.and_then(|answer| answer.extensions().get::<Problem>());
        tracing::info!(
            target: "audit",
            id = self.id.as_ref().map_or("", |RequestId(id)| id),
            key = caller,
            method = self.method.as_str(),
            route = &*described(route),
            name = self.target,
            status = status.map(|status| status.as_u16()),
            outcome = status.map_or("unknown", outcome),
            problem = problem.map_or("", |problem| problem.kind().uri()),
            reason,
        );
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.is_answered {
            self.write(None);
        }
    }
}

/// Writes the event of a request that deserves one.
pub(crate) async fn audit(mut request: Request, next: Next) -> Response {
    let mut entry = Entry::new(&request);
    request.extensions_mut().insert(entry.known.clone());
    let response = next.run(request).await;
    entry.is_answered = true;
    entry.write(Some(&response));
    response
}

/// Whether an answer says that this caller may not, here or now.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::TOO_MANY_REQUESTS
    )
}

fn outcome(status: StatusCode) -> &'static str {
    match status {
        status if is_refusal(status) => "refused",
        status if status.is_success() => "done",
        // What is there already is no failure.
        status if status.is_redirection() => "unchanged",
        StatusCode::GATEWAY_TIMEOUT => "unknown",
        _ => "failed",
    }
}
