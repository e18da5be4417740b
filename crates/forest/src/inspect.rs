//! Looking at a forest without opening it: every byte is read and held against what must be true.
//!
//! Nothing is locked and nothing is changed (but for [`ManifestPlan::write`]), so nobody may have
//! the forest open meanwhile: its files come and go.
//!
//! What it promises: a check goes on behind the first finding, and each finding names file and
//! offset, what had to be there and what is there. What it does not: repair tables; a manifest is
//! made again only from what is known to be a state that the forest once had.

mod blobs;
mod dump;
mod rebuild;
mod report;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io::Fs;

use crate::blob::BlobFile;
use crate::kind::TreeKind;
use crate::manifest::files;
use crate::manifest::state::{State, TreeFiles, share_keys};
use crate::row::FileId;
use crate::{DiskError, Seqno, TreeId};

pub use dump::{Levels, ManifestReport, TreeLevels, levels, manifest};
pub use rebuild::{ManifestPlan, plan_manifest};
pub use report::{Finding, Severity, Summary};
pub use rows::{Row, TableReport, table};

use report::Reporter;
use table::{Blobs, Checked, check_table};

/// The ending of a table's name.
const TABLE: &str = "tbl";
/// The ending of a blob file's name.
const BLOB: &str = "blob";

/// Reads and checks everything in the forest's folder `dir`, which belongs to `database`, and
/// shows what is not as it must be. Kinds that are not among `kinds` are checked as far as that is
/// possible without them.
pub fn check(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    kinds: &[TreeKind],
    on_finding: &mut dyn FnMut(Finding),
) -> Summary {
    let mut reporter = Reporter::new(on_finding);
    let names = match fs.list(dir) {
        Ok(names) => names,
        Err(error) => {
            reporter.unreadable(dir, &DiskError::from(error));
            return reporter.summary;
        }
    };
    let state = check_manifest(fs, dir, database, &mut reporter);
    let mut check = Check {
        fs,
        dir,
        kinds,
        reporter,
        blobs: BTreeMap::new(),
    };
    match state {
        Some(state) => {
            check.blob_files(&state);
            check.trees(&state);
            check.unreferenced(&state, &names);
        }
        None => check.whatever_is_there(&names),
    }
    check.reporter.summary
}

/// The state that the manifest says, if nothing is wrong with it.
fn check_manifest(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    reporter: &mut Reporter<'_>,
) -> Option<State> {
    let dump = match files::read(fs, dir) {
        Ok(dump) => dump,
        Err(error) => {
            reporter.unreadable(&dir.join(files::CURRENT), &error);
            return None;
        }
    };
    let summary = &mut reporter.summary;
    summary.files += 2;
    summary.bytes += dump.bytes;
    let contents = dump.contents.as_ref();
    summary.manifest_edits = contents.map_or(0, |contents| contents.edits.len() as u64);
    if let Some(contents) = contents {
        let found = contents.header.database;
        if found != database {
            let hex = |id| format!("database {:032x}", u128::from_be_bytes(id));
            reporter.damage(&dump.path, 16, hex(database), hex(found));
            return None;
        }
        if contents.torn {
            let expected = "zeros behind the last edit";
            let found = "the rest of a write that was never finished; the next opening clears it";
            reporter.warning(&dump.path, contents.end, expected, found);
        }
    }
    if let Some(problem) = &dump.problem {
        reporter.unreadable(&dump.path, problem);
    }
    reporter.summary.flushed_through = dump.state.as_ref().map(|state| state.flushed_through);
    dump.state
}

struct Check<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    kinds: &'a [TreeKind],
    reporter: Reporter<'a>,
    /// Those that could be opened.
    blobs: BTreeMap<FileId, BlobFile>,
}

impl Check<'_> {
    fn blob_files(&mut self, state: &State) {
        for (id, known) in &state.blobs {
            let path = self.dir.join(crate::blob::file_name(*id));
            if known.tables == 0 {
                self.reporter
                    .note(&path, "a table that uses it", "none: it is garbage");
            }
            if known.used_bytes > known.meta.bytes {
                let expected = format!("tables that use at most {} bytes of it", known.meta.bytes);
                let found = format!("{} bytes", known.used_bytes);
                self.reporter.damage(&path, 0, expected, found);
            }
            let meta = Some(known.meta);
            let file = blobs::check_file(self.fs, &path, *id, meta, &mut self.reporter);
            self.blobs.extend(file.map(|file| (*id, file)));
        }
    }

    fn trees(&mut self, state: &State) {
        for (id, files) in &state.trees {
            self.reporter.summary.trees += 1;
            self.levels(files);
            for (_, meta) in files.tables() {
                let path = self.table_path(meta.id);
                let place = Checked {
                    fs: self.fs,
                    path: &path,
                    id: meta.id,
                    kinds: self.kinds,
                    stated: Some((*id, &files.kind, meta)),
                    blobs: Blobs::Known(&self.blobs),
                };
                check_table(&place, &mut self.reporter, &mut |_| {});
            }
            self.range_deletes(*id, files, state.flushed_through);
        }
    }

    fn levels(&mut self, files: &TreeFiles) {
        for (level, tables) in (0_u8..).zip(&files.levels) {
            for (at, pair) in tables.windows(2).enumerate() {
                let ordered = match level {
                    0 => pair[0].aggregate.max_seqno >= pair[1].aggregate.max_seqno,
                    _ => pair[0].last < pair[1].first,
                };
                if !ordered {
                    let path = self.table_path(pair[1].id);
                    let expected = format!("a table behind {:016x} in its level", pair[0].id.0);
                    let found = format!("level {level} is not in order");
                    self.reporter.damage(&path, 0, expected, found);
                }
                let mixed = tables[at + 1..].iter().find(|older| {
                    level == 0
                        && share_keys(&pair[0], older)
                        && pair[0].aggregate.min_seqno <= older.aggregate.max_seqno
                });
                if let Some(older) = mixed {
                    let path = self.table_path(pair[0].id);
                    let expected = format!("rows newer than those of {:016x}", older.id.0);
                    let found = "older ones under keys that both may have";
                    self.reporter.damage(&path, 0, expected, found);
                }
            }
        }
    }

    fn range_deletes(&mut self, tree: TreeId, files: &TreeFiles, flushed: Seqno) {
        for delete in &files.range_deletes {
            let ends_early = delete.end.as_ref().is_some_and(|end| *end <= delete.start);
            if ends_early || delete.seqno > flushed {
                let expected = format!("range deletes of tree {tree} up to entry {flushed}");
                let found = format!("one by entry {} that makes no sense", delete.seqno);
                let path = self.dir.join(files::CURRENT);
                self.reporter.damage(&path, 0, expected, found);
            }
        }
    }

    fn unreferenced(&mut self, state: &State, names: &[String]) {
        for name in names {
            let known = match parse_name(name) {
                Some((id, TABLE)) => state.has_table(id),
                Some((id, _)) => state.blobs.contains_key(&id),
                None => true,
            };
            if !known {
                let expected = "a file that the manifest names";
                let found = "one that it does not; the next opening removes it";
                self.reporter.note(&self.dir.join(name), expected, found);
            }
        }
    }

    /// Without a manifest: each file by what it says of itself.
    fn whatever_is_there(&mut self, names: &[String]) {
        let files: BTreeSet<_> = names.iter().filter_map(|name| parse_name(name)).collect();
        for (id, _) in files.iter().filter(|(_, ending)| *ending == BLOB) {
            let path = self.dir.join(crate::blob::file_name(*id));
            let file = blobs::check_file(self.fs, &path, *id, None, &mut self.reporter);
            self.blobs.extend(file.map(|file| (*id, file)));
        }
        for (id, _) in files.iter().filter(|(_, ending)| *ending == TABLE) {
            let path = self.table_path(*id);
            let place = Checked {
                fs: self.fs,
                path: &path,
                id: *id,
                kinds: self.kinds,
                stated: None,
                blobs: Blobs::Known(&self.blobs),
            };
            check_table(&place, &mut self.reporter, &mut |_| {});
        }
    }

    fn table_path(&self, id: FileId) -> PathBuf {
        table_path(self.dir, id)
    }
}

fn table_path(dir: &Path, id: FileId) -> PathBuf {
    dir.join(format!("{:016x}.{TABLE}", id.0))
}

/// The number and the ending in the name of a table or blob file.
fn parse_name(name: &str) -> Option<(FileId, &'static str)> {
    let (stem, ending) = name.split_once('.')?;
    let ending = [TABLE, BLOB].into_iter().find(|known| *known == ending)?;
    let number = u64::from_str_radix(stem, 16).ok();
    let id = FileId(number.filter(|_| stem.len() == 16)?);
    Some((id, ending))
}

/// The names of files in the forest's folder that belong to it.
///
/// # Errors
/// When the folder cannot be read.
pub fn files_of(fs: &dyn Fs, dir: &Path) -> nexusbase_io::Result<Vec<String>> {
    let is_ours = |name: &String| {
        parse_name(name).is_some() || name == files::CURRENT || files::is_ours(name)
    };
    Ok(fs.list(dir)?.into_iter().filter(is_ours).collect())
}

/// Whether a file of the forest is never written to once it has its name.
#[must_use]
pub fn never_changes(name: &str) -> bool {
    parse_name(name).is_some()
}

/// The kind of that name, if it is known.
fn kind_of(kinds: &[TreeKind], name: &str) -> Option<TreeKind> {
    let known = kinds.iter().find(|kind| kind.name == name).copied();
    known.or((name == TreeKind::ROWS.name).then_some(TreeKind::ROWS))
}

/// The metas of a level, shared.
type Tables = [Arc<crate::table::meta::TableMeta>];
