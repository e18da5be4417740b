//! The manifest: the one durable list of all files of all trees, as a log of [`Edit`]s.
//!
//! An edit is durable as a whole when [`Manifest::append`] returns `Ok`, and what it replaces may
//! be removed only then. When the file has grown long, a new one begins with a snapshot of the
//! state, and `CURRENT` is made to name it.
//!
//! What it promises: opening gives the state after all edits that `append` returned `Ok` for, and
//! perhaps the one that was being appended when the power went; nothing between. Every byte is
//! under a checksum. A file that was damaged is an error that says where, and nothing is changed.
//! What it does not: decide, start threads, look into tables, remove tables.
//!
//! # Files
//!
//! `CURRENT` is text of two lines: the name of the manifest, then `crc32c ` and the checksum of
//! the first line (line break included) in eight hexadecimal digits. `MANIFEST-%016x` is:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `NXMANIFS` |
//! | 8 | 4 | format: 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | database id |
//! | 32 | 8 | the manifest's number, as in its name |
//! | 40 | 4 | zero |
//! | 44 | 4 | CRC-32C of the 44 bytes before |
//! | 48 | … | frames without gaps, the first a snapshot of the state |
//!
//! All numbers are little-endian. A frame is:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `NXED` |
//! | 4 | 4 | length of the edit |
//! | 8 | 4 | the checksum of the frame before; for the first, the header's |
//! | 12 | 4 | CRC-32C of: database id, manifest number (u64), offset of this frame (u64), length, the checksum before, the edit |
//! | 16 | length | the edit; its bytes are described in [`edit`] |
//!
//! # Torn or damaged
//!
//! Each frame is synced before the next one is written, so only the last can be torn. Where
//! reading meets no valid frame:
//! * in the header or the first frame: damage, as both were durable before `CURRENT` named the
//!   file;
//! * if a valid frame begins anywhere behind: damage;
//! * if only zeros follow: the end;
//! * otherwise a torn tail: an append that never returned `Ok`. (A last frame that has rotted
//!   looks the same; [`Manifest::claim`] puts an empty edit behind it, for a clean shutdown.)
//!
//! Old bytes behind the end can not be taken for a frame later. Opening and an append that failed
//! overwrite them with zeros, durably, before anything else is written; and even those that a
//! crash brings back lie inside of one frame that began at the very end, so no frame begins in
//! them, or it would have to name the right frame before it.
//!
//! # What a dead process leaves
//!
//! What can be read need not be durable: the process may have died before its sync, or because
//! of its failure. Opening therefore writes the last frame again, syncs the file and syncs the
//! folder before it returns, and so before anybody acts on what it has read.

pub(crate) mod edit;
pub(crate) mod files;
pub(crate) mod frame;
pub(crate) mod state;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io::Fs;

use crate::DiskError;
use edit::Edit;
use files::{CURRENT, NewFileError, checked, create, current, is_ours, read_file, write_new};
use frame::Contents;
use state::State;
use tail::Tail;

/// How a manifest is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManifestOptions {
    /// A new file begins when this one is longer than that, and than four of its snapshots.
    pub(crate) roll_bytes: u64,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self {
            roll_bytes: 1 << 20,
        }
    }
}

/// What opening found beside the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenReport {
    /// There was none, and one was made.
    pub(crate) created: bool,
    /// The number of the manifest's file.
    pub(crate) number: u64,
    /// Edits in it, the snapshot included.
    pub(crate) edits: u64,
    /// Where an append was cut off that never returned `Ok`, and how many bytes it left.
    pub(crate) torn: Option<(u64, u64)>,
    /// Files of older manifests that were removed.
    pub(crate) removed: Vec<String>,
}

/// Why an edit was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// It contradicts the state. Nothing was written; somebody has made a mistake.
    #[error("this change of the trees' files cannot be right: {0}")]
    Refused(String),
    /// Nothing of it is there, and it may be tried again: most likely, the disk is full.
    #[error("the change of the trees' files was not written: {0}")]
    NotWritten(DiskError),
    /// It may be there after a restart or not, so no file that it adds or removes may be removed.
    /// All further appends are refused.
    #[error("whether the change of the trees' files is durable is unknown until reopened: {0}")]
    Unknown(DiskError),
    /// An earlier operation has left unknown what is on disk.
    #[error("the manifest takes no more changes until it is reopened, since: {0}")]
    Poisoned(DiskError),
}

/// The open manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: ManifestOptions,
    tail: Tail,
    state: State,
    /// Length of the file at which the next one begins.
    roll_at: u64,
    /// Whether the last frame is an empty edit.
    is_claimed: bool,
    poison: Option<DiskError>,
}

impl Manifest {
    /// Opens the manifest in `dir`, or makes an empty one if there is nothing of a forest yet.
    ///
    /// # Errors
    /// When it is damaged, belongs to another database, is gone though tables are there, or the
    /// file system fails.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        database: [u8; 16],
        options: ManifestOptions,
    ) -> Result<(Self, OpenReport), DiskError> {
        let names = fs.list(dir)?;
        let created = !names.iter().any(|name| name == CURRENT);
        if created {
            create(fs.as_ref(), dir, database, &names)?;
        }
        let path = current(fs.as_ref(), dir)?;
        let file = fs.open(&path)?;
        let bytes = read_file(file.as_ref(), &path)?;
        let (contents, state) = checked(&path, &bytes, database)?;
        let tail = Tail::reopen(file, path.clone(), &contents, &bytes)?;
        // Only now is CURRENT known to be durable, and the file that it named before of no use.
        fs.sync_dir(dir)?;
        let kept = path.file_name().and_then(|name| name.to_str());
        let mut removed = Vec::new();
        for name in names {
            // What cannot be removed now does no harm until it can.
            if is_ours(&name) && Some(name.as_str()) != kept && fs.remove(&dir.join(&name)).is_ok()
            {
                removed.push(name);
            }
        }
        let end = contents.end;
        let snapshot = contents.edits.get(1).map_or(end, |(offset, _)| *offset);
        let report = OpenReport {
            created,
            number: contents.header.number,
            edits: contents.edits.len() as u64,
            torn: contents.torn.then_some((end, bytes.len() as u64 - end)),
            removed,
        };
        let manifest = Self {
            fs,
            dir: dir.to_path_buf(),
            options,
            tail,
            state,
            roll_at: options.roll_bytes.max(snapshot.saturating_mul(4)),
            is_claimed: is_claim(&contents),
            poison: None,
        };
        Ok((manifest, report))
    }

    /// The state after all edits.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Adds an edit to the state, durably. A new file may begin behind it; when that fails, the
    /// edit is durable all the same and the failure is left to the next append, if it matters.
    ///
    /// # Errors
    /// The variants of [`AppendError`] say what the caller may still believe.
    pub(crate) fn append(&mut self, edit: &Edit) -> Result<(), AppendError> {
        if let Some(error) = &self.poison {
            return Err(AppendError::Poisoned(error.clone()));
        }
        let mut next = self.state.clone();
        next.apply_or_spoil(edit).map_err(AppendError::Refused)?;
        let appended = self.tail.append(edit);
        if let Err(AppendError::Unknown(error)) = &appended {
            self.poison = Some(error.clone());
        }
        appended?;
        self.state = next;
        self.is_claimed = *edit == Edit::default();
        if self.tail.end() > self.roll_at {
            self.roll();
        }
        Ok(())
    }

    /// Puts an empty edit behind the last one, so that damage to that one will be noticed. For
    /// a clean shutdown; costs a sync, unless it was done.
    ///
    /// # Errors
    /// As [`Manifest::append`].
    pub(crate) fn claim(&mut self) -> Result<(), AppendError> {
        if self.is_claimed {
            return Ok(());
        }
        self.append(&Edit::default())
    }

    /// Begins a new file. As long as CURRENT was not touched, a failure only puts it off.
    fn roll(&mut self) {
        match self.try_roll() {
            Ok(()) => {}
            Err(failure) if failure.is_harmless => {
                let more = self.options.roll_bytes.max(1);
                self.roll_at = self.tail.end().saturating_add(more);
            }
            Err(failure) => self.poison = Some(failure.error),
        }
    }

    fn try_roll(&mut self) -> Result<(), NewFileError> {
        let mut header = self.tail.header();
        header.number += 1;
        let fs = self.fs.as_ref();
        let tail = write_new(fs, &self.dir, header, &self.state)?;
        let old = std::mem::replace(&mut self.tail, tail);
        self.roll_at = self
            .options
            .roll_bytes
            .max(self.tail.end().saturating_mul(4));
        self.is_claimed = true;
        // If it stays, opening removes it.
        let _ = fs.remove(old.path());
        Ok(())
    }
}

/// Whether the last frame is one that nobody would miss, or one whose damage would be noticed.
fn is_claim(contents: &Contents) -> bool {
    let last = contents.edits.last();
    contents.edits.len() == 1 || last.is_some_and(|(_, edit)| *edit == Edit::default())
}

#[cfg(test)]
mod tests;
