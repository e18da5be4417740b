//! What many stores over many engines promise.

mod copies;
mod stores;

use std::fmt;
use std::sync::Arc;

use nexusbase_kv::{CreateOptions, MultiStore, Store};

use crate::fixture::Fixture;
use crate::harness::{Promise, hold};

/// A [`MultiStore`] without engines, and engines for it.
pub struct MultiFixture {
    stores: Arc<dyn MultiStore>,
    engines: Vec<Fixture>,
}

impl MultiFixture {
    /// `stores` has no engine yet: the suite registers those of `engines`, in their order. There
    /// must be two or more, of different names, and they and `stores` must read one clock.
    #[must_use]
    pub fn new(stores: Arc<dyn MultiStore>, engines: Vec<Fixture>) -> Self {
        assert!(engines.len() >= 2, "two engines or more are needed");
        Self { stores, engines }
    }

    /// Registers all engines.
    fn registered(&self) -> &dyn MultiStore {
        for fixture in &self.engines {
            self.stores
                .register(Arc::clone(fixture.engine()))
                .expect("an engine can be registered");
        }
        &*self.stores
    }

    fn engine(&self, at: usize) -> &str {
        self.engines[at].engine().name()
    }

    /// A new store on engine `at`.
    fn create(&self, name: &str, at: usize) -> Arc<dyn Store> {
        let options = CreateOptions {
            engine: Some(self.engine(at).to_owned()),
            ..CreateOptions::default()
        };
        self.stores
            .create(name, &options)
            .expect("a store can be created")
    }
}

impl fmt::Debug for MultiFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiFixture")
            .field("stores", &self.stores)
            .field("engines", &self.engines)
            .finish()
    }
}

/// Checks all of it.
pub(crate) fn check(make: &mut dyn FnMut() -> MultiFixture) {
    let mut promises: Vec<Promise<MultiFixture>> = Vec::new();
    promises.extend(stores::PROMISES);
    promises.extend(copies::PROMISES);
    hold("multistore", make, &promises);
}
