//! Opening a forest: what the manifest says is opened, what it does not say is removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use nexusbase_io::Fs;
use parking_lot::Mutex;

use crate::DiskError;
use crate::background::{Background, Opened, tables_of};
use crate::blob::BlobFile;
use crate::cache::Cache;
use crate::error::OpenError;
use crate::forest::{Forest, Sealing};
use crate::horizon::Horizon;
use crate::manifest::files::CURRENT;
use crate::manifest::files::peek;
use crate::manifest::state::{State, TreeFiles};
use crate::manifest::{Manifest, ManifestOptions};
use crate::options::ForestOptions;
use crate::range_delete::RangeDeletes;
use crate::row::FileId;
use crate::table::reader::Table;
use crate::tree::{Roster, Tables, Tree};

impl Forest {
    /// Opens the forest in `dir`, creating it if there is none. Everything up to
    /// [`Forest::flushed_through`] is there then, and applied; what came later has to be applied
    /// again.
    ///
    /// # Errors
    /// When a file cannot be used, is damaged or missing, or a tree is of a kind that `options`
    /// does not know. Nothing has been changed then.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, options: ForestOptions) -> Result<Self, OpenError> {
        fs.create_dir(dir).map_err(DiskError::from)?;
        let cache = Arc::new(Cache::new(options.memory_bytes));
        cache.pin(options.seal_bytes());
        let seen = peek(&*fs, dir, options.database)?;
        let seen = seen.unwrap_or_default();
        let roster = open_trees(&*fs, dir, &options, &cache, &seen)?;
        let (manifest, _) = Manifest::open(
            Arc::clone(&fs),
            dir,
            options.database,
            ManifestOptions {
                roll_bytes: options.manifest_bytes,
            },
        )?;
        let state = manifest.state().clone();
        let through = state.flushed_through;
        Ok(Self {
            horizon: Horizon::new(through),
            trees: ArcSwap::from_pointee(roster),
            sealing: Mutex::new(Sealing {
                through,
                ..Sealing::default()
            }),
            applier: Mutex::default(),
            manifest: Mutex::new(manifest),
            background: Mutex::new(Background {
                next_file: next_file(&*fs, dir, &state).map_err(OpenError::from)?,
                state,
                ..Background::default()
            }),
            counters: Default::default(),
            pressure: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            log_time_ms: AtomicU64::new(0),
            dir: dir.to_path_buf(),
            options,
            cache,
            fs,
        })
    }

    /// Removes the files that a process which ended too early has left behind. To be called when it
    /// is sure that this forest and its log belong together, and before the first step: later
    /// files may get the same names.
    ///
    /// # Errors
    /// When the folder cannot be read or a file not removed.
    pub fn remove_unreferenced(&self) -> Result<(), DiskError> {
        // A copy, because the lock must not be held over I/O.
        let state = self.background.lock().state.clone();
        remove_unreferenced(&*self.fs, &self.dir, &state)
    }

    /// Whether there is a forest in `dir`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn exists(fs: &dyn Fs, dir: &Path) -> nexusbase_io::Result<bool> {
        Ok(fs.exists(dir)? && fs.exists(&dir.join(CURRENT))?)
    }
}

fn open_trees(
    fs: &dyn Fs,
    dir: &Path,
    options: &ForestOptions,
    cache: &Arc<Cache>,
    state: &State,
) -> Result<Roster, OpenError> {
    let mut roster = Roster::default();
    for (id, files) in &state.trees {
        let kind = options
            .kind(&files.kind)
            .ok_or_else(|| OpenError::UnknownKind {
                tree: *id,
                kind: files.kind.clone(),
            })?;
        let mut opened = Opened::default();
        let mut blobs = BTreeSet::new();
        for (_, meta) in files.tables() {
            let path = table_path(dir, meta.id);
            let table = Table::open(fs, &path, Arc::clone(meta), kind, Arc::clone(cache))?;
            opened.tables.push(Arc::new(table));
            blobs.extend(meta.blobs.iter().map(|blob| blob.file));
        }
        for blob in blobs {
            let Some(known) = state.blobs.get(&blob) else {
                continue;
            };
            let path = dir.join(crate::blob::file_name(blob));
            let file = BlobFile::open(fs, &path, blob, known.meta.bytes)?;
            opened.blobs.push((blob, Arc::new(file)));
        }
        roster.set(*id, open_tree(kind, files, state, &opened));
    }
    Ok(roster)
}

fn open_tree(kind: crate::TreeKind, files: &TreeFiles, state: &State, opened: &Opened) -> Tree {
    let none = Tables::default();
    Tree {
        dropped: files.dropped,
        tables: Arc::new(tables_of(files, state, &none, opened, &mut Vec::new())),
        range_deletes: Arc::new(RangeDeletes::new(&files.range_deletes)),
        ..Tree::new(kind)
    }
}

fn table_path(dir: &Path, id: FileId) -> PathBuf {
    dir.join(format!("{:016x}.tbl", id.0))
}

/// The number in the name of a table or blob file, and what the name ends in.
fn file_of(name: &str) -> Option<(FileId, &str)> {
    let (stem, ending) = name.split_once('.')?;
    let number = u64::from_str_radix(stem, 16).ok()?;
    (stem.len() == 16 && matches!(ending, "tbl" | "blob")).then_some((FileId(number), ending))
}

/// Above every number that is in use, even by a file that is of no use.
fn next_file(fs: &dyn Fs, dir: &Path, state: &State) -> Result<u64, DiskError> {
    let names = fs.list(dir)?;
    let found = names.iter().filter_map(|name| file_of(name));
    let behind = found.map(|(id, _)| id.0.saturating_add(1));
    Ok(behind.fold(state.next_file.max(1), u64::max))
}

/// Removes what a process that ended too early has left behind.
fn remove_unreferenced(fs: &dyn Fs, dir: &Path, state: &State) -> Result<(), DiskError> {
    for name in fs.list(dir)? {
        // By its kind too: one number may have been used for both in two lives.
        let is_of_use = match file_of(&name) {
            Some((id, "tbl")) => state.has_table(id),
            Some((id, _)) => state.blobs.contains_key(&id),
            None => true,
        };
        if !is_of_use {
            fs.remove(&dir.join(&name))?;
        }
    }
    Ok(())
}
