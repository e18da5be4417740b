//! The frame around one value in a blob file.
//!
//! ```text
//! stored length u32 LE | hash of the key u64 LE | compression u8 | stored value | crc32c u32 LE
//! ```
//!
//! The checksum is over everything before it, seeded with the file's number and the frame's place,
//! so that a frame at the wrong place is noticed. Compression 0: the value as it is; 1: its length
//! (u32 LE) and the value as an LZ4 block.

use crate::row::FileId;
use crate::table::frame::checksum;

/// Length, hash and compression.
pub(crate) const HEAD_BYTES: usize = 13;
pub(crate) const CHECKSUM_BYTES: usize = 4;
/// What a frame adds to its value.
pub(crate) const FRAME_BYTES: usize = HEAD_BYTES + CHECKSUM_BYTES;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// An LZ4 block of n bytes never decodes to more than this many times n.
const LZ4_RATIO_MAX: usize = 255;

/// What is wrong with a frame: what was expected, and what was found.
pub(crate) type Wrong = (&'static str, String);

/// A value out of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It lies in the frame as it is, from [`HEAD_BYTES`] on.
    Plain,
    /// It was compressed.
    Unpacked(Vec<u8>),
}

/// Appends the frame of a value to `out`, and returns its length; `None` if the value is too long.
pub(crate) fn seal(
    out: &mut Vec<u8>,
    (file, offset): (FileId, u64),
    key_hash: u64,
    value: &[u8],
) -> Option<u32> {
    let raw_length = u32::try_from(value.len()).ok()?;
    let packed = lz4_flex::block::compress(value);
    // Less than a sixteenth saved is not worth unpacking.
    let pays = packed.len() + 4 <= value.len() - value.len() / 16 && !value.is_empty();
    let stored_bytes = if pays { packed.len() + 4 } else { value.len() };
    let stored_length = u32::try_from(stored_bytes).ok()?;
    let frame_length = stored_length.checked_add(u32::try_from(FRAME_BYTES).ok()?)?;

    let start = out.len();
    out.reserve(stored_bytes + FRAME_BYTES);
    out.extend_from_slice(&stored_length.to_le_bytes());
    out.extend_from_slice(&key_hash.to_le_bytes());
    if pays {
        out.push(LZ4);
        out.extend_from_slice(&raw_length.to_le_bytes());
        out.extend_from_slice(&packed);
    } else {
        out.push(PLAIN);
        out.extend_from_slice(value);
    }
    let checksum = checksum(&out[start..], file, offset);
    out.extend_from_slice(&checksum.to_le_bytes());
    Some(frame_length)
}

/// How long the frame is that begins with these bytes, if it is whole. Not checked yet.
pub(crate) fn length(head: [u8; HEAD_BYTES]) -> u64 {
    let [a, b, c, d, ..] = head;
    u64::from(u32::from_le_bytes([a, b, c, d])) + FRAME_BYTES as u64
}

/// Checks a frame, all of it and nothing more, and returns the hash of its key and its value.
pub(crate) fn open(frame: &[u8], (file, offset): (FileId, u64)) -> Result<(u64, Opened), Wrong> {
    let short = || ("a frame", format!("{} bytes", frame.len()));
    let (body, stored_checksum) = frame.split_last_chunk().ok_or_else(short)?;
    let (head, stored) = body.split_first_chunk::<HEAD_BYTES>().ok_or_else(short)?;
    let found = checksum(body, file, offset);
    if u32::from_le_bytes(*stored_checksum) != found {
        return Err(("a frame with its checksum", format!("{found:08x}")));
    }
    if length(*head) != frame.len() as u64 {
        return Err(("a frame of its length", format!("{} bytes", frame.len())));
    }
    let [_, _, _, _, hash @ .., compression] = *head;
    let opened = match compression {
        PLAIN => Opened::Plain,
        LZ4 => Opened::Unpacked(unpack(stored)?),
        other => return Err(("a known compression", other.to_string())),
    };
    Ok((u64::from_le_bytes(hash), opened))
}

fn unpack(stored: &[u8]) -> Result<Vec<u8>, Wrong> {
    let wrong = |found: String| ("an LZ4 block", found);
    let (length, packed) = stored
        .split_first_chunk()
        .ok_or_else(|| wrong(format!("{} bytes", stored.len())))?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > packed.len().saturating_mul(LZ4_RATIO_MAX) {
        return Err(wrong(format!("{} bytes for {length}", packed.len())));
    }
    let value = lz4_flex::block::decompress(packed, length).map_err(|e| wrong(e.to_string()))?;
    if value.len() != length {
        return Err(wrong(format!("{} bytes for {length}", value.len())));
    }
    Ok(value)
}
