//! Collections: documents and their indexes as rows of trees, and what can be done to them.
//!
//! A collection has a tree of documents (key: the encoded `_id`, value: the BSON as it came) and a
//! tree for each index. Its definition is a row of one more tree. Whatever changes a document changes the
//! index rows in the same transaction, so an index never disagrees with its documents.
//!
//! Every operation exists once, on a [`Transaction`](nexusbase_db::Transaction)
//! ([`CollectionTx`]); [`Collection`] wraps each in a transaction of its own.

mod aggregate;
mod bulk;
mod check;
mod collection;
mod definition;
mod documents;
mod error;
pub(crate) mod index;
mod transaction;

pub use bulk::OnError;
pub use check::{Checked, IndexFault, IndexFinding};
pub use collection::Collection;
pub use definition::CollectionInfo;
pub use documents::Documents;
pub use error::{Error, NameError};
pub use index::{
    BuildProgress, Built, DUPLICATES_NAMED_MAX, DuplicateValues, EXPIRE_SECONDS_MAX, Expired,
    INDEX_NAME_BYTES_MAX, INDEX_PARTS_MAX, INDEXES_MAX, IndexInfo, IndexSize, IndexSpec, IndexUse,
    UnfinishedIndex,
};
pub use transaction::CollectionTx;

pub(crate) use definition::{Definition, IndexDefinition};
