//! Blob files: large values kept apart from their keys, so that compaction does not copy them.
//!
//! A file is a header and one frame after the other, written once and never changed. Each frame is
//! checked by itself, and knows the hash of the key that it is the value of.
//!
//! What it promises: a value that is read is the one that was appended for this key, or there is an
//! error; whatever bytes a file has, and whatever a [`BlobRef`] says, nothing larger than the file
//! is allocated to read a frame. It does not know which frames are still needed.

pub(crate) mod frame;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_io::{File, Fs};
use xxhash_rust::xxh3::xxh3_64;

use self::frame::{CHECKSUM_BYTES, FRAME_BYTES, HEAD_BYTES, Opened};
use crate::DiskError;
use crate::row::{BlobRef, FileId};

/// A file begins with this, the format, its number, and a checksum of these three.
const MAGIC: [u8; 8] = *b"NXS-BLOB";
const FORMAT: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 24;

/// How much is collected before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// The name of a blob file in the forest's folder.
pub(crate) fn file_name(id: FileId) -> String {
    format!("{:016x}.blob", id.0)
}

pub(crate) fn header(id: FileId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..20].copy_from_slice(&id.0.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// What was written to a blob file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobSummary {
    /// The length of the file.
    pub(crate) bytes: u64,
    pub(crate) values: u64,
}

/// A blob file that is being written. After an error it must be given up, and the file removed.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    id: FileId,
    /// Up to here it is written; `buffer` follows.
    written: u64,
    buffer: Vec<u8>,
    values: u64,
}

impl BlobWriter {
    /// Creates the file, which must not exist.
    pub(crate) fn create(fs: &dyn Fs, dir: &Path, id: FileId) -> Result<Self, DiskError> {
        let path = dir.join(file_name(id));
        Ok(Self {
            file: fs.create(&path)?,
            path,
            id,
            written: 0,
            buffer: header(id).to_vec(),
            values: 0,
        })
    }

    /// Adds a value. It can be read when the file is finished.
    pub(crate) fn append(&mut self, key: &[u8], value: &[u8]) -> Result<BlobRef, DiskError> {
        let offset = self.bytes();
        let length = frame::seal(&mut self.buffer, (self.id, offset), xxh3_64(key), value)
            .ok_or_else(|| {
                let found = format!("one of {} bytes", value.len());
                DiskError::corrupt(&self.path, offset, "a value below 4 GiB", found)
            })?;
        self.values += 1;
        if self.buffer.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        Ok(BlobRef {
            file: self.id,
            offset,
            length,
        })
    }

    /// How long the file is by now.
    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes the rest and makes the content durable. The name is not: the caller syncs the
    /// directory.
    pub(crate) fn finish(mut self) -> Result<BlobSummary, DiskError> {
        self.write_out()?;
        self.file.sync_data()?;
        Ok(BlobSummary {
            bytes: self.written,
            values: self.values,
        })
    }

    fn write_out(&mut self) -> Result<(), DiskError> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written = self.bytes();
        self.buffer.clear();
        Ok(())
    }
}

/// A frame, as [`BlobFile::walk`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobFrame<'a> {
    /// What a row refers to it by.
    pub(crate) at: BlobRef,
    pub(crate) key_hash: u64,
    pub(crate) value: &'a [u8],
}

/// A finished blob file.
#[derive(Debug)]
pub(crate) struct BlobFile {
    file: Arc<dyn File>,
    path: PathBuf,
    id: FileId,
    bytes: u64,
}

impl BlobFile {
    /// Opens a file that must have this number and length.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        id: FileId,
        expected_bytes: u64,
    ) -> Result<Self, DiskError> {
        let file = fs.open_read_only(path)?;
        let blob = Self {
            bytes: file.len()?,
            file,
            path: path.to_path_buf(),
            id,
        };
        if blob.bytes != expected_bytes {
            let found = format!("{} bytes", blob.bytes);
            let expected = format!("{expected_bytes} bytes");
            return Err(blob.corrupt(blob.bytes.min(expected_bytes), expected, found));
        }
        let mut found = [0; HEADER_BYTES];
        blob.read_exact(&mut found, 0)?;
        if found != header(id) {
            let expected = format!("the header of blob file {:016x}", id.0);
            return Err(blob.corrupt(0, expected, format!("{found:02x?}")));
        }
        Ok(blob)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value at a place. It must be the value of a key with this hash.
    pub(crate) fn read(&self, at: BlobRef, key_hash: u64) -> Result<Bytes, DiskError> {
        if at.file != self.id {
            let found = format!("one into file {:016x}", at.file.0);
            return Err(self.corrupt(at.offset, "a reference into this file", found));
        }
        let mut bytes = self.read_frame(at.offset, u64::from(at.length))?;
        let (found, opened) = self.open_frame(&bytes, at.offset)?;
        if found != key_hash {
            let expected = format!("the value of a key with hash {key_hash:016x}");
            return Err(self.corrupt(at.offset, expected, format!("{found:016x}")));
        }
        Ok(match opened {
            Opened::Plain => {
                bytes.truncate(bytes.len() - CHECKSUM_BYTES);
                Bytes::from(bytes).slice(HEAD_BYTES..)
            }
            Opened::Unpacked(value) => Bytes::from(value),
        })
    }

    /// Reads and checks the whole file, frame by frame, up to the first that is damaged.
    pub(crate) fn walk(
        &self,
        mut see: impl FnMut(BlobFrame<'_>) -> Result<(), DiskError>,
    ) -> Result<BlobSummary, DiskError> {
        let (mut offset, mut values) = (HEADER_BYTES as u64, 0);
        while offset < self.bytes {
            let mut head = [0; HEAD_BYTES];
            self.read_exact(&mut head, offset)?;
            let bytes = self.read_frame(offset, frame::length(head))?;
            let (key_hash, opened) = self.open_frame(&bytes, offset)?;
            let value = match &opened {
                Opened::Plain => &bytes[HEAD_BYTES..bytes.len() - CHECKSUM_BYTES],
                Opened::Unpacked(value) => value,
            };
            let at = BlobRef {
                file: self.id,
                offset,
                length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            };
            see(BlobFrame {
                at,
                key_hash,
                value,
            })?;
            offset += bytes.len() as u64;
            values += 1;
        }
        Ok(BlobSummary {
            bytes: self.bytes,
            values,
        })
    }

    /// Reads a frame that has to lie within the file: that bounds what is allocated.
    fn read_frame(&self, offset: u64, length: u64) -> Result<Vec<u8>, DiskError> {
        let end = offset.checked_add(length);
        let fits = offset >= HEADER_BYTES as u64
            && length >= FRAME_BYTES as u64
            && end.is_some_and(|end| end <= self.bytes);
        let length = usize::try_from(length).ok().filter(|_| fits);
        let length = length.ok_or_else(|| {
            let expected = format!("a frame in a file of {} bytes", self.bytes);
            self.corrupt(offset, expected, "one that does not fit")
        })?;
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn open_frame(&self, bytes: &[u8], offset: u64) -> Result<(u64, Opened), DiskError> {
        frame::open(bytes, (self.id, offset))
            .map_err(|(expected, found)| self.corrupt(offset, expected, found))
    }

    fn read_exact(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let read = self.file.read_at(buffer, offset)?;
        if read < buffer.len() {
            let expected = format!("{} bytes", buffer.len());
            return Err(self.corrupt(offset, expected, format!("{read}")));
        }
        Ok(())
    }

    fn corrupt(
        &self,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> DiskError {
        DiskError::corrupt(&self.path, offset, expected, found)
    }
}
