//! An example of an engine: one append-only file per store, everything in memory.
//!
//! It is written to be read: `docs/kv-engine.md` walks through it. It keeps what it promises (the
//! compliance suite and a crash test check it), and leaves out what makes an engine fast: readers
//! wait while a write is synced, a write copies the map while somebody holds a snapshot, and
//! nothing is compacted unless somebody asks.

mod folder;
mod record;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nexusbase_io::{Clock, Env, Lock, LockError};
use nexusbase_kv::{
    Capabilities, Capability, CheckFinding, CheckMode, CheckReport, Engine, Error, ErrorKind,
    Operation, Result, Store, StoreInfo, StoreOptions, check_name,
};
use parking_lot::{Mutex, MutexGuard};

use folder::Folder;
use record::Rows;
use store::{AppendStore, CAPABILITIES, ENGINE, End};

/// The engine. One at a time in a folder.
#[derive(Debug)]
pub struct AppendOnly {
    folder: Folder,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The stores that are open.
    open: BTreeMap<String, Arc<AppendStore>>,
    /// Keeps others out of the folder. None: the engine is closed.
    lock: Option<Lock>,
}

fn error(operation: Operation, store: &str, kind: impl Into<ErrorKind>) -> Error {
    Error::new(operation, kind.into())
        .engine(ENGINE)
        .store(store)
}

impl AppendOnly {
    /// Opens the engine in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when another has it open, and when the outside world fails.
    pub fn open(env: &Env, folder: &Path) -> Result<Self> {
        let failed = |kind| Error::new(Operation::OpenEngine, kind).engine(ENGINE);
        env.fs.create_dir(folder).map_err(|e| failed(e.into()))?;
        let path = folder.join("LOCK");
        let lock = env.fs.lock(&path).map_err(|e| match e {
            LockError::Io(e) => failed(e.into()),
            source @ LockError::Held { .. } => failed(ErrorKind::Locked { path, source }),
        })?;
        let state = State {
            open: BTreeMap::new(),
            lock: Some(lock),
        };
        Ok(Self {
            folder: Folder {
                fs: Arc::clone(&env.fs),
                path: folder.to_path_buf(),
            },
            clock: Arc::clone(&env.clock),
            state: Mutex::new(state),
        })
    }

    fn state(&self, operation: Operation) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.lock.is_none() {
            return Err(Error::new(operation, ErrorKind::Closed).engine(ENGINE));
        }
        Ok(state)
    }

    fn is_there(&self, operation: Operation, store: &str) -> Result<bool> {
        let stores = self
            .folder
            .stores()
            .map_err(|e| error(operation, store, e))?;
        Ok(stores.iter().any(|there| there == store))
    }

    fn check_there(&self, operation: Operation, store: &str) -> Result<()> {
        if self.is_there(operation, store)? {
            return Ok(());
        }
        Err(error(operation, store, ErrorKind::StoreNotFound))
    }

    fn check_free(&self, operation: Operation, store: &str) -> Result<()> {
        check_name(operation, store).map_err(|e| e.engine(ENGINE))?;
        if self.is_there(operation, store)? {
            return Err(error(operation, store, ErrorKind::StoreExists));
        }
        Ok(())
    }

    /// A store that is open, or is opened for this.
    fn opened(
        &self,
        operation: Operation,
        state: &mut State,
        store: &str,
    ) -> Result<Arc<AppendStore>> {
        if let Some(open) = state.open.get(store).filter(|open| open.is_open()) {
            return Ok(Arc::clone(open));
        }
        self.check_there(operation, store)?;
        let content = self
            .folder
            .load(store)
            .map_err(|kind| error(operation, store, kind))?;
        let opened = Arc::new(AppendStore::new(store, &self.folder, &self.clock, content));
        state.open.insert(store.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }
}

impl Engine for AppendOnly {
    fn name(&self) -> &str {
        ENGINE
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        let operation = Operation::CreateStore;
        let mut state = self.state(operation)?;
        self.check_free(operation, store)?;
        let saved = self.folder.save(store, options, &Rows::new());
        saved.map_err(|e| error(operation, store, e))?;
        Ok(self.opened(operation, &mut state, store)?)
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        let mut state = self.state(Operation::OpenStore)?;
        Ok(self.opened(Operation::OpenStore, &mut state, store)?)
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        let operation = Operation::DropStore;
        let mut state = self.state(operation)?;
        self.check_there(operation, store)?;
        if let Some(open) = state.open.remove(store) {
            open.end(End::Dropped);
        }
        self.folder
            .remove(store)
            .map_err(|e| error(operation, store, e))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        let mut state = self.state(operation)?;
        self.check_there(operation, from)?;
        self.check_free(operation, to)?;
        if let Some(open) = state.open.remove(from) {
            open.end(End::Dropped);
        }
        self.folder
            .rename(from, to)
            .map_err(|e| error(operation, from, e))
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        let operation = Operation::ListStores;
        let mut state = self.state(operation)?;
        let stores = self.folder.stores();
        let stores = stores.map_err(|e| Error::new(operation, e.into()).engine(ENGINE))?;
        let mut list = Vec::new();
        for name in stores {
            let options = match self.opened(operation, &mut state, &name) {
                Ok(store) => store.options(),
                // It is there, and can be checked or dropped.
                Err(e) if matches!(e.kind(), ErrorKind::Corrupt { .. }) => StoreOptions::default(),
                Err(e) => return Err(e),
            };
            list.push(StoreInfo {
                name,
                engine: ENGINE.to_owned(),
                options,
            });
        }
        Ok(list)
    }

    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        let mut state = self.state(Operation::SetOptions)?;
        self.opened(Operation::SetOptions, &mut state, store)?
            .set_options(options)
    }

    fn check(&self, store: &str, mode: CheckMode) -> Result<CheckReport> {
        let operation = Operation::Check;
        let _state = self.state(operation)?;
        self.check_there(operation, store)?;
        if mode == CheckMode::AcceptEdits {
            let kind = ErrorKind::Unsupported(Capability::AcceptEdits);
            return Err(error(operation, store, kind));
        }
        match self.folder.read(store) {
            Ok(content) => {
                let rows = content.rows.len() as u64;
                Ok(CheckReport {
                    rows,
                    findings: Vec::new(),
                })
            }
            Err(damage @ ErrorKind::Corrupt { .. }) => {
                let place = format!("store {store}");
                let finding = CheckFinding {
                    place,
                    what: damage.to_string(),
                    mended: false,
                };
                Ok(CheckReport {
                    rows: 0,
                    findings: vec![finding],
                })
            }
            Err(kind) => Err(error(operation, store, kind)),
        }
    }

    fn close(&self) -> Result<()> {
        let mut state = self.state.lock();
        for store in std::mem::take(&mut state.open).into_values() {
            store.end(End::Closed);
        }
        state.lock = None;
        Ok(())
    }
}
