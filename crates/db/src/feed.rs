//! The change feed: every commit, in order, once, without a gap, from any retained index.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use nexusbase_forest::Mutation;
use nexusbase_log::{Changed, Index, Subscription};

use crate::database::Core;
use crate::error::OpenError;
use crate::write_set::WriteSet;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its index.
    pub index: Index,
    /// When it was committed, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it changed: by tree; within each first the ranges that it deleted, by start and end;
    /// then the rest, by key. A range concerns only what was there before; a merge is shown as
    /// what was merged in, not as what came out.
    pub mutations: Vec<Mutation>,
}

/// Commits in their order, read from the log. Slow readers cost disk space, not memory.
#[derive(Debug)]
pub struct ChangeFeed {
    subscription: Subscription,
    /// The log lives as long as its readers.
    _core: Arc<Core>,
}

impl ChangeFeed {
    pub(crate) const fn new(subscription: Subscription, core: Arc<Core>) -> Self {
        Self {
            subscription,
            _core: core,
        }
    }

    /// The next commit, if there is one already.
    ///
    /// # Errors
    /// When the log cannot be read or is damaged.
    pub fn try_next(&mut self) -> Result<Option<Change>, OpenError> {
        let Some(entry) = self.subscription.try_next()? else {
            return Ok(None);
        };
        let index = entry.id.index;
        let payload = Bytes::copy_from_slice(entry.payload);
        let write_set =
            WriteSet::decode(&payload).map_err(|reason| OpenError::Entry { index, reason })?;
        Ok(Some(Change {
            index,
            unix_ms: write_set.unix_ms,
            mutations: write_set.mutations,
        }))
    }

    /// Waits until [`Self::try_next`] has a commit, at most for `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Changed {
        self.subscription.wait(timeout)
    }

    /// Ready when [`Self::try_next`] has a commit, or the database is closed.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Changed> {
        self.subscription.poll_ready(context)
    }
}
