//! The engine `lsm`: stores on the database, durable, transactional, larger than memory.
//!
//! Each store is a tree of the database, beside documents and all else that is there; a transaction
//! is one of the database, over any stores of the engine. Two trees more are the engine's own: one
//! says which stores and versions there are (`catalog`), one which keys expire when (`expiry`).
//! A version is an index of the log that the database keeps readable: taking one costs a row, a
//! walk through the store to count it (where the store is large, its figures are estimated
//! instead), and afterwards the old values of what changes. Restoring one copies it into a new
//! tree, which then takes the place of the old one in one step (`restore`).
//!
//! Promises what the database promises: what was acknowledged survives any crash, as far as the
//! database's durability says; reads wait for nobody. Does not: count keys without walking through
//! them. What is expired takes up space until later writes come by.
//!
//! Several engines on one database see the same stores and do each other no harm; but only the
//! one that drops or renames a store ends the handles that it has given out. Through those of the
//! others nothing can be written then.

mod catalog;
mod expiry;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod restore;
mod row;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod versions;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use nexusbase_db::{
    CommitError, Database, Durability, KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, Transaction,
};
use parking_lot::Mutex;

use crate::domain::{
    Capabilities, CheckFinding, CheckMode, CheckReport, Direction, Engine, Error, ErrorKind,
    KeyRange, Limits, Operation, Result, Store, StoreInfo, StoreOptions, Transactions, Versioned,
    check_name,
};
use crate::life::Life;
use catalog::Catalog;
use expiry::Sweeper;
use failure::Fault;
use store::LsmStore;

/// The engine's name.
pub const NAME: &str = "lsm";

/// What a key may have before it in a row: its time and tree, where it is one of what expires.
const OVERHEAD_BYTES: usize = 1024;

/// Keys and values of a batch may have half of what a transaction of the database may. The other
/// half is for what an entry takes beside them: its header and the database's own bookkeeping
/// ([`row::bytes`] counts them), less than 32 bytes without a media type, and its key twice more
/// and 56 bytes if it expires. A batch that has so many small entries that they do not fit is
/// refused with its real size.
const LIMITS: Limits = Limits {
    key_bytes: KEY_BYTES_MAX - OVERHEAD_BYTES,
    value_bytes: TRANSACTION_BYTES_MAX / 2 - KEY_BYTES_MAX,
    batch_bytes: TRANSACTION_BYTES_MAX / 2,
};

/// The engine on `db`. What it keeps is in trees whose names begin with `kv`.
///
/// # Errors
/// When the database cannot be read or written.
pub fn engine(db: &Database) -> Result<Arc<dyn Engine>> {
    Ok(Arc::new(over(db)?))
}

fn over(db: &Database) -> Result<LsmEngine> {
    let failed = |fault: Fault| fault.error(Operation::OpenEngine);
    let catalog = Catalog::open(db).map_err(failed)?;
    let core = Core {
        db: db.clone(),
        catalog,
        sweeper: Sweeper::default(),
        open: Mutex::new(Some(BTreeMap::new())),
    };
    core.remove_left_behind().map_err(failed)?;
    Ok(LsmEngine {
        core: Arc::new(core),
    })
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
    sweeper: Sweeper,
    /// Lock `kv.open`: the stores that are open, by id. None once the engine is closed. The
    /// catalog is read under it.
    open: Mutex<Option<BTreeMap<u32, Open>>>,
}

/// A store that is open.
#[derive(Debug)]
struct Open {
    /// Handles have the core, so the core must not have them: nobody would ever drop it.
    handle: Weak<LsmStore>,
    /// That of the handle, and of transactions that may live longer.
    life: Arc<Life>,
    /// How often the store was renamed before.
    renames: u32,
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

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: self.db.durability() == Durability::Always,
            ordered: true,
            transactions: Transactions::AcrossStores,
            versioned: true,
            larger_than_memory: true,
            limits: LIMITS,
        }
    }

    /// Drops the trees that restores were filling when the process before this one ended.
    fn remove_left_behind(&self) -> std::result::Result<(), Fault> {
        let recovery = self.db.recovery();
        let opened_at = recovery.flushed + recovery.entries;
        let left_behind = self.catalog.left_behind(&self.db.snapshot(), opened_at)?;
        for tree in left_behind {
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

    /// The handle of the store `name`, or a new one.
    fn handle(self: &Arc<Self>, operation: Operation, name: &str) -> Result<Arc<LsmStore>> {
        let mut open = self.open.lock();
        let closed = || Error::new(operation, ErrorKind::Closed).engine(NAME);
        let open = open.as_mut().ok_or_else(closed)?;
        // Under the lock: whoever drops or renames it later will find the handle here.
        let found = self.catalog.find(&self.db.snapshot(), name);
        let (id, place) = named(operation, name, found)?;
        let mut life = Arc::default();
        if let Some(known) = open.get(&id) {
            if known.renames != place.renames {
                // Whoever has renamed it is about to do this.
                known.life.end();
            } else if known.life.check().is_ok() {
                if let Some(handle) = known.handle.upgrade() {
                    return Ok(handle);
                }
                life = Arc::clone(&known.life);
            }
        }
        let handle = LsmStore::new(Arc::clone(self), name, (id, place), Arc::clone(&life));
        let handle = Arc::new(handle);
        let known = Open {
            handle: Arc::downgrade(&handle),
            life,
            renames: place.renames,
        };
        open.insert(id, known);
        Ok(handle)
    }

    /// From now on there is no such store for those who have opened the store `id` before it was
    /// renamed more than `renames` times.
    fn end_handle(&self, id: u32, renames: u32) {
        let mut open = self.open.lock();
        let Some(open) = open.as_mut() else {
            return;
        };
        if let Some(known) = open.remove(&id) {
            if known.renames <= renames {
                known.life.end();
            } else {
                open.insert(id, known);
            }
        }
    }
}

/// Whether a store can still be used.
fn check(life: &Life, operation: Operation, store: &str) -> Result<()> {
    let checked = life.check();
    checked.map_err(|kind| Error::new(operation, kind).engine(NAME).store(store))
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
        self.core.capabilities()
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        let operation = Operation::CreateStore;
        self.core.check_open(operation)?;
        check_name(operation, store).map_err(|e| e.engine(NAME))?;
        let created = self
            .core
            .transact(|tx| self.core.catalog.create(tx, store, options));
        named(operation, store, created)?;
        Ok(self.core.handle(operation, store)?)
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        Ok(self.core.handle(Operation::OpenStore, store)?)
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        let operation = Operation::DropStore;
        self.core.check_open(operation)?;
        let dropped = self.core.transact(|tx| self.core.catalog.remove(tx, store));
        let id = named(operation, store, dropped)?;
        self.core.end_handle(id, u32::MAX);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        self.core.check_open(operation)?;
        check_name(operation, to).map_err(|e| e.engine(NAME))?;
        let renamed = self
            .core
            .transact(|tx| self.core.catalog.rename(tx, from, to));
        let (id, renames) = named(operation, from, renamed)?;
        self.core.end_handle(id, renames);
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
        let handle = self.core.handle(operation, store)?;
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
        for (_, known) in self.core.open.lock().take().into_iter().flatten() {
            known.life.close();
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
