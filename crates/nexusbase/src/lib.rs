#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! This crate is a façade: it holds no code of its own, only the names that a program needs, in
//! one place. [`Database`] opens a folder; [`Documents`] finds the collections in it;
//! [`Collection`] works on one of them, each operation in a transaction of its own, and
//! [`CollectionTx`] inside a [`Transaction`] that may span several. [`Error`] is what all of
//! these fail with: every error of the layers below turns into it by `?`.
//!
//! Beside the documents there are key-value stores: [`kv::standard`] finds those of a database as a
//! [`MultiStore`], which opens each as a [`Store`]. They fail with an error of their own,
//! [`kv::Error`].
//!
//! Whoever needs more than the names here finds the whole layers in [`db`] (transactions on
//! trees of bytes, snapshots, the change feed), [`documents`] (filters, sort orders, values,
//! extended JSON) and [`kv`] (engines, transactions, versions, differences), and with the feature
//! `server` the HTTP server in `server`.

pub use nexusbase_db::{
    Change, ChangeFeed, CommitError, Database, Durability, OpenError, Options, RecoveryReport,
    Snapshot, Stats, Transaction, View,
};
pub use nexusbase_documents::query::{Access, Answers, Cursor, Explain};
pub use nexusbase_documents::store::{CollectionInfo, IndexInfo};
pub use nexusbase_documents::{Collection, CollectionTx, Documents, Error, IndexSpec, Query, bson};
pub use nexusbase_kv::{CreateOptions, MultiStore, Store};

/// The database under the documents: transactions on trees of byte keys and byte values.
pub mod db {
    #[doc(inline)]
    pub use nexusbase_db::*;
}

/// The document model in full: filters, sort orders, projections, values, ids and JSON.
pub mod documents {
    #[doc(inline)]
    pub use nexusbase_documents::*;
}

/// Key-value stores in full: engines, transactions, versions, differences, events.
pub mod kv {
    #[doc(inline)]
    pub use nexusbase_kv::*;
}

/// The HTTP server.
#[cfg(feature = "server")]
pub mod server {
    #[doc(inline)]
    pub use nexusbase_server::*;
}

/// The examples of `docs/kv.md`, to be tried.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/kv.md")]
pub struct KvPage;
