//! What can go wrong with collections.
//!
//! One umbrella: every operation of a collection is a piece of a transaction, and a transaction
//! mixes them freely. The parts that can be wrong by themselves have their own types.

use nexusbase_db as db;

use super::index::DuplicateValues;
use crate::aggregate::{AggregateError, PipelineError};
use crate::error::{DocumentError, FilterError, IdError, ProjectionError, SortError, ValueError};
use crate::query::CursorError;
use crate::store::change::ChangeError;
use crate::store::changes::ChangesError;
use crate::store::idempotency::IdempotencyError;
use crate::store::revision::Revision;
use crate::store::schema::{SchemaError, Violation};

/// Why an operation on a collection failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The collection's name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such collection.
    #[error("there is no collection {collection:?}; it is created by the first insert")]
    NoSuchCollection {
        /// The name.
        collection: String,
    },
    /// A document breaks a rule.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// An `_id` cannot be used.
    #[error(transparent)]
    Id(#[from] IdError),
    /// There is a document with that `_id` already.
    #[error(
        "collection {collection:?} already has a document with the _id {id}; use replace to \
         overwrite it"
    )]
    DuplicateId {
        /// The collection.
        collection: String,
        /// The `_id`, as text.
        id: String,
    },
    /// A replacement brings another `_id`.
    #[error(
        "the document's _id is {found}, but {expected} is to be replaced; an _id never changes"
    )]
    IdChanged {
        /// The document that was to be replaced, as text.
        expected: String,
        /// The `_id` in the replacement, as text.
        found: String,
    },
    /// A value is too long to be a key.
    #[error(
        "the value of {path:?} takes {bytes} bytes as a key, over the limit of {limit}; shorten \
         it, or drop the index on {path:?}"
    )]
    KeyTooLarge {
        /// The field.
        path: String,
        /// Its size as a key.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A path cannot be indexed.
    #[error("{path:?} cannot be indexed: {reason}")]
    IndexPath {
        /// The path.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A document has two arrays under the paths of one index, which would need a row for each
    /// pair of elements.
    #[error(
        "the document has two arrays under the paths of the index {index:?}; an index holds one \
         array per document: keep the lists in one array of objects, or index them apart"
    )]
    ParallelArrays {
        /// The index.
        index: String,
    },
    /// An index contradicts itself, or cannot be named.
    #[error("the index {index:?} cannot be: {reason}")]
    IndexSpec {
        /// Its name.
        index: String,
        /// Why not.
        reason: String,
    },
    /// An index of that name exists and is another one.
    #[error(
        "collection {collection:?} has another index {index:?} already ({difference}); drop it, \
         or choose another name"
    )]
    IndexExists {
        /// The collection.
        collection: String,
        /// The name of the index.
        index: String,
        /// What of the one that exists is not as it was asked for.
        difference: String,
    },
    /// A collection has as many indexes as it may.
    #[error("collection {collection:?} has {limit} indexes already, the most it can have")]
    TooManyIndexes {
        /// The collection.
        collection: String,
        /// How many it may have.
        limit: usize,
    },
    /// Another document has the same values in a unique index.
    #[error(
        "the document with the _id {id} of collection {collection:?} already has {values} in the \
         unique index {index:?}"
    )]
    DuplicateKey {
        /// The collection.
        collection: String,
        /// The name of the index.
        index: String,
        /// The values, as JSON: an object with the paths of the index.
        values: String,
        /// The `_id` of the other document, as text.
        id: String,
    },
    /// The documents of a collection have duplicates where a unique index is to be built.
    #[error(
        "the unique index {index:?} cannot be built: documents of collection {collection:?} have \
         the same values: {}",
        listed(duplicates)
    )]
    DuplicateKeys {
        /// The collection.
        collection: String,
        /// The name of the index, which was removed.
        index: String,
        /// Some of the duplicates.
        duplicates: Vec<DuplicateValues>,
    },
    /// There is no such index.
    #[error("collection {collection:?} has no index {index:?}")]
    NoSuchIndex {
        /// The collection.
        collection: String,
        /// The name of the index.
        index: String,
    },
    /// A document has too many different words for a text index.
    #[error(
        "the document has more than {limit} different words in the fields of the text index \
         {index:?}; split it, or drop the index"
    )]
    TooManyWords {
        /// The name of the index.
        index: String,
        /// How many it may have.
        limit: usize,
    },
    /// A filter searches in a collection without a text index.
    #[error(
        "$text searches by a text index, and collection {collection:?} has none: create one, such \
         as text:title,body"
    )]
    NoTextIndex {
        /// The collection.
        collection: String,
    },
    /// A score of nothing is asked for.
    #[error("the {asked_in} asks for the text score, and the filter has no $text that gives one")]
    NoTextScore {
        /// Where: `sort` or `projection`.
        asked_in: &'static str,
    },
    /// A query cannot be answered in the way that it asks for.
    #[error("the query cannot be answered by {hint}: {reason}; leave out the hint")]
    Hint {
        /// What it asks for.
        hint: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// The different values of a path are too many to be returned at once.
    #[error(
        "the different values of {path:?} take more than {limit} bytes; ask for fewer documents, or \
         go through them page by page"
    )]
    TooManyValues {
        /// The path.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A filter is refused.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A sort is refused, or needs too much memory.
    #[error(transparent)]
    Sort(#[from] SortError),
    /// A projection is refused.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// A pipeline is refused.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A pipeline stopped while it ran.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
    /// A cursor is refused.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// A value cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A document is not as a condition wants it.
    #[error(
        "the document {id} of collection {collection:?} {}; read it again and decide anew",
        current.map_or("does not exist".to_owned(), |now| format!("has the revision {now}"))
    )]
    Precondition {
        /// The collection.
        collection: String,
        /// The `_id`, as text.
        id: String,
        /// The revision that the document has; none if there is no such document.
        current: Option<Revision>,
    },
    /// A change to documents is refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A document does not satisfy the schema of its collection.
    #[error(
        "the document does not satisfy the schema of collection {collection:?}: {}",
        violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Schema {
        /// The collection.
        collection: String,
        /// What is wrong; at most [`VIOLATIONS_MAX`](crate::store::VIOLATIONS_MAX) of it.
        violations: Vec<Violation>,
    },
    /// A schema cannot be used.
    #[error(transparent)]
    SchemaRefused(#[from] SchemaError),
    /// There is a collection of the name already.
    #[error("there is a collection {collection:?} already; drop it first, or ask to replace it")]
    CollectionExists {
        /// The name.
        collection: String,
    },
    /// Changes cannot be shown from where it was asked.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// An answer cannot be kept for repeated requests.
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// What the database holds for this collection makes no sense.
    #[error("collection {collection:?} is damaged: {reason}")]
    Damaged {
        /// The collection.
        collection: String,
        /// What is wrong.
        reason: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] db::Error),
}

fn listed(duplicates: &[DuplicateValues]) -> String {
    let all: Vec<_> = duplicates.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// Why a collection cannot have a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot name a collection: use 1 to 128 letters, digits, '_', '-' and '.', not \
     starting with '.' or '-'"
)]
pub struct NameError {
    /// The name.
    pub name: String,
}

/// Makes `?` work on the database's own errors, which all go under one umbrella there.
macro_rules! from_database {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}

from_database!(
    db::OpenError,
    db::ReadError,
    db::WriteError,
    db::CommitError
);
