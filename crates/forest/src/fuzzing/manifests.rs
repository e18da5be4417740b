//! The manifest: an edit, and a file of them.

use std::path::Path;

use bytes::Bytes;

use super::tables::tables;
use crate::manifest::edit::{BlobMeta, Edit};
use crate::manifest::frame::{Contents, FRAME_BYTES, HEADER_BYTES, Header, MARK, parse};
use crate::manifest::state::State;
use crate::range_delete::RangeDelete;
use crate::row::FileId;
use crate::{Seqno, TreeId};

const DATABASE: [u8; 16] = [7; 16];
const TREE: TreeId = TreeId::new(5);

/// An edit: encoded again, it is the same bytes; and a state takes or refuses it.
#[must_use]
pub fn manifest_edit(input: &[u8]) -> bool {
    let Ok(edit) = Edit::decode(input) else {
        return false;
    };
    assert_eq!(edit.encode(), input);
    let mut state = State::default();
    let _ = state.apply(&edit);
    replay(&[(0, edit)]);
    true
}

/// What a state is after these edits can be said in one.
fn replay(edits: &[(u64, Edit)]) {
    let mut state = State::default();
    for (_, edit) in edits {
        if state.apply_or_spoil(edit).is_err() {
            return;
        }
    }
    let snapshot = state.to_edit();
    assert_eq!(Edit::decode(&snapshot.encode()), Ok(snapshot.clone()));
    let mut again = State::default();
    assert_eq!(
        again.apply(&snapshot),
        Ok(()),
        "a snapshot of a valid state"
    );
    assert_eq!(again.to_edit(), snapshot);
}

pub(super) fn edits() -> Vec<Vec<u8>> {
    edit_list().iter().map(Edit::encode).collect()
}

fn edit_list() -> [Edit; 4] {
    let [plain, full] = tables();
    let delete = RangeDelete {
        start: Bytes::from_static(b"b"),
        end: Some(Bytes::from_static(b"c")),
        seqno: Seqno::new(40),
    };
    let endless = RangeDelete {
        end: None,
        ..delete.clone()
    };
    let first = Edit {
        flushed_through: Some(Seqno::new(2000)),
        next_file: 0x40,
        log_generation: Some(3),
        trees_created: vec![
            (TREE, "rows".to_owned()),
            (TreeId::new(6), "full".to_owned()),
        ],
        blobs_added: vec![BlobMeta {
            id: FileId(0x30),
            bytes: 2 << 20,
            values: 13,
        }],
        added: vec![(TREE, 0, plain.clone()), (TREE, 1, full.clone())],
        range_deletes_added: vec![(TREE, delete.clone()), (TREE, endless)],
        ..Edit::default()
    };
    let second = Edit {
        next_file: 0x50,
        trees_dropped: vec![(TreeId::new(6), Seqno::new(2001))],
        removed: vec![(TREE, 0, plain.id)],
        moved: vec![(TREE, full.id, 1, 2)],
        ..Edit::default()
    };
    let third = Edit {
        trees_removed: vec![TreeId::new(6)],
        removed: vec![(TREE, 2, full.id)],
        blobs_removed: vec![FileId(0x30)],
        range_deletes_retired: vec![(TREE, delete)],
        ..Edit::default()
    };
    [first, second, third, Edit::default()]
}

/// A manifest file: what was read of it is, frame by frame, what is written for it.
#[must_use]
pub fn manifest_file(input: &[u8]) -> bool {
    let as_it_is = manifest_file_as_it_is(input);
    manifest_file_as_it_is(&mended(input)) | as_it_is
}

fn manifest_file_as_it_is(file: &[u8]) -> bool {
    let (contents, error) = parse(Path::new("MANIFEST"), file);
    let Some(contents) = contents else {
        assert!(error.is_some());
        return false;
    };
    let mut bytes = Vec::new();
    let mut link = contents.header.link();
    for (at, edit) in &contents.edits {
        assert_eq!(*at, (HEADER_BYTES + bytes.len()) as u64);
        let (frame, next) = contents.header.frame(*at, link, edit);
        bytes.extend_from_slice(&frame);
        link = next;
    }
    let Contents {
        end, link: last, ..
    } = contents;
    assert_eq!((end, last), ((HEADER_BYTES + bytes.len()) as u64, link));
    assert!(file[HEADER_BYTES..].starts_with(&bytes));
    replay(&contents.edits);
    error.is_none()
}

/// The same with checksums and links that fit, as far as frames follow each other.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut file = input.to_vec();
    if file.len() < HEADER_BYTES {
        return file;
    }
    let sum = crc32c::crc32c(&file[..HEADER_BYTES - 4]);
    file[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    let header = Header {
        database: file[16..].first_chunk().copied().unwrap_or_default(),
        number: u64::from_le_bytes(file[32..].first_chunk().copied().unwrap_or_default()),
    };
    let (mut at, mut link) = (HEADER_BYTES, header.link());
    while let Some((head, rest)) = file[at..].split_first_chunk_mut::<FRAME_BYTES>() {
        let [a, b, c, d, e, f, g, h, ..] = *head;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        let (true, Some(payload)) = ([a, b, c, d] == MARK, rest.get(..length)) else {
            break;
        };
        let sum = header.checksum(at as u64, link, payload);
        head[8..12].copy_from_slice(&link.to_le_bytes());
        head[12..].copy_from_slice(&sum.to_le_bytes());
        at += FRAME_BYTES + length;
        link = sum;
    }
    file
}

pub(super) fn files() -> Vec<Vec<u8>> {
    let header = Header {
        database: DATABASE,
        number: 9,
    };
    let (mut file, mut link) = (header.encode().to_vec(), header.link());
    for edit in edit_list() {
        let (frame, next) = header.frame(file.len() as u64, link, &edit);
        file.extend_from_slice(&frame);
        link = next;
    }
    let with = |end: &[u8]| [file.as_slice(), end].concat();
    vec![with(&[]), with(&[0; 100]), with(b"torn")]
}
