//! The decoder of write sets as a function of any bytes. For fuzzing only: no promise is made to
//! anybody else.

use bytes::Bytes;
use nexusbase_forest::{Change, Mutation, TreeId};

use crate::catalog::{CATALOG, tree_change};
use crate::write_set::{WriteSet, encode};

/// A write set: whether the bytes could be read. Encoded again it must say the same, and what it
/// does to the catalog is understood or refused.
#[must_use]
pub fn write_set(input: &[u8]) -> bool {
    let Ok(set) = WriteSet::decode(&Bytes::copy_from_slice(input)) else {
        return false;
    };
    for mutation in &set.mutations {
        let _ = tree_change(mutation);
    }
    let bytes = Bytes::from(encode(&set.mutations, set.unix_ms));
    assert!(bytes.len() <= input.len());
    assert_eq!(WriteSet::decode(&bytes), Ok(set));
    true
}

/// Some with all kinds of changes.
#[must_use]
pub fn write_sets() -> Vec<Vec<u8>> {
    let mutation = |tree, key: &'static [u8], change| Mutation {
        tree,
        key: Bytes::from_static(key),
        change,
    };
    let (tree, last) = (TreeId::new(5), TreeId::new(u32::MAX));
    let put = |value: &'static [u8]| Change::Put(Bytes::from_static(value));
    let changes = [
        mutation(CATALOG, b"\x01\0\0\0\x05", put(b"\x04rowsnames")),
        mutation(CATALOG, b"\x01\0\0\0\x06", Change::Delete),
        mutation(CATALOG, b"\x02names", put(b"\x05\0\0\0")),
        mutation(
            tree,
            b"b",
            Change::DeleteRange {
                end: Some(Bytes::from_static(b"c")),
            },
        ),
        mutation(tree, b"b", Change::DeleteRange { end: None }),
        mutation(tree, b"apple", Change::Merge(Bytes::from_static(b"more"))),
        mutation(tree, b"key", put(&[7; 300])),
        mutation(last, b"gone", Change::Delete),
    ];
    vec![
        encode(&changes, 1_700_000_000_000),
        encode(&changes[5..7], 1),
        encode(&[], 0),
    ]
}
