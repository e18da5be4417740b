//! A collection's definition: its trees, and its indexes with their state.
//!
//! One BSON document per collection in the tree `documents`, under the collection's name; the
//! layout is in `docs/format.md`. Every operation reads it inside its transaction, so a change of
//! it is a conflict for all that run meanwhile.

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use nexusbase_db::TreeId;

use crate::error::ValueError;
use crate::path::{Path, field};

const VERSION: i32 = 1;

/// What a collection consists of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) data: TreeId,
    pub(crate) indexes: Vec<IndexDefinition>,
}

/// One index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IndexDefinition {
    pub(crate) path: Path,
    pub(crate) tree: TreeId,
    /// Some document has had none or several values under the path.
    pub(crate) multikey: bool,
    /// Every document is in it. Until then it is kept up to date, but not read.
    pub(crate) ready: bool,
}

/// A collection as a user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its indexes, beside the one on `_id`.
    pub indexes: Vec<IndexInfo>,
}

/// An index as a user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexInfo {
    /// The path that it orders documents by.
    pub path: String,
    /// Some document has none or several values there, so the index has as many rows for it.
    pub multikey: bool,
    /// Whether queries may use it yet.
    pub ready: bool,
}

impl IndexDefinition {
    pub(crate) fn info(&self) -> IndexInfo {
        let path = self.path.as_str().to_owned();
        IndexInfo {
            path,
            multikey: self.multikey,
            ready: self.ready,
        }
    }
}

impl Definition {
    pub(crate) fn index(&self, path: &str) -> Option<&IndexDefinition> {
        self.indexes
            .iter()
            .find(|index| index.path.as_str() == path)
    }

    pub(crate) fn index_mut(&mut self, path: &str) -> Option<&mut IndexDefinition> {
        self.indexes
            .iter_mut()
            .find(|index| index.path.as_str() == path)
    }

    pub(crate) fn encode(&self) -> RawDocumentBuf {
        let mut indexes = RawArrayBuf::new();
        for index in &self.indexes {
            let mut one = RawDocumentBuf::new();
            one.append(bson::raw::cstr!("path"), index.path.as_str());
            one.append(bson::raw::cstr!("tree"), i64::from(index.tree.get()));
            one.append(bson::raw::cstr!("multikey"), index.multikey);
            one.append(bson::raw::cstr!("ready"), index.ready);
            indexes.push(one);
        }
        let mut document = RawDocumentBuf::new();
        document.append(bson::raw::cstr!("v"), VERSION);
        document.append(bson::raw::cstr!("data"), i64::from(self.data.get()));
        document.append(bson::raw::cstr!("indexes"), indexes);
        document
    }

    /// Reads a definition, or says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let document = RawDocument::from_bytes(bytes).map_err(|e| e.to_string())?;
        match get(document, "v")?.as_i32() {
            Some(VERSION) => {}
            version => {
                return Err(format!(
                    "its definition has version {version:?}, expected {VERSION}"
                ));
            }
        }
        let list = get(document, "indexes")?
            .as_array()
            .ok_or("its indexes are not a list")?;
        let mut indexes = Vec::new();
        for one in list {
            let one = one.map_err(|e| e.to_string())?;
            indexes.push(decode_index(
                one.as_document().ok_or("an index is not an object")?,
            )?);
        }
        Ok(Self {
            data: tree(document, "data")?,
            indexes,
        })
    }
}

fn decode_index(document: &RawDocument) -> Result<IndexDefinition, String> {
    let flag = |name| {
        get(document, name)?
            .as_bool()
            .ok_or(format!("{name} is no boolean"))
    };
    let path = get(document, "path")?.as_str().ok_or("path is no string")?;
    Ok(IndexDefinition {
        path: Path::parse(path).map_err(|e| e.to_string())?,
        tree: tree(document, "tree")?,
        multikey: flag("multikey")?,
        ready: flag("ready")?,
    })
}

fn get<'a>(document: &'a RawDocument, name: &str) -> Result<bson::raw::RawBsonRef<'a>, String> {
    field(document, name)
        .map_err(|e: ValueError| e.to_string())?
        .ok_or_else(|| format!("its definition lacks {name:?}"))
}

fn tree(document: &RawDocument, name: &str) -> Result<TreeId, String> {
    let number = get(document, name)?
        .as_i64()
        .and_then(|number| u32::try_from(number).ok());
    number
        .map(TreeId::new)
        .ok_or_else(|| format!("{name} is no tree number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        Definition {
            data: TreeId::new(5),
            indexes: vec![IndexDefinition {
                path: Path::parse("a.b").unwrap(),
                tree: TreeId::new(6),
                multikey: true,
                ready: false,
            }],
        }
    }

    /// The bytes of version 1, as `docs/format.md` describes them. Never change what is expected
    /// here: databases that were written with it must open.
    #[test]
    fn golden_definition() {
        let definition = definition();
        let hex: String = definition
            .encode()
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let expected = "5f000000 10 7600 01000000 12 6461746100 0500000000000000 \
            04 696e646578657300 3c000000 03 3000 34000000 02 7061746800 04000000 612e6200 \
            12 7472656500 0600000000000000 08 6d756c74696b657900 01 08 726561647900 00 00 00 00";
        assert_eq!(hex, expected.replace(' ', ""));
    }

    #[test]
    fn a_definition_comes_back() {
        let definition = definition();
        assert_eq!(
            Definition::decode(definition.encode().as_bytes()),
            Ok(definition)
        );
    }

    #[test]
    fn a_damaged_definition_is_an_error() {
        let definition = Definition {
            data: TreeId::new(5),
            indexes: Vec::new(),
        };
        let bytes = definition.encode().into_bytes();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let _ = Definition::decode(&flipped);
            }
            assert!(Definition::decode(&bytes[..at]).is_err());
        }
    }
}
