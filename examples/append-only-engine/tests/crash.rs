//! A power cut or a failure at any operation: each batch is there as a whole or not at all, and
//! what was acknowledged is there.
#![cfg(test)]

use std::path::Path;

use nexusbase_example_append_only_engine::AppendOnly;
use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_kv::{
    Bytes, CheckMode, Direction, Engine, KeyRange, Put, Result, Store, StoreOptions, Write,
};

type Rows = Vec<(Bytes, Bytes)>;

const BATCHES: u8 = 12;

fn open(disk: &SimDisk) -> Result<AppendOnly> {
    AppendOnly::open(&Env::simulated(disk, 1), Path::new("data"))
}

/// Batch `n`: of several sectors, so that it can be torn.
fn batch(store: &dyn Store, n: u8) -> Result<()> {
    let value = vec![n; 700];
    store.write(&[
        Write::Put(b"a", Put::new(&value)),
        Write::Put(&[n % 3], Put::new(&value)),
        Write::Delete(&[(n + 1) % 3]),
        Write::Put(b"z", Put::new(&value)),
    ])?;
    if n % 5 == 4 {
        store.compact()?;
    }
    Ok(())
}

/// Opens the engine and does all the work. Returns how many batches were acknowledged.
fn work(disk: &SimDisk) -> u8 {
    let mut done = 0;
    let mut work = || {
        let engine = open(disk)?;
        let store = engine.create("s", &StoreOptions::default())?;
        for n in 0..BATCHES {
            batch(&*store, n)?;
            done = n + 1;
        }
        engine.close()
    };
    // It fails where it is made to.
    drop(work());
    done
}

fn rows(store: &dyn Store) -> Rows {
    let rows = store.rows(KeyRange::all(), Direction::Forward).unwrap();
    rows.map(|row| row.map(|row| (row.key, row.entry.value)).unwrap())
        .collect()
}

/// The states after each number of batches.
fn states() -> Vec<Rows> {
    let engine = open(&SimDisk::new(1)).unwrap();
    let store = engine.create("s", &StoreOptions::default()).unwrap();
    let mut states = vec![rows(&*store)];
    for n in 0..BATCHES {
        batch(&*store, n).unwrap();
        states.push(rows(&*store));
    }
    states
}

/// Looks at what is left, and goes on with it.
fn check(disk: &SimDisk, states: &[Rows], done: u8, what: &str) {
    let engine = open(disk).unwrap_or_else(|e| panic!("{what}: {e}"));
    let store = match engine.open("s") {
        Ok(store) => store,
        // Nobody was told that it is there.
        Err(_) if done == 0 => return,
        Err(e) => panic!("{what}: {e}"),
    };
    let (found, done) = (rows(&*store), usize::from(done));
    // The one that was not acknowledged may be there, too.
    let possible = &states[done..(done + 2).min(states.len())];
    assert!(
        possible.contains(&found),
        "{what}: no state after {done} batches, or one more"
    );
    assert!(
        engine.check("s", CheckMode::Look).unwrap().is_healthy(),
        "{what}"
    );
    store.set(b"on", b"1").unwrap();
    let after = rows(&*store);
    engine.close().unwrap();
    disk.crash(7);
    let engine = open(disk).unwrap();
    assert_eq!(
        rows(&*engine.open("s").unwrap()),
        after,
        "{what}: what was written afterwards"
    );
}

fn operations() -> u64 {
    let disk = SimDisk::new(1);
    assert_eq!(work(&disk), BATCHES);
    disk.operations()
}

#[test]
fn after_a_power_cut_at_any_operation_batches_are_whole_and_none_is_lost() {
    let states = states();
    for seed in 0..4 {
        for n in 1..=operations() {
            let disk = SimDisk::new(seed);
            disk.crash_at(n);
            let done = work(&disk);
            disk.crash(seed * 1000 + n);
            check(
                &disk,
                &states,
                done,
                &format!("power cut at operation {n}, seed {seed}"),
            );
        }
    }
}

#[test]
fn after_a_failure_of_any_operation_batches_are_whole_and_none_is_lost() {
    let states = states();
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for n in 1..=operations() {
            for power_cut in [false, true] {
                let disk = SimDisk::new(n);
                disk.fail_at(n, kind);
                let done = work(&disk);
                if power_cut {
                    disk.crash(n);
                } else {
                    disk.kill();
                }
                check(&disk, &states, done, &format!("{kind:?} at operation {n}"));
            }
        }
    }
}

#[test]
fn a_test_that_cannot_lose_anything_proves_nothing() {
    let disk = SimDisk::new(1);
    disk.set_skip_syncs(true);
    assert_eq!(work(&disk), BATCHES);
    let lost = (0..20).any(|seed| {
        let disk = disk.fork();
        disk.crash(seed);
        open(&disk)
            .and_then(|engine| engine.open("s"))
            .map_or(true, |s| rows(&*s) != states()[12])
    });
    assert!(lost, "a disk that lies about its syncs loses something");
}

#[test]
fn damage_is_an_error_that_names_file_and_offset() {
    let disk = SimDisk::new(1);
    work(&disk);
    let path = Path::new("data/s.log");
    let length = disk.file_bytes(path).unwrap().len();
    let first = 8 + 100;
    assert!(first < length);
    disk.flip_bit(path, first as u64, 3).unwrap();
    let engine = open(&disk).unwrap();
    let error = engine.open("s").unwrap_err().to_string();
    assert!(error.contains("s.log is damaged at offset"), "{error}");
    let report = engine.check("s", CheckMode::Look).unwrap();
    assert!(!report.is_healthy());
    assert_eq!(
        engine.list().unwrap().len(),
        1,
        "it is there, and can be dropped"
    );
    engine.drop_store("s").unwrap();
}

#[test]
fn a_torn_record_whose_value_is_a_record_is_cut_off() {
    let disk = SimDisk::new(1);
    let path = Path::new("data/s.log");
    let (before, record) = {
        let engine = open(&disk).unwrap();
        let store = engine.create("s", &StoreOptions::default()).unwrap();
        let empty = disk.file_bytes(path).unwrap().len();
        store.set(b"a", b"1").unwrap();
        let before = disk.file_bytes(path).unwrap();
        let record = before[empty..].to_vec();
        // Of a store's own file, say, which somebody keeps here.
        let mut value = record.clone();
        value.extend(vec![7; 1000]);
        store.set(b"backup", &value).unwrap();
        engine.close().unwrap();
        (before, record)
    };
    let whole = disk.file_bytes(path).unwrap();
    for end in before.len() + 12..whole.len() {
        disk.set_file_bytes(path, &whole[..end]);
        let store = open(&disk).unwrap().open("s").unwrap();
        assert!(store.has(b"a").unwrap() && !store.has(b"backup").unwrap());
    }
    // With a whole one behind it, it is damage, whatever it says of its length.
    for damaged in 0..8 {
        let mut bytes = whole.clone();
        bytes[before.len() + damaged] ^= 1;
        bytes.extend_from_slice(&record);
        disk.set_file_bytes(path, &bytes);
        assert!(open(&disk).unwrap().open("s").is_err());
    }
}
