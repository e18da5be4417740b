//! Everything that is checked is found when it is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_io::Fs;
use nexusbase_io::sim::SimDisk;

use super::*;
use crate::{Change, Forest, ForestOptions, Mutation, TreeChange};

const DATABASE: [u8; 16] = [7; 16];
const TREE: TreeId = TreeId::new(1);
const ODD: TreeId = TreeId::new(2);
const LAST: u64 = 3100;

/// With everything that aggregates can have.
const KIND: TreeKind = TreeKind {
    name: "odd",
    zones: &[|key| u64::from(key[key.len() - 1])],
    fingerprint: Some(|key| {
        let mut sum = [0; 32];
        sum[..8].copy_from_slice(&hash(key).to_le_bytes());
        sum
    }),
    ..TreeKind::ROWS
};

fn hash(key: &[u8]) -> u64 {
    crate::table::filter::hash_key(key)
}

fn options() -> ForestOptions {
    ForestOptions {
        kinds: Arc::new([KIND]),
        memory_bytes: 1 << 20,
        memtable_bytes: 30_000,
        blob_bytes: Some(2000),
        block_bytes: 512,
        ..ForestOptions::new(DATABASE)
    }
}

fn dir() -> &'static Path {
    Path::new("/forest")
}

/// A forest with several levels, versions, tombstones, blobs and a range delete.
fn forest() -> (SimDisk, Arc<dyn Fs>) {
    let disk = SimDisk::new(1);
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let forest = Forest::open(Arc::clone(&fs), dir(), options()).unwrap();
    let create = |tree, kind: &str| TreeChange::Create {
        tree,
        kind: kind.to_owned(),
    };
    let step = || {
        while forest.flush_step().unwrap() {}
        while forest.compact_step().unwrap() {}
        forest.remove_obsolete_step().unwrap();
    };
    for n in 1..=3000_u64 {
        let trees = match n {
            1 => vec![create(TREE, "rows"), create(ODD, "odd")],
            _ => Vec::new(),
        };
        let key = Bytes::from(format!("key{:06}", n * 7919 % 1009));
        let change = match n {
            _ if n % 11 == 0 => Change::Delete,
            _ if n % 97 == 0 => Change::Put(Bytes::from(vec![n.to_le_bytes()[0]; 2500])),
            _ => Change::Put(Bytes::from(format!("value {n}"))),
        };
        let put = |tree| Mutation {
            tree,
            key: key.clone(),
            change: change.clone(),
        };
        forest
            .apply(Seqno::new(n), &trees, [put(TREE), put(ODD)])
            .unwrap();
        if n % 300 == 0 {
            forest.seal();
            step();
            forest.set_oldest_needed(Seqno::new(n - 100));
        }
    }
    let gone = Mutation {
        tree: TREE,
        key: Bytes::from_static(b"key0005"),
        change: Change::DeleteRange {
            end: Some(Bytes::from_static(b"key0006")),
        },
    };
    forest.apply(Seqno::new(3001), &[], [gone]).unwrap();
    for n in 3002..=LAST {
        let put = Mutation {
            tree: TREE,
            key: Bytes::from(format!("key{:06}", n % 100 * 10)),
            change: Change::Put(Bytes::from_static(b"late")),
        };
        forest.apply(Seqno::new(n), &[], [put]).unwrap();
    }
    // Not compacted: level 0 and the range delete stay.
    forest.seal();
    while forest.flush_step().unwrap() {}
    forest.claim_step().unwrap();
    drop(forest);
    (disk, fs)
}

fn check_with(fs: &dyn Fs, kinds: &[TreeKind]) -> (Summary, Vec<Finding>) {
    let mut found = Vec::new();
    let summary = check(fs, dir(), DATABASE, kinds, &mut |finding| {
        found.push(finding);
    });
    (summary, found)
}

fn damage(fs: &dyn Fs) -> Vec<Finding> {
    let (summary, mut found) = check_with(fs, &[KIND]);
    found.retain(|finding| finding.severity == Severity::Damage);
    assert_eq!(summary.damage, found.len() as u64);
    found
}

fn paths(fs: &dyn Fs, ending: &str) -> Vec<PathBuf> {
    let names = fs.list(dir()).unwrap().into_iter();
    let names = names.filter(|name| name.contains(ending));
    names.map(|name| dir().join(name)).collect()
}

#[test]
fn a_whole_forest_has_no_findings_and_every_byte_was_read() {
    let (_, fs) = forest();
    let (summary, found) = check_with(&*fs, &[KIND]);
    assert!(found.is_empty(), "{found:#?}");
    assert!(
        summary.blob_values > 0 && summary.rows > 500 && summary.tables > 2,
        "{summary:?}"
    );
    assert_eq!(summary.flushed_through, Some(Seqno::new(LAST)));
    let bytes = |path: &PathBuf| fs.open_read_only(path).unwrap().len().unwrap();
    let all: u64 = [".tbl", ".blob", "MANIFEST"]
        .iter()
        .flat_map(|ending| paths(&*fs, ending))
        .map(|path| bytes(&path))
        .sum();
    assert_eq!(summary.bytes, all);
}

#[test]
fn a_kind_that_is_not_known_is_checked_but_for_its_own_sums() {
    let (disk, fs) = forest();
    let (summary, found) = check_with(&*fs, &[]);
    assert_eq!(summary.damage, 0, "{found:#?}");
    assert!(summary.notes > 0);
    for table in paths(&*fs, ".tbl") {
        disk.flip_bit(&table, 30, 2).unwrap();
        assert!(check_with(&*fs, &[]).0.damage > 0);
        disk.flip_bit(&table, 30, 2).unwrap();
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is_and_the_rest_is_checked_all_the_same() {
    let (disk, fs) = forest();
    for path in [".tbl", ".blob", "MANIFEST"]
        .iter()
        .flat_map(|ending| paths(&*fs, ending))
    {
        let length = fs.open_read_only(&path).unwrap().len().unwrap();
        let manifest = path.to_string_lossy().contains("MANIFEST");
        // Nobody claims the last edit, so it would look like a write that was never finished.
        let end = if manifest { length - 17 } else { length };
        for part in 0..13 {
            let at = (end - 1) * part / 12;
            disk.flip_bit(&path, at, (part % 8) as u8).unwrap();
            let found = damage(&*fs);
            let here = found.iter().find(|finding| finding.path == path);
            let here = here.unwrap_or_else(|| panic!("{path:?} at {at} of {length}: {found:#?}"));
            assert!(here.offset.is_some_and(|offset| offset <= at), "{here}");
            disk.flip_bit(&path, at, (part % 8) as u8).unwrap();
        }
    }
    assert!(damage(&*fs).is_empty());
    // Two at once, in two files.
    let tables = paths(&*fs, ".tbl");
    for table in &tables[..2] {
        disk.flip_bit(table, 5, 1).unwrap();
    }
    let found = damage(&*fs);
    for table in &tables[..2] {
        assert!(found.iter().any(|finding| finding.path == *table));
    }
}

#[test]
fn missing_and_exchanged_and_unknown_files_are_found() {
    let (disk, fs) = forest();
    let tables = paths(&*fs, ".tbl");
    let bytes = [&tables[0], &tables[1]].map(|path| disk.file_bytes(path).unwrap());
    disk.set_file_bytes(&tables[0], &bytes[1]);
    disk.set_file_bytes(&tables[1], &bytes[0]);
    let found = damage(&*fs);
    for table in &tables[..2] {
        assert!(found.iter().any(|f| f.path == *table), "{found:#?}");
    }
    disk.set_file_bytes(&tables[0], &bytes[0]);
    disk.set_file_bytes(&tables[1], &bytes[1]);
    assert!(damage(&*fs).is_empty());

    let unknown = dir().join("00000000000fffff.tbl");
    disk.set_file_bytes(&unknown, &bytes[0]);
    let (summary, found) = check_with(&*fs, &[KIND]);
    assert_eq!((summary.damage, summary.notes), (0, 1), "{found:#?}");
    fs.remove(&unknown).unwrap();

    for path in [&tables[0], &paths(&*fs, ".blob")[0]] {
        let good = disk.file_bytes(path).unwrap();
        fs.remove(path).unwrap();
        let found = damage(&*fs);
        assert!(
            found
                .iter()
                .any(|f| f.path == *path && f.found == "no such file")
        );
        disk.set_file_bytes(path, &good);
    }
    assert_eq!(check_with(&*fs, &[KIND]).1, []);
    let (summary, _) = {
        let mut found = Vec::new();
        let summary = check(&*fs, dir(), [8; 16], &[KIND], &mut |f| found.push(f));
        (summary, found)
    };
    assert_eq!(summary.damage, 1);
}

/// A table whose checksums are all right, and whose sums are of other rows.
#[test]
fn sums_that_are_not_those_of_the_rows_are_found() {
    const LIAR: TreeKind = TreeKind {
        zones: &[|_| 300],
        ..KIND
    };
    let (_, fs) = forest();
    let (summary, found) = check_with(&*fs, &[LIAR]);
    assert!(summary.damage > 2, "{found:#?}");
    assert!(found[0].expected.contains("zones"), "{}", found[0]);
}

#[test]
fn a_manifest_is_made_again_only_if_the_log_has_the_rest() {
    let (disk, fs) = forest();
    let (whole, _) = check_with(&*fs, &[KIND]);
    let shown = manifest(&*fs, dir()).unwrap();
    let current = dir().join(files::CURRENT);
    fs.remove(&current).unwrap();
    assert!(!damage(&*fs).is_empty());
    let plan = plan_manifest(&*fs, dir(), DATABASE, Seqno::new(LAST)).unwrap();
    assert_eq!(plan.edits, shown.edits.len());
    assert!(plan_manifest(&*fs, dir(), [8; 16], Seqno::ZERO).is_err());
    assert!(plan_manifest(&*fs, dir(), DATABASE, Seqno::new(LAST + 1)).is_err());
    let path = plan.write(&*fs, dir()).unwrap();
    assert_ne!(path, shown.path);
    let (again, found) = check_with(&*fs, &[KIND]);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(again.rows, whole.rows);
    fs.remove(&path).unwrap();
    fs.remove(&current).unwrap();

    // The last claim is lost: nothing else is. The edits before it are lost: tables are gone.
    let offset = |back: usize| shown.edits[shown.edits.len() - back].0;
    disk.flip_bit(&shown.path, offset(1) + 13, 1).unwrap();
    let plan = plan_manifest(&*fs, dir(), DATABASE, Seqno::new(LAST)).unwrap();
    assert_eq!(plan.edits, shown.edits.len() - 1);
    disk.flip_bit(&shown.path, shown.edits[1].0 + 13, 1)
        .unwrap();
    let refused = plan_manifest(&*fs, dir(), DATABASE, Seqno::new(1)).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[test]
fn figures_of_a_table_are_those_of_its_rows() {
    let (_, fs) = forest();
    let mut keys = Vec::new();
    let path = &paths(&*fs, ".tbl")[0];
    let mut found = Vec::new();
    let mut see = |row: Row<'_>| keys.push(row.key.to_vec());
    let report = table(&*fs, path, &[KIND], &mut see, &mut |f| found.push(f)).unwrap();
    assert!(found.is_empty());
    assert!(keys.is_sorted());
    assert_eq!(report.rows, keys.len() as u64);
    assert_eq!(Some(&report.first), keys.first());
    assert_eq!(Some(&report.last), keys.last());
    keys.dedup();
    assert_eq!(report.keys, keys.len() as u64);
    let levels = levels(&*fs, dir()).unwrap();
    assert_eq!(levels.flushed_through, Seqno::new(LAST));
    assert!(levels.trees[&TREE].levels.len() > 1);
}
