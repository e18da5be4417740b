//! What expires when, so that it can be taken away.
//!
//! Readers look at an entry's time themselves; this is about space. Whoever puts an entry that
//! expires puts a row here, too: time (8 bytes, big-endian), tree (4 bytes, big-endian), key. The
//! row stays when the entry is replaced, so what is due is looked at before it is taken away.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use nexusbase_db::{Snapshot, Transaction, TreeId, View};

use super::Core;
use super::failure::Fault;
use super::row;
use crate::domain::{Direction, ErrorKind, KeyRange};

/// Expired rows are looked for so often at most, in milliseconds.
const EVERY_MS: u64 = 1000;
/// So many are taken away at once.
const BATCH: usize = 256;
/// Time and tree, before the key.
const HEADER_BYTES: usize = 12;

type Result<T> = std::result::Result<T, Fault>;

/// Puts a row for an entry that expires.
pub(super) fn note(
    core: &Core,
    tx: &mut Transaction,
    tree: TreeId,
    key: &[u8],
    expires_ms: Option<u64>,
) -> Result<()> {
    let Some(time) = expires_ms else {
        return Ok(());
    };
    let mut row = Vec::with_capacity(HEADER_BYTES + key.len());
    row.extend_from_slice(&time.to_be_bytes());
    row.extend_from_slice(&tree.get().to_be_bytes());
    row.extend_from_slice(key);
    Ok(tx.put(core.catalog.expiry, &row, b"")?)
}

/// Whether any entry that `state` shows, of any store, may have expired at `now_ms`.
pub(super) fn is_any_due(state: &Snapshot, expiry: TreeId, now_ms: u64) -> Result<bool> {
    let mut due = state.cursor(expiry, until(now_ms), Direction::Forward)?;
    Ok(due.advance()?)
}

/// The rows of what has expired at `now_ms`.
fn until(now_ms: u64) -> KeyRange {
    let end = match now_ms.checked_add(1) {
        Some(end) => Bound::Excluded(end.to_be_bytes().to_vec()),
        None => Bound::Unbounded,
    };
    KeyRange::from_bounds(Bound::Unbounded, end)
}

/// Takes away some of what has expired, if it is time to. For those who have just written: what
/// nobody adds to does not grow.
pub(super) fn sweep(core: &Core) {
    let now_ms = core.now_ms();
    let before = core.swept_ms.load(Ordering::Relaxed);
    let due = now_ms >= before.saturating_add(EVERY_MS);
    let mine = due
        && core
            .swept_ms
            .compare_exchange(before, now_ms, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
    // It costs space when it fails, and nothing else; what is wrong will be met by others.
    while mine && matches!(step(core, now_ms), Ok(BATCH)) {}
}

/// Takes away at most [`BATCH`] entries. Returns how many rows were looked at.
fn step(core: &Core, now_ms: u64) -> Result<usize> {
    let snapshot = core.db.snapshot();
    let mut due = Vec::new();
    for row in snapshot
        .scan(core.catalog.expiry, until(now_ms), Direction::Forward)?
        .take(BATCH)
    {
        due.push(row?.0);
    }
    drop(snapshot);
    if due.is_empty() {
        return Ok(0);
    }
    core.transact(|tx| {
        for index_row in &due {
            take_away(tx, index_row, now_ms)?;
            tx.delete(core.catalog.expiry, index_row)?;
        }
        Ok::<_, Fault>(())
    })?;
    Ok(due.len())
}

/// Takes away the entry that a row is about, if it has expired.
fn take_away(tx: &mut Transaction, index_row: &[u8], now_ms: u64) -> Result<()> {
    let Some((header, key)) = index_row.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(());
    };
    let [.., a, b, c, d] = *header;
    let tree = TreeId::new(u32::from_be_bytes([a, b, c, d]));
    let found = match tx.get(tree, key).map_err(Fault::from) {
        // The tree was dropped.
        Err(Fault(ErrorKind::StoreNotFound)) => return Ok(()),
        found => found?,
    };
    if let Some(found) = found
        && row::entry(found, || now_ms)?.is_none()
    {
        tx.delete(tree, key)?;
    }
    Ok(())
}
