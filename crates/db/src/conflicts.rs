//! The conflict window: which keys recent commits have written, and which ranges they deleted.
//!
//! Optimistic concurrency in the way of Kung and Robinson (1981), validated backwards: a
//! transaction may commit if nothing that it read was written after its snapshot. The window
//! needs to reach back only to the oldest transaction that is still open; it is also bounded in
//! size, and a transaction older than the window is refused.
//!
//! It is asked under the commit lock, so nothing here walks through all that it holds: a point is
//! a look-up, a range is asked of blocks of keys (see [`RecentKeys`]), and each range that was
//! deleted since is looked up in what was read.

use std::collections::{BTreeSet, VecDeque};

use nexusbase_forest::{Change, Mutation, TreeId};
use nexusbase_log::Index;

use crate::read_set::ReadSet;
use crate::recent::{Key, RecentKeys};
use crate::span::Span;

/// The window forgets its oldest commits when it holds more keys than this, or more bytes of them.
const KEYS_MAX: usize = 1 << 20;
const BYTES_MAX: usize = 256 << 20;
/// The same for ranges.
const RANGES_MAX: usize = 1 << 14;

/// So many of the newest commits are asked one by one: most are forgotten before it would have
/// been worth the work to index their keys.
const STAGED_MAX: usize = 64;

/// What recent commits have written.
#[derive(Debug, Default)]
pub(crate) struct ConflictWindow {
    /// Of all commits but the newest `staged`.
    recent: RecentKeys,
    /// How many of the newest commits are only in `commits`.
    staged: usize,
    /// The keys by commit, oldest first, to forget them in order; each commit's in their order.
    commits: VecDeque<(Index, Vec<Key>)>,
    /// The ranges that were deleted, by commit, oldest first.
    deleted: VecDeque<(Index, TreeId, Span)>,
    keys: usize,
    /// Bytes of all keys and bounds.
    bytes: usize,
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

    /// The last commit that has changed what a transaction at `snapshot` has read, if one has.
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
            .filter_map(|key| self.recent.get(key))
            .filter(|written| *written > snapshot);
        let ranges = reads
            .ranges()
            .filter_map(|(tree, span)| self.recent.newest_in(tree, &span, snapshot));
        let newest_first = self.deleted.iter().rev();
        let deleted = newest_first
            .take_while(|(index, ..)| *index > snapshot)
            .find(|(_, tree, span)| reads.touches(*tree, span))
            .map(|(index, ..)| *index);
        let staged = self.commits.iter().rev().take(self.staged);
        let staged = staged
            .take_while(|(index, _)| *index > snapshot)
            .find(|(_, keys)| has_read_one_of(reads, keys))
            .map(|(index, _)| *index);
        points.chain(ranges).chain(deleted).chain(staged).max()
    }

    /// Takes a commit in.
    pub(crate) fn insert(&mut self, index: Index, mutations: &[Mutation]) {
        let mut keys = Vec::with_capacity(mutations.len());
        for Mutation { tree, key, change } in mutations {
            if let Change::DeleteRange { end } = change {
                let (start, end) = (key.clone(), end.clone());
                let span = Span { start, end };
                self.bytes += span.bytes();
                self.deleted.push_back((index, *tree, span));
                continue;
            }
            self.bytes += key.len();
            keys.push((*tree, key.clone()));
        }
        self.keys += keys.len();
        self.commits.push_back((index, keys));
        self.staged += 1;
        if self.staged > STAGED_MAX {
            self.index_oldest_staged();
        }
    }

    fn index_oldest_staged(&mut self) {
        let at = self.commits.len() - self.staged;
        if let Some((index, keys)) = self.commits.get(at) {
            for key in keys {
                self.recent.insert(key.clone(), *index);
            }
        }
        self.staged -= 1;
    }

    /// Forgets commits that no transaction can conflict with any more: those up to `oldest`, the
    /// oldest snapshot in use; and more where the window is too large.
    pub(crate) fn forget(&mut self, oldest: Index) {
        while let Some((index, _)) = self.commits.front() {
            let fits = self.keys <= KEYS_MAX
                && self.bytes <= BYTES_MAX
                && self.deleted.len() <= RANGES_MAX;
            if *index > oldest && fits {
                break;
            }
            let Some((index, keys)) = self.commits.pop_front() else {
                break;
            };
            self.floor = self.floor.max(index);
            let is_staged = self.commits.len() < self.staged;
            self.staged -= usize::from(is_staged);
            self.remove(index, &keys, is_staged);
            while let Some((.., span)) = self.deleted.pop_front_if(|(of, ..)| *of <= index) {
                self.bytes -= span.bytes();
            }
        }
    }

    /// Takes back the commits from `first` on: they did not happen.
    pub(crate) fn take_back(&mut self, first: Index) {
        // The window may have forgotten some of them already; nobody's snapshot will ever reach
        // an index that was not given.
        self.floor = self.floor.min(Index::new(first.get().saturating_sub(1)));
        while let Some((.., span)) = self.deleted.pop_back_if(|(index, ..)| *index >= first) {
            self.bytes -= span.bytes();
        }
        let mut taken = BTreeSet::new();
        while let Some((index, keys)) = self.commits.pop_back_if(|(index, _)| *index >= first) {
            let is_staged = self.staged > 0;
            self.staged -= usize::from(is_staged);
            self.remove(index, &keys, is_staged);
            taken.extend(keys);
        }
        // Earlier commits of the same keys count again. (Rare, so it may take its time.)
        let indexed = self.commits.len() - self.staged;
        for (index, keys) in self.commits.iter().take(indexed) {
            for key in keys.iter().filter(|key| taken.contains(*key)) {
                self.recent.insert(key.clone(), *index);
            }
        }
        self.recent.recount();
    }

    fn remove(&mut self, index: Index, keys: &[Key], is_staged: bool) {
        self.keys -= keys.len();
        for key in keys {
            self.bytes -= key.1.len();
            if !is_staged {
                self.recent.remove(key, index);
            }
        }
    }
}

/// Whether any of these keys, which are in order, was read.
fn has_read_one_of(reads: &ReadSet, keys: &[Key]) -> bool {
    let point = if reads.points().len() < keys.len() {
        reads
            .points()
            .any(|point| keys.binary_search(point).is_ok())
    } else {
        keys.iter().any(|key| reads.has_point(key))
    };
    point
        || reads.ranges().any(|(tree, span)| {
            let from = keys.partition_point(|(of, key)| (*of, key) < (tree, &span.start));
            keys.get(from).is_some_and(|(of, key)| {
                *of == tree && span.end.as_ref().is_none_or(|end| key < end)
            })
        })
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;

    const TREE: TreeId = TreeId::new(7);

    fn writes(keys: &[&'static str]) -> Vec<Mutation> {
        keys.iter()
            .map(|key| mutation(key, Change::Delete))
            .collect()
    }

    fn mutation(key: &'static str, change: Change) -> Mutation {
        Mutation {
            tree: TREE,
            key: key.into(),
            change,
        }
    }

    fn deletes(start: &'static str, end: Option<&'static str>) -> Vec<Mutation> {
        let end = end.map(Into::into);
        vec![mutation(start, Change::DeleteRange { end })]
    }

    fn read(key: &str) -> ReadSet {
        let mut reads = ReadSet::default();
        reads.add_point(TREE, key.as_bytes());
        reads
    }

    fn read_range(start: Bound<&str>, end: Bound<&str>) -> ReadSet {
        let mut reads = ReadSet::default();
        let span = Span::between(start.map(str::as_bytes), end.map(str::as_bytes));
        span.into_iter()
            .for_each(|span| reads.add_range(TREE, span));
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

    #[test]
    fn a_point_or_a_range_conflicts_with_a_later_deletion_of_a_range_that_holds_any_of_it() {
        use Bound::{Excluded, Included, Unbounded};
        let mut window = ConflictWindow::default();
        window.insert(Index::new(1), &deletes("b", Some("d")));
        window.insert(Index::new(2), &deletes("x", None));
        let conflict = |snapshot, reads: &ReadSet| {
            let with = window.conflict(Index::new(snapshot), reads);
            with.map(Index::get)
        };
        assert_eq!(conflict(0, &read("b")), Some(1));
        assert_eq!(conflict(0, &read("c")), Some(1));
        assert_eq!(conflict(1, &read("c")), None);
        for outside in ["a", "d", "w"] {
            assert_eq!(conflict(0, &read(outside)), None, "{outside}");
        }
        assert_eq!(conflict(1, &read("z")), Some(2));
        assert_eq!(conflict(2, &read("z")), None);
        let range = |start, end| conflict(0, &read_range(start, end));
        assert_eq!(range(Unbounded, Excluded("b")), None);
        assert_eq!(range(Unbounded, Included("b")), Some(1));
        assert_eq!(range(Included("d"), Excluded("x")), None);
        assert_eq!(range(Excluded("c"), Excluded("d")), Some(1));
        assert_eq!(range(Unbounded, Unbounded), Some(2));
        let mut other = ReadSet::default();
        other.add_point(TreeId::new(8), b"c");
        other.add_range(TreeId::new(6), Span::ALL);
        assert_eq!(conflict(0, &other), None);
    }

    #[test]
    fn deletions_of_ranges_are_forgotten_and_taken_back_with_their_commits() {
        let mut window = ConflictWindow::default();
        window.insert(Index::new(1), &deletes("a", None));
        window.insert(Index::new(2), &deletes("b", None));
        window.take_back(Index::new(2));
        assert_eq!(
            window.conflict(Index::ZERO, &read("z")),
            Some(Index::new(1))
        );
        window.insert(Index::new(2), &deletes("c", None));
        window.forget(Index::new(1));
        assert_eq!(window.deleted.len(), 1);
        assert_eq!(window.conflict(Index::new(1), &read("b")), None);
        window.forget(Index::new(2));
        assert_eq!((window.deleted.len(), window.keys, window.bytes), (0, 0, 0));
    }

    #[test]
    fn the_window_is_bounded_by_ranges_and_by_bytes_as_well() {
        let mut window = ConflictWindow::default();
        for index in 0..=RANGES_MAX as u64 {
            window.insert(Index::new(index + 1), &deletes("a", None));
            window.forget(Index::ZERO);
        }
        assert_eq!(
            (window.deleted.len(), window.floor),
            (RANGES_MAX, Index::new(1))
        );
        let mut window = ConflictWindow::default();
        let large = Mutation {
            key: vec![0; BYTES_MAX / 4].into(),
            ..mutation("", Change::Delete)
        };
        for index in 1..=5 {
            window.insert(Index::new(index), std::slice::from_ref(&large));
            window.forget(Index::ZERO);
        }
        assert_eq!((window.bytes, window.floor), (BYTES_MAX, Index::new(1)));
    }

    #[test]
    fn a_range_over_many_older_keys_conflicts_with_the_one_newer_key_in_it() {
        let mut window = ConflictWindow::default();
        let key = |number: u32| Mutation {
            key: number.to_be_bytes().to_vec().into(),
            ..mutation("", Change::Delete)
        };
        let old: Vec<Mutation> = (0..200_000).map(key).collect();
        window.insert(Index::new(1), &old);
        window.insert(Index::new(2), &[key(70_000)]);
        let before = |number: u32| {
            let mut reads = ReadSet::default();
            let (start, end) = (old[0].key.clone(), Some(key(number).key));
            reads.add_range(TREE, Span { start, end });
            reads
        };
        assert_eq!(window.conflict(Index::new(1), &before(70_000)), None);
        let found = window.conflict(Index::new(1), &before(70_001));
        assert_eq!(found, Some(Index::new(2)));
    }

    /// Commits that are asked one by one and commits that are indexed answer alike, whatever was
    /// forgotten or taken back.
    #[test]
    fn the_window_answers_as_a_list_of_commits_would() {
        use nexusbase_io::sim::SimRng;
        for seed in 0..20 {
            let mut rng = SimRng::new(seed);
            let mut window = ConflictWindow::new(Index::ZERO);
            let mut commits: Vec<(u64, Vec<String>)> = Vec::new();
            let mut oldest = 0;
            for _ in 0..400 {
                let last = commits.last().map_or(oldest, |(index, _)| *index);
                match rng.below(20) {
                    0 => {
                        oldest = oldest.max(last.saturating_sub(rng.below(100)));
                        window.forget(Index::new(oldest));
                        commits.retain(|(index, _)| *index > oldest);
                    }
                    1 if last > oldest => {
                        let first = last - rng.below((last - oldest).min(5));
                        window.take_back(Index::new(first));
                        commits.retain(|(index, _)| *index < first);
                    }
                    _ => {
                        let keys = (0..=rng.below(3)).map(|_| format!("{:03}", rng.below(300)));
                        let keys: BTreeSet<String> = keys.collect();
                        let mutations: Vec<Mutation> = keys
                            .iter()
                            .map(|key| Mutation {
                                tree: TREE,
                                key: key.clone().into(),
                                change: Change::Delete,
                            })
                            .collect();
                        window.insert(Index::new(last + 1), &mutations);
                        commits.push((last + 1, keys.into_iter().collect()));
                    }
                }
                let snapshot = oldest + rng.below(120);
                let (point, from) = (rng.below(300), rng.below(300));
                let (point, from, to) = (
                    format!("{point:03}"),
                    format!("{from:03}"),
                    format!("{:03}", from + 7),
                );
                let mut reads = ReadSet::default();
                reads.add_point(TREE, point.as_bytes());
                let bounds = (
                    Bound::Included(from.as_bytes()),
                    Bound::Excluded(to.as_bytes()),
                );
                if let Some(span) = Span::between(bounds.0, bounds.1) {
                    reads.add_range(TREE, span);
                }
                let hit = |key: &String| *key == point || (*key >= from && *key < to);
                let newest = commits
                    .iter()
                    .rev()
                    .take_while(|(index, _)| *index > snapshot);
                let mut newest = newest.filter(|(_, keys)| keys.iter().any(hit));
                let expected = newest.next().map(|(index, _)| Index::new(*index));
                let found = window.conflict(Index::new(snapshot), &reads);
                assert_eq!(found, expected, "seed {seed}, snapshot {snapshot}");
            }
        }
    }
}
