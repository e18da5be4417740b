//! Spare segments: files that are allocated, zero-filled and durable before anybody waits for
//! them.
//!
//! A spare is either made new or a segment whose entries are all purged. Its content does not
//! matter: records are bound to their segment's generation, and each batch is followed by zeros.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io::{self as io, File, Fs};

/// What unfinished files are called; they are removed when a log is opened.
const UNFINISHED: &str = ".tmp";
const SPARE: &str = ".spare";

/// Segments that were purged together are kept up to this number: to zero new ones instead would
/// be to write everything twice.
pub(crate) const SPARES_MAX: usize = 4;

/// A file that can become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
}

/// The path of a spare that was made from, or for, `number`.
fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}{SPARE}"))
}

/// Makes a spare of `bytes` bytes. `number` must not be in use by another spare.
pub(crate) fn allocate(fs: &dyn Fs, dir: &Path, number: u64, bytes: u64) -> io::Result<Spare> {
    let path = path_of(dir, number);
    let unfinished = path.with_extension(&UNFINISHED[1..]);
    if fs.exists(&unfinished)? {
        fs.remove(&unfinished)?;
    }
    let made = fs.create(&unfinished).and_then(|file| {
        file.allocate_zeroed(bytes)?;
        file.sync_data()?;
        fs.rename(&unfinished, &path)?;
        fs.sync_dir(dir)?;
        Ok(file)
    });
    match made {
        Ok(file) => Ok(Spare { path, file, bytes }),
        Err(e) => {
            // Give the space back; if even that fails, the next opening does it.
            let _ = fs.remove(&unfinished).or_else(|_| fs.remove(&path));
            Err(e)
        }
    }
}

/// Makes a spare of a segment that nobody needs, or removes it where a spare is at hand.
///
/// When this returns, no crash can bring the segment back under its old name, so the spare may
/// be overwritten.
pub(crate) fn retire(
    fs: &dyn Fs,
    dir: &Path,
    segment: &Path,
    number: u64,
    keep: bool,
) -> io::Result<Option<Spare>> {
    if !keep {
        fs.remove(segment)?;
        fs.sync_dir(dir)?;
        return Ok(None);
    }
    let path = path_of(dir, number);
    fs.rename(segment, &path)?;
    fs.sync_dir(dir)?;
    // The segment is gone for good. If it cannot be opened under its new name, the next opening
    // of the log tries again; until then a new spare is made.
    let opened = fs.open(&path).and_then(|file| Ok((file.len()?, file)));
    Ok(opened.ok().map(|(bytes, file)| Spare { path, file, bytes }))
}

/// Finds the usable spares that an earlier life of the log has left, and removes all else that is
/// not a segment.
pub(crate) fn find(fs: &dyn Fs, dir: &Path, segment_bytes: u64) -> io::Result<Vec<Spare>> {
    let mut found = Vec::new();
    for name in fs.list(dir)? {
        let path = dir.join(&name);
        if name.ends_with(SPARE) && found.len() < SPARES_MAX {
            let file = fs.open(&path)?;
            let bytes = file.len()?;
            if bytes == segment_bytes {
                found.push(Spare { path, file, bytes });
                continue;
            }
        }
        if name.ends_with(SPARE) || name.ends_with(UNFINISHED) {
            fs.remove(&path)?;
        }
    }
    Ok(found)
}
