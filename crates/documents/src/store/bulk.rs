//! Many operations at once, each with its own outcome.
//!
//! What it promises: an outcome says what has happened. In an ordered list nothing behind a refused
//! operation is done; in an unordered one each is done that is not refused itself; an atomic one is
//! one transaction, in which all is done or nothing. The first two are one transaction as well
//! where that is possible, and more where it is not: when all together would be too large for one,
//! and around an operation that was refused after it had begun to write.

use bson::raw::{RawBson, RawDocumentBuf};

use super::change::{Change, ChangeError, Selection};
use super::collection::Collection;
use super::error::Error;
use super::index;
use super::transaction::CollectionTx;
use super::writes::{Deleted, UpdateOptions, Updated};

/// What happens to the documents behind one that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// They are not inserted.
    Stop,
    /// They are, as far as they are not refused themselves.
    Skip,
}

/// One operation of many.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Inserts a document.
    Insert(RawDocumentBuf),
    /// Changes documents; a replacement is a change, too.
    Update {
        /// Which documents.
        selection: Selection,
        /// What becomes of them.
        change: Box<Change>,
        /// How many, and what if there is none.
        options: UpdateOptions,
    },
    /// Deletes documents.
    Delete {
        /// Which documents.
        selection: Selection,
        /// All of them, not just one.
        many: bool,
    },
}

/// What an operation has done.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Inserted a document with this `_id`.
    Inserted(RawBson),
    /// Changed documents.
    Updated(Updated),
    /// Deleted documents, which do not come back.
    Deleted(Deleted),
}

/// How many operations hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkMode {
    /// One after the other, up to the first that is refused.
    Ordered,
    /// Each that is not refused.
    Unordered,
    /// All or none.
    Atomic,
}

/// Why operations were interrupted by something that was the fault of none.
#[derive(Debug, thiserror::Error)]
#[error("after {} operations: {error}", done.len())]
pub struct Interrupted<T> {
    /// What came of the first operations, which are committed. With those behind them, nothing has
    /// happened; only when the error says that a commit may have happened, they may have.
    pub done: Vec<Result<T, Error>>,
    /// What has happened.
    #[source]
    pub error: Box<Error>,
}

impl<T> Interrupted<T> {
    fn new(done: Vec<Result<T, Error>>, error: Error) -> Self {
        let error = Box::new(error);
        Self { done, error }
    }
}

impl Collection {
    /// Inserts documents and says what came of each, in order: the `_id`, or why the document was
    /// refused. With [`OnError::Stop`] the first that was refused is the last of the list.
    ///
    /// # Errors
    /// When the database fails, which is the fault of no document. Documents before that may be
    /// in.
    pub fn insert_each(
        &self,
        documents: &[RawDocumentBuf],
        on_error: OnError,
    ) -> Result<Vec<Result<RawBson, Error>>, Error> {
        let insert = |collection: &mut CollectionTx<'_>, at: usize| {
            refusable(collection.insert(&documents[at]), true)
        };
        let inserted = self.each(documents.len(), on_error, insert);
        inserted.map_err(|interrupted| *interrupted.error)
    }

    /// Does operations and says what came of each, in order. In the mode [`BulkMode::Ordered`] the
    /// first that was refused is the last of the list; in the mode [`BulkMode::Atomic`] it is the
    /// whole list.
    ///
    /// # Errors
    /// When the database fails, which is the fault of no operation.
    pub fn bulk(
        &self,
        operations: &[Operation],
        mode: BulkMode,
    ) -> Result<Outcomes, Interrupted<Done>> {
        let on_error = match mode {
            BulkMode::Ordered => OnError::Stop,
            BulkMode::Unordered => OnError::Skip,
            BulkMode::Atomic => return self.bulk_atomic(operations),
        };
        let run = |collection: &mut CollectionTx<'_>, at: usize| {
            let operation = &operations[at];
            refusable(operation.run(collection), operation.is_single())
        };
        let done = self.each(operations.len(), on_error, run)?;
        Ok(done.into_iter().enumerate().collect())
    }

    fn bulk_atomic(&self, operations: &[Operation]) -> Result<Outcomes, Interrupted<Done>> {
        let mut at_fault = 0;
        let done = self.documents().transact(|tx| {
            let mut collection = self.within(tx);
            let run = |(at, operation): (usize, &Operation)| {
                at_fault = at;
                operation.run(&mut collection)
            };
            operations
                .iter()
                .enumerate()
                .map(run)
                .collect::<Result<Vec<_>, _>>()
        });
        match done {
            Ok(done) => Ok(done.into_iter().map(Ok).enumerate().collect()),
            Err(error) if error.is_refusal() || is_too_large(&error) => {
                Ok(vec![(at_fault, Err(error))])
            }
            Err(error) => Err(Interrupted::new(Vec::new(), error)),
        }
    }

    /// Does `count` operations and says what came of each. An operation returns a refusal of which
    /// the transaction shows no trace as its outcome, and fails with any other.
    fn each<T>(
        &self,
        count: usize,
        on_error: OnError,
        mut operation: impl FnMut(&mut CollectionTx<'_>, usize) -> Result<Result<T, Error>, Error>,
    ) -> Result<Vec<Result<T, Error>>, Interrupted<T>> {
        let mut done: Vec<Result<T, Error>> = Vec::with_capacity(count);
        // Refused after it had begun to write: everything in front of it is done without it.
        let mut refused: Option<(usize, Error)> = None;
        while done.len() < count {
            let start = done.len();
            let end = refused.as_ref().map_or(count, |(at, _)| *at);
            match self.run_through(start..end, on_error, &mut operation) {
                Ok(outcomes) => done.extend(outcomes),
                Err((at, error)) if at > start && is_too_large(&error) => {
                    // They go into one transaction without this one.
                    match self.run_through(start..at, on_error, &mut operation) {
                        Ok(outcomes) => done.extend(outcomes),
                        Err((_, error)) => return Err(Interrupted::new(done, error)),
                    }
                }
                Err((at, error)) if error.is_refusal() || is_too_large(&error) => {
                    refused = Some((at, error));
                    if at > start {
                        continue;
                    }
                }
                Err((_, error)) => return Err(Interrupted::new(done, error)),
            }
            let stopped = on_error == OnError::Stop && done.last().is_some_and(Result::is_err);
            if stopped {
                break;
            }
            if let Some((_, error)) = refused.take_if(|(at, _)| *at == done.len()) {
                done.push(Err(error));
                if on_error == OnError::Stop {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Does operations in one transaction, as far as they leave no trace when they are refused.
    /// Fails with the operation that did leave one, or that was the last when the database failed.
    fn run_through<T>(
        &self,
        which: std::ops::Range<usize>,
        on_error: OnError,
        operation: &mut impl FnMut(&mut CollectionTx<'_>, usize) -> Result<Result<T, Error>, Error>,
    ) -> Result<Vec<Result<T, Error>>, (usize, Error)> {
        let mut at_fault = which.start;
        let ran = self.documents().transact(|tx| {
            let mut collection = self.within(tx);
            let mut outcomes = Vec::with_capacity(which.len());
            for at in which.clone() {
                at_fault = at;
                let outcome = operation(&mut collection, at)?;
                let stopped = on_error == OnError::Stop && outcome.is_err();
                outcomes.push(outcome);
                if stopped {
                    break;
                }
            }
            Ok(outcomes)
        });
        ran.map_err(|error| (at_fault, error))
    }
}

/// What came of operations: the number of each in the list, and what it did or why it was refused.
pub type Outcomes = Vec<(usize, Result<Done, Error>)>;

impl Operation {
    /// Whether it writes one document at most.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        match self {
            Self::Insert(_) => true,
            Self::Update { options, .. } => !options.many,
            Self::Delete { many, .. } => !*many,
        }
    }

    /// Does it as a part of a transaction.
    ///
    /// # Errors
    /// When it is refused or the database fails. The transaction may hold a part of it then; see
    /// [`Error::leaves_no_trace`].
    pub fn run(&self, collection: &mut CollectionTx<'_>) -> Result<Done, Error> {
        Ok(match self {
            Self::Insert(document) => Done::Inserted(collection.insert(document)?),
            Self::Update {
                selection,
                change,
                options,
            } => Done::Updated(collection.update(selection, change, options)?),
            Self::Delete {
                selection,
                many: true,
            } => Done::Deleted(Deleted {
                deleted: collection.delete_many(selection)?,
                document: None,
            }),
            Self::Delete {
                selection,
                many: false,
            } => {
                let found = collection.delete_one(selection, None)?;
                Done::Deleted(Deleted {
                    deleted: u64::from(found.is_some()),
                    // Of many operations, the documents may be more than memory holds.
                    document: None,
                })
            }
        })
    }
}

/// Takes a refusal that has left no trace in the transaction for an outcome.
fn refusable<T>(done: Result<T, Error>, is_single: bool) -> Result<Result<T, Error>, Error> {
    match done {
        Err(error) if error.leaves_no_trace(is_single) => Ok(Err(error)),
        done => done.map(Ok),
    }
}

impl Error {
    /// Whether an operation that failed so has changed nothing in its transaction, which can go on
    /// then. `is_single` says that the operation writes one document at most.
    ///
    /// Most of what can be refused is looked at before the first write; what indexes refuse, before
    /// the first write of each document.
    #[must_use]
    pub const fn leaves_no_trace(&self, is_single: bool) -> bool {
        match self {
            Self::DuplicateId { .. }
            | Self::IdChanged { .. }
            | Self::Document(_)
            | Self::Id(_)
            | Self::Filter(_)
            | Self::Sort(_)
            | Self::Schema { .. } => true,
            Self::Change(change) => !matches!(change, ChangeError::TooLarge { .. }),
            Self::DuplicateKey { .. } | Self::KeyTooLarge { .. } | Self::ParallelArrays { .. } => {
                is_single
            }
            _ => false,
        }
    }

    /// Whether the failure is the operation's, not the database's.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Database(_) | Self::Damaged { .. })
    }
}

/// Whether one transaction cannot hold it.
fn is_too_large(error: &Error) -> bool {
    index::is_too_large(error) || matches!(error, Error::Change(ChangeError::TooLarge { .. }))
}
