//! The catalog: which trees there are, and what they are called.
//!
//! It is itself a tree, number 0, written by the same transactions as everything else. Each tree
//! has a row under its number and one under its name, so that an entry that drops a tree names
//! the number by itself: what an entry does must not depend on the state that it meets.

use bytes::Bytes;
use nexusbase_forest::{Change, Direction, KeyRange, Mutation, TreeId};

use crate::error::{ReadError, WriteError};
use crate::transaction::Transaction;
use crate::view::View;
use crate::write_set::Writes;

/// The catalog's own tree.
pub(crate) const CATALOG: TreeId = TreeId::new(0);

const BY_ID: u8 = 1;
const BY_NAME: u8 = 2;
const NEXT_ID: [u8; 1] = [3];

/// What an entry does to the set of trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TreeChange {
    Create(TreeId),
    Drop(TreeId),
}

/// Reads a change of the set of trees out of a mutation, if it is one.
pub(crate) fn tree_change(mutation: &Mutation) -> Option<TreeChange> {
    if mutation.tree != CATALOG {
        return None;
    }
    let (&BY_ID, id) = mutation.key.split_first()? else {
        return None;
    };
    let id = TreeId::new(u32::from_be_bytes(id.try_into().ok()?));
    Some(match mutation.change {
        Change::Put(_) => TreeChange::Create(id),
        Change::Delete => TreeChange::Drop(id),
    })
}

fn key_of_id(id: TreeId) -> [u8; 5] {
    let [a, b, c, d] = id.get().to_be_bytes();
    [BY_ID, a, b, c, d]
}

fn key_of_name(name: &str) -> Vec<u8> {
    let mut key = vec![BY_NAME];
    key.extend_from_slice(name.as_bytes());
    key
}

fn id_of(name: &str, value: &[u8]) -> Result<TreeId, ReadError> {
    value
        .try_into()
        .map(|id| TreeId::new(u32::from_le_bytes(id)))
        .map_err(|_| {
            let reason = format!("expected a number of 4 bytes, found {} bytes", value.len());
            ReadError::Catalog {
                name: name.to_owned(),
                reason,
            }
        })
}

/// The number of the tree called `name`, if there is one.
pub(crate) fn find<V: View + ?Sized>(view: &V, name: &str) -> Result<Option<TreeId>, ReadError> {
    match view.get(CATALOG, &key_of_name(name))? {
        Some(value) => id_of(name, &value).map(Some),
        None => Ok(None),
    }
}

/// All trees whose names start with `prefix`, by name.
pub(crate) fn list<V: View + ?Sized>(
    view: &V,
    prefix: &str,
) -> Result<Vec<(String, TreeId)>, ReadError> {
    let range = KeyRange::prefix(&key_of_name(prefix));
    let mut trees = Vec::new();
    for row in view.scan(CATALOG, range, Direction::Forward)? {
        let (key, value) = row?;
        let name = String::from_utf8_lossy(&key[1..]).into_owned();
        let id = id_of(&name, &value)?;
        trees.push((name, id));
    }
    Ok(trees)
}

/// Whether `tx` sees the tree; a drop by another then is a conflict.
pub(crate) fn contains(tx: &Transaction, id: TreeId) -> Result<bool, ReadError> {
    Ok(tx.get(CATALOG, &key_of_id(id))?.is_some())
}

/// Adds a tree.
pub(crate) fn create(tx: &mut Transaction, name: &str) -> Result<TreeId, WriteError> {
    let key = key_of_name(name);
    if tx.get(CATALOG, &key)?.is_some() {
        return Err(WriteError::TreeExists(name.to_owned()));
    }
    let id = match tx.get(CATALOG, &NEXT_ID)? {
        Some(value) => id_of("next", &value)?,
        None => TreeId::new(CATALOG.get() + 1),
    };
    let next = id.get().checked_add(1).ok_or(WriteError::TooManyTrees)?;
    tx.put_unchecked(CATALOG, &NEXT_ID, &next.to_le_bytes())?;
    tx.put_unchecked(CATALOG, &key, &id.get().to_le_bytes())?;
    tx.put_unchecked(CATALOG, &key_of_id(id), name.as_bytes())?;
    Ok(id)
}

/// Removes a tree. Returns its number, or none if there was no such tree.
pub(crate) fn remove(tx: &mut Transaction, name: &str) -> Result<Option<TreeId>, WriteError> {
    let Some(id) = find(tx, name)? else {
        return Ok(None);
    };
    tx.delete_unchecked(CATALOG, &key_of_name(name))?;
    tx.delete_unchecked(CATALOG, &key_of_id(id))?;
    Ok(Some(id))
}

/// Takes a tree that was created and dropped by one transaction out of its writes.
pub(crate) fn forget(writes: &mut Writes, id: TreeId) {
    writes.remove(&(CATALOG, Bytes::copy_from_slice(&key_of_id(id))));
}

/// The name of a tree, for who shows changes.
pub(crate) fn name_of<V: View + ?Sized>(view: &V, id: TreeId) -> Result<Option<String>, ReadError> {
    let name: Option<Bytes> = view.get(CATALOG, &key_of_id(id))?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}
