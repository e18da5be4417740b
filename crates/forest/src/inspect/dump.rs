//! The manifest for people: its edits one by one, and the levels that they come to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nexusbase_io::Fs;

use super::table::{level_sums, short};
use crate::manifest::edit::Edit;
use crate::manifest::files;
use crate::stats::LevelStats;
use crate::{DiskError, Seqno, TreeId};

/// The manifest of a forest.
#[derive(Clone, Debug)]
pub struct ManifestReport {
    /// Its file.
    pub path: PathBuf,
    /// The file's length.
    pub bytes: u64,
    /// The database that it belongs to, if its header can be read.
    pub database: Option<[u8; 16]>,
    /// Each edit: the offset of its frame, and what it says, line by line.
    pub edits: Vec<(u64, Vec<String>)>,
    /// Where the rest of an unfinished write begins, if there is one.
    pub torn: Option<u64>,
    /// What is wrong with it. The edits are those before.
    pub problem: Option<DiskError>,
}

/// Reads the current manifest in `dir`.
///
/// # Errors
/// When it cannot be found or read at all.
pub fn manifest(fs: &dyn Fs, dir: &Path) -> Result<ManifestReport, DiskError> {
    let dump = files::read(fs, dir)?;
    let contents = dump.contents.as_ref();
    let edits = contents.map_or(&[][..], |contents| &contents.edits);
    Ok(ManifestReport {
        database: contents.map(|contents| contents.header.database),
        edits: edits.iter().map(|(at, edit)| (*at, lines(edit))).collect(),
        torn: contents.filter(|c| c.torn).map(|contents| contents.end),
        path: dump.path,
        bytes: dump.bytes,
        problem: dump.problem,
    })
}

/// What an edit says.
fn lines(edit: &Edit) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |line| lines.push(line);
    if let Some(through) = edit.flushed_through {
        add(format!("flushed through entry {through}"));
    }
    if edit.next_file > 0 {
        add(format!("next file {:016x}", edit.next_file));
    }
    if let Some(generation) = edit.log_generation {
        add(format!("log segment {generation:016x}"));
    }
    for (tree, kind) in &edit.trees_created {
        add(format!("tree {tree} created, kind {kind:?}"));
    }
    for (tree, seqno) in &edit.trees_dropped {
        add(format!("tree {tree} dropped by entry {seqno}"));
    }
    for tree in &edit.trees_removed {
        add(format!("tree {tree} removed"));
    }
    for blob in &edit.blobs_added {
        let (id, bytes, values) = (blob.id.0, blob.bytes, blob.values);
        add(format!(
            "blob file {id:016x} added: {values} values, {bytes} bytes"
        ));
    }
    for id in &edit.blobs_removed {
        add(format!("blob file {:016x} removed", id.0));
    }
    for (tree, level, id) in &edit.removed {
        add(format!(
            "table {:016x} removed from level {level} of tree {tree}",
            id.0
        ));
    }
    for (tree, id, from, to) in &edit.moved {
        add(format!(
            "table {:016x} of tree {tree} moved from level {from} to {to}",
            id.0
        ));
    }
    for (tree, level, table) in &edit.added {
        add(format!(
            "table {:016x} added to level {level} of tree {tree}: {} rows, {} bytes, keys {:?} to \
             {:?}",
            table.id.0,
            table.aggregate.rows,
            table.bytes,
            short(&table.first),
            short(&table.last),
        ));
    }
    let deletes = edit.range_deletes_added.iter().map(|one| ("added", one));
    let retired = edit.range_deletes_retired.iter();
    for (what, (tree, delete)) in deletes.chain(retired.map(|one| ("retired", one))) {
        let (start, seqno) = (short(&delete.start), delete.seqno);
        let end = delete
            .end
            .as_ref()
            .map_or_else(|| "the end".to_owned(), |end| format!("{:?}", short(end)));
        add(format!(
            "range delete of tree {tree} {what}: {start:?} to {end}, by entry {seqno}"
        ));
    }
    if lines.is_empty() {
        lines.push("nothing: it only claims the edit before".to_owned());
    }
    lines
}

/// What the manifest says of all trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Everything up to this entry is in tables.
    pub flushed_through: Seqno,
    /// The trees.
    pub trees: BTreeMap<TreeId, TreeLevels>,
    /// Blob files.
    pub blob_files: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Bytes of them that rows refer to.
    pub blob_used_bytes: u64,
}

/// What the manifest says of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeLevels {
    /// The name of its kind.
    pub kind: String,
    /// The entry that dropped it, if one has.
    pub dropped: Option<Seqno>,
    /// Range deletes that some row may still be subject to.
    pub range_deletes: u64,
    /// Its levels.
    pub levels: Vec<LevelStats>,
}

/// Reads from the manifest in `dir` which trees have how much on which level.
///
/// # Errors
/// When the manifest is damaged or cannot be read.
pub fn levels(fs: &dyn Fs, dir: &Path) -> Result<Levels, DiskError> {
    let dump = files::read(fs, dir)?;
    let state = match (dump.state, dump.problem) {
        (Some(state), _) => state,
        (None, Some(problem)) => return Err(problem),
        (None, None) => {
            return Err(DiskError::corrupt(
                &dump.path,
                0,
                "a manifest with contents",
                "none",
            ));
        }
    };
    let trees = state.trees.iter().map(|(id, files)| {
        let levels = files.levels.iter().map(|level| {
            let (bytes, rows) = level_sums(level);
            LevelStats {
                tables: level.len(),
                bytes,
                rows,
            }
        });
        let tree = TreeLevels {
            kind: files.kind.clone(),
            dropped: files.dropped,
            range_deletes: files.range_deletes.len() as u64,
            levels: levels.collect(),
        };
        (*id, tree)
    });
    Ok(Levels {
        flushed_through: state.flushed_through,
        trees: trees.collect(),
        blob_files: state.blobs.len() as u64,
        blob_bytes: state.blobs.values().map(|blob| blob.meta.bytes).sum(),
        blob_used_bytes: state.blobs.values().map(|blob| blob.used_bytes).sum(),
    })
}
