//! The catalog: which trees there are, and what they are called.
//!
//! It is itself a tree, number 0, written by the same transactions as everything else. Each tree
//! has a row under its number and one under its name, so that an entry that drops a tree names
//! the number by itself: what an entry does must not depend on the state that it meets.
//!
//! It also has a row for each [kept version](crate::kept) and owner, so that an owner's own rows and
//! the version that they speak of are written by one entry.

use nexusbase_forest::{Change, Direction, KeyRange, Mutation, TreeId, TreeKind};
use nexusbase_log::Index;

use crate::error::{ReadError, WriteError};
use crate::kinds::Kinds;
use crate::transaction::Transaction;
use crate::view::View;
use crate::writes::Writes;

/// The catalog's own tree.
pub(crate) const CATALOG: TreeId = TreeId::new(0);

const BY_ID: u8 = 1;
const BY_NAME: u8 = 2;
const NEXT_ID: [u8; 1] = [3];
const KEPT: u8 = 4;

/// What an entry does to the set of trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TreeChange {
    /// There is a new tree.
    Create {
        id: TreeId,
        /// The name of its kind.
        kind: String,
        name: String,
    },
    Drop(TreeId),
}

/// What an entry does to a kept version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionChange {
    Keep(Index),
    Release(Index),
}

/// Reads a change of the kept versions out of a mutation, if it is one.
pub(crate) fn version_change(mutation: &Mutation) -> Result<Option<VersionChange>, String> {
    if mutation.tree != CATALOG || mutation.key.first() != Some(&KEPT) {
        return Ok(None);
    }
    let (version, _) = kept_of(&mutation.key)?;
    match &mutation.change {
        Change::Put(value) if value.is_empty() => Ok(Some(VersionChange::Keep(version))),
        Change::Put(_) => Err("it keeps a version with a value that says nothing".to_owned()),
        Change::Delete => Ok(Some(VersionChange::Release(version))),
        Change::Merge(_) | Change::DeleteRange { .. } => {
            Err("it merges or deletes a range in the catalog".to_owned())
        }
    }
}

/// Whether a mutation of the entry `at` keeps a version that it cannot have seen.
pub(crate) fn keeps_too_new(mutation: &Mutation, at: Index) -> bool {
    matches!(version_change(mutation), Ok(Some(VersionChange::Keep(version))) if version >= at)
}

fn key_of_kept(version: Index, owner: &str) -> Vec<u8> {
    let mut key = vec![KEPT];
    key.extend_from_slice(&version.get().to_be_bytes());
    key.extend_from_slice(owner.as_bytes());
    key
}

fn kept_of(key: &[u8]) -> Result<(Index, &str), String> {
    let version = key.get(1..).and_then(<[u8]>::split_first_chunk);
    let (version, owner) = version.ok_or("it names a kept version by a key that is cut off")?;
    let owner = std::str::from_utf8(owner);
    let owner = owner.map_err(|_| "the owner of a kept version is not UTF-8")?;
    Ok((Index::new(u64::from_be_bytes(*version)), owner))
}

/// Notes that `owner` keeps what `tx` sees.
pub(crate) fn keep(tx: &mut Transaction, owner: &str) -> Result<Index, WriteError> {
    let version = tx.snapshot_index();
    let key = key_of_kept(version, owner);
    // No snapshot sees a row that keeps it. But of two transactions that keep the same for the same
    // owner the second is refused, so that no row is ever put twice.
    if tx.get(CATALOG, &key)?.is_none() {
        tx.put_unchecked(CATALOG, &key, &[])?;
    }
    Ok(version)
}

/// Removes what `owner` keeps at `version`. Returns whether it did.
pub(crate) fn release(
    tx: &mut Transaction,
    version: Index,
    owner: &str,
) -> Result<bool, WriteError> {
    let key = key_of_kept(version, owner);
    if tx.get(CATALOG, &key)?.is_none() {
        return Ok(false);
    }
    tx.delete_unchecked(CATALOG, &key)?;
    Ok(true)
}

/// Takes what one transaction has kept and released out of its writes.
pub(crate) fn forget_kept(writes: &mut Writes, version: Index, owner: &str) {
    writes.remove(CATALOG, &key_of_kept(version, owner));
}

/// All kept versions whose owner starts with `prefix`, by version and owner.
pub(crate) fn kept<V: View + ?Sized>(
    view: &V,
    prefix: &str,
) -> Result<Vec<(Index, String)>, ReadError> {
    let mut kept = Vec::new();
    for row in view.scan(CATALOG, KeyRange::prefix(&[KEPT]), Direction::Forward)? {
        let (key, _) = row?;
        let (version, owner) = kept_of(&key).map_err(|reason| ReadError::Kept { reason })?;
        if owner.starts_with(prefix) {
            kept.push((version, owner.to_owned()));
        }
    }
    Ok(kept)
}

/// Reads a change of the set of trees out of a mutation, if it is one.
pub(crate) fn tree_change(mutation: &Mutation) -> Result<Option<TreeChange>, String> {
    if mutation.tree != CATALOG {
        return Ok(None);
    }
    let value = match &mutation.change {
        Change::Put(value) => Some(value),
        Change::Delete => None,
        Change::Merge(_) | Change::DeleteRange { .. } => {
            return Err("it merges or deletes a range in the catalog".to_owned());
        }
    };
    version_change(mutation)?;
    let id = match mutation.key.split_first() {
        Some((&BY_ID, id)) => id.try_into().map(u32::from_be_bytes),
        _ => return Ok(None),
    };
    let id = TreeId::new(id.map_err(|_| "it names a tree by a key of the wrong length")?);
    let Some(value) = value else {
        return Ok(Some(TreeChange::Drop(id)));
    };
    let Tree { kind, name } = Tree::decode(value)?;
    Ok(Some(TreeChange::Create { id, kind, name }))
}

/// What the catalog says of a tree.
#[derive(Debug, PartialEq, Eq)]
struct Tree {
    kind: String,
    name: String,
}

impl Tree {
    fn encode(kind: &TreeKind, name: &str) -> Vec<u8> {
        // Kinds with longer names were refused when the database was opened.
        let length = u8::try_from(kind.name.len()).unwrap_or(u8::MAX);
        let mut value = vec![length];
        value.extend_from_slice(kind.name.as_bytes());
        value.extend_from_slice(name.as_bytes());
        value
    }

    fn decode(value: &[u8]) -> Result<Self, String> {
        let (length, rest) = value.split_first().ok_or("a tree has no kind")?;
        let (kind, name) = rest
            .split_at_checked(usize::from(*length))
            .ok_or("the name of a tree's kind is cut off")?;
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|_| "a name of a tree or its kind is not UTF-8".to_owned())
        };
        Ok(Self {
            kind: text(kind)?,
            name: text(name)?,
        })
    }
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

fn tree<V: View + ?Sized>(view: &V, id: TreeId) -> Result<Option<Tree>, ReadError> {
    let Some(value) = view.get(CATALOG, &key_of_id(id))? else {
        return Ok(None);
    };
    Tree::decode(&value).map(Some).map_err(|reason| {
        let name = format!("number {id}");
        ReadError::Catalog { name, reason }
    })
}

/// The kind of a tree, if `tx` sees the tree; a drop by another then is a conflict.
pub(crate) fn kind_of(
    tx: &Transaction,
    kinds: &Kinds,
    id: TreeId,
) -> Result<Option<TreeKind>, ReadError> {
    let Some(Tree { kind, name }) = tree(tx, id)? else {
        return Ok(None);
    };
    kinds.get(&kind).copied().map(Some).ok_or_else(|| {
        let reason = format!("it is of kind {kind:?}, which this program does not know");
        ReadError::Catalog { name, reason }
    })
}

/// Adds a tree.
pub(crate) fn create(
    tx: &mut Transaction,
    name: &str,
    kind: &TreeKind,
) -> Result<TreeId, WriteError> {
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
    tx.put_unchecked(CATALOG, &key_of_id(id), &Tree::encode(kind, name))?;
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
    writes.remove(CATALOG, &key_of_id(id));
}

/// The name of a tree, for who shows changes.
pub(crate) fn name_of<V: View + ?Sized>(view: &V, id: TreeId) -> Result<Option<String>, ReadError> {
    Ok(tree(view, id)?.map(|tree| tree.name))
}

/// The name of a tree's kind.
pub(crate) fn kind_name_of<V: View + ?Sized>(
    view: &V,
    id: TreeId,
) -> Result<Option<String>, ReadError> {
    Ok(tree(view, id)?.map(|tree| tree.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn row(key: &'static [u8], change: Change) -> Mutation {
        Mutation {
            tree: CATALOG,
            key: Bytes::from_static(key),
            change,
        }
    }

    /// The bytes of format 1, as `docs/format.md` describes them. Never change what is expected
    /// here.
    #[test]
    fn golden_tree() {
        assert_eq!(key_of_id(TreeId::new(258)), *b"\x01\0\0\x01\x02");
        assert_eq!(Tree::encode(&TreeKind::ROWS, "names"), b"\x04rowsnames");
        let mutation = row(
            b"\x01\0\0\x01\x02",
            Change::Put(Bytes::from_static(b"\x04rowsnames")),
        );
        let created = TreeChange::Create {
            id: TreeId::new(258),
            kind: "rows".to_owned(),
            name: "names".to_owned(),
        };
        assert_eq!(tree_change(&mutation), Ok(Some(created)));
    }

    #[test]
    fn what_makes_no_sense_in_the_catalog_is_an_error() {
        let key = b"\x01\0\0\0\x01";
        for value in [&b""[..], b"\x05rows", b"\x04rows\xff", b"\x01\xff"] {
            let value = Bytes::from_static(value);
            assert!(tree_change(&row(key, Change::Put(value))).is_err());
        }
        assert!(tree_change(&row(b"\x01\0", Change::Delete)).is_err());
        assert!(tree_change(&row(b"", Change::DeleteRange { end: None })).is_err());
        assert!(tree_change(&row(key, Change::Merge(Bytes::new()))).is_err());
    }

    /// The bytes of format 1, as `docs/format.md` describes them. Never change what is expected
    /// here.
    #[test]
    fn golden_kept_version() {
        let key = b"\x04\0\0\0\0\0\0\x01\x02backup";
        let version = Index::new(258);
        assert_eq!(key_of_kept(version, "backup"), key);
        let keep = row(key, Change::Put(Bytes::new()));
        assert_eq!(
            version_change(&keep),
            Ok(Some(VersionChange::Keep(version)))
        );
        let release = row(key, Change::Delete);
        assert_eq!(
            version_change(&release),
            Ok(Some(VersionChange::Release(version)))
        );
        for change in [&keep, &release] {
            assert_eq!(tree_change(change), Ok(None));
        }
        assert!(keeps_too_new(&keep, version));
        assert!(!keeps_too_new(&keep, version.next()));
    }

    #[test]
    fn what_makes_no_sense_of_a_kept_version_is_an_error() {
        for key in [
            &b"\x04"[..],
            b"\x04\0\0\0\0\0\0\x01",
            b"\x04\0\0\0\0\0\0\0\x01\xff",
        ] {
            assert!(tree_change(&row(key, Change::Put(Bytes::new()))).is_err());
            assert!(tree_change(&row(key, Change::Delete)).is_err());
        }
        let key = b"\x04\0\0\0\0\0\0\x01\x02backup";
        let value = Change::Put(Bytes::from_static(b"x"));
        for change in [
            value,
            Change::Merge(Bytes::new()),
            Change::DeleteRange { end: None },
        ] {
            assert!(version_change(&row(key, change.clone())).is_err());
            assert!(tree_change(&row(key, change)).is_err());
        }
    }
}
