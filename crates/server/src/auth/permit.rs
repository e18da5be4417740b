//! From a caller to the models.
//!
//! The models lie in a [`Vault`], whose inside only this file sees. A [`Permit`] is what opens it:
//! it is made only by its extractor, from a caller whose role suffices for its level. What a permit
//! gives is [`Models`], which look up each name in the caller's scopes before they give what is
//! under it.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use nexusbase_db::Transaction;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::store::{
    Built, Changes, Collection, CollectionInfo, Expired, Position, Session, UnfinishedIndex,
    idempotency,
};
use nexusbase_documents::{Documents, Error};
use nexusbase_kv::{
    Capabilities, CheckMode, CheckReport, CopyProgress, CopyReport, CreateOptions, MultiStore,
    Store, StoreInfo, StoreOptions, Subscription,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::record::Role;
use super::{App, Caller, KeyError, Keyring};
use crate::config::Limits;
use crate::metrics::Present;
use crate::operation::busy;
use crate::problem::{Kind, Problem};
use crate::query::percent_text;
use crate::server::Service;
use crate::transactions::Table;
use crate::writes::UnderWay;

/// The models, locked away.
#[derive(Debug)]
pub(crate) struct Vault {
    documents: Documents,
    stores: Arc<dyn MultiStore>,
}

impl Vault {
    pub(crate) fn new(service: &Service) -> Self {
        Self {
            documents: Documents::new(&service.db),
            stores: Arc::clone(&service.stores),
        }
    }

    /// Whether the database accepts no more writes.
    pub(crate) fn is_stopped(&self) -> bool {
        self.documents.database().stopped().is_some()
    }

    /// Deletes documents whose time has come; see [`Documents::expire_step`].
    pub(crate) fn expire_step(&self, limit: usize) -> Result<Expired, Error> {
        self.documents.expire_step(limit)
    }

    /// The indexes whose builds were interrupted or are going on.
    pub(crate) fn unfinished_indexes(&self) -> Result<Vec<UnfinishedIndex>, Error> {
        self.documents.unfinished_indexes()
    }

    /// Goes on with the build of an index for as long as `goes_on` says so.
    pub(crate) fn continue_index(
        &self,
        index: &UnfinishedIndex,
        goes_on: impl Fn() -> bool,
    ) -> Result<Built, Error> {
        let collection = self.documents.collection(&index.collection)?;
        collection.build_index(&index.spec, |_| {
            if goes_on() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
    }

    /// The newest visible commit.
    pub(crate) fn index(&self) -> u64 {
        self.documents.database().snapshot().index().get()
    }
}

/// What somebody wants to do.
pub(crate) trait Level: Send + Sync + 'static {
    /// The least role that may.
    const ROLE: Role;
}

/// A level that may change something.
pub(crate) trait Change: Level {}

/// Look at data.
#[derive(Debug)]
pub(crate) enum Read {}
/// Change data.
#[derive(Debug)]
pub(crate) enum Write {}
/// Manage keys.
#[derive(Debug)]
pub(crate) enum Admin {}

impl Level for Read {
    const ROLE: Role = Role::Read;
}
impl Level for Write {
    const ROLE: Role = Role::Write;
}
impl Level for Admin {
    const ROLE: Role = Role::Admin;
}
impl Change for Write {}
impl Change for Admin {}

/// The proof that a caller's role suffices. There is no other way to [`Models`].
#[derive(Debug)]
pub(crate) struct Permit<L> {
    models: Models,
    level: PhantomData<fn() -> L>,
}

impl<L: Level> FromRequestParts<App> for Permit<L> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if caller.role() < L::ROLE {
            let (has, needed) = (caller.role().as_str(), L::ROLE.as_str());
            let detail =
                format!("this needs a key with the role {needed}, and the one that came has {has}");
            return Err(Problem::new(Kind::Forbidden, detail).with("role", needed));
        }
        let models = Models {
            app: Arc::clone(app),
            caller,
        };
        models.check_path(parts.uri.path())?;
        Ok(Self {
            models,
            level: PhantomData,
        })
    }
}

impl<L> Permit<L> {
    /// The models, for an operation.
    pub(crate) fn into_models(self) -> Models {
        self.models
    }

    /// The models. What blocks belongs into an [`operation`](crate::operation).
    pub(crate) const fn models(&self) -> &Models {
        &self.models
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.models.app.limits
    }

    /// The turn of who changes what a store was told.
    pub(crate) fn options_turn(&self) -> &Arc<Semaphore> {
        &self.models.app.options_turn
    }
}

/// What a caller can reach.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    app: App,
    caller: Caller,
}

/// Scopes.
impl Models {
    /// Refuses a request for what is not the caller's business, by its path: before its body is
    /// read. What it reaches in the end is looked up again.
    fn check_path(&self, path: &str) -> Result<(), Problem> {
        let mut segments = path.split('/').skip(1);
        let (noun, name) = (segments.next(), segments.next());
        // What is no name is for the handler to say.
        let Some(name) = name.and_then(|name| percent_text(name, "the path").ok()) else {
            return Ok(());
        };
        match noun {
            Some("collections") => self.check_collection(&name),
            Some("stores") => self.check_store_name(&name),
            _ => Ok(()),
        }
    }

    /// Refuses a collection that is not the caller's business.
    pub(crate) fn check_collection(&self, name: &str) -> Result<(), Problem> {
        if self.caller.covers_collection(name) {
            return Ok(());
        }
        Err(out_of_scope("collection", name))
    }

    fn check_store_name(&self, name: &str) -> Result<(), Problem> {
        if self.caller.covers_store(name) {
            return Ok(());
        }
        Err(out_of_scope("store", name))
    }
}

/// Documents.
impl Models {
    /// A collection that the caller may work on.
    pub(crate) fn collection(&self, name: &str) -> Result<Collection, Problem> {
        self.check_collection(name)?;
        Ok(self.app.vault.documents.collection(name)?)
    }

    /// Those collections that the caller may know of.
    pub(crate) fn collections(&self) -> Result<Vec<CollectionInfo>, Problem> {
        let mut all = self.app.vault.documents.list()?;
        all.retain(|info| self.caller.covers_collection(&info.name));
        Ok(all)
    }

    /// Runs `work`, on collections that the caller has got, in one transaction.
    pub(crate) fn transact<T>(
        &self,
        work: impl FnMut(&mut Transaction) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.app.vault.documents.transact_as(work)
    }

    /// Who asks, so that one caller's requests are told from another's.
    pub(crate) fn caller_id(&self) -> &str {
        self.caller.id()
    }

    /// The requests with a key of their own that are under way.
    pub(crate) fn under_way(&self) -> &Arc<UnderWay> {
        &self.app.under_way
    }

    /// Forgets answers that were kept for repeated requests long enough, at most `limit` of them.
    /// Returns how many.
    pub(crate) fn forget_answers(&self, limit: usize) -> Result<usize, Problem> {
        let db = self.app.vault.documents.database();
        Ok(idempotency::expire_step(db, limit)?)
    }
}

/// Transactions over several requests, and changes.
impl Models {
    /// Refuses a caller that may only read.
    pub(crate) fn check_may_write(&self) -> Result<(), Problem> {
        if self.caller.role() >= Role::Write {
            return Ok(());
        }
        let needed = Role::Write.as_str();
        let detail =
            format!("this needs a key with the role {needed}, and the one that came reads");
        Err(Problem::new(Kind::Forbidden, detail).with("role", needed))
    }

    /// Begins a transaction; what is done in it is done on collections that the caller has got.
    pub(crate) fn begin(&self) -> Session {
        self.app.vault.documents.begin()
    }

    /// Whose transactions these are.
    pub(crate) fn owner(&self) -> String {
        self.caller.id().to_owned()
    }

    pub(crate) fn transactions(&self) -> &Arc<Table> {
        &self.app.transactions
    }

    /// A place among the open transactions.
    pub(crate) fn transaction_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.app.transaction_places).try_acquire_owned();
        place.map_err(|_| busy("too many transactions are open"))
    }

    /// An id that nobody can guess: 128 random bits.
    pub(crate) fn new_transaction_id(&self) -> Result<String, Problem> {
        let mut bytes = [0; 16];
        self.app.random.fill(&mut bytes).map_err(KeyError::from)?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// What happens to a collection, or to all; of all, those that the caller may not know of are
    /// among them: see [`Models::covers_collection`].
    pub(crate) fn changes(
        &self,
        collection: Option<&str>,
        since: Option<Position>,
        filter: Option<Filter>,
    ) -> Result<Changes, Problem> {
        Ok(match collection {
            Some(name) => self.collection(name)?.changes(since, filter)?,
            None => self.app.vault.documents.changes(since, filter)?,
        })
    }

    pub(crate) fn covers_collection(&self, name: &str) -> bool {
        self.caller.covers_collection(name)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.app.limits
    }

    /// The stopwatch.
    pub(crate) fn monotonic(&self) -> Duration {
        self.app.clock.monotonic()
    }
}

/// Stores.
impl Models {
    /// All stores, for a caller that may work on these.
    fn stores(&self, names: &[&str]) -> Result<&dyn MultiStore, Problem> {
        for name in names {
            self.check_store_name(name)?;
        }
        Ok(&*self.app.vault.stores)
    }

    pub(crate) fn store(&self, name: &str) -> Result<Arc<dyn Store>, Problem> {
        Ok(self.stores(&[name])?.open(name)?)
    }

    pub(crate) fn store_info(&self, name: &str) -> Result<StoreInfo, Problem> {
        Ok(self.stores(&[name])?.info(name)?)
    }

    /// Those stores that the caller may know of.
    pub(crate) fn store_list(&self) -> Result<Vec<StoreInfo>, Problem> {
        let mut all = self.app.vault.stores.list()?;
        all.retain(|info| self.caller.covers_store(&info.name));
        Ok(all)
    }

    pub(crate) fn create_store(&self, name: &str, options: &CreateOptions) -> Result<(), Problem> {
        self.stores(&[name])?.create(name, options)?;
        Ok(())
    }

    pub(crate) fn drop_store(&self, name: &str) -> Result<(), Problem> {
        Ok(self.stores(&[name])?.drop_store(name)?)
    }

    pub(crate) fn rename_store(&self, from: &str, to: &str) -> Result<(), Problem> {
        Ok(self.stores(&[from, to])?.rename(from, to)?)
    }

    pub(crate) fn copy_store(
        &self,
        from: &str,
        to: &str,
        engine: Option<&str>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<CopyReport, Problem> {
        Ok(self.stores(&[from, to])?.copy(from, to, engine, progress)?)
    }

    pub(crate) fn check_store(&self, name: &str, mode: CheckMode) -> Result<CheckReport, Problem> {
        Ok(self.stores(&[name])?.check(name, mode)?)
    }

    pub(crate) fn set_store_options(
        &self,
        name: &str,
        options: &StoreOptions,
    ) -> Result<(), Problem> {
        Ok(self.stores(&[name])?.set_options(name, options)?)
    }

    /// What happens to a store, or to all; of all, those that the caller may not know of are among
    /// them: see [`Models::covers_store`].
    pub(crate) fn subscribe(&self, store: Option<&str>) -> Result<Subscription, Problem> {
        let stores = self.stores(store.as_slice())?;
        Ok(stores.events().subscribe(store))
    }

    pub(crate) fn covers_store(&self, name: &str) -> bool {
        self.caller.covers_store(name)
    }

    /// The engines: names, and what they can do.
    pub(crate) fn engines(&self) -> Vec<(String, Capabilities)> {
        let engines = self.app.vault.stores.engines();
        let describe = |engine: &Arc<dyn nexusbase_kv::Engine>| {
            (engine.name().to_owned(), engine.capabilities())
        };
        engines.iter().map(describe).collect()
    }

    pub(crate) fn default_engine(&self) -> Option<String> {
        self.app.vault.stores.default_engine()
    }
}

/// Keys, and what is no data.
impl Models {
    /// The keys, for who manages them.
    pub(crate) fn keyring(&self) -> Result<&Keyring, Problem> {
        if self.caller.role() < Role::Admin {
            let detail = "keys are managed with a key that has the role admin";
            return Err(Problem::new(Kind::Forbidden, detail).with("role", Role::Admin.as_str()));
        }
        Ok(&self.app.auth.keyring)
    }

    /// Refuses a caller that has lost the rights since it was let in.
    pub(crate) fn check_current(&self) -> Result<(), Problem> {
        if self.is_current() {
            Ok(())
        } else {
            Err(self.app.auth.unauthorized())
        }
    }

    /// Whether the caller would be let in now, too.
    pub(crate) fn is_current(&self) -> bool {
        self.caller.is_current(&self.app.auth)
    }

    /// The places of operations.
    pub(crate) fn operation_places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.app.operations)
    }

    /// Counts an operation that waits for its place until the value is dropped.
    pub(crate) fn waiting_operation(&self) -> Present {
        self.app.metrics.waiting_operation()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.app.clock.unix_ms()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.app.stopping.borrow()
    }

    /// Hears when the server stops.
    pub(crate) fn until_stopping(&self) -> watch::Receiver<bool> {
        self.app.stopping.subscribe()
    }

    /// A place among the streams of events.
    pub(crate) fn stream_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.app.streams).try_acquire_owned();
        place.map_err(|_| busy("too many streams of events are open"))
    }
}

/// The caller has no business with that, whether it exists or not.
fn out_of_scope(what: &str, name: &str) -> Problem {
    let detail = format!("the key that came is not for the {what} {name:?}");
    let problem = Problem::new(Kind::Forbidden, detail);
    problem.with("scope", format!("{what}s/{name}"))
}
