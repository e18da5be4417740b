//! The compliance suite that every engine of NexusBase's key-value stores passes.
//!
//! Who writes an engine writes three lines for each function, and gets every promise of
//! [`nexusbase_kv::domain`] checked: by named examples, by random sequences of operations against
//! a simple model, and by threads at once.
//!
//! ```
//! # use nexusbase_kv_compliance::Fixture;
//! # fn example(fixture: fn() -> Fixture) {
//! nexusbase_kv_compliance::store(fixture); // in a function that is a `#[test]`
//! # }
//! ```
//!
//! `fixture` makes a [`Fixture`]: a new engine without stores, and what the suite needs to know
//! of its world (a clock that can be moved, how to open it again). It is called once for each
//! check. The suite looks at the engine's [`Capabilities`](nexusbase_kv::Capabilities) and checks
//! what they say, and that what they deny is refused.
//!
//! A failure is a panic whose message lists every promise that was broken, each with what was
//! seen. 64 random sequences are tried for each property, always the same ones; with
//! `PROPTEST_CASES` in the environment it is that number, and others each time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "panicking is how a test reports"
)]

mod engine;
mod fixture;
mod harness;
mod memory;
mod model;
mod multistore;
mod sequences;
mod store;
mod threads;
mod transactional;
mod versioned;

pub use fixture::Fixture;
pub use multistore::MultiFixture;

/// Checks what [`View`](nexusbase_kv::View) and [`Store`](nexusbase_kv::Store) promise.
///
/// # Panics
/// When a promise is broken.
pub fn store(mut make: impl FnMut() -> Fixture) {
    let mut promises = Vec::new();
    promises.extend(store::reads::PROMISES);
    promises.extend(store::writes::PROMISES);
    promises.extend(store::expiry::PROMISES);
    promises.extend(store::limits::PROMISES);
    promises.extend(store::states::PROMISES);
    promises.extend(memory::PROMISES);
    promises.extend(threads::PROMISES);
    promises.extend(sequences::STORE);
    harness::hold("store", &mut make, &promises);
}

/// Checks what [`Engine`](nexusbase_kv::Engine) promises: names, options, handles, and that what
/// was written is there after opening again.
///
/// # Panics
/// When a promise is broken.
pub fn engine(mut make: impl FnMut() -> Fixture) {
    let mut promises = Vec::new();
    promises.extend(engine::names::PROMISES);
    promises.extend(engine::handles::PROMISES);
    promises.extend(engine::durable::PROMISES);
    promises.extend(engine::capabilities::PROMISES);
    harness::hold("engine", &mut make, &promises);
}

/// Checks what [`Transactional`](nexusbase_kv::Transactional) and
/// [`Transaction`](nexusbase_kv::Transaction) promise. For engines that say that they have
/// transactions.
///
/// # Panics
/// When a promise is broken.
pub fn transactional(mut make: impl FnMut() -> Fixture) {
    let mut promises = Vec::new();
    promises.extend(transactional::one::PROMISES);
    promises.extend(transactional::conflicts::PROMISES);
    promises.extend(transactional::threads::PROMISES);
    promises.extend(transactional::sequences::PROMISES);
    harness::hold("transactional", &mut make, &promises);
}

/// Checks what [`Versioned`](nexusbase_kv::Versioned) promises. For engines that say that they
/// have versions.
///
/// # Panics
/// When a promise is broken.
pub fn versioned(mut make: impl FnMut() -> Fixture) {
    let mut promises = Vec::new();
    promises.extend(versioned::PROMISES);
    promises.extend(sequences::VERSIONED);
    harness::hold("versioned", &mut make, &promises);
}

/// Checks what [`MultiStore`](nexusbase_kv::MultiStore) promises, copies between engines and
/// events included.
///
/// # Panics
/// When a promise is broken.
pub fn multistore(mut make: impl FnMut() -> MultiFixture) {
    multistore::check(&mut make);
}
