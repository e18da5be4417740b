//! Copies: of stores that change hands, and what is done beside them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use nexusbase_db::{Database, Options};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;
use nexusbase_kv::engine::CopyMark;
use nexusbase_kv::engines::{lsm, memory};
use nexusbase_kv::{
    CheckMode, CopyProgress, CopyReport, CreateOptions, ErrorKind, KeyRange, MultiStore, Result,
    StoreOptions, VersionId, stores,
};

use super::{create, fill, in_time, new, on_file};

type Progress = fn(CopyProgress) -> ControlFlow<()>;

pub(crate) const STOP: Progress = |_| ControlFlow::Break(());
pub(crate) const GO: Progress = |_| ControlFlow::Continue(());

#[test]
fn a_copy_never_mixes_two_stores_that_had_one_name() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    fill(&*a, 0..3000, b"old");
    assert!(!stores.copy("a", "b", None, &mut { STOP }).unwrap().complete);
    stores.drop_store("a").unwrap();
    let a = create(&stores, "a");
    fill(&*a, 0..3000, b"new");
    // Version 1 of the new store is the user's.
    a.versioned().unwrap().take_version(None, "mine").unwrap();
    let report = stores.copy("a", "b", None, &mut { GO });
    if let Ok(report) = report {
        assert!(report.complete);
        let b = stores.open("b").unwrap();
        let (first, last) = (b.get(b"000000").unwrap(), b.get(b"002999").unwrap());
        assert_eq!(first, last, "the copy has rows of two stores");
    }
}

#[test]
fn dropping_an_unfinished_copy_deletes_no_version_of_a_store_that_got_the_name() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    fill(&*a, 0..3000, b"old");
    assert!(!stores.copy("a", "b", None, &mut { STOP }).unwrap().complete);
    stores.rename("a", "elsewhere").unwrap();
    let a = create(&stores, "a");
    a.set(b"k", b"v").unwrap();
    let versions = a.versioned().unwrap();
    versions.take_version(Some("precious"), "keep it").unwrap();
    stores.drop_store("b").unwrap();
    let kept = versions.version(&VersionId::Name("precious".to_owned()));
    assert!(kept.is_ok(), "{kept:?}");
}

#[test]
fn a_copy_leaves_the_versions_alone_that_a_user_has_named() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    a.set(b"k", b"v").unwrap();
    let versions = a.versioned().unwrap();
    versions.take_version(Some("copy-to-b"), "mine").unwrap();
    stores.copy("a", "b", None, &mut { GO }).unwrap();
    let kept = versions.version(&VersionId::Name("copy-to-b".to_owned()));
    assert!(kept.is_ok(), "{kept:?}");
}

#[test]
fn dropping_an_unfinished_copy_succeeds_whatever_became_of_its_source() {
    let (stores, ..) = new();
    for name in ["a", "c"] {
        fill(&*create(&stores, name), 0..3000, b"v");
    }
    stores.copy("a", "b", None, &mut { STOP }).unwrap();
    stores.drop_store("a").unwrap();
    stores.copy("c", "a", None, &mut { STOP }).unwrap();
    let dropped = stores.drop_store("b");
    let is_gone = matches!(
        stores.info("b").map_err(|e| e.to_string()),
        Err(text) if text.contains("no store")
    );
    assert!(is_gone);
    assert!(dropped.is_ok(), "it is dropped, but: {dropped:?}");
}

#[test]
fn a_store_that_says_it_is_a_copy_of_itself_can_be_dropped() {
    let (stores, ..) = new();
    let mut options = CreateOptions::default();
    options.options.copy_of = Some(CopyMark {
        store: "b".to_owned(),
        version: Some(1),
        token: "guessed".to_owned(),
    });
    // Either it is refused, or it can be dropped.
    if stores.create("b", &options).is_ok() {
        in_time("drop", move || stores.drop_store("b")).unwrap();
    }
}

#[test]
fn whoever_creates_a_store_cannot_make_the_stores_delete_another_ones_version() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    let versions = a.versioned().unwrap();
    versions.take_version(Some("precious"), "").unwrap();
    let mut options = CreateOptions::default();
    options.options.copy_of = Some(CopyMark {
        store: "a".to_owned(),
        version: Some(1),
        token: "guessed".to_owned(),
    });
    if stores.create("b", &options).is_ok() {
        let _ = stores.drop_store("b");
    }
    assert_eq!(versions.versions().unwrap().len(), 1);
}

#[test]
fn a_progress_function_may_ask_the_stores_to_close() {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    in_time("close within a copy's progress", move || {
        let inner = Arc::clone(&stores);
        let mut progress = |_| {
            inner.close().unwrap();
            ControlFlow::Continue(())
        };
        let report = stores.copy("a", "b", None, &mut progress).unwrap();
        assert!(!report.complete, "{report:?}");
    });
}

#[test]
fn a_progress_function_may_not_drop_what_is_being_copied_but_anything_else() {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    in_time("drop within a copy's progress", move || {
        let inner = Arc::clone(&stores);
        let mut calls = 0;
        let mut progress = |_| {
            calls += 1;
            if calls > 1 {
                return ControlFlow::Continue(());
            }
            let error = inner.drop_store("b").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
            inner.drop_store("c").unwrap();
            ControlFlow::Continue(())
        };
        create(&stores, "c");
        assert!(stores.copy("a", "b", None, &mut progress).unwrap().complete);
    });
}

#[test]
fn closing_does_not_wait_for_a_whole_copy() {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    let (started, wait) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel::<()>();
    let copying = Arc::clone(&stores);
    std::thread::spawn(move || {
        copying.copy("a", "b", None, &mut |_| {
            let _ = started.send(());
            // A slow one: a terminal that does not read, say.
            let _ = gone_on.recv_timeout(Duration::from_secs(20));
            ControlFlow::Continue(())
        })
    });
    wait.recv().unwrap();
    in_time("close beside a copy", move || stores.close()).unwrap();
    drop(go_on);
}

fn copy_with(
    meanwhile: impl FnOnce(&Arc<dyn MultiStore>) + Send + 'static,
) -> (Arc<dyn MultiStore>, Result<CopyReport>) {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    let mut meanwhile = Some(meanwhile);
    let inner = Arc::clone(&stores);
    let copied = stores.copy("a", "b", None, &mut |_| {
        if let Some(meanwhile) = meanwhile.take() {
            meanwhile(&inner);
        }
        ControlFlow::Continue(())
    });
    (stores, copied)
}

#[test]
fn a_copy_whose_source_is_dropped_meanwhile_says_the_truth() {
    let (stores, copied) = copy_with(|stores| stores.drop_store("a").unwrap());
    let is_complete = stores.open("b").is_ok();
    assert_eq!(copied.is_ok(), is_complete, "{copied:?}");
}

#[test]
fn a_copy_whose_source_is_renamed_meanwhile_leaves_no_version_behind() {
    let (stores, copied) = copy_with(|stores| stores.rename("a", "x").unwrap());
    let x = stores.open("x").unwrap();
    let left = x.versioned().unwrap().versions().unwrap();
    assert!(left.is_empty(), "{copied:?}: {left:?}");
}

#[test]
fn a_copy_whose_source_is_closed_meanwhile_leaves_no_version_behind() {
    let (stores, copied) = copy_with(|stores| stores.open("a").unwrap().close().unwrap());
    let a = stores.open("a").unwrap();
    let left = a.versioned().unwrap().versions().unwrap();
    let is_complete = stores.open("b").is_ok();
    assert_eq!(copied.is_ok(), is_complete, "{copied:?}");
    assert!(left.is_empty(), "{copied:?}: {left:?}");
}

#[test]
fn an_unfinished_copy_of_a_store_that_was_renamed_takes_its_version_along() {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    stores.copy("a", "b", None, &mut { STOP }).unwrap();
    stores.rename("a", "x").unwrap();
    stores.drop_store("b").unwrap();
    let x = stores.open("x").unwrap();
    let left = x.versioned().unwrap().versions().unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn edits_are_not_taken_over_into_an_unfinished_copy() {
    let (stores, disk, _) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    stores.copy("a", "b", Some("file"), &mut { STOP }).unwrap();
    let path = Path::new("/kv/b.jsonl");
    let mut bytes = disk.file_bytes(path).unwrap();
    bytes.extend_from_slice(b"{\"key\":\"zzz\",\"value\":\"by hand\"}\n");
    disk.set_file_bytes(path, &bytes);
    let error = stores.check("b", CheckMode::AcceptEdits).unwrap_err();
    let is_unfinished = matches!(error.kind(), ErrorKind::UnfinishedCopy { of } if of == "a");
    assert!(is_unfinished, "{error}");
    stores.check("b", CheckMode::Look).unwrap();
}

#[test]
fn a_copy_begins_anew_when_its_version_is_gone() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    fill(&*a, 0..3000, b"old");
    stores.copy("a", "b", None, &mut { STOP }).unwrap();
    let versions = a.versioned().unwrap();
    versions.delete_version(&VersionId::Number(1)).unwrap();
    fill(&*a, 0..3000, b"new");
    let report = stores.copy("a", "b", None, &mut { GO }).unwrap();
    assert!(report.complete && !report.resumed, "{report:?}");
    assert_eq!(report.copied.rows, 3000);
    let b = stores.open("b").unwrap();
    assert_eq!(b.get(b"000000").unwrap().unwrap(), "new");
    assert_eq!(versions.versions().unwrap(), []);
}

#[test]
fn a_copy_that_ended_before_it_noted_its_version_leaves_none_behind() {
    let env = Env::simulated(&SimDisk::new(1), 1);
    let engine = memory::engine(&env);
    let mark = CopyMark {
        store: "a".to_owned(),
        version: None,
        token: "4711".to_owned(),
    };
    let options = StoreOptions {
        copy_of: Some(mark.clone()),
        ..StoreOptions::default()
    };
    let a = engine.create("a", &StoreOptions::default()).unwrap();
    fill(&*a, 0..10, b"v");
    let versions = a.versioned().unwrap();
    versions
        .take_version(Some(&mark.version_name()), "")
        .unwrap();
    fill(&*engine.create("b", &options).unwrap(), 5..15, b"left");
    let stores = stores(&env);
    stores.register(engine).unwrap();
    assert!(stores.copy("a", "b", None, &mut { GO }).unwrap().complete);
    assert_eq!(versions.versions().unwrap(), []);
    let b = stores.open("b").unwrap();
    assert_eq!(b.count(KeyRange::all()).unwrap(), 10);
    assert_eq!(b.get(b"000007").unwrap().unwrap(), "v");
}

#[test]
fn retention_leaves_the_version_of_a_copy_alone_however_long_its_name_is() {
    let (stores, ..) = new();
    let mut options = CreateOptions::default();
    options.options.retention.count = Some(1);
    let a = stores.create("a", &options).unwrap();
    fill(&*a, 0..3000, b"v");
    let to = "b".repeat(100);
    stores.copy("a", &to, None, &mut { STOP }).unwrap();
    let versions = a.versioned().unwrap();
    for _ in 0..3 {
        versions.take_version(None, "").unwrap();
    }
    let report = stores.copy("a", &to, None, &mut { GO }).unwrap();
    assert!(report.complete && report.resumed, "{report:?}");
}

#[test]
fn no_two_copies_have_the_same_token() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    fill(&*a, 0..3000, b"v");
    let mut names = BTreeSet::new();
    for to in ["b", "c", "d"] {
        stores.copy("a", to, None, &mut { STOP }).unwrap();
        names.insert(stores.info(to).unwrap().options.copy_of.unwrap().token);
    }
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|token| token.len() == 32), "{names:?}");
}

#[test]
fn an_unfinished_copy_of_a_store_that_was_renamed_goes_on_under_its_new_name() {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    stores.copy("a", "b", None, &mut { STOP }).unwrap();
    stores.rename("a", "x").unwrap();
    let report = stores.copy("x", "b", None, &mut { GO }).unwrap();
    assert!(report.complete && report.resumed, "{report:?}");
}

#[test]
fn small_rows_and_then_a_large_one_can_be_copied() {
    let env = Env::simulated(&SimDisk::new(1), 1);
    let options = Options {
        env: env.clone(),
        ..Options::default()
    };
    let db = Database::open_with("/db", options).unwrap();
    let stores = stores(&env);
    stores.register(memory::engine(&env)).unwrap();
    let engine = lsm::engine(&db).unwrap();
    let limits = engine.capabilities().limits;
    stores.register(engine).unwrap();
    let a = create(&stores, "a");
    a.set(b"1", &vec![1; (1 << 20) - 10]).unwrap();
    a.set(b"2", &vec![2; limits.value_bytes]).unwrap();
    a.set(b"3", b"small").unwrap();
    let copied = stores.copy("a", "b", Some("lsm"), &mut { GO });
    assert!(copied.unwrap().complete);
    let b = stores.open("b").unwrap();
    assert_eq!(b.get(b"2").unwrap().unwrap().len(), limits.value_bytes);
}

#[test]
fn closing_beside_a_copy_leaves_one_that_can_be_gone_on_with() {
    let disk = SimDisk::new(1);
    let env = Env::simulated(&disk, 1);
    let open = || {
        let stores = stores(&env);
        let options = nexusbase_kv::engines::file::FileOptions::default();
        let files = nexusbase_kv::engines::file::engine(&env, Path::new("/kv"), options);
        stores.register(files.unwrap()).unwrap();
        stores
    };
    let first = open();
    fill(&*first.create("a", &on_file()).unwrap(), 0..3000, b"v");
    let inner = Arc::clone(&first);
    let closing = &mut |_| {
        inner.close().unwrap();
        ControlFlow::Continue(())
    };
    let report = first.copy("a", "b", Some("file"), closing).unwrap();
    assert!(!report.complete && report.copied.rows > 0, "{report:?}");
    let again = open();
    let report = again.copy("a", "b", Some("file"), &mut { GO }).unwrap();
    assert!(report.complete && report.resumed, "{report:?}");
    let rows = again.open("b").unwrap().count(KeyRange::all()).unwrap();
    assert_eq!(rows, 3000);
}
