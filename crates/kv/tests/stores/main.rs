//! What the stores by name promise when something unusual happens: names that change hands, errors
//! half way, progress functions that do more than look.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod copies;
mod events;
mod leaks;
mod names;
mod options;
mod threads;
mod transactions;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::engines::memory;
use nexusbase_kv::{CreateOptions, MultiStore, Store, stores};

fn env(disk: &SimDisk, clock: &SimClock) -> Env {
    Env {
        clock: Arc::new(clock.clone()),
        ..Env::simulated(disk, 1)
    }
}

/// Engines: memory (the default one) and file.
fn new() -> (Arc<dyn MultiStore>, SimDisk, SimClock) {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    let env = env(&disk, &clock);
    let stores = stores(&env);
    stores.register(memory::engine(&env)).unwrap();
    let files = file::engine(&env, Path::new("/kv"), FileOptions::default()).unwrap();
    stores.register(files).unwrap();
    (stores, disk, clock)
}

fn create(stores: &Arc<dyn MultiStore>, name: &str) -> Arc<dyn Store> {
    stores.create(name, &CreateOptions::default()).unwrap()
}

fn on_file() -> CreateOptions {
    CreateOptions {
        engine: Some("file".to_owned()),
        ..CreateOptions::default()
    }
}

fn fill(store: &dyn Store, keys: std::ops::Range<u32>, value: &[u8]) {
    let keys: Vec<_> = keys.map(|key| format!("{key:06}")).collect();
    let values: Vec<_> = keys.iter().map(|key| (key.as_bytes(), value)).collect();
    store.set_many(&values).unwrap();
}

/// Fails when `work` is not done in time: it waits for ever.
fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    let found = result.recv_timeout(Duration::from_secs(5));
    assert!(found.is_ok(), "deadlock: {what}");
    found.unwrap()
}
