//! Interactive transactions: one transaction that a client works on over several requests.
//!
//! A [`Session`] can be handed from thread to thread. It counts what is done in it, and knows when
//! it began; how long it may live is decided by who keeps it. An operation that fails may have left
//! half of itself in the transaction, so after one the session can only be rolled back: a commit
//! never contains half of anything.

use nexusbase_db::{Error as DbError, Transaction};

use super::collection::Collection;
use super::documents::Documents;
use super::error::Error;
use super::transaction::CollectionTx;

/// How many operations one session may do.
pub const OPERATIONS_MAX: usize = 10_000;

/// Why a session does not go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The operation failed; the session can only be rolled back.
    #[error(transparent)]
    Operation(#[from] Error),
    /// An operation failed before.
    #[error("an operation of this transaction has failed, so it can only be rolled back")]
    Failed,
    /// It has done all that it may.
    #[error(
        "a transaction can do at most {OPERATIONS_MAX} operations; commit it and begin another"
    )]
    TooManyOperations,
}

/// An open transaction. Dropping it rolls it back.
#[derive(Debug)]
pub struct Session {
    documents: Documents,
    tx: Transaction,
    created_ms: u64,
    operations: usize,
    failed: bool,
}

impl Documents {
    /// Begins a transaction that sees the newest state.
    #[must_use]
    pub fn begin(&self) -> Session {
        let db = self.database();
        Session {
            documents: self.clone(),
            tx: db.begin(),
            created_ms: db.env().clock.unix_ms(),
            operations: 0,
            failed: false,
        }
    }
}

impl Session {
    /// When it began, in milliseconds since 1970.
    #[must_use]
    pub const fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// How many operations it has done.
    #[must_use]
    pub const fn operations(&self) -> usize {
        self.operations
    }

    /// The state that it sees, beside its own writes.
    #[must_use]
    pub const fn index(&self) -> nexusbase_db::Index {
        self.tx.snapshot_index()
    }

    /// Does one operation on a collection.
    ///
    /// # Errors
    /// What the operation fails with, or [`SessionError`] when none is allowed any more.
    pub fn run<T>(
        &mut self,
        collection: &Collection,
        operation: impl FnOnce(&mut CollectionTx<'_>) -> Result<T, Error>,
    ) -> Result<T, SessionError> {
        self.run_any(|_, tx| operation(&mut collection.within(tx)))
    }

    /// Does one operation on anything in the database, such as keeping the answer to a request.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_any<T>(
        &mut self,
        operation: impl FnOnce(&Documents, &mut Transaction) -> Result<T, Error>,
    ) -> Result<T, SessionError> {
        if self.failed {
            return Err(SessionError::Failed);
        }
        if self.operations >= OPERATIONS_MAX {
            return Err(SessionError::TooManyOperations);
        }
        self.operations += 1;
        let done = operation(&self.documents, &mut self.tx);
        self.failed = done.is_err();
        Ok(done?)
    }

    /// Commits everything or nothing, waits until it is visible and durable, and returns the commit.
    /// A conflict is not tried again: what the client has read is no longer so.
    ///
    /// # Errors
    /// [`SessionError::Failed`] after an operation that failed, or why the commit did not happen.
    pub fn commit(self) -> Result<nexusbase_db::Index, SessionError> {
        if self.failed {
            return Err(SessionError::Failed);
        }
        let committed = self.tx.commit().and_then(|handle| handle.wait());
        Ok(committed.map_err(|error| Error::Database(DbError::Commit(error)))?)
    }

    /// Forgets everything that was done in it.
    pub fn rollback(self) {
        drop(self.tx);
    }
}
