//! Recovery: what the forest does not have in tables yet is replayed from the log.
//!
//! Entries are read and checked one by one, in order and without a gap; what they change is applied
//! by windows, because nobody reads yet and the forest may take them in the order that suits it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexusbase_forest::{Change, Forest, Mutation, Seqno, TreeKind};
use nexusbase_log::{Index, Log, TornTail};

use crate::apply::{Refused, apply_entry};
use crate::catalog::{self, CATALOG};
use crate::commit::GROUP;
use crate::error::OpenError;
use crate::kept::Kept;
use crate::kinds::Kinds;
use crate::snapshot::{Registry, Snapshot};
use crate::write_set::WriteSet;

/// What opening a database had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Entries that were in tables already.
    pub flushed: u64,
    /// Entries behind them, which were replayed.
    pub entries: u64,
    /// How long opening took.
    pub duration: Duration,
    /// The end of an interrupted write that was cut off, if there was one.
    pub torn: Option<TornTail>,
}

/// Which part of an entry is replayed; anything but all is a defect on purpose.
pub(crate) type Keep = fn(Vec<Mutation>) -> Vec<Mutation>;

/// Makes sure that log and tables are of one piece. Nothing is changed before.
pub(crate) fn check(log: &Log, forest: &Forest) -> Result<(), OpenError> {
    let flushed = Index::new(forest.flushed_through().get());
    let (last, purged) = (log.group(GROUP).last.index, log.group(GROUP).purged.index);
    if last < flushed || purged > flushed {
        return Err(OpenError::LogAndTables {
            flushed,
            purged,
            last,
        });
    }
    Ok(())
}

/// Builds the forest that the log describes, which it was [checked](check) for. Returns the last
/// index.
pub(crate) fn replay(
    log: &Log,
    forest: &Forest,
    kinds: &Kinds,
    keep: Keep,
) -> Result<Index, OpenError> {
    let flushed = Index::new(forest.flushed_through().get());
    let last = log.group(GROUP).last.index;
    forest
        .ensure_tree(CATALOG, TreeKind::ROWS.name)
        .map_err(|e| failed(flushed, e.to_string()))?;
    let mut replay = Replay::new(forest, kinds, flushed);
    let mut entries = log.entries(GROUP, flushed.next(), last)?;
    while let Some(entry) = entries.next_entry()? {
        let index = entry.id.index;
        let payload = Bytes::copy_from_slice(entry.payload);
        let write_set = WriteSet::decode(&payload).map_err(|reason| failed(index, reason))?;
        forest.note_time(write_set.unix_ms);
        replay.add(index, keep(write_set.mutations), payload.len())?;
    }
    replay.flush()?;
    if replay.read != last {
        let reason = format!("it is missing; the log ends at {last}");
        return Err(failed(replay.read.next(), reason));
    }
    Ok(last)
}

/// Pins what the newest state says is kept. To be called before the floor of the forest rises: it
/// is where the tables end, so that replaying has dropped nothing that a kept version needs.
pub(crate) fn kept_versions(
    forest: &Arc<Forest>,
    registry: &Arc<Registry>,
) -> Result<Arc<Kept>, OpenError> {
    let rows = catalog::kept(&Snapshot::take(forest, registry), "")?;
    Ok(Arc::new(Kept::restore(Arc::clone(forest), &rows)))
}

/// Changes are applied this many at a time.
const WINDOW_CHANGES: usize = 1 << 16;
/// A window ends early when its keys and values have this many bytes.
const WINDOW_BYTES: usize = 64 << 20;

/// A forest that grows by windows of entries.
pub(crate) struct Replay<'a> {
    forest: &'a Forest,
    kinds: &'a Kinds,
    /// The last entry read.
    read: Index,
    window: Vec<(Seqno, Mutation)>,
    window_bytes: usize,
}

impl<'a> Replay<'a> {
    pub(crate) const fn new(forest: &'a Forest, kinds: &'a Kinds, flushed: Index) -> Self {
        Self {
            forest,
            kinds,
            read: flushed,
            window: Vec::new(),
            window_bytes: 0,
        }
    }

    pub(crate) fn add(
        &mut self,
        index: Index,
        mutations: Vec<Mutation>,
        payload_bytes: usize,
    ) -> Result<(), OpenError> {
        if index != self.read.next() {
            return Err(failed(index, format!("it follows entry {}", self.read)));
        }
        if mutations.iter().any(|mutation| {
            // An error is one of the entry, which says so when it is applied.
            !matches!(catalog::tree_change(mutation), Ok(None))
                || catalog::keeps_too_new(mutation, index)
        }) {
            // What trees there are changes between entries, not within a window.
            self.flush()?;
            let mutations = mutations
                .into_iter()
                .map(|mutation| detached(mutation, payload_bytes))
                .collect();
            apply_entry(self.forest, self.kinds, index, mutations).map_err(|e| match e {
                Refused::UnknownKind { tree, kind } => OpenError::UnknownKind { tree, kind },
                Refused::Other(reason) => failed(index, reason),
            })?;
            self.read = index;
            return Ok(());
        }
        self.read = index;
        for mutation in mutations {
            let mutation = detached(mutation, payload_bytes);
            self.window_bytes += mutation.key.len()
                + match &mutation.change {
                    Change::Put(value) | Change::Merge(value) => value.len(),
                    Change::DeleteRange { end: Some(end) } => end.len(),
                    Change::Delete | Change::DeleteRange { end: None } => 0,
                };
            self.window.push((Seqno::new(index.get()), mutation));
        }
        if self.window.len() >= WINDOW_CHANGES || self.window_bytes >= WINDOW_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// The last entry that was added.
    pub(crate) const fn read(&self) -> Index {
        self.read
    }

    pub(crate) fn flush(&mut self) -> Result<(), OpenError> {
        self.window_bytes = 0;
        self.forest
            .replay(
                Seqno::new(self.read.get()),
                &[],
                std::mem::take(&mut self.window),
            )
            .map_err(|e| failed(self.read, e.to_string()))?;
        // What does not fit into memory goes to disk as it does later, too. All of it is durable
        // in the log, or it could not be read from there.
        while self.forest.flush_step()? {}
        Ok(())
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
            Change::Merge(operand) => Change::Merge(own(operand)),
            Change::DeleteRange { end } => Change::DeleteRange { end: end.map(own) },
        },
    }
}

const fn failed(index: Index, reason: String) -> OpenError {
    OpenError::Entry { index, reason }
}
