//! Files that a user names on the command line: read or written as streams.
//!
//! These are not part of a database: no durability is promised and nothing here is simulated.
//! They live in this crate because it is the only one that may touch the outside world.
#![expect(
    clippy::disallowed_methods,
    reason = "user files are the outside world"
)]

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::{Error, Result};

/// A stream to read, and its length in bytes where one is known beforehand.
pub struct Input {
    /// The stream.
    pub reader: Box<dyn BufRead + Send>,
    /// Its length in bytes, if it is a regular file.
    pub length: Option<u64>,
}

/// Opens the file at `path` for reading; `-` is standard input.
///
/// # Errors
/// When the file cannot be opened, or is a directory.
pub fn open_input(path: &Path) -> Result<Input> {
    if path == Path::new("-") {
        return Ok(Input {
            reader: Box::new(BufReader::new(io::stdin())),
            length: None,
        });
    }
    let failed = |e| Error::new("open", path, e);
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok(Input {
        reader: Box::new(BufReader::with_capacity(1 << 16, file)),
        length,
    })
}

/// Reads the whole file at `path` as text.
///
/// # Errors
/// When the file cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Error::new("read", path, e))
}

/// Writes `bytes` to the file at `path`, whatever it held before.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::new("write", path, e))
}
