//! What an engine adds to a state in memory: where it is kept, and what becomes of versions.

use std::fmt::Debug;

use super::Keyspace;
use super::state::{Change, State};
use crate::domain::{Capabilities, Result, Version};

/// What an engine adds to a [`Keyspace`]. Methods that say so are called by one thread at a time,
/// while it has the writer's turn.
pub(crate) trait Backing: Debug + Send + Sync + Sized + 'static {
    fn capabilities(&self) -> Capabilities;

    /// Makes changes of `newest` durable before anybody sees them. Within the writer's turn.
    fn append(&self, newest: &State, changes: &[Change<&[u8]>]) -> Result<()>;

    /// Looks after itself when a commit is over. Without the turn.
    fn settle(&self, keyspace: &Keyspace<Self>) -> Result<()> {
        let _ = keyspace;
        Ok(())
    }

    /// Brings what is on disk into its shortest form. Without the turn.
    fn compact(&self, keyspace: &Keyspace<Self>) -> Result<bool> {
        let _ = keyspace;
        Ok(false)
    }

    /// Keeps a state as a version. Within the writer's turn; the name is free and well formed.
    fn take_version(&self, state: &State, label: Label<'_>) -> Result<Version>;

    /// All versions, the oldest first.
    fn versions(&self) -> Result<Vec<Version>>;

    /// The state that a version is; `stamp` for its cells, if they have none of this keyspace.
    fn read_version(&self, version: &Version, stamp: u64) -> Result<State>;

    /// Makes `state` the newest one in the place of `newest`, durably, and keeps it as a new version.
    /// Within the writer's turn.
    fn restore(&self, newest: &State, state: &State, label: Label<'_>) -> Result<Version> {
        let _ = newest;
        self.take_version(state, label)
    }

    fn delete_version(&self, version: &Version) -> Result<()>;

    /// Bytes on disk, if there are any.
    fn disk_bytes(&self) -> Option<u64> {
        None
    }

    /// What was found damaged when the store was opened.
    fn damage(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes everything durable; nothing is asked of it afterwards but reading. Within the writer's
    /// turn.
    fn close(&self, newest: &State) -> Result<()>;
}

/// What is said of a new version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) note: &'a str,
    pub(crate) time_ms: u64,
}
