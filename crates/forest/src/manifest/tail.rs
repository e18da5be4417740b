//! The end of a manifest file: where edits are appended, and made sure of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io::{self as io, File, Fs};

use super::AppendError;
use super::edit::Edit;
use super::files::NewFileError;
use super::frame::{Contents, HEADER_BYTES, Header};
use crate::DiskError;

/// What a frame may be long. Far beyond any edit; lengths must fit into 32 bits.
const FRAME_BYTES_MAX: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct Tail {
    file: Arc<dyn File>,
    path: PathBuf,
    header: Header,
    /// Where the next frame goes.
    end: u64,
    /// The checksum that it has to name.
    link: u32,
}

impl Tail {
    /// Goes on with a file that was read: everything in it is durable after that, and what lies
    /// behind the last frame is zero.
    pub(super) fn reopen(
        file: Arc<dyn File>,
        path: PathBuf,
        contents: &Contents,
        bytes: &[u8],
    ) -> io::Result<Self> {
        // All other frames were synced before the last one was written.
        let last = contents.edits.iter().skip(1).next_back();
        if let Some((offset, _)) = last {
            file.write_at(slice(bytes, *offset, contents.end), *offset)?;
        }
        let tail = Self {
            file,
            path,
            header: contents.header,
            end: contents.end,
            link: contents.link,
        };
        if contents.torn {
            tail.write_zeros(bytes.len() as u64)?;
        }
        tail.file.sync_data()?;
        Ok(tail)
    }

    /// Writes a new file with one edit, durably but for its name.
    pub(super) fn create(
        fs: &dyn Fs,
        path: PathBuf,
        header: Header,
        snapshot: &Edit,
    ) -> Result<Self, NewFileError> {
        let start = HEADER_BYTES as u64;
        let (frame, link) = header.frame(start, header.link(), snapshot);
        if frame.len() > FRAME_BYTES_MAX {
            let (expected, found) = ("a snapshot of less", format!("{} bytes", frame.len()));
            let error = DiskError::corrupt(&path, start, expected, found);
            return Err(NewFileError::harmless(error));
        }
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&frame);
        let file = fs.create(&path).map_err(NewFileError::harmless)?;
        file.write_at(&bytes, 0).map_err(NewFileError::harmless)?;
        file.sync_data().map_err(NewFileError::harmful)?;
        Ok(Self {
            file,
            path,
            header,
            end: bytes.len() as u64,
            link,
        })
    }

    pub(super) const fn header(&self) -> Header {
        self.header
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Writes an edit behind the last one and makes it durable.
    pub(super) fn append(&mut self, edit: &Edit) -> Result<(), AppendError> {
        let (frame, link) = self.header.frame(self.end, self.link, edit);
        if frame.len() > FRAME_BYTES_MAX {
            return Err(AppendError::Refused(format!("{} bytes", frame.len())));
        }
        let unknown = |error: io::Error| AppendError::Unknown(error.into());
        if let Err(error) = self.file.write_at(&frame, self.end) {
            // A part of it may be there, or even all of it. Before the caller may believe that
            // nothing is, nothing must be, even after a power cut.
            let length = self.file.len().map_err(unknown)?;
            if length > self.end {
                self.write_zeros(length).map_err(unknown)?;
                self.file.sync_data().map_err(unknown)?;
            }
            return Err(AppendError::NotWritten(error.into()));
        }
        self.file.sync_data().map_err(unknown)?;
        self.end += frame.len() as u64;
        self.link = link;
        Ok(())
    }

    /// Overwrites what lies behind the end, up to `length`: needs no space.
    fn write_zeros(&self, length: u64) -> io::Result<()> {
        let zeros = [0; 64 << 10];
        let mut at = self.end;
        while at < length {
            let next = length.min(at + zeros.len() as u64);
            self.file.write_at(slice(&zeros, 0, next - at), at)?;
            at = next;
        }
        Ok(())
    }
}

/// The bytes between two positions that are known to be in there.
fn slice(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    &bytes[index(from)..index(to)]
}
