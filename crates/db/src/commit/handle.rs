//! The handle of a commit: what a committer waits with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use nexusbase_log::Index;

use super::Pipeline;
use crate::error::CommitError;
use crate::ticket::{Outcome, Ticket, Woken};

/// A commit on its way. Wait for it on a thread, or await it in a task of any runtime. Dropping
/// the handle does not take the commit back.
#[derive(Debug)]
pub struct CommitHandle {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) ticket: Arc<Ticket>,
}

impl CommitHandle {
    /// Waits until the commit is durable (as far as the database's mode asks for it) and visible,
    /// and returns its index.
    ///
    /// # Errors
    /// [`CommitError::NoSpace`]: it did not happen. [`CommitError::Stopped`]: unknown.
    pub fn wait(&self) -> Result<Index, CommitError> {
        // Before it looks whether it could lead, as with the ticket.
        self.pipeline.waiting.fetch_add(1, Ordering::SeqCst);
        self.ticket.announce();
        let outcome = loop {
            if let Some(outcome) = self.ticket.outcome() {
                break outcome;
            }
            if self.pipeline.lead() {
                continue;
            }
            if let Woken::Done(outcome) = self.ticket.wait() {
                break outcome;
            }
        };
        self.pipeline.waiting.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
}

impl Future for CommitHandle {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.ticket.poll(context);
        if polled.is_pending() {
            self.pipeline.bell.ring();
        }
        polled
    }
}

impl Drop for CommitHandle {
    fn drop(&mut self) {
        if self.ticket.outcome().is_none() {
            self.pipeline.bell.ring();
        }
    }
}
