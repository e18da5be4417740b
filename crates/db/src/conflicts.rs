//! The conflict window: which keys recent commits have written.
//!
//! Optimistic concurrency in the way of Kung and Robinson (1981), validated backwards: a
//! transaction may commit if nothing that it read was written after its snapshot. The window
//! needs to reach back only to the oldest transaction that is still open; it is also bounded in
//! size, and a transaction older than the window is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::TreeId;
use nexusbase_log::Index;

use crate::read_set::{ReadRange, ReadSet};
use crate::write_set::Writes;

/// The window forgets its oldest commits when it holds more keys than this.
const KEYS_MAX: usize = 1 << 20;

type Key = (TreeId, Bytes);

/// The keys of recent commits.
#[derive(Debug, Default)]
pub(crate) struct ConflictWindow {
    /// Key to the last commit that wrote it.
    last_written: BTreeMap<Key, Index>,
    /// The same by commit, oldest first, to forget them in order.
    commits: VecDeque<(Index, Vec<Key>)>,
    keys: usize,
    /// Commits up to this one are forgotten.
    floor: Index,
}

impl ConflictWindow {
    /// A window that starts behind `floor`.
    pub(crate) fn new(floor: Index) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// The commit that has changed what a transaction at `snapshot` has read, if one has.
    pub(crate) fn conflict(&self, snapshot: Index, reads: &ReadSet) -> Option<Index> {
        if snapshot < self.floor {
            return Some(self.floor);
        }
        if self
            .commits
            .back()
            .is_none_or(|(newest, _)| *newest <= snapshot)
        {
            return None;
        }
        let points = reads
            .points()
            .filter_map(|key| self.last_written.get(key).copied());
        let ranges = reads.ranges().filter_map(|range| self.last_in(&range));
        points
            .chain(ranges)
            .filter(|written| *written > snapshot)
            .max()
    }

    fn last_in(&self, range: &ReadRange) -> Option<Index> {
        let tree = range.tree;
        let start = match &range.start {
            Bound::Included(key) => Bound::Included((tree, key.clone())),
            Bound::Excluded(key) => Bound::Excluded((tree, key.clone())),
            Bound::Unbounded => Bound::Included((tree, Bytes::new())),
        };
        let end = match &range.end {
            Bound::Included(key) => Bound::Included((tree, key.clone())),
            Bound::Excluded(key) => Bound::Excluded((tree, key.clone())),
            Bound::Unbounded => match tree.get().checked_add(1) {
                Some(next) => Bound::Excluded((TreeId::new(next), Bytes::new())),
                None => Bound::Unbounded,
            },
        };
        if is_empty(&start, &end) {
            return None;
        }
        self.last_written
            .range((start, end))
            .map(|(_, written)| *written)
            .max()
    }

    /// Takes a commit in.
    pub(crate) fn insert(&mut self, index: Index, writes: &Writes) {
        let keys: Vec<Key> = writes.keys().cloned().collect();
        self.keys += keys.len();
        for key in &keys {
            self.last_written.insert(key.clone(), index);
        }
        self.commits.push_back((index, keys));
    }

    /// Forgets commits that no transaction can conflict with any more: those up to `oldest`, the
    /// oldest snapshot in use; and more where the window is too large.
    pub(crate) fn forget(&mut self, oldest: Index) {
        while let Some((index, _)) = self.commits.front() {
            if *index > oldest && self.keys <= KEYS_MAX {
                break;
            }
            let Some((index, keys)) = self.commits.pop_front() else {
                break;
            };
            self.floor = self.floor.max(index);
            self.remove(index, keys);
        }
    }

    /// Takes back the commits from `first` on: they did not happen.
    pub(crate) fn take_back(&mut self, first: Index) {
        // The window may have forgotten some of them already; nobody's snapshot will ever reach
        // an index that was not given.
        self.floor = self.floor.min(Index::new(first.get().saturating_sub(1)));
        let mut taken = BTreeSet::new();
        while let Some((index, keys)) = self.commits.pop_back_if(|(index, _)| *index >= first) {
            taken.extend(keys.iter().cloned());
            self.remove(index, keys);
        }
        // Earlier commits of the same keys count again. (Rare, so it may take its time.)
        for (index, keys) in &self.commits {
            for key in keys.iter().filter(|key| taken.contains(*key)) {
                self.last_written.insert(key.clone(), *index);
            }
        }
    }

    fn remove(&mut self, index: Index, keys: Vec<Key>) {
        self.keys -= keys.len();
        for key in keys {
            if self.last_written.get(&key) == Some(&index) {
                self.last_written.remove(&key);
            }
        }
    }
}

/// Whether a range holds nothing; `BTreeMap::range` panics on some of those.
fn is_empty(start: &Bound<Key>, end: &Bound<Key>) -> bool {
    match (start, end) {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Excluded(b))
        | (Bound::Excluded(a), Bound::Included(b)) => a >= b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: TreeId = TreeId::new(7);

    fn writes(keys: &[&'static str]) -> Writes {
        keys.iter()
            .map(|key| ((TREE, Bytes::from_static(key.as_bytes())), None))
            .collect()
    }

    fn read(key: &str) -> ReadSet {
        let mut reads = ReadSet::default();
        reads.add_point(TREE, key.as_bytes());
        reads
    }

    fn read_range(start: Bound<&'static str>, end: Bound<&'static str>) -> ReadSet {
        let bytes = |bound: Bound<&'static str>| bound.map(|key| Bytes::from(key.as_bytes()));
        let mut reads = ReadSet::default();
        reads.add_range(ReadRange {
            tree: TREE,
            start: bytes(start),
            end: bytes(end),
        });
        reads
    }

    fn window() -> ConflictWindow {
        let mut window = ConflictWindow::default();
        window.insert(Index::new(1), &writes(&["a", "c"]));
        window.insert(Index::new(2), &writes(&["e"]));
        window
    }

    #[test]
    fn a_point_conflicts_only_with_later_commits_of_its_key() {
        let window = window();
        assert_eq!(
            window.conflict(Index::ZERO, &read("a")),
            Some(Index::new(1))
        );
        assert_eq!(window.conflict(Index::new(1), &read("a")), None);
        assert_eq!(
            window.conflict(Index::new(1), &read("e")),
            Some(Index::new(2))
        );
        assert_eq!(window.conflict(Index::ZERO, &read("b")), None);
    }

    #[test]
    fn a_range_conflicts_with_what_was_written_inside_its_bounds() {
        use Bound::{Excluded, Included, Unbounded};
        let window = window();
        let conflict = |start, end| window.conflict(Index::ZERO, &read_range(start, end));
        assert_eq!(conflict(Included("b"), Excluded("c")), None);
        assert_eq!(conflict(Included("b"), Included("c")), Some(Index::new(1)));
        assert_eq!(conflict(Excluded("c"), Unbounded), Some(Index::new(2)));
        assert_eq!(conflict(Unbounded, Excluded("a")), None);
        assert_eq!(conflict(Excluded("z"), Excluded("a")), None);
        assert_eq!(conflict(Excluded("a"), Excluded("a")), None);
    }

    #[test]
    fn a_transaction_older_than_the_window_is_refused() {
        let mut window = window();
        window.forget(Index::new(1));
        assert_eq!(
            window.conflict(Index::ZERO, &read("b")),
            Some(Index::new(1))
        );
        assert_eq!(window.conflict(Index::new(1), &read("a")), None);
    }

    #[test]
    fn a_commit_that_did_not_happen_conflicts_with_nobody() {
        let mut window = window();
        window.take_back(Index::new(2));
        assert_eq!(window.conflict(Index::new(1), &read("e")), None);
        assert_eq!(
            window.conflict(Index::ZERO, &read("c")),
            Some(Index::new(1))
        );
    }

    #[test]
    fn an_earlier_commit_of_the_same_key_counts_again() {
        let mut window = window();
        window.insert(Index::new(3), &writes(&["a"]));
        window.take_back(Index::new(3));
        assert_eq!(
            window.conflict(Index::ZERO, &read("a")),
            Some(Index::new(1))
        );
    }
}
