//! The kinds of trees in the simulated database, and which tree is of which: its name says it.

use nexusbase_db::TreeKind;

/// Names of trees.
pub(super) const NAMES: [&str; 6] = ["accounts", "b", "counted", "index", "sets", "zz"];

/// The union of sets of bytes.
const SETS: TreeKind = TreeKind {
    name: "sets",
    merge: Some(union),
    ..TreeKind::ROWS
};

/// Keys that are counted.
const COUNTED: TreeKind = TreeKind {
    name: "counted",
    counted: true,
    ..TreeKind::ROWS
};

/// What the database is opened with.
pub(super) fn kinds() -> Vec<TreeKind> {
    vec![SETS, COUNTED]
}

/// The kind of the tree of that name.
pub(super) fn kind_of(name: &str) -> TreeKind {
    match name {
        "sets" => SETS,
        "counted" => COUNTED,
        _ => TreeKind::ROWS,
    }
}

/// The bytes that are in one or the other, in order.
pub(super) fn union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}
