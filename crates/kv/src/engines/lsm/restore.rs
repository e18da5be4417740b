//! Restoring a version: its rows go into a new tree, which then takes the store's place.
//!
//! The new tree is filled by transactions of bounded size while everybody works on in the old one.
//! The last transaction makes it the store's tree, keeps it as a new version, and drops the old
//! one; whoever writes at that moment conflicts with it and runs again, on the new tree. A tree
//! that is not finished is marked, and dropped when an engine is made after the next restart.

use nexusbase_db::{Snapshot, TreeId};

use super::catalog::{Place, drop_tree};
use super::failure::Fault;
use super::store::{LsmStore, put_new_row};
use super::{Core, row};
use crate::domain::{Direction, KeyRange, RowRef, Version, VersionId};

/// A transaction has this many rows at most.
const BATCH_ROWS: usize = 10_000;
/// A transaction ends before the row with which its keys and values had more bytes than this.
const BATCH_BYTES: usize = 4 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    keys: u64,
    bytes: u64,
    /// When the first of it expires.
    expires_ms: Option<u64>,
}

impl Copied {
    fn count(&mut self, row: &RowRef<'_>) {
        self.keys += 1;
        self.bytes += (row.key.len() + row.value.len()) as u64;
        if let Some(time) = row.expires_ms {
            self.expires_ms = Some(self.expires_ms.map_or(time, |first| first.min(time)));
        }
    }
}

pub(super) fn restore(store: &LsmStore, id: &VersionId) -> Result<Version, Fault> {
    let core = &store.core;
    let (state, from, version) = store.state_of(id)?;
    let into = core.transact(|tx| core.catalog.create_unfinished(tx, store.id))?;
    let outcome = fill(core, &state, from, into)
        .and_then(|copied| replace(store, into, version.number, copied));
    if outcome.is_err() {
        // It would go when the engine is opened again; what failed first is what matters.
        let _ = core.transact(|tx| core.catalog.drop_unfinished(tx, into));
    }
    outcome
}

/// Copies the rows of `from` that have not expired.
fn fill(core: &Core, state: &Snapshot, from: TreeId, into: TreeId) -> Result<Copied, Fault> {
    let mut cursor = state.cursor(from, KeyRange::all(), Direction::Forward)?;
    let mut copied = Copied::default();
    let now_ms = core.now_ms();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while cursor.advance()? {
        let (key, value) = cursor.row()?;
        let found = row::decode(key, value)?;
        if found.expires_ms.is_some_and(|time| time <= now_ms) {
            continue;
        }
        let size = key.len() + value.len();
        // One row alone fits always.
        if batch.len() >= BATCH_ROWS || bytes + size > BATCH_BYTES {
            put_all(core, into, &batch)?;
            batch.clear();
            bytes = 0;
        }
        bytes += size;
        copied.count(&found);
        batch.push((key.to_vec(), value.to_vec()));
    }
    put_all(core, into, &batch)?;
    Ok(copied)
}

fn put_all(core: &Core, into: TreeId, batch: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Fault> {
    if batch.is_empty() {
        return Ok(());
    }
    core.transact(|tx| {
        for (key, value) in batch {
            let found: RowRef<'_> = row::decode(key, value)?;
            put_new_row(core, tx, into, key, &found.as_put())?;
        }
        Ok(())
    })
}

/// Makes `into` the store's tree, and keeps it as a version.
fn replace(
    store: &LsmStore,
    into: TreeId,
    restored: u64,
    copied: Copied,
) -> Result<Version, Fault> {
    let core = &store.core;
    let version = core.transact(|tx| {
        let before = store.tree_of(tx)?;
        let time_ms = core.now_ms();
        let version = Version {
            number: core.catalog.next_number(tx, store.id)?,
            name: None,
            note: format!("restored from version {restored}"),
            time_ms,
            keys: copied.keys,
            bytes: copied.bytes,
            // What has expired since it was copied is not shown.
            exact: copied.expires_ms.is_none_or(|first| first > time_ms),
        };
        // What this transaction sees of the new tree is all of it.
        core.catalog
            .add_version(tx, store.id, into, version.clone())?;
        let place = Place {
            tree: into,
            renames: store.renames,
        };
        core.catalog.set_place(tx, store.id, place)?;
        core.catalog.finish(tx, into)?;
        drop_tree(tx, before)?;
        Ok::<_, Fault>(version)
    })?;
    store.learn(into);
    Ok(version)
}
