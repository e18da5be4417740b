//! Checking blob files: every frame, from front to back.

use std::path::Path;

use nexusbase_io::Fs;

use super::report::Reporter;
use crate::DiskError;
use crate::blob::BlobFile;
use crate::manifest::edit::BlobMeta;
use crate::row::FileId;

/// Reads a whole blob file, of which the manifest says `meta`, if there is one. Returns it if it
/// could be opened: values behind a damaged frame are found by those who refer to them.
pub(super) fn check_file(
    fs: &dyn Fs,
    path: &Path,
    id: FileId,
    meta: Option<BlobMeta>,
    reporter: &mut Reporter<'_>,
) -> Option<BlobFile> {
    let file = match open(fs, path, id, meta) {
        Ok(file) => file,
        Err(error) => {
            reporter.unreadable(path, &error);
            return None;
        }
    };
    reporter.summary.files += 1;
    reporter.summary.blob_files += 1;
    match file.walk(|_| Ok(())) {
        Ok(found) => {
            reporter.summary.bytes += found.bytes;
            reporter.summary.blob_values += found.values;
            if let Some(meta) = meta.filter(|meta| meta.values != found.values) {
                let expected = format!("{} values", meta.values);
                reporter.damage(path, 0, expected, format!("{}", found.values));
            }
        }
        Err(error) => reporter.unreadable(path, &error),
    }
    Some(file)
}

fn open(
    fs: &dyn Fs,
    path: &Path,
    id: FileId,
    meta: Option<BlobMeta>,
) -> Result<BlobFile, DiskError> {
    let bytes = match meta {
        Some(meta) => meta.bytes,
        None => fs.open_read_only(path)?.len()?,
    };
    BlobFile::open(fs, path, id, bytes)
}
