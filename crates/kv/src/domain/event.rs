//! Events: what happens to stores, for those who want to know.
//!
//! An [`Events`] is where they are published, a [`Subscription`] a queue of its own for each who
//! listens. Nobody waits for a listener: a queue that is full (of events, or of bytes of their keys)
//! loses its oldest events, and its listener is told how many. An event about keys says that they may have changed, not to what:
//! who wants to know reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::version::Version;

/// So many events wait for a listener.
const QUEUE_MAX: usize = 4096;
/// The keys of those that wait for a listener have so many bytes. What changes more at once is told
/// without keys.
pub(crate) const KEY_BYTES_MAX: usize = 8 << 20;

/// What happened to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It was created; a copy when it is complete.
    Created,
    /// Keys were put or deleted, together.
    Changed {
        /// The keys that were put.
        put: Vec<Bytes>,
        /// The keys that were deleted.
        deleted: Vec<Bytes>,
    },
    /// Keys were put or deleted, more than can be named. Whoever keeps a picture reads again.
    ManyChanged,
    /// Everything was taken away.
    Cleared,
    /// It was dropped.
    Dropped,
    /// It has another name now. Those who listen to the new name are told, too.
    Renamed {
        /// The new name.
        to: String,
    },
    /// A version was taken.
    VersionTaken(Version),
    /// A version was restored; this is the new one.
    Restored(Version),
    /// A version was deleted.
    VersionDeleted {
        /// Its number.
        number: u64,
    },
    /// It takes less room now.
    Compacted {
        /// Bytes on disk before.
        before: u64,
        /// Bytes on disk now.
        after: u64,
    },
}

impl EventKind {
    /// What its keys take in memory.
    fn key_bytes(&self) -> usize {
        let Self::Changed { put, deleted } = self else {
            return 0;
        };
        let keys = put.iter().chain(deleted);
        keys.map(|key| size_of::<Bytes>() + key.len()).sum()
    }

    /// The same, if its keys are not too many.
    fn bounded(self) -> Self {
        if self.key_bytes() > KEY_BYTES_MAX {
            Self::ManyChanged
        } else {
            self
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The store's name.
    pub store: String,
    /// What happened to it.
    pub kind: EventKind,
}

/// Where events are published.
#[derive(Debug, Default)]
pub struct Events {
    count: AtomicUsize,
    /// Lock `kv.listeners`.
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    queues: Vec<Arc<Queue>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    /// One store, or all.
    store: Option<String>,
    /// Lock `kv.events`.
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    /// What the keys of `events` take.
    key_bytes: usize,
    lost: u64,
    closed: bool,
    waker: Option<Waker>,
}

/// What a listener gets next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// An event.
    Event(Event),
    /// So many were lost here, because the listener was too slow.
    Lost(u64),
    /// Nothing happened in time.
    Nothing,
    /// Nothing will ever happen again.
    Closed,
}

impl Events {
    /// Listens to `store`, or to all stores, from now on.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, store: Option<&str>) -> Subscription {
        let queue = Arc::new(Queue {
            store: store.map(str::to_owned),
            ..Queue::default()
        });
        let mut listeners = self.listeners.lock();
        queue.state.lock().closed = listeners.closed;
        listeners.queues.push(Arc::clone(&queue));
        self.count.store(listeners.queues.len(), Ordering::Release);
        drop(listeners);
        Subscription {
            events: Arc::clone(self),
            queue,
        }
    }

    /// Whether anybody listens; if not, nothing needs to be published.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Tells those who listen to `store`.
    pub fn publish(&self, store: &str, kind: impl FnOnce() -> EventKind) {
        self.publish_to(&[store], kind);
    }

    /// Tells those who listen to any of `stores` what happened to the first one, each once.
    pub fn publish_to(&self, stores: &[&str], kind: impl FnOnce() -> EventKind) {
        let Some(store) = stores.first().filter(|_| self.is_watched()) else {
            return;
        };
        let event = Event {
            store: (*store).to_owned(),
            kind: kind().bounded(),
        };
        for queue in &self.listeners() {
            let wanted = queue.store.as_deref();
            if wanted.is_none_or(|wanted| stores.contains(&wanted)) {
                queue.push(event.clone());
            }
        }
    }

    /// Those who listen now. Whoever is woken may do anything here, so it is done without the lock.
    fn listeners(&self) -> Vec<Arc<Queue>> {
        self.listeners.lock().queues.clone()
    }

    /// Tells all listeners, also those who come later, that nothing will happen any more.
    pub fn close(&self) {
        self.listeners.lock().closed = true;
        for queue in self.listeners() {
            queue.state.lock().closed = true;
            queue.wake();
        }
    }
}

impl Queue {
    fn push(&self, event: Event) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let key_bytes = event.kind.key_bytes();
        while state.events.len() >= QUEUE_MAX || state.key_bytes + key_bytes > KEY_BYTES_MAX {
            if state.pop().is_none() {
                break;
            }
            state.lost += 1;
        }
        state.key_bytes += key_bytes;
        state.events.push_back(event);
        drop(state);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.state.lock().waker.take();
        self.filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    fn take(&mut self) -> Option<Next> {
        if self.lost > 0 {
            return Some(Next::Lost(std::mem::take(&mut self.lost)));
        }
        if let Some(event) = self.pop() {
            return Some(Next::Event(event));
        }
        self.closed.then_some(Next::Closed)
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.key_bytes -= event.kind.key_bytes();
        Some(event)
    }
}

/// A listener's queue. Dropping it ends listening.
#[derive(Debug)]
pub struct Subscription {
    events: Arc<Events>,
    queue: Arc<Queue>,
}

impl Subscription {
    /// What comes next; waits for it, at most for `time`.
    #[must_use]
    pub fn next(&self, time: Duration) -> Next {
        let mut state = self.queue.state.lock();
        if let Some(next) = state.take() {
            return next;
        }
        self.queue.filled.wait_for(&mut state, time);
        state.take().unwrap_or(Next::Nothing)
    }

    /// What comes next, for a task that waits.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.queue.state.lock();
        if let Some(next) = state.take() {
            return Poll::Ready(next);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut listeners = self.events.listeners.lock();
        let queues = &mut listeners.queues;
        queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.events.count.store(queues.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleared(store: &str) -> Next {
        Next::Event(Event {
            store: store.to_owned(),
            kind: EventKind::Cleared,
        })
    }

    #[test]
    fn a_listener_gets_the_events_of_its_store_in_order() {
        let events = Arc::new(Events::default());
        assert!(!events.is_watched());
        let (all, one) = (events.subscribe(None), events.subscribe(Some("a")));
        events.publish("a", || EventKind::Cleared);
        events.publish("b", || EventKind::Cleared);
        assert_eq!(all.next(Duration::ZERO), cleared("a"));
        assert_eq!(all.next(Duration::ZERO), cleared("b"));
        assert_eq!(one.next(Duration::ZERO), cleared("a"));
        assert_eq!(one.next(Duration::ZERO), Next::Nothing);
        events.close();
        assert_eq!(one.next(Duration::ZERO), Next::Closed);
        drop((all, one));
        assert!(!events.is_watched());
    }

    #[test]
    fn a_slow_listener_is_told_how_much_it_lost() {
        let events = Arc::new(Events::default());
        let slow = events.subscribe(None);
        for _ in 0..QUEUE_MAX + 3 {
            events.publish("a", || EventKind::Cleared);
        }
        assert_eq!(slow.next(Duration::ZERO), Next::Lost(3));
        assert_eq!(slow.next(Duration::ZERO), cleared("a"));
    }

    #[test]
    fn what_waits_for_a_slow_listener_is_bounded_in_bytes() {
        let events = Arc::new(Events::default());
        let slow = events.subscribe(None);
        let changed = |bytes: usize| EventKind::Changed {
            put: vec![Bytes::from(vec![b'k'; bytes])],
            deleted: Vec::new(),
        };
        for _ in 0..4 {
            events.publish("a", || changed(KEY_BYTES_MAX / 3));
        }
        assert_eq!(slow.next(Duration::ZERO), Next::Lost(2));
        while slow.next(Duration::ZERO) != Next::Nothing {}
        events.publish("a", || changed(KEY_BYTES_MAX));
        let many = Event {
            store: "a".to_owned(),
            kind: EventKind::ManyChanged,
        };
        assert_eq!(slow.next(Duration::ZERO), Next::Event(many));
    }
}
