//! What is in a table, for people: figures, and its rows.

use std::path::Path;

use nexusbase_io::Fs;

use super::report::{Finding, Reporter};
use super::table::{Blobs, Checked, Identity, check_table, identify};
use super::{TABLE, parse_name};
use crate::kind::TreeKind;
use crate::row::{Cell, RowRef};
use crate::{DiskError, Seqno, TreeId};

/// What a table says of itself, and what was found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// The number of the file.
    pub id: u64,
    /// The tree that it belongs to.
    pub tree: TreeId,
    /// The name of the tree's kind.
    pub kind: String,
    /// The file's length.
    pub bytes: u64,
    /// Rows that were read, versions and tombstones included.
    pub rows: u64,
    /// Keys among them: a key may have several versions.
    pub keys: u64,
    /// Tombstones.
    pub deletes: u64,
    /// Rows that are merged with what lies beneath.
    pub merges: u64,
    /// Rows whose values are in blob files.
    pub blob_rows: u64,
    /// The sum of all weights.
    pub weight: i64,
    /// Blocks of rows.
    pub blocks: u64,
    /// Bytes of these blocks before compression.
    pub raw_bytes: u64,
    /// Bytes of these blocks on disk.
    pub stored_bytes: u64,
    /// Parts of the index.
    pub partitions: u64,
    /// Bytes of the index on disk, filters included.
    pub index_bytes: u64,
    /// Bytes of the filters in memory.
    pub filter_bytes: u64,
    /// The least key.
    pub first: Vec<u8>,
    /// The greatest key.
    pub last: Vec<u8>,
    /// The oldest entry that a row is of; 0 if its age does not matter any more.
    pub min_seqno: Seqno,
    /// The newest entry that a row is of.
    pub max_seqno: Seqno,
    /// Up to which entry versions and range deletes were worked into it.
    pub purged_through: Seqno,
    /// Blob files that it refers to: number, values, bytes.
    pub blobs: Vec<(u64, u64, u64)>,
}

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// The entry that wrote it.
    pub seqno: Seqno,
    /// What it adds to the number of live rows.
    pub weight: i8,
    /// `put`, `delete`, `merge` or `blob`.
    pub what: &'static str,
    /// Its value, if that lies in the table.
    pub value: Option<&'a [u8]>,
    /// Else, if there is one: number of the blob file, offset and length there.
    pub blob: Option<(u64, u64, u32)>,
}

impl TableReport {
    pub(super) fn new(identity: &Identity) -> Self {
        let meta = &identity.meta;
        let uses = meta.blobs.iter();
        Self {
            id: meta.id.0,
            tree: identity.tree,
            kind: identity.kind.clone(),
            bytes: meta.bytes,
            rows: 0,
            keys: 0,
            deletes: 0,
            merges: 0,
            blob_rows: 0,
            weight: meta.aggregate.weight,
            blocks: 0,
            raw_bytes: 0,
            stored_bytes: 0,
            partitions: 0,
            index_bytes: 0,
            filter_bytes: 0,
            first: meta.first.to_vec(),
            last: meta.last.to_vec(),
            min_seqno: meta.aggregate.min_seqno,
            max_seqno: meta.aggregate.max_seqno,
            purged_through: meta.purged_through,
            blobs: uses
                .map(|used| (used.file.0, used.values, used.bytes))
                .collect(),
        }
    }

    pub(super) fn count(&mut self, row: &RowRef<'_>, same_key: bool) {
        self.keys += u64::from(!same_key);
        match row.cell {
            Cell::Put(_) => {}
            Cell::Delete => self.deletes += 1,
            Cell::Merge(_) => self.merges += 1,
            Cell::Blob(_) => self.blob_rows += 1,
        }
    }
}

/// Reads and checks the table at `path`, whatever manifest there is, and shows its rows. Values in
/// blob files are not looked at.
///
/// # Errors
/// When it is no table, or its footer or meta block is damaged. What is wrong further on is shown
/// as findings.
pub fn table(
    fs: &dyn Fs,
    path: &Path,
    kinds: &[TreeKind],
    on_row: &mut dyn FnMut(Row<'_>),
    on_finding: &mut dyn FnMut(Finding),
) -> Result<TableReport, DiskError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some((id, TABLE)) = name.and_then(parse_name) else {
        let expected = "a table, whose name is 16 hexadecimal digits and .tbl";
        let found = name.unwrap_or_default();
        return Err(DiskError::corrupt(path, 0, expected, format!("{found:?}")));
    };
    let identity = identify(fs, path, id)?;
    let what = Checked {
        fs,
        path,
        id,
        kinds,
        stated: None,
        blobs: Blobs::Ignored,
    };
    let mut reporter = Reporter::new(on_finding);
    let report = check_table(&what, &mut reporter, &mut |row| on_row(shown(row)));
    Ok(report.unwrap_or_else(|| TableReport::new(&identity)))
}

const fn shown<'a>(row: &RowRef<'a>) -> Row<'a> {
    let (what, value, blob) = match row.cell {
        Cell::Put(value) => ("put", Some(value), None),
        Cell::Delete => ("delete", None, None),
        Cell::Merge(operand) => ("merge", Some(operand), None),
        Cell::Blob(at) => ("blob", None, Some((at.file.0, at.offset, at.length))),
    };
    Row {
        key: row.key,
        seqno: row.seqno,
        weight: row.weight,
        what,
        value,
        blob,
    }
}
