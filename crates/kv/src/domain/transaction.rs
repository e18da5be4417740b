//! Transactions: several reads and writes as one, or not at all.

use std::fmt::Debug;

use super::capabilities::Capability;
use super::entry::Put;
use super::error::{Error, ErrorKind, Operation, Result};
use super::view::View;

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read one state. It never conflicts, and writes fail with [`ErrorKind::ReadOnly`].
    ReadOnly,
    /// Read one state, and write.
    ReadWrite,
}

/// A state that can be read and changed; who reads sees what was changed.
#[expect(clippy::missing_errors_doc, reason = "as `View` and `Store` say")]
pub trait WriteView: View {
    /// Puts `put` under `key`.
    fn put(&mut self, key: &[u8], put: Put<'_>) -> Result<()>;

    /// Takes away what is under `key`. Returns whether there was anything.
    fn delete(&mut self, key: &[u8]) -> Result<bool>;

    /// Puts a value under `key`.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, Put::new(value))
    }
}

/// A transaction. It reads the state in which it began, and its own writes, which nobody else sees
/// until it is committed. Dropping it rolls it back. The clock stands still in it: what had not
/// expired when it began does not expire.
///
/// Transactions are serializable: committed ones have the outcome that they would have had one after
/// the other.
pub trait Transaction: WriteView + Debug + Send {
    /// The same transaction in another store of the same engine: all that it does, in all stores,
    /// is one change.
    ///
    /// # Errors
    /// [`ErrorKind::StoreNotFound`]; [`ErrorKind::Unsupported`] where transactions are for one
    /// store each.
    fn also(&mut self, store: &str) -> Result<Box<dyn WriteView + '_>> {
        let kind = ErrorKind::Unsupported(Capability::TransactionsAcrossStores);
        Err(Error::new(Operation::Begin, kind).store(store))
    }

    /// Makes the writes, all or none.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another has changed anything that this transaction read (also:
    /// that there was nothing); nothing is written then.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Forgets the writes.
    fn rollback(self: Box<Self>) {}
}

/// A store with transactions.
pub trait Transactional: Send + Sync {
    /// Begins a transaction at the newest state.
    ///
    /// # Errors
    /// When the store was closed or dropped.
    fn begin(&self, mode: Mode) -> Result<Box<dyn Transaction>>;
}

/// So often [`transact`] tries.
const ATTEMPTS_MAX: u32 = 1000;

/// Runs `work` in a transaction and commits it, and runs it again, on a newer state, when it
/// conflicts with another. `work` may run several times and should do nothing but work on the
/// transaction.
///
/// # Errors
/// What `work` returns, or what the commit failed with; [`ErrorKind::Conflict`] only after a
/// thousand conflicts in a row.
pub fn transact<T>(
    store: &dyn Transactional,
    mut work: impl FnMut(&mut dyn Transaction) -> Result<T>,
) -> Result<T> {
    let mut attempt = 1;
    loop {
        let mut tx = store.begin(Mode::ReadWrite)?;
        let outcome = match work(&mut *tx) {
            Ok(value) => tx.commit().map(|()| value),
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if error.is_conflict() && attempt < ATTEMPTS_MAX => {
                attempt += 1;
                std::thread::yield_now();
            }
            outcome => return outcome,
        }
    }
}
