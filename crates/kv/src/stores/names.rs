//! Which names there are, who is at work on which, and what is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

use super::failed;
use super::rules::Rules;
use super::watched::Watched;
use crate::domain::{Engine, Error, ErrorKind, Operation, Result, StoreInfo, StoreOptions};

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
    /// Lock `kv.names`: held for a few instructions; claims are what is held over I/O. Of an
    /// engine only the name is asked under it, and nothing is dropped.
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    engines: Vec<Arc<dyn Engine>>,
    default_engine: Option<String>,
    known: BTreeMap<String, Known>,
    open: BTreeMap<String, Opened>,
    /// So many handles were opened.
    opened: u64,
    claimed: BTreeMap<String, Owner>,
    closed: bool,
}

/// A handle, and which one it was in the order of opening.
#[derive(Debug)]
struct Opened {
    at: u64,
    handle: Arc<Watched>,
}

/// Who has claimed a name.
#[derive(Clone, Copy, Debug)]
struct Owner {
    thread: ThreadId,
    /// Whether it does something of its caller's now, for which `close` does not wait.
    aside: bool,
}

impl State {
    fn check_open(&self, operation: Operation) -> Result<()> {
        if self.closed {
            return Err(Error::new(operation, ErrorKind::Closed));
        }
        Ok(())
    }

    /// Returns what was open under that name, to be dropped without the lock.
    fn set_open(&mut self, name: &str, handle: Option<Arc<Watched>>) -> Option<Opened> {
        let Some(handle) = handle else {
            return self.open.remove(name);
        };
        self.opened += 1;
        let at = self.opened;
        self.open.insert(name.to_owned(), Opened { at, handle })
    }
}

/// Names that nobody else works on until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    all: &'a Names,
    names: Vec<String>,
}

impl Claim<'_> {
    /// Does what its caller wants meanwhile. The claim stays, but `close` does not wait for it:
    /// whoever calls this has to ask afterwards whether all was closed.
    pub(super) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.set_aside(true);
        // If it panics, the claim ends.
        let done = work();
        self.set_aside(false);
        done
    }

    fn set_aside(&self, aside: bool) {
        let mut state = self.all.state.lock();
        for name in &self.names {
            if let Some(owner) = state.claimed.get_mut(name) {
                owner.aside = aside;
            }
        }
        self.all.released.notify_all();
    }
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
    /// Waits until nobody works on `names`, and claims them, all at once. Fails when this thread
    /// is who works on one of them: it would wait for itself.
    pub(super) fn claim(&self, operation: Operation, names: &[&str]) -> Result<Claim<'_>> {
        let thread = thread::current().id();
        let mut state = self.state.lock();
        loop {
            let mut taken = names.iter().filter_map(|name| {
                let owner = state.claimed.get(*name)?;
                Some((name, owner.thread))
            });
            let is_taken = taken.clone().next().is_some();
            if let Some((name, _)) = taken.find(|(_, owner)| *owner == thread) {
                let reason = format!(
                    "this thread is at work on store {name:?} already: what is called meanwhile \
                     (a copy's progress function) cannot work on it, too"
                );
                return Err(failed(operation, name, ErrorKind::Invalid(reason)));
            }
            if !is_taken {
                break;
            }
            self.released.wait(&mut state);
        }
        state.check_open(operation)?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let owner = Owner {
            thread,
            aside: false,
        };
        let claimed = names.iter().map(|name| (name.clone(), owner));
        state.claimed.extend(claimed);
        Ok(Claim { all: self, names })
    }

    /// Adds an engine; the names of what was `found` on it are claimed.
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
        state.check_open(operation)?;
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

    /// Whether there is a store of that name, also while all is being closed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.state.lock().known.contains_key(name)
    }

    pub(super) fn check_free(&self, operation: Operation, name: &str) -> Result<()> {
        let state = self.state.lock();
        let Some(known) = state.known.get(name) else {
            return Ok(());
        };
        Err(failed(operation, name, ErrorKind::StoreExists).engine(known.engine.name()))
    }

    /// The store, if it is open. A handle that can no longer be used is nobody's here any more.
    pub(super) fn handle(&self, name: &str) -> Option<Arc<Watched>> {
        let found = Arc::clone(&self.state.lock().open.get(name)?.handle);
        if found.is_usable() {
            return Some(found);
        }
        self.forget_handle(name, &found);
        None
    }

    /// Lets go of a handle.
    pub(super) fn forget_handle(&self, name: &str, handle: &Watched) {
        let mut state = self.state.lock();
        let is_this = |open: &&Opened| std::ptr::eq(Arc::as_ptr(&open.handle), handle);
        if state.open.get(name).filter(is_this).is_some() {
            let gone = state.set_open(name, None);
            drop(state);
            drop(gone);
        }
    }

    pub(super) fn opened(&self, name: &str, handle: Arc<Watched>) {
        let before = self.state.lock().set_open(name, Some(handle));
        drop(before);
    }

    pub(super) fn add(&self, name: &str, known: Known, handle: Option<Arc<Watched>>) {
        let mut state = self.state.lock();
        let before = state.known.insert(name.to_owned(), known);
        let open = state.set_open(name, handle);
        drop(state);
        drop((before, open));
    }

    pub(super) fn remove(&self, name: &str) {
        let mut state = self.state.lock();
        let known = state.known.remove(name);
        let open = state.set_open(name, None);
        drop(state);
        drop((known, open));
    }

    /// A store has another name: also for its unfinished copies.
    pub(super) fn rename(&self, from: &str, to: &str, known: Known) {
        self.remove(from);
        self.add(to, known, None);
        for copy in self.state.lock().known.values() {
            copy.rules.follow(from, to);
        }
    }

    /// After an error nobody knows what was done: asks the engine which of `names`, which are
    /// claimed, are its stores. If it does not say, all stays as it is.
    pub(super) fn ask(&self, engine: &Arc<dyn Engine>, names: &[&str]) {
        let Ok(listed) = engine.list() else {
            return;
        };
        for name in names {
            // Lets go of a handle that the error has ended.
            drop(self.handle(name));
            let found = listed.iter().find(|info| info.name == *name);
            let known = self.state.lock().known.get(*name).cloned();
            match (found, known) {
                (Some(info), None) => {
                    let known = Known::new(Arc::clone(engine), info.options.clone());
                    self.add(name, known, None);
                }
                (None, Some(known)) if Arc::ptr_eq(&known.engine, engine) => self.remove(name),
                _ => {}
            }
        }
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

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Accepts nothing more, and waits for what others do. Returns what was open, in the order of
    /// opening, and the engines: none of either the second time.
    pub(super) fn close(&self) -> (Vec<Arc<Watched>>, Vec<Arc<dyn Engine>>) {
        let thread = thread::current().id();
        let is_waited_for = |owner: &Owner| !owner.aside && owner.thread != thread;
        let mut state = self.state.lock();
        state.closed = true;
        while state.claimed.values().any(is_waited_for) {
            self.released.wait(&mut state);
        }
        let open = std::mem::take(&mut state.open);
        let engines = std::mem::take(&mut state.engines);
        drop(state);
        let mut open: Vec<_> = open.into_values().collect();
        open.sort_unstable_by_key(|open| open.at);
        let handles = open.into_iter().map(|open| open.handle).collect();
        (handles, engines)
    }
}
