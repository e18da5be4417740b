//! A number that only grows, and that threads can wait for and tasks can await.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The watermark is at this value, which is beyond the one waited for.
    To(u64),
    /// The watermark is closed: it will not move again.
    Closed,
    /// The time is over.
    TimedOut,
}

/// A monotone number: a committed index, a visible index, a durable position.
///
/// Reading it is one atomic load. Waiting costs a lock that is held for a few instructions.
#[derive(Debug, Default)]
pub struct Watermark {
    value: AtomicU64,
    waiting: Mutex<Waiting>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    threads: usize,
    wakers: Vec<Waker>,
    closed: bool,
}

impl Watermark {
    /// A watermark at `value`.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self {
            value: AtomicU64::new(value),
            ..Self::default()
        }
    }

    /// Where it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves it to `value` (never back) and wakes who waits.
    pub fn advance(&self, value: u64) {
        self.value.fetch_max(value, Ordering::AcqRel);
        let mut waiting = self.waiting.lock();
        if waiting.threads > 0 {
            self.moved.notify_all();
        }
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Closes it: nobody waits any longer.
    pub fn close(&self) {
        let wakers = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            self.moved.notify_all();
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until it is beyond `seen`, at most for `timeout`.
    pub fn wait_beyond(&self, seen: u64, timeout: Duration) -> Changed {
        let mut waiting = self.waiting.lock();
        waiting.threads += 1;
        // Being woken for less than what is waited for does not start the time again.
        self.moved.wait_while_for(
            &mut waiting,
            |waiting| self.decided(seen, waiting).is_none(),
            timeout,
        );
        waiting.threads -= 1;
        self.decided(seen, &waiting).unwrap_or(Changed::TimedOut)
    }

    /// Ready once it is beyond `seen`, or closed.
    pub fn poll_beyond(&self, seen: u64, context: &mut Context<'_>) -> Poll<Changed> {
        let mut waiting = self.waiting.lock();
        if let Some(end) = self.decided(seen, &waiting) {
            return Poll::Ready(end);
        }
        if !waiting
            .wakers
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            waiting.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn decided(&self, seen: u64, waiting: &Waiting) -> Option<Changed> {
        let value = self.get();
        if value > seen {
            Some(Changed::To(value))
        } else {
            waiting.closed.then_some(Changed::Closed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_waiting_thread_is_woken_by_an_advance_and_by_a_close() {
        let mark = Arc::new(Watermark::new(3));
        let wait = |seen| {
            let mark = Arc::clone(&mark);
            std::thread::spawn(move || mark.wait_beyond(seen, Duration::from_secs(30)))
        };
        let (first, second) = (wait(3), wait(9));
        mark.advance(5);
        assert!(matches!(first.join().unwrap(), Changed::To(5)));
        mark.close();
        assert_eq!(second.join().unwrap(), Changed::Closed);
        assert_eq!(mark.wait_beyond(4, Duration::ZERO), Changed::To(5));
    }

    #[test]
    fn it_never_goes_back() {
        let mark = Watermark::new(3);
        mark.advance(2);
        assert_eq!(mark.get(), 3);
        assert_eq!(
            mark.wait_beyond(3, Duration::from_millis(1)),
            Changed::TimedOut
        );
    }
    /// Each advance woke the one who waited, and what it did not wait for started its time again:
    /// where advances kept coming, it waited for ever.
    #[test]
    fn being_woken_too_early_does_not_start_the_time_again() {
        let mark = Arc::new(Watermark::new(0));
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn({
            let mark = Arc::clone(&mark);
            move || ended.send(mark.wait_beyond(u64::MAX, Duration::from_millis(50)))
        });
        // At least 30 seconds, should it not end.
        let found = (1..30_000).find_map(|value| {
            mark.advance(value);
            end.recv_timeout(Duration::from_millis(1)).ok()
        });
        assert_eq!(found, Some(Changed::TimedOut));
    }
}
