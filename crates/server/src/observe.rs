//! What happens to every request and its answer: an id, a time limit, metrics, a line in the
//! [`access`](crate::access) log and perhaps in that of [`slow`] requests, and a problem document
//! if it failed.
//!
//! A caller may bring an id of its own in `x-request-id`, if it is short and plain; otherwise the
//! server makes one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::header::{self, HeaderName, HeaderValue};
use nexusbase_io::Env;
use tokio::time::Instant;

use crate::access::{self, Line};
use crate::app::App;
use crate::problem::{self, Problem};
use crate::slow::{self, Answered};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that a caller may bring, in bytes.
const ID_BYTES_MAX: usize = 64;
/// The route of what has none, in metrics.
const NO_ROUTE: &str = "none";

/// When a request must have been answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// The id of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Makes request ids: a random start for each run of the server, then a number.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(env: &Env) -> Result<Self, nexusbase_io::Error> {
        let mut start = [0; 8];
        env.random.fill(&mut start)?;
        Ok(Self {
            start: u64::from_le_bytes(start),
            next: AtomicU64::new(1),
        })
    }

    fn of(&self, request: &Request) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let given = request.headers().get(REQUEST_ID);
        let given = given.and_then(|value| value.to_str().ok());
        match given {
            Some(id) if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain) => {
                id.to_owned()
            }
            _ => format!(
                "{:016x}-{}",
                self.start,
                self.next.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }
}

/// The outermost layer.
pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = app.clock.monotonic();
    let id = app.ids.of(&request);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let deadline = Deadline(Instant::now() + app.limits.request_timeout);
    request.extensions_mut().insert(deadline);
    request.extensions_mut().insert(RequestId(Arc::from(&*id)));

    let under_way = app.metrics.request();
    let response = finish(next.run(request).await, &id);
    drop(under_way);

    let duration = app.clock.monotonic().saturating_sub(started);
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let route = described(route);
    app.metrics
        .answered(&route, &method, response.status(), duration);
    if !app.slow_request.is_zero() && duration >= app.slow_request {
        app.metrics.slow();
        let answered = Answered {
            id: &id,
            method: method.as_str(),
            route: &route,
            path: &path,
            duration,
        };
        slow::log(&answered, &response);
    }
    let line = Line {
        id,
        method: method.to_string(),
        path,
        status: response.status().as_u16(),
        duration,
    };
    access::logged(response, line)
}

/// The route as the description names it, which knows no parameters that span several segments.
pub(crate) fn described(route: &str) -> Cow<'_, str> {
    if route.contains("{*") {
        Cow::Owned(route.replace("{*", "{"))
    } else {
        Cow::Borrowed(route)
    }
}

/// The answer as it leaves: with its id, and as a problem document if it is an error.
fn finish(mut response: Response, id: &str) -> Response {
    if response.status().is_client_error() || response.status().is_server_error() {
        let problem = response.extensions_mut().remove::<Problem>();
        let problem = problem.unwrap_or_else(|| problem::foreign(&response));
        response = problem.write(response, id);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
