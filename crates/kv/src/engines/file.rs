//! The engine `file`: one readable file per store, a JSON line for each entry.
//!
//! All of a store is in memory while it is open; every change is appended to its file, durably,
//! before anybody sees it. When a file has grown to twice what it needs it is written anew beside
//! and put in place. `docs/format/kv-file.md` describes the files for those who open them in an
//! editor.
//!
//! Promises: a change that was acknowledged is there after a power cut, and one that was not is
//! there whole or not at all. Damage is found by checksums: what is damaged is set aside and
//! reported, everything else is kept, and no value is given out that was not written for its key.
//! After a write of which nobody knows what became of it, a store refuses writes until it is opened
//! again. When somebody else changes the file of an open store, it is written anew, but what a power
//! cut takes before that was noticed is lost. Does not: keep stores that are larger than memory; lock
//! single files against editors.
//!
//! # Locks
//!
//! | lock | who takes it | over I/O |
//! | --- | --- | --- |
//! | `kv.file.stores` | everybody, for a few instructions | no |
//! | `kv.file.slot`, one per name | who opens, drops, renames or checks that store | yes: the next one needs the outcome |
//! | `kv.file.names` | who creates, drops or renames any store | yes: a few names |
//! | `kv.turn`, `kv.file.tail` | writers of a store | yes: a change is durable before it is seen |
//! | `kv.file.versions` | who takes or deletes a version of a store | yes: numbers are given one by one |
//! | `kv.file.upkeep` | who rewrites or checks a store; a write only tries | yes |
//!
//! They are taken in this order, but for `kv.file.upkeep`, which comes before `kv.turn`. Who reads
//! an open store takes none of them.

mod aside;
mod backing;
mod check;
mod cut;
mod image;
mod line;
mod load;
mod names;
mod open;
mod parse;
mod reader;
mod report;
mod scan;
mod settle;
mod strange;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nexusbase_io::{self as io, Env};
use parking_lot::Mutex;

use crate::domain::{
    Capabilities, CheckMode, CheckReport, Engine, Error, ErrorKind, Events, Limits, Operation,
    Result, Store, StoreInfo, StoreOptions, Transactions, check_name,
};
use crate::keyspace::{Backing, KeyspaceStore};
use backing::{Common, FileBacking, failed};
use names::{Kind, classify};

/// The engine's name.
pub const NAME: &str = "file";

const CAPABILITIES: Capabilities = Capabilities {
    durable: true,
    ordered: true,
    transactions: Transactions::OneStore,
    versioned: true,
    larger_than_memory: false,
    limits: Limits {
        key_bytes: 64 << 10,
        value_bytes: 64 << 20,
        batch_bytes: 256 << 20,
    },
};

/// How the engine works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// A file is written anew when more bytes were appended than this, and than the last rewrite has
    /// written.
    pub rewrite_bytes_min: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            rewrite_bytes_min: 1 << 20,
        }
    }
}

type Handle = Arc<KeyspaceStore<FileBacking>>;

/// A store that is open, or not. Lock `kv.file.slot`.
type Slot = Arc<Mutex<Option<Handle>>>;

/// The engine. See the [module](self).
#[derive(Debug)]
struct FileEngine {
    common: Arc<Common>,
    /// Lock `kv.file.stores`. None once the engine is closed.
    stores: Mutex<Option<BTreeMap<String, Slot>>>,
    /// Lock `kv.file.names`.
    names: Mutex<()>,
    /// A drop or rename was interrupted by an error.
    is_unsettled: AtomicBool,
    /// Lock `kv.file.lock`. Given back when the engine is closed.
    lock: Mutex<Option<io::Lock>>,
}

/// Opens the engine on a folder, which is made if need be, and ends what was interrupted there.
/// One engine at a time may have a folder open.
///
/// # Errors
/// [`ErrorKind::Locked`] when another has it open; when the folder cannot be made or read.
pub fn engine(env: &Env, folder: &Path, options: FileOptions) -> Result<Arc<dyn Engine>> {
    let operation = Operation::OpenEngine;
    let io = |error| failed(operation)(error).engine(NAME);
    env.fs.create_dir(folder).map_err(io)?;
    let lock = env.fs.lock(&folder.join(names::LOCK)).map_err(|source| {
        let kind = match source {
            io::LockError::Io(error) => ErrorKind::Io(error),
            source @ io::LockError::Held { .. } => ErrorKind::Locked {
                path: folder.to_path_buf(),
                source,
            },
        };
        Error::new(operation, kind).engine(NAME)
    })?;
    let mut nonce = [0; 4];
    env.random.fill(&mut nonce).map_err(io)?;
    let common = Common {
        env: env.clone(),
        folder: folder.to_path_buf(),
        options,
        events: Mutex::default(),
        nonce: AtomicU64::new(u32::from_be_bytes(nonce).into()),
    };
    common.settle(true).map_err(io)?;
    Ok(Arc::new(FileEngine {
        common: Arc::new(common),
        stores: Mutex::new(Some(BTreeMap::new())),
        names: Mutex::default(),
        is_unsettled: AtomicBool::new(false),
        lock: Mutex::new(Some(lock)),
    }))
}

impl FileEngine {
    /// The slot of a store's name.
    fn slot(&self, operation: Operation, store: &str) -> Result<Slot> {
        let mut stores = self.stores.lock();
        let Some(stores) = stores.as_mut() else {
            return Err(Error::new(operation, ErrorKind::Closed));
        };
        // What nobody has open, and nobody is about to open, needs no slot.
        stores.retain(|_, slot| {
            let is_used = Arc::strong_count(slot) > 1;
            let is_at_work = |handle: &Handle| !handle.keyspace().backing().has_ended();
            is_used
                || slot
                    .try_lock()
                    .is_none_or(|slot| slot.as_ref().is_some_and(is_at_work))
        });
        Ok(Arc::clone(stores.entry(store.to_owned()).or_default()))
    }

    /// Lets `work` have the slot of a store, and names store and engine in what goes wrong.
    fn with<T>(
        &self,
        operation: Operation,
        store: &str,
        work: impl FnOnce(&mut Option<Handle>) -> Result<T>,
    ) -> Result<T> {
        let named = |error: Error| error.engine(NAME).store(store);
        let slot = self.slot(operation, store).map_err(named)?;
        let mut handle = slot.lock();
        self.check_open(operation).map_err(named)?;
        work(&mut handle).map_err(named)
    }

    fn check_open(&self, operation: Operation) -> Result<()> {
        if self.stores.lock().is_none() {
            return Err(Error::new(operation, ErrorKind::Closed));
        }
        Ok(())
    }

    /// Ends what an error has interrupted.
    fn settle(&self, operation: Operation) -> Result<()> {
        if self.is_unsettled.load(Ordering::Acquire) {
            let _names = self.names.lock();
            self.common.settle(false).map_err(failed(operation))?;
            self.is_unsettled.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// The store's handle, opened if need be.
    fn handle(
        &self,
        operation: Operation,
        store: &str,
        slot: &mut Option<Handle>,
    ) -> Result<Handle> {
        if let Some(handle) = slot.as_ref().filter(|handle| is_open(Some(handle))) {
            return Ok(Arc::clone(handle));
        }
        // It was closed, but a writer that was before that may still be at work.
        close(slot)?;
        self.settle(operation)?;
        let keyspace = open::open(&self.common, operation, store)?;
        let handle = Arc::new(KeyspaceStore::new(store, NAME, Arc::new(keyspace)));
        *slot = Some(Arc::clone(&handle));
        Ok(handle)
    }

    fn exists(&self, operation: Operation, store: &str) -> Result<bool> {
        // A name that is none is nobody's, and must not reach the file system.
        if check_name(operation, store).is_err() {
            return Ok(false);
        }
        let path = self.common.path(store, Kind::Main);
        self.common.env.fs.exists(&path).map_err(failed(operation))
    }

    fn must_exist(&self, operation: Operation, store: &str) -> Result<()> {
        if self.exists(operation, store)? {
            return Ok(());
        }
        Err(Error::new(operation, ErrorKind::StoreNotFound))
    }

    /// Checks that there is a store of that name, and not somebody else's file.
    fn must_be_own(&self, operation: Operation, store: &str) -> Result<()> {
        self.must_exist(operation, store)?;
        let options = open::options(&self.common, store).map_err(failed(operation))?;
        let is_own = options.map(drop);
        is_own.ok_or_else(|| Error::new(operation, ErrorKind::StoreNotFound))
    }

    /// Checks that there is no store of that name, and nothing that would look like a part of it.
    fn must_be_free(&self, operation: Operation, store: &str) -> Result<()> {
        if self.exists(operation, store)? {
            return Err(Error::new(operation, ErrorKind::StoreExists).store(store));
        }
        let others = self.common.others(store).map_err(failed(operation))?;
        if let Some(kind) = others.first() {
            let path = self.common.path(store, *kind);
            let kind = ErrorKind::Invalid(format!(
                "{} is left of an earlier store of that name; move it away, or remove it",
                path.display()
            ));
            return Err(Error::new(operation, kind).store(store));
        }
        Ok(())
    }

    /// Renames a store's main file, durably. Its handle ends when it may have another name.
    fn move_main(
        &self,
        operation: Operation,
        slot: &mut Option<Handle>,
        [from, to]: [&Path; 2],
    ) -> Result<()> {
        let fs = &self.common.env.fs;
        let unsettled = self.unsettled(operation);
        let mut outcome = Ok(());
        end_after(slot, || {
            let renamed = fs.rename(from, to);
            match renamed {
                Err(error) if fs.exists(from).is_ok_and(|is_there| is_there) => {
                    Err(unsettled(error))
                }
                renamed => {
                    outcome = renamed;
                    Ok(())
                }
            }
        })?;
        outcome
            .and_then(|()| fs.sync_dir(&self.common.folder))
            .map_err(unsettled)
    }

    /// Notes that something was left half done.
    fn unsettled(&self, operation: Operation) -> impl Fn(io::Error) -> Error {
        move |error| {
            self.is_unsettled.store(true, Ordering::Release);
            failed(operation)(error)
        }
    }
}

fn is_open(handle: Option<&Handle>) -> bool {
    handle.is_some_and(|handle| handle.life().check().is_ok())
}

/// Makes sure that the file that has the store's name is the one that it writes.
fn keep_own_file(handle: &Handle, operation: Operation) -> Result<()> {
    let keyspace = handle.keyspace();
    keyspace.replace(|newest| {
        let own = keyspace.backing().keep_own_file(operation, newest);
        own.map(|()| (None, ()))
    })
}

/// Closes a store's handle. Returns when no writer is at work, and none ever will be.
fn close(slot: &mut Option<Handle>) -> Result<()> {
    let Some(handle) = slot.take() else {
        return Ok(());
    };
    handle.life().close();
    let keyspace = handle.keyspace();
    keyspace.replace(|newest| keyspace.backing().close(newest).map(|()| (None, ())))
}

/// Lets `work` take a store away, while nobody writes, and then ends its handle. If `work` fails, all
/// is as before, and the handle goes on.
fn end_after(slot: &mut Option<Handle>, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let Some(handle) = slot.as_ref() else {
        return work();
    };
    let keyspace = handle.keyspace();
    keyspace.replace(|_| {
        keyspace.backing().end_after(work)?;
        handle.life().end();
        Ok((None, ()))
    })?;
    *slot = None;
    Ok(())
}

impl Engine for FileEngine {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        let operation = Operation::CreateStore;
        check_name(operation, store).map_err(|error| error.engine(NAME))?;
        self.with(operation, store, |slot| {
            self.settle(operation)?;
            let _names = self.names.lock();
            self.must_be_free(operation, store)?;
            let keyspace = open::create(&self.common, store, options)?;
            let handle = Arc::new(KeyspaceStore::new(store, NAME, Arc::new(keyspace)));
            *slot = Some(Arc::clone(&handle));
            Ok(handle as Arc<dyn Store>)
        })
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        let operation = Operation::OpenStore;
        self.with(operation, store, |slot| {
            let handle = self.handle(operation, store, slot)?;
            Ok(handle as Arc<dyn Store>)
        })
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        let operation = Operation::DropStore;
        self.with(operation, store, |slot| {
            self.settle(operation)?;
            let _names = self.names.lock();
            self.must_be_own(operation, store)?;
            let path = |kind| self.common.path(store, kind);
            let unsettled = self.unsettled(operation);
            self.move_main(operation, slot, [&path(Kind::Main), &path(Kind::Dropped)])?;
            // It is dropped. What cannot be removed now is removed later.
            let others = self.common.others(store);
            let removed = others.and_then(|kinds| self.common.finish_drop(store, &kinds));
            if let Err(error) = removed {
                let _ = unsettled(error);
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        check_name(operation, to).map_err(|error| error.engine(NAME))?;
        // Another who renames the other way round takes the slots in the same order.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let work = |slot: &mut Option<Handle>| {
            self.settle(operation)?;
            let _names = self.names.lock();
            self.must_be_own(operation, from)?;
            self.must_be_free(operation, to)?;
            if let Some(handle) = slot.as_ref() {
                // What is given another name is to be its own.
                keep_own_file(handle, operation)?;
            }
            let path = |store| self.common.path(store, Kind::Main);
            self.move_main(operation, slot, [&path(from), &path(to)])?;
            let kinds = self.common.others(from);
            kinds
                .and_then(|kinds| self.common.follow(from, to, &kinds))
                .map_err(self.unsettled(operation))
        };
        if from == to {
            return self.with(operation, from, work);
        }
        self.with(operation, first, |one| {
            self.with(operation, second, |two| {
                let slot = if from < to { one } else { two };
                work(slot)
            })
            .map_err(|error| error.store(from))
        })
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        let operation = Operation::ListStores;
        let named = |error: Error| error.engine(NAME);
        self.check_open(operation).map_err(named)?;
        let io = |error| named(failed(operation)(error));
        let mut found = Vec::new();
        for name in self.common.env.fs.list(&self.common.folder).map_err(io)? {
            let Some((store, Kind::Main)) = classify(&name) else {
                continue;
            };
            if let Some(options) = open::options(&self.common, store).map_err(io)? {
                found.push(StoreInfo {
                    name: store.to_owned(),
                    engine: NAME.to_owned(),
                    options,
                });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        let operation = Operation::SetOptions;
        self.with(operation, store, |slot| {
            let was_open = is_open(slot.as_ref());
            let handle = self.handle(operation, store, slot)?;
            let keyspace = handle.keyspace();
            let backing = keyspace.backing();
            let upkeep = backing.upkeep.lock();
            keep_own_file(&handle, operation)?;
            let outcome = loop {
                match backing.rewrite(keyspace, operation, Some(options)) {
                    Ok(false) => {}
                    Ok(true) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            drop(upkeep);
            if !was_open {
                close(slot)?;
            }
            outcome
        })
    }

    fn check(&self, store: &str, mode: CheckMode) -> Result<CheckReport> {
        let operation = Operation::Check;
        self.with(operation, store, |slot| {
            self.settle(operation)?;
            self.must_exist(operation, store)?;
            match mode {
                CheckMode::Look => self.look(store, slot.as_ref()),
                CheckMode::AcceptEdits => self.accept(store, slot),
            }
        })
    }

    fn attach(&self, events: Arc<Events>) {
        *self.common.events.lock() = Some(events);
    }

    fn close(&self) -> Result<()> {
        let stores = self.stores.lock().take();
        let mut outcome = Ok(());
        for slot in stores.into_iter().flatten().map(|(_, slot)| slot) {
            let closed = close(&mut slot.lock());
            outcome = outcome.and(closed);
        }
        drop(self.lock.lock().take());
        outcome
    }
}
