//! What a transaction has read, to find out whether others have changed it.

use std::collections::BTreeSet;

use super::state::{Cell, State};
use crate::domain::KeyRange;

/// Keys and ranges that were read.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    points: BTreeSet<Vec<u8>>,
    ranges: Vec<KeyRange>,
}

impl ReadSet {
    pub(crate) fn add_point(&mut self, key: &[u8]) {
        if !self.points.contains(key) {
            self.points.insert(key.to_vec());
        }
    }

    pub(crate) fn add_range(&mut self, range: KeyRange) {
        self.ranges.push(range);
    }

    /// Whether any of it, as it was in `old` at `now_ms`, is different in `new`.
    pub(crate) fn is_changed(&self, old: &State, new: &State, now_ms: u64) -> bool {
        if old.same_as(new) {
            return false;
        }
        // What had expired already was not there for the transaction, and never will be.
        let stamp = |cell: Option<&Cell>| {
            let live = cell.filter(|cell| !cell.entry.is_expired(now_ms));
            live.map(|cell| cell.stamp)
        };
        let differs = |key: &Vec<u8>| stamp(old.cell(key)) != stamp(new.cell(key));
        if self.points.iter().any(differs) {
            return true;
        }
        let mut found = false;
        if !self.ranges.is_empty() {
            old.each_difference(new, |key, before, after| {
                found = stamp(before) != stamp(after)
                    && self.ranges.iter().any(|range| range.contains(key));
                !found
            });
        }
        found
    }
}
