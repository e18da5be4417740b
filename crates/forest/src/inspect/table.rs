//! Checking a table: footer, meta block, index, and every row against all that is said of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_io::{File, Fs};

use super::report::Reporter;
use super::rows::TableReport;
use super::{Tables, kind_of};
use crate::aggregate::Aggregate;
use crate::blob::BlobFile;
use crate::kind::TreeKind;
use crate::row::{BlobRef, Cell, FileId, RowRef, compare_rows};
use crate::table::filter::{Filter, hash_key};
use crate::table::footer::{FOOTER_BYTES, Footer, decode_meta};
use crate::table::frame::{Handle, unseal};
use crate::table::index::{self, Index};
use crate::table::meta::{BlobUse, TableMeta};
use crate::table::reader::Window;
use crate::table::row_block::RowBlock;
use crate::{DiskError, Seqno, TreeId};

/// The blob files that a table may refer to.
#[derive(Clone, Copy)]
pub(super) enum Blobs<'a> {
    /// These; others are not there.
    Known(&'a BTreeMap<FileId, BlobFile>),
    /// They are not looked at.
    Ignored,
}

/// A table that is to be checked.
pub(super) struct Checked<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) path: &'a Path,
    pub(super) id: FileId,
    pub(super) kinds: &'a [TreeKind],
    /// Tree, kind and meta by the manifest, if there is one.
    pub(super) stated: Option<(TreeId, &'a str, &'a TableMeta)>,
    pub(super) blobs: Blobs<'a>,
}

/// What a table says of itself.
pub(super) struct Identity {
    pub(super) file: Arc<dyn File>,
    pub(super) footer: Footer,
    pub(super) tree: TreeId,
    pub(super) kind: String,
    pub(super) meta: TableMeta,
}

/// Reads footer and meta block of a table.
pub(super) fn identify(fs: &dyn Fs, path: &Path, id: FileId) -> Result<Identity, DiskError> {
    let file = fs.open_read_only(path)?;
    let bytes = file.len()?;
    let corrupt = |offset, expected: String, found: String| {
        Err(DiskError::corrupt(path, offset, expected, found))
    };
    let Some(offset) = bytes.checked_sub(FOOTER_BYTES as u64) else {
        return corrupt(0, "a table".to_owned(), format!("{bytes} bytes"));
    };
    let mut footer = [0; FOOTER_BYTES];
    file.read_at(&mut footer, offset)?;
    let footer = match Footer::decode(&footer, id, bytes) {
        Ok(footer) => footer,
        Err((expected, found)) => return corrupt(offset, expected, found),
    };
    let mut frame = vec![0; footer.meta.length as usize];
    let read = file.read_at(&mut frame, footer.meta.offset)?;
    let mut scratch = Vec::new();
    let at = footer.meta.offset;
    let raw = match unseal(&frame[..read], id, at, &mut scratch) {
        Ok(raw) => raw,
        Err(fault) => return corrupt(at, fault.expected, fault.found),
    };
    let (tree, kind, mut meta) = match decode_meta(raw) {
        Ok(meta) => meta,
        Err(found) => return corrupt(at, "the meta block of a table".to_owned(), found),
    };
    // It did not know how long it would become.
    meta.bytes = bytes;
    Ok(Identity {
        file,
        footer,
        tree,
        kind,
        meta,
    })
}

/// Reads and checks a whole table, and shows its rows.
pub(super) fn check_table(
    what: &Checked<'_>,
    reporter: &mut Reporter<'_>,
    on_row: &mut dyn FnMut(&RowRef<'_>),
) -> Option<TableReport> {
    let path = what.path;
    let identity = match identify(what.fs, path, what.id) {
        Ok(identity) => identity,
        Err(error) => {
            reporter.unreadable(path, &error);
            return None;
        }
    };
    reporter.summary.files += 1;
    reporter.summary.tables += 1;
    reporter.summary.bytes += identity.meta.bytes;
    if identity.footer.tree != identity.tree || identity.meta.id != what.id {
        let expected = format!("the meta of table {:016x}", what.id.0);
        let found = format!("that of {:016x}", identity.meta.id.0);
        reporter.damage(path, identity.footer.meta.offset, expected, found);
    }
    if let Some((tree, kind, meta)) = what.stated
        && (tree, kind, meta) != (identity.tree, identity.kind.as_str(), &identity.meta)
    {
        let expected = format!("what the manifest says: {}", describe(tree, kind, meta));
        let found = describe(identity.tree, &identity.kind, &identity.meta);
        reporter.damage(path, identity.footer.meta.offset, expected, found);
    }
    let known = kind_of(what.kinds, &identity.kind);
    if known.is_none() {
        let found = "one that it does not: fingerprints and zones are not checked";
        reporter.note(path, "a kind that this program knows", found);
    }
    let mut walk = Walk {
        what,
        identity: &identity,
        kind: known.unwrap_or_else(|| shape_of(&identity.meta)),
        is_known: known.is_some(),
        reporter,
        on_row,
        window: Window::default(),
        at: 0,
        last: None,
        first: None,
        separator: None,
        is_whole: true,
        blobs: BTreeMap::new(),
        report: TableReport::new(&identity),
    };
    walk.run();
    Some(walk.report)
}

fn describe(tree: TreeId, kind: &str, meta: &TableMeta) -> String {
    format!(
        "table {:016x} of tree {tree}, kind {kind:?}, {} bytes, keys {:?} to {:?}, {}, purged \
         through {}",
        meta.id.0,
        meta.bytes,
        short(&meta.first),
        short(&meta.last),
        sums(&meta.aggregate),
        meta.purged_through
    )
}

/// A key as it is shown: escaped, and not too long.
pub(super) fn short(key: &[u8]) -> String {
    const SHOWN: usize = 40;
    let shown = key[..key.len().min(SHOWN)].escape_ascii();
    let more = if key.len() > SHOWN { "…" } else { "" };
    format!("{shown}{more}")
}

fn sums(aggregate: &Aggregate) -> String {
    let plain = if aggregate.plain { ", plain" } else { "" };
    format!(
        "{} rows of weight {}, entries {} to {}{plain}, fingerprint {:x?}, zones {:?}",
        aggregate.rows,
        aggregate.weight,
        aggregate.min_seqno,
        aggregate.max_seqno,
        aggregate.fingerprint.0,
        aggregate.zones.map(|(least, greatest)| least..=greatest),
    )
}

/// A kind with as many zones and fingerprints as the tables of a kind that is not known have.
fn shape_of(meta: &TableMeta) -> TreeKind {
    const ZONES: [crate::kind::Zone; crate::kind::ZONES_MAX] = [|_| 0; crate::kind::ZONES_MAX];
    const ALL: &[crate::kind::Zone] = &ZONES;
    let aggregate = &meta.aggregate;
    let none = Aggregate::default();
    let zones = (0..ALL.len()).filter(|at| aggregate.zones[*at] != none.zones[*at]);
    let has_fingerprint = aggregate.fingerprint != none.fingerprint;
    TreeKind {
        zones: &ALL[..zones.count()],
        fingerprint: has_fingerprint.then_some(|_| [0; 32]),
        ..TreeKind::ROWS
    }
}

struct Walk<'a, 'r> {
    what: &'a Checked<'a>,
    identity: &'a Identity,
    kind: TreeKind,
    /// Whether `kind` is more than its shape.
    is_known: bool,
    reporter: &'a mut Reporter<'r>,
    on_row: &'a mut dyn FnMut(&RowRef<'_>),
    window: Window,
    /// Where the next block has to begin.
    at: u64,
    last: Option<(Vec<u8>, Seqno)>,
    first: Option<Bytes>,
    /// What parts the block before from this one.
    separator: Option<(Vec<u8>, Seqno)>,
    /// Whether all blocks could be read so far.
    is_whole: bool,
    blobs: BTreeMap<FileId, BlobUse>,
    report: TableReport,
}

impl Walk<'_, '_> {
    fn run(&mut self) {
        let (footer, bytes) = (self.identity.footer, self.identity.meta.bytes);
        let kind = self.kind;
        let top = self.index(footer.top, index::TOP, bytes, &kind);
        let Some(top) = top else {
            return;
        };
        let mut counted = Aggregate::default();
        for at in 0..top.len() {
            if let Some(partition) = self.partition(&top, at) {
                counted.merge(&partition, false);
            }
        }
        self.follows(footer.top, "the top of the index");
        self.follows(footer.meta, "the meta block");
        self.reporter.summary.blocks += 1;
        let end = bytes - FOOTER_BYTES as u64;
        if self.at != end {
            let found = format!("{} bytes that belong to nothing", end.abs_diff(self.at));
            self.damage(self.at, "the footer", found);
        }
        self.report.rows = counted.rows;
        if self.is_whole {
            self.whole(counted);
        }
    }

    /// What the manifest, or else the meta block, says of the whole table.
    fn whole(&mut self, counted: Aggregate) {
        let meta = self.what.stated.map_or(&self.identity.meta, |(.., m)| m);
        let at = self.identity.footer.meta.offset;
        self.same_sums(at, &meta.aggregate, counted);
        let last = self.last.as_ref().map(|(key, _)| key.as_slice());
        let keys = [
            ("first", Some(&*meta.first), self.first.as_deref()),
            ("last", Some(&*meta.last), last),
        ];
        let wrong: Vec<(String, String)> = keys
            .iter()
            .filter(|(_, stated, found)| stated != found)
            .map(|(which, stated, found)| {
                let expected = format!("{which} key {:?}", short(stated.unwrap_or_default()));
                (expected, format!("{:?}", short(found.unwrap_or_default())))
            })
            .collect();
        let uses: Vec<BlobUse> = self.blobs.values().copied().collect();
        let uses_wrong = (uses != meta.blobs)
            .then(|| (format!("blob uses {:?}", meta.blobs), format!("{uses:?}")));
        for (expected, found) in wrong.into_iter().chain(uses_wrong) {
            self.damage(at, expected, found);
        }
    }

    fn partition(&mut self, top: &Index, at: usize) -> Option<Aggregate> {
        let handle = top.handles[at];
        let (kind, bytes) = (self.kind, self.identity.meta.bytes);
        let Some(index) = self.index(handle, index::PARTITION, bytes, &kind) else {
            // Its blocks cannot be found.
            self.at = handle.offset + u64::from(handle.length);
            self.last = None;
            self.separator = None;
            return None;
        };
        self.report.partitions += 1;
        self.report.filter_bytes += index.filter.memory_bytes() as u64;
        let mut counted = Aggregate::default();
        let mut repeats = false;
        for block in 0..index.len() {
            let (aggregate, again) = self.block(&index, block)?;
            counted.merge(&aggregate, false);
            repeats |= again;
        }
        counted.plain &= !repeats;
        self.follows(handle, "a partition of the index");
        let named = (top.separators.key(at), top.separators.seqno(at));
        let own = index.len().checked_sub(1);
        let own = own.map(|last| (index.separators.key(last), index.separators.seqno(last)));
        if own != Some(named) {
            let found = "another than the last in the partition";
            self.damage(
                handle.offset,
                "the separator that the top of the index names",
                found,
            );
        }
        if self.is_whole {
            self.same_sums(handle.offset, &top.aggregate(&kind, at), counted.clone());
        }
        Some(counted)
    }

    /// Checks a block of rows. Returns its sums, and whether a key of it came in the row before;
    /// sums of nothing if it cannot be read.
    fn block(&mut self, index: &Index, at: usize) -> Option<(Aggregate, bool)> {
        let handle = index.handles[at];
        self.follows(handle, "a block of rows");
        let behind = (index.separators.key(at), index.separators.seqno(at));
        let Some(block) = self.rows(handle) else {
            self.is_whole = false;
            self.last = None;
            self.separator = Some((behind.0.to_vec(), behind.1));
            return Some((Aggregate::default(), false));
        };
        self.report.blocks += 1;
        let mut counted = Aggregate::default();
        let mut repeats = false;
        for number in 0..block.len() {
            let row = block.row(number);
            let same = self.last.as_ref().is_some_and(|(key, _)| key == row.key);
            repeats |= same;
            counted.add(&self.kind, &row, same && number > 0);
            self.row(&row, handle, same, (behind, &index.filter));
        }
        if block.is_empty() {
            self.damage(handle.offset, "rows in a block", "none");
        }
        self.separator = Some((behind.0.to_vec(), behind.1));
        self.same_sums(
            handle.offset,
            &index.aggregate(&self.kind, at),
            counted.clone(),
        );
        Some((counted, repeats))
    }

    fn row(
        &mut self,
        row: &RowRef<'_>,
        block: Handle,
        same: bool,
        (behind, filter): ((&[u8], Seqno), &Filter),
    ) {
        let this = (row.key, row.seqno);
        let after = |before: &Option<(Vec<u8>, Seqno)>| match before {
            Some((key, seqno)) => compare_rows((key, *seqno), this).is_lt(),
            None => true,
        };
        let key = || format!("{:?} of entry {}", short(row.key), row.seqno);
        let wrong = if !after(&self.last) {
            Some("rows in order")
        } else if !after(&self.separator) {
            Some("rows behind the separator of the block before")
        } else if compare_rows(this, behind).is_gt() {
            Some("rows up to the separator of the block")
        } else if !filter.may_contain(hash_key(row.key)) {
            Some("a filter that has every key")
        } else {
            None
        };
        if let Some(expected) = wrong {
            self.damage(block.offset, expected, key());
        }
        if self.first.is_none() {
            self.first = Some(Bytes::copy_from_slice(row.key));
        }
        if let Cell::Blob(blob) = row.cell {
            self.blob(row.key, blob, block);
        }
        self.reporter.summary.rows += 1;
        self.report.count(row, same);
        (self.on_row)(row);
        match &mut self.last {
            Some((key, seqno)) => {
                key.clear();
                key.extend_from_slice(row.key);
                *seqno = row.seqno;
            }
            none => *none = Some((row.key.to_vec(), row.seqno)),
        }
    }

    fn blob(&mut self, key: &[u8], blob: BlobRef, block: Handle) {
        let used = self.blobs.entry(blob.file).or_insert(BlobUse {
            file: blob.file,
            values: 0,
            bytes: 0,
        });
        used.values += 1;
        used.bytes += u64::from(blob.length);
        let Blobs::Known(files) = self.what.blobs else {
            return;
        };
        let Some(file) = files.get(&blob.file) else {
            let expected = format!("blob file {:016x}, which rows refer to", blob.file.0);
            self.damage(block.offset, expected, "no such file, or a damaged one");
            return;
        };
        if let Err(error) = file.read(blob, hash_key(key)) {
            self.reporter.unreadable(file.path(), &error);
        }
    }

    /// The bytes of blocks lie one behind the other.
    fn follows(&mut self, handle: Handle, what: &str) {
        if handle.offset != self.at {
            let found = format!("one at {}", handle.offset);
            self.damage(self.at, what, found);
        }
        self.at = handle.offset + u64::from(handle.length);
    }

    fn same_sums(&mut self, at: u64, stated: &Aggregate, mut counted: Aggregate) {
        if !self.is_known {
            counted.fingerprint = stated.fingerprint;
            counted.zones = stated.zones;
        }
        if *stated != counted {
            self.damage(at, sums(stated), sums(&counted));
        }
    }

    fn rows(&mut self, handle: Handle) -> Option<RowBlock> {
        let (file, path) = (&self.identity.file, self.what.path);
        let frame = match self.window.frame(&**file, handle) {
            Ok(frame) => frame,
            Err(error) => {
                self.reporter.unreadable(path, &error);
                return None;
            }
        };
        let mut scratch = Vec::new();
        let parsed = match unseal(frame, self.what.id, handle.offset, &mut scratch) {
            Ok(raw) => {
                self.report.raw_bytes += raw.len() as u64;
                self.report.stored_bytes += u64::from(handle.length);
                RowBlock::parse(raw).map_err(|found| ("a block of rows".to_owned(), found))
            }
            Err(fault) => Err((fault.expected, fault.found)),
        };
        self.reporter.summary.blocks += 1;
        parsed
            .map_err(|(expected, found)| {
                self.reporter.damage(path, handle.offset, expected, found);
            })
            .ok()
    }

    fn index(
        &mut self,
        handle: Handle,
        marker: u8,
        file_bytes: u64,
        kind: &TreeKind,
    ) -> Option<Index> {
        let mut frame = vec![0; handle.length as usize];
        let read = match self.identity.file.read_at(&mut frame, handle.offset) {
            Ok(read) => read,
            Err(error) => {
                self.reporter
                    .unreadable(self.what.path, &DiskError::from(error));
                self.is_whole = false;
                return None;
            }
        };
        let mut scratch = Vec::new();
        let parsed = unseal(&frame[..read], self.what.id, handle.offset, &mut scratch)
            .map_err(|fault| (fault.expected, fault.found))
            .and_then(|raw| {
                Index::parse(raw, marker, kind, file_bytes)
                    .map_err(|found| ("a part of the index".to_owned(), found))
            });
        self.reporter.summary.blocks += 1;
        self.report.index_bytes += u64::from(handle.length);
        parsed
            .map_err(|(expected, found)| {
                self.is_whole = false;
                self.damage(handle.offset, expected, found);
            })
            .ok()
    }

    fn damage(&mut self, at: u64, expected: impl Into<String>, found: impl Into<String>) {
        self.reporter.damage(self.what.path, at, expected, found);
    }
}

/// Bytes and rows of a level.
pub(super) fn level_sums(tables: &Tables) -> (u64, u64) {
    let bytes = tables.iter().map(|table| table.bytes).sum();
    (bytes, tables.iter().map(|table| table.aggregate.rows).sum())
}
