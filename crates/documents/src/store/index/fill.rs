//! The steps of an index's life, each inside a transaction: begun, filled, finished, dropped.

use std::ops::Bound;
use std::sync::Arc;

use bson::raw::RawDocument;
use nexusbase_db::{Bytes, Direction, KeyRange, TreeId, View};

use super::position::Position;
use super::row::{describe, rows};
use super::{INDEXES_MAX, IndexSpec, text};
use crate::store::definition::{Definition, IndexDefinition};
use crate::store::error::Error;
use crate::store::transaction::CollectionTx;

/// A step of a build ends when the documents that it has read, or the rows that it has put, take
/// so many bytes.
const STEP_BYTES_MAX: usize = 4 << 20;

/// What one step of a build is to do.
pub(super) struct Step<'b> {
    pub(super) name: &'b str,
    pub(super) tree: TreeId,
    /// Where it begins.
    pub(super) from: &'b Position,
    /// The `_id` key of the last document that may lack rows.
    pub(super) end: &'b [u8],
    /// How many documents it takes in at most.
    pub(super) documents: usize,
    /// Whether the build goes on from where this step ends if it is interrupted.
    pub(super) keep: bool,
}

/// What one step of a build has done.
pub(super) enum Filled {
    /// Somebody else has finished the index.
    Ready,
    /// Somebody else fills it, and has come as far as this.
    Elsewhere(Position),
    /// Documents were taken in; none if there was none left.
    Taken {
        position: Position,
        duplicates: Vec<Duplicate>,
    },
}

/// Values that a document shares with another in a unique index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duplicate {
    /// The values, encoded.
    pub(super) key: Vec<u8>,
    /// The values, as JSON.
    pub(super) values: String,
    /// The `_id`s of the two, as text.
    pub(super) ids: [String; 2],
}

impl CollectionTx<'_> {
    /// What the index called `name` was asked to be, if there is one.
    pub(in crate::store) fn index_spec(&self, name: &str) -> Result<Option<IndexSpec>, Error> {
        let definition = self.definition()?;
        let index = definition.as_ref().and_then(|known| known.index(name));
        Ok(index.map(|index| index.spec.clone()))
    }

    /// Adds an index that holds no document yet and is not read yet, but kept up to date from
    /// now on. Returns its tree if it has to be filled.
    pub(in crate::store) fn begin_index(
        &mut self,
        spec: &IndexSpec,
    ) -> Result<Option<TreeId>, Error> {
        spec.check()?;
        let definition = self.definition_or_create()?;
        if let Some(index) = definition.index(spec.name()) {
            if let Some(difference) = index.spec.difference(spec) {
                return Err(Error::IndexExists {
                    collection: self.collection.name().to_owned(),
                    index: spec.name().to_owned(),
                    difference,
                });
            }
            return Ok((!index.ready).then_some(index.tree));
        }
        if definition.indexes.len() >= INDEXES_MAX {
            return Err(Error::TooManyIndexes {
                collection: self.collection.name().to_owned(),
                limit: INDEXES_MAX,
            });
        }
        text::refuse_second(&definition, spec)?;
        let tree = self.create_tree(&format!("{}/index/{}", definition.prefix, spec.name()))?;
        let mut changed = Definition::clone(&definition);
        changed
            .indexes
            .push(IndexDefinition::new(spec.clone(), tree));
        self.put_definition(&changed)?;
        self.put_position(tree, &Position::default())?;
        Ok(Some(tree))
    }

    /// Takes documents into an index that may lack them still. A document that shares its values
    /// with another in a unique index is reported, and its row left out.
    pub(super) fn fill_index(&mut self, step: &Step<'_>) -> Result<Filled, Error> {
        let mut definition = self.required_definition(step.name, step.tree)?;
        let found = definition.index_in(step.tree);
        let Some((at, index)) = found.filter(|(_, index)| !index.ready) else {
            return Ok(Filled::Ready);
        };
        if step.keep {
            let position = Position::read(self.tx, step.tree, self.collection.name())?;
            if position != *step.from {
                return Ok(Filled::Elsewhere(position));
            }
        }
        let mut position = step.from.clone();
        let mut multikey = vec![false; index.multikey.len()];
        let mut duplicates = Vec::new();
        let mut bytes = 0;
        for (key, document) in self.documents_behind(&definition, step)? {
            let document = RawDocument::from_bytes(&document).map_err(crate::ValueError::from)?;
            let rows = rows(index, document)?;
            for values in &rows.values {
                if let Some(holder) = self.other_holder(index, values, &key)? {
                    duplicates.push(Duplicate {
                        key: values.clone(),
                        values: describe(index, document, values)?,
                        ids: [
                            self.id_text(&definition, &holder)?,
                            self.id_text(&definition, &key)?,
                        ],
                    });
                    continue;
                }
                let (row, value) = index.row(values, &key);
                bytes += row.len() + value.len();
                self.tx.put(index.tree, &row, &value)?;
            }
            for (known, found) in multikey.iter_mut().zip(rows.multikey) {
                *known |= found;
            }
            position.done += 1;
            position.last = key.to_vec();
            if bytes > STEP_BYTES_MAX {
                break;
            }
        }
        if step.keep && duplicates.is_empty() && position != *step.from {
            self.put_position(step.tree, &position)?;
        }
        self.note_multikey(&mut definition, [(at, &*multikey)].into_iter())?;
        Ok(Filled::Taken {
            position,
            duplicates,
        })
    }

    /// The next documents of a build. They are read as one range: who changes one of them, or adds
    /// one among them, conflicts with the step.
    fn documents_behind(
        &self,
        definition: &Definition,
        step: &Step<'_>,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let start = if step.from.last.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(step.from.last.clone())
        };
        let range = KeyRange::from_bounds(start, Bound::Included(step.end.to_vec()));
        let mut documents = Vec::new();
        if range.is_empty() {
            return Ok(documents);
        }
        let mut bytes = 0;
        let rows = self.tx.scan(definition.data, range, Direction::Forward)?;
        for row in rows.take(step.documents) {
            let row = row?;
            bytes += row.1.len();
            documents.push(row);
            if bytes > STEP_BYTES_MAX {
                break;
            }
        }
        Ok(documents)
    }

    /// Releases an index for reading.
    pub(super) fn finish_index(&mut self, name: &str, tree: TreeId) -> Result<(), Error> {
        let mut changed = Definition::clone(&*self.required_definition(name, tree)?);
        match changed.index_mut(name) {
            Some(index) if !index.ready => index.ready = true,
            _ => return Ok(()),
        }
        self.put_definition(&changed)?;
        self.delete_position(tree)
    }

    /// Drops an index that cannot be filled, unless another has replaced or finished it.
    pub(super) fn abandon_index(&mut self, name: &str, tree: TreeId) -> Result<(), Error> {
        let begun = self.definition()?.is_some_and(|known| {
            let index = known.index(name);
            index.is_some_and(|index| index.tree == tree && !index.ready)
        });
        if begun {
            self.drop_index(name)?;
        }
        Ok(())
    }

    /// Drops an index. Returns whether there was one.
    ///
    /// # Errors
    /// When the database cannot be read or the transaction becomes too large.
    pub fn drop_index(&mut self, name: &str) -> Result<bool, Error> {
        let Some(definition) = self.definition()? else {
            return Ok(false);
        };
        let Some(index) = definition.index(name) else {
            return Ok(false);
        };
        self.drop_index_tree(index)?;
        let mut changed = Definition::clone(&definition);
        changed.indexes.retain(|index| index.name() != name);
        self.put_definition(&changed)?;
        Ok(true)
    }

    /// Drops the rows of an index, and the position of its build.
    pub(in crate::store) fn drop_index_tree(
        &mut self,
        index: &IndexDefinition,
    ) -> Result<(), Error> {
        if !index.ready {
            self.delete_position(index.tree)?;
        }
        self.drop_tree(index.tree)
    }

    /// The definition, if it has the index that lies in `tree`. One of the same name that lies in
    /// another is another: somebody has dropped the first and begun anew.
    fn required_definition(&self, name: &str, tree: TreeId) -> Result<Arc<Definition>, Error> {
        let definition = self.definition()?.filter(|known| {
            let index = known.index(name);
            index.is_some_and(|index| index.tree == tree)
        });
        definition.ok_or_else(|| Error::NoSuchIndex {
            collection: self.collection.name().to_owned(),
            index: name.to_owned(),
        })
    }
}
