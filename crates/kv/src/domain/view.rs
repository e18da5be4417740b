//! One state that can be read: a store's newest, a transaction's, a version's.

use bytes::Bytes;

use super::cursor::{Cursor, Rows};
use super::entry::Entry;
use super::error::Result;
use super::page::{Page, PageQuery};
use super::{Direction, KeyRange};

/// Something that can be read. An entry whose time has come is not there, for any method.
///
/// For a snapshot, a transaction or a version every answer is about the same state. For a
/// [`Store`](super::Store) each call is about one state, the newest when it was made: also
/// [`View::entries`], and a cursor for as long as it walks.
///
/// Every method fails when the data cannot be read or is damaged. When the store is closed, dropped
/// or renamed, the [`Store`](super::Store) and its transactions fail from then on; a snapshot, the
/// state of a version and a cursor stay readable as they are.
#[expect(
    clippy::missing_errors_doc,
    reason = "said once, above, for all methods"
)]
pub trait View {
    /// What lies under `key`. A key over the engine's limit is one that is not there.
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>>;

    /// What lies under each of `keys`, in their order, all of one state.
    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>>;

    /// The rows in `range`, in the order of their keys or against it.
    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>>;

    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// Whether there is something under `key`.
    fn has(&self, key: &[u8]) -> Result<bool> {
        Ok(self.entry(key)?.is_some())
    }

    /// The values under `keys`, in their order, all of one state.
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let entries = self.entries(keys)?;
        Ok(entries.into_iter().map(|e| e.map(|e| e.value)).collect())
    }

    /// The number of keys in `range`.
    fn count(&self, range: KeyRange) -> Result<u64> {
        let mut cursor = self.cursor(range, Direction::Forward)?;
        let mut count = 0;
        while cursor.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The rows in `range`, each in memory of its own.
    fn rows(&self, range: KeyRange, direction: Direction) -> Result<Rows<'_>> {
        self.cursor(range, direction).map(Rows::new)
    }

    /// Some rows, and where to go on.
    fn page(&self, query: &PageQuery) -> Result<Page> {
        let cursor = self.cursor(query.remaining(), query.direction)?;
        Page::collect(cursor, query)
    }
}
