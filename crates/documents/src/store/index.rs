//! Which rows a document has in an index.

use bson::raw::{RawBsonRef, RawDocument};

use super::error::Error;
use crate::path::{Found, Path};
use crate::value::key;

/// The longest encoded value in an index row, in bytes; the `_id` follows it in the key.
pub(crate) const VALUE_KEY_BYTES_MAX: usize = 32 << 10;
/// The longest encoded `_id`, in bytes.
pub(crate) const ID_KEY_BYTES_MAX: usize = 8 << 10;

/// The values of a document under an index's path, encoded, sorted, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryKeys {
    pub(crate) keys: Vec<Vec<u8>>,
    /// Whether the document stands in the index once, by one plain value, so that the index
    /// orders it as a sort would.
    pub(crate) single: bool,
}

/// The index rows of `document`: one for each value that a condition on `path` could meet.
///
/// An array stands there as a whole and by each of its elements; a missing field as null.
pub(crate) fn entry_keys(path: &Path, document: &RawDocument) -> Result<EntryKeys, Error> {
    let mut entries = EntryKeys {
        keys: Vec::new(),
        single: true,
    };
    path.visit(document, &mut |found| {
        match found {
            Found::Missing => push(RawBsonRef::Null, &mut entries.keys)?,
            Found::Apart => entries.single = false,
            Found::Value { value, unwrap } => {
                push(value, &mut entries.keys)?;
                if let RawBsonRef::Array(array) = value {
                    entries.single = false;
                    for element in array.into_iter().filter(|_| unwrap) {
                        push(element?, &mut entries.keys)?;
                    }
                }
            }
        }
        Ok(false)
    })?;
    entries.single &= entries.keys.len() == 1;
    entries.keys.sort_unstable();
    entries.keys.dedup();
    if let Some(long) = entries
        .keys
        .iter()
        .find(|key| key.len() > VALUE_KEY_BYTES_MAX)
    {
        let (path, bytes) = (path.as_str().to_owned(), long.len());
        return Err(Error::KeyTooLarge {
            path,
            bytes,
            limit: VALUE_KEY_BYTES_MAX,
        });
    }
    Ok(entries)
}

fn push(value: RawBsonRef<'_>, keys: &mut Vec<Vec<u8>>) -> Result<(), crate::ValueError> {
    let mut bytes = Vec::with_capacity(24);
    key::encode(value, &mut bytes)?;
    keys.push(bytes);
    Ok(())
}

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
