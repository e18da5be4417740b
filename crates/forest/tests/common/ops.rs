//! What a test does, as data: so that it can be done again elsewhere, and be cut down.

use std::ops::RangeInclusive;

use nexusbase_forest::{Direction, KeyRange, Mutation, TreeChange, TreeId};

/// One operation. The entry that an [`Op::Apply`] is has the number that is due.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Apply(Vec<TreeChange>, Vec<Mutation>),
    Get(TreeId, Vec<u8>, u64),
    Scan(View),
    /// A cursor that seeks to each of the keys and walks so many steps from there.
    Seek(View, Vec<(Vec<u8>, usize)>),
    Where(View, Vec<(usize, RangeInclusive<u64>)>),
    Sum(View),
    /// A scan that is held open in a slot.
    Hold(usize, View),
    /// Goes on with the scan of a slot.
    Continue(usize, usize),
    Floor(u64),
    Pins(Vec<u64>),
    Seal,
    Flush,
    Compact,
    CompactTree(TreeId),
    RemoveTree,
    RemoveObsolete,
    /// Afterwards nothing older than the newest can be read. At once: by a replay.
    Reopen {
        at_once: bool,
    },
    Checkpoint,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) tree: TreeId,
    pub(crate) range: KeyRange,
    pub(crate) direction: Direction,
    pub(crate) at: u64,
}

/// How many scans may be held open.
pub(crate) const SLOTS: usize = 3;
