//! Which names there are, who is at work on which, and what is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::failed;
use super::watched::Watched;
use crate::domain::{
    Engine, Error, ErrorKind, Operation, Result, Retention, StoreInfo, StoreOptions,
};

/// What a store was told, as those who keep to it read it.
#[derive(Debug)]
pub(super) struct Rules {
    /// Lock `kv.rules`.
    options: Mutex<StoreOptions>,
    read_only: AtomicBool,
    unfinished: AtomicBool,
    /// 0: entries without a time stay.
    ttl_ms: AtomicU64,
}

impl Rules {
    fn new(options: StoreOptions) -> Self {
        let rules = Self {
            options: Mutex::default(),
            read_only: AtomicBool::default(),
            unfinished: AtomicBool::default(),
            ttl_ms: AtomicU64::default(),
        };
        rules.set(options);
        rules
    }

    pub(super) fn set(&self, options: StoreOptions) {
        let mut kept = self.options.lock();
        self.read_only.store(options.read_only, Ordering::Release);
        let unfinished = options.copy_of.is_some();
        self.unfinished.store(unfinished, Ordering::Release);
        let ttl_ms = options.ttl_ms.unwrap_or(0);
        self.ttl_ms.store(ttl_ms, Ordering::Release);
        *kept = options;
    }

    pub(super) fn options(&self) -> StoreOptions {
        self.options.lock().clone()
    }

    pub(super) fn retention(&self) -> Retention {
        self.options.lock().retention
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    pub(super) fn has_ttl(&self) -> bool {
        self.ttl_ms.load(Ordering::Acquire) > 0
    }

    /// When an entry that is put at `now_ms` without a time expires.
    pub(super) fn expires_ms(&self, now_ms: impl FnOnce() -> u64) -> Option<u64> {
        let ttl_ms = self.ttl_ms.load(Ordering::Acquire);
        (ttl_ms > 0).then(|| now_ms().saturating_add(ttl_ms))
    }

    /// Refuses a store that a copy has left half done.
    pub(super) fn check_complete(&self, operation: Operation, name: &str) -> Result<()> {
        if !self.unfinished.load(Ordering::Acquire) {
            return Ok(());
        }
        let of = self
            .options()
            .copy_of
            .map_or_else(String::new, |mark| mark.store);
        Err(failed(operation, name, ErrorKind::UnfinishedCopy { of }))
    }
}

/// A store that there is.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) rules: Arc<Rules>,
}

impl Known {
    pub(super) fn new(engine: Arc<dyn Engine>, options: StoreOptions) -> Self {
        let rules = Arc::new(Rules::new(options));
        Self { engine, rules }
    }

    pub(super) fn info(&self, name: &str) -> StoreInfo {
        StoreInfo {
            name: name.to_owned(),
            engine: self.engine.name().to_owned(),
            options: self.rules.options(),
        }
    }
}

/// All names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Lock `kv.names`: held for a few instructions; claims are what is held over I/O.
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    engines: Vec<Arc<dyn Engine>>,
    default_engine: Option<String>,
    known: BTreeMap<String, Known>,
    /// What is open, in the order of opening.
    open: Vec<(String, Arc<Watched>)>,
    claimed: BTreeSet<String>,
    closed: bool,
}

impl State {
    fn check_open(&self, operation: Operation) -> Result<()> {
        if self.closed {
            return Err(Error::new(operation, ErrorKind::Closed));
        }
        Ok(())
    }
}

/// Names that nobody else works on until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    all: &'a Names,
    names: Vec<String>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.all.state.lock();
        for name in &self.names {
            state.claimed.remove(name);
        }
        self.all.released.notify_all();
    }
}

impl Names {
    /// Waits until nobody works on `names`, and claims them, all at once.
    pub(super) fn claim(&self, operation: Operation, names: &[&str]) -> Result<Claim<'_>> {
        let mut state = self.state.lock();
        while names.iter().any(|name| state.claimed.contains(*name)) {
            self.released.wait(&mut state);
        }
        state.check_open(operation)?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        state.claimed.extend(names.iter().cloned());
        Ok(Claim { all: self, names })
    }

    pub(super) fn register(&self, engine: Arc<dyn Engine>, found: Vec<StoreInfo>) -> Result<()> {
        let operation = Operation::RegisterEngine;
        let mut state = self.state.lock();
        state.check_open(operation)?;
        let name = engine.name().to_owned();
        let wrong = |kind| Error::new(operation, kind).engine(&name);
        if state.engines.iter().any(|known| known.name() == name) {
            return Err(wrong(ErrorKind::EngineExists));
        }
        if let Some(taken) = found
            .iter()
            .find(|info| state.known.contains_key(&info.name))
        {
            return Err(wrong(ErrorKind::StoreExists).store(&taken.name));
        }
        for info in found {
            let known = Known::new(Arc::clone(&engine), info.options);
            state.known.insert(info.name, known);
        }
        state.engines.push(engine);
        state.default_engine.get_or_insert(name);
        Ok(())
    }

    pub(super) fn engines(&self) -> Vec<Arc<dyn Engine>> {
        self.state.lock().engines.clone()
    }

    pub(super) fn default_engine(&self) -> Option<String> {
        self.state.lock().default_engine.clone()
    }

    pub(super) fn set_default_engine(&self, engine: &str) -> Result<()> {
        let found = self.engine(Operation::RegisterEngine, Some(engine))?;
        self.state.lock().default_engine = Some(found.name().to_owned());
        Ok(())
    }

    /// The engine of that name, or the default one.
    pub(super) fn engine(
        &self,
        operation: Operation,
        name: Option<&str>,
    ) -> Result<Arc<dyn Engine>> {
        let state = self.state.lock();
        let name = name.or(state.default_engine.as_deref());
        let found = state
            .engines
            .iter()
            .find(|known| Some(known.name()) == name);
        found.cloned().ok_or_else(|| {
            let known = state.engines.iter().map(|known| known.name().to_owned());
            let kind = ErrorKind::EngineNotFound {
                known: known.collect(),
            };
            Error::new(operation, kind).engine(name.unwrap_or("default"))
        })
    }

    pub(super) fn find(&self, operation: Operation, name: &str) -> Result<Known> {
        let state = self.state.lock();
        state.check_open(operation)?;
        let found = state.known.get(name).cloned();
        found.ok_or_else(|| failed(operation, name, ErrorKind::StoreNotFound))
    }

    pub(super) fn check_free(&self, operation: Operation, name: &str) -> Result<()> {
        let state = self.state.lock();
        let Some(known) = state.known.get(name) else {
            return Ok(());
        };
        Err(failed(operation, name, ErrorKind::StoreExists).engine(known.engine.name()))
    }

    /// The store, if it is open.
    pub(super) fn handle(&self, name: &str) -> Option<Arc<Watched>> {
        let state = self.state.lock();
        let found = state.open.iter().find(|(open, _)| open == name);
        found
            .map(|(_, handle)| Arc::clone(handle))
            .filter(|handle| !handle.is_closed())
    }

    pub(super) fn opened(&self, name: &str, handle: Arc<Watched>) {
        let mut state = self.state.lock();
        state.open.retain(|(open, _)| open != name);
        state.open.push((name.to_owned(), handle));
    }

    pub(super) fn add(&self, name: &str, known: Known, handle: Option<Arc<Watched>>) {
        self.state.lock().known.insert(name.to_owned(), known);
        if let Some(handle) = handle {
            self.opened(name, handle);
        }
    }

    pub(super) fn remove(&self, name: &str) {
        let mut state = self.state.lock();
        state.known.remove(name);
        state.open.retain(|(open, _)| open != name);
    }

    pub(super) fn list(&self) -> Result<Vec<StoreInfo>> {
        let state = self.state.lock();
        state.check_open(Operation::ListStores)?;
        Ok(state
            .known
            .iter()
            .map(|(name, known)| known.info(name))
            .collect())
    }

    /// Accepts nothing more. Returns what was open, in the order of opening, and the engines: none
    /// of either the second time.
    pub(super) fn close(&self) -> (Vec<Arc<Watched>>, Vec<Arc<dyn Engine>>) {
        let mut state = self.state.lock();
        state.closed = true;
        while !state.claimed.is_empty() {
            self.released.wait(&mut state);
        }
        let open = std::mem::take(&mut state.open);
        let handles = open.into_iter().map(|(_, handle)| handle).collect();
        (handles, std::mem::take(&mut state.engines))
    }
}
