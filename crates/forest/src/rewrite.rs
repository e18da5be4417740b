//! Sorted sources in, new tables out: the common part of flush and compaction.
//!
//! Rows go through the sieve, large values go to a blob file, tables are cut between user keys.
//! Everything that is written is synced before it is returned, the folder's entries included; what
//! was written by a job that failed is removed again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::background::Opened;
use crate::blob::{BlobFile, BlobWriter};
use crate::compaction::sieve::{Sieve, SieveOptions};
use crate::cursor::RowCursor;
use crate::cursor::merge::MergeCursor;
use crate::cursor::visible::Blobs;
use crate::error::StepError;
use crate::forest::Forest;
use crate::manifest::edit::BlobMeta;
use crate::retention::Retention;
use crate::row::{Cell, FileId, RowRef};
use crate::scan::TreeBlobs;
use crate::source::Source;
use crate::table::meta::TableMeta;
use crate::table::reader::Table;
use crate::table::writer::{TableOptions, TableWriter};
use crate::tree::Tree;
use crate::{DiskError, Seqno, TreeId};

/// What to rewrite.
pub(crate) struct Rewrite<'a> {
    pub(crate) id: TreeId,
    pub(crate) tree: &'a Tree,
    pub(crate) sources: Vec<Source>,
    pub(crate) retention: Retention,
    /// Whether nothing older lies beneath the output.
    pub(crate) bottom: bool,
    /// Whether nothing of any key does, so that the last level's settings apply.
    pub(crate) last_level: bool,
    /// Blob files whose values are to be moved.
    pub(crate) leave: BTreeSet<FileId>,
    /// One table, however large.
    pub(crate) single: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) tables: Vec<TableMeta>,
    pub(crate) blobs: Vec<BlobMeta>,
    pub(crate) opened: Opened,
}

impl Output {
    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let tables = self.tables.iter().map(|table| table.bytes);
        tables.chain(self.blobs.iter().map(|blob| blob.bytes)).sum()
    }
}

/// The files that a job has begun: removed again unless it ends well.
struct Work<'a> {
    forest: &'a Forest,
    job: &'a Rewrite<'a>,
    created: Vec<PathBuf>,
    writer: Option<TableWriter>,
    blob: Option<(FileId, BlobWriter)>,
    output: Output,
    /// Up to where range deletes are worked into what has been written.
    purged: Seqno,
}

impl Forest {
    /// Carries out a rewrite.
    pub(crate) fn rewrite(&self, mut job: Rewrite<'_>) -> Result<Output, StepError> {
        let sources = std::mem::take(&mut job.sources);
        let mut work = Work {
            forest: self,
            job: &job,
            created: Vec::new(),
            writer: None,
            blob: None,
            output: Output::default(),
            purged: job.retention.floor(),
        };
        let result = work.run(sources);
        if result.is_err() {
            work.writer = None;
            work.blob = None;
            for path in &work.created {
                // The next opening removes what cannot be removed now.
                let _ = self.fs.remove(path);
            }
        }
        result.map(|()| work.output)
    }

    pub(crate) fn table_path(&self, id: FileId) -> PathBuf {
        self.dir.join(format!("{:016x}.tbl", id.0))
    }

    pub(crate) fn blob_path(&self, id: FileId) -> PathBuf {
        self.dir.join(crate::blob::file_name(id))
    }

    pub(crate) fn table_options(&self, last_level: bool) -> TableOptions {
        let options = &self.options;
        TableOptions {
            block_bytes: options.block_bytes,
            restart_interval: options.restart_interval,
            filter_bits: options.filter_bits,
            partition_blocks: PARTITION_BLOCKS,
            compression: if last_level {
                options.bottom_compression
            } else {
                options.compression
            },
        }
    }
}

/// After how many bytes a job looks whether it is to end.
const STOP_CHECK_BYTES: usize = 256 << 10;

/// What a row costs beside its value, about.
const ROW_BYTES: usize = 128;

fn value_bytes(row: &RowRef<'_>) -> usize {
    match row.cell {
        Cell::Put(value) | Cell::Merge(value) => value.len(),
        Cell::Delete | Cell::Blob(_) => 0,
    }
}

/// Data blocks of a partition.
const PARTITION_BLOCKS: usize = 256;

impl Work<'_> {
    fn run(&mut self, sources: Vec<Source>) -> Result<(), StepError> {
        let job = self.job;
        let mut rows = MergeCursor::new(sources);
        let mut sieve = Sieve::new(SieveOptions {
            kind: job.tree.kind,
            retention: job.retention.clone(),
            deletes: Arc::clone(&job.tree.range_deletes),
            bottom: |_: &[u8]| job.bottom,
            now_ms: Some(self.forest.log_time_ms.load(Ordering::Relaxed)),
            zero_seqnos: true,
        });
        rows.seek_first()?;
        let mut since_check = 0;
        while let Some(row) = rows.row() {
            since_check += ROW_BYTES + value_bytes(&row);
            if since_check >= STOP_CHECK_BYTES {
                since_check = 0;
                if self.forest.stopping.load(Ordering::Relaxed) {
                    return Err(StepError::Stopped);
                }
            }
            let (purged, key_ends) = (rows.purged_through(), rows.key_ends());
            sieve.push(&row, purged, key_ends, &mut |row, purged| {
                self.add(row, purged)
            })?;
            rows.next()?;
        }
        sieve.finish(&mut |row, purged| self.add(row, purged))?;
        let faults = sieve.faults();
        self.forest
            .counters
            .weight_faults
            .fetch_add(faults, Ordering::Relaxed);
        self.finish_table()?;
        if let Some((id, blob)) = self.blob.take() {
            let summary = blob.finish()?;
            self.output.blobs.push(BlobMeta {
                id,
                bytes: summary.bytes,
                values: summary.values,
            });
        }
        if self.created.is_empty() {
            return Ok(());
        }
        if self.forest.syncs_tables() {
            let synced = self.forest.fs.sync_dir(&self.forest.dir);
            synced.map_err(DiskError::from)?;
        }
        Ok(self.open_output()?)
    }

    /// Adds a row; `purged` says up to where range deletes are worked into the rows up to it.
    fn add(&mut self, row: &RowRef<'_>, purged: Seqno) -> Result<(), DiskError> {
        let limit = self.forest.options.table_bytes;
        if !self.job.single
            && self
                .writer
                .as_ref()
                .is_some_and(|writer| writer.bytes() >= limit && writer.last_key() != Some(row.key))
        {
            self.finish_table()?;
        }
        self.purged = purged;
        let cell = match row.cell {
            Cell::Put(value) if self.is_large(value) => self.put_blob(row.key, value)?,
            Cell::Blob(blob) if self.job.leave.contains(&blob.file) => {
                let value: Bytes = TreeBlobs::new(self.job.tree).read(row.key, blob)?;
                self.put_blob(row.key, &value)?
            }
            cell => cell,
        };
        let row = RowRef { cell, ..*row };
        self.writer()?.add(&row)
    }

    fn is_large(&self, value: &[u8]) -> bool {
        let limit = self.forest.options.blob_bytes;
        limit.is_some_and(|limit| value.len() >= limit)
    }

    fn put_blob(&mut self, key: &[u8], value: &[u8]) -> Result<Cell<'static>, DiskError> {
        if self.blob.is_none() {
            let id = self.forest.new_file();
            let path = self.forest.blob_path(id);
            self.created.push(path);
            let writer = BlobWriter::create(&*self.forest.fs, &self.forest.dir, id)?;
            self.blob = Some((id, writer));
        }
        let Some((_, blob)) = &mut self.blob else {
            return Ok(Cell::Delete);
        };
        blob.append(key, value).map(Cell::Blob)
    }

    /// The table that is being written; a new one if there is none.
    fn writer(&mut self) -> Result<&mut TableWriter, DiskError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.create_table()?,
        };
        Ok(self.writer.insert(writer))
    }

    fn create_table(&mut self) -> Result<TableWriter, DiskError> {
        let forest = self.forest;
        let id = forest.new_file();
        let path = forest.table_path(id);
        self.created.push(path.clone());
        let (tree, kind) = (self.job.id, self.job.tree.kind);
        let options = forest.table_options(self.job.last_level);
        TableWriter::create(&*forest.fs, &path, id, tree, kind, options)
    }

    fn finish_table(&mut self) -> Result<(), DiskError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let sync = self.forest.syncs_tables();
        let table = writer.finish(self.purged, sync)?;
        self.output.tables.extend(table);
        Ok(())
    }

    fn open_output(&mut self) -> Result<(), DiskError> {
        let forest = self.forest;
        for meta in &self.output.tables {
            let table = Table::open(
                &*forest.fs,
                &forest.table_path(meta.id),
                Arc::new(meta.clone()),
                self.job.tree.kind,
                Arc::clone(&forest.cache),
            )?;
            self.output.opened.tables.push(Arc::new(table));
        }
        for blob in &self.output.blobs {
            let path = forest.blob_path(blob.id);
            let file = BlobFile::open(&*forest.fs, &path, blob.id, blob.bytes)?;
            self.output.opened.blobs.push((blob.id, Arc::new(file)));
        }
        Ok(())
    }
}
