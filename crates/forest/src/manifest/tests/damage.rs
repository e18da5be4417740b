//! What is damaged is refused, and what is only unfinished is not.

use super::*;

/// A manifest of several edits, none of them empty.
fn written() -> (SimDisk, State, State) {
    let disk = disk(8);
    let mut manifest = open_as(&disk, ManifestOptions::default()).unwrap().0;
    let mut rng = SimRng::new(8);
    append_some(&mut manifest, 6, &mut rng);
    let before = manifest.state().clone();
    append_some(&mut manifest, 1, &mut rng);
    (disk, before, manifest.state().clone())
}

fn expect_error(disk: &SimDisk, what: &str) {
    let before: Vec<_> = disk
        .paths()
        .into_iter()
        .map(|p| disk.file_bytes(&p))
        .collect();
    let error = open_as(disk, SHORT).unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
    let after: Vec<_> = disk
        .paths()
        .into_iter()
        .map(|p| disk.file_bytes(&p))
        .collect();
    assert_eq!(before, after, "nothing is changed");
}

/// Trap T16. Any flipped bit is an error, except in the last frame, which is taken for one that
/// was never finished (reported, and the state is that before it): only a claim could tell.
#[test]
fn every_flipped_bit_is_noticed() {
    let (disk, before, _) = written();
    let path = manifest_path(&disk);
    let edits = read(&disk, dir()).unwrap().contents.unwrap().edits;
    let last = edits.last().unwrap().0;
    let length = disk.file_bytes(&path).unwrap().len() as u64;
    for offset in 0..length {
        let disk = disk.fork();
        disk.flip_bit(&path, offset, u8::try_from(offset % 8).unwrap())
            .unwrap();
        if offset < last {
            expect_error(&disk, "is damaged at offset");
            continue;
        }
        let (manifest, report) = open_as(&disk, SHORT).unwrap();
        assert_eq!(report.torn, Some((last, length - last)));
        assert_eq!(*manifest.state(), before);
    }
    let current = dir().join(CURRENT);
    for offset in 0..disk.file_bytes(&current).unwrap().len() as u64 {
        let disk = disk.fork();
        disk.flip_bit(&current, offset, u8::try_from(offset % 8).unwrap())
            .unwrap();
        expect_error(&disk, "CURRENT is damaged");
    }
}

#[test]
fn behind_a_claim_every_flipped_bit_of_an_edit_is_an_error() {
    let (disk, ..) = written();
    let path = manifest_path(&disk);
    let claimed_from = disk.file_bytes(&path).unwrap().len() as u64;
    let mut manifest = open_as(&disk, ManifestOptions::default()).unwrap().0;
    manifest.claim().unwrap();
    for offset in 0..claimed_from {
        let disk = disk.fork();
        disk.flip_bit(&path, offset, u8::try_from(offset % 8).unwrap())
            .unwrap();
        expect_error(&disk, "is damaged at offset");
    }
}

/// Trap T22. Every length that a torn append can leave, with zeros or not.
#[test]
fn a_torn_tail_is_cut_off_and_what_follows_it_is_kept() {
    let (disk, before, after) = written();
    let path = manifest_path(&disk);
    let whole = disk.file_bytes(&path).unwrap();
    let edits = read(&disk, dir()).unwrap().contents.unwrap().edits;
    let (last, first) = (edits.last().unwrap().0, edits[1].0);
    for length in usize::try_from(last).unwrap()..whole.len() {
        for zeros in [0, whole.len() - length, 1000] {
            let mut bytes = whole[..length].to_vec();
            bytes.resize(length + zeros, 0);
            disk.set_file_bytes(&path, &bytes);
            let disk = disk.fork();
            let (mut manifest, report) = open_as(&disk, ManifestOptions::default()).unwrap();
            let is_torn = length as u64 > last && bytes != whole;
            if bytes == whole {
                // The last bytes were zero: nothing is missing.
                assert_eq!(*manifest.state(), after);
                continue;
            }
            assert_eq!(report.torn.is_some(), is_torn);
            assert_eq!(*manifest.state(), before);
            append_some(&mut manifest, 1, &mut SimRng::new(9));
            let after = manifest.state().clone();
            let (manifest, report) = open_as(&disk, SHORT).unwrap();
            assert_eq!((manifest.state(), report.torn), (&after, None));
        }
    }
    // What was durable before CURRENT named the file is not cut off.
    for length in 0..usize::try_from(first).unwrap() {
        disk.set_file_bytes(&path, &whole[..length]);
        expect_error(&disk.fork(), "is damaged at offset");
    }
}

#[test]
fn what_is_left_of_a_torn_append_is_reported_once() {
    let (disk, _, after) = written();
    let path = manifest_path(&disk);
    let mut bytes = disk.file_bytes(&path).unwrap();
    let end = bytes.len() as u64;
    bytes.resize(bytes.len() + 200_000, 0xaa);
    disk.set_file_bytes(&path, &bytes);
    for torn in [Some((end, 200_000)), None] {
        let (manifest, report) = open_as(&disk, ManifestOptions::default()).unwrap();
        assert_eq!((manifest.state(), report.torn), (&after, torn));
        disk.crash(3);
    }
}

#[test]
fn files_of_no_bytes_and_missing_files_are_damage() {
    let (disk, ..) = written();
    let (path, current) = (manifest_path(&disk), dir().join(CURRENT));
    let changed = |change: &dyn Fn(&SimDisk)| {
        let disk = disk.fork();
        change(&disk);
        disk
    };
    expect_error(
        &changed(&|disk| disk.set_file_bytes(&path, &[])),
        "the header",
    );
    expect_error(
        &changed(&|disk| disk.set_file_bytes(&current, &[])),
        "the name",
    );
    expect_error(
        &changed(&|disk| disk.remove(&path).unwrap()),
        "that is there",
    );
    // The manifest says that there was a forest.
    expect_error(
        &changed(&|disk| disk.remove(&current).unwrap()),
        "no such file",
    );
    let only = |name: &str| {
        let disk = super::disk(9);
        disk.set_file_bytes(&dir().join(name), b"x");
        disk
    };
    expect_error(&only("0000000000000001.tbl"), "beside 0000000000000001.tbl");
    expect_error(&only("0000000000000001.blob"), "no such file");
    expect_error(&only("MANIFEST-0000000000000002"), "no such file");
    assert!(open_as(&only("notes.txt"), SHORT).unwrap().1.created);
}

#[test]
fn another_database_or_format_is_called_that() {
    let (disk, ..) = written();
    let other = Manifest::open(Arc::new(disk.fork()), dir(), [7; 16], SHORT);
    let error = other.unwrap_err().to_string();
    assert!(error.contains("of database 0707"), "{error}");
    let path = manifest_path(&disk);
    let mut bytes = disk.file_bytes(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
    disk.set_file_bytes(&path, &bytes);
    expect_error(&disk, "format 2");
}

/// A frame that is valid where it stands but does not follow.
#[test]
fn a_frame_of_another_time_is_noticed() {
    let (disk, ..) = written();
    let path = manifest_path(&disk);
    let contents = read(&disk, dir()).unwrap().contents.unwrap();
    let (offset, edit) = contents.edits.last().unwrap();
    let (frame, _) = contents.header.frame(*offset, 12345, edit);
    let mut bytes = disk.file_bytes(&path).unwrap();
    bytes.truncate(usize::try_from(*offset).unwrap());
    bytes.extend_from_slice(&frame);
    disk.set_file_bytes(&path, &bytes);
    expect_error(&disk, "one of 00003039");
}

#[test]
fn an_edit_that_does_not_follow_from_those_before_is_damage() {
    let (disk, ..) = written();
    let path = manifest_path(&disk);
    let contents = read(&disk, dir()).unwrap().contents.unwrap();
    let edit = Edit {
        flushed_through: Some(Seqno::ZERO),
        ..Edit::default()
    };
    let (frame, _) = contents.header.frame(contents.end, contents.link, &edit);
    let mut bytes = disk.file_bytes(&path).unwrap();
    bytes.extend_from_slice(&frame);
    disk.set_file_bytes(&path, &bytes);
    expect_error(&disk, "flushed through 0");
}

#[test]
fn what_older_lives_left_is_removed() {
    let (disk, _, after) = written();
    for name in [
        "CURRENT.tmp",
        "MANIFEST-0000000000000002",
        "MANIFEST-0000000000000000",
    ] {
        disk.set_file_bytes(&dir().join(name), b"something");
    }
    disk.set_file_bytes(
        &dir().join("0000000000000001.tbl"),
        b"not the manifest's business",
    );
    let (manifest, report) = open_as(&disk, SHORT).unwrap();
    assert_eq!((report.removed.len(), manifest.state()), (3, &after));
    assert_eq!(disk.paths().len(), 3);
}
