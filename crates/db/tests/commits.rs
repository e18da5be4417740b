//! What a commit handle and the change feed promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gate;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use gate::{Gate, PATIENCE, Work, answer, spawn};
use nexusbase_db::{
    Changed, CommitError, Database, Durability, Error, Index, Options, TreeId, View,
};
use nexusbase_io::Env;
use nexusbase_io::sim::SimDisk;

fn tree(db: &Database) -> TreeId {
    db.transact(|tx| Ok::<_, Error>(tx.create_tree("t")?))
        .unwrap()
}

/// Runs a future on this thread: the smallest runtime there is.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_commit_can_be_awaited_without_a_runtime() {
    let db = Database::in_memory().unwrap();
    let t = tree(&db);
    let (_, handle) = db
        .transact_start(|tx| Ok::<_, Error>(tx.put(t, b"a", b"1")?))
        .unwrap();
    let index = block_on(handle).unwrap();
    assert_eq!(index, Index::new(2));
    assert!(db.snapshot().get(t, b"a").unwrap().is_some());
}

#[test]
fn a_commit_happens_although_nobody_waits_for_it() {
    let db = Database::in_memory().unwrap();
    let t = tree(&db);
    for _ in 0..20 {
        drop(
            db.transact_start(|tx| Ok::<_, Error>(tx.put(t, b"a", b"1")?))
                .unwrap(),
        );
    }
    db.wait_visible(Index::new(21));
    assert_eq!(db.snapshot().index(), Index::new(21));
}

#[test]
fn committers_at_once_share_batches_and_each_gets_its_own_index() {
    let db = Database::in_memory().unwrap();
    let t = tree(&db);
    let mut handles = Vec::new();
    for number in 0..100u32 {
        let mut tx = db.begin();
        tx.put(t, &number.to_be_bytes(), b"x").unwrap();
        handles.push(tx.commit().unwrap());
    }
    let indices: Vec<_> = handles
        .iter()
        .map(|handle| handle.wait().unwrap().get())
        .collect();
    assert_eq!(indices, (2..102).collect::<Vec<_>>());
    let stats = db.stats().commits;
    assert_eq!(stats.commits, 101);
    assert!(stats.batches <= 101);
}

#[test]
fn many_threads_commit_in_every_durability_and_find_everything_again() {
    let modes = [
        Durability::Always,
        Durability::Interval(Duration::from_millis(5)),
        Durability::Never,
    ];
    for durability in modes {
        let disk = SimDisk::new(1);
        let open = || {
            let env = Env {
                fs: Arc::new(disk.clone()),
                ..Env::os()
            };
            // Small segments: many of them are made while the threads commit.
            let options = Options {
                durability,
                segment_bytes: 64 << 10,
                env,
                ..Options::default()
            };
            Database::open_with("/data", options).unwrap()
        };
        let db = open();
        let t = tree(&db);
        std::thread::scope(|scope| {
            for thread in 0..8u32 {
                let db = &db;
                scope.spawn(move || {
                    for number in 0..150u32 {
                        let key = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                        db.transact(|tx| Ok::<_, Error>(tx.put(t, &key, &[7; 200])?))
                            .unwrap();
                    }
                });
            }
        });
        assert!(db.stats().log_segments > 3);
        drop(db);
        let db = open();
        assert_eq!(db.recovery().entries, 1201);
        let range = nexusbase_db::KeyRange::all();
        let rows = db
            .snapshot()
            .scan(t, range, nexusbase_db::Direction::Forward)
            .unwrap()
            .count();
        assert_eq!(rows, 1200, "{durability:?}");
    }
}

#[test]
fn the_feed_shows_every_commit_in_order_and_goes_on_with_those_to_come() {
    let db = Database::in_memory().unwrap();
    let t = tree(&db);
    let mut feed = db.changes(Index::new(1)).unwrap();
    assert_eq!(feed.try_next().unwrap().unwrap().index, Index::new(1));
    assert!(feed.try_next().unwrap().is_none());
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < 50 {
                match feed.try_next().unwrap() {
                    Some(change) => seen.push((change.index.get(), change.mutations.len())),
                    None => assert!(matches!(feed.wait(Duration::from_secs(30)), Changed::To(_))),
                }
            }
            seen
        });
        for number in 0..50u32 {
            db.transact(|tx| Ok::<_, Error>(tx.put(t, &number.to_be_bytes(), b"x")?))
                .unwrap();
        }
        assert_eq!(
            reader.join().unwrap(),
            (2..52).map(|index| (index, 1)).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_closed_database_says_so_and_keeps_its_snapshots_readable() {
    let db = Database::in_memory().unwrap();
    let t = tree(&db);
    db.transact(|tx| Ok::<_, Error>(tx.put(t, b"a", b"1")?))
        .unwrap();
    let snapshot = db.snapshot();
    let feed = db.changes(Index::new(3)).unwrap();
    db.close().unwrap();
    db.close().unwrap();
    assert!(snapshot.get(t, b"a").unwrap().is_some());
    assert_eq!(feed.wait(Duration::from_secs(30)), Changed::Closed);
    let refused = db.transact(|tx| Ok::<_, Error>(tx.put(t, b"a", b"2")?));
    assert!(matches!(refused, Err(Error::Commit(CommitError::Closed))));
}

/// A commit handle can be shared, but its end woke only one of the threads that waited for it;
/// the others waited for ever.
#[test]
fn all_threads_that_wait_on_one_handle_are_answered() {
    const THREADS: usize = 8;
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let db = Database::open_with("/data", gate.options(&disk)).unwrap();
    let t = tree(&db);
    let start = |key: &[u8]| {
        db.transact_start(|tx| Ok::<_, Error>(tx.put(t, key, b"1")?))
            .unwrap()
            .1
    };
    // Somebody else leads meanwhile.
    let shut = gate.shut(Work::Write);
    let other = start(b"a");
    let other = spawn(move || other.wait());
    shut.wait_for_one();
    let shared = Arc::new(start(b"b"));
    let (answers, answered) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    for _ in 0..THREADS {
        let (shared, ready, answers) = (Arc::clone(&shared), ready.clone(), answers.clone());
        std::thread::spawn(move || {
            ready.send(()).unwrap();
            answers.send(shared.wait())
        });
    }
    for _ in 0..THREADS {
        is_ready.recv_timeout(PATIENCE).unwrap();
    }
    // Time to fall asleep. Who does not need it is answered all the same.
    std::thread::sleep(Duration::from_millis(50));
    drop(shut);
    for _ in 0..THREADS {
        assert_eq!(answer(&answered), Index::new(3));
    }
    assert_eq!(answer(&other), Index::new(2));
}

/// Commits of more keys than the conflict window holds were refused together because the disk was
/// full. The window had forgotten the first of them already, and went on to refuse everything
/// older than that: as it never happened, that was everything for ever.
#[test]
fn a_disk_that_was_too_full_for_more_keys_than_the_window_holds_is_not_final() {
    let disk = SimDisk::new(1);
    let options = Options {
        // So that all of them wait for the one that leads.
        housekeeping_thread: false,
        segment_bytes: 64 << 10,
        ..Arc::new(Gate::default()).options(&disk)
    };
    let db = Database::open_with("/data", options).unwrap();
    let t = tree(&db);
    disk.set_capacity(Some(0));
    let commit = |_| {
        let mut tx = db.begin();
        for key in 0..=4096u32 {
            tx.delete(t, &key.to_be_bytes()).unwrap();
        }
        tx.commit().unwrap()
    };
    let refused: Vec<_> = (0..256).map(commit).collect();
    for handle in refused {
        assert!(matches!(handle.wait(), Err(CommitError::NoSpace(_))));
    }
    disk.set_capacity(None);
    let mut tx = db.begin();
    assert_eq!(tx.get(t, b"a").unwrap(), None);
    tx.put(t, b"a", b"1").unwrap();
    assert_eq!(tx.commit().unwrap().wait().unwrap(), Index::new(2));
}

/// Housekeeping wrote batches as long as there were any, and synced then. Where commits that
/// nobody waits for came as fast as it wrote them, the interval never ended.
#[test]
fn an_interval_ends_although_there_is_always_something_to_write() {
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let options = Options {
        durability: Durability::Interval(Duration::from_millis(1)),
        ..gate.options(&disk)
    };
    let db = Database::open_with("/data", options).unwrap();
    let t = tree(&db);
    let commit = || {
        drop(
            db.transact_start(|tx| Ok::<_, Error>(tx.put(t, b"a", b"1")?))
                .unwrap(),
        );
    };
    let shut = gate.shut(Work::Write);
    let next = || {
        // The next batch is there before the one at the gate is written.
        commit();
        shut.let_one_through();
        shut.wait_for_one();
    };
    commit();
    shut.wait_for_one();
    // It may be just a claim that stood there.
    next();
    let before = db.stats().durable_bytes;
    let synced = (0..1000).any(|_| {
        next();
        db.stats().durable_bytes > before
    });
    assert!(synced, "not one sync in 1000 batches");
}
