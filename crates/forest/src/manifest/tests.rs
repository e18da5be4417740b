//! The manifest on a simulated disk.

mod crashes;
mod damage;

use bytes::Bytes;
use nexusbase_io::sim::{SimDisk, SimRng};

use super::files::{read, write_copy};
use super::*;
use crate::aggregate::Aggregate;
use crate::manifest::edit::BlobMeta;
use crate::range_delete::RangeDelete;
use crate::row::FileId;
use crate::table::meta::{BlobUse, Layout, TableMeta};
use crate::{Seqno, TreeId};

const DATABASE: [u8; 16] = *b"0123456789abcdef";
const TREES: u64 = 3;

/// Rolls over every few edits.
const SHORT: ManifestOptions = ManifestOptions { roll_bytes: 1500 };

fn dir() -> &'static Path {
    Path::new("forest")
}

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(dir()).unwrap();
    disk
}

fn open_as(disk: &SimDisk, options: ManifestOptions) -> Result<(Manifest, OpenReport), DiskError> {
    Manifest::open(Arc::new(disk.for_this_life()), dir(), DATABASE, options)
}

fn open(disk: &SimDisk) -> Manifest {
    open_as(disk, SHORT).unwrap().0
}

fn state_of(disk: &SimDisk) -> State {
    open(&disk.fork()).state().clone()
}

fn table(id: u64, keys: (u8, u8), seqnos: (u64, u64)) -> TableMeta {
    TableMeta {
        id: FileId(id),
        layout: Layout::Rows,
        bytes: 100 + id,
        first: Bytes::copy_from_slice(&[keys.0]),
        last: Bytes::copy_from_slice(&[keys.1]),
        aggregate: Aggregate {
            rows: 7,
            min_seqno: Seqno::new(seqnos.0),
            max_seqno: Seqno::new(seqnos.1),
            ..Aggregate::default()
        },
        purged_through: Seqno::ZERO,
        blobs: Vec::new(),
    }
}

/// Some edit that is right for a state.
fn some_edit(state: &State, rng: &mut SimRng) -> Edit {
    let tree = TreeId::new(u32::try_from(rng.below(TREES)).unwrap());
    let mut edit = Edit {
        next_file: state.next_file + 2,
        ..Edit::default()
    };
    let Some(files) = state.trees.get(&tree) else {
        edit.trees_created.push((tree, "rows".to_owned()));
        return edit;
    };
    if files.dropped.is_some() {
        edit.trees_removed.push(tree);
        return edit;
    }
    let (before, id) = (state.flushed_through.get(), state.next_file);
    let oldest = files.level(0).last();
    match rng.below(12) {
        0 => edit.trees_dropped.push((tree, state.flushed_through)),
        1 => {
            edit.range_deletes_added.push((
                tree,
                RangeDelete {
                    start: Bytes::from_static(b"a"),
                    end: None,
                    seqno: Seqno::new(before + 1),
                },
            ));
            edit.flushed_through = Some(Seqno::new(before + 1));
        }
        2 => edit.log_generation = Some(state.log_generation + 1),
        3 | 4 if !files.level(3).is_empty() => {
            let gone = &files.level(3)[rng.index(files.level(3).len())];
            edit.removed.push((tree, 3, gone.id));
        }
        5..8 if oldest.is_some_and(|table| table.blobs.is_empty()) => {
            let oldest = oldest.unwrap();
            let there = files.overlapping(3, &oldest.first, &oldest.last);
            edit.removed
                .extend(there.iter().map(|table| (tree, 3, table.id)));
            edit.moved.push((tree, oldest.id, 0, 3));
        }
        _ => {
            let first = u8::try_from(rng.below(200)).unwrap();
            let mut flushed = table(id, (first, first + 20), (before + 1, before + 9));
            if rng.chance(0.3) {
                let file = FileId(id + 1);
                edit.blobs_added.push(BlobMeta {
                    id: file,
                    bytes: 1000,
                    values: 3,
                });
                flushed.blobs.push(BlobUse {
                    file,
                    values: 2,
                    bytes: 700,
                });
            }
            edit.added.push((tree, 0, flushed));
            edit.flushed_through = Some(Seqno::new(before + 9));
        }
    }
    edit
}

/// Appends so many edits.
fn append_some(manifest: &mut Manifest, edits: usize, rng: &mut SimRng) {
    for _ in 0..edits {
        let edit = some_edit(manifest.state(), rng);
        manifest.append(&edit).unwrap();
    }
}

fn manifest_path(disk: &SimDisk) -> PathBuf {
    let text = disk.file_bytes(&dir().join(CURRENT)).unwrap();
    let text = String::from_utf8(text).unwrap();
    dir().join(text.lines().next().unwrap())
}

#[test]
fn after_every_edit_a_reopened_manifest_says_the_same() {
    for seed in 0..4 {
        let mut rng = SimRng::new(seed);
        let disk = disk(seed);
        let mut manifest = open(&disk);
        let mut model = State::default();
        for _ in 0..150 {
            let edit = some_edit(&model, &mut rng);
            model.apply(&edit).unwrap();
            manifest.append(&edit).unwrap();
            assert_eq!(*manifest.state(), model);
            assert_eq!(state_of(&disk), model);
            if rng.chance(0.1) {
                drop(manifest);
                manifest = open(&disk);
            }
        }
        let path = manifest_path(&disk);
        assert!(path > dir().join("MANIFEST-0000000000000003"), "{path:?}");
        let paths = disk.paths();
        assert_eq!(paths, [dir().join(CURRENT), path], "nothing old is left");
    }
}

#[test]
fn an_edit_that_cannot_be_right_is_refused_and_not_written() {
    let disk = disk(1);
    let mut manifest = open(&disk);
    let before = disk.file_bytes(&manifest_path(&disk));
    let edit = Edit {
        removed: vec![(TreeId::new(1), 0, FileId(1))],
        ..Edit::default()
    };
    let error = manifest.append(&edit).unwrap_err();
    assert!(matches!(error, AppendError::Refused(_)), "{error}");
    assert_eq!(disk.file_bytes(&manifest_path(&disk)), before);
    append_some(&mut manifest, 3, &mut SimRng::new(1));
}

#[test]
fn a_long_file_is_followed_by_a_new_one_and_a_large_snapshot_makes_that_rarer() {
    let disk = disk(2);
    let mut manifest = open(&disk);
    let mut rng = SimRng::new(2);
    let (mut rolls, mut longest, mut snapshot) = (0, 0, 0);
    for _ in 0..300 {
        let number = manifest.tail.header().number;
        append_some(&mut manifest, 1, &mut rng);
        if manifest.tail.header().number > number {
            rolls += 1;
            snapshot = manifest.tail.end();
        }
        longest = longest.max(manifest.tail.end());
        let bound = SHORT.roll_bytes.max(4 * snapshot) + 300;
        assert!(manifest.tail.end() < bound);
    }
    assert!((3..50).contains(&rolls), "{rolls}");
    assert!(longest > SHORT.roll_bytes);
}

#[test]
fn each_edit_costs_one_write_and_one_sync() {
    let disk = disk(3);
    let (mut manifest, _) = open_as(&disk, ManifestOptions::default()).unwrap();
    let mut rng = SimRng::new(3);
    let before = disk.counters();
    append_some(&mut manifest, 10, &mut rng);
    let after = disk.counters();
    assert_eq!(
        (after.writes, after.syncs),
        (before.writes + 10, before.syncs + 10)
    );
    assert_eq!(after.operations, before.operations + 20);
}

#[test]
fn a_claim_is_an_empty_edit_and_made_once() {
    let disk = disk(4);
    let (mut manifest, _) = open_as(&disk, ManifestOptions::default()).unwrap();
    let operations = disk.operations();
    manifest.claim().unwrap();
    assert_eq!(disk.operations(), operations, "there is only a snapshot");
    append_some(&mut manifest, 1, &mut SimRng::new(4));
    manifest.claim().unwrap();
    manifest.claim().unwrap();
    let dump = read(&disk, dir()).unwrap();
    let edits = dump.contents.unwrap().edits;
    assert_eq!((edits.len(), &edits[2].1), (3, &Edit::default()));
    let mut manifest = open_as(&disk, ManifestOptions::default()).unwrap().0;
    let operations = disk.operations();
    manifest.claim().unwrap();
    assert_eq!(disk.operations(), operations);
}

/// If this fails, the format has changed.
#[test]
fn the_format_stays() {
    let disk = disk(5);
    let mut manifest = open(&disk);
    let edit = Edit {
        trees_created: vec![(TreeId::new(1), "rows".to_owned())],
        next_file: 3,
        ..Edit::default()
    };
    manifest.append(&edit).unwrap();
    let current = disk.file_bytes(&dir().join(CURRENT)).unwrap();
    let golden = "MANIFEST-0000000000000001\ncrc32c 95d3b323\n";
    assert_eq!(String::from_utf8(current).unwrap(), golden);
    let bytes = disk.file_bytes(&manifest_path(&disk)).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = concat!(
        "4e584d414e494653010000000000000030313233343536373839616263646566",
        "010000000000000000000000098815124e5845440500000009881512a3c821e5",
        "01010003004e5845440b000000a3c821e5ce1d12fb01020304010104726f7773",
    );
    assert_eq!(hex, golden);
}

#[test]
fn a_copy_in_another_folder_says_the_same() {
    let disk = disk(6);
    let mut manifest = open(&disk);
    append_some(&mut manifest, 40, &mut SimRng::new(6));
    let copy = Path::new("copy");
    disk.create_dir(copy).unwrap();
    write_copy(&disk, copy, DATABASE, manifest.state()).unwrap();
    disk.crash(1);
    let (copied, report) = Manifest::open(Arc::new(disk.clone()), copy, DATABASE, SHORT).unwrap();
    assert_eq!(copied.state(), manifest.state());
    assert!(!report.created);
    let error = write_copy(&disk, copy, DATABASE, manifest.state()).unwrap_err();
    assert!(
        error.to_string().contains("no forest in this folder"),
        "{error}"
    );
}

#[test]
fn reading_for_a_tool_changes_nothing_and_says_what_is_wrong() {
    let disk = disk(7);
    let mut manifest = open_as(&disk, ManifestOptions::default()).unwrap().0;
    append_some(&mut manifest, 5, &mut SimRng::new(7));
    let path = manifest_path(&disk);
    let dump = read(&disk, dir()).unwrap();
    let contents = dump.contents.unwrap();
    assert!(dump.problem.is_none());
    assert_eq!((dump.bytes, contents.edits.len()), (contents.end, 6));
    let third = contents.edits[3].0;
    disk.flip_bit(&path, third + 20, 3).unwrap();
    let writes = disk.counters().writes;
    let dump = read(&disk, dir()).unwrap();
    assert_eq!(dump.contents.unwrap().edits, contents.edits[..3]);
    let problem = dump.problem.unwrap().to_string();
    assert!(problem.contains(&format!("offset {third}")), "{problem}");
    assert_eq!(disk.counters().writes, writes);
}
