//! A ticket: what a committer holds while the log works for it.
//!
//! Each waits on its own, so that a leader wakes exactly those whose entries are done, and can
//! make exactly one of the others the next leader.

use std::task::{Context, Poll, Waker};

use nexusbase_log::Index;
use parking_lot::{Condvar, Mutex};

use crate::error::CommitError;

/// How a commit ended.
pub(crate) type Outcome = Result<Index, CommitError>;

/// What a waiting thread is woken for.
#[derive(Debug)]
pub(crate) enum Woken {
    /// The commit has ended.
    Done(Outcome),
    /// It is this thread's turn to lead.
    Lead,
}

#[derive(Debug, Default)]
pub(crate) struct Ticket {
    /// Lock `db.ticket`: held for a few instructions.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    /// A thread waits.
    waiting: bool,
    /// The waiting thread is to lead.
    lead: bool,
    waker: Option<Waker>,
}

impl Ticket {
    pub(crate) fn resolve(&self, outcome: Outcome) {
        let waker = {
            let mut state = self.state.lock();
            state.outcome = Some(outcome);
            if state.waiting {
                // A handle can be shared, and then several threads wait.
                self.changed.notify_all();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state.lock().outcome.clone()
    }

    /// Says that a thread is going to wait on this ticket. To be called before it looks whether
    /// it could lead itself, so that a leader that ends in between does not pass it over.
    pub(crate) fn announce(&self) {
        self.state.lock().waiting = true;
    }

    /// Makes the thread that waits on this ticket the next leader. Returns whether one waits.
    pub(crate) fn appoint(&self) -> bool {
        let mut state = self.state.lock();
        if state.waiting {
            state.lead = true;
            self.changed.notify_one();
        }
        state.waiting
    }

    /// Waits until the commit has ended or it is this thread's turn to lead.
    pub(crate) fn wait(&self) -> Woken {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return Woken::Done(outcome.clone());
            }
            if std::mem::take(&mut state.lead) {
                return Woken::Lead;
            }
            self.changed.wait(&mut state);
        }
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
