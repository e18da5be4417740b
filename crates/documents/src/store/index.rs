//! Indexes: what they are asked to be, which rows a document has in them, and how a row is read.
//!
//! A row's key is the encoded values of the index's parts, each in its direction, and then, unless
//! the index is unique, the encoded `_id`. Its value is the encoded `_id` if the index is unique,
//! and otherwise empty.
//!
//! An array stands in an index by each of its elements. So that every document has a row in an
//! index that leaves none out on purpose, an empty array, or a path that finds nothing at all,
//! stands there as undefined, which no condition asks for; a missing field stands as null.

pub(crate) mod row;
pub(crate) mod spec;

pub use spec::{EXPIRE_SECONDS_MAX, INDEX_PARTS_MAX, IndexSpec};

use bson::raw::RawBsonRef;

use super::error::Error;
use crate::value::key;

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
