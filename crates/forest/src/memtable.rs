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

use crate::row::Row;
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

impl Memtable {
    /// Writes a version that is newer than all others of its key, or replaces one of the same
    /// seqno. Returns the key if older versions of it lie beneath. Only the applier calls this.
    pub(crate) fn write(&self, key: Bytes, seqno: Seqno, change: Change) -> Option<Bytes> {
        let value = match change {
            Change::Put(value) => Some(value),
            Change::Delete => None,
        };
        let row = Row::new(key, seqno);
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

    /// The version behind all versions of the key of `version`: the newest of the next key.
    pub(crate) fn behind<'a>(&'a self, version: &Version<'a>) -> Option<Version<'a>> {
        let mut next = version.next();
        for _ in 0..STEPS_BEFORE_SEEK {
            match next {
                Some(older) if older.key().is_version_of(version.key()) => next = older.next(),
                next => return next,
            }
        }
        self.first(Bound::Excluded(version.key().key()))
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
