//! Blob files on a simulated disk, damaged in every way.

use nexusbase_io::Env;
use nexusbase_io::sim::{SimDisk, SimRng};
use proptest::prelude::*;

use super::*;

const ID: FileId = FileId(0x2a);

fn dir() -> &'static Path {
    Path::new("/blobs")
}

/// A world with a finished file of these keys and values.
fn written(rows: &[(Vec<u8>, Vec<u8>)]) -> (SimDisk, Env, PathBuf, Vec<BlobRef>) {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    env.fs.create_dir(dir()).unwrap();
    let mut writer = BlobWriter::create(&*env.fs, dir(), ID).unwrap();
    let refs: Vec<BlobRef> = rows
        .iter()
        .map(|(key, value)| writer.append(key, value).unwrap())
        .collect();
    let summary = writer.finish().unwrap();
    let path = dir().join("000000000000002a.blob");
    assert_eq!(summary.values, rows.len() as u64);
    assert_eq!(summary.bytes, disk.file_bytes(&path).unwrap().len() as u64);
    (disk, env, path, refs)
}

fn open(env: &Env, path: &Path) -> Result<BlobFile, DiskError> {
    let bytes = env.fs.open_read_only(path)?.len()?;
    BlobFile::open(&*env.fs, path, ID, bytes)
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SimRng::new(9).fill(&mut bytes);
    bytes
}

fn some_rows() -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![
        (b"text".to_vec(), b"abcabcabc".repeat(20)),
        (b"".to_vec(), noise(100)),
        (b"empty".to_vec(), Vec::new()),
    ]
}

fn is_corrupt<T>(result: &Result<T, DiskError>) -> bool {
    matches!(result, Err(DiskError::Corrupt(_)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn what_was_appended_is_read_and_walked(
        rows in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..20),
             (0..300_000_usize, any::<bool>()).prop_map(|(n, flat)| if flat { vec![3; n] } else { noise(n) })),
            0..12,
        ),
    ) {
        let (_, env, path, refs) = written(&rows);
        let file = open(&env, &path).unwrap();
        for ((key, value), at) in rows.iter().zip(&refs) {
            prop_assert_eq!(&file.read(*at, xxh3_64(key)).unwrap(), value);
        }
        let mut seen = Vec::new();
        let summary = file.walk(|frame| {
            seen.push((frame.at, frame.key_hash, frame.value.to_vec()));
            Ok(())
        }).unwrap();
        prop_assert_eq!(summary.values, rows.len() as u64);
        let expected: Vec<_> = rows.iter().zip(&refs)
            .map(|((key, value), at)| (*at, xxh3_64(key), value.clone()))
            .collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn the_format_does_not_change() {
    let rows = [
        (b"k".to_vec(), b"value".to_vec()),
        (b"zeros".to_vec(), vec![0; 100]),
    ];
    let (disk, _, path, refs) = written(&rows);
    let bytes = disk.file_bytes(&path).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!((refs[0].offset, refs[0].length), (24, 22));
    assert_eq!(refs[1].offset, 46);
}

/// Header, a plain frame, a compressed one.
const GOLDEN: &str = "4e58532d424c4f42010000002a00000000000000c8c32882\
    050000001d88da4f70e321a90076616c756593a28294\
    10000000254cf68245c6300301640000001f0001004a6000000000000045aa2633";

#[test]
fn a_value_is_compressed_if_that_saves_a_sixteenth() {
    let rows = [(b"a".to_vec(), vec![7; 1000]), (b"b".to_vec(), noise(1000))];
    let (.., refs) = written(&rows);
    assert!(refs[0].length < 100, "{}", refs[0].length);
    assert_eq!(refs[1].length as usize, 1000 + FRAME_BYTES);
}

#[test]
fn a_flipped_bit_is_an_error_wherever_it_is_and_other_values_are_still_read() {
    let rows = some_rows();
    let (disk, env, path, refs) = written(&rows);
    let bytes = disk.file_bytes(&path).unwrap();
    for at in 0..bytes.len() as u64 {
        for bit in 0..8 {
            disk.flip_bit(&path, at, bit).unwrap();
            match open(&env, &path) {
                Ok(file) => {
                    assert!(is_corrupt(&file.walk(|_| Ok(()))), "{at}");
                    for ((key, value), place) in rows.iter().zip(&refs) {
                        let end = place.offset + u64::from(place.length);
                        let read = file.read(*place, xxh3_64(key));
                        if (place.offset..end).contains(&at) {
                            assert!(is_corrupt(&read), "{at}");
                        } else {
                            assert_eq!(&read.unwrap(), value);
                        }
                    }
                }
                error => assert!(at < HEADER_BYTES as u64 && is_corrupt(&error)),
            }
            disk.flip_bit(&path, at, bit).unwrap();
        }
    }
    assert!(open(&env, &path).unwrap().walk(|_| Ok(())).is_ok());
}

#[test]
fn a_file_that_is_too_short_or_too_long_is_an_error() {
    let (disk, env, path, refs) = written(&some_rows());
    let whole = disk.file_bytes(&path).unwrap();
    for length in 0..whole.len() {
        disk.set_file_bytes(&path, &whole[..length]);
        let opened = BlobFile::open(&*env.fs, &path, ID, whole.len() as u64);
        assert!(is_corrupt(&opened), "{length}");
        // Even if the manifest had the wrong length too.
        let Ok(file) = open(&env, &path) else {
            assert!(length < HEADER_BYTES);
            continue;
        };
        let ends_between = length == HEADER_BYTES || refs.iter().any(|r| r.offset == length as u64);
        assert_eq!(
            is_corrupt(&file.walk(|_| Ok(()))),
            !ends_between,
            "{length}"
        );
        assert!(is_corrupt(&file.read(refs[2], xxh3_64(b"empty"))));
    }
    disk.set_file_bytes(&path, &[whole.as_slice(), b"x"].concat());
    assert!(is_corrupt(&open(&env, &path).unwrap().walk(|_| Ok(()))));
}

#[test]
fn a_reference_that_is_wrong_in_any_part_is_an_error() {
    let rows = some_rows();
    let (_, env, path, refs) = written(&rows);
    let file = open(&env, &path).unwrap();
    let (at, hash) = (refs[1], xxh3_64(b""));
    assert!(file.read(at, hash).is_ok());
    assert!(is_corrupt(&file.read(at, hash ^ 1)));
    let other_file = FileId(at.file.0 + 1);
    let wrong = [
        BlobRef {
            file: other_file,
            ..at
        },
        BlobRef {
            offset: at.offset + 1,
            ..at
        },
        BlobRef { offset: 0, ..at },
        BlobRef {
            offset: u64::MAX,
            ..at
        },
        BlobRef {
            length: at.length - 1,
            ..at
        },
        BlobRef {
            length: at.length + 1,
            ..at
        },
        BlobRef { length: 0, ..at },
        BlobRef {
            length: u32::MAX,
            ..at
        },
    ];
    for at in wrong {
        assert!(is_corrupt(&file.read(at, hash)), "{at:?}");
    }
}

#[test]
fn a_frame_at_another_place_or_in_another_file_is_an_error() {
    let mut bytes = Vec::new();
    frame::seal(&mut bytes, (ID, 24), 5, b"value").unwrap();
    assert_eq!(frame::open(&bytes, (ID, 24)), Ok((5, Opened::Plain)));
    assert!(frame::open(&bytes, (ID, 46)).is_err());
    assert!(frame::open(&bytes, (FileId(1), 24)).is_err());
}

#[test]
fn a_frame_that_lies_about_its_unpacked_length_is_an_error_although_its_checksum_is_right() {
    for length in [0, 99, 101, u32::MAX] {
        let mut bytes = Vec::new();
        frame::seal(&mut bytes, (ID, 24), 5, &[7; 100]).unwrap();
        let end = bytes.len() - CHECKSUM_BYTES;
        bytes[HEAD_BYTES..HEAD_BYTES + 4].copy_from_slice(&length.to_le_bytes());
        let seed = crc32c::crc32c(&[ID.0.to_le_bytes(), 24_u64.to_le_bytes()].concat());
        let checksum = crc32c::crc32c_append(seed, &bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(frame::open(&bytes, (ID, 24)).unwrap_err().0, "an LZ4 block");
    }
}

#[test]
fn a_finished_file_survives_a_power_cut_once_its_directory_is_synced() {
    let rows = some_rows();
    let (disk, env, path, refs) = written(&rows);
    env.fs.sync_dir(dir()).unwrap();
    disk.crash(7);
    let file = open(&Env::simulated(&disk, 2), &path).unwrap();
    assert_eq!(file.read(refs[0], xxh3_64(b"text")).unwrap(), rows[0].1);
}

#[test]
fn a_full_disk_is_said_so() {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    env.fs.create_dir(dir()).unwrap();
    disk.set_capacity(Some(100));
    let mut writer = BlobWriter::create(&*env.fs, dir(), ID).unwrap();
    writer.append(b"key", &noise(1000)).unwrap();
    assert!(writer.finish().unwrap_err().is_no_space());
}
