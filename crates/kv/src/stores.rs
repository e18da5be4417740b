//! Many stores by name, over any engines: the [`MultiStore`] of NexusBase.
//!
//! An engine lists its own stores, so there is no second list that could disagree with it: what is
//! here is read from the engines when they are registered, and kept in step. Whoever creates, opens,
//! drops, renames or copies a store claims its name while the engine works (`names`); others
//! who want the same name wait, all others do not. What is opened is wrapped (`watched`): there
//! read-only stores, default times and retention are kept to, and events are told, so that engines
//! need not.

mod copy;
mod names;
mod rules;
mod transaction;
mod watched;

use std::ops::ControlFlow;
use std::sync::Arc;

use nexusbase_io::Env;

use crate::domain::engine::CopyMark;
use crate::domain::{
    CheckMode, CheckReport, CopyProgress, CopyReport, CreateOptions, Engine, Error, ErrorKind,
    EventKind, Events, MultiStore, Operation, Result, Store, StoreInfo, StoreOptions, check_name,
};
use names::{Known, Names};
use watched::Watched;

/// So often `open_or_create` tries, when others create and drop the store meanwhile.
const ATTEMPTS_MAX: usize = 100;

/// Many stores by name.
#[derive(Debug)]
pub struct Stores {
    names: Arc<Names>,
    events: Arc<Events>,
    env: Env,
}

/// No engines and no stores yet. The clock is that of `env`.
#[must_use]
pub fn stores(env: &Env) -> Arc<dyn MultiStore> {
    Arc::new(Stores {
        names: Arc::default(),
        events: Arc::default(),
        env: env.clone(),
    })
}

impl Stores {
    fn wrap(&self, known: &Known, store: Arc<dyn Store>) -> Arc<Watched> {
        Arc::new(Watched::new(
            store,
            Arc::clone(&known.rules),
            Arc::downgrade(&self.names),
            Arc::clone(&self.events),
            Arc::clone(&self.env.clock),
        ))
    }

    /// Makes a store on an engine; its name is claimed.
    fn create_claimed(
        &self,
        name: &str,
        engine: &Arc<dyn Engine>,
        options: &StoreOptions,
    ) -> Result<Arc<Watched>> {
        let store = engine.create(name, options).inspect_err(|_| {
            // It may be there all the same, or have been brought there by others.
            self.names.ask(engine, &[name]);
        })?;
        let known = Known::new(Arc::clone(engine), options.clone());
        let handle = self.wrap(&known, store);
        self.names.add(name, known, Some(Arc::clone(&handle)));
        Ok(handle)
    }

    /// Opens a store; its name is claimed.
    fn open_claimed(&self, name: &str) -> Result<Arc<Watched>> {
        let known = self.names.find(Operation::OpenStore, name)?;
        if let Some(handle) = self.names.handle(name) {
            return Ok(handle);
        }
        let opened = known.engine.open(name).inspect_err(|error| {
            if matches!(error.kind(), ErrorKind::StoreNotFound) {
                // Its files were moved away, say.
                self.names.remove(name);
            }
        });
        let handle = self.wrap(&known, opened?);
        self.names.opened(name, Arc::clone(&handle));
        Ok(handle)
    }

    /// Takes away a store; its name is claimed. Returns what it knew of itself as a copy.
    fn drop_claimed(&self, name: &str) -> Result<Option<CopyMark>> {
        let operation = Operation::DropStore;
        let known = self.names.find(operation, name)?;
        let dropped = known.engine.drop_store(name);
        match dropped {
            Ok(()) => self.names.remove(name),
            Err(_) => self.names.ask(&known.engine, &[name]),
        }
        if !self.names.has(name) {
            self.events.publish(name, || EventKind::Dropped);
        }
        dropped.map(|()| known.rules.mark())
    }
}

impl MultiStore for Stores {
    fn register(&self, engine: Arc<dyn Engine>) -> Result<()> {
        let found = engine.list()?;
        let names: Vec<_> = found.iter().map(|info| info.name.as_str()).collect();
        // Whoever creates one of them on another engine now is waited for.
        let claim = self.names.claim(Operation::RegisterEngine, &names)?;
        self.names.register(Arc::clone(&engine), found.clone())?;
        drop(claim);
        engine.attach(Arc::clone(&self.events));
        Ok(())
    }

    fn engines(&self) -> Vec<Arc<dyn Engine>> {
        self.names.engines()
    }

    fn default_engine(&self) -> Option<String> {
        self.names.default_engine()
    }

    fn set_default_engine(&self, engine: &str) -> Result<()> {
        self.names.set_default_engine(engine)
    }

    fn create(&self, name: &str, options: &CreateOptions) -> Result<Arc<dyn Store>> {
        let operation = Operation::CreateStore;
        check_name(operation, name)?;
        let told = &options.options;
        told.check(operation).map_err(|e| e.store(name))?;
        let told = StoreOptions {
            // Whoever could say this could have other stores' versions deleted.
            copy_of: None,
            ..told.clone()
        };
        let _claim = self.names.claim(operation, &[name])?;
        self.names.check_free(operation, name)?;
        let engine = self.names.engine(operation, options.engine.as_deref())?;
        let handle = self.create_claimed(name, &engine, &told)?;
        self.events.publish(name, || EventKind::Created);
        Ok(handle)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Store>> {
        let operation = Operation::OpenStore;
        if let Some(handle) = self.names.handle(name) {
            handle.check_complete()?;
            return Ok(handle);
        }
        let _claim = self.names.claim(operation, &[name])?;
        let known = self.names.find(operation, name)?;
        known.rules.check_complete(operation, name)?;
        Ok(self.open_claimed(name)?)
    }

    fn open_or_create(&self, name: &str, options: &CreateOptions) -> Result<Arc<dyn Store>> {
        let mut attempt = 1;
        loop {
            match self.open(name) {
                Err(error) if matches!(error.kind(), ErrorKind::StoreNotFound) => {}
                opened => return opened,
            }
            match self.create(name, options) {
                // Another was faster.
                Err(error)
                    if matches!(error.kind(), ErrorKind::StoreExists) && attempt < ATTEMPTS_MAX =>
                {
                    attempt += 1;
                }
                created => return created,
            }
        }
    }

    fn drop_store(&self, name: &str) -> Result<()> {
        let claim = self.names.claim(Operation::DropStore, &[name])?;
        let mark = self.drop_claimed(name)?;
        // What follows opens another store, for which nobody waits with a claim.
        drop(claim);
        if let Some(mark) = mark {
            self.forget_copy(&mark);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let operation = Operation::RenameStore;
        check_name(operation, to)?;
        let _claim = self.names.claim(operation, &[from, to])?;
        let known = self.names.find(operation, from)?;
        known.rules.check_complete(operation, from)?;
        self.names.check_free(operation, to)?;
        let renamed = known.engine.rename(from, to);
        if renamed.is_err() {
            self.names.ask(&known.engine, &[from, to]);
        }
        if renamed.is_ok() || (self.names.has(to) && !self.names.has(from)) {
            self.names.rename(from, to, known);
            let new = to.to_owned();
            let listeners = [from, to];
            self.events
                .publish_to(&listeners, || EventKind::Renamed { to: new });
        }
        renamed
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        self.names.list()
    }

    fn info(&self, name: &str) -> Result<StoreInfo> {
        let known = self.names.find(Operation::ListStores, name)?;
        Ok(known.info(name))
    }

    fn set_options(&self, name: &str, options: &StoreOptions) -> Result<()> {
        let operation = Operation::SetOptions;
        options.check(operation).map_err(|e| e.store(name))?;
        let _claim = self.names.claim(operation, &[name])?;
        let known = self.names.find(operation, name)?;
        let options = StoreOptions {
            // What a copy notes about itself is the copy's business.
            copy_of: known.rules.mark(),
            ..options.clone()
        };
        known.engine.set_options(name, &options)?;
        known.rules.set(options);
        Ok(())
    }

    fn copy(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<CopyReport> {
        self.copy_store(from, to, engine, progress)
    }

    fn check(&self, name: &str, mode: CheckMode) -> Result<CheckReport> {
        let operation = Operation::Check;
        let known = self.names.find(operation, name)?;
        if mode == CheckMode::Look {
            return known.engine.check(name, mode);
        }
        // A copy goes on behind the last key that is there: nobody else may put one.
        known.rules.check_complete(operation, name)?;
        let checked = known.engine.check(name, mode);
        let is_mended = |report: &CheckReport| report.findings.iter().any(|finding| finding.mended);
        // After an error nobody knows.
        if checked.as_ref().map_or(true, is_mended) {
            self.events.publish(name, || EventKind::ManyChanged);
        }
        checked
    }

    fn events(&self) -> &Arc<Events> {
        &self.events
    }

    fn close(&self) -> Result<()> {
        let (handles, engines) = self.names.close();
        let mut first = Ok(());
        let mut note = |outcome: Result<()>| {
            if first.is_ok() {
                first = outcome;
            }
        };
        for handle in handles.into_iter().rev() {
            note(handle.close());
        }
        for engine in engines.into_iter().rev() {
            note(engine.close());
        }
        self.events.close();
        first
    }
}

/// An error about a store.
fn failed(operation: Operation, name: &str, kind: ErrorKind) -> Error {
    Error::new(operation, kind).store(name)
}
