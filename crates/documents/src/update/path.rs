//! The paths of updates: dotted, and with parts that select elements of arrays.
//!
//! `$` is the element that the filter found, `$[]` every element, `$[name]` those that meet the
//! array filter about `name`. None of them can stand first, and `$` stands at most once.

use std::cmp::Ordering;

use bson::raw::{CStr, CString};

use super::error::UpdateError;
use crate::NESTING_MAX;
use crate::error::PathError;
use crate::path::index_of;

/// A path of an update.
#[derive(Clone, Debug)]
pub(super) struct UpdatePath {
    /// As it was written.
    pub(super) text: String,
    /// At least one.
    pub(super) steps: Vec<Step>,
}

/// One part of a path.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A field or an index.
    Key(Key),
    /// The elements that meet the array filter of this name, or all for the empty name.
    Elements(String),
}

/// What names one field or element. The order is the one in which places are visited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Digits: an index in an array, a name in an object.
    Index(usize, Name),
    /// A name.
    Name(Name),
    /// `$`
    Found,
}

/// A field name, in the order of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(CString);

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl Key {
    /// The key of a name, or of an index.
    pub(super) fn of(name: CString) -> Self {
        match index_of(name.as_str()) {
            Some(index) => Self::Index(index, Name(name)),
            None => Self::Name(Name(name)),
        }
    }

    /// The name of the field; `$` has none.
    pub(super) fn name(&self) -> Option<&CStr> {
        match self {
            Self::Index(_, name) | Self::Name(name) => Some(&name.0),
            Self::Found => None,
        }
    }
}

impl UpdatePath {
    /// Reads a path.
    pub(super) fn parse(operator: &'static str, text: &str) -> Result<Self, UpdateError> {
        let refused = |source| UpdateError::Path { operator, source };
        let positional = |reason| UpdateError::Positional {
            path: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(refused(PathError::Empty));
        }
        let parts = text.split('.').count();
        if parts > NESTING_MAX {
            return Err(refused(PathError::TooLong { parts }));
        }
        let mut steps: Vec<Step> = Vec::with_capacity(parts);
        for part in text.split('.') {
            let step = match part.strip_prefix('$') {
                _ if part.is_empty() => {
                    let path = text.to_owned();
                    return Err(refused(PathError::EmptyPart { path }));
                }
                None => Step::Key(Key::of(name(operator, text, part)?)),
                Some(_) if steps.is_empty() && !is_name_after_dollar(part) => {
                    return Err(positional(
                        "begins with a part that selects an array element: name the array first",
                    ));
                }
                Some("") => Step::Key(Key::Found),
                Some(rest) => match rest.strip_prefix('[').and_then(|id| id.strip_suffix(']')) {
                    Some(id) => Step::Elements(id.to_owned()),
                    None => {
                        let (path, part) = (text.to_owned(), part.to_owned());
                        return Err(refused(PathError::Dollar { path, part }));
                    }
                },
            };
            let is_found = |step: &Step| matches!(step, Step::Key(Key::Found));
            if is_found(&step) && steps.iter().any(is_found) {
                return Err(positional("has more than one $, and a filter finds one"));
            }
            steps.push(step);
        }
        let text = text.to_owned();
        Ok(Self { text, steps })
    }

    /// Whether the path is that of the `_id`.
    pub(super) fn is_id(&self) -> bool {
        self.text == "_id"
    }

    /// The names on the way, if the path has nothing else.
    pub(super) fn names(&self) -> Option<Vec<CString>> {
        let name = |step: &Step| match step {
            Step::Key(key) => key.name().map(CString::from),
            Step::Elements(_) => None,
        };
        self.steps.iter().map(name).collect()
    }

    /// The names of the array filters that the path uses.
    pub(super) fn identifiers(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Elements(name) if !name.is_empty() => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the path needs the element that the filter found.
    pub(super) fn uses_found(&self) -> bool {
        let is_found = |step: &Step| matches!(step, Step::Key(Key::Found));
        self.steps.iter().any(is_found)
    }

    /// The error that something else happens at the first `depth` steps.
    pub(super) fn conflict(&self, depth: usize) -> UpdateError {
        let parts: Vec<&str> = self.text.split('.').take(depth.max(1)).collect();
        UpdateError::Conflict {
            path: self.text.clone(),
            at: parts.join("."),
        }
    }
}

/// Whether a part such as `$field` is meant as a name, and not as `$`, `$[]` or `$[name]`.
fn is_name_after_dollar(part: &str) -> bool {
    part != "$" && !part.starts_with("$[")
}

fn name(operator: &'static str, path: &str, part: &str) -> Result<CString, UpdateError> {
    CString::try_from(part).map_err(|_| UpdateError::Operand {
        operator,
        path: path.to_owned(),
        expected: "a path",
        found: "a text with the character NUL".to_owned(),
    })
}
