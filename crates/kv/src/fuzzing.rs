//! The decoders of this crate, for fuzzers: each takes any bytes, must not panic, and says whether
//! they were good; with samples that are.

use std::path::Path;
use std::sync::Arc;

use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

use crate::domain::{CheckMode, Direction, KeyRange, Put, Result, Store, StoreOptions};
use crate::engines::{file, lsm};

const FOLDER: &str = "/stores";
const FILE: &str = "/stores/s.jsonl";

/// Any bytes as the file of a store of the engine `file`: opened, read, and what was edited by hand
/// taken over. Good is what opens, damaged or not.
#[must_use]
pub fn kv_file(data: &[u8]) -> bool {
    read_file(data).unwrap_or(false)
}

fn read_file(data: &[u8]) -> Result<bool> {
    let disk = SimDisk::new(0);
    let env = Env::simulated(&disk, 0);
    let engine = file::engine(&env, Path::new(FOLDER), file::FileOptions::default())?;
    disk.set_file_bytes(Path::new(FILE), data);
    engine.list()?;
    let store = engine.open("s")?;
    let mut rows = store.rows(KeyRange::all(), Direction::Forward)?;
    rows.try_for_each(|row| row.map(drop))?;
    store.stats()?;
    engine.check("s", CheckMode::AcceptEdits)?;
    Ok(true)
}

/// Files of stores.
#[must_use]
pub fn kv_files() -> Vec<Vec<u8>> {
    let disk = SimDisk::new(0);
    let file = || disk.file_bytes(Path::new(FILE));
    let write = |samples: &mut Vec<Vec<u8>>| -> Result<()> {
        let env = Env::simulated(&disk, 0);
        let engine = file::engine(&env, Path::new(FOLDER), file::FileOptions::default())?;
        let store: Arc<dyn Store> = engine.create("s", &StoreOptions::default())?;
        samples.extend(file());
        store.set_many(&[(b"a", b"1"), (b"\xff", b"\x00\xff"), (b"b \"c\"", b"")])?;
        let put = Put {
            value: b"<p>",
            expires_ms: Some(u64::MAX),
            media_type: Some("text/html"),
        };
        store.put(b"d", put)?;
        store.delete(b"a")?;
        samples.extend(file());
        store.compact()?;
        samples.extend(file());
        store.clear()?;
        samples.extend(file());
        engine.close()
    };
    let mut samples = Vec::new();
    // Without samples the fuzzer's first check fails, which says so.
    let _ = write(&mut samples);
    samples
}

/// Any bytes as a row of the engine `lsm`.
#[must_use]
pub fn kv_row(data: &[u8]) -> bool {
    lsm::fuzzing::row(data)
}

/// Rows of the engine `lsm`.
#[must_use]
pub fn kv_rows() -> Vec<Vec<u8>> {
    lsm::fuzzing::rows()
}
