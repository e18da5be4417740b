//! Engines: each keeps stores in one way.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::capabilities::Capabilities;
use super::error::Result;
use super::event::Events;
use super::store::Store;
use super::version::Retention;

/// What a store is told when it is created, and later. Engines keep it as it is, durably if they are
/// durable; what it says is done by the [`MultiStore`](super::MultiStore).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreOptions {
    /// Entries that are put without a time expire after so many milliseconds. None: never.
    pub ttl_ms: Option<u64>,
    /// Which versions are kept, whenever a new one is taken.
    pub retention: Retention,
    /// Whether writes are refused.
    pub read_only: bool,
    /// What a copy that is under way has to know of itself; none for a store that is complete.
    pub copy_of: Option<CopyMark>,
    /// Whatever the owner wants to note.
    pub labels: BTreeMap<String, String>,
}

/// Says that a store is an unfinished copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMark {
    /// The name of the store that is copied.
    pub store: String,
    /// The version of it that is copied, if it has versions: one that was taken for this.
    pub version: Option<u64>,
}

/// What an engine knows of a store without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its name.
    pub name: String,
    /// The name of its engine.
    pub engine: String,
    /// What it was told.
    pub options: StoreOptions,
}

/// What a check may do about what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// Nothing.
    Look,
    /// Take over what was edited by hand and makes sense.
    AcceptEdits,
}

/// Something that a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFinding {
    /// Where: a file and line, a tree, a key; for people.
    pub place: String,
    /// What is wrong, or was and is mended.
    pub what: String,
    /// Whether it is as it should be now.
    pub mended: bool,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Rows that were read and are good.
    pub rows: u64,
    /// What is not.
    pub findings: Vec<CheckFinding>,
}

impl CheckReport {
    /// Whether everything is as it should be now.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.mended)
    }
}

/// An engine: keeps stores in one way. All methods may be called from all threads at once.
///
/// Methods that name a store fail with [`StoreNotFound`](super::ErrorKind::StoreNotFound) when
/// there is none; all fail when the outside world does, and with
/// [`Closed`](super::ErrorKind::Closed) after [`Engine::close`].
#[expect(clippy::missing_errors_doc, reason = "said above, for all methods")]
pub trait Engine: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// What its stores can do.
    fn capabilities(&self) -> Capabilities;

    /// Makes a store and opens it. Fails with [`StoreExists`](super::ErrorKind::StoreExists), and
    /// with [`Invalid`](super::ErrorKind::Invalid) for a name that is none
    /// ([`check_name`](super::check_name)).
    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>>;

    /// Opens a store. One that is open already is the same store, not a second one.
    fn open(&self, store: &str) -> Result<Arc<dyn Store>>;

    /// Takes a store away, with its versions. Its handles answer `StoreNotFound` afterwards;
    /// snapshots stay readable.
    fn drop_store(&self, store: &str) -> Result<()>;

    /// Gives a store another name. Handles that were opened before answer `StoreNotFound`
    /// afterwards, so that none works under a name that is another's. Fails with `StoreExists`.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// All stores, by name.
    fn list(&self) -> Result<Vec<StoreInfo>>;

    /// Replaces what a store was told.
    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()>;

    /// Reads all of a store and looks whether it is as it should be. A store that is too damaged to be
    /// opened is a finding, not an error.
    fn check(&self, store: &str, mode: CheckMode) -> Result<CheckReport>;

    /// Takes the place where the engine can tell what it does by itself (compactions). What
    /// callers do is told by the [`MultiStore`](super::MultiStore).
    fn attach(&self, events: Arc<Events>) {
        drop(events);
    }

    /// Closes all stores, then the engine. Closing twice is fine.
    fn close(&self) -> Result<()>;
}
