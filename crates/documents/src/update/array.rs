//! The operations on arrays.

use std::collections::HashSet;

use bson::raw::{RawBson, RawBsonRef, RawDocumentBuf};

use super::apply::Application;
use super::error::UpdateError;
use super::operation::{End, Order, Pull, Push, WRAPPED, key_of};
use super::plan::Leaf;
use crate::ValueError;
use crate::path::field;
use crate::sort::SortKey;
use crate::tree::{Node, Opened};
use crate::value::equal;
use crate::value::key::encode_directed;

/// The array in a slot, if there is anything.
fn existing<'s, 'a>(
    leaf: &Leaf,
    slot: &'s mut Option<Node<'a>>,
) -> Result<Option<&'s mut Vec<Node<'a>>>, UpdateError> {
    let Some(node) = slot else {
        return Ok(None);
    };
    if !matches!(node, Node::Array(_) | Node::Raw(RawBsonRef::Array(_))) {
        return Err(leaf.target("an array", node));
    }
    match node.open()? {
        Opened::Array(array) => Ok(Some(array)),
        Opened::Object(_) | Opened::Plain(_) => Ok(None), // what was asked above
    }
}

/// The array in a slot; an empty one is made where there is nothing.
fn ensured<'s, 'a>(
    leaf: &Leaf,
    slot: &'s mut Option<Node<'a>>,
) -> Result<&'s mut Vec<Node<'a>>, UpdateError> {
    slot.get_or_insert_with(|| Node::Array(Vec::new()));
    match existing(leaf, slot)? {
        Some(array) => Ok(array),
        None => Err(leaf.target("an array", &Node::Raw(RawBsonRef::Null))),
    }
}

/// Adds elements, and orders and cuts the array.
pub(super) fn push<'a>(
    application: &mut Application<'a>,
    leaf: &Leaf,
    push: &'a Push,
    slot: &mut Option<Node<'a>>,
) -> Result<(), UpdateError> {
    let array = ensured(leaf, slot)?;
    let added: Vec<Node<'a>> = push
        .values
        .iter()
        .map(|value| Node::Raw(value.as_raw_bson_ref()))
        .collect();
    application.charge(added.iter().map(Node::bytes).sum())?;
    let length = array.len();
    let position = match push.position {
        Some(position) => from_start(position, length),
        None => length,
    };
    array.splice(position..position, added);
    if let Some(order) = &push.order {
        sort(array, order)?;
    }
    match push.slice {
        Some(slice) if slice < 0 => {
            let cut = from_start(slice, array.len());
            array.drain(..cut);
        }
        Some(slice) => array.truncate(usize::try_from(slice).unwrap_or(usize::MAX)),
        None => {}
    }
    Ok(())
}

/// A position that may count from the end, limited to the array.
fn from_start(position: i64, length: usize) -> usize {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 {
        length.saturating_sub(distance)
    } else {
        distance.min(length)
    }
}

fn sort(array: &mut Vec<Node<'_>>, order: &Order) -> Result<(), ValueError> {
    let mut keyed = Vec::with_capacity(array.len());
    for element in array.drain(..) {
        let mut key = Vec::new();
        element.read(|value| match order {
            Order::Whole(direction) => encode_directed(value, *direction, &mut key),
            Order::Fields(fields) => fields_key(value, fields, &mut key),
        })?;
        keyed.push((key, element));
    }
    // Stable: equal elements stay as they are.
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    array.extend(keyed.into_iter().map(|(_, element)| element));
    Ok(())
}

/// The key of an element by some of its fields. What has no such field counts as null; an array
/// counts as a whole, also where it stands on the way.
fn fields_key(
    element: RawBsonRef<'_>,
    fields: &[SortKey],
    key: &mut Vec<u8>,
) -> Result<(), ValueError> {
    for part in fields {
        let mut value = Some(element);
        for name in part.path.parts() {
            value = match value {
                Some(RawBsonRef::Document(object)) => field(object, name)?,
                Some(RawBsonRef::Array(_)) => break,
                _ => None,
            };
        }
        encode_directed(value.unwrap_or(RawBsonRef::Null), part.direction, key)?;
    }
    Ok(())
}

/// Adds the values to which no element is equal, each once.
pub(super) fn add_to_set<'a>(
    application: &mut Application<'a>,
    leaf: &Leaf,
    values: &'a [(Vec<u8>, RawBson)],
    slot: &mut Option<Node<'a>>,
) -> Result<(), UpdateError> {
    let array = ensured(leaf, slot)?;
    let mut wanted: HashSet<&Vec<u8>> = values.iter().map(|(key, _)| key).collect();
    for element in &*array {
        wanted.remove(&element.read(key_of)?);
    }
    for (key, value) in values {
        if wanted.contains(key) {
            let node = Node::Raw(value.as_raw_bson_ref());
            application.charge(node.bytes())?;
            array.push(node);
        }
    }
    Ok(())
}

/// Removes the first or the last element.
pub(super) fn pop(leaf: &Leaf, end: End, slot: &mut Option<Node<'_>>) -> Result<(), UpdateError> {
    if let Some(array) = existing(leaf, slot)? {
        match end {
            End::First if !array.is_empty() => {
                array.remove(0);
            }
            End::First => {}
            End::Last => {
                array.pop();
            }
        }
    }
    Ok(())
}

/// Removes the elements for which a condition holds.
pub(super) fn pull(
    leaf: &Leaf,
    pull: &Pull,
    slot: &mut Option<Node<'_>>,
) -> Result<(), UpdateError> {
    remove(leaf, slot, |element| match pull {
        Pull::Equal(value) => equal(element, value.as_raw_bson_ref()),
        Pull::Objects(filter) => match element {
            RawBsonRef::Document(object) => filter.matches(object),
            _ => Ok(false),
        },
        Pull::Values(filter) => {
            let mut wrapped = RawDocumentBuf::new();
            wrapped.append(WRAPPED, element);
            filter.matches(&wrapped)
        }
    })
}

/// Removes the elements that equal one of some values.
pub(super) fn pull_all(
    leaf: &Leaf,
    keys: &HashSet<Vec<u8>>,
    slot: &mut Option<Node<'_>>,
) -> Result<(), UpdateError> {
    remove(leaf, slot, |element| Ok(keys.contains(&key_of(element)?)))
}

fn remove(
    leaf: &Leaf,
    slot: &mut Option<Node<'_>>,
    condition: impl Fn(RawBsonRef<'_>) -> Result<bool, ValueError>,
) -> Result<(), UpdateError> {
    let Some(array) = existing(leaf, slot)? else {
        return Ok(());
    };
    let mut failure = None;
    array.retain(|element| {
        !element.read(&condition).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            false
        })
    });
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
