//! Versions of a store: a file each, complete and self-describing.
//!
//! The next number is one more than the highest file there is, or what the main file says if that
//! is more: it says so before the file with the highest number is removed. So a number is never
//! used again, and none is left out when a version was only half written.

use std::sync::Arc;

use nexusbase_io as io;

use super::backing::{Common, FileBacking, failed};
use super::line;
use super::load::load;
use super::names::{Kind, classify};
use super::parse::{Body, Header, parse, split_sum};
use super::reader::Lines;
use crate::domain::{Error, ErrorKind, Operation, Result, Version, VersionId};
use crate::keyspace::{Label, State};

/// The longest first line.
const HEADER_MAX: u64 = 1 << 20;

/// What the first line of `file` says. None if it is damaged, or the file is somebody else's.
pub(super) fn read_header(file: &Arc<dyn io::File>) -> io::Result<Option<Header>> {
    let mut lines = Lines::new(Arc::clone(file), file.len()?.min(HEADER_MAX));
    let Some(raw) = lines.next()? else {
        return Ok(None);
    };
    let bytes = raw.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw.bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let is_right = split_sum(bytes).is_some_and(|(text, _, sum)| crc32c::crc32c(text) == sum);
    let line = parse(bytes).ok().filter(|_| is_right);
    Ok(line.and_then(|line| match line.body {
        Body::Header(header) => Some(*header),
        _ => None,
    }))
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

    /// What a version file says of itself. None if its first line is damaged.
    pub(super) fn version(&self, store: &str, number: u64) -> io::Result<Option<Version>> {
        let path = self.path(store, Kind::Version(number));
        let file = match self.env.fs.open_read_only(&path) {
            Ok(file) => file,
            // Deleted since the names were listed.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let version = read_header(&file)?.and_then(|header| header.version);
        // A file that was copied by hand is what its name says.
        Ok(version.map(|version| Version { number, ..version }))
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
        let version = Version {
            number: header.next_version.max(next),
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
        let path = self.common.path(&self.store, Kind::Version(version.number));
        image.name(&path).map_err(|named| io(named.into_error()))?;
        Ok(version)
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
        Ok(loaded.state)
    }

    pub(super) fn remove_version(&self, version: &Version) -> Result<()> {
        let operation = Operation::DeleteVersion;
        let io = failed(operation);
        let _versions = self.versions.lock();
        let known = self.header(operation)?.next_version;
        let highest = self.common.numbers(&self.store).map_err(&io)?.pop();
        let next = version.number.saturating_add(1);
        if highest.is_none_or(|highest| highest <= version.number) && known < next {
            self.append_group(operation, |encoder, commit| {
                encoder.last_line(commit, |out| line::next_version(out, next));
            })?;
            self.tail.lock().header.next_version = next;
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
