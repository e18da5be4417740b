//! Changes as server-sent events.
//!
//! A stream is a task that reads the log as fast as the connection takes what it finds, and no
//! faster: a few changes are in memory, whatever the log holds. It goes on for as long as the caller
//! listens, and ends when the server stops, the key is no longer what it was, or the log cannot be
//! read on.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::response::sse::{Event as Message, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::interval;

use super::feed::{Feed, Taken, position_text};
use crate::auth::Models;
use crate::problem::{Kind, Problem};
use crate::stores::HEARTBEAT;

/// How much is read from the log at one time.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// What the connection takes its messages from.
struct Messages(Receiver<Message>);

impl Stream for Messages {
    type Item = Result<Message, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.get_mut().0.poll_recv(context);
        next.map(|message| message.map(Ok))
    }
}

/// The answer whose body is the stream.
pub(super) fn respond(models: Models, feed: Feed, place: OwnedSemaphorePermit) -> Response {
    let (sender, receiver) = channel(1);
    tokio::spawn(async move {
        let mut stopping = models.until_stopping();
        tokio::select! {
            // It fails when the server is gone altogether.
            _ = stopping.wait_for(|stops| *stops) => {}
            () = sender.closed() => {}
            () = follow(&models, feed, &sender) => {}
        }
        drop(place);
    });
    Sse::new(Messages(receiver)).into_response()
}

/// Sends changes until the end.
async fn follow(models: &Models, mut feed: Feed, sender: &Sender<Message>) {
    let mut beats = interval(HEARTBEAT);
    loop {
        let Ok(Taken { feed: after, found }) = feed.take(BATCH, BATCH_BYTES).await else {
            return;
        };
        feed = after;
        let found = match found {
            Ok(found) => found,
            Err(problem) => {
                // Nobody may be there to hear it.
                let _ = sender.send(last(&problem)).await;
                return;
            }
        };
        let is_idle = found.is_empty();
        for change in found {
            // Who was let in then may have lost the right since.
            if !models.is_current() {
                return;
            }
            let message = Message::default().id(change.id).event(change.name);
            if sender.send(message.data(change.data)).await.is_err() {
                return;
            }
            beats.reset();
        }
        if !is_idle {
            continue;
        }
        let closed = tokio::select! {
            biased;
            // The first comes at once, so that who is cut off before the first change goes on
            // from here. Without data, it is no event, but its id counts.
            _ = beats.tick() => {
                let position = position_text(feed.position());
                let message = Message::default().id(position).comment("nothing new");
                !models.is_current() || sender.send(message).await.is_err()
            }
            closed = poll_fn(|context| feed.poll_ready(context)) => closed,
        };
        if closed {
            return;
        }
    }
}

/// Why there is nothing more.
fn last(problem: &Problem) -> Message {
    let name = if problem.kind() == Kind::HistoryGone {
        "history-gone"
    } else {
        "failed"
    };
    let data = problem.to_json(None).to_string();
    Message::default().event(name).data(data)
}
