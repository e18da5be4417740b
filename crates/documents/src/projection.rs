//! Cutting documents down to the fields that were asked for.
//!
//! A projection names fields to keep, as dotted paths; `_id` is always kept. What is kept stays
//! in its stored order. Where a path meets an array it applies to each object in it; other
//! elements of that array are left out, as they have no such field. Arrays inside arrays are
//! treated alike. A numeric part names a field, not an index. An object that has none of the
//! fields stays, empty.
//!
//! The bytes of kept fields are copied as they are.

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::spec::ElementType;

use crate::NESTING_MAX;
use crate::error::{ProjectionError, ValueError};
use crate::path::Path;

/// The fields to keep.
#[derive(Clone, Debug)]
pub struct Projection {
    root: Vec<Node>,
}

/// A field to keep: all of it, or, if there are fields below it, those.
#[derive(Clone, Debug)]
struct Node {
    name: Box<str>,
    below: Vec<Node>,
}

impl Projection {
    /// Reads a list of paths separated by commas, such as `name,owner.mail`.
    ///
    /// # Errors
    /// One that names the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, ProjectionError> {
        if text.trim().is_empty() {
            return Err(ProjectionError::Empty);
        }
        Self::from_fields(text.split(',').map(str::trim))
    }

    /// The projection to these paths. Naming one twice, or a field and one inside it, is refused.
    ///
    /// # Errors
    /// One that names the field that is wrong.
    pub fn from_fields<'a>(
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ProjectionError> {
        let mut paths: Vec<Path> = Vec::new();
        let mut root = vec![Node {
            name: "_id".into(),
            below: Vec::new(),
        }];
        for field in fields {
            let path = Path::parse(field).map_err(|source| ProjectionError::Path {
                field: field.to_owned(),
                source,
            })?;
            if path.as_str() == "_id" {
                continue;
            }
            if path.first() == "_id" {
                let (field, other) = (field.to_owned(), "_id".to_owned());
                return Err(ProjectionError::Collision { field, other });
            }
            add(&mut root, &path);
            paths.push(path);
        }
        check_overlap(&mut paths)?;
        Ok(Self { root })
    }

    /// The document with nothing but the fields asked for.
    ///
    /// # Errors
    /// When the document is damaged or nested too deeply where it had to be read.
    pub fn apply(&self, document: &RawDocument) -> Result<RawDocumentBuf, ValueError> {
        let mut out = Vec::new();
        put_object(document, &self.root, 1, &mut out)?;
        Ok(RawDocumentBuf::from_bytes(out)?)
    }
}

/// Refuses a path that lies within another. In the order of their parts the two are neighbours.
fn check_overlap(paths: &mut [Path]) -> Result<(), ProjectionError> {
    paths.sort_by(|a, b| a.parts().cmp(b.parts()));
    for pair in paths.windows(2) {
        if pair[1].is_within(&pair[0]) {
            let (field, other) = (pair[0].to_string(), pair[1].to_string());
            return Err(ProjectionError::Collision { field, other });
        }
    }
    Ok(())
}

fn add(root: &mut Vec<Node>, path: &Path) {
    let mut nodes = root;
    for part in path.parts() {
        let index = nodes
            .iter()
            .position(|node| &*node.name == part)
            .unwrap_or_else(|| {
                nodes.push(Node {
                    name: part.into(),
                    below: Vec::new(),
                });
                nodes.len() - 1
            });
        nodes = &mut nodes[index].below;
    }
}

/// Leaves room for the length of a document.
fn open(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

fn close(out: &mut Vec<u8>, start: usize) {
    out.push(0);
    // What is copied is never longer than the document that it comes from, except for the
    // numbers of array elements, which only become smaller.
    let length = i32::try_from(out.len() - start).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_header(element_type: ElementType, name: &str, out: &mut Vec<u8>) {
    out.push(element_type as u8);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

fn put_object(
    object: &RawDocument,
    nodes: &[Node],
    level: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    enter(level)?;
    let start = open(out);
    let bytes = object.as_bytes();
    let mut end = 4; // elements follow the length without gaps
    for element in object.iter_elements() {
        let element = element?;
        let name = element.key().as_str();
        let begin = end;
        end = begin + 1 + name.len() + 1 + element.size();
        let Some(node) = nodes.iter().find(|node| &*node.name == name) else {
            continue;
        };
        if node.below.is_empty() {
            out.extend_from_slice(bytes.get(begin..end).unwrap_or_default());
            continue;
        }
        match element.value()? {
            RawBsonRef::Document(inner) => {
                put_header(ElementType::EmbeddedDocument, name, out);
                put_object(inner, &node.below, level + 1, out)?;
            }
            RawBsonRef::Array(inner) => {
                put_header(ElementType::Array, name, out);
                put_array(inner, &node.below, level + 1, out)?;
            }
            _ => {}
        }
    }
    close(out, start);
    Ok(())
}

fn put_array(
    array: &RawArray,
    nodes: &[Node],
    level: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    enter(level)?;
    let start = open(out);
    let mut kept = 0;
    for element in array {
        match element? {
            RawBsonRef::Document(inner) => {
                put_header(ElementType::EmbeddedDocument, &kept.to_string(), out);
                put_object(inner, nodes, level + 1, out)?;
            }
            RawBsonRef::Array(inner) => {
                put_header(ElementType::Array, &kept.to_string(), out);
                put_array(inner, nodes, level + 1, out)?;
            }
            _ => continue,
        }
        kept += 1;
    }
    close(out, start);
    Ok(())
}

fn enter(level: usize) -> Result<(), ValueError> {
    if level > NESTING_MAX {
        Err(ValueError::TooDeep)
    } else {
        Ok(())
    }
}
