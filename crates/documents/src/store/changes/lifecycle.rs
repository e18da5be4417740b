//! What becomes of collections, told to the change feed.
//!
//! The feed sees rows by the numbers of their trees. Which collection a number belonged to when a
//! row was written is not to be seen from the definitions of today. So a transaction that creates,
//! renames or drops a collection, or changes its options, also puts a note into the tree
//! `documents/lifecycle`. The log keeps the notes as long as the changes that they explain; the
//! tree itself is only the way into the log, and each new note clears the older ones away.
//!
//! Key: the number of the tree of documents (4 bytes, big-endian), the kind of the note (1). Value:
//! the state that its transaction began from (8, little-endian), the length of the old name (1), the
//! old name, the new name.

use nexusbase_db::{Direction, KeyRange, Mutation, RowChange, Transaction, TreeId, View};

use crate::store::collection::Collection;
use crate::store::error::Error;

/// The tree of notes.
pub(in crate::store) const TREE: &str = "documents/lifecycle";

/// What has become of a collection. The order is that in which a feed shows the notes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Dropped = 1,
    Renamed = 2,
    Created = 3,
    Options = 4,
}

/// A note, as the feed reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    pub(super) kind: Kind,
    /// The collection's tree of documents.
    pub(super) data: TreeId,
    /// What it was called before the commit; empty if it was not there or is called the same.
    pub(super) from: String,
    /// What it is called after the commit; empty if it is not there or is called the same.
    pub(super) to: String,
}

impl Note {
    /// Reads the note that a mutation of the tree of notes puts, if it puts one.
    pub(super) fn of(mutation: &Mutation) -> Result<Option<Self>, String> {
        match &mutation.change {
            RowChange::Put(value) => decode(&mutation.key, value)
                .map(|(note, _)| Some(note))
                .ok_or_else(|| "a note about a collection is damaged".to_owned()),
            RowChange::Delete => Ok(None),
            RowChange::Merge(_) | RowChange::DeleteRange { .. } => {
                Err("notes about collections are merged or deleted as a range".to_owned())
            }
        }
    }
}

/// Notes that `tx` has created a collection called `name`.
pub(in crate::store) fn created(
    tx: &mut Transaction,
    name: &str,
    data: TreeId,
) -> Result<(), Error> {
    put(tx, Kind::Created, data, "", name)
}

/// Notes that `tx` drops a collection. To be called before it does.
pub(in crate::store) fn dropped(
    tx: &mut Transaction,
    collection: &Collection,
    data: TreeId,
) -> Result<(), Error> {
    let from = name_before(tx, collection, data)?;
    for kind in [Kind::Renamed, Kind::Created, Kind::Options] {
        take_back(tx, kind, data)?;
    }
    match from {
        Some(from) => put(tx, Kind::Dropped, data, &from, ""),
        None => Ok(()),
    }
}

/// Notes that `tx` renames a collection. To be called before its old definition is deleted.
pub(in crate::store) fn renamed(
    tx: &mut Transaction,
    collection: &Collection,
    name: &str,
    data: TreeId,
) -> Result<(), Error> {
    match name_before(tx, collection, data)? {
        Some(from) if from == name => take_back(tx, Kind::Renamed, data),
        Some(from) => put(tx, Kind::Renamed, data, &from, name),
        None => put(tx, Kind::Created, data, "", name),
    }
}

/// Notes that `tx` changes the options of a collection.
pub(in crate::store) fn options_changed(tx: &mut Transaction, data: TreeId) -> Result<(), Error> {
    put(tx, Kind::Options, data, "", "")
}

/// What the collection was called before `tx`; none if `tx` has created it.
fn name_before(
    tx: &Transaction,
    collection: &Collection,
    data: TreeId,
) -> Result<Option<String>, Error> {
    let before = collection.definition_in(tx.snapshot())?;
    if before.is_some_and(|before| before.data == data) {
        return Ok(Some(collection.name().to_owned()));
    }
    Ok(own(tx, Kind::Renamed, data)?.map(|note| note.from))
}

/// The note that `tx` itself has put.
fn own(tx: &Transaction, kind: Kind, data: TreeId) -> Result<Option<Note>, Error> {
    let Some(tree) = tx.tree(TREE)? else {
        return Ok(None);
    };
    let key = key(kind, data);
    let found = tx.get(tree, &key)?;
    let note = found.and_then(|value| decode(&key, &value));
    let is_own = |(_, state): &(Note, u64)| *state == tx.snapshot_index().get();
    Ok(note.filter(is_own).map(|(note, _)| note))
}

fn take_back(tx: &mut Transaction, kind: Kind, data: TreeId) -> Result<(), Error> {
    if own(tx, kind, data)?.is_some()
        && let Some(tree) = tx.tree(TREE)?
    {
        tx.delete(tree, &key(kind, data))?;
    }
    Ok(())
}

fn put(tx: &mut Transaction, kind: Kind, data: TreeId, from: &str, to: &str) -> Result<(), Error> {
    let tree = match tx.tree(TREE)? {
        Some(tree) => tree,
        None => tx.create_tree(TREE)?,
    };
    let state = tx.snapshot_index().get();
    // What is older is in the log.
    let notes = tx.scan(tree, KeyRange::all(), Direction::Forward)?;
    let notes = notes.collect::<Result<Vec<_>, _>>()?;
    for (key, value) in notes {
        if decode(&key, &value).is_none_or(|(_, noted)| noted != state) {
            tx.delete(tree, &key)?;
        }
    }
    let mut value = state.to_le_bytes().to_vec();
    // Names have at most 128 bytes.
    value.push(u8::try_from(from.len()).unwrap_or(u8::MAX));
    value.extend_from_slice(from.as_bytes());
    value.extend_from_slice(to.as_bytes());
    Ok(tx.put(tree, &key(kind, data), &value)?)
}

fn key(kind: Kind, data: TreeId) -> [u8; 5] {
    let [a, b, c, d] = data.get().to_be_bytes();
    [a, b, c, d, kind as u8]
}

/// The note, and the state that its transaction began from.
fn decode(key: &[u8], value: &[u8]) -> Option<(Note, u64)> {
    let (data, kind) = key.split_first_chunk()?;
    let kind = match kind {
        [1] => Kind::Dropped,
        [2] => Kind::Renamed,
        [3] => Kind::Created,
        [4] => Kind::Options,
        _ => return None,
    };
    let (state, names) = value.split_first_chunk()?;
    let (length, names) = names.split_first()?;
    let (from, to) = names.split_at_checked(usize::from(*length))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let note = Note {
        kind,
        data: TreeId::new(u32::from_be_bytes(*data)),
        from: text(from)?,
        to: text(to)?,
    };
    Some((note, u64::from_le_bytes(*state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of the format, as `docs/format.md` describes them.
    #[test]
    fn golden_note() {
        let key = key(Kind::Renamed, TreeId::new(258));
        assert_eq!(key, *b"\0\0\x01\x02\x02");
        let note = Note {
            kind: Kind::Renamed,
            data: TreeId::new(258),
            from: "a".to_owned(),
            to: "bc".to_owned(),
        };
        let value = b"\x05\0\0\0\0\0\0\0\x01abc";
        assert_eq!(decode(&key, value), Some((note, 5)));
        for cut in 0..9 {
            assert_eq!(decode(&key, &value[..cut]), None);
        }
        assert_eq!(decode(b"\0\0\0\x01\x09", value), None);
    }
}
