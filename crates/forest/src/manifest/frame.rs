//! The bytes of a manifest file: its header, its frames, and what to make of a file that ends
//! badly. Pure; the layout is in the [module above](super).

use std::path::Path;

use super::edit::Edit;
use crate::DiskError;

/// The format that this version reads and writes.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 48;
pub(crate) const FRAME_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"NXMANIFS";
pub(crate) const MARK: [u8; 4] = *b"NXED";

/// Which manifest a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) database: [u8; 16],
    pub(crate) number: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.database);
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(path: &Path, file: &[u8]) -> Result<Self, DiskError> {
        let damage = |at, expected: &str, found| Err(DiskError::corrupt(path, at, expected, found));
        let Some(bytes) = file.first_chunk::<HEADER_BYTES>() else {
            let found = format!("{} bytes", file.len());
            return damage(0, "the header of a manifest", found);
        };
        if bytes[..8] != MAGIC {
            return damage(0, "the mark of a manifest", format!("{:02x?}", &bytes[..8]));
        }
        let (checksum, computed) = (u32_at(bytes, 44), crc32c::crc32c(&bytes[..44]));
        if checksum != computed {
            let expected = format!("the header's checksum {computed:08x}");
            return damage(44, &expected, format!("{checksum:08x}"));
        }
        let format = u32_at(bytes, 8);
        if format != FORMAT {
            let expected = format!("manifest format {FORMAT}, the only one this program knows");
            return damage(8, &expected, format!("format {format}"));
        }
        let mut database = [0; 16];
        database.copy_from_slice(&bytes[16..32]);
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[32..40]);
        Ok(Self {
            database,
            number: u64::from_le_bytes(number),
        })
    }

    /// The link that the first frame hangs on.
    pub(crate) fn link(&self) -> u32 {
        u32_at(&self.encode(), 44)
    }

    pub(crate) fn checksum(&self, offset: u64, previous: u32, payload: &[u8]) -> u32 {
        let mut sum = crc32c::crc32c(&self.database);
        for part in [self.number, offset] {
            sum = crc32c::crc32c_append(sum, &part.to_le_bytes());
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        for part in [length, previous] {
            sum = crc32c::crc32c_append(sum, &part.to_le_bytes());
        }
        crc32c::crc32c_append(sum, payload)
    }

    /// The frame of an edit, to stand at `offset` behind the frame with checksum `previous`; and
    /// its own checksum.
    pub(crate) fn frame(&self, offset: u64, previous: u32, edit: &Edit) -> (Vec<u8>, u32) {
        let payload = edit.encode();
        let checksum = self.checksum(offset, previous, &payload);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(FRAME_BYTES + payload.len());
        bytes.extend_from_slice(&MARK);
        for part in [length, previous, checksum] {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        bytes.extend_from_slice(&payload);
        (bytes, checksum)
    }

    /// The frame at `offset`, if a whole and valid one is there.
    fn frame_at<'a>(&self, file: &'a [u8], offset: usize) -> Result<Frame<'a>, String> {
        let bytes = &file[offset..];
        let Some((head, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() else {
            return Err(format!("{} bytes", bytes.len()));
        };
        if head[..4] != MARK {
            return Err(format!("{:02x?}", &head[..4]));
        }
        let [length, previous, checksum] = [4, 8, 12].map(|at| u32_at(head, at));
        let Some(payload) = usize::try_from(length).ok().and_then(|n| rest.get(..n)) else {
            return Err(format!(
                "a length of {length} with {} bytes left",
                rest.len()
            ));
        };
        let computed = self.checksum(offset as u64, previous, payload);
        if checksum != computed {
            return Err(format!(
                "checksum {checksum:08x} over bytes of {computed:08x}"
            ));
        }
        Ok(Frame {
            previous,
            checksum,
            payload,
        })
    }
}

struct Frame<'a> {
    previous: u32,
    checksum: u32,
    payload: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// What a manifest file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) header: Header,
    /// Each edit with the offset of its frame.
    pub(crate) edits: Vec<(u64, Edit)>,
    /// Where the last frame ends.
    pub(crate) end: u64,
    /// The checksum of the last frame.
    pub(crate) link: u32,
    /// Whether something other than zeros follows: the rest of a write that was never finished.
    pub(crate) torn: bool,
}

/// Reads a manifest file as far as it goes. With the error come the contents up to there, if
/// there is a header.
pub(crate) fn parse(path: &Path, file: &[u8]) -> (Option<Contents>, Option<DiskError>) {
    let header = match Header::decode(path, file) {
        Ok(header) => header,
        Err(error) => return (None, Some(error)),
    };
    let mut contents = Contents {
        header,
        edits: Vec::new(),
        end: HEADER_BYTES as u64,
        link: header.link(),
        torn: false,
    };
    let error = read_frames(path, file, &mut contents).err();
    (Some(contents), error)
}

fn read_frames(path: &Path, file: &[u8], contents: &mut Contents) -> Result<(), DiskError> {
    let header = contents.header;
    let mut at = HEADER_BYTES;
    loop {
        let offset = at as u64;
        let damage =
            |expected: &str, found: String| DiskError::corrupt(path, offset, expected, found);
        let rest = &file[at..];
        // The first frame was durable before the file got its place: without it, it is damaged.
        let is_first = contents.edits.is_empty();
        if !is_first && rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let frame = match header.frame_at(file, at) {
            Ok(frame) => frame,
            Err(found) if is_first => return Err(damage("the snapshot of all trees", found)),
            Err(found) => {
                let mut later = at + 1..file.len();
                if let Some(later) = later.find(|at| header.frame_at(file, *at).is_ok()) {
                    let expected = format!("an edit, as a valid one follows at {later}");
                    return Err(damage(&expected, found));
                }
                contents.torn = true;
                return Ok(());
            }
        };
        if frame.previous != contents.link {
            let expected = format!("an edit that follows the one of {:08x}", contents.link);
            return Err(damage(&expected, format!("one of {:08x}", frame.previous)));
        }
        let edit = Edit::decode(frame.payload).map_err(|found| damage("a known edit", found))?;
        contents.edits.push((offset, edit));
        at += FRAME_BYTES + frame.payload.len();
        contents.end = at as u64;
        contents.link = frame.checksum;
    }
}
