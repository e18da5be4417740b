//! A collection's definition: its trees, and its indexes with their state.
//!
//! One BSON document per collection in the tree `documents`, under the collection's name; the
//! layout is in `docs/format.md`. Every operation reads it inside its transaction, so a change of
//! it is a conflict for all that run meanwhile.

use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use nexusbase_db::TreeId;

use super::index::{IndexInfo, IndexSpec};
use super::schema::StoredSchema;
use crate::error::ValueError;
use crate::path::{Path, field};
use crate::sort::SortKey;
use crate::text::VERSION as WORDS_VERSION;
use crate::value::key::Direction;

const VERSION: i32 = 2;

/// What a collection consists of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    /// What the names of its trees begin with. It stays when the collection is renamed.
    pub(crate) prefix: Box<str>,
    pub(crate) data: TreeId,
    pub(crate) indexes: Vec<IndexDefinition>,
    /// What its documents must satisfy.
    pub(crate) schema: Option<StoredSchema>,
    /// Changes to its documents must come with a condition.
    pub(crate) require_conditions: bool,
}

/// One index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IndexDefinition {
    pub(crate) spec: IndexSpec,
    pub(crate) tree: TreeId,
    /// Per part: some document has had an array, none or several values there. By a part that is
    /// not multikey, the index orders documents as a sort would, and conditions on it meet in one
    /// row. Which conditions on several parts meet in one row says
    /// [`IndexSpec::may_share_array`].
    pub(crate) multikey: Vec<bool>,
    /// Every document is in it. Until then it is kept up to date, but not read.
    pub(crate) ready: bool,
}

/// A collection as a user sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its indexes, beside the one on `_id`.
    pub indexes: Vec<IndexInfo>,
    /// The JSON Schema that its documents must satisfy, as JSON text.
    pub schema: Option<String>,
    /// Whether a server must refuse changes to its documents that come without a condition.
    pub require_conditions: bool,
}

impl IndexDefinition {
    pub(crate) fn new(spec: IndexSpec, tree: TreeId) -> Self {
        Self {
            multikey: vec![false; spec.parts.len()],
            spec,
            tree,
            ready: false,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.spec.name()
    }

    pub(crate) fn is_multikey(&self) -> bool {
        self.multikey.contains(&true)
    }
}

impl Definition {
    pub(crate) fn info(&self, name: String, indexes: Vec<IndexInfo>) -> CollectionInfo {
        CollectionInfo {
            name,
            indexes,
            schema: self.schema.as_ref().map(|schema| schema.text().to_owned()),
            require_conditions: self.require_conditions,
        }
    }

    pub(crate) fn index(&self, name: &str) -> Option<&IndexDefinition> {
        self.indexes.iter().find(|index| index.name() == name)
    }

    /// The index that lies in `tree`, and its number.
    pub(crate) fn index_in(&self, tree: TreeId) -> Option<(usize, &IndexDefinition)> {
        let mut indexes = self.indexes.iter().enumerate();
        indexes.find(|(_, index)| index.tree == tree)
    }

    pub(crate) fn index_mut(&mut self, name: &str) -> Option<&mut IndexDefinition> {
        self.indexes.iter_mut().find(|index| index.name() == name)
    }

    pub(crate) fn encode(&self) -> RawDocumentBuf {
        let mut indexes = RawArrayBuf::new();
        for index in &self.indexes {
            indexes.push(encode_index(index));
        }
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("v"), VERSION);
        document.append(cstr!("prefix"), &*self.prefix);
        document.append(cstr!("data"), i64::from(self.data.get()));
        document.append(cstr!("indexes"), indexes);
        if let Some(schema) = &self.schema {
            document.append(cstr!("schema"), schema.text());
        }
        document.append(cstr!("require_conditions"), self.require_conditions);
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
        let mut indexes = Vec::new();
        for one in list(document, "indexes")? {
            indexes.push(decode_index(one?)?);
        }
        Ok(Self {
            prefix: text(document, "prefix")?.into(),
            data: tree(document, "data")?,
            indexes,
            schema: match field(document, "schema").map_err(|e| e.to_string())? {
                Some(schema) => {
                    let text = schema.as_str().ok_or("schema is no string")?;
                    Some(StoredSchema::new(text))
                }
                None => None,
            },
            require_conditions: flag(document, "require_conditions")?,
        })
    }
}

fn encode_index(index: &IndexDefinition) -> RawDocumentBuf {
    let spec = &index.spec;
    let mut parts = RawArrayBuf::new();
    for (part, multikey) in spec.parts.iter().zip(&index.multikey) {
        let mut one = RawDocumentBuf::new();
        one.append(cstr!("path"), part.path.as_str());
        one.append(cstr!("descending"), part.direction == Direction::Descending);
        one.append(cstr!("multikey"), *multikey);
        parts.push(one);
    }
    let mut one = RawDocumentBuf::new();
    one.append(cstr!("name"), index.name());
    one.append(cstr!("tree"), i64::from(index.tree.get()));
    one.append(cstr!("ready"), index.ready);
    one.append(cstr!("parts"), parts);
    one.append(cstr!("unique"), spec.unique);
    one.append(cstr!("sparse"), spec.sparse);
    if let Some(partial) = &spec.partial {
        one.append(cstr!("partial"), &*partial.document);
    }
    if let Some(seconds) = spec.expire_after_seconds {
        one.append(cstr!("expire_after_seconds"), i64::from(seconds));
    }
    if spec.is_text {
        one.append(cstr!("text"), WORDS_VERSION);
    }
    one
}

fn decode_index(document: &RawDocument) -> Result<IndexDefinition, String> {
    let (mut parts, mut multikey) = (Vec::new(), Vec::new());
    for part in list(document, "parts")? {
        let part = part?;
        let direction = if flag(part, "descending")? {
            Direction::Descending
        } else {
            Direction::Ascending
        };
        let path = Path::parse(text(part, "path")?).map_err(|e| e.to_string())?;
        parts.push(SortKey { path, direction });
        multikey.push(flag(part, "multikey")?);
    }
    let mut spec = IndexSpec::of(parts)?;
    if let Some(version) = field(document, "text").map_err(|e| e.to_string())? {
        if version.as_i32() != Some(WORDS_VERSION) {
            let expected = WORDS_VERSION;
            return Err(format!(
                "a text index has words of version {version:?}, expected {expected}"
            ));
        }
        spec = spec.into_text()?;
    }
    spec = spec.named(text(document, "name")?);
    spec.unique = flag(document, "unique")?;
    spec.sparse = flag(document, "sparse")?;
    if let Some(partial) = field(document, "partial").map_err(|e| e.to_string())? {
        let partial = partial.as_document().ok_or("partial is no object")?;
        spec = spec.partial(partial).map_err(|e| e.to_string())?;
    }
    if let Some(seconds) = field(document, "expire_after_seconds").map_err(|e| e.to_string())? {
        let seconds = seconds
            .as_i64()
            .and_then(|number| u32::try_from(number).ok());
        spec.expire_after_seconds = Some(seconds.ok_or("expire_after_seconds is no time")?);
    }
    Ok(IndexDefinition {
        spec,
        tree: tree(document, "tree")?,
        multikey,
        ready: flag(document, "ready")?,
    })
}

fn get<'a>(document: &'a RawDocument, name: &str) -> Result<RawBsonRef<'a>, String> {
    field(document, name)
        .map_err(|e: ValueError| e.to_string())?
        .ok_or_else(|| format!("its definition lacks {name:?}"))
}

/// The objects of a list.
fn list<'a>(
    document: &'a RawDocument,
    name: &str,
) -> Result<impl Iterator<Item = Result<&'a RawDocument, String>> + use<'a>, String> {
    let array = get(document, name)?.as_array();
    let array = array.ok_or_else(|| format!("{name} is no list"))?;
    Ok(array.into_iter().map(|one| {
        let one = one.map_err(|e| e.to_string())?;
        one.as_document()
            .ok_or_else(|| "a list of objects has something else".to_owned())
    }))
}

fn text<'a>(document: &'a RawDocument, name: &str) -> Result<&'a str, String> {
    let text = get(document, name)?.as_str();
    text.ok_or_else(|| format!("{name} is no string"))
}

fn flag(document: &RawDocument, name: &str) -> Result<bool, String> {
    let flag = get(document, name)?.as_bool();
    flag.ok_or_else(|| format!("{name} is no boolean"))
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
    use bson::rawdoc;

    use super::*;

    fn definition() -> Definition {
        let spec = IndexSpec::on("a.b,-c").unwrap().unique().expire_after(60);
        let spec = spec.partial(&rawdoc! { "a.b": 1 }).unwrap().named("x");
        let mut index = IndexDefinition::new(spec, TreeId::new(6));
        index.multikey[0] = true;
        Definition {
            prefix: "documents/n".into(),
            data: TreeId::new(5),
            indexes: vec![index],
            schema: Some(StoredSchema::new("{\"type\":\"object\"}")),
            require_conditions: true,
        }
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
    fn the_bytes_of_a_definition_do_not_change() {
        let bytes = definition().encode().into_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "4a0100001076000200000002707265666978000c000000646f63756d656e74732f6e0012646174",
            "6100050000000000000004696e646578657300dc000000033000d4000000026e616d6500020000",
            "00780012747265650006000000000000000872656164790000047061727473005f000000033000",
            "2b00000002706174680004000000612e62000864657363656e64696e670000086d756c74696b65",
            "79000100033100290000000270617468000200000063000864657363656e64696e670001086d75",
            "6c74696b65790000000008756e697175650001087370617273650000037061727469616c000e00",
            "000010612e62000100000000126578706972655f61667465725f7365636f6e6473003c00000000",
            "000000000002736368656d6100120000007b2274797065223a226f626a656374227d0008726571",
            "756972655f636f6e646974696f6e73000100",
        ]
        .concat();
        assert_eq!(hex, expected);
    }

    #[test]
    fn the_bytes_of_a_text_index_do_not_change() {
        let spec = IndexSpec::full_text(&["a", "b.c"]).unwrap();
        let index = IndexDefinition::new(spec, TreeId::new(6));
        let encoded = encode_index(&index);
        assert_eq!(decode_index(&encoded), Ok(index));
        let bytes = encoded.into_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "b2000000026e616d65000b000000746578743a612c622e6300127472656500060000000000000008",
            "72656164790000047061727473005f00000003300029000000027061746800020000006100086465",
            "7363656e64696e670000086d756c74696b65790000000331002b0000000270617468000400000062",
            "2e63000864657363656e64696e670000086d756c74696b65790000000008756e6971756500000873",
            "706172736500001074657874000100000000",
        ]
        .concat();
        assert_eq!(hex, expected);
    }

    #[test]
    fn words_of_another_version_are_refused() {
        let spec = IndexSpec::full_text(&["a"]).unwrap();
        let mut encoded = encode_index(&IndexDefinition::new(spec, TreeId::new(6))).into_bytes();
        let last = encoded.len() - 5;
        assert_eq!(encoded[last], 1);
        encoded[last] = 2;
        let error = decode_index(RawDocument::from_bytes(&encoded).unwrap()).unwrap_err();
        assert!(error.contains("words of version"), "{error}");
    }

    #[test]
    fn a_damaged_definition_is_an_error() {
        let definition = Definition {
            indexes: Vec::new(),
            ..definition()
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
