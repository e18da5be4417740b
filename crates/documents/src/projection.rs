//! Cutting documents down to the fields that were asked for.
//!
//! A projection is written in one of two ways. As text it names fields to keep, such as
//! `name,owner.mail` ([`Projection::parse`]); `_id` is always kept. As a document
//! ([`Projection::from_document`]) it names fields to keep, `{"a": 1, "b.c": 1}`, or fields to
//! leave out, `{"a": 0}`; only `_id` may differ from the others. A field may also be cut down:
//! `{"$slice": 3}` shows a part of an array, `{"$elemMatch": {…}}` its first element that meets a
//! condition, and `"a.$": 1` the element that made the document match its filter. If nothing else
//! is said, `$slice` alone leaves the other fields as they are, and `$elemMatch` leaves them out.
//!
//! What is kept stays in its stored order. Where a path meets an array it applies to each object
//! in it; when fields are kept, other elements of that array are left out, as they have no such
//! field. Arrays inside arrays are treated alike. A numeric part names a field, not an index. An
//! object that has none of the fields stays, empty.
//!
//! The bytes of kept fields are copied as they are. `{"score": {"$meta": "textScore"}}` adds how well the
//! document answers a `$text` search, which only a collection can say; other fields that would
//! have to be computed are refused by name.

mod apply;
mod parse;
mod slice;

use bson::raw::{CStr, CString};

use crate::filter::Element;
use crate::path::Path;
use slice::Slice;

/// What of a document is shown.
#[derive(Clone, Debug)]
pub struct Projection {
    mode: Mode,
    root: Nodes,
    positional: Option<Positional>,
    /// The name of the field that gets the score of a search.
    score: Option<CString>,
}

/// What happens to fields that the projection does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They are left out.
    Keeping,
    /// They are kept.
    Dropping,
}

/// Fields that are named, in the order of their names, each once.
#[derive(Clone, Debug, Default)]
struct Nodes(Vec<Node>);

#[derive(Clone, Debug)]
struct Node {
    name: Box<str>,
    action: Action,
}

/// What happens to a field that is named.
#[derive(Clone, Debug)]
enum Action {
    /// It is kept, or left out, as the mode says.
    Whole,
    /// Fields in it are named.
    Below(Nodes),
    /// Its elements are, if it is an array.
    Slice(Slice),
    /// Its first element that meets a condition is kept; without one, the field is left out.
    Element(Element),
}

/// An array of which only the element is shown that made the document match.
#[derive(Clone, Debug)]
struct Positional {
    /// As it was written.
    text: String,
    /// Without the `.$` at the end.
    path: Path,
}

impl Nodes {
    fn get(&self, name: &str) -> Option<&Action> {
        let found = self.0.binary_search_by(|node| (*node.name).cmp(name)).ok();
        found.map(|index| &self.0[index].action)
    }
}

impl Projection {
    /// The name of the field that gets the score of a search, if there is one.
    #[must_use]
    pub fn score(&self) -> Option<&CStr> {
        self.score.as_deref()
    }

    /// Whether it shows an array element by the filter that a document matched.
    #[must_use]
    pub fn is_positional(&self) -> bool {
        self.positional.is_some()
    }
}
