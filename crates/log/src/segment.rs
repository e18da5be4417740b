//! Segments: the files that the log is made of.
//!
//! A segment's first block is its header and is never written again; records start behind it.
//! A segment gets its final name only when its header and its first batch (the checkpoint of all
//! groups) are durable, and only when everything before it is: so a segment's existence is
//! itself a claim, namely that the log was durable up to its base.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nexusbase_io::{self as io, File, Fs};

use crate::error::{Damage, OpenError};
use crate::record::{Group, Index, Position, Seed, u32_at, u64_at};

/// The format that this version reads and writes.
pub(crate) const FORMAT: u32 = 1;
/// Where records start in a segment: the header has the first block for itself, so that no
/// later write touches its sector.
pub(crate) const RECORDS_AT: u64 = 4096;
/// The smallest segment that makes sense.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 64 << 10;

const MAGIC: [u8; 8] = *b"NXLOGSEG";
const HEADER_BYTES: usize = 64;

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) database: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) base: Position,
    pub(crate) file_bytes: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.database);
        bytes[32..40].copy_from_slice(&self.generation.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.base.get().to_le_bytes());
        bytes[48..56].copy_from_slice(&self.file_bytes.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..56]);
        bytes[56..60].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let damage = |offset, expected: String, found: String| {
            OpenError::from(Box::new(Damage {
                path: path.to_path_buf(),
                offset,
                expected,
                found,
            }))
        };
        if bytes.len() < HEADER_BYTES {
            let expected = format!("a header of {HEADER_BYTES} bytes");
            return Err(damage(0, expected, format!("{} bytes", bytes.len())));
        }
        if bytes[0..8] != MAGIC {
            return Err(damage(
                0,
                "the mark of a log segment".into(),
                hex(&bytes[0..8]),
            ));
        }
        let (checksum, computed) = (u32_at(bytes, 56), crc32c::crc32c(&bytes[..56]));
        let format = u32_at(bytes, 8);
        if format != FORMAT && checksum == computed {
            let path = path.to_path_buf();
            return Err(OpenError::Format {
                path,
                found: format,
                supported: FORMAT,
            });
        }
        if checksum != computed {
            let expected = format!("header checksum {computed:08x}");
            return Err(damage(56, expected, format!("{checksum:08x}")));
        }
        let mut database = [0; 16];
        database.copy_from_slice(&bytes[16..32]);
        Ok(Self {
            database,
            generation: u64_at(bytes, 32),
            base: Position::new(u64_at(bytes, 40)),
            file_bytes: u64_at(bytes, 48),
        })
    }
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) header: Header,
    pub(crate) seed: Seed,
    /// Each group's last index when the next segment was opened: an upper bound for what lies
    /// in this one. Unset in the newest segment.
    pub(crate) sealed: OnceLock<Vec<(Group, Index)>>,
}

impl Segment {
    pub(crate) fn new(path: PathBuf, file: Arc<dyn File>, header: Header) -> Self {
        let seed = Seed::new(header.database, header.generation);
        Self {
            path,
            file,
            header,
            seed,
            sealed: OnceLock::new(),
        }
    }

    /// Opens the segment at `path` and checks its header against its name and its length.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: PathBuf,
        generation: u64,
        read_only: bool,
    ) -> Result<Self, OpenError> {
        let file = if read_only {
            fs.open_read_only(&path)?
        } else {
            fs.open(&path)?
        };
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0)?;
        let header = Header::decode(&path, &bytes[..read])?;
        let length = file.len()?;
        let damage = |offset, expected: String, found: String| {
            OpenError::from(Box::new(Damage {
                path: path.clone(),
                offset,
                expected,
                found,
            }))
        };
        if header.generation != generation {
            let found = format!("generation {}", header.generation);
            return Err(damage(
                32,
                format!("generation {generation} as its name says"),
                found,
            ));
        }
        if header.file_bytes != length || length < RECORDS_AT {
            let expected = format!("a file of {} bytes", header.file_bytes.max(RECORDS_AT));
            return Err(damage(length, expected, format!("{length} bytes")));
        }
        Ok(Self::new(path, file, header))
    }

    /// Where in the file `position` lies.
    pub(crate) fn offset(&self, position: Position) -> u64 {
        RECORDS_AT + (position.get() - self.header.base.get())
    }

    /// Reads up to `length` bytes of records from `position` on, into `buffer`.
    pub(crate) fn read(
        &self,
        position: Position,
        length: usize,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let offset = self.offset(position);
        let rest = usize::try_from(self.header.file_bytes.saturating_sub(offset));
        buffer.clear();
        buffer.resize(length.min(rest.unwrap_or(length)), 0);
        let read = self.file.read_at(buffer, offset)?;
        buffer.truncate(read);
        Ok(())
    }

    pub(crate) fn damage(
        &self,
        position: Position,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Box<Damage> {
        Box::new(Damage {
            path: self.path.clone(),
            offset: self.offset(position),
            expected: expected.into(),
            found: found.into(),
        })
    }
}

/// The path of the segment with this generation.
pub(crate) fn path_of(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:016x}.log"))
}

/// The generations of the segments in `dir`, ascending.
pub(crate) fn generations(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<u64>> {
    let names = fs.list(dir)?;
    let parse = |name: &String| {
        let digits = name
            .strip_suffix(".log")
            .filter(|digits| digits.len() == 16)?;
        let generation = u64::from_str_radix(digits, 16).ok()?;
        // Only the one spelling that this crate writes: no capitals, no sign.
        (*name == format!("{generation:016x}.log")).then_some(generation)
    };
    let mut generations: Vec<u64> = names.iter().filter_map(parse).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
