//! What happens to stores, as server-sent events.
//!
//! A stream is a listener's queue and a connection: it takes no thread, and no place among the
//! operations. It goes on for as long as the caller listens, whatever a request may take, and ends
//! when the server stops, so that nobody waits for it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::RawQuery;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use hyper::body::Bytes;
use nexusbase_kv::{Event, EventKind, Next, Subscription};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::parameters::StoreParameter;
use super::path::StorePath;
use super::text::Text;
use super::versions::VersionDescription;
use crate::auth::{Models, Permit, Read};
use crate::collections::no_parameters;
use crate::observe::Deadline;
use crate::openapi::StoreReadProblems;
use crate::operation::{self, Progress};
use crate::problem::Problem;

/// How often something is sent when nothing happens, so that both sides see whether the other is
/// there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often is looked whether the listener still has the rights when nothing happens.
const RIGHTS_CHECK: Duration = Duration::from_secs(1);

/// So many events that wait are still sent when the server stops.
const LAST_EVENTS: usize = 4096;

/// A stream of events.
struct Listening {
    /// Who listens.
    models: Models,
    subscription: Subscription,
    rights_check: Interval,
    /// Ready when the server stops.
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The store that is listened to; none for all.
    store: Option<String>,
    /// How many may still be sent, once the server stops.
    last: Option<usize>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Listening {
    fn new(models: &Models, store: Option<String>) -> Result<Self, Problem> {
        let place = models.stream_place()?;
        let mut stopping = models.until_stopping();
        let mut rights_check = interval(RIGHTS_CHECK);
        rights_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            models: models.clone(),
            subscription: models.subscribe(store.as_deref())?,
            rights_check,
            stopping: Box::pin(async move {
                // It fails when the server is gone altogether.
                let _ = stopping.wait_for(|stops| *stops).await;
            }),
            store,
            last: None,
            ended: false,
            _place: place,
        })
    }

    fn respond(self) -> Response {
        let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("nothing new");
        Sse::new(self).keep_alive(heartbeat).into_response()
    }

    /// As much of an event as the listener may know of: a store that gets a name which is not its
    /// business is gone, and one that had such a name is new.
    fn visible(&self, mut event: Event) -> Option<Event> {
        let covered = self.models.covers_store(&event.store);
        if let EventKind::Renamed { to } = &event.kind {
            match (covered, self.models.covers_store(to)) {
                (true, false) => event.kind = EventKind::Dropped,
                (false, true) => {
                    event.store.clone_from(to);
                    event.kind = EventKind::Created;
                    return Some(event);
                }
                _ => {}
            }
        }
        covered.then_some(event)
    }

    /// Under this name there is no store any more.
    fn is_last(&self, event: &Event) -> bool {
        let is_end = matches!(event.kind, EventKind::Dropped | EventKind::Renamed { .. });
        // Another may have got this name.
        is_end && self.store.as_ref() == Some(&event.store)
    }

    fn message(&mut self, next: Next) -> Option<Message> {
        // Who was let in then may have lost the right since.
        if !self.models.is_current() {
            self.ended = true;
            return None;
        }
        match next {
            Next::Event(event) => {
                self.ended = self.is_last(&event);
                message(self.visible(event)?)
            }
            Next::Lost(count) => {
                let mut data = Map::new();
                if let Some(store) = &self.store {
                    data.insert("store".to_owned(), store.as_str().into());
                }
                data.insert("count".to_owned(), count.into());
                Some(written("lost", data))
            }
            Next::Nothing | Next::Closed => {
                self.ended = true;
                None
            }
        }
    }
}

impl Stream for Listening {
    type Item = Result<Message, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.last.is_none() && this.stopping.as_mut().poll(context).is_ready() {
            this.last = Some(LAST_EVENTS);
        }
        while this.rights_check.poll_tick(context).is_ready() {
            this.ended |= !this.models.is_current();
        }
        while !this.ended {
            // What has happened before the end is heard, but nobody waits for more.
            let next = match (this.subscription.poll_next(context), &mut this.last) {
                (_, Some(0)) | (Poll::Pending, Some(_)) => break,
                (Poll::Pending, None) => return Poll::Pending,
                (Poll::Ready(next), last) => {
                    *last = last.map(|left| left.saturating_sub(1));
                    next
                }
            };
            if let Some(message) = this.message(next) {
                return Poll::Ready(Some(Ok(message)));
            }
        }
        this.ended = true;
        Poll::Ready(None)
    }
}

/// An event as it is sent; none for one that has no name here yet.
fn message(event: Event) -> Option<Message> {
    let keys = |keys: Vec<Bytes>| Value::from_iter(keys.into_iter().map(|key| json!(Text(key))));
    let version = |version| json!({"version": VersionDescription::from(version)});
    let (name, more) = match event.kind {
        EventKind::Created => ("created", Value::Null),
        EventKind::Changed { put, deleted } => {
            let more = json!({"put": keys(put), "deleted": keys(deleted)});
            ("changed", more)
        }
        EventKind::ManyChanged => ("many-changed", Value::Null),
        EventKind::Cleared => ("cleared", Value::Null),
        EventKind::Dropped => ("dropped", Value::Null),
        EventKind::Renamed { to } => ("renamed", json!({"to": to})),
        EventKind::VersionTaken(taken) => ("version-taken", version(taken)),
        EventKind::Restored(restored) => ("restored", version(restored)),
        EventKind::VersionDeleted { number } => ("version-deleted", json!({"number": number})),
        EventKind::Compacted { before, after } => {
            ("compacted", json!({"before": before, "after": after}))
        }
        _ => return None,
    };
    let mut data = Map::new();
    data.insert("store".to_owned(), event.store.into());
    if let Value::Object(more) = more {
        data.extend(more);
    }
    Some(written(name, data))
}

fn written(name: &str, data: Map<String, Value>) -> Message {
    Message::default()
        .event(name)
        .data(Value::Object(data).to_string())
}

/// Listen to a store
///
/// Server-sent events (`text/event-stream`), from now on: `created`, `changed` (with the keys in
/// `put` and `deleted`), `many-changed` (too many keys to name them: read again), `cleared`,
/// `dropped`, `renamed` (with `to`; also when another store gets the name that is listened to),
/// `version-taken` and `restored` (with `version`), `version-deleted` (with `number`), `compacted`
/// (with `before` and `after`, in bytes), and `lost` (with `count`) when the caller was too slow to hear everything. Data is JSON
/// and names the `store`. Every 15 seconds there is a comment at least. The stream ends when the
/// store is dropped or renamed, when the server stops, and when the key gets other scopes or counts
/// no more.
#[utoipa::path(
    get,
    path = "/stores/{store}/events",
    operation_id = "listenToStore",
    tag = "events",
    params(StoreParameter),
    responses(
        (status = 200, description = "Events as they happen.", body = String,
            content_type = "text/event-stream",
            example = "event: changed\ndata: {\"store\":\"s\",\"put\":[\"a\"],\"deleted\":[]}\n\n"),
        StoreReadProblems,
    ),
)]
pub(crate) async fn of_store(
    permit: Permit<Read>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    // Listens first: a store that is dropped now is one whose end is heard.
    let listening = Listening::new(permit.models(), Some(name.clone()))?;
    let look = move |models: &Models, _: &Progress| models.store_info(&name).map(drop);
    operation::read(permit, deadline, look).await?;
    Ok(listening.respond())
}

/// Listen to all stores
///
/// As for one store, and of all that the key is for. The stream ends when the server stops, and when
/// the key gets other scopes or counts no more.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "listen",
    tag = "events",
    responses(
        (status = 200, description = "Events as they happen.", body = String,
            content_type = "text/event-stream",
            example = "event: created\ndata: {\"store\":\"sessions\"}\n\n"),
        StoreReadProblems,
    ),
)]
pub(crate) async fn of_all(
    permit: Permit<Read>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    Ok(Listening::new(permit.models(), None)?.respond())
}
