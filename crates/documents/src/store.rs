//! Collections: documents and their indexes as rows of trees, and what can be done to them.
//!
//! A collection has a tree of documents (key: the encoded `_id`, value: the BSON as it came) and a
//! tree for each index. Its definition is a row of one more tree. Whatever changes a document changes the
//! index rows in the same transaction, so an index never disagrees with its documents.
//!
//! A change of documents is a [`Change`] of a [`Selection`] of them; single ones are changed on a
//! [`Condition`], which compares their [`Revision`]s. What was changed is told by [`Changes`], read
//! from the database's log. [`idempotency`] keeps the answers of requests that may come twice.
//!
//! Every operation exists once, on a [`Transaction`](nexusbase_db::Transaction)
//! ([`CollectionTx`]); [`Collection`] wraps each in a transaction of its own.

mod aggregate;
mod bulk;
mod change;
pub mod changes;
mod check;
mod collection;
mod definition;
mod documents;
mod error;
pub mod idempotency;
pub(crate) mod index;
mod options;
mod revision;
mod schema;
mod session;
mod transaction;
mod writes;

pub use bulk::{BulkMode, Done, Interrupted, OnError, Operation, Outcomes};
pub use change::{Change, ChangeError, Selection};
pub use changes::{Changes, ChangesError, Event, EventKind, Position};
pub use check::{Checked, IndexFault, IndexFinding};
pub use collection::Collection;
pub use definition::CollectionInfo;
pub use documents::Documents;
pub use error::{Error, NameError};
pub use index::{
    BuildProgress, Built, DUPLICATES_NAMED_MAX, DuplicateValues, EXPIRE_SECONDS_MAX, Expired,
    INDEX_NAME_BYTES_MAX, INDEX_PARTS_MAX, INDEX_WORDS_MAX, INDEXES_MAX, IndexInfo, IndexSize,
    IndexSpec, IndexUse, UnfinishedIndex,
};
pub use revision::{Condition, Revision, revision};
pub use schema::{SCHEMA_BYTES_MAX, SchemaError, VIOLATIONS_MAX, Violation};
pub use session::{OPERATIONS_MAX, Session, SessionError};
pub use transaction::CollectionTx;
pub use writes::{Deleted, Returning, UpdateOptions, Updated};

pub(crate) use definition::{Definition, IndexDefinition};
