//! Engines: each keeps stores in one way.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::capabilities::Capabilities;
use super::error::{Error, ErrorKind, Operation, Result};
use super::event::Events;
use super::store::Store;
use super::version::{Retention, Version};

/// A store has at most so many labels.
pub const LABELS_MAX: usize = 64;
/// The longest label, its name and what it says each, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;

/// What a store is told when it is created, and later. Engines keep it as it is, durably if they are
/// durable; what it says is done by the [`MultiStore`](super::MultiStore).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreOptions {
    /// Entries that are put without a time expire after so many milliseconds, at least 1. None:
    /// never.
    pub ttl_ms: Option<u64>,
    /// Which versions are kept, whenever a new one is taken.
    pub retention: Retention,
    /// Whether writes are refused.
    pub read_only: bool,
    /// What a copy that is under way has to know of itself; none for a store that is complete.
    pub copy_of: Option<CopyMark>,
    /// Whatever the owner wants to note: at most [`LABELS_MAX`] of at most [`LABEL_BYTES_MAX`].
    pub labels: BTreeMap<String, String>,
}

impl StoreOptions {
    /// Checks what the owner says. The [`MultiStore`](super::MultiStore) does it before it asks an
    /// engine; an engine has to accept, and to keep over restarts, all that passes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a time to live, or a number of versions, of 0, and for too many
    /// labels; [`ErrorKind::TooLarge`] for a label that is too long.
    pub fn check(&self, operation: Operation) -> Result<()> {
        let invalid = |reason: &str| {
            let kind = ErrorKind::Invalid(reason.to_owned());
            Err(Error::new(operation, kind))
        };
        if self.ttl_ms == Some(0) {
            return invalid("entries cannot expire after 0 ms; leave the time out to keep them");
        }
        if self.retention.count == Some(0) {
            return invalid("0 versions cannot be kept: a version that is taken has to be there");
        }
        if self.labels.len() > LABELS_MAX {
            return invalid(&format!("a store has at most {LABELS_MAX} labels"));
        }
        let labels = self.labels.iter();
        let longest = labels.map(|(name, value)| name.len().max(value.len()));
        let bytes = longest.max().unwrap_or(0);
        if bytes > LABEL_BYTES_MAX {
            let (what, limit) = ("a label", LABEL_BYTES_MAX);
            let kind = ErrorKind::TooLarge { what, bytes, limit };
            return Err(Error::new(operation, kind));
        }
        Ok(())
    }
}

/// Says that a store is an unfinished copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMark {
    /// The name of the store that is copied.
    pub store: String,
    /// The version of it that is copied, if it has versions: one that was taken for this.
    pub version: Option<u64>,
    /// What nobody else can guess. The name of that version has it, so that no other store's
    /// version, and no other version of the store, is taken for it.
    #[serde(default)]
    pub token: String,
}

impl CopyMark {
    /// The name of the version that is copied.
    #[must_use]
    pub fn version_name(&self) -> String {
        format!("copy-{}", self.token)
    }

    /// Whether `version`, of any store, is the one that is copied.
    #[must_use]
    pub fn is(&self, version: &Version) -> bool {
        let number = self.version.unwrap_or(version.number);
        let is_named = version.name.as_deref() == Some(&*self.version_name());
        number == version.number && is_named && !self.token.is_empty()
    }
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
