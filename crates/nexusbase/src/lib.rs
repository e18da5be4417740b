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
//! Whoever needs more than the names here finds the whole layers in [`db`] (transactions on
//! trees of bytes, snapshots, the change feed) and [`documents`] (filters, sort orders, values,
//! extended JSON), and with the feature `server` the HTTP server in `server`.

pub use nexusbase_db::{
    Change, ChangeFeed, CommitError, Database, Durability, OpenError, Options, RecoveryReport,
    Snapshot, Stats, Transaction, View,
};
pub use nexusbase_documents::query::{Access, Answers, Cursor, Explain};
pub use nexusbase_documents::store::{CollectionInfo, IndexInfo};
pub use nexusbase_documents::{Collection, CollectionTx, Documents, Error, Query, bson};

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

/// The HTTP server.
#[cfg(feature = "server")]
pub mod server {
    #[doc(inline)]
    pub use nexusbase_server::*;
}
