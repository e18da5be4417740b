//! Key-value stores: one set of interfaces, an engine for each need, versions to go back to.
//!
//! [`domain`] says what a store is; [`engines`] keeps stores in memory, in readable files, and on
//! the database; [`stores`] finds them by name.
//!
//! What it promises: each change is atomic, on every engine; what an engine says it can do, it can;
//! damage is an error or a report that names file and offset, never a wrong answer.
//!
//! What it does not: it knows no network, and no engine knows another.

mod btree;
pub mod domain;
pub mod engines;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod keyspace;
mod life;
mod standard;
mod stores;

pub use bytes::Bytes;
pub use domain::*;
pub use standard::{FILES_DIR, standard};
pub use stores::{Stores, stores};
