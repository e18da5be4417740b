//! Bodies that nobody reads: a request that is refused before its body was looked at.
//!
//! An answer that goes out while the body still comes in ends the connection, and a client that
//! keeps connections finds the next one broken. Such a body is therefore read to its end and thrown
//! away, if it is short and comes at once; otherwise the answer says that the connection ends. A
//! client that waits to be told before it sends (`Expect`) is not told to.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// So much of it is read, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// So long it may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that comes back if it was never asked for anything.
struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.back = None;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            // Nobody waits for it if the request was given up.
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}

/// Lets a request pass, and takes care of its body if nobody else did.
pub(crate) async fn unread(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits = request.headers().contains_key(header::EXPECT);
    let (back, mut returned) = oneshot::channel();
    let lend = |body| {
        Body::new(Lent {
            body,
            back: Some(back),
        })
    };
    let mut response = next.run(request.map(lend)).await;
    let Ok(body) = returned.try_recv() else {
        return response;
    };
    if waits || timeout(PATIENCE, drain(body)).await != Ok(true) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Reads a short body to its end. Returns whether it was one.
async fn drain(mut body: Body) -> bool {
    let mut left = BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let bytes = frame.map(|frame| frame.data_ref().map_or(0, Bytes::len));
        match bytes.ok().and_then(|bytes| left.checked_sub(bytes)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}
