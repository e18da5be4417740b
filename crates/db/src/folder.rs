//! The data folder: whose it is, which format it has, and that only one process has it.
//!
//! `LOCK` is held while the database is open and names the holder. `IDENTITY` says in four lines
//! of text what the folder is; it is written last when a database is created, so its
//! presence says that all the rest must be there.

use std::path::{Path, PathBuf};

use nexusbase_io::{self as io, Env, Fs, Lock, LockError};
use nexusbase_log::{Log, inspect};

use crate::error::OpenError;

/// The file that is locked while the database is open.
pub const LOCK_FILE: &str = "LOCK";
/// The file that makes a folder a data folder; written last when one is created.
pub const IDENTITY_FILE: &str = "IDENTITY";
const IDENTITY_UNFINISHED: &str = "IDENTITY.tmp";
/// The folder of the log inside the data folder.
pub const LOG_DIR: &str = "log";
/// The name of the folder that holds the trees.
pub const FOREST_DIR: &str = "forest";
const FORMAT: u32 = 1;
const TITLE: &str = "NexusBase data folder";

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) database: [u8; 16],
    pub(crate) lock: Lock,
    /// The folder has no identity yet: it is being created.
    is_new: bool,
}

impl Folder {
    /// Takes the folder, creating it if need be.
    pub(crate) fn open(env: &Env, path: &Path) -> Result<Self, OpenError> {
        let fs = &*env.fs;
        if !fs.exists(&path.join(IDENTITY_FILE))? {
            refuse_foreign(fs, path)?;
        }
        fs.create_dir(path)?;
        let lock = fs.lock(&path.join(LOCK_FILE)).map_err(|e| match e {
            LockError::Io(e) => OpenError::Io(e),
            held @ LockError::Held { .. } => OpenError::Locked {
                folder: path.to_path_buf(),
                source: held,
            },
        })?;
        let identity = path.join(IDENTITY_FILE);
        let folder = |database, is_new| Self {
            path: path.to_path_buf(),
            database,
            lock,
            is_new,
        };
        if fs.exists(&identity)? {
            let database = read_identity(fs, &identity)?;
            if !Log::exists(fs, &path.join(LOG_DIR))? {
                return Err(OpenError::LogMissing {
                    path: path.join(LOG_DIR),
                });
            }
            // The life that created the folder may have ended before this.
            fs.sync_dir(path)?;
            return Ok(folder(database, false));
        }
        clear_unfinished(fs, path)?;
        let mut database = [0; 16];
        env.random.fill(&mut database)?;
        Ok(folder(database, true))
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join(LOG_DIR)
    }

    pub(crate) fn forest_dir(&self) -> PathBuf {
        self.path.join(FOREST_DIR)
    }

    /// Writes the identity of a new folder, now that all the rest is there.
    pub(crate) fn finish(&self, fs: &dyn Fs) -> io::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        Self::write_identity(fs, &self.path, self.database)
    }

    /// Writes the file that makes a folder a database, durably.
    pub(crate) fn write_identity(fs: &dyn Fs, path: &Path, database: [u8; 16]) -> io::Result<()> {
        let unfinished = path.join(IDENTITY_UNFINISHED);
        let file = fs.create(&unfinished)?;
        file.write_at(identity_text(database).as_bytes(), 0)?;
        file.sync_data()?;
        fs.rename(&unfinished, &path.join(IDENTITY_FILE))?;
        fs.sync_dir(path)
    }
}

/// Refuses a folder that holds anything but what an interrupted creation leaves.
fn refuse_foreign(fs: &dyn Fs, path: &Path) -> Result<(), OpenError> {
    if !fs.exists(path)? {
        return Ok(());
    }
    let known = [
        LOCK_FILE,
        IDENTITY_FILE,
        IDENTITY_UNFINISHED,
        LOG_DIR,
        FOREST_DIR,
    ];
    match fs
        .list(path)?
        .into_iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        Some(found) => Err(OpenError::NotADatabase {
            folder: path.to_path_buf(),
            found,
        }),
        None => Ok(()),
    }
}

/// Removes what an interrupted creation has left; refuses if there is more than that.
fn clear_unfinished(fs: &dyn Fs, path: &Path) -> Result<(), OpenError> {
    let unfinished = path.join(IDENTITY_UNFINISHED);
    if fs.exists(&unfinished)? {
        fs.remove(&unfinished)?;
    }
    let has_data = |what: &str| OpenError::Identity {
        path: path.join(IDENTITY_FILE),
        expected: format!("a file, because the {what} beside it has entries"),
        found: "none".to_owned(),
    };
    let log = path.join(LOG_DIR);
    if fs.exists(&log)? && inspect::walk(fs, &log, |_| {})?.entries > 0 {
        return Err(has_data("log"));
    }
    let forest = path.join(FOREST_DIR);
    if fs.exists(&forest)? && fs.list(&forest)?.iter().any(|name| name.ends_with(".tbl")) {
        return Err(has_data("forest"));
    }
    for dir in [log, forest] {
        if fs.exists(&dir)? {
            for name in fs.list(&dir)? {
                fs.remove(&dir.join(name))?;
            }
            fs.sync_dir(&dir)?;
        }
    }
    Ok(())
}

fn identity_text(database: [u8; 16]) -> String {
    let id: String = database.iter().map(|byte| format!("{byte:02x}")).collect();
    let signed = format!("{TITLE}\nformat {FORMAT}\ndatabase {id}\n");
    let checksum = crc32c::crc32c(signed.as_bytes());
    format!("{signed}checksum {checksum:08x}\n")
}

pub(crate) fn read_identity(fs: &dyn Fs, path: &Path) -> Result<[u8; 16], OpenError> {
    let file = fs.open_read_only(path)?;
    let mut bytes = [0; 256];
    let length = file.read_at(&mut bytes, 0)?;
    let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let format = lines
        .next()
        .and_then(|line| line.strip_prefix("format "))
        .unwrap_or_default();
    let id = lines
        .next()
        .and_then(|line| line.strip_prefix("database "))
        .unwrap_or_default();
    let database = parse_id(id);
    let damaged = |expected: String, found: &str| OpenError::Identity {
        path: path.to_path_buf(),
        expected,
        found: format!("{found:?}"),
    };
    if database.is_some_and(|database| identity_text(database) == text) {
        return database.ok_or_else(|| damaged("a database id".to_owned(), id));
    }
    let signed_end = text.rfind("checksum ").unwrap_or(0);
    let checksum = format!("{:08x}", crc32c::crc32c(&text.as_bytes()[..signed_end]));
    let signed = text[signed_end..] == format!("checksum {checksum}\n");
    if title == TITLE && signed && format != FORMAT.to_string() {
        return Err(OpenError::Format {
            path: path.to_path_buf(),
            found: format.to_owned(),
            supported: FORMAT,
        });
    }
    Err(damaged(
        format!("the text of a {TITLE} with checksum {checksum}"),
        text,
    ))
}

fn parse_id(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of format 1, as `docs/format.md` shows it. Never change what is expected here.
    #[test]
    fn golden_identity() {
        let database = [
            0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2,
            0xe1, 0xf0,
        ];
        let expected = "NexusBase data folder\nformat 1\n\
                        database 0f1e2d3c4b5a69788796a5b4c3d2e1f0\nchecksum 12fb4fc8\n";
        assert_eq!(identity_text(database), expected);
    }
}
