//! Recovery: the log is replayed into an empty forest, entry by entry.

use std::time::Duration;

use bytes::Bytes;
use nexusbase_forest::{Forest, Mutation, Seqno};
use nexusbase_log::{Index, Log, TornTail};

use crate::catalog::CATALOG;
use crate::commit::{GROUP, apply_entry};
use crate::error::OpenError;
use crate::write_set::WriteSet;

/// What opening a database had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Entries that were replayed.
    pub entries: u64,
    /// How long opening took.
    pub duration: Duration,
    /// The end of an interrupted write that was cut off, if there was one.
    pub torn: Option<TornTail>,
}

/// Which part of an entry is replayed; anything but all is a defect on purpose.
pub(crate) type Keep = fn(Vec<Mutation>) -> Vec<Mutation>;

/// Builds the forest that the log describes. Returns it with the last index.
pub(crate) fn replay(log: &Log, keep: Keep) -> Result<(Forest, Index), OpenError> {
    let forest = Forest::new();
    let failed = |index, reason| OpenError::Entry { index, reason };
    forest
        .create_tree(CATALOG)
        .map_err(|e| failed(Index::ZERO, e.to_string()))?;
    let last = log.group(GROUP).last.index;
    let mut entries = log.entries(GROUP, Index::new(1), last)?;
    let mut applied = Index::ZERO;
    while let Some(entry) = entries.next_entry()? {
        let index = entry.id.index;
        if index != applied.next() {
            return Err(failed(index, format!("it follows entry {applied}")));
        }
        let payload = Bytes::copy_from_slice(entry.payload);
        let write_set = WriteSet::decode(&payload).map_err(|reason| failed(index, reason))?;
        // Nobody reads yet: what an entry replaces can go at once.
        forest.set_oldest_needed(Seqno::new(applied.get()));
        apply_entry(&forest, index, keep(write_set.mutations).into_iter())
            .map_err(|reason| failed(index, reason))?;
        applied = index;
    }
    if applied != last {
        return Err(failed(
            applied.next(),
            format!("it is missing; the log ends at {last}"),
        ));
    }
    Ok((forest, last))
}
