//! Restoring a version: its rows go into a new tree, which then takes the store's place.
//!
//! The new tree is filled by transactions of bounded size while everybody works on in the old one.
//! The last transaction makes it the store's tree, keeps it as a new version, and drops the old
//! one; whoever writes at that moment conflicts with it and runs again, on the new tree. A tree
//! that is not finished is marked, and dropped when the engine is opened the next time.

use nexusbase_db::{Snapshot, TreeId};

use super::catalog::drop_tree;
use super::failure::Fault;
use super::store::{LsmStore, put_row};
use super::{Core, row};
use crate::domain::{Direction, KeyRange, RowRef, Version, VersionId};

/// A transaction has this many rows at most.
const BATCH_ROWS: usize = 10_000;
/// A transaction ends early when its keys and values have this many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    keys: u64,
    bytes: u64,
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
    loop {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_ROWS && bytes < BATCH_BYTES && cursor.advance()? {
            let (key, value) = cursor.row()?;
            let found = row::decode(key, value)?;
            if found.expires_ms.is_none_or(|time| time > now_ms) {
                bytes += key.len() + value.len();
                copied.keys += 1;
                copied.bytes += (key.len() + found.value.len()) as u64;
                batch.push((key.to_vec(), value.to_vec()));
            }
        }
        if batch.is_empty() {
            return Ok(copied);
        }
        core.transact(|tx| {
            for (key, value) in &batch {
                let found: RowRef<'_> = row::decode(key, value)?;
                put_row(core, tx, into, key, &found.as_put())?;
            }
            Ok::<_, Fault>(())
        })?;
    }
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
        let version = Version {
            number: core.catalog.next_number(tx, store.id)?,
            name: None,
            note: format!("restored from version {restored}"),
            time_ms: core.now_ms(),
            keys: copied.keys,
            bytes: copied.bytes,
            exact: true,
        };
        // What this transaction sees of the new tree is all of it.
        core.catalog
            .add_version(tx, store.id, into, version.clone())?;
        core.catalog.set_tree(tx, store.id, into)?;
        core.catalog.finish(tx, into)?;
        drop_tree(tx, before)?;
        Ok::<_, Fault>(version)
    })?;
    store.learn(into);
    Ok(version)
}
