//! What an update does, as a tree of places.
//!
//! All operations of an update are put into one tree by their paths, which finds every conflict:
//! an operation is always a leaf. Places are visited in an order that does not depend on how the
//! update was written (indexes by number, then names by their bytes), so that new fields are
//! always added in the same order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bson::raw::CString;

use super::error::UpdateError;
use super::operation::Operation;
use super::path::{Key, Step, UpdatePath};

/// What happens at a place and inside it.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// The value there is changed.
    Leaf(Leaf),
    /// Fields of the object there are changed, or elements of the array by their index.
    Fields(BTreeMap<Key, Plan>),
    /// Elements of the array there are changed: those that meet the array filter of this name,
    /// or all for the empty name.
    Elements(BTreeMap<String, Plan>),
    /// The field moves elsewhere.
    Leaves,
}

/// An operation on one place.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// The operator, for messages.
    pub(super) operator: &'static str,
    /// The path as it was written, for messages.
    pub(super) path: String,
    /// What is to be done.
    pub(super) operation: Operation,
}

/// A field that moves.
#[derive(Clone, Debug)]
pub(super) struct Rename {
    /// The names on the way to the field.
    pub(super) from: Vec<CString>,
    /// The path as it was written, for messages.
    pub(super) path: String,
}

impl Plan {
    /// Adds what happens at the end of a path.
    pub(super) fn insert(&mut self, path: &UpdatePath, end: Self) -> Result<(), UpdateError> {
        let mut place = self;
        for (depth, step) in path.steps.iter().enumerate() {
            let next = path.steps.get(depth + 1);
            let child = match (place, step) {
                (Self::Fields(children), Step::Key(key)) => match children.entry(key.clone()) {
                    Entry::Vacant(vacant) => Ok(vacant.insert(Self::before(next))),
                    Entry::Occupied(occupied) => Err(occupied.into_mut()),
                },
                (Self::Elements(children), Step::Elements(name)) => {
                    match children.entry(name.clone()) {
                        Entry::Vacant(vacant) => Ok(vacant.insert(Self::before(next))),
                        Entry::Occupied(occupied) => Err(occupied.into_mut()),
                    }
                }
                _ => return Err(path.conflict(depth)),
            };
            place = match (child, next) {
                (Ok(added), None) => {
                    *added = end;
                    return Ok(());
                }
                (Err(_), None) => return Err(path.conflict(depth + 1)),
                (Ok(place) | Err(place), Some(_)) => place,
            };
        }
        Ok(()) // only for a path without steps, which cannot be made
    }

    /// What stands at a place from which a path goes on with `step`, or ends.
    fn before(step: Option<&Step>) -> Self {
        match step {
            Some(Step::Key(_)) => Self::Fields(BTreeMap::new()),
            Some(Step::Elements(_)) => Self::Elements(BTreeMap::new()),
            None => Self::Leaves,
        }
    }
}
