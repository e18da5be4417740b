//! What happens in between, step by step, which tests from outside meet only by chance.

use nexusbase_db::{Options, View as _};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

use super::*;
use crate::domain::{VersionId, View as _};

fn open(disk: &SimDisk) -> (Database, LsmEngine) {
    let options = Options {
        env: Env::simulated(disk, 1),
        ..Options::default()
    };
    let db = Database::open_with("/db", options).unwrap();
    let engine = over(&db).unwrap();
    (db, engine)
}

fn new(name: &str) -> (Database, LsmEngine, Arc<LsmStore>) {
    let (db, engine) = open(&SimDisk::new(1));
    let store = create(&engine, name);
    (db, engine, store)
}

fn create(engine: &LsmEngine, name: &str) -> Arc<LsmStore> {
    engine.create(name, &StoreOptions::default()).unwrap();
    engine.core.handle(Operation::OpenStore, name).unwrap()
}

fn is_gone<T>(outcome: Result<T>) -> bool {
    outcome.is_err_and(|error| matches!(error.kind(), ErrorKind::StoreNotFound))
}

#[test]
fn a_late_end_of_a_drop_does_not_end_a_newer_store_of_the_name() {
    let (_db, engine, old) = new("s");
    let core = &engine.core;
    let id = core.transact(|tx| core.catalog.remove(tx, "s")).unwrap();
    let new = create(&engine, "s");
    core.end_handle(id, u32::MAX);
    assert!(is_gone(old.get(b"k")));
    new.set(b"k", b"v").unwrap();
    assert!(Arc::ptr_eq(
        &new,
        &core.handle(Operation::OpenStore, "s").unwrap()
    ));
}

#[test]
fn between_a_rename_and_the_end_of_the_handles_nothing_goes_under_the_old_name() {
    let (_db, engine, old) = new("a");
    let core = &engine.core;
    let (id, renames) = core
        .transact(|tx| core.catalog.rename(tx, "a", "b"))
        .unwrap();
    assert!(is_gone(engine.open("a")));
    assert!(is_gone(old.set(b"k", b"v")));
    let (b, a) = (engine.open("b").unwrap(), create(&engine, "a"));
    assert!(is_gone(old.get(b"k")), "who opens it anew ends the old one");
    core.end_handle(id, renames);
    a.set(b"k", b"a").unwrap();
    b.set(b"k", b"b").unwrap();
    assert_eq!((a.name(), b.name()), ("a", "b"));
}

/// A reader that has taken its snapshot before a restore reads the tree of that snapshot; one that
/// has looked up the tree finds that it is gone, and looks again.
#[test]
fn a_reader_that_a_restore_overtakes_sees_the_state_before_or_after() {
    let (db, engine, store) = new("s");
    store.set(b"k", b"before").unwrap();
    store.take_version(None, "").unwrap();
    let (before, tree) = (db.snapshot(), store.tree());
    store.restore_version(&VersionId::Number(1)).unwrap();
    assert_eq!(store.tree_of(&before).unwrap(), tree);
    assert!(before.get(tree, b"k").unwrap().is_some());
    let now = store.tree();
    assert!(now != tree);
    // It read the number before, and reads the newest state with it afterwards.
    store.learn(tree);
    assert!(store.has(b"k").unwrap());
    assert_eq!(store.tree(), now, "it has looked it up");
    // A restore that took a tree earlier and ended later: its number is the lower one.
    let later = nexusbase_db::TreeId::new(now.get() + 1);
    store.learn(later);
    assert!(store.has(b"k").unwrap());
    assert_eq!(store.tree(), now);
    engine.close().unwrap();
}

#[test]
fn a_tree_that_is_being_filled_goes_with_a_restart_and_not_before() {
    let disk = SimDisk::new(1);
    let tree = {
        let (db, engine) = open(&disk);
        let store = create(&engine, "s");
        let core = &engine.core;
        let tree = core.transact(|tx| core.catalog.create_unfinished(tx, store.id));
        let tree = tree.unwrap();
        let _another = over(&db).unwrap();
        core.transact(|tx| Ok(tx.put(tree, b"k", b"\0v")?)).unwrap();
        db.close().unwrap();
        tree
    };
    let (db, engine) = open(&disk);
    assert!(db.snapshot().get(tree, b"k").is_err());
    assert!(!engine.open("s").unwrap().has(b"k").unwrap());
    engine.close().unwrap();
}
