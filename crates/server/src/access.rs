//! The access log: one line for each request, under the target `access`, when its answer has left.
//!
//! The line has the path, which names collections, documents, stores and keys, but never the
//! query, which holds what people search for, nor any header or body. The time is that from the
//! head of the request to the head of its answer; the bytes are those of the answer's body that
//! were handed to the connection, compressed if it is. A stream of events is logged at its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use hyper::body::{Bytes, Frame, SizeHint};

/// What the line says.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) duration: Duration,
}

/// A body that is counted, and logged when it is gone.
struct Counted {
    body: Body,
    bytes: u64,
    line: Line,
}

/// The answer, whose line is logged when it has left or was given up.
pub(crate) fn logged(response: Response, line: Line) -> Response {
    response.map(|body| {
        Body::new(Counted {
            body,
            bytes: 0,
            line,
        })
    })
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.bytes = self.bytes.saturating_add(bytes as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Line {
            id,
            method,
            path,
            status,
            duration,
        } = &self.line;
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bytes = self.bytes;
        tracing::info!(target: "access", id, method, path, status, micros, bytes, "request");
    }
}
