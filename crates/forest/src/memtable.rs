//! One tree in memory: all versions of its keys in an ordered map that one thread writes and many
//! read, none waiting for another.
//!
//! Removing old versions while others read is the delicate part. It rests on two rules. Versions
//! of a key are removed oldest first, a tombstone only after all that it hides. And a reader that
//! has found a version looks whether it was removed meanwhile, and if so searches again: as long
//! as the version is there, so is every newer one that its search could have met.

use std::cell::Cell;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;

mod key;

pub(crate) use key::Row;

use crate::{Change, Seqno};

/// What a version takes beside its key and value: a node of the map with its tower, and what the
/// allocator adds.
const VERSION_OVERHEAD_BYTES: u64 = 160;

/// How many versions of one key are stepped over before seeking behind them is cheaper.
const STEPS_BEFORE_SEEK: usize = 8;

/// A version's value; `None` is a tombstone.
pub(crate) type Value = Option<Bytes>;

/// All versions of the keys of one tree.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    rows: SkipMap<Row, Value>,
    versions: AtomicU64,
    bytes: AtomicU64,
}

/// A version in the table.
pub(crate) type Version<'a> = Entry<'a, Row, Value>;

/// What a reader sees of one key, and where it goes on.
type Step<'a> = (Option<Version<'a>>, Option<Version<'a>>);

impl Memtable {
    /// Writes a version that is newer than all others of its key, or replaces one of the same
    /// seqno. Returns the key if older versions of it lie beneath. Only the applier calls this.
    pub(crate) fn write(&self, row: Row, change: Change) -> Option<Bytes> {
        let value = match change {
            Change::Put(value) => Some(value),
            Change::Delete => None,
        };
        self.count_in(footprint(&row, &value));
        let replaced = Cell::new(None);
        let key_bytes = row.key().len();
        let version = self.rows.compare_insert(row, value, |old| {
            replaced.set(Some(old.as_ref().map_or(0, Bytes::len)));
            true
        });
        if let Some(value_bytes) = replaced.get() {
            self.count_out((key_bytes + value_bytes) as u64 + VERSION_OVERHEAD_BYTES);
        }
        let older = version
            .next()
            .filter(|older| older.key().is_version_of(version.key()));
        if older.is_none() && version.value().is_none() {
            // A tombstone that hides nothing.
            self.remove(&version);
        }
        older.map(|_| version.key().key().clone())
    }

    /// Removes the versions of `key` that are older than the one of `seqno`, and that one too if
    /// it is a tombstone. Returns how many. Only the applier calls this, and only when no reader
    /// below `seqno` is left.
    pub(crate) fn purge(&self, key: &[u8], seqno: Seqno) -> usize {
        let row = Row::probe(key, seqno);
        let mut versions = Vec::new();
        let mut next = self.rows.lower_bound(Bound::Included(&row));
        while let Some(version) = next.filter(|version| version.key().is_version_of(&row)) {
            next = version.next();
            versions.push(version);
        }
        // The first is needed, unless it is a tombstone. (If it is not the one of `seqno`, that
        // one was purged before; then so was all beneath it.)
        let kept = usize::from(
            versions
                .first()
                .is_some_and(|version| version.value().is_some()),
        );
        for version in versions[kept..].iter().rev() {
            self.remove(version);
        }
        versions.len() - kept
    }

    fn remove(&self, version: &Version<'_>) {
        if version.remove() {
            self.count_out(footprint(version.key(), version.value()));
        }
    }

    fn count_in(&self, bytes: u64) {
        self.versions.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn count_out(&self, bytes: u64) {
        self.versions.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The newest version of `key` that a reader at `at` sees, tombstone or not.
    pub(crate) fn newest(&self, key: &[u8], at: Seqno) -> Option<Version<'_>> {
        let row = Row::probe(key, at);
        loop {
            let found = self.rows.lower_bound(Bound::Included(&row))?;
            if !found.key().is_version_of(&row) {
                return None;
            }
            if !found.is_removed() {
                return Some(found);
            }
        }
    }

    /// The first version, of any key, at or behind the start of a range.
    pub(crate) fn first(&self, start: Bound<&[u8]>) -> Option<Version<'_>> {
        match start {
            Bound::Included(key) => self
                .rows
                .lower_bound(Bound::Included(&Row::probe(key, Seqno::MAX))),
            Bound::Excluded(key) => self
                .rows
                .lower_bound(Bound::Excluded(&Row::probe(key, Seqno::ZERO))),
            Bound::Unbounded => self.rows.front(),
        }
    }

    /// The last version, of any key, at or before the end of a range: the oldest of its key.
    pub(crate) fn last(&self, end: Bound<&[u8]>) -> Option<Version<'_>> {
        match end {
            Bound::Included(key) => self
                .rows
                .upper_bound(Bound::Included(&Row::probe(key, Seqno::ZERO))),
            Bound::Excluded(key) => self
                .rows
                .upper_bound(Bound::Excluded(&Row::probe(key, Seqno::MAX))),
            Bound::Unbounded => self.rows.back(),
        }
    }

    /// From the newest version of a key: the one that a reader at `at` sees (tombstone or not), and
    /// the newest version of the next key.
    pub(crate) fn step_forward<'a>(&'a self, newest: Version<'a>, at: Seqno) -> Step<'a> {
        let next = self.behind(&newest);
        if newest.key().seqno() <= at && !newest.is_removed() {
            return (Some(newest), next);
        }
        (self.newest(newest.key().key(), at), next)
    }

    /// From the oldest version of a key: the one that a reader at `at` sees (tombstone or not),
    /// and the oldest version of the key before.
    pub(crate) fn step_back<'a>(&'a self, oldest: Version<'a>, at: Seqno) -> Step<'a> {
        let before = oldest.prev();
        let several = before
            .as_ref()
            .is_some_and(|v| v.key().is_version_of(oldest.key()));
        if several || oldest.is_removed() {
            let key = oldest.key().key();
            return (self.newest(key, at), self.last(Bound::Excluded(key)));
        }
        (
            Some(oldest).filter(|version| version.key().seqno() <= at),
            before,
        )
    }

    fn behind<'a>(&'a self, version: &Version<'a>) -> Option<Version<'a>> {
        let mut next = version.next();
        for _ in 0..STEPS_BEFORE_SEEK {
            match next {
                Some(older) if older.key().is_version_of(version.key()) => next = older.next(),
                next => return next,
            }
        }
        self.first(Bound::Excluded(version.key().key()))
    }

    /// How many versions there are, tombstones included.
    pub(crate) fn versions(&self) -> u64 {
        self.versions.load(Ordering::Relaxed)
    }

    /// About how much memory they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn footprint(row: &Row, value: &Value) -> u64 {
    (row.key().len() + value.as_ref().map_or(0, Bytes::len)) as u64 + VERSION_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Seqno = Seqno::new(9);

    fn key(name: &str) -> Bytes {
        Bytes::copy_from_slice(name.as_bytes())
    }

    fn put(table: &Memtable, name: &str, seqno: u64) {
        table.write(
            Row::new(key(name), Seqno::new(seqno)),
            Change::Put(key(name)),
        );
    }

    fn name(version: Option<Version<'_>>) -> Option<Bytes> {
        version.map(|version| version.key().key().clone())
    }

    /// A reader found "b" just before it was deleted, its tombstone fell due and both went.
    fn table_with_late_reader(read: impl Fn(&Memtable, Version<'_>)) {
        let table = Memtable::default();
        for name in ["a", "b", "c"] {
            put(&table, name, 1);
        }
        let found = table.newest(b"b", NOW).unwrap();
        assert!(
            table
                .write(Row::new(key("b"), Seqno::new(2)), Change::Delete)
                .is_some()
        );
        assert_eq!(table.purge(b"b", Seqno::new(2)), 2);
        read(&table, found);
    }

    #[test]
    fn a_version_that_went_with_its_tombstone_is_not_shown_to_a_late_forward_reader() {
        table_with_late_reader(|table, found| {
            let (seen, next) = table.step_forward(found, NOW);
            assert!(seen.is_none());
            assert_eq!(name(next), Some(key("c")));
        });
    }

    #[test]
    fn a_version_that_went_with_its_tombstone_is_not_shown_to_a_late_reverse_reader() {
        table_with_late_reader(|table, found| {
            let (seen, next) = table.step_back(found, NOW);
            assert!(seen.is_none());
            assert_eq!(name(next), Some(key("a")));
        });
    }

    #[test]
    fn purging_removes_what_is_hidden_and_a_tombstone_that_hides_nothing_more() {
        let table = Memtable::default();
        (1..=3).for_each(|seqno| put(&table, "a", seqno));
        put(&table, "b", 3);
        assert_eq!(table.purge(b"a", Seqno::new(2)), 1);
        assert_eq!(table.purge(b"a", Seqno::new(2)), 0);
        assert_eq!(table.versions(), 3);
        table.write(Row::new(key("a"), Seqno::new(4)), Change::Delete);
        put(&table, "a", 5);
        assert_eq!(table.purge(b"a", Seqno::new(4)), 3);
        assert_eq!(
            table.newest(b"a", NOW).unwrap().key().seqno(),
            Seqno::new(5)
        );
        assert!(table.newest(b"a", Seqno::new(4)).is_none());
        assert_eq!(table.versions(), 2);
    }

    #[test]
    fn memory_is_counted_in_and_out() {
        let table = Memtable::default();
        assert!(
            table
                .write(Row::new(key("a"), Seqno::new(1)), Change::Put(key("four")))
                .is_none()
        );
        assert_eq!(table.bytes(), 5 + VERSION_OVERHEAD_BYTES);
        assert!(
            table
                .write(
                    Row::new(key("a"), Seqno::new(1)),
                    Change::Put(key("seven.."))
                )
                .is_none()
        );
        assert_eq!(
            (table.bytes(), table.versions()),
            (8 + VERSION_OVERHEAD_BYTES, 1)
        );
        assert_eq!(
            table.write(Row::new(key("a"), Seqno::new(2)), Change::Delete),
            Some(key("a"))
        );
        assert_eq!(table.bytes(), 9 + 2 * VERSION_OVERHEAD_BYTES);
        assert!(
            table
                .write(Row::new(key("b"), Seqno::new(2)), Change::Delete)
                .is_none()
        );
        table.purge(b"a", Seqno::new(2));
        assert_eq!((table.bytes(), table.versions()), (0, 0));
    }

    #[test]
    fn stepping_over_many_versions_of_a_key_ends_at_the_next_key() {
        for versions in 1..40 {
            let table = Memtable::default();
            put(&table, "a", 1);
            (1..=versions).for_each(|seqno| put(&table, "b", seqno));
            put(&table, "c", 1);
            for at in 0..=versions {
                let newest = table.first(Bound::Excluded(b"a")).unwrap();
                let (seen, next) = table.step_forward(newest, Seqno::new(at));
                assert_eq!(seen.map(|v| v.key().seqno().get()), (at > 0).then_some(at));
                assert_eq!(name(next), Some(key("c")));
                let oldest = table.last(Bound::Excluded(b"c")).unwrap();
                let (seen, next) = table.step_back(oldest, Seqno::new(at));
                assert_eq!(seen.map(|v| v.key().seqno().get()), (at > 0).then_some(at));
                assert_eq!(name(next), Some(key("a")));
            }
        }
    }
}
