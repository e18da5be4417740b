//! An engine in memory that is as simple as it can be and has everything: transactions over all
//! stores, versions, and a world that it can be opened on again. And the ways to break it.

mod transaction;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use nexusbase_io::Clock;
use nexusbase_io::sim::SimClock;
use nexusbase_kv::{
    Capabilities, Capability, CheckMode, CheckReport, Engine, Entry, Error, ErrorKind, Limits,
    Operation, Put, Result, Store, StoreInfo, StoreOptions, Transactions, Version, check_name,
};
use nexusbase_kv_compliance::Fixture;
use parking_lot::Mutex;

use view::Handle;

pub(crate) type Rows = BTreeMap<Vec<u8>, Entry>;

pub(crate) const ENGINE: &str = "reference";

/// How the engine is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    DeleteBringsBackTheOldValue,
    DeleteIsLostWhenOpenedAgain,
    LeaksUncommittedWrites,
    VersionIsTheLiveState,
    SnapshotIsTheLiveState,
    ValuesAreSlicesOfABlock,
    StaleCompareAndSet,
    BatchesInParts,
    CountsExpired,
    ReverseRangeOffByOne,
    RestoreIsNoVersion,
    SaysVersions,
    SaysTransactions,
    SaysOrdered,
    SaysDurable,
    NoReadConflicts,
    NoPhantoms,
    CursorReadsLive,
    RestoreInSteps,
    SaysItIsOpen,
}

/// What outlives an engine.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) stores: BTreeMap<String, Data>,
    pub(crate) last_id: u64,
}

/// A store.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// Another one for each store that ever was, and for each name that it has.
    pub(crate) id: u64,
    pub(crate) rows: Arc<Rows>,
    pub(crate) options: StoreOptions,
    pub(crate) versions: Vec<(Version, Arc<Rows>)>,
    pub(crate) last_version: u64,
    /// What was overwritten, for engines that are broken.
    older: Rows,
    graves: Rows,
    /// The state before the last change, for the same.
    pub(crate) stale: Arc<Rows>,
}

impl Data {
    pub(crate) fn change(&mut self, key: &[u8], entry: Option<Entry>, fault: Fault) {
        let rows = Arc::make_mut(&mut self.rows);
        let before = match entry {
            Some(entry) => rows.insert(key.to_vec(), entry),
            None => rows.remove(key),
        };
        // Who is not broken forgets what is gone.
        if !matches!(
            fault,
            Fault::DeleteBringsBackTheOldValue | Fault::DeleteIsLostWhenOpenedAgain
        ) {
            return;
        }
        if rows.contains_key(key) {
            self.older
                .extend(before.map(|before| (key.to_vec(), before)));
        } else if let Some(older) = self.older.remove(key) {
            match fault {
                Fault::DeleteBringsBackTheOldValue => drop(rows.insert(key.to_vec(), older)),
                _ => drop(self.graves.insert(key.to_vec(), older)),
            }
        }
    }
}

/// The engine.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) world: Arc<Mutex<World>>,
    open: Mutex<BTreeMap<String, Handle>>,
    pub(crate) clock: SimClock,
    pub(crate) fault: Fault,
    pub(crate) closed: AtomicBool,
    arena: Mutex<BytesMut>,
}

impl Inner {
    pub(crate) fn entry(&self, put: Put<'_>) -> Entry {
        let mut entry = put.to_entry();
        if self.fault == Fault::ValuesAreSlicesOfABlock {
            let mut arena = self.arena.lock();
            arena.reserve(1 << 16);
            arena.extend_from_slice(put.value);
            entry.value = arena.split().freeze();
        }
        entry
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.unix_ms()
    }
}

pub(crate) fn error(operation: Operation, store: &str, kind: ErrorKind) -> Error {
    Error::new(operation, kind).engine(ENGINE).store(store)
}

impl Reference {
    pub(crate) fn open(world: &Arc<Mutex<World>>, clock: &SimClock, fault: Fault) -> Self {
        for data in world.lock().stores.values_mut() {
            let graves = std::mem::take(&mut data.graves);
            Arc::make_mut(&mut data.rows).extend(graves);
        }
        if fault == Fault::SaysDurable {
            world
                .lock()
                .stores
                .values_mut()
                .for_each(|data| data.rows = Arc::default());
        }
        let inner = Inner {
            world: Arc::clone(world),
            open: Mutex::default(),
            clock: clock.clone(),
            fault,
            closed: AtomicBool::new(false),
            arena: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    fn check_open(&self, operation: Operation) -> Result<()> {
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(Error::new(operation, ErrorKind::Closed).engine(ENGINE));
        }
        Ok(())
    }

    /// The world, if the engine is open and the store is there.
    fn with<T>(
        &self,
        operation: Operation,
        store: &str,
        work: impl FnOnce(&mut World) -> Result<T>,
    ) -> Result<T> {
        self.check_open(operation)?;
        let mut world = self.inner.world.lock();
        if !world.stores.contains_key(store) {
            return Err(error(operation, store, ErrorKind::StoreNotFound));
        }
        work(&mut world)
    }
}

fn check_free(operation: Operation, world: &World, store: &str) -> Result<()> {
    check_name(operation, store).map_err(|e| e.engine(ENGINE))?;
    if world.stores.contains_key(store) {
        return Err(error(operation, store, ErrorKind::StoreExists));
    }
    Ok(())
}

impl Engine for Reference {
    fn name(&self) -> &str {
        ENGINE
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        self.check_open(Operation::CreateStore)?;
        let mut world = self.inner.world.lock();
        check_free(Operation::CreateStore, &world, store)?;
        world.last_id += 1;
        let data = Data {
            id: world.last_id,
            options: options.clone(),
            ..Data::default()
        };
        world.stores.insert(store.to_owned(), data);
        drop(world);
        Engine::open(self, store)
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        let mut open = self.inner.open.lock();
        let id = self.with(Operation::OpenStore, store, |world| {
            Ok(world.stores[store].id)
        })?;
        let handle = open
            .get(store)
            .filter(|open| open.id == id && !open.is_closed());
        let handle = handle
            .cloned()
            .unwrap_or_else(|| Handle::new(&self.inner, store, id));
        open.insert(store.to_owned(), handle.clone());
        Ok(Arc::new(handle))
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        self.with(Operation::DropStore, store, |world| {
            world.stores.remove(store);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        self.with(operation, from, |world| {
            check_free(operation, world, to)?;
            world.last_id += 1;
            if let Some(mut data) = world.stores.remove(from) {
                data.id = world.last_id;
                world.stores.insert(to.to_owned(), data);
            }
            Ok(())
        })
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        self.check_open(Operation::ListStores)?;
        let world = self.inner.world.lock();
        let info = |(name, data): (&String, &Data)| StoreInfo {
            name: name.clone(),
            engine: ENGINE.to_owned(),
            options: data.options.clone(),
        };
        Ok(world.stores.iter().map(info).collect())
    }

    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        self.with(Operation::SetOptions, store, |world| {
            if let Some(data) = world.stores.get_mut(store) {
                data.options = options.clone();
            }
            Ok(())
        })
    }

    fn check(&self, store: &str, mode: CheckMode) -> Result<CheckReport> {
        self.with(Operation::Check, store, |world| match mode {
            CheckMode::Look => Ok(CheckReport {
                rows: world.stores[store].rows.len() as u64,
                findings: Vec::new(),
            }),
            CheckMode::AcceptEdits => {
                let kind = ErrorKind::Unsupported(Capability::AcceptEdits);
                Err(error(Operation::Check, store, kind))
            }
        })
    }

    fn close(&self) -> Result<()> {
        self.inner.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        durable: true,
        ordered: true,
        transactions: Transactions::AcrossStores,
        versioned: true,
        larger_than_memory: false,
        limits: Limits {
            key_bytes: 1000,
            value_bytes: 1 << 20,
            batch_bytes: 4 << 20,
        },
    }
}

/// The engine with a fault, on a clock that is moved, in a world that stays.
pub(crate) fn fixture(fault: Fault) -> Fixture {
    let (world, clock) = (Arc::<Mutex<World>>::default(), SimClock::manual());
    let time = clock.clone();
    let open = move || Arc::new(Reference::open(&world, &time, fault)) as Arc<dyn Engine>;
    Fixture::new(open()).clock(&clock).reopen(open)
}
