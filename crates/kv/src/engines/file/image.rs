//! Writes a whole file beside the others, and gives it its name when it is complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io as io;

use super::line::{self, Chain, Encoder};
use super::parse::{Header, split_sum, write_end, write_header};
use super::reader::Lines;
use crate::domain::{Direction, KeyRange};
use crate::keyspace::State;

/// So much is written at once.
const PIECE: usize = 1 << 20;

/// A file that is being written and has no name yet that counts.
#[derive(Debug)]
pub(super) struct Image {
    fs: Arc<dyn io::Fs>,
    path: PathBuf,
    pub(super) file: Arc<dyn io::File>,
    /// What is not written yet.
    encoder: Encoder,
    written: u64,
    has_name: bool,
}

impl Image {
    /// Begins a file at `path`, where there is none.
    pub(super) fn create(fs: &Arc<dyn io::Fs>, path: PathBuf) -> io::Result<Self> {
        let file = fs.create(&path)?;
        Ok(Self {
            fs: Arc::clone(fs),
            path,
            file,
            encoder: Encoder::default(),
            written: 0,
            has_name: false,
        })
    }

    /// Writes the base part: `state` without what has expired at `now_ms`, as it was after group
    /// `commit`.
    pub(super) fn write(
        &mut self,
        header: &Header,
        state: &State,
        commit: u64,
        now_ms: u64,
    ) -> io::Result<()> {
        self.encoder.line(|out| write_header(out, header));
        let mut rows = 0;
        let mut cells = state.cursor(&KeyRange::all(), Direction::Forward);
        while let Some((key, cell)) = cells.next() {
            if cell.entry.is_expired(now_ms) {
                continue;
            }
            self.encoder
                .line(|out| line::put(out, key, cell.entry.as_put()));
            rows += 1;
            if self.encoder.bytes.len() >= PIECE {
                self.flush()?;
            }
        }
        self.encoder
            .last_line(commit, |out| write_end(out, rows, header));
        self.flush()
    }

    /// Writes a first line only.
    pub(super) fn write_first(&mut self, header: &Header) -> io::Result<()> {
        self.encoder.line(|out| write_header(out, header));
        self.flush()
    }

    /// Goes on with the groups that are in `file` between `start` and `end`.
    pub(super) fn copy(
        &mut self,
        file: &Arc<dyn io::File>,
        start: u64,
        end: u64,
    ) -> io::Result<()> {
        let mut lines = Lines::between(Arc::clone(file), start, end);
        while let Some(raw) = lines.next()? {
            let Some((covered, sum, _)) = split_sum(raw.bytes) else {
                return Err(self.strange(raw.offset));
            };
            if let Some((body, number)) = split_commit(covered) {
                // The running checksum is another one here.
                self.encoder
                    .last_line(number, |out| out.extend_from_slice(body));
            } else {
                self.encoder.copy(raw.bytes, sum);
            }
            if self.encoder.bytes.len() >= PIECE {
                self.flush()?;
            }
        }
        self.flush()
    }

    /// Copies the first `end` bytes of `file` as they are, which end as `chain` says.
    pub(super) fn copy_all(
        &mut self,
        file: &Arc<dyn io::File>,
        end: u64,
        chain: Chain,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        while self.written < end {
            let left = usize::try_from(end - self.written).unwrap_or(PIECE);
            let space = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
            let read = file.read_at(space, self.written)?;
            if read == 0 {
                return Err(self.strange(self.written));
            }
            self.file
                .write_at(space.get(..read).unwrap_or_default(), self.written)?;
            self.written += read as u64;
        }
        self.encoder.chain = chain;
        Ok(())
    }

    fn strange(&self, offset: u64) -> io::Error {
        let what = format!("what was written at offset {offset} is not there any more");
        io::Error::new("copy to", &self.path, std::io::Error::other(what))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.encoder.bytes, self.written)?;
        self.written += self.encoder.bytes.len() as u64;
        self.encoder.bytes.clear();
        Ok(())
    }

    /// Where it ends.
    pub(super) const fn end(&self) -> u64 {
        self.written
    }

    pub(super) const fn chain(&self) -> Chain {
        self.encoder.chain
    }

    /// Makes what was written durable, and gives the file its name, in the place of what has it.
    ///
    /// An error of [`Named::Perhaps`] may have done it or not.
    pub(super) fn name(&mut self, to: &Path) -> Result<(), Named> {
        self.file.sync_data().map_err(Named::No)?;
        if let Err(error) = self.fs.rename(&self.path, to) {
            let is_beside = self.fs.exists(&self.path);
            return Err(match is_beside {
                Ok(true) => Named::No(error),
                _ => Named::Perhaps(error),
            });
        }
        self.has_name = true;
        let folder = to.parent().unwrap_or(Path::new(""));
        self.fs.sync_dir(folder).map_err(Named::Perhaps)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if !self.has_name {
            // What stays is removed when the engine is opened.
            let _ = self.fs.remove(&self.path);
        }
    }
}

/// Why a file has not got its name.
#[derive(Debug)]
pub(super) enum Named {
    /// It has not; all is as before.
    No(io::Error),
    /// After a power cut it may have it or not.
    Perhaps(io::Error),
}

impl Named {
    pub(super) fn into_error(self) -> io::Error {
        match self {
            Self::No(error) | Self::Perhaps(error) => error,
        }
    }
}

/// Cuts off what the engine has written at the end of a group's last line.
fn split_commit(covered: &[u8]) -> Option<(&[u8], u64)> {
    const ALL: &[u8] = b",\"all\":\"";
    let rest = covered.strip_suffix(b"\"")?;
    let rest = rest.get(..rest.len().checked_sub(line::SUM_DIGITS)?)?;
    let rest = rest.strip_suffix(ALL)?;
    let (rest, _) = split_number(rest, b",\"lines\":")?;
    split_number(rest, b",\"commit\":")
}

fn split_number<'a>(text: &'a [u8], field: &[u8]) -> Option<(&'a [u8], u64)> {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit());
    let (rest, number) = text.split_at_checked(text.len() - digits.count())?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((rest.strip_suffix(field)?, number))
}
