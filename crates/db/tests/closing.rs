//! What closing promises: who has closed a database may give its folder to another process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gate;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use gate::{Gate, PATIENCE, Work, answer, spawn};
use nexusbase_db::{
    Changed, CommitError, CommitHandle, Database, Error, Index, OpenError, Options, TreeId, View,
};
use nexusbase_io::sim::SimDisk;
use parking_lot::Mutex;

/// What a thread gets to do what it must not do. Only a test that should fail depends on it.
const OPPORTUNITY: Duration = Duration::from_millis(100);

fn open(options: Options) -> Result<Database, OpenError> {
    Database::open_with("/data", options)
}

fn tree(db: &Database) -> TreeId {
    db.transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap()
}

/// Starts to commit `key`.
fn put(db: &Database, tree: TreeId, key: &[u8]) -> CommitHandle {
    db.transact_start(|tx| Ok::<_, Error>(tx.put(tree, key, b"1")?))
        .unwrap()
        .1
}

/// Closes on another thread.
fn close(db: &Database) -> Receiver<Result<(), CommitError>> {
    let db = db.clone();
    spawn(move || db.close())
}

/// Waits until somebody has begun to close.
fn wait_until_closing(db: &Database) {
    for _ in 0..PATIENCE.as_millis() {
        if db.stopped().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(db.stopped().is_some(), "nobody closes");
}

fn assert_still_closing(closed: &Receiver<Result<(), CommitError>>, disk: &SimDisk) {
    let end = closed.recv_timeout(OPPORTUNITY);
    assert!(
        matches!(end, Err(RecvTimeoutError::Timeout)),
        "closed already: {end:?}"
    );
    let refused = open(Arc::new(Gate::default()).options(disk)).err();
    assert!(
        matches!(refused, Some(OpenError::Locked { .. })),
        "the folder is free: {refused:?}"
    );
}

/// A commit that is being written has the log's writer with it. Closing must not take that for
/// "nobody writes": the next owner of the folder would append where this commit still goes.
#[test]
fn the_folder_is_not_free_while_a_commit_is_being_written() {
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let db = open(gate.options(&disk)).unwrap();
    let t = tree(&db);
    let shut = gate.shut(Work::Write);
    let handle = put(&db, t, b"a");
    let committed = spawn(move || handle.wait());
    shut.wait_for_one();

    let closed = close(&db);
    assert_still_closing(&closed, &disk);
    drop(shut);
    answer(&closed);
    assert_eq!(answer(&committed), Index::new(2));
    open(gate.options(&disk)).unwrap();
}

/// A second `close` found the database closed already, freed the folder and said that all was
/// well, while the first still waited for a commit to be written. Another process opened the
/// folder, and the two wrote over each other.
#[test]
fn a_second_close_waits_for_the_first() {
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let db = open(gate.options(&disk)).unwrap();
    let t = tree(&db);
    let shut = gate.shut(Work::Write);
    let handle = put(&db, t, b"a");
    let committed = spawn(move || handle.wait());
    shut.wait_for_one();

    let first = close(&db);
    wait_until_closing(&db);
    let second = close(&db);
    assert_still_closing(&second, &disk);
    drop(shut);
    answer(&second);
    // What the second one says holds without the first.
    disk.crash(1);
    let again = open(gate.options(&disk)).unwrap();
    assert!(again.snapshot().get(t, b"a").unwrap().is_some());
    answer(&first);
    assert_eq!(answer(&committed), Index::new(2));
}

/// `close` freed the folder and let housekeeping finish at leisure. It was just making a spare
/// segment, and put that under the name of the one that the folder's next owner had made: the
/// two had one file between them.
#[test]
fn the_folder_is_not_free_while_housekeeping_works_in_it() {
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let (db, shut) = {
        let shut = gate.shut(Work::Allocate);
        let options = gate.options(&disk);
        let opening = spawn(move || open(options));
        // The first segment; what comes next is housekeeping with the first spare.
        shut.wait_for_one();
        shut.let_one_through();
        (answer(&opening), shut)
    };
    let t = tree(&db);
    // Nobody waits for it, so housekeeping is called.
    drop(put(&db, t, b"a"));
    shut.wait_for_one();

    let closed = close(&db);
    assert_still_closing(&closed, &disk);
    drop(shut);
    answer(&closed);
    open(gate.options(&disk)).unwrap();
}

/// The same from the other side: a step of housekeeping that comes after `close` made a spare
/// segment in a folder that was no longer its own.
#[test]
fn a_closed_database_leaves_its_folder_alone() {
    let disk = SimDisk::new(1);
    let options = Options {
        housekeeping_thread: false,
        ..Arc::new(Gate::default()).options(&disk)
    };
    let db = open(options).unwrap();
    tree(&db);
    db.close().unwrap();
    let before = disk.operations();
    db.housekeeping_step();
    assert_eq!(disk.operations(), before);
}

/// And while a caller's own thread flushes: its table would come into a folder of somebody else.
#[test]
fn the_folder_is_not_free_while_a_caller_settles_it() {
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let options = Options {
        housekeeping_thread: false,
        ..gate.options(&disk)
    };
    let db = open(options).unwrap();
    tree(&db);
    // Log and manifest have nothing left to write when it closes.
    for _ in 0..3 {
        db.housekeeping_step();
    }
    let shut = gate.shut(Work::Write);
    let settled = spawn({
        let db = db.clone();
        move || db.settle()
    });
    shut.wait_for_one();

    let closed = close(&db);
    assert_still_closing(&closed, &disk);
    drop(shut);
    answer(&closed);
    let before = disk.operations();
    // It was done before, or it says that the database is closed.
    let _ = settled.recv_timeout(PATIENCE).unwrap();
    assert_eq!(disk.operations(), before);
    open(gate.options(&disk)).unwrap();
}

/// `close` returned when everything was written, although the last commits were still being
/// applied: a snapshot did not show them, and a feed said that nothing more would come, and then
/// something came.
#[test]
fn close_returns_when_all_that_was_accepted_is_visible_and_the_feeds_have_ended() {
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let db = open(gate.options(&disk)).unwrap();
    let t = tree(&db);
    let mut feed = db.changes(Index::new(2)).unwrap();
    let shut = gate.shut(Work::Write);
    // So large that to apply it takes far longer than to write what closing writes.
    let (_, handle) = db
        .transact_start(|tx| {
            for key in 0..50_000u32 {
                tx.put(t, &key.to_be_bytes(), b"")?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    let committed = spawn(move || handle.wait());
    shut.wait_for_one();
    let closed = spawn({
        let db = db.clone();
        move || {
            db.close().unwrap();
            let visible = db.snapshot().index();
            let shown = feed.try_next().unwrap().map(|change| change.index);
            (visible, shown, feed.wait(Duration::ZERO))
        }
    });
    wait_until_closing(&db);
    drop(shut);

    let last = Index::new(2);
    let seen = closed.recv_timeout(PATIENCE);
    assert_eq!(seen, Ok((last, Some(last), Changed::Closed)));
    assert_eq!(answer(&committed), last);
}

/// A task held the last handle to its database and let go of it when its commit was done: on the
/// housekeeping thread, which then waited for its own end. Whoever came behind it in the batch
/// was never answered.
#[test]
fn the_last_handle_may_be_dropped_by_a_waker_on_the_housekeeping_thread() {
    struct LetGo {
        last: Mutex<Option<Database>>,
        done: mpsc::Sender<()>,
    }
    impl Wake for LetGo {
        fn wake(self: Arc<Self>) {
            drop(self.last.lock().take());
            self.done.send(()).unwrap();
        }
    }
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let db = open(gate.options(&disk)).unwrap();
    let t = tree(&db);
    let shut = gate.shut(Work::Write);
    let (mut first, second) = (put(&db, t, b"a"), put(&db, t, b"b"));
    let (done, let_go) = mpsc::channel();
    let last = Mutex::new(Some(db));
    let waker = Waker::from(Arc::new(LetGo { last, done }));
    let polled = Pin::new(&mut first).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    shut.wait_for_one();
    drop(shut);

    assert_eq!(let_go.recv_timeout(PATIENCE), Ok(()));
    let answered = spawn(move || second.wait());
    assert_eq!(answer(&answered), Index::new(3));
    open(gate.options(&disk)).unwrap();
}
