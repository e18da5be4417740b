//! JSON pointers (RFC 6901) as places in a document that is being changed.

use bson::raw::CString;

use super::PatchError;
use crate::NESTING_MAX;
use crate::path::index_of;
use crate::tree::{Node, Opened};

/// A place in a document.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    /// As it was written.
    pub(super) text: String,
    /// The way there; none for the document itself.
    pub(super) parts: Vec<CString>,
}

/// Why a pointer leads nowhere.
pub(super) const NO_FIELD: &str = "there is no such field";
/// Why a pointer leads nowhere.
pub(super) const NO_ELEMENT: &str = "the array has no such element";
/// Why a pointer leads nowhere.
pub(super) const NO_INDEX: &str = "an array is indexed by digits without a leading zero";
/// Why a pointer leads nowhere.
pub(super) const NO_CONTAINER: &str = "there is neither an object nor an array above it";

impl Pointer {
    /// Reads a pointer.
    pub(super) fn parse(index: usize, text: &str) -> Result<Self, PatchError> {
        let refused = |reason| PatchError::Pointer {
            index,
            pointer: text.to_owned(),
            reason,
        };
        let mut parts = Vec::new();
        let mut rest = text.split('/');
        if rest.next() != Some("") {
            return Err(refused("it begins with /, or is empty"));
        }
        for part in rest {
            if parts.len() == NESTING_MAX {
                return Err(refused("it has more parts than documents have levels"));
            }
            let name = unescape(part).ok_or_else(|| refused("~ stands before 0 or 1 only"))?;
            let name = CString::try_from(name);
            parts.push(name.map_err(|_| refused("it contains the character NUL"))?);
        }
        let text = text.to_owned();
        Ok(Self { text, parts })
    }

    /// The error that there is no such place.
    pub(super) fn missing(&self, index: usize, reason: &'static str) -> PatchError {
        PatchError::Missing {
            index,
            pointer: self.text.clone(),
            reason,
        }
    }

    /// The value at the place. `index` is that of the operation, for the error.
    pub(super) fn find<'n, 'a>(
        &self,
        index: usize,
        root: &'n mut Node<'a>,
    ) -> Result<&'n mut Node<'a>, PatchError> {
        self.descend(index, root, &self.parts)
    }

    /// The value around the place, and the last part; `None` for the document itself.
    pub(super) fn parent<'n, 'a, 'p>(
        &'p self,
        index: usize,
        root: &'n mut Node<'a>,
    ) -> Result<Option<(&'n mut Node<'a>, &'p CString)>, PatchError> {
        let Some((last, parents)) = self.parts.split_last() else {
            return Ok(None);
        };
        Ok(Some((self.descend(index, root, parents)?, last)))
    }

    fn descend<'n, 'a>(
        &self,
        index: usize,
        root: &'n mut Node<'a>,
        parts: &[CString],
    ) -> Result<&'n mut Node<'a>, PatchError> {
        let missing = |reason| self.missing(index, reason);
        let mut node = root;
        for part in parts {
            node = match node.open()? {
                Opened::Object(object) => object
                    .existing(part.as_str())
                    .and_then(Option::as_mut)
                    .ok_or_else(|| missing(NO_FIELD))?,
                Opened::Array(array) => {
                    let position = index_of(part.as_str()).ok_or_else(|| missing(NO_INDEX))?;
                    array.get_mut(position).ok_or_else(|| missing(NO_ELEMENT))?
                }
                Opened::Plain(_) => return Err(missing(NO_CONTAINER)),
            };
        }
        Ok(node)
    }
}

/// A part of a pointer without its escapes.
fn unescape(part: &str) -> Option<String> {
    let mut pieces = part.split('~');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        if let Some(rest) = piece.strip_prefix('0') {
            name.push('~');
            name.push_str(rest);
        } else {
            name.push('/');
            name.push_str(piece.strip_prefix('1')?);
        }
    }
    Some(name)
}
