//! What the owner of a tree declares about its keys and values.
//!
//! A kind is code, so only its name is on disk: a forest that has a tree of a kind that this
//! program does not know is not opened. Everything here must be a pure function: the same
//! arguments give the same answer in every run and version of the program.

use std::fmt;

/// Joins two values of one key into one: idempotent, commutative and associative, like the union
/// of sets, so that doing it twice or in another order changes nothing. An operand that cannot be
/// understood must be kept in some way; the function cannot fail.
pub type Merge = fn(&[u8], &[u8]) -> Vec<u8>;

/// The moment from which a row (key, value) is of no use, in milliseconds since 1970.
pub type Expiry = fn(&[u8], &[u8]) -> Option<u64>;

/// An attribute of a key by which blocks can be skipped. Of the key only: the tombstone of a row
/// must have the same attribute as the row, or skipping it would bring the row back.
pub type Zone = fn(&[u8]) -> u64;

/// What a key adds to the fingerprint of a range: fingerprints are added modulo 2^256, as
/// little-endian numbers.
pub type Fingerprint = fn(&[u8]) -> [u8; 32];

/// What kind of rows a tree holds.
#[derive(Clone, Copy)]
pub struct TreeKind {
    /// The name that stands on disk.
    pub name: &'static str,
    /// How [`Change::Merge`](crate::Change::Merge) works here. Without it, it is refused.
    pub merge: Option<Merge>,
    /// Lets compaction drop rows whose time has come. When it does is not said: who reads must
    /// look at the time itself.
    pub expiry: Option<Expiry>,
    /// Attributes by which a scan can skip blocks; at most [`ZONES_MAX`].
    pub zones: &'static [Zone],
    /// What fingerprints are made of.
    pub fingerprint: Option<Fingerprint>,
    /// Promises that a put is always of a key that is not there, and a delete of one that is.
    /// Then each put weighs 1 and each delete -1, and the sum over all rows of a range is the
    /// number of its live rows, whatever levels they are on.
    pub counted: bool,
}

/// How many zones a kind may have.
pub const ZONES_MAX: usize = 4;

impl TreeKind {
    /// Plain rows: no merging, expiry, zones or fingerprints, not counted.
    pub const ROWS: Self = Self {
        name: "rows",
        merge: None,
        expiry: None,
        zones: &[],
        fingerprint: None,
        counted: false,
    };
}

impl fmt::Debug for TreeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TreeKind").field(&self.name).finish()
    }
}
