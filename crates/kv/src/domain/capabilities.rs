//! What a store can do. Capabilities tell the truth: the compliance suite tries each.

use std::fmt;

use super::entry::{MEDIA_TYPE_BYTES_MAX, Put};
use super::error::{Error, ErrorKind, Operation, Result};
use super::store::Write;

/// How far a transaction reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transactions {
    /// There are none.
    None,
    /// Over one store.
    OneStore,
    /// Over all stores of the engine, atomically.
    AcrossStores,
}

/// The largest things that an engine takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A key.
    pub key_bytes: usize,
    /// A value.
    pub value_bytes: usize,
    /// Keys and values of one [`Store::write`](super::Store::write), or of one transaction. An engine
    /// may have to keep more than that for each entry (`lsm` its header, and its key once more if
    /// it expires): a batch of very many small entries can be refused below this limit, with the
    /// size that it really has.
    pub batch_bytes: usize,
}

impl Limits {
    /// Checks a batch, and each key and value of it.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`].
    pub fn check(&self, operation: Operation, writes: &[Write<'_>]) -> Result<()> {
        let mut bytes = 0;
        for write in writes {
            bytes += match write {
                Write::Put(key, put) => self.check_put(operation, key, put)?,
                Write::Delete(key) => self.check_key(operation, key)?,
            };
        }
        check(operation, "a batch", bytes, self.batch_bytes)
    }

    /// Checks a key. Returns its size.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`].
    pub fn check_key(&self, operation: Operation, key: &[u8]) -> Result<usize> {
        check(operation, "a key", key.len(), self.key_bytes).map_err(|e| e.key(key))?;
        Ok(key.len())
    }

    /// Checks a key and what is to lie under it. Returns their size.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`].
    pub fn check_put(&self, operation: Operation, key: &[u8], put: &Put<'_>) -> Result<usize> {
        self.check_key(operation, key)?;
        let media_type = put.media_type.map_or(0, str::len);
        check(operation, "a media type", media_type, MEDIA_TYPE_BYTES_MAX)
            .and_then(|()| check(operation, "a value", put.value.len(), self.value_bytes))
            .map_err(|e| e.key(key))?;
        Ok(key.len() + put.value.len())
    }
}

fn check(operation: Operation, what: &'static str, bytes: usize, limit: usize) -> Result<()> {
    if bytes > limit {
        let kind = ErrorKind::TooLarge { what, bytes, limit };
        return Err(Error::new(operation, kind));
    }
    Ok(())
}

/// What the stores of an engine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What was acknowledged is there after a power cut.
    pub durable: bool,
    /// Rows come in the order of their keys, and ranges can be asked for. An engine without order
    /// answers [`KeyRange::all`](super::KeyRange::all) in any order, and every other range with
    /// [`Capability::Order`].
    pub ordered: bool,
    /// Transactions over several operations.
    pub transactions: Transactions,
    /// States that can be gone back to.
    pub versioned: bool,
    /// A store may be larger than memory.
    pub larger_than_memory: bool,
    /// The largest things that it takes.
    pub limits: Limits,
}

/// Something that an engine may not be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// Ranges, and rows in order.
    Order,
    /// Transactions.
    Transactions,
    /// Transactions over several stores.
    TransactionsAcrossStores,
    /// Versions.
    Versions,
    /// Another name for a store.
    Rename,
    /// Taking over lines that were edited by hand.
    AcceptEdits,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "ranges of keys",
            Self::Transactions => "transactions",
            Self::TransactionsAcrossStores => "transactions over several stores",
            Self::Versions => "versions",
            Self::Rename => "renaming a store",
            Self::AcceptEdits => "taking over edited lines",
        })
    }
}
