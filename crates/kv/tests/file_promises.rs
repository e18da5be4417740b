//! What an engine `file` promises of damaged first lines, numbers of versions, sizes and failures.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimClock, SimDisk};
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::engines::memory;
use nexusbase_kv::{CreateOptions, Engine, ErrorKind, Put, StoreOptions, VersionId, Write, stores};

fn engine(disk: &SimDisk) -> Arc<dyn Engine> {
    let env = Env::simulated(disk, 1);
    file::engine(&env, Path::new("/kv"), FileOptions::default()).unwrap()
}

fn create(engine: &Arc<dyn Engine>) -> Arc<dyn nexusbase_kv::Store> {
    engine.create("s", &StoreOptions::default()).unwrap()
}

#[test]
fn a_value_within_the_limit_is_there_after_a_restart_whatever_its_bytes() {
    let disk = SimDisk::new(1);
    let limit = {
        let engine = engine(&disk);
        let store = create(&engine);
        let limit = engine.capabilities().limits.value_bytes;
        store.set(b"k", b"old").unwrap();
        // As a JSON string each of these bytes takes two.
        store.set(b"k", &vec![b'"'; limit]).unwrap();
        assert_eq!(store.get(b"k").unwrap().unwrap().len(), limit);
        engine.close().unwrap();
        limit
    };
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    let found = store.get(b"k").unwrap().map(|value| value.len());
    assert_eq!(
        found,
        Some(limit),
        "{:?}",
        store.stats().unwrap().damage.len()
    );
}

#[test]
fn a_version_whose_first_line_is_damaged_is_damaged_and_not_gone() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    store.set(b"k", b"v").unwrap();
    let versions = store.versioned().unwrap();
    versions.take_version(Some("good"), "").unwrap();
    disk.flip_bit(Path::new("/kv/s@000001.jsonl"), 30, 1)
        .unwrap();
    let error = versions
        .at_version(&VersionId::Number(1))
        .map(drop)
        .unwrap_err();
    let listed = versions.versions().unwrap().len();
    assert!(
        matches!(error.kind(), ErrorKind::Corrupt { .. }),
        "{listed} listed; {error}"
    );
}

#[test]
fn a_version_whose_first_line_is_damaged_can_be_deleted() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    let versions = store.versioned().unwrap();
    versions.take_version(None, "").unwrap();
    disk.flip_bit(Path::new("/kv/s@000001.jsonl"), 30, 1)
        .unwrap();
    // And it can be got rid of without an editor.
    let deleted = versions.delete_version(&VersionId::Number(1));
    assert!(deleted.is_ok(), "{deleted:?}");
}

#[test]
fn no_two_versions_have_one_name_also_when_the_disk_fails() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    let versions = store.versioned().unwrap();
    versions.take_version(Some("x"), "").unwrap();
    for n in 1..20 {
        disk.fail_at(n, FaultKind::Io);
        let _ = versions.take_version(Some("x"), "");
        disk.clear_faults();
    }
    let all = versions.versions().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn a_restore_that_failed_leaves_no_version() {
    let mut left = Vec::new();
    for n in 1..30 {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let store = create(&engine);
        store.set(b"k", b"1").unwrap();
        let versions = store.versioned().unwrap();
        versions.take_version(None, "").unwrap();
        store.set(b"k", b"2").unwrap();
        disk.fail_at(n, FaultKind::NoSpace);
        let restored = versions.restore_version(&VersionId::Number(1));
        disk.clear_faults();
        let count = versions.versions().unwrap().len();
        let value = store.get(b"k").unwrap().unwrap();
        // After a sync of the folder that failed, nobody knows which of them is there.
        let is_known = disk.counters().failed_dir_syncs == 0;
        if restored.is_err() && is_known && count > 1 && value == "2" {
            left.push((n, count));
        }
    }
    assert!(
        left.is_empty(),
        "not restored, but versions are left: {left:?}"
    );
}

#[test]
fn what_has_expired_does_not_pile_up_when_batches_are_written() {
    let clock = SimClock::manual();
    clock.set_unix_ms(1_000_000);
    let env = Env {
        clock: Arc::new(clock.clone()),
        ..Env::simulated(&SimDisk::new(1), 1)
    };
    let engine = memory::engine(&env);
    let store = create(&engine);
    for round in 0..200u64 {
        let keys: Vec<_> = (0..1000u64)
            .map(|i| (round * 1000 + i).to_be_bytes())
            .collect();
        let put = Put {
            expires_ms: Some(1_000_000 + round * 10 + 5),
            ..Put::new(b"v")
        };
        let writes: Vec<_> = keys.iter().map(|key| Write::Put(key, put)).collect();
        store.write(&writes).unwrap();
        clock.advance(Duration::from_millis(10));
    }
    let keys = store.stats().unwrap().keys;
    assert!(
        keys < 10_000,
        "{keys} entries in memory, none of them alive"
    );
}

#[test]
fn a_rewrite_that_worked_is_not_reported_as_failed() {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    let options = FileOptions {
        rewrite_bytes_min: 1000,
    };
    let engine = file::engine(&env, Path::new("/kv"), options).unwrap();
    let store = create(&engine);
    let mut n = 0;
    while store.stats().unwrap().damage.is_empty() {
        n += 1;
        assert!(n < 2000, "no rewrite has failed");
        // It looks and writes; then, if there is a rewrite, it looks again and begins a file.
        disk.fail_at(6, FaultKind::NoSpace);
        let _ = store.set(b"k", &[b'v'; 100]);
        disk.clear_faults();
    }
    for _ in 0..1000 {
        store.set(b"k", &[b'v'; 100]).unwrap();
    }
    assert!(store.compact().unwrap());
    let damage = store.stats().unwrap().damage;
    assert!(damage.is_empty(), "{damage:?}");
}

#[test]
fn numbers_are_not_used_again_after_a_version_was_copied_back_by_hand() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let store = create(&engine);
        let versions = store.versioned().unwrap();
        for _ in 0..3 {
            versions.take_version(None, "").unwrap();
        }
        versions.delete_version(&VersionId::Number(3)).unwrap();
        engine.close().unwrap();
    }
    // "To go back to a version by hand, copy its file over the store's."
    let version = disk.file_bytes(Path::new("/kv/s@000001.jsonl")).unwrap();
    disk.set_file_bytes(Path::new("/kv/s.jsonl"), &version);
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    let next = store.versioned().unwrap().take_version(None, "").unwrap();
    assert_eq!(next.number, 4, "3 was given before, to something else");
}

#[test]
fn one_damaged_byte_takes_one_line_and_not_a_whole_batch() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let store = create(&engine);
        let pairs: Vec<_> = (0..10u8).map(|key| [b'a' + key]).collect();
        let pairs: Vec<_> = pairs.iter().map(|key| (&key[..], &b"v"[..])).collect();
        store.set_many(&pairs).unwrap();
        engine.close().unwrap();
    }
    let path = Path::new("/kv/s.jsonl");
    let bytes = disk.file_bytes(path).unwrap();
    // The brace at the beginning of the last line. (Its end is there: no power cut does that.)
    let last = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    disk.flip_bit(path, last as u64, 0).unwrap();
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    let count = store.count(nexusbase_kv::KeyRange::all()).unwrap();
    // "All other lines count, also when their group is damaged."
    assert_eq!(count, 9, "{:#?}", store.stats().unwrap().damage);
}

#[test]
fn an_unfinished_copy_whose_first_line_is_damaged_is_not_a_complete_store() {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    {
        let all = stores(&env);
        all.register(engine(&disk)).unwrap();
        let a = all.create("a", &CreateOptions::default()).unwrap();
        let keys: Vec<_> = (0..3000u32).map(u32::to_be_bytes).collect();
        let pairs: Vec<_> = keys.iter().map(|key| (&key[..], &b"v"[..])).collect();
        a.set_many(&pairs).unwrap();
        let report = all.copy("a", "b", None, &mut |_| std::ops::ControlFlow::Break(()));
        assert!(!report.unwrap().complete);
        all.close().unwrap();
    }
    disk.flip_bit(Path::new("/kv/b.jsonl"), 30, 1).unwrap();
    let all = stores(&env);
    all.register(engine(&disk)).unwrap();
    if let Ok(b) = all.open("b") {
        let count = b.count(nexusbase_kv::KeyRange::all()).unwrap();
        assert_eq!(count, 3000, "a third of a copy is given out as the copy");
    }
}

#[test]
fn no_version_is_ever_overwritten() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let store = create(&engine);
        store.set(b"k", b"old").unwrap();
        store.versioned().unwrap().take_version(None, "").unwrap();
        engine.close().unwrap();
    }
    let version = disk.file_bytes(Path::new("/kv/s@000001.jsonl")).unwrap();
    let last = format!("/kv/s@{}.jsonl", u64::MAX);
    disk.set_file_bytes(Path::new(&last), &version);
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    store.set(b"k", b"new").unwrap();
    let _ = store.versioned().unwrap().take_version(None, "");
    let view = store
        .versioned()
        .unwrap()
        .at_version(&VersionId::Number(u64::MAX))
        .unwrap();
    assert_eq!(view.get(b"k").unwrap().unwrap(), "old");
}

#[test]
fn a_number_is_not_used_again_when_the_first_line_is_damaged() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let store = create(&engine);
        let versions = store.versioned().unwrap();
        for _ in 0..3 {
            versions.take_version(None, "").unwrap();
        }
        versions.delete_version(&VersionId::Number(3)).unwrap();
        store.compact().unwrap();
        engine.close().unwrap();
    }
    disk.flip_bit(Path::new("/kv/s.jsonl"), 30, 1).unwrap();
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    let next = store.versioned().unwrap().take_version(None, "").unwrap();
    assert_eq!(next.number, 4);
}

#[test]
fn a_version_that_could_not_be_taken_can_be_taken_again() {
    let mut stuck = Vec::new();
    for n in 1..20 {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let store = create(&engine);
        let versions = store.versioned().unwrap();
        disk.fail_at(n, FaultKind::Io);
        let first = versions.take_version(Some("x"), "");
        disk.clear_faults();
        let again = versions.take_version(Some("x"), "");
        if first.is_err() && again.is_err() {
            stuck.push(n);
        }
    }
    assert!(stuck.is_empty(), "{stuck:?}");
}

#[test]
fn a_version_whose_first_line_is_damaged_keeps_its_name() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    let versions = store.versioned().unwrap();
    let taken = versions.take_version(Some("x"), "why").unwrap();
    disk.flip_bit(Path::new("/kv/s@000001.jsonl"), 30, 1)
        .unwrap();
    assert_eq!(versions.versions().unwrap(), [taken]);
    let error = versions.take_version(Some("x"), "").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::VersionExists(_)),
        "{error}"
    );
}

#[test]
fn a_store_that_does_not_say_what_it_is_any_more_keeps_its_rows_and_is_read_only() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let store = create(&engine);
        store.set(b"k", b"1").unwrap();
        store.compact().unwrap();
        store.versioned().unwrap().take_version(None, "").unwrap();
        store.set(b"k", b"2").unwrap();
        engine.close().unwrap();
    }
    let path = Path::new("/kv/s.jsonl");
    let text = String::from_utf8(disk.file_bytes(path).unwrap()).unwrap();
    disk.set_file_bytes(path, text.replace("format", "fermat").as_bytes());
    let env = Env::simulated(&disk, 1);
    let all = stores(&env);
    all.register(engine(&disk)).unwrap();
    assert!(all.list().unwrap()[0].options.read_only);
    let store = all.open("s").unwrap();
    assert_eq!(store.get(b"k").unwrap().unwrap(), "2");
    assert!(store.set(b"k", b"3").is_err());
    let version = store
        .versioned()
        .unwrap()
        .at_version(&VersionId::Number(1))
        .unwrap();
    assert_eq!(version.get(b"k").unwrap().unwrap(), "1");
    all.set_options("s", &StoreOptions::default()).unwrap();
    all.open("s").unwrap().set(b"k", b"3").unwrap();
}

#[test]
fn a_store_whose_first_line_is_very_long_is_listed() {
    let disk = SimDisk::new(1);
    let mut options = StoreOptions::default();
    options
        .labels
        .insert("picture".to_owned(), "x".repeat(2 << 20));
    engine(&disk)
        .create("s", &options)
        .unwrap()
        .close()
        .unwrap();
    assert_eq!(engine(&disk).list().unwrap()[0].options, options);
}

#[test]
fn a_store_that_could_not_be_dropped_or_renamed_goes_on() {
    for n in 1..12 {
        for is_drop in [true, false] {
            let disk = SimDisk::new(1);
            let engine = engine(&disk);
            let store = create(&engine);
            store.set(b"k", b"v").unwrap();
            disk.fail_at(n, FaultKind::Io);
            let done = if is_drop {
                engine.drop_store("s")
            } else {
                engine.rename("s", "t")
            };
            disk.clear_faults();
            let is_there = engine.list().unwrap().iter().any(|info| info.name == "s");
            if done.is_err() && is_there {
                assert_eq!(store.get(b"k").unwrap().unwrap(), "v", "{n}");
                store.set(b"k", b"w").unwrap();
                engine.close().unwrap();
                let engine = self::engine(&disk);
                assert_eq!(engine.open("s").unwrap().get(b"k").unwrap().unwrap(), "w");
            }
        }
    }
}

#[test]
fn a_version_of_another_store_is_not_given_out_for_its_own() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    let other = engine.create("other", &StoreOptions::default()).unwrap();
    for store in [&store, &other] {
        store.versioned().unwrap().take_version(None, "").unwrap();
    }
    let bytes = disk
        .file_bytes(Path::new("/kv/other@000001.jsonl"))
        .unwrap();
    disk.set_file_bytes(Path::new("/kv/s@000001.jsonl"), &bytes);
    let read = store.versioned().unwrap().at_version(&VersionId::Number(1));
    let error = read.map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }), "{error}");
}
