//! The kinds of trees that are simulated: each shows another thing that a kind can do.

use std::sync::Arc;

use nexusbase_forest::{ForestOptions, TreeKind};

/// What can be done in a kind.
pub(super) const KINDS: [TreeKind; 4] = [TreeKind::ROWS, SETS, COUNTED, EXPIRING];

/// Values are sets of bytes, and merging makes the union.
const SETS: TreeKind = TreeKind {
    name: "sets",
    merge: Some(union),
    ..TreeKind::ROWS
};

/// Rows are counted, skipped by the first byte of the key, and have fingerprints.
const COUNTED: TreeKind = TreeKind {
    name: "counted",
    zones: &[first_byte],
    fingerprint: Some(fingerprint),
    counted: true,
    ..TreeKind::ROWS
};

/// The first byte of a value is the time, in milliseconds, at which its row is of no more use.
const EXPIRING: TreeKind = TreeKind {
    name: "expiring",
    expiry: Some(expiry),
    ..TreeKind::ROWS
};

/// Options of a forest that knows them.
pub(super) fn options() -> ForestOptions {
    let mut options = ForestOptions::new([7; 16]);
    options.kinds = Arc::new(KINDS);
    options
}

/// The kind of that name.
pub(super) fn kind(name: &str) -> TreeKind {
    let found = KINDS.iter().find(|kind| kind.name == name);
    found.copied().unwrap_or(TreeKind::ROWS)
}

fn union(older: &[u8], newer: &[u8]) -> Vec<u8> {
    let mut all = [older, newer].concat();
    all.sort_unstable();
    all.dedup();
    all
}

pub(super) fn first_byte(key: &[u8]) -> u64 {
    key.first().copied().map_or(0, u64::from)
}

/// Not spread at all, but different for keys that are, and so are most sums.
pub(super) fn fingerprint(key: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in bytes.chunks_mut(8) {
        for byte in key.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        word.copy_from_slice(&hash.to_le_bytes());
    }
    bytes
}

pub(super) fn expiry(_key: &[u8], value: &[u8]) -> Option<u64> {
    value.first().copied().map(u64::from)
}
