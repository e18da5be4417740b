//! Which stores and versions there are, in a tree of their own.
//!
//! | key | value |
//! | --- | --- |
//! | `s` name | the store, as JSON |
//! | `t` id (4 bytes, big-endian) | the number of the tree that it is in, and how often it was renamed (4 bytes each, little-endian) |
//! | `v` id, number (8 bytes, big-endian) | a version, as JSON |
//! | `c` id | the number of its last version (8 bytes, little-endian) |
//! | `u` tree (4 bytes, big-endian) | the tree is being filled by a restore, which began after this index of the log (8 bytes, little-endian) |
//! | `n` | the id of the next store (4 bytes, little-endian) |
//!
//! Every change of a store reads its row `t`, and every change of what the row says writes it: so
//! none goes into a tree that was dropped or replaced meanwhile, or through a handle that has the
//! name of before; it conflicts and runs again.

use nexusbase_db::{Bytes, Database, Index, Transaction, TreeId, View};
use serde::{Deserialize, Serialize};

use super::NAME;
use super::failure::Fault;
use crate::domain::{Direction, ErrorKind, KeyRange, StoreInfo, StoreOptions, Version, VersionId};

/// The tree of stores and versions.
const CATALOG_TREE: &str = "kv";
/// The tree of what expires when.
const EXPIRY_TREE: &str = "kv.expiry";

type Result<T> = std::result::Result<T, Fault>;

/// The engine's own trees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Catalog {
    rows: TreeId,
    pub(super) expiry: TreeId,
}

/// A store, under its name.
#[derive(Debug, Serialize, Deserialize)]
struct StoreRow {
    id: u32,
    #[serde(default)]
    options: StoreOptions,
}

/// Where a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tree: TreeId,
    /// How often the store was renamed: handles of another count have a name that it had before.
    pub(super) renames: u32,
}

/// A version.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct VersionRow {
    /// The index that is kept for it.
    index: u64,
    /// The tree that it is in.
    tree: u32,
    pub(super) version: Version,
}

impl VersionRow {
    pub(super) const fn index(&self) -> Index {
        Index::new(self.index)
    }

    pub(super) const fn tree(&self) -> TreeId {
        TreeId::new(self.tree)
    }
}

fn name_key(name: &str) -> Vec<u8> {
    [b"s", name.as_bytes()].concat()
}

fn id_key(kind: u8, id: u32) -> [u8; 5] {
    let [a, b, c, d] = id.to_be_bytes();
    [kind, a, b, c, d]
}

fn version_key(id: u32, number: u64) -> Vec<u8> {
    [&id_key(b'v', id)[..], &number.to_be_bytes()].concat()
}

/// Who keeps the index of a version.
fn owner(id: u32, number: u64) -> String {
    format!("kv/{id}/{number}")
}

fn number<const N: usize>(bytes: &Bytes) -> Result<[u8; N]> {
    let wrong = || Fault::nonsense("a row of the tree \"kv\" has the wrong length");
    bytes.as_ref().try_into().map_err(|_| wrong())
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Fault::nonsense(format!("a row of the tree \"kv\" makes no sense: {e}")))
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Fault(ErrorKind::Failed(Box::new(e))))
}

impl Catalog {
    /// Finds the engine's trees, and makes them when they are not there.
    pub(super) fn open(db: &Database) -> Result<Self> {
        let snapshot = db.snapshot();
        let found = (snapshot.tree(CATALOG_TREE)?, snapshot.tree(EXPIRY_TREE)?);
        if let (Some(rows), Some(expiry)) = found {
            return Ok(Self { rows, expiry });
        }
        db.transact(|tx| {
            Ok(Self {
                rows: find_or_create(tx, CATALOG_TREE)?,
                expiry: find_or_create(tx, EXPIRY_TREE)?,
            })
        })
    }

    fn store(&self, view: &dyn View, name: &str) -> Result<StoreRow> {
        let found = view.get(self.rows, &name_key(name))?;
        json(&found.ok_or(ErrorKind::StoreNotFound)?)
    }

    /// Where the store `id` is.
    pub(super) fn place(&self, view: &dyn View, id: u32) -> Result<Place> {
        let found = view.get(self.rows, &id_key(b't', id))?;
        let row: [u8; 8] = number(&found.ok_or(ErrorKind::StoreNotFound)?)?;
        let [a, b, c, d, renames @ ..] = row;
        Ok(Place {
            tree: TreeId::new(u32::from_le_bytes([a, b, c, d])),
            renames: u32::from_le_bytes(renames),
        })
    }

    /// The id and the place of a store.
    pub(super) fn find(&self, view: &dyn View, name: &str) -> Result<(u32, Place)> {
        let id = self.store(view, name)?.id;
        Ok((id, self.place(view, id)?))
    }

    pub(super) fn list(&self, view: &dyn View) -> Result<Vec<StoreInfo>> {
        let mut stores = Vec::new();
        for row in view.scan(self.rows, KeyRange::prefix(b"s"), Direction::Forward)? {
            let (key, value) = row?;
            let row: StoreRow = json(&value)?;
            stores.push(StoreInfo {
                name: String::from_utf8_lossy(&key[1..]).into_owned(),
                engine: NAME.to_owned(),
                options: row.options,
            });
        }
        Ok(stores)
    }

    fn check_free(&self, view: &dyn View, name: &str) -> Result<()> {
        match view.get(self.rows, &name_key(name))? {
            Some(_) => Err(ErrorKind::StoreExists.into()),
            None => Ok(()),
        }
    }

    fn put_store(&self, tx: &mut Transaction, name: &str, row: &StoreRow) -> Result<()> {
        Ok(tx.put(self.rows, &name_key(name), &to_json(row)?)?)
    }

    /// Makes a store.
    pub(super) fn create(
        &self,
        tx: &mut Transaction,
        name: &str,
        options: &StoreOptions,
    ) -> Result<()> {
        self.check_free(tx, name)?;
        let id = match tx.get(self.rows, b"n")? {
            Some(next) => u32::from_le_bytes(number(&next)?),
            None => 1,
        };
        let next = id.checked_add(1).ok_or_else(|| {
            Fault::nonsense("this database has had as many stores as it can name")
        })?;
        tx.put(self.rows, b"n", &next.to_le_bytes())?;
        let row = StoreRow {
            id,
            options: options.clone(),
        };
        self.put_store(tx, name, &row)?;
        let tree = tx.create_tree(&tree_name(id, 0))?;
        self.set_place(tx, id, Place { tree, renames: 0 })
    }

    pub(super) fn set_place(&self, tx: &mut Transaction, id: u32, place: Place) -> Result<()> {
        let [tree, renames] = [place.tree.get(), place.renames].map(u32::to_le_bytes);
        Ok(tx.put(self.rows, &id_key(b't', id), &[tree, renames].concat())?)
    }

    pub(super) fn set_options(
        &self,
        tx: &mut Transaction,
        name: &str,
        options: &StoreOptions,
    ) -> Result<()> {
        let id = self.store(tx, name)?.id;
        let options = options.clone();
        self.put_store(tx, name, &StoreRow { id, options })
    }

    /// Gives a store another name. Returns its id, and how often it was renamed before.
    pub(super) fn rename(&self, tx: &mut Transaction, from: &str, to: &str) -> Result<(u32, u32)> {
        let row = self.store(tx, from)?;
        self.check_free(tx, to)?;
        let before = self.place(tx, row.id)?;
        tx.delete(self.rows, &name_key(from))?;
        self.put_store(tx, to, &row)?;
        let renames = before.renames.checked_add(1);
        let renames = renames
            .ok_or_else(|| Fault::nonsense("this store was renamed as often as can be counted"))?;
        self.set_place(tx, row.id, Place { renames, ..before })?;
        Ok((row.id, before.renames))
    }

    /// Takes away a store with its versions. Returns its id.
    pub(super) fn remove(&self, tx: &mut Transaction, name: &str) -> Result<u32> {
        let (id, Place { tree, .. }) = self.find(tx, name)?;
        for version in self.versions(tx, id)? {
            self.remove_version(tx, id, &version)?;
        }
        drop_tree(tx, tree)?;
        tx.delete(self.rows, &name_key(name))?;
        for kind in [b't', b'c'] {
            tx.delete(self.rows, &id_key(kind, id))?;
        }
        Ok(id)
    }

    /// The versions of a store, the oldest first.
    pub(super) fn versions(&self, view: &dyn View, id: u32) -> Result<Vec<VersionRow>> {
        let range = KeyRange::prefix(&id_key(b'v', id));
        let rows = view.scan(self.rows, range, Direction::Forward)?;
        rows.map(|row| json(&row?.1)).collect()
    }

    pub(super) fn version(
        &self,
        view: &dyn View,
        id: u32,
        wanted: &VersionId,
    ) -> Result<VersionRow> {
        let mut versions = self.versions(view, id)?.into_iter();
        let found = versions.find(|row| row.version.is(wanted));
        found.ok_or_else(|| ErrorKind::VersionNotFound(wanted.clone()).into())
    }

    /// The number of a store's next version; it is then given.
    pub(super) fn next_number(&self, tx: &mut Transaction, id: u32) -> Result<u64> {
        let key = id_key(b'c', id);
        let last = match tx.get(self.rows, &key)? {
            Some(last) => u64::from_le_bytes(number(&last)?),
            None => 0,
        };
        tx.put(self.rows, &key, &(last + 1).to_le_bytes())?;
        Ok(last + 1)
    }

    /// Keeps the state that `tx` sees of `tree` as a version of the store `id`.
    pub(super) fn add_version(
        &self,
        tx: &mut Transaction,
        id: u32,
        tree: TreeId,
        version: Version,
    ) -> Result<()> {
        let index = tx.keep_version(&owner(id, version.number))?.get();
        let key = version_key(id, version.number);
        let tree = tree.get();
        let row = to_json(&VersionRow {
            index,
            tree,
            version,
        })?;
        Ok(tx.put(self.rows, &key, &row)?)
    }

    pub(super) fn remove_version(
        &self,
        tx: &mut Transaction,
        id: u32,
        row: &VersionRow,
    ) -> Result<()> {
        let number = row.version.number;
        tx.release_version(row.index(), &owner(id, number))?;
        Ok(tx.delete(self.rows, &version_key(id, number))?)
    }

    /// A new tree for the store `id`, which nobody sees and which is dropped when the engine is
    /// opened after a restart, until it is [finished](Self::finish).
    pub(super) fn create_unfinished(&self, tx: &mut Transaction, id: u32) -> Result<TreeId> {
        // Any name that is free: trees are known by their numbers.
        let mut generation = 0;
        while tx.tree(&tree_name(id, generation))?.is_some() {
            generation += 1;
        }
        let tree = tx.create_tree(&tree_name(id, generation))?;
        let begun = tx.snapshot_index().get().to_le_bytes();
        tx.put(self.rows, &id_key(b'u', tree.get()), &begun)?;
        Ok(tree)
    }

    pub(super) fn finish(&self, tx: &mut Transaction, tree: TreeId) -> Result<()> {
        Ok(tx.delete(self.rows, &id_key(b'u', tree.get()))?)
    }

    pub(super) fn drop_unfinished(&self, tx: &mut Transaction, tree: TreeId) -> Result<()> {
        drop_tree(tx, tree)?;
        self.finish(tx, tree)
    }

    /// The trees that were not finished when the database was opened and its log ended with the
    /// index `opened_at`. Those that somebody is filling now are not among them.
    pub(super) fn left_behind(&self, view: &dyn View, opened_at: u64) -> Result<Vec<TreeId>> {
        let mut trees = Vec::new();
        for row in view.scan(self.rows, KeyRange::prefix(b"u"), Direction::Forward)? {
            let (key, begun) = row?;
            // The row was committed behind the index that it names. So one that was there at the
            // opening names one before the log's end, and one of today that end or a later one.
            if u64::from_le_bytes(number(&begun)?) < opened_at {
                let tree = u32::from_be_bytes(number(&key.slice(1..))?);
                trees.push(TreeId::new(tree));
            }
        }
        Ok(trees)
    }
}

fn find_or_create(tx: &mut Transaction, name: &str) -> Result<TreeId> {
    match tx.tree(name)? {
        Some(tree) => Ok(tree),
        None => Ok(tx.create_tree(name)?),
    }
}

fn tree_name(id: u32, generation: u64) -> String {
    format!("kv.{id}.{generation}")
}

/// Drops a tree. Versions that are in it stay readable.
pub(super) fn drop_tree(tx: &mut Transaction, tree: TreeId) -> Result<()> {
    if let Some(name) = tx.tree_name(tree)? {
        tx.drop_tree(&name)?;
    }
    Ok(())
}
