//! Names, and what is open under them.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_io::sim::{FaultKind, SimDisk};
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::engines::memory;
use nexusbase_kv::{
    Capabilities, CheckMode, CheckReport, CreateOptions, Engine, ErrorKind, Mode, Result, Store,
    StoreInfo, StoreOptions, stores,
};

use super::{create, in_time, new, on_file};

#[test]
fn who_closes_the_engines_handle_can_open_the_store_again() {
    let (stores, ..) = new();
    create(&stores, "a");
    let engine = stores.engines().remove(0);
    engine.open("a").unwrap().close().unwrap();
    let a = stores.open("a").unwrap();
    let written = a.set(b"k", b"v");
    assert!(written.is_ok(), "opened, but {written:?}");
}

#[test]
fn everything_answers_closed_after_close() {
    let (stores, ..) = new();
    stores.close().unwrap();
    let error = stores.set_default_engine("file").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
}

#[test]
fn a_rename_that_failed_half_way_leaves_a_store_that_can_be_opened() {
    let mut lost = Vec::new();
    for n in 0..40 {
        let (stores, disk, _) = new();
        let on_file = on_file();
        let s = stores.create("s", &on_file).unwrap();
        s.set(b"k", b"1").unwrap();
        s.versioned().unwrap().take_version(None, "").unwrap();
        disk.fail_at(n + 1, FaultKind::Io);
        let renamed = stores.rename("s", "t");
        disk.clear_faults();
        let open = |name: &str| stores.open(name).and_then(|store| store.get(b"k"));
        if open("s").is_err() && open("t").is_err() {
            lost.push(format!("{n}: {renamed:?}; {:?}", open("s")));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn a_drop_that_failed_half_way_leaves_a_name_that_can_be_used() {
    let mut stuck = Vec::new();
    for n in 0..40 {
        let (stores, disk, _) = new();
        let on_file = on_file();
        stores.create("s", &on_file).unwrap();
        disk.fail_at(n + 1, FaultKind::Io);
        let dropped = stores.drop_store("s");
        disk.clear_faults();
        let opened = stores
            .open_or_create("s", &on_file)
            .and_then(|store| store.get(b"k"));
        if dropped.is_err() && opened.is_err() {
            stuck.push(format!("{n}: {dropped:?}; {opened:?}"));
        }
    }
    assert!(stuck.is_empty(), "{stuck:#?}");
}

#[test]
fn open_or_create_ends_when_a_file_was_taken_away() {
    let (stores, disk, _) = new();
    let on_file = on_file();
    stores.create("s", &on_file).unwrap().close().unwrap();
    // "To take a store out of use, move its files away."
    Env::simulated(&disk, 1)
        .fs
        .remove(Path::new("/kv/s.jsonl"))
        .unwrap();
    let opened = in_time("open_or_create turns for ever", move || {
        stores.open_or_create("s", &on_file).map(drop)
    });
    drop(opened);
}

#[test]
fn an_error_says_on_which_engine() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    create(&stores, "b");
    let mut tx = a.transactional().unwrap().begin(Mode::ReadWrite).unwrap();
    let error = tx.also("b").map(drop).unwrap_err();
    assert_eq!(error.engine_name(), Some("memory"), "{error}");
}

/// An engine that takes its time to make a store.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Engine>,
    name: &'static str,
    entered: Mutex<Option<mpsc::Sender<()>>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Engine for Slow {
    fn name(&self) -> &str {
        self.name
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        if let Some(entered) = self.entered.lock().unwrap().take() {
            entered.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
        self.inner.create(store, options)
    }
    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        self.inner.open(store)
    }
    fn drop_store(&self, store: &str) -> Result<()> {
        self.inner.drop_store(store)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn list(&self) -> Result<Vec<StoreInfo>> {
        self.inner.list()
    }
    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        self.inner.set_options(store, options)
    }
    fn check(&self, s: &str, mode: CheckMode) -> Result<CheckReport> {
        self.inner.check(s, mode)
    }
    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

#[test]
fn a_name_is_one_store_also_when_an_engine_is_added_meanwhile() {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    let stores = stores(&env);
    let ((entered, wait), (go_on, gone_on)) = (mpsc::channel(), mpsc::channel());
    stores
        .register(Arc::new(Slow {
            inner: memory::engine(&env),
            name: "slow",
            entered: Mutex::new(Some(entered)),
            go_on: Mutex::new(gone_on),
        }))
        .unwrap();
    let files = file::engine(&env, Path::new("/kv"), FileOptions::default()).unwrap();
    files
        .create("s", &StoreOptions::default())
        .unwrap()
        .set(b"k", b"precious")
        .unwrap();
    let creating = Arc::clone(&stores);
    let creating = std::thread::spawn(move || creating.create("s", &CreateOptions::default()));
    wait.recv().unwrap();
    let registering = Arc::clone(&stores);
    let registering = std::thread::spawn(move || registering.register(files));
    // Long enough for one who does not wait.
    std::thread::sleep(Duration::from_millis(50));
    go_on.send(()).unwrap();
    let registered = registering.join().unwrap();
    let created = creating.join().unwrap();
    assert!(
        registered.is_err() || created.is_err(),
        "two stores of one name, and the one with data is out of sight: {:?}",
        stores.info("s").unwrap().engine
    );
}
