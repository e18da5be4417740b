//! What the tests of the log share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io::sim::SimDisk;
use nexusbase_log::{
    AppendError, Group, Index, Log, LogId, LogOptions, OpenError, Opened, Record, Sync, Term,
};

pub(crate) const DIR: &str = "/log";
pub(crate) const SEGMENT: u64 = 64 << 10;
pub(crate) const G: Group = Group::ZERO;
/// Where records start in a segment.
pub(crate) const RECORDS_AT: u64 = 4096;
/// Size of a batch record, and of an entry's header.
pub(crate) const BATCH: u64 = 48;
pub(crate) const HEADER: u64 = 32;

pub(crate) fn options() -> LogOptions {
    let mut options = LogOptions::new([7; 16]);
    options.segment_bytes = SEGMENT;
    options
}

pub(crate) fn try_open(disk: &SimDisk) -> Result<Opened, OpenError> {
    Log::open(Arc::new(disk.for_this_life()), Path::new(DIR), options())
}

pub(crate) fn open(disk: &SimDisk) -> Opened {
    try_open(disk).unwrap()
}

pub(crate) fn segment(generation: u64) -> PathBuf {
    Path::new(DIR).join(format!("{generation:016x}.log"))
}

pub(crate) const fn id(index: u64, term: u64) -> LogId {
    LogId {
        index: Index::new(index),
        term: Term::new(term),
    }
}

pub(crate) const fn entry(group: Group, index: u64, term: u64, payload: &[u8]) -> Record<'_> {
    let id = id(index, term);
    Record::Entry { group, id, payload }
}

/// Appends an entry of group 0, durably, as a batch of its own.
pub(crate) fn append(opened: &mut Opened, index: u64, payload: &[u8]) -> Result<(), AppendError> {
    let record = entry(G, index, 1, payload);
    opened.writer.append(&[record], Sync::Durable).map(|_| ())
}

/// The entries of `group` that are not purged: index, term, payload.
pub(crate) fn read(log: &Log, group: Group) -> Vec<(u64, u64, Vec<u8>)> {
    let from = log.group(group).purged.index.next();
    let mut entries = log.entries(group, from, Index::new(u64::MAX)).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = entries.next_entry().unwrap() {
        let (index, term) = (entry.id.index.get(), entry.id.term.get());
        all.push((index, term, entry.payload.to_vec()));
    }
    all
}

pub(crate) fn indices(log: &Log, group: Group) -> Vec<u64> {
    read(log, group).into_iter().map(|entry| entry.0).collect()
}

/// All files and their bytes.
pub(crate) fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.paths()
        .into_iter()
        .map(|path| (path.clone(), disk.file_bytes(&path).unwrap()))
        .collect()
}

pub(crate) fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "log");
    disk.paths().into_iter().filter(is_segment).collect()
}
