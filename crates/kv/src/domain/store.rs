//! A store: the newest state, and changes to it.

use std::fmt::Debug;

use super::capabilities::Capabilities;
use super::entry::{Entry, Put};
use super::error::{Error, ErrorKind, Operation, Result};
use super::transaction::Transactional;
use super::version::Versioned;
use super::view::View;

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Puts something under a key, whatever was there.
    Put(&'a [u8], Put<'a>),
    /// Takes away what is under a key, if anything is.
    Delete(&'a [u8]),
}

/// What must be under a key for [`Store::compare_and_set`] to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Nothing.
    Absent,
    /// Something.
    Present,
    /// This value, whatever its media type and when it expires.
    Value(&'a [u8]),
    /// Exactly this.
    Entry(&'a Entry),
}

impl Expected<'_> {
    /// Whether `found` is what was expected.
    #[must_use]
    pub fn is(&self, found: Option<&Entry>) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (Self::Present, found) => found.is_some(),
            (Self::Value(value), Some(found)) => found.value == *value,
            (Self::Entry(entry), Some(found)) => *entry == found,
            (Self::Value(_) | Self::Entry(_), None) => false,
        }
    }
}

/// What became of a [`Store::compare_and_set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It was as expected and is changed.
    Done,
    /// It was not as expected; this is what is there. Nothing is changed.
    Differs(Option<Entry>),
}

/// Figures about a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Keys, those whose time has come perhaps included.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Whether `keys` and `bytes` are exact, or estimated because counting would be slow.
    pub exact: bool,
    /// Bytes on disk, if the store has files of its own.
    pub disk_bytes: Option<u64>,
    /// Versions.
    pub versions: u64,
    /// What was found damaged and set aside when the store was opened, for people.
    pub damage: Vec<String>,
}

/// A store: bytes under keys, in the order of the keys.
///
/// All methods may be called from all threads at once. Each change is atomic: everybody sees all of it or
/// nothing, also after a crash if the engine is durable; and it is there for every call that
/// begins when it has returned. Where this says nothing of errors: a method fails when the data
/// cannot be read, written or is damaged, when something is over a
/// [limit](super::Limits) ([`ErrorKind::TooLarge`]), and when the store was closed
/// ([`ErrorKind::Closed`]), dropped or renamed ([`ErrorKind::StoreNotFound`]).
#[expect(
    clippy::missing_errors_doc,
    reason = "said once, above, for all methods"
)]
pub trait Store: View + Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// The name of its engine.
    fn engine_name(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether this handle can still be used: false for ever once it was closed, or the store was
    /// dropped or renamed, also if an error came of that.
    fn is_open(&self) -> bool;

    /// Makes all changes or none, as if in their order: of several for one key the last one counts.
    fn write(&self, writes: &[Write<'_>]) -> Result<()>;

    /// Takes away what is under `key`. Returns whether there was anything.
    fn delete(&self, key: &[u8]) -> Result<bool>;

    /// Puts `new` under `key` (or takes away what is there, for none) if what is there is as
    /// `expected`; looking and changing are one step.
    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap>;

    /// Takes away everything. Versions stay.
    fn clear(&self) -> Result<()>;

    /// The newest state, to be read for as long as one likes. Nobody waits for it.
    fn snapshot(&self) -> Result<Box<dyn View + Send>>;

    /// Figures.
    fn stats(&self) -> Result<StoreStats>;

    /// Makes what was written durable as far as the engine promises it, and ends this store's work.
    /// All its handles answer [`ErrorKind::Closed`] afterwards, until it is opened again; closing
    /// twice is fine. Snapshots stay readable.
    fn close(&self) -> Result<()>;

    /// Brings what is on disk into its shortest form, where the engine does not do that by itself all
    /// the time. Returns whether there was anything to do.
    fn compact(&self) -> Result<bool> {
        Ok(false)
    }

    /// Its transactions, if it has any.
    fn transactional(&self) -> Option<&dyn Transactional> {
        None
    }

    /// Its versions, if it has any.
    fn versioned(&self) -> Option<&dyn Versioned> {
        None
    }

    /// Puts `put` under `key`.
    fn put(&self, key: &[u8], put: Put<'_>) -> Result<()> {
        self.write(&[Write::Put(key, put)])
    }

    /// Puts a value under `key`.
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, Put::new(value))
    }

    /// Puts all values under their keys, or none.
    fn set_many(&self, values: &[(&[u8], &[u8])]) -> Result<()> {
        let writes: Vec<_> = values
            .iter()
            .map(|&(key, value)| Write::Put(key, Put::new(value)))
            .collect();
        self.write(&writes)
    }

    /// Says when `key` expires, in milliseconds since 1970; none: never. Fails with
    /// [`ErrorKind::KeyNotFound`] when there is no such key.
    fn expire(&self, key: &[u8], expires_ms: Option<u64>) -> Result<()> {
        let mut found = self.entry(key)?;
        loop {
            let Some(entry) = found else {
                let error = Error::new(Operation::Expire, ErrorKind::KeyNotFound);
                return Err(error.engine(self.engine_name()).store(self.name()).key(key));
            };
            let put = Put {
                expires_ms,
                ..entry.as_put()
            };
            match self.compare_and_set(key, Expected::Entry(&entry), Some(put))? {
                Swap::Done => return Ok(()),
                Swap::Differs(other) => found = other,
            }
        }
    }
}
