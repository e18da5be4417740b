//! What an engine's author gives to the suite: an engine, and its world.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_io::Clock;
use nexusbase_io::os::OsClock;
use nexusbase_io::sim::SimClock;
use nexusbase_kv::{Capabilities, Engine, Store, StoreOptions};

type Open = Box<dyn FnMut() -> Arc<dyn Engine>>;

/// An engine that is to be checked, and its world.
///
/// ```
/// # use std::sync::Arc;
/// # use nexusbase_kv::Engine;
/// # use nexusbase_kv_compliance::Fixture;
/// # use nexusbase_io::sim::SimClock;
/// # fn example(open: impl Fn(SimClock) -> Arc<dyn Engine> + 'static) -> Fixture {
/// let clock = SimClock::manual();
/// Fixture::new(open(clock.clone()))
///     .clock(&clock)
///     .reopen(move || open(clock.clone()))
/// # }
/// ```
pub struct Fixture {
    engine: Option<Arc<dyn Engine>>,
    clock: Option<SimClock>,
    reopen: Option<Open>,
    power_cut: Option<Open>,
    // Last, so that a folder goes after the engine that is in it.
    guards: Vec<Box<dyn Any>>,
}

impl Fixture {
    /// An engine without stores, on the machine's clock.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine: Some(engine),
            clock: None,
            reopen: None,
            power_cut: None,
            guards: Vec::new(),
        }
    }

    /// The clock that the engine reads, and that the suite moves. It must stand still otherwise
    /// ([`SimClock::manual`]). Without it, checks of expiry wait for the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: &SimClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Opens an engine again on the same data, after the suite has closed the one before and has
    /// let go of it. Needed where the engine says that it is durable.
    #[must_use]
    pub fn reopen(mut self, open: impl FnMut() -> Arc<dyn Engine> + 'static) -> Self {
        self.reopen = Some(Box::new(open));
        self
    }

    /// Cuts the power (of a [`SimDisk`](nexusbase_io::sim::SimDisk)) while the engine is open, and
    /// opens one on what is left. Only where there is such a disk.
    #[must_use]
    pub fn power_cut(mut self, open: impl FnMut() -> Arc<dyn Engine> + 'static) -> Self {
        self.power_cut = Some(Box::new(open));
        self
    }

    /// Keeps something (a temporary folder) for as long as the engine is in use.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        self.engine.as_ref().expect("an engine is open")
    }

    pub(crate) fn can(&self) -> Capabilities {
        self.engine().capabilities()
    }

    /// A new store.
    pub(crate) fn create(&self, name: &str) -> Arc<dyn Store> {
        self.engine()
            .create(name, &StoreOptions::default())
            .expect("a store can be created")
    }

    pub(crate) fn open(&self, name: &str) -> Arc<dyn Store> {
        self.engine().open(name).expect("the store can be opened")
    }

    /// Whether time passes only when the suite says so.
    pub(crate) const fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let clock = self.clock.as_ref();
        clock.map_or_else(|| OsClock::new().unix_ms(), Clock::unix_ms)
    }

    /// Lets time pass.
    pub(crate) fn pass_ms(&self, ms: u64) {
        let time = Duration::from_millis(ms);
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => std::thread::sleep(time),
        }
    }

    pub(crate) const fn has_reopen(&self) -> bool {
        self.reopen.is_some()
    }

    pub(crate) const fn has_power_cut(&self) -> bool {
        self.power_cut.is_some()
    }

    /// Closes the engine and opens it again.
    pub(crate) fn open_again(&mut self) {
        let engine = self.engine.take().expect("an engine is open");
        engine.close().expect("the engine can be closed");
        drop(engine);
        let open = self.reopen.as_mut();
        let open = open.expect("Fixture::reopen says how a durable engine is opened again");
        self.engine = Some(open());
    }

    /// Lets the power go while the engine is open.
    pub(crate) fn cut_power(&mut self) {
        let open = self.power_cut.as_mut().expect("there is a power cut");
        let engine = open();
        self.engine = Some(engine);
    }

    /// Lets go of the engine.
    pub(crate) fn end(&mut self) {
        self.engine = None;
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("engine", &self.engine)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
