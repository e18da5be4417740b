//! Applying one entry to the forest, live and in the recovery alike.

use nexusbase_forest::{self as forest, Forest, Mutation, Seqno};
use nexusbase_log::Index;

use crate::catalog::{self, TreeChange};
use crate::kinds::Kinds;

/// Why an entry cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It creates a tree that this program cannot have.
    #[error("tree {tree:?} is of kind {kind:?}, which this program does not know")]
    UnknownKind { tree: String, kind: String },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Applies one entry: trees that it creates first, then its changes, then trees that it drops.
pub(crate) fn apply_entry(
    forest: &Forest,
    kinds: &Kinds,
    index: Index,
    mutations: Vec<Mutation>,
) -> Result<(), Refused> {
    let at = Seqno::new(index.get());
    let mut changes = Vec::new();
    for mutation in &mutations {
        if catalog::keeps_too_new(mutation, index) {
            let reason = "it keeps a version that it cannot have seen";
            return Err(Refused::Other(reason.to_owned()));
        }
        match catalog::tree_change(mutation).map_err(Refused::Other)? {
            Some(TreeChange::Create { id, kind, name }) => {
                if kinds.get(&kind).is_none() {
                    return Err(Refused::UnknownKind { tree: name, kind });
                }
                changes.push(forest::TreeChange::Create { tree: id, kind });
            }
            Some(TreeChange::Drop(id)) => changes.push(forest::TreeChange::Drop { tree: id }),
            None => {}
        }
    }
    forest.apply(at, &changes, mutations).map_err(other)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn other(error: nexusbase_forest::ApplyError) -> Refused {
    Refused::Other(error.to_string())
}
