//! Versions of a store: a file each, complete and self-describing.
//!
//! The next number is one more than the highest file there is, or what the main file says if that
//! is more: it says so before the file with the highest number is removed. So a number is never
//! used again, and none is left out when a version was only half written.

use std::sync::Arc;

use nexusbase_io as io;

use super::backing::{Common, FileBacking, failed};
use super::image::Named;
use super::line::{self, Encoder};
use super::load::load;
use super::names::{Kind, classify};
use super::parse::{Body, Header, parse, split_sum};
use super::reader::{Lines, read};
use super::scan::Scan;
use crate::domain::{Error, ErrorKind, Operation, Result, Version, VersionId};
use crate::keyspace::{Label, State};

/// The longest first line.
const HEADER_MAX: u64 = 1 << 20;

/// What a file says of itself.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// None if it is said nowhere any more.
    pub(super) header: Option<Header>,
    /// An engine has written something of it.
    pub(super) is_own: bool,
}

/// Reads what `file` says of itself: in its first line, and if that is damaged (or longer than any
/// that is written), in the line that ends its base part.
pub(super) fn read_head(file: &Arc<dyn io::File>) -> io::Result<Head> {
    let mut header = first_line(file)?;
    if header.is_none() {
        // A version's last line: not all of a large one is read whenever versions are listed.
        header = last_line(file)?;
    }
    if header.is_some() {
        let is_own = true;
        return Ok(Head { header, is_own });
    }
    let judge = Scan::brief(file)?;
    Ok(Head {
        header: judge.header.or(judge.foot),
        is_own: judge.report.good > 0,
    })
}

fn first_line(file: &Arc<dyn io::File>) -> io::Result<Option<Header>> {
    let mut lines = Lines::new(Arc::clone(file), file.len()?.min(HEADER_MAX));
    let Some(raw) = lines.next()? else {
        return Ok(None);
    };
    let bytes = raw.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw.bytes);
    Ok(said(bytes))
}

fn last_line(file: &Arc<dyn io::File>) -> io::Result<Option<Header>> {
    let bytes = read(&**file, file.len()?.saturating_sub(HEADER_MAX), HEADER_MAX)?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = bytes.iter().rposition(|byte| *byte == b'\n');
    let start = start.map_or(0, |end| end + 1);
    Ok(said(bytes.get(start..).unwrap_or_default()))
}

/// What a line says of its file, if its checksum is right.
fn said(line: &[u8]) -> Option<Header> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    split_sum(line).filter(|(text, _, sum)| crc32c::crc32c(text) == *sum)?;
    match parse(line).ok()?.body {
        Body::Header(header) | Body::End(Some(header)) => Some(*header),
        _ => None,
    }
}

impl Common {
    /// The numbers of all version files of `store`, ascending.
    pub(super) fn numbers(&self, store: &str) -> io::Result<Vec<u64>> {
        let names = self.env.fs.list(&self.folder)?;
        let number = |name: &String| match classify(name) {
            Some((of, Kind::Version(number))) if of == store => Some(number),
            _ => None,
        };
        let mut numbers: Vec<_> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What a version file says of itself. None if there is none any more.
    pub(super) fn version(&self, store: &str, number: u64) -> io::Result<Option<Version>> {
        let path = self.path(store, Kind::Version(number));
        let file = match self.env.fs.open_read_only(&path) {
            Ok(file) => file,
            // Deleted since the names were listed.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let version = read_head(&file)?.header.and_then(|header| header.version);
        // A file that was copied by hand is what its name says.
        Ok(Some(match version {
            Some(version) => Version { number, ..version },
            None => self.nameless(number),
        }))
    }
}

impl Common {
    /// A version that does not say what it is: its number is taken, and it can be deleted.
    fn nameless(&self, number: u64) -> Version {
        Version {
            number,
            name: None,
            note: "damaged: what is said of it cannot be read".to_owned(),
            // Nobody knows, and it must not go because it would be old.
            time_ms: self.env.clock.unix_ms(),
            keys: 0,
            bytes: 0,
            exact: false,
        }
    }
}

impl FileBacking {
    pub(super) fn list_versions(&self, operation: Operation) -> Result<Vec<Version>> {
        let io = failed(operation);
        let mut versions = Vec::new();
        for number in self.common.numbers(&self.store).map_err(&io)? {
            let version = self.common.version(&self.store, number).map_err(&io)?;
            versions.extend(version);
        }
        Ok(versions)
    }

    pub(super) fn write_version(
        &self,
        operation: Operation,
        state: &State,
        label: Label<'_>,
    ) -> Result<Version> {
        let _versions = self.versions.lock();
        let io = failed(operation);
        let mut header = self.header(operation)?;
        let highest = self.common.numbers(&self.store).map_err(&io)?.pop();
        let next = highest.map_or(1, |highest| highest.saturating_add(1));
        let given = self.given(header.next_version).map_err(&io)?;
        let number = given.max(next);
        let path = self.common.path(&self.store, Kind::Version(number));
        // The last number is not given: none would come after it. Nothing is ever written over.
        if number == u64::MAX || self.common.env.fs.exists(&path).map_err(&io)? {
            let what = format!(
                "there is no number left behind {}; move that file away",
                path.display()
            );
            return Err(Error::new(operation, ErrorKind::Invalid(what)));
        }
        let version = Version {
            number,
            name: label.name.map(str::to_owned),
            note: label.note.to_owned(),
            time_ms: label.time_ms,
            keys: state.len(),
            bytes: state.bytes(),
            exact: true,
        };
        header.next_version = version.number.saturating_add(1);
        header.version = Some(version.clone());
        let mut image = self.common.image(&self.store).map_err(&io)?;
        image.write(&header, state, 0, 0).map_err(&io)?;
        image.name(&path).map_err(|named| {
            // It may be there already, and was taken by nobody.
            if let Named::Perhaps(_) = &named {
                self.take_back(&version);
            }
            io(named.into_error())
        })?;
        Ok(version)
    }

    /// The number that comes next, as far as it is known beside the versions that are there.
    fn given(&self, known: u64) -> io::Result<u64> {
        let path = self.common.path(&self.store, Kind::Numbers);
        let header = match self.common.env.fs.open_read_only(&path) {
            Ok(file) => first_line(&file)?,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let own = header.filter(|header| header.id == self.id);
        Ok(own.map_or(known, |header| known.max(header.next_version)))
    }

    /// Writes down which number comes next, in a file of its own: the main file may be replaced by an
    /// older version by hand.
    fn remember(&self, header: &Header, next: u64) -> io::Result<()> {
        let header = Header {
            next_version: next,
            ..header.clone()
        };
        let mut image = self.common.image(&self.store)?;
        image.write_first(&header)?;
        let path = self.common.path(&self.store, Kind::Numbers);
        image.name(&path).map_err(Named::into_error)
    }

    /// Removes a version that nobody was told of, if that is possible.
    pub(super) fn take_back(&self, version: &Version) {
        let fs = &self.common.env.fs;
        let path = self.common.path(&self.store, Kind::Version(version.number));
        // What stays is a version like any other.
        let _ = fs
            .remove(&path)
            .and_then(|()| fs.sync_dir(&self.common.folder));
    }

    pub(super) fn load_version(&self, version: &Version, stamp: u64) -> Result<State> {
        let operation = Operation::ReadVersion;
        let io = failed(operation);
        let path = self.common.path(&self.store, Kind::Version(version.number));
        let file = match self.common.env.fs.open_read_only(&path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => {
                let id = VersionId::Number(version.number);
                return Err(Error::new(operation, ErrorKind::VersionNotFound(id)));
            }
            Err(error) => return Err(io(error)),
        };
        let length = file.len().map_err(&io)?;
        let loaded = load(&file, length, stamp).map_err(&io)?;
        // A version is exactly what it was: one that is not all there is none.
        if let Some(finding) = loaded.report.findings.first() {
            let kind = ErrorKind::Corrupt {
                file: path,
                offset: finding.offset,
                expected: "a complete version".to_owned(),
                found: finding.why.clone(),
            };
            return Err(Error::new(operation, kind));
        }
        // The files of a store may have got another name since they were listed.
        let id = loaded.header.map(|header| header.id).unwrap_or_default();
        if id != self.id {
            let kind = ErrorKind::Corrupt {
                file: path,
                offset: 0,
                expected: format!("a version of the store with the id {}", self.id),
                found: format!("one of the store with the id {id}"),
            };
            return Err(Error::new(operation, kind));
        }
        Ok(loaded.state)
    }

    pub(super) fn remove_version(&self, version: &Version) -> Result<()> {
        let operation = Operation::DeleteVersion;
        let io = failed(operation);
        let _versions = self.versions.lock();
        let header = self.header(operation)?;
        let known = header.next_version;
        let highest = self.common.numbers(&self.store).map_err(&io)?.pop();
        let next = version.number.saturating_add(1);
        if highest.is_none_or(|highest| highest <= version.number) && known < next {
            self.remember(&header, next).map_err(&io)?;
            let write = |encoder: &mut Encoder, commit| {
                encoder.last_line(commit, |out| line::next_version(out, next));
            };
            // A rewrite that comes next writes it, too.
            self.append_group(operation, write, |tail| tail.header.next_version = next)?;
        }
        let path = self.common.path(&self.store, Kind::Version(version.number));
        let fs = &self.common.env.fs;
        fs.remove(&path).map_err(|error| {
            if error.is_not_found() {
                let id = VersionId::Number(version.number);
                return Error::new(operation, ErrorKind::VersionNotFound(id));
            }
            io(error)
        })?;
        fs.sync_dir(&self.common.folder).map_err(&io)
    }
}
