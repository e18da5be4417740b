//! Recovery: the log is replayed into an empty forest.
//!
//! Entries are read and checked one by one, in order and without a gap; what they change is applied
//! by windows, sorted, because nobody reads yet and only the last change of a key matters.

use std::time::Duration;

use bytes::Bytes;
use nexusbase_forest::{Change, Forest, Mutation, Seqno};
use nexusbase_log::{Index, Log, TornTail};

use crate::catalog::{self, CATALOG};
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
    let last = log.group(GROUP).last.index;
    let mut entries = log.entries(GROUP, Index::new(1), last)?;
    let mut replay = Replay::new()?;
    while let Some(entry) = entries.next_entry()? {
        let index = entry.id.index;
        let payload = Bytes::copy_from_slice(entry.payload);
        let write_set = WriteSet::decode(&payload).map_err(|reason| failed(index, reason))?;
        replay.add(index, keep(write_set.mutations), payload.len())?;
    }
    replay.flush()?;
    if replay.read != last {
        let reason = format!("it is missing; the log ends at {last}");
        return Err(failed(replay.read.next(), reason));
    }
    Ok((replay.forest, last))
}

/// Changes are sorted before they are applied, this many at a time.
const WINDOW_CHANGES: usize = 1 << 16;
/// A window ends early when its keys and values have this many bytes.
const WINDOW_BYTES: usize = 64 << 20;

/// A forest that grows by windows of entries.
struct Replay {
    forest: Forest,
    /// The last entry read.
    read: Index,
    window: Vec<(Seqno, Mutation)>,
    window_bytes: usize,
}

impl Replay {
    fn new() -> Result<Self, OpenError> {
        let forest = Forest::new();
        forest
            .create_tree(CATALOG)
            .map_err(|e| failed(Index::ZERO, e.to_string()))?;
        Ok(Self {
            forest,
            read: Index::ZERO,
            window: Vec::new(),
            window_bytes: 0,
        })
    }

    fn add(
        &mut self,
        index: Index,
        mutations: Vec<Mutation>,
        payload_bytes: usize,
    ) -> Result<(), OpenError> {
        if index != self.read.next() {
            return Err(failed(index, format!("it follows entry {}", self.read)));
        }
        if mutations
            .iter()
            .any(|mutation| catalog::tree_change(mutation).is_some())
        {
            // What trees there are changes between entries, not within a window.
            self.flush()?;
            let mutations = mutations
                .into_iter()
                .map(|mutation| detached(mutation, payload_bytes));
            apply_entry(&self.forest, index, mutations).map_err(|reason| failed(index, reason))?;
            self.read = index;
            return Ok(());
        }
        self.read = index;
        for mutation in mutations {
            let mutation = detached(mutation, payload_bytes);
            self.window_bytes += mutation.key.len()
                + match &mutation.change {
                    Change::Put(value) => value.len(),
                    Change::Delete => 0,
                };
            self.window.push((Seqno::new(index.get()), mutation));
        }
        if self.window.len() >= WINDOW_CHANGES || self.window_bytes >= WINDOW_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        self.window_bytes = 0;
        self.forest
            .replay(
                Seqno::new(self.read.get()),
                std::mem::take(&mut self.window),
            )
            .map_err(|e| failed(self.read, e.to_string()))
    }
}

/// Entries up to this size may be kept in memory for the sake of a part of them.
const SHARED_BYTES_MAX: usize = 4096;

/// A change that does not keep a large entry in memory for the sake of a small part of it.
fn detached(mutation: Mutation, payload_bytes: usize) -> Mutation {
    if payload_bytes <= SHARED_BYTES_MAX {
        return mutation;
    }
    let own = |bytes: Bytes| {
        if bytes.len() < payload_bytes / 2 {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        }
    };
    Mutation {
        tree: mutation.tree,
        key: own(mutation.key),
        change: match mutation.change {
            Change::Put(value) => Change::Put(own(value)),
            Change::Delete => Change::Delete,
        },
    }
}

const fn failed(index: Index, reason: String) -> OpenError {
    OpenError::Entry { index, reason }
}
