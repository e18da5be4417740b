//! The engine `memory`: stores that live as long as the process.
//!
//! Promises: transactions with rollback, versions that share all that has not changed, any number
//! of readers beside a writer. Does not: keep anything when the process ends. An engine value
//! is one world: two of them share nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase_io::Env;
use parking_lot::Mutex;

use crate::domain::{
    Capabilities, CheckMode, CheckReport, Engine, Error, ErrorKind, Limits, Operation, Result,
    Store, StoreInfo, StoreOptions, Transactions, Version, check_name,
};
use crate::keyspace::{Backing, Change, Keyspace, KeyspaceStore, Label, State};

/// The engine's name.
pub const NAME: &str = "memory";

const CAPABILITIES: Capabilities = Capabilities {
    durable: false,
    ordered: true,
    transactions: Transactions::OneStore,
    versioned: true,
    larger_than_memory: false,
    limits: Limits {
        key_bytes: 64 << 10,
        value_bytes: 64 << 20,
        batch_bytes: 1 << 30,
    },
};

/// A new engine that keeps stores in memory. Its clock is that of `env`.
#[must_use]
pub fn engine(env: &Env) -> Arc<dyn Engine> {
    Arc::new(MemoryEngine {
        env: env.clone(),
        stores: Mutex::new(Some(BTreeMap::new())),
    })
}

#[derive(Debug)]
struct MemoryEngine {
    env: Env,
    /// Lock `kv.stores`. None once the engine is closed.
    stores: Mutex<Option<BTreeMap<String, Kept>>>,
}

/// A store that there is, open or not.
#[derive(Debug)]
struct Kept {
    keyspace: Arc<Keyspace<Versions>>,
    options: StoreOptions,
    handle: Option<Arc<KeyspaceStore<Versions>>>,
}

impl Kept {
    fn open(&mut self, name: &str) -> Arc<dyn Store> {
        // A handle that was closed stays closed; who opens gets another.
        let open = self
            .handle
            .take()
            .filter(|handle| handle.life().check().is_ok());
        let keyspace = &self.keyspace;
        let handle =
            open.unwrap_or_else(|| Arc::new(KeyspaceStore::new(name, NAME, Arc::clone(keyspace))));
        self.handle = Some(Arc::clone(&handle));
        handle
    }

    fn end_handle(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.life().end();
        }
    }
}

impl MemoryEngine {
    /// Works on the stores, and names store and engine in what goes wrong.
    fn with<T>(
        &self,
        operation: Operation,
        store: &str,
        work: impl FnOnce(&mut BTreeMap<String, Kept>) -> std::result::Result<T, ErrorKind>,
    ) -> Result<T> {
        let mut stores = self.stores.lock();
        let outcome = stores.as_mut().ok_or(ErrorKind::Closed).and_then(work);
        outcome.map_err(|kind| Error::new(operation, kind).engine(NAME).store(store))
    }
}

fn find<'a>(
    stores: &'a mut BTreeMap<String, Kept>,
    name: &str,
) -> std::result::Result<&'a mut Kept, ErrorKind> {
    stores.get_mut(name).ok_or(ErrorKind::StoreNotFound)
}

impl Engine for MemoryEngine {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        let operation = Operation::CreateStore;
        check_name(operation, store).map_err(|e| e.engine(NAME))?;
        self.with(operation, store, |stores| {
            if stores.contains_key(store) {
                return Err(ErrorKind::StoreExists);
            }
            let clock = Arc::clone(&self.env.clock);
            let keyspace = Keyspace::new(State::default(), clock, Versions::default());
            let mut kept = Kept {
                keyspace: Arc::new(keyspace),
                options: options.clone(),
                handle: None,
            };
            let handle = kept.open(store);
            stores.insert(store.to_owned(), kept);
            Ok(handle)
        })
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        self.with(Operation::OpenStore, store, |stores| {
            Ok(find(stores, store)?.open(store))
        })
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        self.with(Operation::DropStore, store, |stores| {
            let mut dropped = stores.remove(store).ok_or(ErrorKind::StoreNotFound)?;
            dropped.end_handle();
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        check_name(operation, to).map_err(|e| e.engine(NAME))?;
        self.with(operation, from, |stores| {
            find(stores, from)?;
            if stores.contains_key(to) {
                return Err(ErrorKind::StoreExists);
            }
            let mut kept = stores.remove(from).ok_or(ErrorKind::StoreNotFound)?;
            kept.end_handle();
            stores.insert(to.to_owned(), kept);
            Ok(())
        })
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        let stores = self.stores.lock();
        let closed = || Error::new(Operation::ListStores, ErrorKind::Closed).engine(NAME);
        let stores = stores.as_ref().ok_or_else(closed)?;
        let info = |(name, kept): (&String, &Kept)| StoreInfo {
            name: name.clone(),
            engine: NAME.to_owned(),
            options: kept.options.clone(),
        };
        Ok(stores.iter().map(info).collect())
    }

    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        self.with(Operation::SetOptions, store, |stores| {
            find(stores, store)?.options = options.clone();
            Ok(())
        })
    }

    fn check(&self, store: &str, mode: CheckMode) -> Result<CheckReport> {
        if mode == CheckMode::AcceptEdits {
            let kind = ErrorKind::Unsupported(crate::Capability::AcceptEdits);
            return Err(Error::new(Operation::Check, kind).engine(NAME).store(store));
        }
        let state = self.with(Operation::Check, store, |stores| {
            Ok(find(stores, store)?.keyspace.state())
        })?;
        let rows = state.count(self.env.clock.unix_ms());
        Ok(CheckReport {
            rows,
            findings: Vec::new(),
        })
    }

    fn close(&self) -> Result<()> {
        for kept in self.stores.lock().take().into_iter().flatten() {
            if let Some(handle) = kept.1.handle {
                handle.life().close();
            }
        }
        Ok(())
    }
}

/// The versions of a store: copies of its state, which share what has not changed.
#[derive(Debug, Default)]
struct Versions {
    /// Lock `kv.versions`.
    kept: Mutex<KeptVersions>,
}

#[derive(Debug, Default)]
struct KeptVersions {
    /// The last number that was given.
    last: u64,
    by_number: BTreeMap<u64, (Version, State)>,
}

impl Backing for Versions {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn append(&self, _newest: &State, _changes: &[Change<&[u8]>]) -> Result<()> {
        Ok(())
    }

    fn take_version(&self, state: &State, label: Label<'_>) -> Result<Version> {
        let mut kept = self.kept.lock();
        kept.last += 1;
        let version = Version {
            number: kept.last,
            name: label.name.map(str::to_owned),
            note: label.note.to_owned(),
            time_ms: label.time_ms,
            keys: state.len(),
            bytes: state.bytes(),
            exact: true,
        };
        let number = version.number;
        kept.by_number
            .insert(number, (version.clone(), state.clone()));
        Ok(version)
    }

    fn versions(&self) -> Result<Vec<Version>> {
        let kept = self.kept.lock();
        Ok(kept
            .by_number
            .values()
            .map(|(version, _)| version.clone())
            .collect())
    }

    fn read_version(&self, version: &Version, _stamp: u64) -> Result<State> {
        let kept = self.kept.lock();
        let found = kept
            .by_number
            .get(&version.number)
            .map(|(_, state)| state.clone());
        found.ok_or_else(|| gone(Operation::ReadVersion, version))
    }

    fn delete_version(&self, version: &Version) -> Result<()> {
        let found = self.kept.lock().by_number.remove(&version.number);
        found
            .map(drop)
            .ok_or_else(|| gone(Operation::DeleteVersion, version))
    }

    fn close(&self, _newest: &State) -> Result<()> {
        Ok(())
    }
}

/// Another has deleted it meanwhile.
fn gone(operation: Operation, version: &Version) -> Error {
    let id = crate::VersionId::Number(version.number);
    Error::new(operation, ErrorKind::VersionNotFound(id))
}
