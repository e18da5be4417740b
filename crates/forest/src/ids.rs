//! The numbers that trees and versions go by, as types that cannot be confused.

use std::fmt;

/// The number of a tree. The database's catalog gives them out, and never one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(u32);

impl TreeId {
    /// The tree with this number.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The index of the log entry that wrote a version. The first entry has 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seqno(u64);

impl Seqno {
    /// Before the first entry: all trees are empty.
    pub const ZERO: Self = Self(0);

    /// Above every entry, for looking up the newest version of a key.
    pub const MAX: Self = Self(u64::MAX);

    /// The seqno of the entry with this index.
    #[must_use]
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The index of its entry.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seqno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
