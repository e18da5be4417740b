//! Looking at a log without opening it: nothing is locked, nothing is changed.
//!
//! Works beside a running database too; then the newest segment may end in a batch that is just
//! being written, which shows as an unfinished end.

use std::path::Path;

use nexusbase_io::Fs;

use crate::error::OpenError;
use crate::record::Record;
use crate::recovery::open_segments;
use crate::scan::scan;

/// A record as it lies in a file.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The segment's file.
    pub path: &'a Path,
    /// Where the record starts in the file, in bytes.
    pub offset: u64,
    /// Its checksum.
    pub checksum: u32,
    /// Its size on disk in bytes.
    pub size: usize,
    /// What it says.
    pub record: Record<'a>,
}

/// What a whole log amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Segment files.
    pub segments: usize,
    /// Records of all kinds.
    pub records: u64,
    /// Entries among them.
    pub entries: u64,
    /// Bytes of records.
    pub bytes: u64,
    /// Where the newest segment stops making sense, and why, if it does not just end.
    pub unfinished: Option<String>,
}

/// Reads and checks every record of the log in `dir`, in order, and shows each to `visit`.
///
/// # Errors
/// When a file cannot be read, is damaged, missing or of another format.
pub fn walk(
    fs: &dyn Fs,
    dir: &Path,
    mut visit: impl FnMut(&Seen<'_>),
) -> Result<Summary, OpenError> {
    let mut summary = Summary::default();
    let segments = open_segments(fs, dir, true)?;
    for (number, segment) in segments.iter().enumerate() {
        let next = segments.get(number + 1).map(|next| next.header.base);
        let end = scan(segment, next, &mut |position, found| {
            summary.records += 1;
            summary.entries += u64::from(matches!(found.record, Record::Entry { .. }));
            summary.bytes += found.size as u64;
            visit(&Seen {
                path: &segment.path,
                offset: segment.offset(position),
                checksum: found.checksum,
                size: found.size,
                record: found.record,
            });
            Ok(())
        })?;
        summary.segments += 1;
        if next.is_none() {
            summary.unfinished = end.torn.map(|bad| {
                let (path, offset) = (segment.path.display(), segment.offset(end.end));
                format!(
                    "{path}, offset {offset}: expected {}, found {}",
                    bad.expected, bad.found
                )
            });
        }
    }
    Ok(summary)
}
