//! What a log entry does to one key.

use bytes::Bytes;

use crate::TreeId;

/// A change of one key in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The tree that the key is in.
    pub tree: TreeId,
    /// The key.
    pub key: Bytes,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this value now.
    Put(Bytes),
    /// It is gone, if it was there.
    Delete,
}
