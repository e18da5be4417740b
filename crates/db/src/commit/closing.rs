//! The end of the pipeline: what is queued is finished, and nobody writes any more.

use std::time::Duration;

use nexusbase_log::{AppendError, Index};

use super::{Closing, GROUP, Pipeline};
use crate::error::CommitError;

impl Pipeline {
    /// Why nothing more is to be begun, if somebody has begun to close.
    pub(crate) fn is_closing(&self) -> Option<CommitError> {
        let state = self.state.lock();
        (state.closing != Closing::No).then_some(CommitError::Closed)
    }

    /// Accepts nothing more. Returns whether the caller is the one to close it: it then calls
    /// [`Self::finish`] and [`Self::end_close`]; all others [`Self::wait_closed`].
    pub(crate) fn begin_close(&self) -> bool {
        let mut state = self.state.lock();
        if state.closing != Closing::No {
            return false;
        }
        state.closing = Closing::Begun;
        state.stopped.get_or_insert(CommitError::Closed);
        true
    }

    /// Finishes what is queued, waits for all who write or apply, and makes everything durable.
    pub(crate) fn finish(&self) -> Result<(), CommitError> {
        let (failed, writer) = loop {
            while self.lead() {}
            let seen = self.registry.visible.get();
            {
                let mut state = self.state.lock();
                if state.leaders == 0 && state.queue.is_empty() {
                    let failed = state.stopped.clone().filter(CommitError::is_failure);
                    break (failed, state.writer.take());
                }
            }
            // Somebody leads: what they write moves the visible index.
            self.registry
                .visible
                .wait_beyond(seen, Duration::from_millis(1));
        };
        self.log
            .set_committed(GROUP, Index::new(self.registry.visible.get()));
        self.log.close();
        if let Some(failed) = failed {
            return Err(failed);
        }
        match writer.map(|mut writer| writer.claim()) {
            // The claim is a safeguard; without room for it nothing is lost.
            None | Some(Ok(()) | Err(AppendError::NoSpace(_))) => Ok(()),
            Some(Err(e)) => {
                let failed = CommitError::Stopped(e.to_string().into());
                self.state.lock().stopped = Some(failed.clone());
                Err(failed)
            }
        }
    }

    /// Says that the folder is free.
    pub(crate) fn end_close(&self) {
        self.state.lock().closing = Closing::Done;
        self.drained.notify_all();
    }

    /// Waits until another has closed it.
    pub(crate) fn wait_closed(&self) -> Result<(), CommitError> {
        let mut state = self.state.lock();
        while state.closing != Closing::Done {
            self.drained.wait(&mut state);
        }
        match &state.stopped {
            Some(failed) if failed.is_failure() => Err(failed.clone()),
            _ => Ok(()),
        }
    }
}
