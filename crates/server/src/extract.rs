//! Taking requests apart, with problems for what is wrong: path, parameters, body.
//!
//! A body is read within the request's time and the limit on its size, which holds for what was
//! sent and for what it becomes when it is decoded. The memory of all bodies together is bounded
//! too, and counted as the decoded bytes come, so that a caller who announces much and sends
//! little takes little.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use crate::app::{App, BODY_PIECE_BYTES};
use crate::decode::{Decoder, Encoding, PIECE_BYTES, Sink};
use crate::negotiate::{Media, PATCHES, body_media, put_header};
use crate::observe::Deadline;
use crate::operation::busy;
use crate::problem::{Kind, Problem};
use crate::query::percent_text;

/// A caller that sends too much is listened to for so long, and so many times the limit, before
/// it is answered: most read no answer until they have sent everything.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_FACTOR: usize = 4;

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The outermost layer has put it there; without it there is no time at all.
        let found = parts.extensions.get::<Self>().copied();
        Ok(found.unwrap_or_else(|| Self(Instant::now())))
    }
}

/// The variable parts of the path, decoded, in order.
pub(crate) struct Segments<const N: usize>(pub(crate) [String; N]);

impl<S: Send + Sync, const N: usize> FromRequestParts<S> for Segments<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        percent_text(parts.uri.path(), "the path")
            .map_err(|detail| Problem::new(Kind::BadRequest, detail))?;
        let bad = |detail: String| Problem::new(Kind::BadRequest, detail);
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|rejection| bad(rejection.body_text()))?;
        let all: Vec<String> = params.iter().map(|(_, value)| value.to_owned()).collect();
        let all = all.try_into();
        all.map(Self)
            .map_err(|_| bad("the path has another number of parts".to_owned()))
    }
}

/// A request's body: JSON, or lines of it.
pub(crate) struct Payload {
    pub(crate) media: Media,
    pub(crate) bytes: Vec<u8>,
    /// The memory that the bytes take.
    _memory: Option<OwnedSemaphorePermit>,
}

/// Which bodies a handler takes.
pub(crate) struct OneDocument(pub(crate) Payload);
pub(crate) struct Documents(pub(crate) Payload);

impl FromRequest<Arc<App>> for OneDocument {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        read_body(request, app, &[Media::Json]).await.map(Self)
    }
}

impl FromRequest<Arc<App>> for Documents {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        read_body(request, app, &[Media::Json, Media::Ndjson])
            .await
            .map(Self)
    }
}

/// A body that says what is to be different.
pub(crate) struct OneChange(pub(crate) Payload);

impl FromRequest<Arc<App>> for OneChange {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let offered = [Media::Json, Media::MergePatch];
        read_body(request, app, &offered).await.map(Self)
    }
}

/// A body that says how a document is to be changed.
pub(crate) struct Patch(pub(crate) Payload);

impl FromRequest<Arc<App>> for Patch {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let offered = [Media::MergePatch, Media::JsonPatch, Media::Json];
        let body = read_body(request, app, &offered).await;
        body.map(Self).map_err(|problem| {
            let refused = problem.kind() == Kind::UnsupportedMediaType;
            let mut response = problem.into_response();
            if refused {
                let name = HeaderName::from_static("accept-patch");
                put_header(&mut response, name, PATCHES);
            }
            response
        })
    }
}

async fn read_body(
    request: Request,
    app: &Arc<App>,
    offered: &[Media],
) -> Result<Payload, Problem> {
    let media = body_media(request.headers(), offered)?;
    let Received { bytes, _memory } = receive(request, app).await?;
    Ok(Payload {
        media,
        bytes,
        _memory,
    })
}

/// A body as it came.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// The memory that the bytes take.
    _memory: Option<OwnedSemaphorePermit>,
}

/// Reads a body, whatever it is, within the limits.
pub(crate) async fn receive(request: Request, app: &Arc<App>) -> Result<Received, Problem> {
    let encoding = Encoding::of(request.headers())?;
    let Deadline(deadline) = request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(|| Deadline(Instant::now()));
    let limit = app.limits.body_bytes;
    let waits = request.headers().contains_key(header::EXPECT);
    let announced = announced_bytes(request.headers());
    let mut body = request.into_body();
    if announced.is_some_and(|bytes| bytes > limit) {
        if !waits {
            linger(&mut body, limit).await;
        }
        return Err(too_large(limit));
    }
    match timeout_at(deadline, collect(&mut body, app, encoding)).await {
        Ok(Ok(received)) => Ok(received),
        Ok(Err(problem)) => {
            if problem.kind() == Kind::BodyTooLarge {
                linger(&mut body, limit).await;
            }
            Err(problem)
        }
        Err(_) => Err(Problem::new(
            Kind::RequestTimeout,
            "the body did not arrive within the time limit; nothing was done",
        )),
    }
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // More than fits is more than any limit.
    Some(value.parse().unwrap_or(usize::MAX))
}

async fn collect(body: &mut Body, app: &Arc<App>, encoding: Encoding) -> Result<Received, Problem> {
    let limit = app.limits.body_bytes;
    let mut decoder = Decoder::new(encoding, Memory::new(app))?;
    let mut sent = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let detail = format!("the body broke off or is not what it announced ({error})");
            Problem::new(Kind::BadRequest, detail)
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        // Much can also be sent that becomes nothing.
        sent += data.len();
        if sent > limit {
            return Err(too_large(limit));
        }
        if encoding == Encoding::Identity {
            decoder.push(&data)?;
            continue;
        }
        for piece in data.chunks(PIECE_BYTES) {
            decoder.push(piece)?;
            // Little may become much, which takes its time.
            tokio::task::yield_now().await;
        }
    }
    let Memory { bytes, held, .. } = decoder.finish()?;
    Ok(Received {
        bytes,
        _memory: held,
    })
}

/// The bytes of a body, and the memory that was taken for them.
struct Memory {
    bytes: Vec<u8>,
    held: Option<OwnedSemaphorePermit>,
    app: Arc<App>,
}

impl Memory {
    fn new(app: &Arc<App>) -> Self {
        Self {
            bytes: Vec::new(),
            held: None,
            app: Arc::clone(app),
        }
    }

    /// Takes memory for a body that is going to have `bytes`.
    fn reserve(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref();
        let held = held.map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(BODY_PIECE_BYTES).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let full = || busy("too many large bodies are in memory");
        let more = u32::try_from(more).map_err(|_| full())?;
        let taken = Arc::clone(&self.app.bodies).try_acquire_many_owned(more);
        let taken = taken.map_err(|_| full())?;
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
        Ok(())
    }
}

impl Sink for Memory {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let total = self.bytes.len() + bytes.len();
        if total > self.app.limits.body_bytes {
            return Err(too_large(self.app.limits.body_bytes));
        }
        self.reserve(total)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

async fn linger(body: &mut Body, limit: usize) {
    let mut left = limit.saturating_mul(LINGER_FACTOR);
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(remaining) = left.checked_sub(bytes) else {
                return;
            };
            left = remaining;
        }
    };
    // When the time is up, the answer may be lost with the connection; the caller was warned.
    let _ = timeout(LINGER, rest).await;
}

fn too_large(limit: usize) -> Problem {
    let detail =
        format!("the body is larger than {limit} bytes; send less at a time. Nothing was done");
    Problem::new(Kind::BodyTooLarge, detail).with("limit", limit)
}
