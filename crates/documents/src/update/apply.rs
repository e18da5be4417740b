//! Applying an update: one walk over the places where something happens.
//!
//! Only those places are opened. What is written and the places that are visited are counted, so
//! that an update which does much in each of many array elements is refused before it fills the
//! memory or keeps a processor busy for minutes.

use std::collections::BTreeMap;
use std::mem;

use bson::raw::{CString, RawBsonRef, RawDocumentBuf};

use super::error::UpdateError;
use super::operation::Operation;
use super::path::Key;
use super::plan::{Leaf, Plan, Rename};
use super::{Now, PADDING_MAX, PLACES_MAX, Update};
use crate::tree::{FIELD_BYTES, Node, Object, Opened};
use crate::value::type_name;
use crate::{DOCUMENT_BYTES_MAX, DocumentError};

/// How many bytes an update may write. More than a document can hold, because `$push` may cut
/// off what it added.
const WRITTEN_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;
/// What stands for a value that is not there, in messages.
const MISSING: &str = "missing";

/// One application of an update.
pub(super) struct Application<'a> {
    update: &'a Update,
    /// The element that the filter found.
    found: Option<&'a Key>,
    /// Whether the document is new.
    pub(super) insert: bool,
    pub(super) now: Now,
    /// The values of the fields that move.
    pub(super) moved: Vec<Option<Node<'a>>>,
    /// The way to the place that is being changed.
    place: Vec<Place<'a>>,
    written: usize,
    padding: usize,
    visited: usize,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Field(&'a str),
    Element(usize),
}

type Children<'a> = BTreeMap<&'a Key, Vec<&'a Plan>>;

impl<'a> Application<'a> {
    pub(super) fn new(update: &'a Update, found: Option<&'a Key>, insert: bool, now: Now) -> Self {
        Self {
            update,
            found,
            insert,
            now,
            moved: Vec::new(),
            place: Vec::new(),
            written: 0,
            padding: 0,
            visited: 0,
        }
    }

    /// Changes a document.
    pub(super) fn run(&mut self, root: &mut Object<'a>) -> Result<(), UpdateError> {
        let update = self.update;
        for rename in &update.renames {
            let value = take_source(rename, root)?;
            self.moved.push(value);
        }
        let children = self.children(&[&update.plan])?;
        self.object(children, root)
    }

    /// Sets fields of a new document.
    pub(super) fn fill(
        &mut self,
        plan: &'a Plan,
        root: &mut Object<'a>,
    ) -> Result<(), UpdateError> {
        let children = self.children(&[plan])?;
        self.object(children, root)
    }

    /// The place as a dotted path.
    fn place(&self) -> String {
        let part = |place: &Place<'_>| match place {
            Place::Field(name) => (*name).to_owned(),
            Place::Element(index) => index.to_string(),
        };
        let parts: Vec<String> = self.place.iter().map(part).collect();
        parts.join(".")
    }

    /// Whether the place is in an array.
    pub(super) fn is_in_array(&self) -> bool {
        let is_element = |place: &Place<'_>| matches!(place, Place::Element(_));
        self.place.iter().any(is_element)
    }

    fn conflict(&self, plan: &Plan) -> UpdateError {
        let path = match plan {
            Plan::Leaf(leaf) => leaf.path.clone(),
            _ => self.place(),
        };
        let at = self.place();
        UpdateError::Conflict { path, at }
    }

    /// Counts what is written.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), UpdateError> {
        self.written = self.written.saturating_add(bytes);
        if self.written > WRITTEN_BYTES_MAX {
            let bytes = self.written;
            return Err(DocumentError::TooLarge { bytes }.into());
        }
        Ok(())
    }

    /// Counts places where something may happen.
    fn visit(&mut self, places: usize) -> Result<(), UpdateError> {
        self.visited = self.visited.saturating_add(places);
        if self.visited > PLACES_MAX {
            return Err(UpdateError::TooManyPlaces { max: PLACES_MAX });
        }
        Ok(())
    }

    fn at<T>(
        &mut self,
        place: Place<'a>,
        act: impl FnOnce(&mut Self) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        self.place.push(place);
        let result = act(self)?;
        self.place.pop();
        Ok(result)
    }

    /// Does what the plans say to a value. There are several where a value is selected in several
    /// ways, such as by two array filters.
    fn walk(&mut self, plans: &[&'a Plan], slot: &mut Option<Node<'a>>) -> Result<(), UpdateError> {
        self.visit(1)?;
        match plans {
            [] | [Plan::Leaves] => Ok(()),
            [Plan::Leaf(leaf)] => self.change(leaf, slot),
            [Plan::Elements(_), ..] => self.elements(plans, slot),
            plans => {
                let children = self.children(plans)?;
                self.fields(children, slot)
            }
        }
    }

    /// What happens to the fields of a value.
    fn children(&self, plans: &[&'a Plan]) -> Result<Children<'a>, UpdateError> {
        let mut merged = Children::new();
        for plan in plans {
            let Plan::Fields(children) = plan else {
                return Err(self.conflict(plan));
            };
            for (key, child) in children {
                let key = match (key, self.found) {
                    (Key::Found, Some(found)) => found,
                    (Key::Found, None) => {
                        let path = format!("{}.$", self.place());
                        return Err(UpdateError::NoPosition { path });
                    }
                    (key, _) => key,
                };
                merged.entry(key).or_default().push(child);
            }
        }
        Ok(merged)
    }

    fn fields(
        &mut self,
        children: Children<'a>,
        slot: &mut Option<Node<'a>>,
    ) -> Result<(), UpdateError> {
        let Some(node) = slot else {
            // Missing parents are made as objects, if anything is put into them.
            let mut object = Object::default();
            self.object(children, &mut object)?;
            if object.fields().next().is_some() {
                *slot = Some(Node::Object(object));
            }
            return Ok(());
        };
        match node.open()? {
            Opened::Object(object) => self.object(children, object),
            Opened::Array(array) => self.array(children, array),
            Opened::Plain(value) => {
                for plan in children.values().flatten() {
                    self.blocked(plan, type_name(value))?;
                }
                Ok(())
            }
        }
    }

    fn object(
        &mut self,
        children: Children<'a>,
        object: &mut Object<'a>,
    ) -> Result<(), UpdateError> {
        for (key, plans) in children {
            let Some(name) = key.name() else {
                continue; // a key without a name was resolved
            };
            let place = Place::Field(name.as_str());
            if let Some(slot) = object.existing(name.as_str()) {
                self.at(place, |this| this.walk(&plans, slot))?;
                continue;
            }
            let mut slot = None;
            self.at(place, |this| this.walk(&plans, &mut slot))?;
            if slot.is_some() {
                self.charge(FIELD_BYTES + name.len())?;
                *object.slot(name) = slot;
            }
        }
        Ok(())
    }

    fn array(
        &mut self,
        children: Children<'a>,
        array: &mut Vec<Node<'a>>,
    ) -> Result<(), UpdateError> {
        for (key, plans) in children {
            let Key::Index(index, _) = key else {
                for plan in plans {
                    self.blocked(plan, "an array")?;
                }
                continue;
            };
            let index = *index;
            let existing = array.get_mut(index).map(take);
            let mut slot = existing;
            self.at(Place::Element(index), |this| this.walk(&plans, &mut slot))?;
            match (slot, array.get_mut(index)) {
                (slot, Some(element)) => *element = slot.unwrap_or(NULL),
                (Some(added), None) => {
                    self.pad(array, index)?;
                    array.push(added);
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Adds nulls up to an index.
    fn pad(&mut self, array: &mut Vec<Node<'a>>, index: usize) -> Result<(), UpdateError> {
        let padding = index.saturating_sub(array.len());
        self.padding = self.padding.saturating_add(padding);
        if self.padding > PADDING_MAX {
            return Err(UpdateError::Padding {
                at: self.place(),
                index,
                padding,
                max: PADDING_MAX,
            });
        }
        array.resize(index, NULL);
        Ok(())
    }

    /// Refuses what cannot be done because the place has no fields.
    fn blocked(&self, plan: &'a Plan, found: &'static str) -> Result<(), UpdateError> {
        match plan {
            Plan::Leaf(leaf) if self.is_idle_without_parent(leaf) => Ok(()),
            Plan::Leaf(leaf) => Err(UpdateError::Blocked {
                path: leaf.path.clone(),
                at: self.place(),
                found,
            }),
            Plan::Fields(children) => {
                let mut children = children.values();
                children.try_for_each(|child| self.blocked(child, found))
            }
            Plan::Elements(_) => Err(UpdateError::NotAnArray {
                at: self.place(),
                found,
            }),
            Plan::Leaves => Ok(()),
        }
    }

    /// Whether an operation does nothing where its path leads nowhere.
    fn is_idle_without_parent(&self, leaf: &Leaf) -> bool {
        match &leaf.operation {
            Operation::Unset | Operation::Pull(_) | Operation::PullAll(_) => true,
            Operation::SetOnInsert(_) => !self.insert,
            Operation::Rename(number) => matches!(self.moved.get(*number), Some(None)),
            _ => false,
        }
    }

    /// Changes the elements of an array that are selected by filters.
    fn elements(
        &mut self,
        plans: &[&'a Plan],
        slot: &mut Option<Node<'a>>,
    ) -> Result<(), UpdateError> {
        let mut merged: BTreeMap<&'a str, Vec<&'a Plan>> = BTreeMap::new();
        for plan in plans {
            let Plan::Elements(children) = plan else {
                return Err(self.conflict(plan));
            };
            for (name, child) in children {
                merged.entry(name).or_default().push(child);
            }
        }
        let found = match slot.as_mut().map(Node::open).transpose()? {
            Some(Opened::Array(array)) => {
                for (index, element) in array.iter_mut().enumerate() {
                    self.visit(merged.len())?;
                    let plans = self.selected(&merged, element)?;
                    if !plans.is_empty() {
                        let mut slot = Some(take(element));
                        self.at(Place::Element(index), |this| this.walk(&plans, &mut slot))?;
                        *element = slot.unwrap_or(NULL);
                    }
                }
                return Ok(());
            }
            Some(Opened::Object(_)) => "an object",
            Some(Opened::Plain(value)) => type_name(value),
            None => MISSING,
        };
        let at = self.place();
        Err(UpdateError::NotAnArray { at, found })
    }

    /// What happens to an element.
    fn selected(
        &self,
        merged: &BTreeMap<&'a str, Vec<&'a Plan>>,
        element: &Node<'a>,
    ) -> Result<Vec<&'a Plan>, UpdateError> {
        let mut selected = Vec::new();
        for (name, plans) in merged {
            let holds = match self.update.filters.get(*name) {
                Some(filter) => {
                    let mut wrapped = RawDocumentBuf::new();
                    element.read(|value| wrapped.append(&filter.wrapped, value));
                    filter.filter.matches(&wrapped)?
                }
                None => true,
            };
            if holds {
                selected.extend(plans);
            }
        }
        Ok(selected)
    }
}

const NULL: Node<'static> = Node::Raw(RawBsonRef::Null);

/// Takes a value out of an array; null stays there.
fn take<'a>(element: &mut Node<'a>) -> Node<'a> {
    mem::replace(element, NULL)
}

/// Takes the value of a field that moves.
fn take_source<'a>(
    rename: &'a Rename,
    root: &mut Object<'a>,
) -> Result<Option<Node<'a>>, UpdateError> {
    let Some((last, parents)) = rename.from.split_last() else {
        return Ok(None);
    };
    let mut object = root;
    for (depth, parent) in parents.iter().enumerate() {
        let Some(Some(node)) = object.existing(parent.as_str()) else {
            return Ok(None);
        };
        object = match node.open()? {
            Opened::Object(object) => object,
            Opened::Array(_) => {
                let path = rename.path.clone();
                return Err(UpdateError::RenameInArray { path });
            }
            Opened::Plain(value) => {
                let at: Vec<&str> = parents[..=depth].iter().map(CString::as_str).collect();
                return Err(UpdateError::Blocked {
                    path: rename.path.clone(),
                    at: at.join("."),
                    found: type_name(value),
                });
            }
        };
    }
    Ok(object.take(last.as_str()))
}
