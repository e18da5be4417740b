//! How an entry is written as the value of a row.
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | flags: 1 it expires, 2 it has a media type; the others are 0 |
//! | 8, if it expires | when, in milliseconds since 1970, big-endian |
//! | 1 + n, if it has a media type | its length, and the media type in UTF-8 |
//! | the rest | the value |

use bytes::{Buf, Bytes};

use nexusbase_db::TRANSACTION_BYTES_MAX;

use super::failure::Fault;
use super::{OVERHEAD_BYTES, expiry};
use crate::domain::{Entry, Error, ErrorKind, Operation, Put, Result as Checked, RowRef, Write};

const EXPIRES: u8 = 1;
const HAS_MEDIA_TYPE: u8 = 2;

/// The row for `put`, whose media type is within its limit.
pub(super) fn encode(put: &Put<'_>) -> Vec<u8> {
    let media_type = put.media_type.unwrap_or_default();
    let mut row = Vec::with_capacity(10 + media_type.len() + put.value.len());
    let mut flags = 0;
    if put.expires_ms.is_some() {
        flags |= EXPIRES;
    }
    if put.media_type.is_some() {
        flags |= HAS_MEDIA_TYPE;
    }
    row.push(flags);
    if let Some(time) = put.expires_ms {
        row.extend_from_slice(&time.to_be_bytes());
    }
    if put.media_type.is_some() {
        row.push(u8::try_from(media_type.len()).unwrap_or(u8::MAX));
        row.extend_from_slice(media_type.as_bytes());
    }
    row.extend_from_slice(put.value);
    row
}

/// What the database counts for each row of a transaction beside key and value.
const COUNTED_BYTES: usize = 16;

/// What a write takes of a transaction's room at most: its row, and if it expires, one row about
/// that which is put and one which is deleted.
fn bytes(write: &Write<'_>) -> usize {
    let row = |key: usize| COUNTED_BYTES + key;
    match write {
        Write::Delete(key) => row(key.len()),
        Write::Put(key, put) => {
            let media_type = put.media_type.map_or(0, |text| 1 + text.len());
            let value = 1 + media_type + put.value.len();
            let expires = match put.expires_ms {
                Some(_) => 8 + 2 * row(expiry::HEADER_BYTES + key.len()),
                None => 0,
            };
            row(key.len()) + value + expires
        }
    }
}

/// Refuses a batch that does not fit into one transaction of the database, with its real size.
pub(super) fn check_room(operation: Operation, writes: &[Write<'_>]) -> Checked<()> {
    let limit = TRANSACTION_BYTES_MAX - OVERHEAD_BYTES;
    let bytes = writes.iter().map(bytes).sum();
    if bytes > limit {
        let what = "a batch";
        let kind = ErrorKind::TooLarge { what, bytes, limit };
        return Err(Error::new(operation, kind));
    }
    Ok(())
}

/// What a row says that is a value and nothing else.
#[inline]
pub(super) fn plain<'a>(key: &'a [u8], row: &'a [u8]) -> Option<RowRef<'a>> {
    let (0, value) = row.split_first()? else {
        return None;
    };
    Some(RowRef {
        key,
        value,
        expires_ms: None,
        media_type: None,
    })
}

/// What a row says.
#[inline]
pub(super) fn decode<'a>(key: &'a [u8], row: &'a [u8]) -> Result<RowRef<'a>, Fault> {
    if let Some(plain) = plain(key, row) {
        return Ok(plain);
    }
    let nonsense = || Fault::nonsense("a row is no entry: its first bytes make no sense");
    decode_rare(key, row).ok_or_else(nonsense)
}

#[cold]
fn decode_rare<'a>(key: &'a [u8], row: &'a [u8]) -> Option<RowRef<'a>> {
    let (flags, mut rest) = row.split_first()?;
    if flags & !(EXPIRES | HAS_MEDIA_TYPE) != 0 {
        return None;
    }
    let (mut expires_ms, mut media_type) = (None, None);
    if flags & EXPIRES != 0 {
        let (time, behind) = rest.split_first_chunk()?;
        expires_ms = Some(u64::from_be_bytes(*time));
        rest = behind;
    }
    if flags & HAS_MEDIA_TYPE != 0 {
        let (length, behind) = rest.split_first()?;
        let (text, behind) = behind.split_at_checked(usize::from(*length))?;
        media_type = Some(std::str::from_utf8(text).ok()?);
        rest = behind;
    }
    Some(RowRef {
        key,
        value: rest,
        expires_ms,
        media_type,
    })
}

/// What a row says, in memory of its own; none if it has expired at `now_ms`.
pub(super) fn entry(row: Bytes, now_ms: impl FnOnce() -> u64) -> Result<Option<Entry>, Fault> {
    let found = decode(&[], &row)?;
    if found.expires_ms.is_some_and(|time| time <= now_ms()) {
        return Ok(None);
    }
    let header = row.len() - found.value.len();
    let (expires_ms, media_type) = (found.expires_ms, found.media_type.map(Into::into));
    // The memtable's rows share memory with others of their log entry.
    let value = if row.is_unique() {
        let mut value = row;
        value.advance(header);
        value
    } else {
        Bytes::copy_from_slice(&row[header..])
    };
    Ok(Some(Entry {
        value,
        expires_ms,
        media_type,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of format 1. Never change what is expected here.
    #[test]
    fn golden_rows() {
        let plain = Put::new(b"value");
        assert_eq!(encode(&plain), b"\0value");
        let full = Put {
            value: b"v",
            expires_ms: Some(258),
            media_type: Some("a/b"),
        };
        assert_eq!(encode(&full), b"\x03\0\0\0\0\0\0\x01\x02\x03a/bv");
        for put in [
            plain,
            full,
            Put {
                expires_ms: None,
                ..full
            },
            Put {
                media_type: None,
                ..full
            },
        ] {
            let row = encode(&put);
            assert_eq!(decode(b"k", &row).unwrap().as_put(), put);
            let found = entry(Bytes::from(row), || 257).unwrap();
            assert_eq!(found, Some(put.to_entry()));
        }
        assert_eq!(entry(Bytes::from(encode(&full)), || 258).unwrap(), None);
    }

    #[test]
    fn rows_that_make_no_sense_are_errors() {
        for row in [
            &b""[..],
            b"\x04",
            b"\x01\0\0",
            b"\x02",
            b"\x02\x05abc",
            b"\x02\x01\xff",
        ] {
            assert!(decode(b"k", row).is_err(), "{row:?}");
        }
    }
}
