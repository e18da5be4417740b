//! JSON Patch (RFC 6902).
//!
//! Operations are carried out one after the other, each on what the ones before it left. If one
//! fails, nothing has happened. Members that the standard does not define are ignored, as it
//! demands.

use bson::raw::{CString, RawArray, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::pointer::{NO_CONTAINER, NO_ELEMENT, NO_FIELD, NO_INDEX, Pointer};
use super::same::same;
use super::{PatchError, checked};
use crate::document::check_structure;
use crate::path::{field, index_of};
use crate::tree::{Node, Opened};
use crate::value::type_name;
use crate::{DOCUMENT_BYTES_MAX, DocumentError, NESTING_MAX, ValueError};

/// How many operations a patch may have.
pub const OPERATIONS_MAX: usize = 10_000;
/// How many bytes a patch may write in all, so that copies of copies do not fill the memory.
const WRITTEN_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;
/// How many values all operations may pass over: what inserting and removing at the front of a long
/// array costs, and moving a large value that was opened.
const PASSED_MAX: usize = 1 << 28;

const OPERATIONS: &[&str] = &["add", "remove", "replace", "move", "copy", "test"];

/// A JSON Patch, parsed and checked.
#[derive(Clone, Debug)]
pub struct JsonPatch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
struct Operation {
    path: Pointer,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Add(RawBson),
    Remove,
    Replace(RawBson),
    Move(Pointer),
    Copy(Pointer),
    Test(RawBson),
}

impl JsonPatch {
    /// Reads a patch: an array of operations.
    ///
    /// # Errors
    /// One that names the operation by its index, and what is wrong with it.
    pub fn parse(patch: &RawArray) -> Result<Self, PatchError> {
        let mut operations = Vec::new();
        for (index, operation) in patch.into_iter().enumerate() {
            if index == OPERATIONS_MAX {
                return Err(PatchError::TooManyOperations {
                    operations: patch.into_iter().count(),
                    max: OPERATIONS_MAX,
                });
            }
            match operation.map_err(ValueError::from)? {
                RawBsonRef::Document(operation) => {
                    check_structure(operation)?;
                    operations.push(Operation::parse(index, operation)?);
                }
                other => {
                    let found = type_name(other);
                    return Err(PatchError::NotAnObject { index, found });
                }
            }
        }
        Ok(Self { operations })
    }

    /// The document with the patch applied.
    ///
    /// # Errors
    /// One that names the operation that cannot be carried out, or says why the result may not be
    /// stored. A failed `test` has an error of its own, [`PatchError::TestFailed`].
    pub fn apply(&self, document: &RawDocument) -> Result<RawDocumentBuf, PatchError> {
        let mut application = Application {
            root: Node::Raw(RawBsonRef::Document(document)),
            index: 0,
            written: 0,
            passed: 0,
        };
        for (index, operation) in self.operations.iter().enumerate() {
            application.index = index;
            application.carry_out(operation)?;
        }
        match application.root.open()? {
            Opened::Object(object) => checked(document, object.encode()),
            Opened::Array(_) | Opened::Plain(_) => Ok(document.to_owned()), // never left so
        }
    }
}

impl Operation {
    fn parse(index: usize, operation: &RawDocument) -> Result<Self, PatchError> {
        let text = |member, expected| match field(operation, member)? {
            Some(RawBsonRef::String(text)) => Ok(text),
            other => Err(PatchError::Member {
                index,
                member,
                expected,
                found: other.map_or("missing", type_name),
            }),
        };
        let pointer = |member| Pointer::parse(index, text(member, "a JSON pointer")?);
        let value = || match field(operation, "value")? {
            Some(value) => Ok(RawBson::from(value)),
            None => Err(PatchError::Member {
                index,
                member: "value",
                expected: "any value",
                found: "missing",
            }),
        };
        let operator = text("op", "the name of an operation")?;
        let path = pointer("path")?;
        let act = match operator {
            "add" => Act::Add(value()?),
            "remove" => Act::Remove,
            "replace" => Act::Replace(value()?),
            "move" => Act::Move(pointer("from")?),
            "copy" => Act::Copy(pointer("from")?),
            "test" => Act::Test(value()?),
            other => {
                return Err(PatchError::UnknownOperation {
                    index,
                    operator: other.to_owned(),
                    supported: OPERATIONS,
                });
            }
        };
        if let Act::Move(from) = &act
            && path.parts.len() > from.parts.len()
            && path.parts.starts_with(&from.parts)
        {
            return Err(PatchError::IntoItself {
                index,
                from: from.text.clone(),
                path: path.text,
            });
        }
        Ok(Self { path, act })
    }
}

/// One application of a patch.
struct Application<'a> {
    root: Node<'a>,
    /// The operation that is being carried out.
    index: usize,
    written: usize,
    passed: usize,
}

impl<'a> Application<'a> {
    fn carry_out(&mut self, operation: &'a Operation) -> Result<(), PatchError> {
        let (index, path) = (self.index, &operation.path);
        match &operation.act {
            Act::Add(value) => {
                let node = Node::Raw(value.as_raw_bson_ref());
                self.charge(node.bytes())?;
                self.add(path, node)
            }
            Act::Remove => self.remove(path).map(|_| ()),
            Act::Replace(value) => {
                let node = Node::Raw(value.as_raw_bson_ref());
                self.charge(node.bytes())?;
                if path.parts.is_empty() {
                    return self.add(path, node);
                }
                *path.find(index, &mut self.root)? = node;
                Ok(())
            }
            Act::Move(from) => {
                if from.parts == path.parts {
                    return from.find(index, &mut self.root).map(|_| ());
                }
                let node = self.remove(from)?;
                self.add(path, node)
            }
            Act::Copy(from) => {
                let bytes = from.find(index, &mut self.root)?.bytes();
                self.charge(bytes)?;
                let node = from.find(index, &mut self.root)?.clone();
                self.add(path, node)
            }
            Act::Test(value) => {
                let node = path.find(index, &mut self.root)?;
                if node.read(|found| same(found, value.as_raw_bson_ref()))? {
                    Ok(())
                } else {
                    let pointer = path.text.clone();
                    Err(PatchError::TestFailed { index, pointer })
                }
            }
        }
    }

    /// Counts what is written.
    fn charge(&mut self, bytes: usize) -> Result<(), PatchError> {
        self.written = self.written.saturating_add(bytes);
        if self.written > WRITTEN_BYTES_MAX {
            let bytes = self.written;
            return Err(DocumentError::TooLarge { bytes }.into());
        }
        Ok(())
    }

    fn add(&mut self, path: &'a Pointer, node: Node<'a>) -> Result<(), PatchError> {
        let index = self.index;
        // Values that are put into copies of themselves would grow ever deeper.
        let mut visited = 0;
        let levels = node.levels(&mut visited);
        self.pass(visited)?;
        if path.parts.len() + levels > NESTING_MAX {
            let at = path.text.clone();
            return Err(DocumentError::TooDeep { at }.into());
        }
        let Some((parent, last)) = path.parent(index, &mut self.root)? else {
            return self.replace_root(node);
        };
        match parent.open()? {
            Opened::Object(object) => *object.slot(last) = Some(node),
            Opened::Array(array) => {
                let position = match last.as_str() {
                    "-" => array.len(),
                    digits => index_of(digits).ok_or_else(|| path.missing(index, NO_INDEX))?,
                };
                let Some(behind) = array.len().checked_sub(position) else {
                    return Err(path.missing(index, NO_ELEMENT));
                };
                array.insert(position, node);
                self.pass(behind)?;
            }
            Opened::Plain(_) => return Err(path.missing(index, NO_CONTAINER)),
        }
        Ok(())
    }

    fn replace_root(&mut self, node: Node<'a>) -> Result<(), PatchError> {
        let found = match &node {
            Node::Object(_) | Node::Raw(RawBsonRef::Document(_)) => {
                self.root = node;
                return Ok(());
            }
            Node::Raw(value) => type_name(*value),
            Node::Array(_) => "an array",
        };
        let index = self.index;
        Err(PatchError::Root { index, found })
    }

    fn remove(&mut self, path: &Pointer) -> Result<Node<'a>, PatchError> {
        let index = self.index;
        let Some((parent, last)) = path.parent(index, &mut self.root)? else {
            let found = "nothing";
            return Err(PatchError::Root { index, found });
        };
        match parent.open()? {
            Opened::Object(object) => object
                .take(CString::as_str(last))
                .ok_or_else(|| path.missing(index, NO_FIELD)),
            Opened::Array(array) => {
                let position =
                    index_of(last.as_str()).ok_or_else(|| path.missing(index, NO_INDEX))?;
                if position >= array.len() {
                    return Err(path.missing(index, NO_ELEMENT));
                }
                let node = array.remove(position);
                let behind = array.len() - position;
                self.pass(behind)?;
                Ok(node)
            }
            Opened::Plain(_) => Err(path.missing(index, NO_CONTAINER)),
        }
    }

    /// Counts values that an operation has to pass over.
    fn pass(&mut self, values: usize) -> Result<(), PatchError> {
        self.passed = self.passed.saturating_add(values);
        if self.passed > PASSED_MAX {
            return Err(PatchError::TooManyOperations {
                operations: self.index + 1,
                max: self.index,
            });
        }
        Ok(())
    }
}
