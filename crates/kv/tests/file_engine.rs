//! The engine `file` as its callers see it: locks, names, versions, rewrites beside writers, and
//! how much is written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::{
    Engine, ErrorKind, Event, EventKind, Events, KeyRange, Next, Put, StoreOptions, VersionId,
};

fn open(disk: &SimDisk, rewrite_bytes_min: u64) -> Arc<dyn Engine> {
    let env = Env::simulated(disk, 1);
    let options = FileOptions { rewrite_bytes_min };
    file::engine(&env, Path::new("/kv"), options).unwrap()
}

fn engine(disk: &SimDisk) -> Arc<dyn Engine> {
    open(disk, 1 << 20)
}

fn names(disk: &SimDisk) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    disk.paths().into_iter().map(name).collect()
}

#[test]
fn one_engine_at_a_time_has_a_folder() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let again = || {
        file::engine(
            &Env::simulated(&disk, 1),
            Path::new("/kv"),
            FileOptions::default(),
        )
    };
    let error = again().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked { .. }), "{error}");
    first.close().unwrap();
    first.close().unwrap();
    assert!(again().is_ok());
    let error = first.list().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
}

#[test]
fn a_set_writes_its_own_line_and_never_the_store() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    let value = vec![b'v'; 1000];
    let keys: Vec<_> = (0..3000u32).map(|i| format!("key:{i:05}")).collect();
    let all: Vec<_> = keys
        .iter()
        .map(|key| (key.as_bytes(), &value[..]))
        .collect();
    store.set_many(&all).unwrap();
    store.delete(b"key:00000").unwrap();
    let before = disk.counters().bytes_written;
    assert!(store.compact().unwrap());
    assert!(
        !store.compact().unwrap(),
        "there is nothing to do a second time"
    );
    let rewrite = disk.counters().bytes_written - before;
    assert!(rewrite > 3_000_000, "{rewrite} bytes");
    let before = disk.counters();
    for _ in 0..100 {
        store.set(b"key:00001", b"a new value").unwrap();
    }
    let after = disk.counters();
    let each = (after.bytes_written - before.bytes_written) / 100;
    assert!(each < 130, "{each} bytes");
    assert_eq!(after.durable_writes - before.durable_writes, 100);
    // Each looks how long the file is, and writes.
    assert_eq!(after.operations - before.operations, 200);
}

#[test]
fn a_file_never_grows_to_much_more_than_twice_what_it_needs() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, 10_000);
    let events = Arc::new(Events::default());
    let listener = events.subscribe(Some("s"));
    engine.attach(Arc::clone(&events));
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    for i in 0..2000u32 {
        store.set(&i.to_be_bytes()[3..], &[b'v'; 50]).unwrap();
        let length = disk.file_bytes(Path::new("/kv/s.jsonl")).unwrap().len() as u64;
        assert_eq!(store.stats().unwrap().disk_bytes, Some(length));
        assert!(length < 90_000, "{length}");
    }
    let Next::Event(Event {
        kind: EventKind::Compacted { before, after },
        ..
    }) = listener.next(Duration::ZERO)
    else {
        panic!("a rewrite is told");
    };
    assert!(after < before);
    assert_eq!(store.count(KeyRange::all()).unwrap(), 256);
    assert_eq!(names(&disk), ["nexusbase-kv.lock", "s.jsonl"]);
}

#[test]
fn writers_and_readers_go_on_while_the_file_is_written_anew() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, 3000);
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u8)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..400u32 {
                        let pair = [vec![writer, 0], vec![writer, 1]];
                        let value = i.to_string().into_bytes();
                        store
                            .set_many(&[(&pair[0], &value), (&pair[1], &value)])
                            .unwrap();
                    }
                })
            })
            .collect();
        let others = [
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let found = store.get_many(&[&[2, 0], &[2, 1]]).unwrap();
                    assert_eq!(found[0], found[1], "half a change was seen");
                    assert!(store.stats().unwrap().damage.is_empty());
                }
            }),
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    store.compact().unwrap();
                }
            }),
            scope.spawn(|| {
                let versioned = store.versioned().unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    let version = versioned.take_version(None, "").unwrap();
                    let id = VersionId::Number(version.number);
                    let view = versioned.at_version(&id).unwrap();
                    assert_eq!(view.get(&[3, 0]).unwrap(), view.get(&[3, 1]).unwrap());
                    versioned.delete_version(&id).unwrap();
                }
            }),
        ];
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
    disk.crash(1);
    let engine = self::engine(&disk);
    let store = engine.open("s").unwrap();
    assert_eq!(store.stats().unwrap().damage, Vec::<String>::new());
    for writer in 0..4 {
        for half in 0..2 {
            assert_eq!(store.get(&[writer, half]).unwrap().unwrap(), "399");
        }
    }
}

#[test]
fn a_store_that_is_closed_and_opened_under_its_writers_loses_nothing() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, 3000);
    drop(engine.create("s", &StoreOptions::default()).unwrap());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3u8)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    let mut store = engine.open("s").unwrap();
                    for i in 0..1500u32 {
                        let key = [&[writer][..], &i.to_be_bytes()].concat();
                        while let Err(error) = store.set(&key, b"value") {
                            assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
                            store = engine.open("s").unwrap();
                        }
                    }
                })
            })
            .collect();
        let closer = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                engine.open("s").unwrap().close().unwrap();
                std::thread::yield_now();
            }
        });
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        closer.join().unwrap();
    });
    let store = engine.open("s").unwrap();
    assert_eq!(store.count(KeyRange::all()).unwrap(), 4500);
    assert_eq!(store.stats().unwrap().damage, Vec::<String>::new());
}

#[test]
fn a_renamed_store_takes_its_versions_along_and_leaves_nothing() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = engine.create("a.b", &StoreOptions::default()).unwrap();
    store.set(b"k", b"1").unwrap();
    store
        .versioned()
        .unwrap()
        .take_version(Some("one"), "")
        .unwrap();
    engine.rename("a.b", "c").unwrap();
    assert_eq!(
        names(&disk),
        ["c.jsonl", "c@000001.jsonl", "nexusbase-kv.lock"]
    );
    let error = store.get(b"k").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StoreNotFound), "{error}");
    let again = engine.create("a.b", &StoreOptions::default()).unwrap();
    assert_eq!(again.stats().unwrap().versions, 0);
    assert!(matches!(
        engine.rename("c", "a.b").unwrap_err().kind(),
        ErrorKind::StoreExists
    ));
    assert!(matches!(
        engine.rename("c", "c").unwrap_err().kind(),
        ErrorKind::StoreExists
    ));
    let renamed = engine.open("c").unwrap();
    let id = VersionId::Name("one".to_owned());
    let view = renamed.versioned().unwrap().at_version(&id).unwrap();
    engine.drop_store("c").unwrap();
    assert_eq!(names(&disk), ["a.b.jsonl", "nexusbase-kv.lock"]);
    assert_eq!(view.get(b"k").unwrap().unwrap(), "1");
}

#[test]
fn a_version_file_copied_over_the_main_file_is_the_store() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let store = first.create("s", &StoreOptions::default()).unwrap();
    store.set(b"k", b"1").unwrap();
    store.versioned().unwrap().take_version(None, "").unwrap();
    store.set(b"k", b"2").unwrap();
    first.close().unwrap();
    let version = disk.file_bytes(Path::new("/kv/s@000001.jsonl")).unwrap();
    disk.set_file_bytes(Path::new("/kv/s.jsonl"), &version);
    let second = engine(&disk);
    let store = second.open("s").unwrap();
    assert_eq!(store.stats().unwrap().damage, Vec::<String>::new());
    assert_eq!(store.get(b"k").unwrap().unwrap(), "1");
    assert_eq!(
        store
            .versioned()
            .unwrap()
            .take_version(None, "")
            .unwrap()
            .number,
        2
    );
}

#[test]
fn versions_of_a_store_that_is_gone_are_not_given_to_another() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let store = first.create("s", &StoreOptions::default()).unwrap();
    store.versioned().unwrap().take_version(None, "").unwrap();
    first.close().unwrap();
    let version = disk.file_bytes(Path::new("/kv/s@000001.jsonl")).unwrap();
    disk.set_file_bytes(Path::new("/kv/t@000001.jsonl"), &version);
    let second = engine(&disk);
    // The main file with that id is still there, so nothing is known of what `t` was.
    let error = second.create("s", &StoreOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StoreExists), "{error}");
    second.close().unwrap();
    disk.set_file_bytes(Path::new("/kv/u@000001.jsonl"), b"damaged");
    let third = engine(&disk);
    let error = third.create("u", &StoreOptions::default()).unwrap_err();
    assert!(error.to_string().contains("u@000001.jsonl"), "{error}");
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_left_alone() {
    let disk = SimDisk::new(1);
    let text = r#"{"format":"nexusbase-kv","number":2,"future":true"#;
    let sum = crc32c::crc32c(text.as_bytes());
    let text = format!("{text},\"sum\":\"{sum:08x}\"}}\n{{\"new\":1}}\n");
    disk.set_file_bytes(Path::new("/kv/s.jsonl"), text.as_bytes());
    let engine = engine(&disk);
    let error = engine.open("s").unwrap_err();
    assert!(error.to_string().contains("number"), "{error}");
    assert!(
        !engine
            .check("s", nexusbase_kv::CheckMode::AcceptEdits)
            .unwrap()
            .is_healthy()
    );
    let after = disk.file_bytes(Path::new("/kv/s.jsonl")).unwrap();
    assert_eq!(after, text.as_bytes());
}

#[test]
fn what_has_expired_is_not_written_again() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    let put = Put {
        expires_ms: Some(1),
        ..Put::new(b"gone")
    };
    store.put(b"old", put).unwrap();
    store.set(b"new", b"here").unwrap();
    store.compact().unwrap();
    let text = disk.file_bytes(Path::new("/kv/s.jsonl")).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("old") && text.contains("here"), "{text}");
}

#[test]
fn options_are_kept_and_listed_without_opening() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let options = StoreOptions {
        read_only: true,
        ttl_ms: Some(7),
        labels: [("ä\n".to_owned(), "\"".to_owned())].into(),
        ..StoreOptions::default()
    };
    first
        .create("s", &StoreOptions::default())
        .unwrap()
        .set(b"k", b"1")
        .unwrap();
    first.set_options("s", &options).unwrap();
    first.close().unwrap();
    let second = engine(&disk);
    assert_eq!(second.list().unwrap()[0].options, options);
    second.set_options("s", &StoreOptions::default()).unwrap();
    assert_eq!(second.list().unwrap()[0].options, StoreOptions::default());
    assert_eq!(second.open("s").unwrap().get(b"k").unwrap().unwrap(), "1");
}

/// Readers of an open store, while it is restored, cleared, written and rewritten.
#[test]
fn versions_do_not_change_and_numbers_only_grow_beside_writers() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, 2000);
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut i = 0u64;
            while !stop.load(Ordering::Relaxed) {
                i += 1;
                let number = i.to_string();
                // Always two keys, always alike.
                let pairs = [
                    (&b"a"[..], number.as_bytes()),
                    (&b"b"[..], number.as_bytes()),
                ];
                store.set_many(&pairs).unwrap();
                if i.is_multiple_of(50) {
                    store.clear().unwrap();
                }
            }
        });
        scope.spawn(|| {
            let versions = store.versioned().unwrap();
            let mut highest = 0;
            while !stop.load(Ordering::Relaxed) {
                let taken = versions.take_version(None, "").unwrap().number;
                assert!(taken > highest, "{taken} after {highest}");
                let restored = versions
                    .restore_version(&VersionId::Number(taken))
                    .unwrap()
                    .number;
                assert!(restored > taken);
                versions
                    .delete_version(&VersionId::Number(restored))
                    .unwrap();
                versions.delete_version(&VersionId::Number(taken)).unwrap();
                highest = restored;
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let found = store.get_many(&[b"a", b"b"]).unwrap();
                assert_eq!(found[0], found[1]);
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
    });
    let before = store.get_many(&[b"a", b"b"]).unwrap();
    engine.close().unwrap();
    let engine = open(&disk, 2000);
    let store = engine.open("s").unwrap();
    assert_eq!(store.get_many(&[b"a", b"b"]).unwrap(), before);
    assert!(
        store.stats().unwrap().damage.is_empty(),
        "{:?}",
        store.stats().unwrap().damage
    );
}
