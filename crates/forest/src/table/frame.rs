//! The frame around every block of a table file: compression and a checksum that knows its place.
//!
//! | part        | bytes | what |
//! |-------------|-------|------|
//! | payload     | ..    | the raw bytes; or, if compressed, their length (4 bytes, little-endian) and the compressed bytes |
//! | compression | 1     | 0 none, 1 LZ4 (block format), 2 Zstandard (one frame) |
//! | checksum    | 4     | CRC-32C, little-endian, of the number of the file (8 bytes, little-endian), the offset of the frame in it (8 bytes, little-endian), payload and compression |
//!
//! A frame that lies in another file or at another offset than it was written for is thus noticed
//! just like a flipped bit. Bytes are only decompressed after their checksum was found right, and
//! even then a length is bounded by what so few bytes can possibly mean.

use std::cell::RefCell;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

use crate::row::FileId;

/// The most raw bytes that a frame may hold.
pub(crate) const RAW_MAX: usize = 256 << 20;
/// What comes behind the payload.
pub(crate) const TRAILER: usize = 5;

const LENGTH: usize = 4;
const NONE: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
const ZSTD_LEVEL: i32 = 3;
/// The most that a block of a Zstandard frame decompresses to, and the least it takes.
const ZSTD_BLOCK: (usize, usize) = (128 << 10, 3);

/// How the blocks of a tree are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4: quick to write and to read.
    #[default]
    Lz4,
    /// Zstandard: smaller, and several times slower to write.
    Zstd,
}

/// Where a frame lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) offset: u64,
    /// Trailer included.
    pub(crate) length: u32,
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Fault {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Memory of the compressors that is worth keeping: making it costs more than a small block.
struct Tools {
    lz4_small: CompressTable,
    lz4_large: Option<CompressTable>,
    zstd: Option<Compressor<'static>>,
    unzstd: Option<Decompressor<'static>>,
}

thread_local! {
    static TOOLS: RefCell<Tools> = RefCell::new(Tools {
        lz4_small: CompressTable::small(),
        lz4_large: None,
        zstd: None,
        unzstd: None,
    });
}

/// Appends the frame of `raw` to `out`, which is to lie at `offset` of `file`, and returns its
/// length. `raw` is at most [`RAW_MAX`] bytes long.
pub(crate) fn seal(
    raw: &[u8],
    compression: Compression,
    file: FileId,
    offset: u64,
    out: &mut Vec<u8>,
) -> u32 {
    debug_assert!(raw.len() <= RAW_MAX);
    let start = out.len();
    let compression = match compression {
        Compression::None => NONE,
        Compression::Lz4 => compress(raw, LZ4, out),
        Compression::Zstd => compress(raw, ZSTD, out),
    };
    if compression == NONE {
        out.reserve_exact(raw.len() + TRAILER);
        out.extend_from_slice(raw);
    }
    out.push(compression);
    let sum = checksum(&out[start..], file, offset);
    out.extend_from_slice(&sum.to_le_bytes());
    u32::try_from(out.len() - start).unwrap_or(u32::MAX)
}

/// Appends the compressed form of `raw` and returns what `how` came to: nothing is appended and it
/// is [`NONE`] if it is not worth decompressing.
fn compress(raw: &[u8], how: u8, out: &mut Vec<u8>) -> u8 {
    let start = out.len();
    let body = start + LENGTH;
    let bound = if how == LZ4 {
        get_maximum_output_size(raw.len())
    } else {
        compress_bound(raw.len())
    };
    out.resize(body + bound, 0);
    let written = TOOLS.with_borrow_mut(|tools| tools.compress(raw, how, &mut out[body..]));
    if let Some(written) = written
        && let Ok(length) = u32::try_from(raw.len())
        && LENGTH + written <= raw.len() - raw.len() / 16
    {
        out[start..body].copy_from_slice(&length.to_le_bytes());
        out.truncate(body + written);
        return how;
    }
    out.truncate(start);
    NONE
}

impl Tools {
    fn compress(&mut self, raw: &[u8], how: u8, out: &mut [u8]) -> Option<usize> {
        if how == LZ4 {
            // Always the same table for the same length: what is written must not depend on what
            // the thread wrote before.
            let table = if raw.len() < usize::from(u16::MAX) {
                &mut self.lz4_small
            } else {
                self.lz4_large.get_or_insert_with(CompressTable::large)
            };
            return compress_into_with_table(raw, out, table).ok();
        }
        if self.zstd.is_none() {
            self.zstd = Compressor::new(ZSTD_LEVEL).ok();
        }
        self.zstd.as_mut()?.compress_to_buffer(raw, out).ok()
    }

    fn unzstd(&mut self, packed: &[u8], out: &mut [u8]) -> Result<usize, String> {
        let unzstd = match &mut self.unzstd {
            Some(unzstd) => unzstd,
            none => none.insert(Decompressor::new().map_err(|error| error.to_string())?),
        };
        unzstd
            .decompress_to_buffer(packed, out)
            .map_err(|error| error.to_string())
    }
}

/// Checks the frame that was read from `offset` of `file` and gives the raw bytes in it, which lie
/// in the frame itself or in `scratch`.
pub(crate) fn unseal<'a>(
    frame: &'a [u8],
    file: FileId,
    offset: u64,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Fault> {
    let Some((summed, stored)) = frame.split_last_chunk::<4>() else {
        return Err(too_short(frame));
    };
    let Some((&compression, payload)) = summed.split_last() else {
        return Err(too_short(frame));
    };
    let (stored, sum) = (u32::from_le_bytes(*stored), checksum(summed, file, offset));
    if stored != sum {
        return Err(Fault::new(
            format!("a frame with checksum {sum:08x}"),
            format!("checksum {stored:08x}"),
        ));
    }
    match compression {
        NONE if payload.len() <= RAW_MAX => Ok(payload),
        LZ4 | ZSTD => decompress(payload, compression, scratch),
        _ => Err(Fault::new(
            "compression 0, 1 or 2 of at most 256 MiB",
            format!("compression {compression} of {} bytes", payload.len()),
        )),
    }
}

fn too_short(frame: &[u8]) -> Fault {
    Fault::new(
        format!("a frame of at least {TRAILER} bytes"),
        format!("{} bytes", frame.len()),
    )
}

fn decompress<'a>(payload: &[u8], how: u8, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Fault> {
    let Some((length, packed)) = payload.split_first_chunk::<LENGTH>() else {
        return Err(Fault::new("a length before compressed bytes", "no bytes"));
    };
    let length = u32::from_le_bytes(*length) as usize;
    let plausible = if how == LZ4 {
        255 * packed.len() + 64
    } else {
        (packed.len() / ZSTD_BLOCK.1 + 1) * ZSTD_BLOCK.0
    };
    if length > plausible.min(RAW_MAX) {
        return Err(Fault::new(
            format!("at most {} bytes in a frame", plausible.min(RAW_MAX)),
            format!("a length of {length}"),
        ));
    }
    // What lies in it already is overwritten, so it is only cleared where it grows.
    if scratch.len() < length {
        scratch.resize(length, 0);
    }
    let raw = &mut scratch[..length];
    let written = if how == LZ4 {
        lz4_flex::block::decompress_into(packed, raw).map_err(|error| error.to_string())
    } else {
        TOOLS.with_borrow_mut(|tools| tools.unzstd(packed, raw))
    };
    match written {
        Ok(written) if written == length => Ok(&scratch[..length]),
        Ok(written) => Err(Fault::new(
            format!("{length} bytes when decompressed"),
            format!("{written} bytes"),
        )),
        Err(error) => Err(Fault::new("compressed bytes", error)),
    }
}

/// CRC-32C of bytes that lie at this place of this file: at another place it is another.
pub(crate) fn checksum(summed: &[u8], file: FileId, offset: u64) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&file.0.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), summed)
}

#[cfg(test)]
mod tests;
