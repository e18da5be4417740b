//! Many stores over many engines, by name.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::engine::{CheckMode, CheckReport, Engine, StoreInfo, StoreOptions};
use super::error::Result;
use super::event::Events;
use super::store::Store;

/// How a store is created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// On which engine. None: the default one.
    pub engine: Option<String>,
    /// What the store is told.
    pub options: StoreOptions,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Rows copied by this call.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a copy has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// What was copied by this call.
    pub copied: CopyProgress,
    /// Whether an earlier copy was taken up where it had stopped.
    pub resumed: bool,
    /// Whether everything is copied. If not, it was stopped by its progress function, or by
    /// [`MultiStore::close`]; the same call goes on where it stopped.
    pub complete: bool,
}

/// Many stores over many engines, by name: a name is one store, whatever its engine. All methods may
/// be called from all threads at once.
///
/// Methods that name a store fail with [`StoreNotFound`](super::ErrorKind::StoreNotFound) when no
/// engine has it, and else as [`Engine`] and [`Store`] say; all but `close` fail with
/// [`Closed`](super::ErrorKind::Closed) after `close`.
#[expect(clippy::missing_errors_doc, reason = "said above, for all methods")]
pub trait MultiStore: Debug + Send + Sync {
    /// Adds an engine and the stores that it has. The first one is the default one. Fails with
    /// [`EngineExists`](super::ErrorKind::EngineExists), and with
    /// [`StoreExists`](super::ErrorKind::StoreExists) when it has a store whose name is taken.
    fn register(&self, engine: Arc<dyn Engine>) -> Result<()>;

    /// All engines, in the order in which they were added.
    fn engines(&self) -> Vec<Arc<dyn Engine>>;

    /// The engine that a store is created on when nothing else is said.
    fn default_engine(&self) -> Option<String>;

    /// Makes another engine the default one. Fails with
    /// [`EngineNotFound`](super::ErrorKind::EngineNotFound).
    fn set_default_engine(&self, engine: &str) -> Result<()>;

    /// Makes a store and opens it. Fails with `StoreExists` when any engine has one of that name,
    /// and as [`StoreOptions::check`] says. What the options say of a copy counts for nothing: only
    /// [`MultiStore::copy`] marks copies.
    fn create(&self, name: &str, options: &CreateOptions) -> Result<Arc<dyn Store>>;

    /// Opens a store. Fails with [`UnfinishedCopy`](super::ErrorKind::UnfinishedCopy) for what a
    /// copy has left half done.
    fn open(&self, name: &str) -> Result<Arc<dyn Store>>;

    /// Opens a store, and makes it first if there is none.
    fn open_or_create(&self, name: &str, options: &CreateOptions) -> Result<Arc<dyn Store>>;

    /// Takes a store away, with its versions.
    fn drop_store(&self, name: &str) -> Result<()>;

    /// Gives a store another name, on the same engine.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// All stores, by name.
    fn list(&self) -> Result<Vec<StoreInfo>>;

    /// What a store was told.
    fn info(&self, name: &str) -> Result<StoreInfo>;

    /// Replaces what a store was told; it counts from the next operation on, also for the commit of
    /// a transaction that is under way. Fails as [`StoreOptions::check`] says.
    fn set_options(&self, name: &str, options: &StoreOptions) -> Result<()>;

    /// Copies one state of a store to a new store, perhaps on another engine, row by row in bounded
    /// memory. Versions are not copied.
    ///
    /// `progress` is called now and then and may stop it. It may call everything here, also `close`,
    /// after which the copy stops. Only what would have to wait for this very copy (to drop, rename,
    /// copy to or set options of `to`) fails with [`Invalid`](super::ErrorKind::Invalid), and must
    /// not be left to another thread that `progress` then waits for.
    ///
    /// What was interrupted (by `progress`, an error, a crash) is there under its name but cannot
    /// be opened; the same call goes on where it stopped, and [`MultiStore::drop_store`] takes it
    /// away.
    fn copy(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<CopyReport>;

    /// Reads all of a store and looks whether it is as it should be.
    fn check(&self, name: &str, mode: CheckMode) -> Result<CheckReport>;

    /// What happens to the stores.
    fn events(&self) -> &Arc<Events>;

    /// Closes all stores, the last one opened first, then the engines, the last one added first.
    /// Closes all it can, and returns the first error. It waits for what others have under way;
    /// copies stop at the next step and stay unfinished, and nobody waits for their progress
    /// functions.
    fn close(&self) -> Result<()>;
}
