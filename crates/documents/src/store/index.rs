//! Indexes: what they are asked to be, which rows a document has in them, how they are kept up to
//! date, built, listed and used up.
//!
//! A row's key is the encoded values of the index's parts, each in its direction, and then, unless
//! the index is unique, the encoded `_id`. Its value is the encoded `_id` if the index is unique,
//! and otherwise empty.
//!
//! An array stands in an index by each of its elements; parts that lead through the same array
//! stay in step. So that every document has a row in an index that leaves none out on purpose, an
//! empty array, or a path that finds nothing at all, stands there as undefined, which no condition
//! asks for; a missing field stands as null. A text index is another thing: a document stands
//! there by its words.

pub(crate) mod build;
mod expire;
mod fill;
mod info;
mod maintain;
mod partial;
pub(crate) mod position;
pub(crate) mod row;
pub(crate) mod spec;
pub(crate) mod text;
mod walk;

pub use build::{Built, DUPLICATES_NAMED_MAX, DuplicateValues};
pub use expire::Expired;
pub use info::{BuildProgress, IndexInfo, IndexSize, IndexUse, UnfinishedIndex};
pub use spec::{EXPIRE_SECONDS_MAX, INDEX_NAME_BYTES_MAX, INDEX_PARTS_MAX, IndexSpec};
pub use text::INDEX_WORDS_MAX;

pub(crate) use info::Uses;

use bson::raw::RawBsonRef;
use nexusbase_db::{Error as DbError, TRANSACTION_BYTES_MAX, WriteError};

use super::error::Error;
use crate::value::key;

/// How many indexes one collection may have.
pub const INDEXES_MAX: usize = 64;
/// The longest encoded values in an index row together, in bytes; the `_id` follows them.
pub(crate) const VALUE_KEY_BYTES_MAX: usize = 32 << 10;
/// The longest encoded `_id`, in bytes.
pub(crate) const ID_KEY_BYTES_MAX: usize = 8 << 10;

/// The key of an `_id` in the tree of documents.
pub(crate) fn id_key(id: RawBsonRef<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(24);
    key::encode(id, &mut bytes)?;
    if bytes.len() > ID_KEY_BYTES_MAX {
        let (path, bytes) = ("_id".to_owned(), bytes.len());
        return Err(Error::KeyTooLarge {
            path,
            bytes,
            limit: ID_KEY_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// That the index rows of a document take more than a transaction holds.
fn too_large(bytes: usize) -> Error {
    let limit = TRANSACTION_BYTES_MAX;
    WriteError::TransactionTooLarge { bytes, limit }.into()
}

/// Whether a transaction held too much.
pub(super) const fn is_too_large(error: &Error) -> bool {
    matches!(
        error,
        Error::Database(DbError::Write(WriteError::TransactionTooLarge { .. }))
    )
}

/// Whether it is the document's fault, so that no index of this kind can hold it.
fn is_of_document(error: &Error) -> bool {
    matches!(
        error,
        Error::KeyTooLarge { .. } | Error::ParallelArrays { .. } | Error::TooManyWords { .. }
    ) || is_too_large(error)
}
