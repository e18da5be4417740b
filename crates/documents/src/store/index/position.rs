//! How far an index build has come: a small row of its own, so that writers, who all read the
//! definition, do not conflict with it.
//!
//! It is there from the beginning of a build to its end, and changes in the same transaction as
//! the rows that a step of the build puts. The layout is in `docs/format.md`.

use nexusbase_db::{TreeId, View};

use crate::store::error::Error;
use crate::store::transaction::CollectionTx;

/// The tree of positions.
const BUILDS_TREE: &str = "documents.builds";

/// How far a build has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Documents taken in.
    pub(crate) done: u64,
    /// The `_id` key of the last one; empty before the first.
    pub(crate) last: Vec<u8>,
}

impl Position {
    fn encode(&self) -> Vec<u8> {
        [&self.done.to_le_bytes()[..], &self.last].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (done, last) = bytes.split_first_chunk()?;
        Some(Self {
            done: u64::from_le_bytes(*done),
            last: last.to_vec(),
        })
    }

    /// The position of the build that fills `index`; the beginning, if there is none.
    pub(crate) fn read(view: &dyn View, index: TreeId, collection: &str) -> Result<Self, Error> {
        let bytes = match view.tree(BUILDS_TREE)? {
            Some(tree) => view.get(tree, &row_key(index))?,
            None => None,
        };
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        Self::decode(&bytes).ok_or_else(|| Error::Damaged {
            collection: collection.to_owned(),
            reason: format!("the position of the build of tree {index} is too short"),
        })
    }
}

impl CollectionTx<'_> {
    pub(super) fn put_position(&mut self, index: TreeId, position: &Position) -> Result<(), Error> {
        let tree = match self.tx.tree(BUILDS_TREE)? {
            Some(tree) => tree,
            None => self.tx.create_tree(BUILDS_TREE)?,
        };
        Ok(self.tx.put(tree, &row_key(index), &position.encode())?)
    }

    pub(super) fn delete_position(&mut self, index: TreeId) -> Result<(), Error> {
        if let Some(tree) = self.tx.tree(BUILDS_TREE)? {
            self.tx.delete(tree, &row_key(index))?;
        }
        Ok(())
    }
}

const fn row_key(index: TreeId) -> [u8; 4] {
    index.get().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_position_do_not_change() {
        let position = Position {
            done: 0x0102,
            last: vec![0x20, 0x21],
        };
        let bytes = [2, 1, 0, 0, 0, 0, 0, 0, 0x20, 0x21];
        assert_eq!(position.encode(), bytes);
        assert_eq!(Position::decode(&bytes), Some(position));
        assert_eq!(Position::decode(&bytes[..7]), None);
        assert_eq!(row_key(TreeId::new(0x0102)), [0, 0, 1, 2]);
    }
}
