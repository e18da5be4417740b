//! A store on a tree of the database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nexusbase_db::{Snapshot, Transaction as DbTransaction, TreeId};

use super::catalog::Place;
use super::failure::Fault;
use super::transaction::{LsmReader, LsmTransaction};
use super::view::{LsmCursor, LsmView, entry};
use super::{Core, LIMITS, NAME, expiry, row};
use crate::domain::{
    Capabilities, Cursor, Direction, Entry, ErrorKind, Expected, KeyRange, Mode, Operation, Put,
    Result, Store, StoreStats, Swap, Transaction, Transactional, Versioned, View, Write,
};
use crate::life::Life;

/// Stores with fewer rows than this are counted exactly for figures.
const COUNTED_ROWS_MAX: u64 = 100_000;

/// A store.
pub(super) struct LsmStore {
    pub(super) core: Arc<Core>,
    name: String,
    pub(super) id: u32,
    /// How often it had been renamed when it got this name.
    pub(super) renames: u32,
    /// A tree that it was in when that was looked up. No store is ever in a tree twice, so this is
    /// where it is, or a tree that was dropped.
    tree: AtomicU32,
    life: Arc<Life>,
}

impl LsmStore {
    pub(super) fn new(
        core: Arc<Core>,
        name: &str,
        (id, place): (u32, Place),
        life: Arc<Life>,
    ) -> Self {
        Self {
            core,
            name: name.to_owned(),
            id,
            renames: place.renames,
            tree: AtomicU32::new(place.tree.get()),
            life,
        }
    }

    pub(super) fn check(&self, operation: Operation) -> Result<()> {
        super::check(&self.life, operation, &self.name)
    }

    pub(super) fn named<T>(
        &self,
        operation: Operation,
        outcome: std::result::Result<T, Fault>,
    ) -> Result<T> {
        super::named(operation, &self.name, outcome)
    }

    pub(super) fn tree(&self) -> TreeId {
        TreeId::new(self.tree.load(Ordering::Acquire))
    }

    /// The tree as `view` sees it; if that is a transaction, it conflicts with whoever restores,
    /// drops or renames the store.
    pub(super) fn tree_of(
        &self,
        view: &dyn nexusbase_db::View,
    ) -> std::result::Result<TreeId, Fault> {
        let place = self.core.catalog.place(view, self.id)?;
        if place.renames != self.renames {
            return Err(ErrorKind::StoreNotFound.into());
        }
        Ok(place.tree)
    }

    /// Later reads begin in `tree`, where the store was at a commit that is visible. One who comes
    /// late with a tree that was dropped meanwhile makes the next read look it up.
    pub(super) fn learn(&self, tree: TreeId) {
        self.tree.store(tree.get(), Ordering::Release);
    }

    /// A snapshot of the newest state, and the tree that it is in.
    pub(super) fn newest(&self) -> std::result::Result<(Snapshot, TreeId), Fault> {
        let snapshot = self.core.db.snapshot();
        let tree = self.tree_of(&snapshot)?;
        self.learn(tree);
        Ok((snapshot, tree))
    }

    /// Runs `work`, which writes about so many entries, in a transaction, on the tree where the
    /// store is then.
    fn change<T>(
        &self,
        operation: Operation,
        entries: usize,
        mut work: impl FnMut(&mut DbTransaction, TreeId) -> std::result::Result<T, Fault>,
    ) -> Result<T> {
        let done = self.core.transact(|tx| {
            let tree = self.tree_of(tx)?;
            Ok((work(tx, tree)?, tree))
        });
        let (answer, tree) = self.named(operation, done)?;
        self.learn(tree);
        expiry::sweep(&self.core, entries);
        Ok(answer)
    }

    /// The figures that the forest has: rows, old versions and tombstones included, and their bytes.
    pub(super) fn estimate(&self, tree: TreeId) -> (u64, u64) {
        let stats = self.core.db.forest_stats();
        stats.trees.get(&tree).map_or((0, 0), |tree| {
            let levels = tree.levels.iter();
            let (rows, bytes) = levels.fold((0, 0), |(rows, bytes), level| {
                (rows + level.rows, bytes + level.bytes)
            });
            (tree.entries + rows, tree.bytes + bytes)
        })
    }

    /// Keys and bytes of a state at a time, and whether that is exact: for a small store it is, for
    /// a large one it is an estimate.
    pub(super) fn size(
        &self,
        snapshot: &Snapshot,
        tree: TreeId,
        now_ms: u64,
    ) -> std::result::Result<(u64, u64, bool), Fault> {
        let (rows, bytes) = self.estimate(tree);
        if rows > COUNTED_ROWS_MAX {
            return Ok((rows, bytes, false));
        }
        let mut cursor = snapshot.cursor(tree, KeyRange::all(), Direction::Forward)?;
        let (mut keys, mut bytes) = (0, 0);
        while cursor.advance()? {
            let (key, value) = cursor.row()?;
            let row = row::decode(key, value)?;
            if row.expires_ms.is_none_or(|time| time > now_ms) {
                keys += 1;
                bytes += (key.len() + row.value.len()) as u64;
            }
        }
        Ok((keys, bytes, true))
    }
}

/// Puts `put` under `key`, within its limits.
pub(super) fn put_row(
    core: &Core,
    tx: &mut DbTransaction,
    tree: TreeId,
    key: &[u8],
    put: &Put<'_>,
) -> std::result::Result<(), Fault> {
    if put.expires_ms.is_some() {
        expiry::forget_before(core, tx, tree, key, put.expires_ms)?;
    }
    put_new_row(core, tx, tree, key, put)
}

/// As [`put_row`], where nothing is that expires.
pub(super) fn put_new_row(
    core: &Core,
    tx: &mut DbTransaction,
    tree: TreeId,
    key: &[u8],
    put: &Put<'_>,
) -> std::result::Result<(), Fault> {
    tx.put(tree, key, &row::encode(put))?;
    expiry::note(core, tx, tree, key, put.expires_ms)
}

impl fmt::Debug for LsmStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &NAME)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl View for LsmStore {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.check(Operation::Get)?;
        let found = match self.core.db.get(self.tree(), key).map_err(Fault::from) {
            // A restore may have put another tree in its place.
            Err(Fault(ErrorKind::StoreNotFound)) => self
                .newest()
                .and_then(|(snapshot, tree)| entry(&snapshot, tree, key, || self.core.now_ms())),
            Ok(None) => return Ok(None),
            Ok(Some(row)) => row::entry(row, || self.core.now_ms()),
            Err(fault) => Err(fault),
        };
        self.named(Operation::Get, found).map_err(|e| e.key(key))
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.snapshot()?.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.check(Operation::Iterate)?;
        let cursor = self.newest().and_then(|(snapshot, tree)| {
            let state = (&Arc::new(snapshot), tree, self.core.catalog.expiry);
            LsmCursor::open(state, (range, direction), &self.name, self.core.now_ms())
        });
        Ok(Box::new(self.named(Operation::Iterate, cursor)?))
    }
}

impl Store for LsmStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn engine_name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.core.capabilities()
    }

    fn is_open(&self) -> bool {
        self.life.check().is_ok()
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<()> {
        let operation = Operation::Write;
        self.check(operation)?;
        let checked = LIMITS.check(operation, writes);
        let checked = checked.and_then(|()| row::check_room(operation, writes));
        checked.map_err(|e| e.engine(NAME).store(&self.name))?;
        self.change(operation, writes.len(), |tx, tree| {
            for write in writes {
                match write {
                    Write::Put(key, put) => put_row(&self.core, tx, tree, key, put)?,
                    Write::Delete(key) => tx.delete(tree, key)?,
                }
            }
            Ok(())
        })
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        let operation = Operation::Delete;
        self.check(operation)?;
        let checked = LIMITS.check_key(operation, key);
        checked.map_err(|e| e.engine(NAME).store(&self.name))?;
        self.change(operation, 1, |tx, tree| {
            let found = entry(tx, tree, key, || self.core.now_ms())?;
            if let Some(found) = &found {
                tx.delete(tree, key)?;
                expiry::forget(&self.core, tx, tree, key, found.expires_ms)?;
            }
            Ok(found.is_some())
        })
    }

    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap> {
        let operation = Operation::CompareAndSet;
        self.check(operation)?;
        let checked = match &new {
            Some(put) => LIMITS.check_put(operation, key, put),
            None => LIMITS.check_key(operation, key),
        };
        checked.map_err(|e| e.engine(NAME).store(&self.name))?;
        self.change(operation, 1, |tx, tree| {
            let found = entry(tx, tree, key, || self.core.now_ms())?;
            if !expected.is(found.as_ref()) {
                return Ok(Swap::Differs(found));
            }
            match &new {
                Some(put) => put_row(&self.core, tx, tree, key, put)?,
                None if found.is_some() => tx.delete(tree, key)?,
                None => {}
            }
            Ok(Swap::Done)
        })
    }

    fn clear(&self) -> Result<()> {
        self.check(Operation::Clear)?;
        self.change(Operation::Clear, 0, |tx, tree| {
            Ok(tx.delete_range(tree, &KeyRange::all())?)
        })
    }

    fn snapshot(&self) -> Result<Box<dyn View + Send>> {
        self.check(Operation::Get)?;
        let (snapshot, tree) = self.named(Operation::Get, self.newest())?;
        Ok(Box::new(LsmView {
            snapshot: Arc::new(snapshot),
            tree,
            expiry: self.core.catalog.expiry,
            store: self.name.clone(),
            now_ms: self.core.now_ms(),
        }))
    }

    fn stats(&self) -> Result<StoreStats> {
        let operation = Operation::Stats;
        self.check(operation)?;
        let stats = || {
            let (snapshot, tree) = self.newest()?;
            let (keys, bytes, exact) = self.size(&snapshot, tree, self.core.now_ms())?;
            let versions = self.core.catalog.versions(&snapshot, self.id)?.len();
            Ok(StoreStats {
                keys,
                bytes,
                exact,
                disk_bytes: None,
                versions: versions as u64,
                damage: Vec::new(),
            })
        };
        self.named(operation, stats())
    }

    fn close(&self) -> Result<()> {
        // What was acknowledged is in the log; the database goes on.
        self.life.close();
        Ok(())
    }

    fn transactional(&self) -> Option<&dyn Transactional> {
        Some(self)
    }

    fn versioned(&self) -> Option<&dyn Versioned> {
        Some(self)
    }
}

impl Transactional for LsmStore {
    fn begin(&self, mode: Mode) -> Result<Box<dyn Transaction>> {
        let operation = Operation::Begin;
        self.check(operation)?;
        match mode {
            Mode::ReadOnly => {
                let (snapshot, tree) = self.named(operation, self.newest())?;
                let (core, life) = (Arc::clone(&self.core), Arc::clone(&self.life));
                let state = (snapshot, tree);
                Ok(Box::new(LsmReader::new(core, life, state, &self.name)))
            }
            Mode::ReadWrite => {
                let tx = self.core.db.begin();
                let tree = self.named(operation, self.tree_of(&tx))?;
                let core = Arc::clone(&self.core);
                let life = Arc::clone(&self.life);
                Ok(Box::new(LsmTransaction::new(
                    core, life, tx, &self.name, tree,
                )))
            }
        }
    }
}
