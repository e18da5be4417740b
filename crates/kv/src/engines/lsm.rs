//! The engine `lsm`: stores on the database, durable, transactional, larger than memory.
//!
//! Each store is a tree of the database, beside documents and all else that is there; a transaction
//! is one of the database, over any stores of the engine. Two trees more are the engine's own: one
//! says which stores and versions there are (`catalog`), one which keys expire when (`expiry`).
//! A version is an index of the log that the database keeps readable: taking one costs nothing
//! but a row, and afterwards the old values of what changes. Restoring one copies it into a new
//! tree, which then takes the place of the old one in one step (`restore`).
//!
//! Promises what the database promises: what was acknowledged survives any crash, as far as the
//! database's durability says; reads wait for nobody. Does not: count keys without walking through
//! them. What is expired takes up space until later writes come by.

mod catalog;
mod expiry;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod restore;
mod row;
mod store;
mod transaction;
mod versions;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nexusbase_db::{
    CommitError, Database, KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, Transaction, TreeId,
    VALUE_BYTES_MAX,
};
use parking_lot::Mutex;

use crate::domain::{
    Capabilities, CheckFinding, CheckMode, CheckReport, Direction, Engine, Error, ErrorKind,
    KeyRange, Limits, Operation, Result, Store, StoreInfo, StoreOptions, Transactions, Versioned,
    check_name,
};
use catalog::Catalog;
use failure::Fault;
use store::LsmStore;

/// The engine's name.
pub const NAME: &str = "lsm";

/// What a row has beside key and value: its header, and its row among those that expire.
const OVERHEAD_BYTES: usize = 1024;

const CAPABILITIES: Capabilities = Capabilities {
    durable: true,
    ordered: true,
    transactions: Transactions::AcrossStores,
    versioned: true,
    larger_than_memory: true,
    limits: Limits {
        key_bytes: KEY_BYTES_MAX - OVERHEAD_BYTES,
        value_bytes: VALUE_BYTES_MAX - KEY_BYTES_MAX * 2,
        batch_bytes: TRANSACTION_BYTES_MAX - OVERHEAD_BYTES,
    },
};

/// The engine on `db`. What it keeps is in trees whose names begin with `kv`.
///
/// # Errors
/// When the database cannot be read or written.
pub fn engine(db: &Database) -> Result<Arc<dyn Engine>> {
    let failed = |fault: Fault| fault.error(Operation::OpenEngine);
    let catalog = Catalog::open(db).map_err(failed)?;
    let core = Core {
        db: db.clone(),
        catalog,
        swept_ms: AtomicU64::new(0),
        open: Mutex::new(Some(BTreeMap::new())),
    };
    core.remove_unfinished().map_err(failed)?;
    Ok(Arc::new(LsmEngine {
        core: Arc::new(core),
    }))
}

#[derive(Debug)]
struct LsmEngine {
    core: Arc<Core>,
}

/// What the engine and its stores share.
#[derive(Debug)]
struct Core {
    db: Database,
    catalog: Catalog,
    /// When expired rows were looked for the last time.
    swept_ms: AtomicU64,
    /// Lock `kv.open`: the stores that are open, by name. None once the engine is closed.
    open: Mutex<Option<BTreeMap<String, Arc<LsmStore>>>>,
}

impl Core {
    fn now_ms(&self) -> u64 {
        self.db.env().clock.unix_ms()
    }

    /// Runs `work` as a transaction, again and again while it conflicts.
    fn transact<T>(
        &self,
        work: impl FnMut(&mut Transaction) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        self.db.transact(work)
    }

    /// Drops the trees that a restore was filling when the process ended.
    fn remove_unfinished(&self) -> std::result::Result<(), Fault> {
        let unfinished = self.catalog.unfinished(&self.db.snapshot())?;
        for tree in unfinished {
            self.transact(|tx| self.catalog.drop_unfinished(tx, tree))?;
        }
        Ok(())
    }

    fn check_open(&self, operation: Operation) -> Result<()> {
        if self.open.lock().is_none() {
            return Err(Error::new(operation, ErrorKind::Closed).engine(NAME));
        }
        Ok(())
    }

    /// The store that is open under `name`, or a new handle.
    fn handle(self: &Arc<Self>, name: &str, id: u32, tree: TreeId) -> Result<Arc<LsmStore>> {
        let mut open = self.open.lock();
        let closed = || Error::new(Operation::OpenStore, ErrorKind::Closed).engine(NAME);
        let open = open.as_mut().ok_or_else(closed)?;
        if let Some(handle) = open.get(name)
            && handle.is_usable(id)
        {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(LsmStore::new(Arc::clone(self), name, id, tree));
        open.insert(name.to_owned(), Arc::clone(&handle));
        Ok(handle)
    }

    /// From now on there is no such store for those who have opened it.
    fn end_handle(&self, name: &str) {
        let handle = self.open.lock().as_mut().and_then(|open| open.remove(name));
        if let Some(handle) = handle {
            handle.life().end();
        }
    }
}

/// Names engine and store in what goes wrong.
fn named<T>(
    operation: Operation,
    store: &str,
    outcome: std::result::Result<T, Fault>,
) -> Result<T> {
    outcome.map_err(|fault| fault.error(operation).engine(NAME).store(store))
}

impl Engine for LsmEngine {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        let operation = Operation::CreateStore;
        self.core.check_open(operation)?;
        check_name(operation, store).map_err(|e| e.engine(NAME))?;
        let created = self
            .core
            .transact(|tx| self.core.catalog.create(tx, store, options));
        let (id, tree) = named(operation, store, created)?;
        Ok(self.core.handle(store, id, tree)?)
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        let operation = Operation::OpenStore;
        self.core.check_open(operation)?;
        let found = self.core.catalog.find(&self.core.db.snapshot(), store);
        let (id, tree) = named(operation, store, found)?;
        Ok(self.core.handle(store, id, tree)?)
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        let operation = Operation::DropStore;
        self.core.check_open(operation)?;
        let dropped = self.core.transact(|tx| self.core.catalog.remove(tx, store));
        named(operation, store, dropped)?;
        self.core.end_handle(store);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        self.core.check_open(operation)?;
        check_name(operation, to).map_err(|e| e.engine(NAME))?;
        let renamed = self
            .core
            .transact(|tx| self.core.catalog.rename(tx, from, to));
        named(operation, from, renamed)?;
        self.core.end_handle(from);
        Ok(())
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        let operation = Operation::ListStores;
        self.core.check_open(operation)?;
        let listed = self.core.catalog.list(&self.core.db.snapshot());
        listed.map_err(|fault| fault.error(operation).engine(NAME))
    }

    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        let operation = Operation::SetOptions;
        self.core.check_open(operation)?;
        let set = self
            .core
            .transact(|tx| self.core.catalog.set_options(tx, store, options));
        named(operation, store, set)
    }

    fn check(&self, store: &str, mode: CheckMode) -> Result<CheckReport> {
        if mode == CheckMode::AcceptEdits {
            let kind = ErrorKind::Unsupported(crate::Capability::AcceptEdits);
            return Err(Error::new(Operation::Check, kind).engine(NAME).store(store));
        }
        let operation = Operation::Check;
        self.core.check_open(operation)?;
        let found = self.core.catalog.find(&self.core.db.snapshot(), store);
        let (id, tree) = named(operation, store, found)?;
        let handle = self.core.handle(store, id, tree)?;
        let mut report = CheckReport::default();
        let newest = handle.snapshot()?;
        check_view("the newest state", &*newest, &mut report);
        for version in handle.versions()? {
            let place = format!("version {}", version.number);
            match handle.at_version(&crate::VersionId::Number(version.number)) {
                Ok(view) => check_view(&place, &*view, &mut report),
                Err(error) => report.findings.push(finding(&place, &error)),
            }
        }
        Ok(report)
    }

    fn close(&self) -> Result<()> {
        for handle in self.core.open.lock().take().into_iter().flatten() {
            handle.1.life().close();
        }
        Ok(())
    }
}

fn finding(place: &str, error: &Error) -> CheckFinding {
    CheckFinding {
        place: place.to_owned(),
        what: error.to_string(),
        mended: false,
    }
}

/// Walks through all rows, which checks every block that they are in.
fn check_view(place: &str, view: &dyn crate::View, report: &mut CheckReport) {
    let walk = |rows: &mut u64| {
        let mut cursor = view.cursor(KeyRange::all(), Direction::Forward)?;
        while cursor.next()?.is_some() {
            *rows += 1;
        }
        Ok(())
    };
    if let Err(error) = walk(&mut report.rows) {
        report.findings.push(finding(place, &error));
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self(ErrorKind::Conflict),
            CommitError::Closed => Self(ErrorKind::Closed),
            other => Self(ErrorKind::Failed(Box::new(other))),
        }
    }
}
