//! Somebody edits the files of the engine `file`, also while a store is open: nothing that was
//! acknowledged is lost by it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::engines::memory;
use nexusbase_kv::{CheckMode, Engine, StoreOptions, stores};

fn engine(disk: &SimDisk) -> Arc<dyn Engine> {
    let env = Env::simulated(disk, 1);
    file::engine(&env, Path::new("/kv"), FileOptions::default()).unwrap()
}

fn create(engine: &Arc<dyn Engine>) -> Arc<dyn nexusbase_kv::Store> {
    engine.create("s", &StoreOptions::default()).unwrap()
}

/// Most editors save like this: a new file in the place of the old one.
#[test]
fn what_is_acknowledged_after_an_editor_has_saved_is_there_after_a_restart() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let store = create(&first);
    store.set(b"a", b"1").unwrap();
    let (main, saved) = (Path::new("/kv/s.jsonl"), Path::new("/kv/s.jsonl~"));
    let bytes = disk.file_bytes(main).unwrap();
    disk.set_file_bytes(saved, &bytes);
    Env::simulated(&disk, 1).fs.rename(saved, main).unwrap();
    store.set(b"b", b"acknowledged").unwrap();
    first.close().unwrap();
    let store = engine(&disk).open("s").unwrap();
    assert_eq!(store.get(b"b").unwrap().unwrap(), "acknowledged");
}

/// Others write the file again where it is.
#[test]
fn what_is_acknowledged_after_an_editor_has_written_in_place_is_there_after_a_restart() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let store = create(&first);
    store.set(b"a", b"12").unwrap();
    let main = Path::new("/kv/s.jsonl");
    let text = String::from_utf8(disk.file_bytes(main).unwrap()).unwrap();
    let text = text.replace("\"12\"", "\"123456\"");
    let file = Env::simulated(&disk, 1).fs.open(main).unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
    store.set(b"b", b"acknowledged").unwrap();
    store.set(b"c", b"acknowledged").unwrap();
    first.close().unwrap();
    let store = engine(&disk).open("s").unwrap();
    let found = store.get_many(&[b"a", b"b", b"c"]).unwrap();
    let found: Vec<_> = found.into_iter().map(Option::unwrap).collect();
    assert_eq!(found, ["12", "acknowledged", "acknowledged"]);
}

#[test]
fn an_edit_does_not_replace_what_was_written_after_it() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        create(&engine).set(b"k", b"1").unwrap();
        engine.close().unwrap();
    }
    let path = Path::new("/kv/s.jsonl");
    let mut bytes = disk.file_bytes(path).unwrap();
    bytes.extend_from_slice(b"{\"key\":\"k\",\"value\":\"by hand\"}\n");
    disk.set_file_bytes(path, &bytes);
    let engine = engine(&disk);
    let store = engine.open("s").unwrap();
    store
        .set(b"k", b"newer than the edit, and acknowledged")
        .unwrap();
    let report = engine.check("s", CheckMode::AcceptEdits).unwrap();
    let found = store.get(b"k").unwrap().unwrap();
    assert_eq!(found, "newer than the edit, and acknowledged", "{report:?}");
}

#[test]
fn a_media_type_by_hand_is_within_the_limit() {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    {
        let engine = engine(&disk);
        create(&engine).set(b"k", b"1").unwrap();
        engine.close().unwrap();
    }
    let path = Path::new("/kv/s.jsonl");
    let mut bytes = disk.file_bytes(path).unwrap();
    let long = "x".repeat(300);
    bytes.extend_from_slice(
        format!("{{\"key\":\"h\",\"value\":\"v\",\"type\":\"{long}\"}}\n").as_bytes(),
    );
    disk.set_file_bytes(path, &bytes);
    let all = stores(&env);
    all.register(engine(&disk)).unwrap();
    all.register(memory::engine(&env)).unwrap();
    all.check("s", CheckMode::AcceptEdits).unwrap();
    let copied = all.copy("s", "t", Some("memory"), &mut |_| {
        std::ops::ControlFlow::Continue(())
    });
    assert!(copied.is_ok(), "{copied:?}");
}

#[test]
fn an_edit_of_a_file_that_somebody_has_put_in_place_can_be_taken_over() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    store.set(b"a", b"1").unwrap();
    let path = Path::new("/kv/s.jsonl");
    let mut bytes = disk.file_bytes(path).unwrap();
    bytes.extend_from_slice(b"{\"key\":\"h\",\"value\":\"by hand\"}\n");
    disk.set_file_bytes(path, &bytes);
    store.set(b"b", b"2").unwrap();
    let damage = store.stats().unwrap().damage;
    assert!(
        damage.iter().any(|text| text.contains("somebody else")),
        "{damage:?}"
    );
    let report = engine.check("s", CheckMode::AcceptEdits).unwrap();
    assert!(report.is_healthy(), "{report:?}");
    engine.close().unwrap();
    let engine = self::engine(&disk);
    let store = engine.open("s").unwrap();
    assert_eq!(store.stats().unwrap().damage, Vec::<String>::new());
    let found = store.get_many(&[b"a", b"b", b"h"]).unwrap();
    let found: Vec<_> = found.into_iter().map(Option::unwrap).collect();
    assert_eq!(found, ["1", "2", "by hand"]);
}

#[test]
fn a_store_whose_file_was_taken_away_is_written_anew() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let store = create(&first);
    store.set(b"a", b"1").unwrap();
    Env::simulated(&disk, 1)
        .fs
        .remove(Path::new("/kv/s.jsonl"))
        .unwrap();
    first.close().unwrap();
    let store = engine(&disk).open("s").unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), "1");
}

#[test]
fn an_edit_that_came_too_late_stays_where_it_was_set_aside() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    create(&first).set(b"k", b"1").unwrap();
    first.close().unwrap();
    let path = Path::new("/kv/s.jsonl");
    let mut bytes = disk.file_bytes(path).unwrap();
    for key in ["k", "other"] {
        bytes
            .extend_from_slice(format!("{{\"key\":\"{key}\",\"value\":\"by hand\"}}\n").as_bytes());
    }
    disk.set_file_bytes(path, &bytes);
    let second = engine(&disk);
    second.open("s").unwrap().set(b"k", b"2").unwrap();
    second.close().unwrap();
    for _ in 0..2 {
        let engine = engine(&disk);
        let report = engine.check("s", CheckMode::AcceptEdits).unwrap();
        assert!(!report.is_healthy());
        let found = engine
            .open("s")
            .unwrap()
            .get_many(&[b"k", b"other"])
            .unwrap();
        let found: Vec<_> = found.into_iter().map(Option::unwrap).collect();
        assert_eq!(found, ["2", "by hand"]);
        engine.close().unwrap();
    }
    let aside = disk.file_bytes(Path::new("/kv/s@damaged.jsonl")).unwrap();
    assert_eq!(String::from_utf8(aside).unwrap().lines().count(), 1);
}

#[test]
fn an_editor_is_noticed_within_a_second_of_changes() {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    let env = Env {
        clock: Arc::new(clock.clone()),
        ..Env::simulated(&disk, 1)
    };
    let engine = file::engine(&env, Path::new("/kv"), FileOptions::default()).unwrap();
    let store = create(&engine);
    let (main, saved) = (Path::new("/kv/s.jsonl"), Path::new("/kv/s.jsonl~"));
    disk.set_file_bytes(saved, &disk.file_bytes(main).unwrap());
    env.fs.rename(saved, main).unwrap();
    store.set(b"a", b"1").unwrap();
    clock.advance(Duration::from_secs(1));
    store.set(b"b", b"2").unwrap();
    disk.crash(1);
    let store = self::engine(&disk).open("s").unwrap();
    assert_eq!(store.count(nexusbase_kv::KeyRange::all()).unwrap(), 2);
}

#[test]
fn a_store_is_renamed_with_all_that_was_acknowledged_after_an_editor_has_saved() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = create(&engine);
    let (main, saved) = (Path::new("/kv/s.jsonl"), Path::new("/kv/s.jsonl~"));
    disk.set_file_bytes(saved, &disk.file_bytes(main).unwrap());
    Env::simulated(&disk, 1).fs.rename(saved, main).unwrap();
    store.set(b"b", b"acknowledged").unwrap();
    engine.rename("s", "t").unwrap();
    let store = engine.open("t").unwrap();
    assert_eq!(store.get(b"b").unwrap().unwrap(), "acknowledged");
}
