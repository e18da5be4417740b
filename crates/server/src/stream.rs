//! Answers that are sent while they are made: lines of documents, of which there may be more than
//! fit into memory.
//!
//! Until the first piece, a stream is a request as all others: it has the time limit of requests,
//! and fails with a problem. From then on it has taken its status, so that what fails then breaks
//! the connection off: a body that ended in order is whole. A stream keeps its place among the
//! operations to its end, and ends for certain after [`STREAM_TIME_MAX`], when the caller is gone,
//! or when the caller takes nothing for as long as a request may take.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use futures_core::Stream;
use hyper::body::Bytes;
use nexusbase_documents::bson::raw::RawDocument;
use nexusbase_documents::json::{Form, write_document};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::auth::{Models, Permit, Read};
use crate::observe::Deadline;
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};

/// How long a stream may take altogether.
const STREAM_TIME_MAX: Duration = Duration::from_secs(3600);
/// A piece is sent when it has so many bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the caller to take them.
const PIECES_WAITING: usize = 2;

/// Where the lines of a stream go.
pub(crate) struct Lines {
    form: Form,
    piece: String,
    pieces: mpsc::Sender<Bytes>,
}

impl Lines {
    /// Writes a document on a line of its own.
    pub(crate) fn write(&mut self, document: &RawDocument) -> Result<(), Problem> {
        write_document(document, self.form, &mut self.piece)?;
        self.piece.push('\n');
        if self.piece.len() >= PIECE_BYTES {
            return self.send();
        }
        Ok(())
    }

    /// Sends what was written. It waits until there is room.
    fn send(&mut self) -> Result<(), Problem> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        let sent = self.pieces.blocking_send(piece);
        sent.map_err(|_| operation::busy("nobody waits for the answer any more"))
    }

    /// Tells, from elsewhere, whether nobody takes the lines any more.
    pub(crate) fn gone(&self) -> impl Fn() -> bool + use<> {
        let pieces = self.pieces.clone();
        move || pieces.is_closed()
    }
}

/// Runs an operation whose lines are the body of the answer.
pub(crate) async fn lines(
    permit: Permit<Read>,
    Deadline(deadline): Deadline,
    form: Form,
    work: impl FnOnce(&Models, &Progress, &mut Lines) -> Result<(), Problem> + Send + 'static,
) -> Result<Body, Problem> {
    let (pieces, mut received) = mpsc::channel(PIECES_WAITING);
    let mut lines = Lines {
        form,
        piece: String::new(),
        pieces,
    };
    let end = Deadline(Instant::now() + STREAM_TIME_MAX);
    let work = move |models: &Models, progress: &Progress| {
        work(models, progress, &mut lines)?;
        lines.send()
    };
    let task = tokio::spawn(operation::read(permit, end, work));
    match timeout_at(deadline, received.recv()).await {
        Ok(first @ Some(_)) => Ok(Body::from_stream(Pieces {
            first,
            received,
            task: Some(task),
        })),
        Ok(None) => match task.await {
            Ok(result) => result.map(|()| Body::empty()),
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(operation::busy("the server is stopping")),
        },
        Err(_) => Err(Problem::new(
            Kind::Timeout,
            "the first line took longer than the time limit; ask for less, or create an index \
             that helps",
        )),
    }
}

/// The body.
struct Pieces {
    first: Option<Bytes>,
    received: mpsc::Receiver<Bytes>,
    /// What makes them; none when it has ended.
    task: Option<JoinHandle<Result<(), Problem>>>,
}

impl Stream for Pieces {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(piece) = ready!(this.received.poll_recv(context)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        let Some(task) = &mut this.task else {
            return Poll::Ready(None);
        };
        let ended = ready!(Pin::new(task).poll(context));
        this.task = None;
        let reason = match ended {
            Ok(Ok(())) => return Poll::Ready(None),
            Ok(Err(problem)) => problem.to_json(None).to_string(),
            Err(join) => join.to_string(),
        };
        tracing::warn!(reason, "a stream of documents was broken off");
        // The connection ends without the end of the body.
        let error = io::Error::other("the answer could not be finished");
        Poll::Ready(Some(Err(error)))
    }
}
