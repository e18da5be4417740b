//! What transactions promise.

pub(crate) mod conflicts;
pub(crate) mod one;
pub(crate) mod sequences;
pub(crate) mod threads;

use nexusbase_kv::{Mode, Store, Transaction};

/// Begins a transaction in a store that has them.
#[track_caller]
fn begin(store: &dyn Store) -> Box<dyn Transaction> {
    begin_as(store, Mode::ReadWrite)
}

#[track_caller]
fn begin_as(store: &dyn Store, mode: Mode) -> Box<dyn Transaction> {
    let transactional = store.transactional().expect("the engine has transactions");
    transactional.begin(mode).expect("a transaction begins")
}
