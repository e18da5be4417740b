//! Walking through a range of keys at one seqno, in either direction.
//!
//! A cursor owns what it reads: a picture of the tree with its memtables and tables. It holds no
//! lock, and what it shows does not change however long it lives, whatever is compacted meanwhile.
//! As long as it lives, so do the files that it reads.

use std::collections::BTreeMap;
use std::iter::FusedIterator;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::blob::BlobFile;
use crate::cursor::merge::MergeCursor;
use crate::cursor::visible::{Blobs, Value, ViewOptions, Visible};
use crate::forest::Forest;
use crate::read::tree_at;
use crate::row::{BlobRef, FileId};
use crate::source::Source;
use crate::table::filter::hash_key;
use crate::tree::Tree;
use crate::zone::ZoneFilter;
use crate::{Direction, DiskError, KeyRange, ReadError, Seqno, TreeId};

/// Where the large values of a tree are.
#[derive(Clone, Debug)]
pub(crate) struct TreeBlobs(Arc<BTreeMap<FileId, Arc<BlobFile>>>);

impl TreeBlobs {
    pub(crate) fn new(tree: &Tree) -> Self {
        Self(Arc::clone(&tree.tables.blobs))
    }
}

impl Blobs for TreeBlobs {
    fn read(&self, key: &[u8], blob: BlobRef) -> Result<Bytes, DiskError> {
        match self.0.get(&blob.file) {
            Some(file) => file.read(blob, hash_key(key)),
            None => Err(DiskError::corrupt(
                std::path::Path::new(&crate::blob::file_name(blob.file)),
                blob.offset,
                "a blob file that the manifest names",
                "none",
            )),
        }
    }
}

/// A walk through the live keys of a range: it lends what it is at.
#[derive(Debug)]
pub struct Cursor {
    rows: Visible<MergeCursor<Source>, TreeBlobs>,
    blobs: TreeBlobs,
    wanted: ZoneFilter,
    /// A large value that was read for the row it is at.
    large: Option<Bytes>,
}

impl Cursor {
    pub(crate) fn new(
        tree: &Tree,
        range: KeyRange,
        direction: Direction,
        at: Seqno,
        wanted: ZoneFilter,
    ) -> Self {
        let blobs = TreeBlobs::new(tree);
        Self {
            rows: Visible::new(
                MergeCursor::new(Source::all(tree, &wanted)),
                ViewOptions {
                    range,
                    direction,
                    at,
                    deletes: Arc::clone(&tree.range_deletes),
                    merge: tree.kind.merge,
                    blobs: blobs.clone(),
                },
            ),
            blobs,
            wanted,
            large: None,
        }
    }

    /// Goes to the next live key in its direction; at first, to the first. Returns whether there
    /// is one.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged. The cursor is at its end then.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, DiskError> {
        self.large = None;
        if self.wanted.is_empty() {
            return self.rows.advance();
        }
        while self.rows.advance()? {
            // A block is skipped only if none of its keys is wanted.
            if self.wanted.matches(self.key()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The key that it is at; empty before the first [`Cursor::advance`] and behind the last.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.rows.entry().map_or(&[], |entry| entry.key)
    }

    /// The value of that key. A large one is read from disk when it is asked for.
    ///
    /// # Errors
    /// When a large value cannot be read or is damaged.
    #[inline]
    pub fn value(&mut self) -> Result<&[u8], DiskError> {
        Ok(self.row()?.1)
    }

    /// The key that it is at, and its value.
    ///
    /// # Errors
    /// As [`Cursor::value`].
    #[inline]
    pub fn row(&mut self) -> Result<(&[u8], &[u8]), DiskError> {
        let Some(entry) = self.rows.entry() else {
            return Ok((&[], &[]));
        };
        match entry.value {
            Value::Inline(value) => Ok((entry.key, value)),
            Value::Blob(blob) => {
                let large = match self.large.take() {
                    Some(large) => large,
                    None => self.blobs.read(entry.key, blob)?,
                };
                Ok((entry.key, self.large.insert(large)))
            }
        }
    }

    /// Goes to `key`, or the first live key beyond it in its direction, within the range. Returns
    /// whether there is one.
    ///
    /// # Errors
    /// As [`Cursor::advance`].
    pub fn seek(&mut self, key: &[u8]) -> Result<bool, DiskError> {
        self.large = None;
        if !self.rows.seek(key)? {
            return Ok(false);
        }
        if self.wanted.is_empty() || self.wanted.matches(self.key()) {
            return Ok(true);
        }
        self.advance()
    }
}

/// The rows of a range at one seqno: an iterator over keys and values, copied.
///
/// After an error it is at its end.
#[derive(Debug)]
pub struct Scan {
    cursor: Cursor,
    finished: bool,
}

impl Scan {
    fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, DiskError> {
        if !self.cursor.advance()? {
            return Ok(None);
        }
        let key = Bytes::copy_from_slice(self.cursor.key());
        let value = Bytes::copy_from_slice(self.cursor.value()?);
        Ok(Some((key, value)))
    }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let row = self.next_row();
        self.finished = !matches!(row, Ok(Some(_)));
        row.map_err(ReadError::from).transpose()
    }
}

impl FusedIterator for Scan {}

impl Forest {
    /// A walk through the keys in `range` and their values at seqno `at`, in order.
    ///
    /// # Errors
    /// [`ReadError::UnknownTree`], [`ReadError::TooOld`], [`ReadError::NotApplied`].
    pub fn cursor(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
        at: Seqno,
    ) -> Result<Cursor, ReadError> {
        self.cursor_where(tree, range, direction, at, &[])
    }

    /// As [`Forest::cursor`], but only keys that have each of the given zones of the tree's kind
    /// (by their numbers) within bounds. Blocks without such keys are not read.
    ///
    /// # Errors
    /// As [`Forest::cursor`].
    pub fn cursor_where(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
        at: Seqno,
        zones: &[(usize, RangeInclusive<u64>)],
    ) -> Result<Cursor, ReadError> {
        self.horizon.check_applied(at)?;
        let roster = self.trees.load();
        let tree = tree_at(&roster, tree, at)?;
        let wanted = ZoneFilter::new(tree.kind.zones, zones);
        let cursor = Cursor::new(tree, range, direction, at, wanted);
        self.horizon.check_kept(at)?;
        Ok(cursor)
    }

    /// As [`Forest::cursor`], as an iterator that copies.
    ///
    /// # Errors
    /// As [`Forest::cursor`].
    pub fn scan(
        &self,
        tree: TreeId,
        range: KeyRange,
        direction: Direction,
        at: Seqno,
    ) -> Result<Scan, ReadError> {
        Ok(Scan {
            cursor: self.cursor(tree, range, direction, at)?,
            finished: false,
        })
    }
}
