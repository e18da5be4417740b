//! Reads a file line by line, in big pieces, whatever is in it.
//!
//! A line that is longer than any that is ever written is cut: what memory is needed does not
//! depend on what somebody has put into the file.

use std::io::BufRead;
use std::sync::Arc;

use nexusbase_io as io;

use super::CAPABILITIES;
use super::line::text_max;

/// So much is read at once.
const PIECE: usize = 1 << 20;

/// The longest line: the largest key and value, and what stands around them. Twice what is written:
/// by hand there may be more escapes.
const LINE_MAX: usize = {
    let limits = CAPABILITIES.limits;
    2 * (text_max(limits.key_bytes) + text_max(limits.value_bytes)) + PIECE
};

/// The longest record of a line that was set aside.
const RECORD_MAX: usize = text_max(LINE_MAX) + PIECE;

/// A line as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawLine<'a> {
    /// Its bytes, without its end.
    pub(super) bytes: &'a [u8],
    /// Where it begins.
    pub(super) offset: u64,
    /// Its number, from 1.
    pub(super) number: u64,
    /// Whether its end is there.
    pub(super) is_ended: bool,
}

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines {
    file: Arc<dyn io::File>,
    /// Where to stop reading.
    end: u64,
    /// Where the buffer ends in the file.
    read: u64,
    buffer: Vec<u8>,
    /// What of the buffer was handed out.
    used: usize,
    number: u64,
    longest: usize,
}

impl Lines {
    /// The lines of the first `end` bytes of `file`.
    pub(super) fn new(file: Arc<dyn io::File>, end: u64) -> Self {
        Self::between(file, 0, end)
    }

    /// The records of what was set aside, in the first `end` bytes of `file`.
    pub(super) fn records(file: Arc<dyn io::File>, end: u64) -> Self {
        Self {
            longest: RECORD_MAX,
            ..Self::new(file, end)
        }
    }

    /// The lines of `file` from `start`, where one begins, to `end`.
    pub(super) fn between(file: Arc<dyn io::File>, start: u64, end: u64) -> Self {
        Self {
            file,
            end,
            read: start,
            buffer: Vec::new(),
            used: 0,
            number: 0,
            longest: LINE_MAX,
        }
    }

    /// The next line.
    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        let mut seen = 0;
        let (length, is_ended) = loop {
            let mut rest = self.buffer.get(self.used + seen..).unwrap_or_default();
            let before = seen;
            // Reading from memory cannot fail.
            seen += rest.skip_until(b'\n').unwrap_or_default();
            let ended = seen > before && self.buffer.get(self.used + seen - 1) == Some(&b'\n');
            if ended {
                break (seen - 1, true);
            }
            if seen >= self.longest {
                break (seen, false);
            }
            if !self.fill()? {
                break (seen, false);
            }
        };
        if length == 0 && !is_ended {
            return Ok(None);
        }
        let start = self.used;
        self.used += length + usize::from(is_ended);
        self.number += 1;
        let behind = (self.buffer.len() - start) as u64;
        Ok(Some(RawLine {
            bytes: self.buffer.get(start..start + length).unwrap_or_default(),
            offset: self.read.saturating_sub(behind),
            number: self.number,
            is_ended,
        }))
    }

    /// Reads on. Returns whether there was anything.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let left = usize::try_from(self.end.saturating_sub(self.read)).unwrap_or(PIECE);
        // A line that needs several pieces gets more each time, so that it is not copied often.
        let wanted = PIECE.max(self.buffer.len()).min(left);
        let old = self.buffer.len();
        self.buffer.resize(old + wanted, 0);
        let space = self.buffer.get_mut(old..).unwrap_or_default();
        let read = self.file.read_at(space, self.read)?;
        self.buffer.truncate(old + read);
        self.read += read as u64;
        if read < wanted {
            self.end = self.read;
        }
        Ok(read > 0)
    }
}

/// The bytes of `file` from `offset`, at most `length`.
pub(super) fn read(file: &dyn io::File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let left = file.len()?.saturating_sub(offset).min(length);
    let mut bytes = vec![0; usize::try_from(left).unwrap_or_default()];
    let read = file.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nexusbase_io::Env;
    use nexusbase_io::sim::SimDisk;

    use super::*;

    #[test]
    fn lines_come_whole_whatever_their_length_and_too_long_ones_are_cut() {
        let disk = SimDisk::new(1);
        let path = Path::new("/f");
        let long = "x".repeat(3 * PIECE + 17);
        disk.set_file_bytes(path, format!("a\n\n{long}\nb").as_bytes());
        let file = Env::simulated(&disk, 1).fs.open(path).unwrap();
        let found = |longest: usize| {
            let mut lines = Lines::new(Arc::clone(&file), file.len().unwrap());
            lines.longest = longest;
            let mut found = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                let here = read(&*file, line.offset, line.bytes.len() as u64).unwrap();
                assert_eq!(here, line.bytes);
                found.push((line.bytes.len(), line.is_ended));
            }
            found
        };
        let whole = [(1, true), (0, true), (long.len(), true), (1, false)];
        assert_eq!(found(LINE_MAX), whole);
        let cut = found(PIECE);
        let bytes: usize = cut.iter().map(|(length, _)| length).sum();
        assert_eq!(bytes, long.len() + 2);
        assert!(cut.len() > 4);
    }
}
