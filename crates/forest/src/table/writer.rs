//! Writing a table: rows in order go in, a file comes out.
//!
//! Data blocks, and behind each group of them their partition; then the top, the meta block and
//! the footer. What has been written goes to the file in large pieces. Nothing refers to the file
//! before [`TableWriter::finish`] has synced it; the folder's entry is the caller's to sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_io::{self as io, File, Fs};

use crate::aggregate::Aggregate;
use crate::error::DiskError;
use crate::kind::TreeKind;
use crate::row::{BlobRef, Cell, FileId, RowRef};
use crate::table::block::{BlockBuilder, KEY_MAX, VALUE_MAX};
use crate::table::filter::{FilterBuilder, hash_key};
use crate::table::footer::{FOOTER_BYTES, Footer, encode_meta};
use crate::table::frame::{Compression, Handle, seal};
use crate::table::index::{self, Entry};
use crate::table::meta::{BlobUse, Layout, TableMeta};
use crate::table::separators::between;
use crate::{Seqno, TreeId};

/// How much is collected before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// How many times larger than on disk, not compressed, a block may be in memory.
const MEMORY_FACTOR_MAX: usize = 8;

/// How tables are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableOptions {
    /// A data block is closed when it has this many bytes, not compressed.
    pub(crate) block_bytes: usize,
    pub(crate) restart_interval: usize,
    pub(crate) filter_bits: u32,
    pub(crate) partition_blocks: usize,
    pub(crate) compression: Compression,
}

/// A table that is being written.
#[derive(Debug)]
pub(crate) struct TableWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    id: FileId,
    tree: TreeId,
    kind: TreeKind,
    options: TableOptions,
    /// Not written yet; starts at `written` in the file.
    pending: Vec<u8>,
    written: u64,
    raw: Vec<u8>,
    block: BlockBuilder,
    block_aggregate: Aggregate,
    partition: Vec<Entry>,
    partition_aggregate: Aggregate,
    filter: FilterBuilder,
    /// The next row's key goes into the filter even if it is that of the row before.
    filter_is_new: bool,
    top: Vec<Entry>,
    aggregate: Aggregate,
    first: Option<Bytes>,
    last: Vec<u8>,
    last_seqno: Seqno,
    blobs: Vec<BlobUse>,
}

impl TableWriter {
    /// Creates the file at `path`.
    pub(crate) fn create(
        fs: &dyn Fs,
        path: &Path,
        id: FileId,
        tree: TreeId,
        kind: TreeKind,
        options: TableOptions,
    ) -> Result<Self, DiskError> {
        Ok(Self {
            file: fs.create(path)?,
            path: path.to_path_buf(),
            id,
            tree,
            kind,
            options,
            pending: Vec::with_capacity(WRITE_BYTES + 2 * options.block_bytes),
            written: 0,
            raw: Vec::with_capacity(2 * options.block_bytes),
            block: BlockBuilder::new(options.restart_interval),
            block_aggregate: Aggregate::default(),
            partition: Vec::new(),
            partition_aggregate: Aggregate::default(),
            filter: FilterBuilder::default(),
            filter_is_new: true,
            top: Vec::new(),
            aggregate: Aggregate::default(),
            first: None,
            last: Vec::new(),
            last_seqno: Seqno::ZERO,
            blobs: Vec::new(),
        })
    }

    /// Adds a row, which must lie behind all others.
    ///
    /// # Errors
    /// When the file cannot be written, or the row is larger than one that could be read again.
    pub(crate) fn add(&mut self, row: &RowRef<'_>) -> Result<(), DiskError> {
        let value_bytes = match row.cell {
            Cell::Put(value) | Cell::Merge(value) => value.len(),
            Cell::Delete | Cell::Blob(_) => 0,
        };
        if row.key.len() > KEY_MAX || value_bytes > VALUE_MAX {
            let reason = std::io::Error::from(std::io::ErrorKind::InvalidInput);
            let error = io::Error::new("write a row that is too large to", &self.path, reason);
            return Err(error.into());
        }
        let same_key = self.first.is_some() && self.last == row.key;
        let full = self.block.bytes() >= self.options.block_bytes
            // Long keys that share much are short on disk and long in memory.
            || self.block.memory_bytes() >= MEMORY_FACTOR_MAX * self.options.block_bytes;
        if full && !self.block.is_empty() {
            self.close_block(Some(row.key))?;
            // Blocks of one key's versions only would never end a partition.
            if self.partition.len() >= self.options.partition_blocks {
                self.close_partition()?;
            }
        }
        if !same_key || self.filter_is_new {
            self.filter.add(hash_key(row.key));
            self.filter_is_new = false;
        }
        self.block.add(row);
        // A block that begins with a key of the block before is not plain either: who adds up
        // plain blocks would count that key twice.
        self.block_aggregate.add(&self.kind, row, same_key);
        if same_key {
            self.aggregate.plain = false;
            self.partition_aggregate.plain = false;
        } else {
            if self.first.is_none() {
                self.first = Some(Bytes::copy_from_slice(row.key));
            }
            self.last.clear();
            self.last.extend_from_slice(row.key);
        }
        self.last_seqno = row.seqno;
        if let Cell::Blob(blob) = row.cell {
            self.note_blob(blob);
        }
        Ok(())
    }

    fn note_blob(&mut self, blob: BlobRef) {
        let at = self.blobs.partition_point(|known| known.file < blob.file);
        if self
            .blobs
            .get(at)
            .is_none_or(|known| known.file != blob.file)
        {
            let new = BlobUse {
                file: blob.file,
                values: 0,
                bytes: 0,
            };
            self.blobs.insert(at, new);
        }
        self.blobs[at].values += 1;
        self.blobs[at].bytes += u64::from(blob.length);
    }

    /// How long the file is about to be.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset() + self.block.bytes() as u64
    }

    /// The key of the last row.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.first.as_ref().map(|_| self.last.as_slice())
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Closes the data block; `next` is the key of the row that comes behind it.
    fn close_block(&mut self, next: Option<&[u8]>) -> Result<(), DiskError> {
        self.raw.clear();
        self.block.finish(&mut self.raw);
        let (separator, seqno) = match next {
            Some(next) if next == self.last => (self.last.clone(), self.last_seqno),
            Some(next) => (between(&self.last, next), Seqno::ZERO),
            None => (self.last.clone(), Seqno::ZERO),
        };
        let handle = self.put_raw()?;
        let aggregate = std::mem::take(&mut self.block_aggregate);
        // Whether a key goes on in the next block has been noted row by row.
        self.partition_aggregate.merge(&aggregate, false);
        self.partition.push(Entry {
            separator,
            seqno,
            handle,
            aggregate,
        });
        Ok(())
    }

    fn close_partition(&mut self) -> Result<(), DiskError> {
        let Some(last) = self.partition.last() else {
            return Ok(());
        };
        let (separator, seqno) = (last.separator.clone(), last.seqno);
        let mut filter = Vec::new();
        self.filter.finish(self.options.filter_bits, &mut filter);
        self.raw = index::encode(index::PARTITION, &self.kind, &filter, &self.partition);
        let handle = self.put_raw()?;
        self.partition.clear();
        self.filter_is_new = true;
        let aggregate = std::mem::take(&mut self.partition_aggregate);
        self.aggregate.merge(&aggregate, false);
        self.top.push(Entry {
            separator,
            seqno,
            handle,
            aggregate,
        });
        Ok(())
    }

    /// Frames what is in `raw`.
    fn put_raw(&mut self) -> Result<Handle, DiskError> {
        let offset = self.offset();
        let compression = self.options.compression;
        let length = seal(&self.raw, compression, self.id, offset, &mut self.pending);
        if self.pending.len() >= WRITE_BYTES {
            self.write_pending()?;
        }
        Ok(Handle { offset, length })
    }

    fn write_pending(&mut self) -> Result<(), DiskError> {
        self.file.write_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes the rest and syncs the file. `None` if there was no row: the file is of no use.
    pub(crate) fn finish(
        mut self,
        purged_through: Seqno,
        sync: bool,
    ) -> Result<Option<TableMeta>, DiskError> {
        let Some(first) = self.first.take() else {
            return Ok(None);
        };
        self.close_block(None)?;
        self.close_partition()?;
        // The partitions have filters of their own; this one lets everything through.
        let mut filter = Vec::new();
        FilterBuilder::default().finish(0, &mut filter);
        self.raw = index::encode(index::TOP, &self.kind, &filter, &self.top);
        let top = self.put_raw()?;
        let mut meta = TableMeta {
            id: self.id,
            layout: Layout::Rows,
            bytes: 1,
            first,
            last: Bytes::copy_from_slice(&self.last),
            aggregate: std::mem::take(&mut self.aggregate),
            purged_through,
            blobs: std::mem::take(&mut self.blobs),
        };
        self.raw = encode_meta(self.tree, &self.kind, &meta);
        let meta_handle = self.put_raw()?;
        meta.bytes = self.offset() + FOOTER_BYTES as u64;
        let footer = Footer {
            id: self.id,
            tree: self.tree,
            top,
            meta: meta_handle,
            file_bytes: meta.bytes,
        };
        self.pending.extend_from_slice(&footer.encode());
        self.write_pending()?;
        if sync {
            self.file.sync_data()?;
        }
        Ok(Some(meta))
    }
}
