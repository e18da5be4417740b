//! An open table: point reads, and the way to its blocks.
//!
//! The top of the index is in memory; partitions and data blocks are in [slots](crate::cache) and
//! are read when they are not there. Every block is checked (checksum, then structure) when it
//! comes from disk, and never again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_io::{File, Fs};

use crate::Seqno;
use crate::cache::{Cache, Slots, slots};
use crate::error::DiskError;
use crate::kind::TreeKind;
use crate::memtable::MemCell;
use crate::row::{BlobRef, Cell, FileId, RowRef};
use crate::table::footer::{FOOTER_BYTES, Footer};
use crate::table::frame::{Handle, unseal};
use crate::table::index::{self, Index};
use crate::table::meta::TableMeta;
use crate::table::row_block::{Find, RowBlock};

/// An open table.
pub(crate) struct Table {
    pub(crate) meta: Arc<TableMeta>,
    pub(crate) kind: TreeKind,
    path: PathBuf,
    file: Arc<dyn File>,
    cache: Arc<Cache>,
    top: Index,
    partitions: Slots<Partition>,
}

/// A part of a table's index, with places for the blocks that it names.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: Index,
    blocks: Slots<RowBlock>,
}

/// What a table knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seqno: Seqno,
    pub(crate) state: FoundState,
}

/// What the newest visible row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundState {
    Value(Bytes),
    Blob(BlobRef),
    Deleted,
    /// It has to be merged with what lies beneath: only cursors do that.
    Merge,
}

impl Found {
    /// What a memtable has: shared, not copied.
    pub(crate) fn of_memtable(seqno: Seqno, cell: &MemCell) -> Self {
        let state = match cell.cell() {
            Cell::Put(_) => FoundState::Value(cell.bytes().clone()),
            Cell::Blob(blob) => FoundState::Blob(blob),
            Cell::Delete => FoundState::Deleted,
            Cell::Merge(_) => FoundState::Merge,
        };
        Self { seqno, state }
    }

    pub(crate) fn new(row: &RowRef<'_>) -> Self {
        let state = match row.cell {
            Cell::Put(value) => FoundState::Value(Bytes::copy_from_slice(value)),
            Cell::Blob(blob) => FoundState::Blob(blob),
            Cell::Delete => FoundState::Deleted,
            Cell::Merge(_) => FoundState::Merge,
        };
        Self {
            seqno: row.seqno,
            state,
        }
    }
}

impl Table {
    /// Opens the table that the manifest describes as `meta`, and checks footer and top.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        meta: Arc<TableMeta>,
        kind: TreeKind,
        cache: Arc<Cache>,
    ) -> Result<Self, DiskError> {
        let file = fs.open_read_only(path)?;
        let bytes = file.len()?;
        if bytes != meta.bytes {
            let expected = format!("a table of {} bytes", meta.bytes);
            let found = format!("{bytes} bytes");
            return Err(DiskError::corrupt(
                path,
                bytes.min(meta.bytes),
                expected,
                found,
            ));
        }
        let footer = read_footer(&*file, path, &meta)?;
        let place = (path, meta.id, footer.top);
        let top = read_block(&*file, place, "the top of the index", |raw| {
            Index::parse(raw, index::TOP, &kind, bytes)
        })?;
        cache.pin(top.memory_bytes() as u64 + OPEN_TABLE_BYTES);
        Ok(Self {
            partitions: slots(top.len()),
            path: path.to_path_buf(),
            meta,
            kind,
            file,
            cache,
            top,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The top of the index: an entry for each partition.
    pub(crate) const fn top(&self) -> &Index {
        &self.top
    }

    /// The newest row of `key` that a reader at `at` sees.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: u64, at: Seqno) -> Result<Option<Found>, DiskError> {
        let p = self.top.separators.find(key, at);
        if p == self.top.len() {
            return Ok(None);
        }
        let cached = self.partitions[p].get();
        if let Some(partition) = cached.as_ref() {
            return self.get_in(partition, key, hash, at);
        }
        let partition = self.load_partition(p, true)?;
        self.get_in(&partition, key, hash, at)
    }

    #[inline]
    fn get_in(
        &self,
        partition: &Partition,
        key: &[u8],
        hash: u64,
        at: Seqno,
    ) -> Result<Option<Found>, DiskError> {
        if !partition.index.filter.may_contain(hash) {
            return Ok(None);
        }
        let b = partition.index.separators.find(key, at);
        if b == partition.index.len() {
            return Ok(None);
        }
        let cached = partition.blocks[b].get();
        let find = |block: &RowBlock| match block.find(key, hash, at) {
            Find::Row(row) => Some(Found::new(&row)),
            Find::NotHere => None,
        };
        if let Some(block) = cached.as_ref() {
            return Ok(find(block));
        }
        Ok(find(&*self.load_block(partition, b, true)?))
    }

    /// Partition `at`; when it has to be read, it goes into the cache if `keep`.
    pub(crate) fn partition(&self, at: usize, keep: bool) -> Result<Arc<Partition>, DiskError> {
        match &*self.partitions[at].get() {
            Some(partition) => Ok(Arc::clone(partition)),
            None => self.load_partition(at, keep),
        }
    }

    #[cold]
    fn load_partition(&self, at: usize, keep: bool) -> Result<Arc<Partition>, DiskError> {
        let handle = self.top.handles[at];
        let place = (self.path(), self.meta.id, handle);
        let index = read_block(&*self.file, place, "a partition of the index", |raw| {
            Index::parse(raw, index::PARTITION, &self.kind, self.meta.bytes)
        })?;
        let blocks = slots(index.len());
        let charge = index.memory_bytes() + index.len() * 16;
        let partition = Arc::new(Partition { index, blocks });
        self.cache.count_miss(u64::from(handle.length));
        if keep {
            let identity = self.identity(handle);
            self.cache
                .insert(&self.partitions, at, &partition, charge as u64, identity);
        }
        Ok(partition)
    }

    /// Data block `at` of a partition; when it has to be read, it goes into the cache if `keep`.
    pub(crate) fn block(
        &self,
        partition: &Partition,
        at: usize,
        keep: bool,
    ) -> Result<Arc<RowBlock>, DiskError> {
        match &*partition.blocks[at].get() {
            Some(block) => Ok(Arc::clone(block)),
            None => self.load_block(partition, at, keep),
        }
    }

    #[cold]
    fn load_block(
        &self,
        partition: &Partition,
        at: usize,
        keep: bool,
    ) -> Result<Arc<RowBlock>, DiskError> {
        let handle = partition.index.handles[at];
        let place = (self.path(), self.meta.id, handle);
        let block = Arc::new(read_block(&*self.file, place, ROWS, RowBlock::parse)?);
        self.cache.count_miss(u64::from(handle.length));
        if keep {
            let (charge, identity) = (block.memory_bytes() as u64, self.identity(handle));
            self.cache
                .insert(&partition.blocks, at, &block, charge, identity);
        }
        Ok(block)
    }

    /// Reads block `at` of a partition, and what lies behind it up to the window's length, at
    /// once: for reading a table from front to back. Does not touch the cache.
    pub(crate) fn block_in_window(
        &self,
        partition: &Partition,
        at: usize,
        window: &mut Window,
    ) -> Result<Arc<RowBlock>, DiskError> {
        let handle = partition.index.handles[at];
        let frame = window.frame(&*self.file, handle)?;
        let place = (self.path(), self.meta.id, handle);
        check_block(frame, place, ROWS, RowBlock::parse).map(Arc::new)
    }

    /// A number that names a block among all that ever were.
    fn identity(&self, handle: Handle) -> u64 {
        self.meta.id.0.rotate_left(40) ^ handle.offset
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.cache
            .unpin(self.top.memory_bytes() as u64 + OPEN_TABLE_BYTES);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.path).finish()
    }
}

/// What an open table takes beside the top of its index, about.
const OPEN_TABLE_BYTES: u64 = 1024;

/// A piece of a file that was read ahead.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    offset: u64,
}

/// How much is read ahead.
const WINDOW_BYTES: usize = 256 << 10;

impl Window {
    pub(crate) fn frame(&mut self, file: &dyn File, handle: Handle) -> Result<&[u8], DiskError> {
        let length = handle.length as usize;
        let skipped = handle.offset.checked_sub(self.offset);
        let start = skipped
            .and_then(|skipped| usize::try_from(skipped).ok())
            .filter(|start| *start + length <= self.bytes.len());
        if let Some(start) = start {
            return Ok(&self.bytes[start..start + length]);
        }
        self.offset = handle.offset;
        self.bytes.resize(length.max(WINDOW_BYTES), 0);
        let read = file.read_at(&mut self.bytes, handle.offset)?;
        self.bytes.truncate(read);
        // A frame that is cut off does not unseal.
        Ok(&self.bytes[..length.min(read)])
    }
}

fn read_footer(file: &dyn File, path: &Path, meta: &TableMeta) -> Result<Footer, DiskError> {
    let offset = meta.bytes.saturating_sub(FOOTER_BYTES as u64);
    let mut bytes = [0; FOOTER_BYTES];
    // What is missing stays zero and is no footer.
    file.read_at(&mut bytes, offset)?;
    Footer::decode(&bytes, meta.id, meta.bytes)
        .map_err(|(expected, found)| DiskError::corrupt(path, offset, expected, found))
}

/// What a data block is called in errors.
const ROWS: &str = "a block of rows";

/// Where a block lies: path and number of the file, and place in it.
type Place<'a> = (&'a Path, FileId, Handle);

/// Reads a block, checks its frame, and parses what is in it.
fn read_block<T>(
    file: &dyn File,
    place: Place<'_>,
    expected: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, DiskError> {
    // The index was checked: blocks lie within the file.
    let (_, _, handle) = place;
    let mut frame = vec![0; handle.length as usize];
    let read = file.read_at(&mut frame, handle.offset)?;
    frame.truncate(read);
    check_block(&frame, place, expected, parse)
}

fn check_block<T>(
    frame: &[u8],
    (path, id, handle): Place<'_>,
    expected: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, DiskError> {
    let mut scratch = Vec::new();
    let raw = unseal(frame, id, handle.offset, &mut scratch)
        .map_err(|fault| DiskError::corrupt(path, handle.offset, fault.expected, fault.found))?;
    parse(raw).map_err(|reason| DiskError::corrupt(path, handle.offset, expected, reason))
}
