//! Documents: collections of BSON documents with indexes, and what can be asked of them.
//!
//! Two halves. The lower one needs no storage: comparing and encoding values ([`value`]), reading
//! and writing JSON ([`json`]), naming places in a document ([`path`]), deciding whether a document
//! matches a question ([`filter`]), putting answers in order ([`sort`]), cutting them down
//! ([`projection`]), changing documents ([`update`], [`patch`]), searching in text ([`text`]), and the rules of the `_id` ([`id`]) and of documents as a whole
//! ([`document`]). The upper one keeps documents as rows of a database's trees ([`store`]) and
//! answers questions from them ([`query`]).
//!
//! What it promises: an index never disagrees with its documents, and the way an answer is found
//! never changes it. No input makes it panic or recurse without a limit. Text and documents from
//! outside that break a rule are refused with an error that says what, where and what to do;
//! damaged BSON is an error, never a wrong answer. Documents are read in place: nothing here
//! decodes a whole document to look at one field.
//!
//! What it does not do: read a clock, draw random numbers, or touch a file by itself.
//!
//! ```
//! use bson::rawdoc;
//! use nexusbase_db::Database;
//! use nexusbase_documents::{Documents, Error, IndexSpec, Query, bson};
//!
//! # fn main() -> Result<(), Error> {
//! let documents = Documents::new(&Database::in_memory()?);
//! let packages = documents.collection("packages")?;
//! packages.insert(&rawdoc! { "_id": "redis", "section": "database", "size": 70_000 })?;
//! packages.create_index(&IndexSpec::on("section")?, |_| {})?;
//!
//! let query = Query::new(&rawdoc! { "section": "database", "size": { "$gt": 1000 } })?;
//! let found = packages.find(&query.sort("-size")?.limit(10))?;
//! assert_eq!(found.len(), 1);
//! # Ok(()) }
//! ```

pub mod aggregate;
pub mod document;
pub mod error;
pub mod filter;
pub mod id;
pub mod json;
pub mod patch;
pub mod path;
mod pointer;
pub mod projection;
pub mod query;
pub mod sort;
pub mod store;
pub mod text;
mod tree;
pub mod update;
pub mod value;

pub use aggregate::Pipeline;
pub use bson;
pub use error::{
    DocumentError, FilterError, IdError, ParseError, PathError, ProjectionError, SortError,
    ValueError,
};
pub use patch::PatchError;
pub use query::Query;
pub use store::{Collection, CollectionTx, Documents, Error, IndexSpec};
pub use update::{Update, UpdateError};

/// How deeply objects and arrays may be nested; the document itself is level 1.
pub const NESTING_MAX: usize = 100;

/// How many bytes of BSON one document may have.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
