//! The rows that a document has in an index, and how a row is taken apart.

use bson::raw::{RawBsonRef, RawDocument};

use super::VALUE_KEY_BYTES_MAX;
use crate::ValueError;
use crate::path::{Found, Path};
use crate::sort::SortKey;
use crate::store::definition::IndexDefinition;
use crate::store::error::Error;
use crate::value::key::{self, Direction, invert, split_first_directed};

/// The rows of a document in an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The values of the parts, encoded; sorted, each once.
    pub(crate) values: Vec<Vec<u8>>,
    /// Which parts have found none or several values: by them the index does not order documents
    /// as a sort would.
    pub(crate) multikey: Vec<bool>,
}

/// What one part finds in a document.
struct Values {
    /// Encoded, ascending; at least one.
    keys: Vec<Vec<u8>>,
    /// Just one plain value, or none.
    single: bool,
    /// Nothing but missing fields.
    missing: bool,
}

/// The rows of `document` in `index`; none if the index leaves it out.
pub(crate) fn rows(index: &IndexDefinition, document: &RawDocument) -> Result<Rows, Error> {
    let spec = &index.spec;
    if let Some(partial) = &spec.partial
        && !partial.filter.matches(document)?
    {
        return Ok(Rows::default());
    }
    let parts = spec.parts.iter().map(|part| values(&part.path, document));
    let parts = parts.collect::<Result<Vec<_>, ValueError>>()?;
    if spec.sparse && parts.iter().all(|part| part.missing) {
        return Ok(Rows::default());
    }
    let multikey: Vec<bool> = parts.iter().map(|part| !part.single).collect();
    let several = parts.iter().filter(|part| part.keys.len() > 1);
    if several.count() > 1 {
        return Err(Error::ParallelArrays {
            index: spec.name.to_string(),
        });
    }
    let mut values = product(&spec.parts, &parts);
    values.sort_unstable();
    values.dedup();
    check(index, &values)?;
    Ok(Rows { values, multikey })
}

fn values(path: &Path, document: &RawDocument) -> Result<Values, ValueError> {
    let mut found_values = Values {
        keys: Vec::new(),
        single: true,
        missing: true,
    };
    path.visit(document, &mut |found| {
        let Values {
            keys,
            single,
            missing,
        } = &mut found_values;
        *missing &= found == Found::Missing;
        match found {
            Found::Missing => keys.push(encoded(RawBsonRef::Null)?),
            Found::Apart => *single = false,
            Found::Value {
                value: RawBsonRef::Array(array),
                unwrap: true,
            } => {
                *single = false;
                for element in array {
                    keys.push(encoded(element?)?);
                }
                if array.is_empty() {
                    keys.push(encoded(RawBsonRef::Undefined)?);
                }
            }
            Found::Value { value, .. } => {
                *single &= !matches!(value, RawBsonRef::Array(_));
                keys.push(encoded(value)?);
            }
        }
        Ok(false)
    })?;
    let Values { keys, single, .. } = &mut found_values;
    if keys.is_empty() {
        *single = false;
        keys.push(encoded(RawBsonRef::Undefined)?);
    }
    *single &= keys.len() == 1;
    keys.sort_unstable();
    keys.dedup();
    Ok(found_values)
}

fn encoded(value: RawBsonRef<'_>) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::with_capacity(24);
    key::encode(value, &mut bytes)?;
    Ok(bytes)
}

/// One key for each choice of a value per part.
fn product(parts: &[SortKey], found: &[Values]) -> Vec<Vec<u8>> {
    let mut keys = vec![Vec::new()];
    for (part, values) in parts.iter().zip(found) {
        let longer = |key: &Vec<u8>, value: &Vec<u8>| {
            let mut longer = [key.as_slice(), value].concat();
            if part.direction == Direction::Descending {
                invert(&mut longer[key.len()..]);
            }
            longer
        };
        keys = keys
            .iter()
            .flat_map(|key| values.keys.iter().map(move |value| longer(key, value)))
            .collect();
    }
    keys
}

fn check(index: &IndexDefinition, values: &[Vec<u8>]) -> Result<(), Error> {
    let long = values
        .iter()
        .find(|value| value.len() > VALUE_KEY_BYTES_MAX);
    match long {
        None => Ok(()),
        Some(long) => Err(Error::KeyTooLarge {
            path: index.spec.text(),
            bytes: long.len(),
            limit: VALUE_KEY_BYTES_MAX,
        }),
    }
}

impl IndexDefinition {
    /// The key and the value of the row with these values, of the document under `id_key`.
    pub(crate) fn row(&self, values: &[u8], id_key: &[u8]) -> (Vec<u8>, Vec<u8>) {
        if self.spec.unique {
            (values.to_vec(), id_key.to_vec())
        } else {
            ([values, id_key].concat(), Vec::new())
        }
    }

    /// The values of a row and the `_id` key of its document; none when the row is damaged.
    pub(crate) fn split_row<'r>(
        &self,
        key: &'r [u8],
        value: &'r [u8],
    ) -> Option<(&'r [u8], &'r [u8])> {
        let mut rest = key;
        for part in &self.spec.parts {
            (_, rest) = split_first_directed(rest, part.direction)?;
        }
        if self.spec.unique {
            rest.is_empty().then_some((key, value))
        } else {
            Some((&key[..key.len() - rest.len()], rest))
        }
    }
}
