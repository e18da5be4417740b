//! The sources that a tree's rows come from, as one type: static dispatch in the scan's inner
//! loop.

use std::sync::Arc;

use crate::cursor::RowCursor;
use crate::memtable::{Memtable, MemtableCursor};
use crate::row::RowRef;
use crate::table::cursor::{Run, RunCursor};
use crate::tree::Tree;
use crate::zone::ZoneFilter;
use crate::{DiskError, Seqno};

/// A memtable, or a run of tables.
#[derive(Debug)]
pub(crate) enum Source {
    Memtable(Box<MemtableCursor>),
    Run(Box<RunCursor>),
}

impl Source {
    pub(crate) fn memtable(memtable: &Arc<Memtable>) -> Self {
        Self::Memtable(Box::new(memtable.cursor()))
    }

    /// For readers: through the cache.
    pub(crate) fn cached(run: &Arc<Run>, wanted: &ZoneFilter) -> Self {
        let run = Arc::clone(run);
        Self::Run(Box::new(RunCursor::new(run, false, wanted.clone())))
    }

    /// For compaction: past the cache, many blocks at once.
    pub(crate) fn ahead(run: &Arc<Run>) -> Self {
        let run = Arc::clone(run);
        Self::Run(Box::new(RunCursor::new(run, true, ZoneFilter::default())))
    }

    /// Everything that a tree has, newest first.
    pub(crate) fn all(tree: &Tree, wanted: &ZoneFilter) -> Vec<Self> {
        let memtables = tree.memtables().filter(|memtable| !memtable.is_empty());
        let memtables = memtables.map(Self::memtable);
        memtables
            .chain(tree.tables.all().map(|run| Self::cached(run, wanted)))
            .collect()
    }
}

macro_rules! each {
    ($self:expr, $cursor:ident => $do:expr) => {
        match $self {
            Source::Memtable($cursor) => $do,
            Source::Run($cursor) => $do,
        }
    };
}

impl RowCursor for Source {
    fn seek_first(&mut self) -> Result<(), DiskError> {
        each!(self, cursor => cursor.seek_first())
    }

    fn seek_last(&mut self) -> Result<(), DiskError> {
        each!(self, cursor => cursor.seek_last())
    }

    fn seek(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        each!(self, cursor => cursor.seek(key, seqno))
    }

    fn seek_before(&mut self, key: &[u8], seqno: Seqno) -> Result<(), DiskError> {
        each!(self, cursor => cursor.seek_before(key, seqno))
    }

    #[inline]
    fn next(&mut self) -> Result<(), DiskError> {
        each!(self, cursor => cursor.next())
    }

    #[inline]
    fn prev(&mut self) -> Result<(), DiskError> {
        each!(self, cursor => cursor.prev())
    }

    #[inline]
    fn row(&self) -> Option<RowRef<'_>> {
        each!(self, cursor => cursor.row())
    }

    fn purged_through(&self) -> Seqno {
        each!(self, cursor => cursor.purged_through())
    }

    #[inline]
    fn key_ends(&self) -> bool {
        each!(self, cursor => cursor.key_ends())
    }
}
