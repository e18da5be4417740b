//! What expires when, so that it can be taken away.
//!
//! Readers look at an entry's time themselves; this is about space. Whoever puts an entry that
//! expires puts a row here, too: time (8 bytes, big-endian), tree (4 bytes, big-endian), key. Who
//! puts another entry that expires in its place, or has read what it deletes, takes the row away
//! again. Other rows stay until their time has come, also those of a store that was cleared or
//! dropped; so what is due is looked at before it is taken away.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use nexusbase_db::{Snapshot, Transaction, TreeId, View as _};
use parking_lot::Mutex;

use super::Core;
use super::failure::Fault;
use super::row;
use crate::domain::{Direction, ErrorKind, KeyRange};

/// Expired rows are looked for so often at most, in milliseconds, while there are none left.
const EVERY_MS: u64 = 1000;
/// So often all are looked for, and not just those behind the last one that was found.
const ANEW_MS: u64 = 60_000;
/// So many are taken away at once.
const BATCH: usize = 256;
/// One write pays for so many batches at most, and for two of what it has itself put.
const BATCHES: usize = 4;
/// Time and tree, before the key.
pub(super) const HEADER_BYTES: usize = 12;

type Result<T> = std::result::Result<T, Fault>;

/// How far sweeping has come.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// When to look for expired rows the next time.
    next_ms: AtomicU64,
    /// Lock `kv.sweep`: held by the one who sweeps. Nobody waits for it.
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The last row that was taken away. What lies before it was taken away, too, and may be slow
    /// to walk through until it is compacted.
    behind: Option<Vec<u8>>,
    /// When it was last begun at the first row.
    begun_ms: u64,
}

/// The row for an entry.
fn index_row(time: u64, tree: TreeId, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEADER_BYTES + key.len());
    row.extend_from_slice(&time.to_be_bytes());
    row.extend_from_slice(&tree.get().to_be_bytes());
    row.extend_from_slice(key);
    row
}

/// Takes away the row of an entry that `tx` replaces or deletes.
pub(super) fn forget(
    core: &Core,
    tx: &mut Transaction,
    tree: TreeId,
    key: &[u8],
    expires_ms: Option<u64>,
) -> Result<()> {
    let Some(time) = expires_ms else {
        return Ok(());
    };
    Ok(tx.delete(core.catalog.expiry, &index_row(time, tree, key))?)
}

/// Takes away the row of the entry that was there before one that expires at `expires_ms`.
///
/// Looks at it without a memory, so that putting conflicts with nobody. Should another have put
/// something meanwhile, a row stays that is of no use; none is missing, because whoever takes one
/// away also replaces the entry that it is about.
pub(super) fn forget_before(
    core: &Core,
    tx: &mut Transaction,
    tree: TreeId,
    key: &[u8],
    expires_ms: Option<u64>,
) -> Result<()> {
    let Some(before) = tx.snapshot().get(tree, key)? else {
        return Ok(());
    };
    // What cannot be read is replaced all the same.
    let time = row::decode(key, &before)
        .ok()
        .and_then(|row| row.expires_ms);
    if time == expires_ms {
        return Ok(());
    }
    forget(core, tx, tree, key, time)
}

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
    Ok(tx.put(core.catalog.expiry, &index_row(time, tree, key), b"")?)
}

/// Whether any entry that `state` shows, of any store, may have expired at `now_ms`.
pub(super) fn is_any_due(state: &Snapshot, expiry: TreeId, now_ms: u64) -> Result<bool> {
    let mut due = state.cursor(expiry, until(None, now_ms), Direction::Forward)?;
    Ok(due.advance()?)
}

/// The rows behind `behind` of what has expired at `now_ms`.
fn until(behind: Option<&[u8]>, now_ms: u64) -> KeyRange {
    let start = behind.map_or(Bound::Unbounded, |row| Bound::Excluded(row.to_vec()));
    let end = match now_ms.checked_add(1) {
        Some(end) => Bound::Excluded(end.to_be_bytes().to_vec()),
        None => Bound::Unbounded,
    };
    KeyRange::from_bounds(start, end)
}

/// Takes away some of what has expired, if it is time to. For those who have just written about
/// `entries` entries: what nobody adds to does not grow. It costs next to nothing when there is
/// nothing to do.
pub(super) fn sweep(core: &Core, entries: usize) {
    let now_ms = core.now_ms();
    let next_ms = core.sweeper.next_ms.load(Ordering::Relaxed);
    // Unless the clock was set back.
    if now_ms < next_ms && next_ms - now_ms <= EVERY_MS {
        return;
    }
    let Some(mut progress) = core.sweeper.progress.try_lock() else {
        return;
    };
    if now_ms < progress.begun_ms || now_ms - progress.begun_ms >= ANEW_MS {
        *progress = Progress {
            behind: None,
            begun_ms: now_ms,
        };
    }
    // It costs space when it fails, and nothing else; what is wrong will be met by others.
    let batches = BATCHES + 2 * (entries / BATCH);
    let more = (0..batches).all(|_| matches!(step(core, now_ms, &mut progress), Ok(BATCH)));
    let next_ms = if more {
        0
    } else {
        now_ms.saturating_add(EVERY_MS)
    };
    core.sweeper.next_ms.store(next_ms, Ordering::Relaxed);
}

/// Takes away at most [`BATCH`] entries. Returns how many rows were looked at.
fn step(core: &Core, now_ms: u64, progress: &mut Progress) -> Result<usize> {
    let snapshot = core.db.snapshot();
    let range = until(progress.behind.as_deref(), now_ms);
    let mut due = Vec::new();
    for row in snapshot
        .scan(core.catalog.expiry, range, Direction::Forward)?
        .take(BATCH)
    {
        due.push(row?.0);
    }
    drop(snapshot);
    let Some(last) = due.last() else {
        return Ok(0);
    };
    // Also when it fails: those behind them must not wait for them.
    progress.behind = Some(last.to_vec());
    core.transact(|tx| {
        for index_row in &due {
            take_away(tx, index_row, now_ms)?;
            tx.delete(core.catalog.expiry, index_row)?;
        }
        Ok(())
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
    // What makes no sense is for those who read it.
    if let Some(found) = found
        && matches!(row::entry(found, || now_ms), Ok(None))
    {
        tx.delete(tree, key)?;
    }
    Ok(())
}
