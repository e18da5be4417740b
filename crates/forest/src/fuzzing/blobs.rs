//! Values apart from their keys: a frame, and a file of them.

use crate::table::frame::checksum;
use std::path::Path;

use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

use super::{FILE, noise, text};
use crate::blob::frame::{CHECKSUM_BYTES, FRAME_BYTES, HEAD_BYTES, Opened, length, open, seal};
use crate::blob::{BlobFile, HEADER_BYTES, header};
use crate::table::filter::hash_key;

/// A frame by itself lies here.
const OFFSET: u64 = HEADER_BYTES as u64;

/// The frame of a value: sealed again, it opens to the same value.
#[must_use]
pub fn blob_frame(input: &[u8]) -> bool {
    let as_it_is = blob_frame_as_it_is(input);
    let mut mended = input.to_vec();
    mend(&mut mended, OFFSET);
    blob_frame_as_it_is(&mended) | as_it_is
}

fn blob_frame_as_it_is(frame: &[u8]) -> bool {
    let place = (FILE, OFFSET);
    let Ok((hash, opened)) = open(frame, place) else {
        return false;
    };
    let value = value(frame, &opened);
    let mut again = Vec::new();
    let sealed = seal(&mut again, place, hash, value);
    assert_eq!(sealed.map(|length| length as usize), Some(again.len()));
    let (found, opened) = match open(&again, place) {
        Ok(found) => found,
        Err(wrong) => unreachable!("what was sealed just now: {wrong:?}"),
    };
    assert_eq!((found, self::value(&again, &opened)), (hash, value));
    true
}

fn value<'a>(frame: &'a [u8], opened: &'a Opened) -> &'a [u8] {
    match opened {
        Opened::Plain => &frame[HEAD_BYTES..frame.len() - CHECKSUM_BYTES],
        Opened::Unpacked(value) => value,
    }
}

/// Makes the checksum of a frame at `offset` fit.
fn mend(frame: &mut [u8], offset: u64) {
    if let Some((body, end)) = frame.split_last_chunk_mut() {
        *end = checksum(body, FILE, offset).to_le_bytes();
    }
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    values()
        .map(|value| {
            let mut out = Vec::new();
            seal(&mut out, (FILE, OFFSET), hash_key(b"key"), &value);
            out
        })
        .collect()
}

fn values() -> impl Iterator<Item = Vec<u8>> {
    [text(900), noise(100), Vec::new(), vec![0; 2000], text(30)].into_iter()
}

/// A blob file: walked from front to back, and each value read by itself.
#[must_use]
pub fn blob_file(input: &[u8]) -> bool {
    let as_it_is = blob_file_as_it_is(input);
    blob_file_as_it_is(&mended(input)) | as_it_is
}

fn blob_file_as_it_is(bytes: &[u8]) -> bool {
    let (disk, path) = (SimDisk::new(0), Path::new("/blob"));
    disk.set_file_bytes(path, bytes);
    let env = Env::simulated(&disk, 0);
    let Ok(file) = BlobFile::open(&*env.fs, path, FILE, bytes.len() as u64) else {
        return false;
    };
    let mut values = 0;
    let walked = file.walk(|frame| {
        let read = file.read(frame.at, frame.key_hash)?;
        assert_eq!(read, frame.value);
        assert!(file.read(frame.at, !frame.key_hash).is_err());
        values += 1;
        Ok(())
    });
    walked.is_ok_and(|summary| {
        assert_eq!(
            (summary.bytes, summary.values),
            (bytes.len() as u64, values)
        );
        true
    })
}

/// The same with header and checksums that fit, as far as frames follow each other.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut file = input.to_vec();
    let Some(front) = file.first_chunk_mut::<HEADER_BYTES>() else {
        return file;
    };
    *front = header(FILE);
    let mut at = HEADER_BYTES;
    while let Some(head) = file[at..].first_chunk::<HEAD_BYTES>() {
        let length = usize::try_from(length(*head)).unwrap_or(usize::MAX);
        let Some(frame) = file[at..].get_mut(..length.max(FRAME_BYTES)) else {
            break;
        };
        mend(frame, at as u64);
        at += frame.len();
    }
    file
}

pub(super) fn files() -> Vec<Vec<u8>> {
    let mut file = header(FILE).to_vec();
    for value in values() {
        let offset = file.len() as u64;
        seal(&mut file, (FILE, offset), hash_key(b"key"), &value);
    }
    vec![file, header(FILE).to_vec()]
}
