//! The fault model of the simulated disk, promise by promise: what must survive survives every
//! seed, and what may break does break for some seed (or the simulation would prove nothing).
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_io::sim::{FaultKind, SimDisk, SimRng};
use nexusbase_io::{Env, File, Fs};

const SEEDS: u64 = 300;

fn path(name: &str) -> PathBuf {
    Path::new("/db").join(name)
}

/// A disk with a directory and one file whose name is durable.
fn disk_with_file() -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("/db")).unwrap();
    let file = disk.create(&path("a")).unwrap();
    disk.sync_dir(Path::new("/db")).unwrap();
    (disk, file)
}

/// What the file shows after each of many power cuts that start from the same state.
fn fates(disk: &SimDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS)
        .map(|seed| {
            let fork = disk.fork();
            fork.crash(seed);
            fork.file_bytes(&path(name))
        })
        .collect()
}

fn all_names(disk: &SimDisk) -> BTreeSet<Vec<String>> {
    (0..SEEDS)
        .map(|seed| {
            let fork = disk.fork();
            fork.crash(seed);
            fork.list(Path::new("/db")).unwrap()
        })
        .collect()
}

#[test]
fn synced_content_survives_every_power_cut() {
    let (disk, file) = disk_with_file();
    file.write_at(&[1; 3000], 0).unwrap();
    file.write_at(&[2; 100], 2950).unwrap();
    file.sync_data().unwrap();
    let expected = [vec![1; 2950], vec![2; 100]].concat();
    assert_eq!(fates(&disk, "a"), BTreeSet::from([Some(expected)]));
}

#[test]
fn unsynced_content_may_be_lost_kept_or_torn_at_sectors() {
    let (disk, file) = disk_with_file();
    file.write_at(&[1; 1536], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[2; 1536], 0).unwrap();
    let seen: BTreeSet<Vec<u8>> = fates(&disk, "a").into_iter().flatten().collect();
    // Each of the three sectors is old or new as a whole: 8 outcomes, and all of them happen.
    assert_eq!(seen.len(), 8);
    for bytes in &seen {
        assert!(
            bytes
                .chunks(512)
                .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
        );
    }
}

#[test]
fn a_sector_shows_one_of_the_versions_it_had() {
    let (disk, file) = disk_with_file();
    file.write_at(b"0000", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"1", 0).unwrap();
    file.write_at(b"2", 1).unwrap();
    file.write_at(b"3", 0).unwrap();
    let expected: [&[u8]; 4] = [b"0000", b"1000", b"1200", b"3200"];
    let expected = expected.iter().map(|bytes| Some(bytes.to_vec())).collect();
    assert_eq!(fates(&disk, "a"), expected);
}

#[test]
fn a_file_that_had_grown_reaches_at_least_as_far_as_its_kept_sectors() {
    let (disk, file) = disk_with_file();
    file.write_at(&[1; 2000], 0).unwrap();
    let seen: BTreeSet<Vec<u8>> = fates(&disk, "a").into_iter().flatten().collect();
    let lengths: BTreeSet<usize> = seen.iter().map(Vec::len).collect();
    assert!(
        lengths.contains(&0) && lengths.contains(&2000) && lengths.len() > 4,
        "{lengths:?}"
    );
    // What was lost before the end is zero, and that happens.
    assert!(
        seen.iter()
            .any(|b| b.len() == 2000 && b[..512] == [0; 512] && b[512..1024] == [1; 512])
    );
    assert!(seen.iter().flatten().all(|byte| *byte <= 1));
}

#[test]
fn allocated_space_may_be_lost_until_it_is_synced() {
    let (disk, file) = disk_with_file();
    file.allocate_zeroed(4096).unwrap();
    let lengths: BTreeSet<usize> = fates(&disk, "a")
        .into_iter()
        .flatten()
        .map(|b| b.len())
        .collect();
    assert!(lengths.contains(&0) && lengths.contains(&4096) && lengths.len() > 2);
    file.sync_data().unwrap();
    assert_eq!(fates(&disk, "a"), BTreeSet::from([Some(vec![0; 4096])]));
}

#[test]
fn a_durable_write_survives_without_a_sync() {
    let (disk, file) = disk_with_file();
    file.write_durable_at(&[7; 700], 300).unwrap();
    assert_eq!(
        fates(&disk, "a"),
        BTreeSet::from([Some([vec![0; 300], vec![7; 700]].concat())])
    );
}

#[test]
fn a_durable_write_makes_nothing_else_durable() {
    let (disk, file) = disk_with_file();
    file.write_at(b"aaaa", 0).unwrap();
    file.write_durable_at(b"DD", 2).unwrap();
    file.write_at(b"ee", 3).unwrap();
    let expected: [&[u8]; 3] = [b"\0\0DD", b"aaDD", b"aaDee"];
    for fate in fates(&disk, "a") {
        let fate = fate.unwrap();
        // The length may have grown without the byte that it grew for.
        assert!(expected.contains(&fate.as_slice()) || fate == b"\0\0DD\0" || fate == b"aaDD\0");
    }
    assert!(fates(&disk, "a").contains(&Some(b"\0\0DD".to_vec())));
}

#[test]
fn an_unsynced_name_may_be_lost_even_if_the_content_is_synced() {
    let (disk, _) = disk_with_file();
    let file = disk.create(&path("b")).unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        fates(&disk, "b"),
        BTreeSet::from([None, Some(b"x".to_vec())])
    );
    disk.sync_dir(Path::new("/db")).unwrap();
    assert_eq!(fates(&disk, "b"), BTreeSet::from([Some(b"x".to_vec())]));
}

#[test]
fn changes_of_different_names_are_lost_independently() {
    let (disk, _) = disk_with_file();
    disk.create(&path("b")).unwrap();
    disk.hard_link(&path("a"), &path("c")).unwrap();
    disk.remove(&path("a")).unwrap();
    // "a" went although its second name did not arrive: the file is gone. Sync in between!
    assert_eq!(all_names(&disk).len(), 8);
    assert!(all_names(&disk).contains(&vec![]));
}

#[test]
fn a_rename_happens_whole_or_not_at_all() {
    let (disk, file) = disk_with_file();
    file.write_durable_at(b"old", 0).unwrap();
    let new = disk.create(&path("a.new")).unwrap();
    new.write_durable_at(b"new", 0).unwrap();
    disk.rename(&path("a.new"), &path("a")).unwrap();
    let contents = fates(&disk, "a");
    assert_eq!(
        contents,
        BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())])
    );
    for names in all_names(&disk) {
        assert!(names == ["a"] || names == ["a", "a.new"], "{names:?}");
    }
    disk.sync_dir(Path::new("/db")).unwrap();
    assert_eq!(all_names(&disk), BTreeSet::from([vec!["a".to_owned()]]));
    assert_eq!(fates(&disk, "a"), BTreeSet::from([Some(b"new".to_vec())]));
}

#[test]
fn a_kept_change_keeps_the_earlier_ones_of_its_names() {
    let (disk, file) = disk_with_file();
    file.write_durable_at(b"first", 0).unwrap();
    disk.rename(&path("a"), &path("b")).unwrap();
    disk.create(&path("a"))
        .unwrap()
        .write_durable_at(b"second", 0)
        .unwrap();
    for seed in 0..SEEDS {
        let fork = disk.fork();
        fork.crash(seed);
        let read = |name| fork.file_bytes(&path(name));
        let first = Some(b"first".to_vec());
        assert!(
            read("a") == first || read("b") == first,
            "the first file is never lost"
        );
    }
}

#[test]
fn a_rename_between_directories_waits_for_both() {
    let (disk, _) = disk_with_file();
    disk.create_dir(Path::new("/other")).unwrap();
    disk.rename(&path("a"), Path::new("/other/a")).unwrap();
    disk.sync_dir(Path::new("/other")).unwrap();
    assert_eq!(fates(&disk, "a").len(), 2);
    disk.sync_dir(Path::new("/db")).unwrap();
    assert_eq!(fates(&disk, "a"), BTreeSet::from([None]));
}

#[test]
fn a_removed_name_comes_back_unless_synced() {
    let (disk, file) = disk_with_file();
    file.write_durable_at(b"x", 0).unwrap();
    disk.remove(&path("a")).unwrap();
    drop(file);
    assert_eq!(
        fates(&disk, "a"),
        BTreeSet::from([None, Some(b"x".to_vec())])
    );
    disk.sync_dir(Path::new("/db")).unwrap();
    assert_eq!(fates(&disk, "a"), BTreeSet::from([None]));
}

#[test]
fn killing_the_process_loses_nothing_and_syncs_nothing() {
    let (disk, file) = disk_with_file();
    file.write_at(b"x", 0).unwrap();
    disk.create(&path("b")).unwrap();
    disk.kill();
    assert_eq!(disk.file_bytes(&path("a")), Some(b"x".to_vec()));
    assert_eq!(disk.list(Path::new("/db")).unwrap(), ["a", "b"]);
    assert!(fates(&disk, "a").contains(&Some(vec![])));
    assert!(fates(&disk, "b").contains(&None));
}

#[test]
fn handles_and_environments_of_an_ended_life_are_dead_and_its_locks_free() {
    for kill in [true, false] {
        let (disk, file) = disk_with_file();
        let env = Env::simulated(&disk, 0);
        let lock = env.fs.lock(&path("LOCK")).unwrap();
        if kill {
            disk.kill();
        } else {
            disk.crash(0);
        }
        let before = disk.file_bytes(&path("a"));
        file.write_at(b"ghost", 0).unwrap_err();
        file.write_durable_at(b"ghost", 0).unwrap_err();
        file.sync_data().unwrap_err();
        file.read_at(&mut [0], 0).unwrap_err();
        env.fs.create(&path("ghost")).unwrap_err();
        assert_eq!(disk.file_bytes(&path("a")), before);
        let new = Env::simulated(&disk, 0);
        let _new_lock = new.fs.lock(&path("LOCK")).unwrap();
        // Dropping the old life's lock does not give away the new one's.
        drop(lock);
        new.fs.lock(&path("LOCK")).unwrap_err();
    }
}

#[test]
fn the_nth_operation_fails_once() {
    let (disk, file) = disk_with_file();
    disk.fail_at(2, FaultKind::Io);
    disk.fail_at(3, FaultKind::NoSpace);
    file.write_at(b"a", 0).unwrap();
    assert_eq!(
        file.write_at(b"b", 0).unwrap_err().source.raw_os_error(),
        Some(5)
    );
    assert!(disk.create(&path("b")).unwrap_err().is_no_space());
    assert!(!disk.exists(&path("b")).unwrap());
    disk.fail_at(1, FaultKind::Io);
    disk.clear_faults();
    file.write_at(b"c", 0).unwrap();
}

#[test]
fn a_failed_sync_loses_data_that_reads_still_show() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.create(Path::new("a")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        disk.fail_at(1, FaultKind::Io);
        file.sync_data().unwrap_err();
        let mut buffer = [0; 1024];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 1024);
        assert_eq!(buffer, [1; 1024]);
        // Trying again succeeds, and means nothing.
        file.sync_data().unwrap();
        disk.crash(seed);
        let bytes = disk.file_bytes(Path::new("a")).unwrap();
        assert_eq!(bytes.len(), 1024);
        lost += u64::from(bytes != [1; 1024]);
    }
    assert!(lost > SEEDS / 2 && lost < SEEDS, "{lost}");
}

#[test]
fn a_failed_durable_write_is_durable_in_any_part() {
    let (mut seen, mut lost) = (BTreeSet::new(), 0);
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.create(Path::new("a")).unwrap();
        file.write_at(&[0; 1024], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.fail_at(1, FaultKind::Io);
        file.write_durable_at(&[1; 1024], 0).unwrap_err();
        // A sync now succeeds, and means nothing for what was lost.
        file.sync_data().unwrap();
        let shown = disk.file_bytes(Path::new("a"));
        disk.crash(seed);
        lost += u64::from(disk.file_bytes(Path::new("a")) != shown);
        seen.insert(disk.file_bytes(Path::new("a")).unwrap());
    }
    assert_eq!(seen.len(), 4);
    assert!(lost > 0 && lost < SEEDS, "{lost}");
}

#[test]
fn a_failed_directory_sync_loses_names_that_listings_still_show() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create(Path::new("a")).unwrap();
        disk.fail_at(1, FaultKind::Io);
        disk.sync_dir(Path::new("")).unwrap_err();
        disk.sync_dir(Path::new("")).unwrap();
        assert!(disk.exists(Path::new("a")).unwrap());
        disk.crash(seed);
        lost += u64::from(!disk.exists(Path::new("a")).unwrap());
    }
    assert!(lost > 0 && lost < SEEDS, "{lost}");
}

#[test]
fn a_power_cut_inside_a_write_leaves_any_part_of_it_and_stops_everything_after() {
    for durable in [false, true] {
        let mut seen = BTreeSet::new();
        for seed in 0..SEEDS {
            let disk = SimDisk::new(seed);
            let file = disk.create(Path::new("a")).unwrap();
            file.write_at(&[0; 1024], 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            disk.crash_at(2);
            file.len().unwrap();
            assert!(!disk.is_crashed());
            let write = if durable {
                File::write_durable_at
            } else {
                File::write_at
            };
            write(&*file, &[1; 1024], 0).unwrap_err();
            assert!(disk.is_crashed());
            file.len().unwrap_err();
            disk.open(Path::new("a")).unwrap_err();
            disk.crash(seed);
            assert!(!disk.is_crashed());
            seen.insert(disk.file_bytes(Path::new("a")).unwrap());
            disk.open(Path::new("a")).unwrap();
        }
        assert_eq!(seen.len(), 4, "durable: {durable}");
    }
}

#[test]
fn a_power_cut_inside_a_sync_leaves_any_part_of_it_durable() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, file) = disk_with_file();
        file.write_at(&[1; 1024], 0).unwrap();
        disk.crash_at(1);
        file.sync_data().unwrap_err();
        disk.crash(seed);
        seen.insert(disk.file_bytes(&path("a")));
    }
    assert!(seen.len() > 3);
}

#[test]
fn a_power_cut_inside_a_rename_leaves_the_old_names_or_the_new() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create(Path::new("a")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.crash_at(1);
        disk.rename(Path::new("a"), Path::new("b")).unwrap_err();
        disk.crash(seed);
        seen.insert(disk.paths());
    }
    assert_eq!(
        seen,
        BTreeSet::from([vec![PathBuf::from("a")], vec![PathBuf::from("b")]])
    );
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let (disk, file) = disk_with_file();
    disk.set_capacity(Some(1000));
    file.write_at(&[1; 600], 0).unwrap();
    assert!(file.write_at(&[2; 600], 600).unwrap_err().is_no_space());
    assert_eq!(file.len().unwrap(), 1000, "as much as fits is written");
    assert!(
        file.write_durable_at(&[2; 2], 999)
            .unwrap_err()
            .is_no_space()
    );
    assert!(file.allocate_zeroed(1001).unwrap_err().is_no_space());
    file.write_at(&[3; 1000], 0).unwrap();
    file.write_durable_at(&[4; 1000], 0).unwrap();
    // A removed file takes space as long as somebody has it open.
    let other = disk.create(&path("b")).unwrap();
    disk.remove(&path("a")).unwrap();
    assert!(other.write_at(&[1], 0).unwrap_err().is_no_space());
    drop(file);
    other.write_at(&[1], 0).unwrap();
    disk.set_capacity(None);
    other.write_at(&[1; 5000], 0).unwrap();
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let (disk, file) = disk_with_file();
    file.write_at(&[0; 600], 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(&[0; 1], 599).unwrap();
    disk.flip_bit(&path("a"), 513, 7).unwrap();
    disk.flip_bit(&path("a"), 599, 0).unwrap();
    for fate in fates(&disk, "a") {
        let fate = fate.unwrap();
        assert_eq!((fate[513], fate[599]), (128, 1));
        assert_eq!(fate.iter().filter(|byte| **byte != 0).count(), 2);
    }
    disk.flip_bit(&path("a"), 600, 0).unwrap_err();
    disk.flip_bit(&path("nothing"), 0, 0).unwrap_err();
}

#[test]
fn a_lying_disk_loses_what_was_synced() {
    let (disk, file) = disk_with_file();
    disk.set_skip_syncs(true);
    file.write_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    file.write_durable_at(b"y", 1).unwrap();
    assert!(fates(&disk, "a").contains(&Some(vec![])));
    disk.set_skip_dir_syncs(true);
    disk.create(&path("b")).unwrap();
    disk.sync_dir(Path::new("/db")).unwrap();
    assert!(fates(&disk, "b").contains(&None));
}

#[test]
fn bytes_set_by_a_test_are_durable_and_seen_by_open_handles() {
    let (disk, file) = disk_with_file();
    file.write_at(b"something longer", 0).unwrap();
    disk.set_file_bytes(&path("a"), b"golden");
    disk.set_file_bytes(&path("sub/b"), b"new");
    assert_eq!(file.len().unwrap(), 6);
    assert_eq!(
        fates(&disk, "a"),
        BTreeSet::from([Some(b"golden".to_vec())])
    );
    assert_eq!(
        fates(&disk, "sub/b"),
        BTreeSet::from([Some(b"new".to_vec())])
    );
    assert_eq!(disk.paths(), [path("a"), path("sub/b")]);
    assert_eq!(disk.list(&path("sub")).unwrap(), ["b"]);
}

#[test]
fn operations_are_counted() {
    let (disk, file) = disk_with_file();
    let before = disk.counters();
    file.write_at(b"abc", 0).unwrap();
    file.write_durable_at(b"de", 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/db")).unwrap();
    file.len().unwrap();
    let after = disk.counters();
    assert_eq!(disk.operations() - before.operations, 5);
    assert_eq!(after.writes - before.writes, 1);
    assert_eq!(after.durable_writes - before.durable_writes, 1);
    assert_eq!(after.bytes_written - before.bytes_written, 5);
    assert_eq!(
        (
            after.syncs - before.syncs,
            after.dir_syncs - before.dir_syncs
        ),
        (1, 1)
    );
}

/// Random work with random faults and several lives; returns everything that can be seen.
fn random_history(seed: u64) -> Vec<(PathBuf, Vec<u8>)> {
    let mut rng = SimRng::new(seed);
    let disk = SimDisk::new(seed);
    let dir = Path::new("/db");
    disk.create_dir(dir).unwrap();
    for _ in 0..300 {
        let (a, b) = (
            dir.join(rng.below(5).to_string()),
            dir.join(rng.below(5).to_string()),
        );
        let data = vec![rng.next_u64().to_le_bytes()[0]; rng.index(2000)];
        let offset = rng.below(3000);
        let write = |durable: bool| {
            let file = disk.open(&a)?;
            if durable {
                file.write_durable_at(&data, offset)
            } else {
                file.write_at(&data, offset)
            }
        };
        // Whether each succeeds is part of the history too.
        let result = match rng.below(12) {
            0 | 1 => disk.create(&a).map(drop),
            2 => disk.rename(&a, &b),
            3 => disk.remove(&a),
            4 => disk.hard_link(&a, &b),
            5 => disk.sync_dir(dir),
            6 => disk.open(&a).and_then(|file| file.sync_data()),
            7 | 8 => write(true),
            _ => write(false),
        };
        drop(result);
        match rng.below(40) {
            0 => disk.fail_at(1 + rng.below(5), FaultKind::Io),
            1 => disk.crash_at(1 + rng.below(5)),
            2 => disk.kill(),
            3 => disk.crash(rng.next_u64()),
            _ => {}
        }
        if disk.is_crashed() {
            disk.crash(rng.next_u64());
        }
    }
    disk.paths()
        .into_iter()
        .map(|p| (p.clone(), disk.file_bytes(&p).unwrap()))
        .collect()
}

#[test]
fn the_same_seed_and_the_same_calls_give_the_same_disk() {
    let histories: BTreeSet<_> = (0..50)
        .map(|seed| {
            let history = random_history(seed);
            assert_eq!(history, random_history(seed), "seed {seed}");
            history
        })
        .collect();
    assert!(histories.len() > 30);
}
