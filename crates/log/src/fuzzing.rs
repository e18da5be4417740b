//! The decoders of the log as functions of any bytes. For fuzzing only: no promise is made to
//! anybody else.
//!
//! A function says whether the bytes could be read; it panics if what came out does not come back
//! when it is encoded again. Bytes are read twice: as they are, and with a checksum that fits, or
//! nothing behind it would ever be reached.

use std::path::Path;

use crate::record::{HEADER_BYTES, Seed, decode};
use crate::segment::Header;
use crate::{Group, Index, LogId, Position, Record, Term, Vote};

const DATABASE: [u8; 16] = [7; 16];
const POSITION: Position = Position::new(4096);
/// Of a segment's header: what is under its checksum, and where that ends.
const SUMMED: usize = 56;

fn seed() -> Seed {
    Seed::new(DATABASE, 3)
}

/// A record.
#[must_use]
pub fn record(input: &[u8]) -> bool {
    let as_it_is = record_as_it_is(input);
    let mut mended = input.to_vec();
    if let Some(header) = input.first_chunk::<HEADER_BYTES>() {
        let [_, _, _, _, a, b, c, d, ..] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if let Some(summed) = input.get(4..HEADER_BYTES + length) {
            let sum = seed().checksum(POSITION, summed);
            mended[..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    record_as_it_is(&mended) | as_it_is
}

fn record_as_it_is(bytes: &[u8]) -> bool {
    let Ok(decoded) = decode(bytes, seed(), POSITION) else {
        return false;
    };
    assert!(decoded.size <= bytes.len() && decoded.size >= HEADER_BYTES);
    let mut again = Vec::new();
    decoded.record.encode(seed(), POSITION, &mut again);
    assert_eq!(again.len(), decoded.record.encoded_len());
    let found = decode(&again, seed(), POSITION).map(|again| again.record);
    assert_eq!(found, Ok(decoded.record));
    true
}

/// One of each kind.
#[must_use]
pub fn records() -> Vec<Vec<u8>> {
    let group = Group::new(2);
    let id = LogId {
        index: Index::new(1000),
        term: Term::new(3),
    };
    let vote = Vote {
        term: Term::new(4),
        node: 17,
        committed: true,
    };
    let payload: Vec<u8> = (0..=255).collect();
    let payload = payload.as_slice();
    [
        Record::Batch {
            durable: Position::new(4000),
            bytes: 4096,
            records: 3,
        },
        Record::Entry { group, id, payload },
        Record::Vote { group, vote },
        Record::TruncateAfter { group, last: id },
        Record::PurgeUpTo { group, up_to: id },
        Record::Checkpoint {
            group,
            last: id,
            purged: LogId::default(),
            vote: Some(vote),
        },
    ]
    .iter()
    .map(|record| {
        let mut out = Vec::new();
        record.encode(seed(), POSITION, &mut out);
        out
    })
    .collect()
}

/// The header of a segment.
#[must_use]
pub fn segment_header(input: &[u8]) -> bool {
    let as_it_is = segment_header_as_it_is(input);
    let mut mended = input.to_vec();
    if let Some((summed, sum)) = mended.split_at_mut_checked(SUMMED)
        && let Some(sum) = sum.first_chunk_mut()
    {
        *sum = crc32c::crc32c(summed).to_le_bytes();
    }
    segment_header_as_it_is(&mended) | as_it_is
}

fn segment_header_as_it_is(bytes: &[u8]) -> bool {
    let path = Path::new("segment");
    let Ok(header) = Header::decode(path, bytes) else {
        return false;
    };
    let again = Header::decode(path, &header.encode());
    assert!(again.is_ok_and(|again| again == header));
    true
}

/// One header.
#[must_use]
pub fn segment_headers() -> Vec<Vec<u8>> {
    let header = Header {
        database: DATABASE,
        generation: 3,
        base: POSITION,
        file_bytes: 64 << 20,
    };
    vec![header.encode().to_vec()]
}
