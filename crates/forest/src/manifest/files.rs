//! The manifest's files in a folder: their names, which one is current, making and reading them.

use std::path::{Path, PathBuf};

use nexusbase_io::{File, Fs};

use super::frame::{Contents, Header, parse};
use super::state::State;
use super::tail::Tail;
use crate::DiskError;

pub(crate) const CURRENT: &str = "CURRENT";
const CURRENT_NEW: &str = "CURRENT.tmp";
const PREFIX: &str = "MANIFEST-";

/// A manifest is never this long; a file that says so is not read into memory.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Why there is no new manifest.
#[derive(Debug)]
pub(super) struct NewFileError {
    pub(super) error: DiskError,
    /// Whether the old one is as good as before: no sync failed, and `CURRENT` was not touched.
    pub(super) is_harmless: bool,
}

impl NewFileError {
    pub(super) fn harmless(error: impl Into<DiskError>) -> Self {
        Self {
            error: error.into(),
            is_harmless: true,
        }
    }

    pub(super) fn harmful(error: impl Into<DiskError>) -> Self {
        Self {
            error: error.into(),
            is_harmless: false,
        }
    }
}

/// Whether a file of this name is the manifest's business.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || name == CURRENT_NEW
}

fn manifest_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// Writes a manifest that begins with `state`, and makes it the current one, all of it durably.
pub(super) fn write_new(
    fs: &dyn Fs,
    dir: &Path,
    header: Header,
    state: &State,
) -> Result<Tail, NewFileError> {
    let path = dir.join(manifest_name(header.number));
    let (temporary, current) = (dir.join(CURRENT_NEW), dir.join(CURRENT));
    for left in [&path, &temporary] {
        // From an earlier try.
        if fs.exists(left).map_err(NewFileError::harmless)? {
            fs.remove(left).map_err(NewFileError::harmless)?;
        }
    }
    let write = || {
        let tail = Tail::create(fs, path.clone(), header, &state.to_edit())?;
        // Its name too must be durable before anything names it.
        fs.sync_dir(dir).map_err(NewFileError::harmful)?;
        let text = current_text(&manifest_name(header.number));
        let file = fs.create(&temporary).map_err(NewFileError::harmless)?;
        file.write_at(text.as_bytes(), 0)
            .map_err(NewFileError::harmless)?;
        file.sync_data().map_err(NewFileError::harmful)?;
        Ok(tail)
    };
    let tail = write().inspect_err(|failure: &NewFileError| {
        if failure.is_harmless {
            // The disk is full, as like as not: give back what was taken. What stays is removed
            // by the next try.
            let _ = fs.remove(&path);
            let _ = fs.remove(&temporary);
        }
    })?;
    fs.rename(&temporary, &current)
        .and_then(|()| fs.sync_dir(dir))
        .map_err(NewFileError::harmful)?;
    Ok(tail)
}

/// Writes `state` as the only content of a new manifest in a folder that has none, durably: the
/// last step of making a copy of a forest.
///
/// # Errors
/// When there is one already, or the file system fails; then the folder is not a forest.
pub(crate) fn write_copy(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    state: &State,
) -> Result<(), DiskError> {
    let path = dir.join(CURRENT);
    if fs.exists(&path)? {
        return Err(DiskError::corrupt(
            &path,
            0,
            "no forest in this folder",
            "one",
        ));
    }
    let header = Header {
        database,
        number: 1,
    };
    write_new(fs, dir, header, state).map_err(|failure| failure.error)?;
    Ok(())
}

/// Makes the manifest of an empty forest, if the folder has nothing that says that there was one.
pub(super) fn create(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    names: &[String],
) -> Result<(), DiskError> {
    let missing = |found: &String| {
        let expected = "the name of the manifest, as there is a forest in this folder";
        let found = format!("no such file beside {found}");
        Err(DiskError::corrupt(&dir.join(CURRENT), 0, expected, found))
    };
    let is_data = |name: &&String| name.ends_with(".tbl") || name.ends_with(".blob");
    if let Some(name) = names.iter().find(is_data) {
        return missing(name);
    }
    let header = Header {
        database,
        number: 1,
    };
    // A manifest without CURRENT is all right if it is what a crash left of making this one:
    // nothing was appended to it.
    for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
        let length = fs.open_read_only(&dir.join(name))?.len()?;
        let empty = header.frame(0, 0, &State::default().to_edit()).0.len();
        let empty = header.encode().len() + empty;
        if *name != manifest_name(1) || length > empty as u64 {
            return missing(name);
        }
    }
    write_new(fs, dir, header, &State::default()).map_err(|failure| failure.error)?;
    Ok(())
}

fn current_text(name: &str) -> String {
    let line = format!("{name}\n");
    let checksum = crc32c::crc32c(line.as_bytes());
    format!("{line}crc32c {checksum:08x}\n")
}

/// The path of the manifest that CURRENT names.
pub(super) fn current(fs: &dyn Fs, dir: &Path) -> Result<PathBuf, DiskError> {
    let path = dir.join(CURRENT);
    let bytes = read_file(fs.open_read_only(&path)?.as_ref(), &path)?;
    let text = String::from_utf8_lossy(&bytes);
    let name = text.lines().next().unwrap_or_default();
    let is_name = name.strip_prefix(PREFIX).is_some_and(|number| {
        number.len() == 16
            && u64::from_str_radix(number, 16).is_ok_and(|n| manifest_name(n) == name)
    });
    if !is_name || current_text(name).as_bytes() != bytes {
        let expected = "the name of a manifest and its checksum";
        let found = text.chars().take(80).collect::<String>();
        return Err(DiskError::corrupt(&path, 0, expected, format!("{found:?}")));
    }
    let manifest = dir.join(name);
    if !fs.exists(&manifest)? {
        let expected = "the name of a manifest that is there";
        return Err(DiskError::corrupt(&path, 0, expected, name));
    }
    Ok(manifest)
}

/// The bytes of a whole file.
pub(super) fn read_file(file: &dyn File, path: &Path) -> Result<Vec<u8>, DiskError> {
    let length = file.len()?;
    let Some(room) = usize::try_from(length)
        .ok()
        .filter(|_| length <= FILE_BYTES_MAX)
    else {
        let expected = "a file that fits into memory";
        return Err(DiskError::corrupt(
            path,
            0,
            expected,
            format!("{length} bytes"),
        ));
    };
    let mut bytes = vec![0; room];
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => bytes.truncate(at),
            more => at += more,
        }
    }
    Ok(bytes)
}

/// The state that [`Manifest::open`](super::Manifest::open) would begin with, if there is one;
/// nothing is changed. To be asked first, because opening makes up its mind about a torn tail: if
/// that was damage, the files are not those of the state.
///
/// # Errors
/// As opening.
pub(crate) fn peek(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
) -> Result<Option<State>, DiskError> {
    if !fs.exists(&dir.join(CURRENT))? {
        return Ok(None);
    }
    let path = current(fs, dir)?;
    let bytes = read_file(fs.open_read_only(&path)?.as_ref(), &path)?;
    Ok(Some(checked(&path, &bytes, database)?.1))
}

/// What a manifest file says, with all its edits applied.
pub(super) fn checked(
    path: &Path,
    bytes: &[u8],
    database: [u8; 16],
) -> Result<(Contents, State), DiskError> {
    let (contents, error) = parse(path, bytes);
    let Some(contents) = contents else {
        // Without contents there is an error.
        let none = || DiskError::corrupt(path, 0, "a manifest", "none");
        return Err(error.unwrap_or_else(none));
    };
    // Of another database before anything else: that says most.
    let found = contents.header.database;
    if found != database {
        let expected = format!("a manifest of database {}", hex(database));
        let found = format!("one of {}", hex(found));
        return Err(DiskError::corrupt(path, 16, expected, found));
    }
    if let Some(error) = error {
        return Err(error);
    }
    let state = replay(path, &contents)?;
    Ok((contents, state))
}

fn replay(path: &Path, contents: &Contents) -> Result<State, DiskError> {
    let number = contents.header.number;
    if path.file_name().and_then(|name| name.to_str()) != Some(manifest_name(number).as_str()) {
        let found = format!("{number:016x}");
        return Err(DiskError::corrupt(
            path,
            32,
            "the number in its name",
            found,
        ));
    }
    let mut state = State::default();
    for (offset, edit) in &contents.edits {
        let expected = "an edit that follows from those before";
        state
            .apply_or_spoil(edit)
            .map_err(|found| DiskError::corrupt(path, *offset, expected, found))?;
    }
    Ok(state)
}

fn hex(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

/// What a manifest says, for tools.
#[derive(Debug)]
pub(crate) struct Dump {
    /// Its file.
    pub(crate) path: PathBuf,
    /// The file's length.
    pub(crate) bytes: u64,
    /// All that can be read, from the start to the first damage; nothing without a header.
    pub(crate) contents: Option<Contents>,
    /// The state after all edits, if nothing is wrong.
    pub(crate) state: Option<State>,
    /// What is wrong with it.
    pub(crate) problem: Option<DiskError>,
}

/// Reads the current manifest of a folder and changes nothing.
///
/// # Errors
/// When it cannot be found or read at all.
pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Dump, DiskError> {
    read_at(fs, current(fs, dir)?)
}

/// Reads a manifest, current or not, and changes nothing.
///
/// # Errors
/// When it cannot be read at all.
pub(crate) fn read_at(fs: &dyn Fs, path: PathBuf) -> Result<Dump, DiskError> {
    let bytes = read_file(fs.open_read_only(&path)?.as_ref(), &path)?;
    let (contents, problem) = parse(&path, &bytes);
    let (state, inconsistent) = match contents.as_ref().map(|all| replay(&path, all)) {
        Some(Ok(state)) => (Some(state), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let problem = problem.or(inconsistent);
    Ok(Dump {
        path,
        bytes: bytes.len() as u64,
        contents,
        state: state.filter(|_| problem.is_none()),
        problem,
    })
}

/// The manifests in a folder, current or not, oldest first.
pub(crate) fn all(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let names = fs.list(dir)?.into_iter();
    let names = names.filter(|name| number_of(name).is_some());
    Ok(names.map(|name| dir.join(name)).collect())
}

fn number_of(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    (manifest_name(number) == name).then_some(number)
}

/// Writes `state` as a new manifest with a number above all others, and makes it the current one.
///
/// # Errors
/// When the file system fails.
pub(crate) fn write_next(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    state: &State,
) -> Result<PathBuf, DiskError> {
    let names = fs.list(dir)?;
    let last = names.iter().filter_map(|name| number_of(name)).max();
    let number = last.unwrap_or(0) + 1;
    write_new(fs, dir, Header { database, number }, state).map_err(|failure| failure.error)?;
    Ok(dir.join(manifest_name(number)))
}
