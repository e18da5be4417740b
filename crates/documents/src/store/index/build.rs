//! Building an index while others read and write.
//!
//! An index is kept up to date by every writer from the transaction that begins it on, and read
//! from the one that finishes it on. In between, steps take in the documents that were there
//! before, in the order of `_id`. A step is a transaction over some thousand documents: it reads
//! them as one range, puts their rows, and writes how far it has come. If a writer changes one of
//! them meanwhile, the step conflicts and is tried again with half as many documents; writers
//! never wait for it. A build that was interrupted, by a crash or by its caller, goes on from the
//! last step when it is asked for again. Memory is bounded by the size of a step.
//!
//! A unique index refuses duplicates from its beginning on, so a writer may be refused because of
//! an index that is not finished yet. Where the documents themselves have duplicates, the build
//! goes on until it has found some of them, names them, and removes the index.

use std::ops::ControlFlow;

use nexusbase_db::{Direction, KeyRange, TreeId, View};

use super::fill::{Duplicate, Filled, Step};
use super::info::BuildProgress;
use super::position::Position;
use super::{IndexSpec, is_of_document, is_too_large};
use crate::store::collection::Collection;
use crate::store::error::Error;

/// How many documents a step takes in at most.
const STEP_DOCUMENTS_MAX: usize = 4096;
/// How many duplicate keys a unique build names before it gives up, and how many documents of
/// each.
pub const DUPLICATES_NAMED_MAX: usize = 10;

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    /// The index was there already, with the same spec.
    Already,
    /// It is ready now.
    Finished,
    /// The caller has stopped it. It is kept up to date, but not read, and goes on when it is asked
    /// for again; `drop_index` removes it.
    Paused,
}

/// Values that several documents have, where no two may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateValues {
    /// The values, as JSON: an object with the paths of the index.
    pub values: String,
    /// The `_id`s of documents that have them, as text; at most [`DUPLICATES_NAMED_MAX`].
    pub ids: Vec<String>,
}

impl std::fmt::Display for DuplicateValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.values, self.ids.join(", "))
    }
}

impl Collection {
    /// Creates an index, or goes on with one whose creation was interrupted. Returns whether there
    /// was anything to do. Others read and write meanwhile; queries use the index when this
    /// returns. `progress` hears at the beginning and after each step how many documents have been
    /// taken in, those of an earlier attempt included.
    ///
    /// # Errors
    /// As [`Self::build_index`].
    pub fn create_index(
        &self,
        spec: &IndexSpec,
        mut progress: impl FnMut(u64),
    ) -> Result<bool, Error> {
        let built = self.build_index(spec, |so_far| {
            progress(so_far.done);
            ControlFlow::Continue(())
        })?;
        Ok(built != Built::Already)
    }

    /// As [`Self::create_index`], but `progress` may stop the build whenever it is called. What it has
    /// done stays: asked for again, it goes on from there.
    ///
    /// # Errors
    /// When the spec breaks a rule, an index of that name has another spec, a document cannot be
    /// in the index or has the same values as another in a unique one (the index is removed then),
    /// or the database fails.
    pub fn build_index(
        &self,
        spec: &IndexSpec,
        mut progress: impl FnMut(BuildProgress) -> ControlFlow<()>,
    ) -> Result<Built, Error> {
        let name = spec.name();
        let begun = self
            .documents()
            .transact(|tx| self.within(tx).begin_index(spec))?;
        let Some(tree) = begun else {
            return Ok(Built::Already);
        };
        match self.fill_index(name, tree, &mut progress) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(Built::Paused),
            Err(error) => {
                if is_of_document(&error) || matches!(error, Error::DuplicateKeys { .. }) {
                    // The index could never be finished, and would go on refusing documents.
                    self.documents()
                        .transact(|tx| self.within(tx).abandon_index(name, tree))?;
                }
                return Err(error);
            }
        }
        self.documents()
            .transact(|tx| self.within(tx).finish_index(name, tree))?;
        Ok(Built::Finished)
    }

    /// Takes all documents into an index that is kept up to date already.
    fn fill_index(
        &self,
        name: &str,
        tree: TreeId,
        progress: &mut dyn FnMut(BuildProgress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let snapshot = self.documents().database().snapshot();
        let Some(definition) = self.definition_in(&snapshot)? else {
            return Ok(ControlFlow::Continue(()));
        };
        // What is written from here on keeps the index up to date by itself, so the build ends at
        // the last document that is here now.
        let mut rows = snapshot.scan(definition.data, KeyRange::all(), Direction::Reverse)?;
        let Some(last) = rows.next().transpose()? else {
            return Ok(ControlFlow::Continue(()));
        };
        drop(rows);
        let mut build = Build {
            collection: self,
            name,
            tree,
            end: last.0.to_vec(),
            position: Position::read(&snapshot, tree, self.name())?,
            documents: STEP_DOCUMENTS_MAX,
            duplicates: Vec::new(),
        };
        drop(snapshot);
        let total = self.documents().tree_sizes().of(definition.data).rows;
        loop {
            let done = build.position.done;
            let total = total.max(done);
            if progress(BuildProgress { done, total }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if !build.step()? {
                break;
            }
        }
        if build.duplicates.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        Err(Error::DuplicateKeys {
            collection: self.name().to_owned(),
            index: name.to_owned(),
            duplicates: build.duplicates.into_iter().map(|(_, one)| one).collect(),
        })
    }
}

/// A build that is going on.
struct Build<'b> {
    collection: &'b Collection,
    name: &'b str,
    tree: TreeId,
    /// The `_id` key of the last document that may lack rows.
    end: Vec<u8>,
    position: Position,
    /// How many documents the next step takes in at most.
    documents: usize,
    /// By the encoded values.
    duplicates: Vec<(Vec<u8>, DuplicateValues)>,
}

impl Build<'_> {
    /// Takes in some more documents. Returns whether there may be more.
    fn step(&mut self) -> Result<bool, Error> {
        if self.duplicates.len() >= DUPLICATES_NAMED_MAX {
            return Ok(false);
        }
        let mut documents = self.documents;
        let mut attempts = 0;
        let filled = self.collection.documents().transact(|tx| {
            if attempts > 0 {
                // A writer was in its way: fewer documents are in the way of fewer.
                documents = (documents / 2).max(1);
            }
            attempts += 1;
            self.collection.within(tx).fill_index(&Step {
                name: self.name,
                tree: self.tree,
                from: &self.position,
                end: &self.end,
                documents,
                keep: self.duplicates.is_empty(),
            })
        });
        let (position, duplicates) = match filled {
            Err(error) if documents > 1 && is_too_large(&error) => {
                self.documents = 1;
                return Ok(true);
            }
            Err(error) => return Err(error),
            Ok(Filled::Ready) => return Ok(false),
            Ok(Filled::Elsewhere(position)) => (position, Vec::new()),
            Ok(Filled::Taken { position, .. }) if position == self.position => return Ok(false),
            Ok(Filled::Taken {
                position,
                duplicates,
            }) => (position, duplicates),
        };
        self.position = position;
        self.documents = (documents * 2).min(STEP_DOCUMENTS_MAX);
        for duplicate in duplicates {
            self.note(duplicate);
        }
        Ok(true)
    }

    fn note(&mut self, duplicate: Duplicate) {
        let known = &mut self.duplicates;
        if let Some((_, known)) = known.iter_mut().find(|(key, _)| *key == duplicate.key) {
            for id in duplicate.ids {
                if known.ids.len() < DUPLICATES_NAMED_MAX && !known.ids.contains(&id) {
                    known.ids.push(id);
                }
            }
        } else if known.len() < DUPLICATES_NAMED_MAX {
            let values = DuplicateValues {
                values: duplicate.values,
                ids: duplicate.ids.into(),
            };
            known.push((duplicate.key, values));
        }
    }
}
