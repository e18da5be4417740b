//! Requests that come twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nexusbase_db::{Bytes, Database, Options, View};
use nexusbase_documents::store::idempotency::{
    ANSWER_BYTES_MAX, Begun, Fingerprint, IdempotencyError, KEEP_MS, Request, begin, expire_step,
    finish,
};
use nexusbase_documents::{Collection, Documents, Error};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};

use crate::{all, check, collection, document};

fn request(key: &str) -> Request<'_> {
    Request {
        scope: b"me POST /things",
        key: key.as_bytes(),
        fingerprint: Fingerprint::of(b"content"),
    }
}

/// Inserts a document and answers with its number, once per key. Returns the answer, and whether it
/// is a repeated one.
fn insert_once(
    things: &Collection,
    request: &Request<'_>,
    number: usize,
) -> Result<(Bytes, bool), Error> {
    let documents = things.documents();
    let now = documents.database().env().clock.unix_ms();
    documents.transact(|tx| match begin(tx, request, now)? {
        Begun::Replay(answer) => Ok((answer, true)),
        Begun::Mismatch => panic!("another request"),
        Begun::New => {
            let new = document(&format!(r#"{{"_id":{number}}}"#));
            things.within(tx).insert(&new)?;
            let answer = number.to_string();
            finish(tx, request, answer.as_bytes(), now, KEEP_MS)?;
            Ok((answer.into(), false))
        }
    })
}

#[test]
fn requests_with_one_key_at_once_are_done_once() {
    const THREADS: usize = 4;
    let things = collection();
    let numbers = AtomicUsize::new(0);
    for round in 0..20 {
        let key = round.to_string();
        let answers: Vec<_> = std::thread::scope(|scope| {
            let work = || {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                insert_once(&things, &request(&key), number).unwrap()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(
            answers.iter().all(|(answer, _)| *answer == answers[0].0),
            "{answers:?}"
        );
        let first = answers.iter().filter(|(_, repeated)| !repeated).count();
        assert_eq!(first, 1);
        assert_eq!(all(&things).len(), round + 1);
    }
}

#[test]
fn another_request_with_the_key_is_told_apart_and_other_scopes_are_others() {
    let things = collection();
    insert_once(&things, &request("k"), 1).unwrap();
    let tx = things.documents().database().begin();
    let now = things.documents().database().env().clock.unix_ms();
    let other = Request {
        fingerprint: Fingerprint::of(b"other"),
        ..request("k")
    };
    assert_eq!(begin(&tx, &other, now).unwrap(), Begun::Mismatch);
    let other = Request {
        scope: b"me POST /thing",
        key: b"sk",
        ..request("k")
    };
    assert_eq!(begin(&tx, &other, now).unwrap(), Begun::New);
    let refused = begin(&tx, &request(""), now);
    assert!(matches!(
        refused,
        Err(Error::Idempotency(IdempotencyError::Key { .. }))
    ));
    let long = "k".repeat(1025);
    assert!(begin(&tx, &request(&long), now).is_err());
    let scope = vec![0; 4097];
    let long = Request {
        scope: &scope,
        ..request("k")
    };
    assert!(matches!(
        begin(&tx, &long, now),
        Err(Error::Idempotency(IdempotencyError::Scope { .. }))
    ));
}

#[test]
fn an_answer_that_is_too_long_fails_the_whole_transaction() {
    let things = collection();
    let answer = vec![0; ANSWER_BYTES_MAX + 1];
    let refused = things.documents().transact(|tx| {
        things.within(tx).insert(&document("{}"))?;
        finish(tx, &request("k"), &answer, 0, KEEP_MS)
    });
    assert!(matches!(
        refused,
        Err(Error::Idempotency(IdempotencyError::Answer { .. }))
    ));
    assert!(all(&things).is_empty());
}

#[test]
fn an_expired_answer_is_ignored_at_once_and_removed_in_steps() {
    let clock = SimClock::manual();
    let env = Env {
        clock: Arc::new(clock.clone()),
        ..Env::simulated(&SimDisk::new(1), 1)
    };
    let options = Options {
        env,
        housekeeping_thread: false,
        ..Options::default()
    };
    let db = Database::open_with("/data", options).unwrap();
    let things = Documents::new(&db).collection("things").unwrap();
    assert_eq!(expire_step(&db, 10).unwrap(), 0);
    for number in 0..5 {
        insert_once(&things, &request(&number.to_string()), number).unwrap();
    }
    clock.advance(Duration::from_millis(KEEP_MS - 1));
    assert!(insert_once(&things, &request("0"), 10).unwrap().1);
    assert_eq!(expire_step(&db, 10).unwrap(), 0);
    clock.advance(Duration::from_millis(1));
    // The key is new again, and its answer counts from now.
    assert!(!insert_once(&things, &request("0"), 10).unwrap().1);
    assert_eq!(
        [3, 3, 3].map(|limit| expire_step(&db, limit).unwrap()),
        [3, 1, 0]
    );
    assert!(insert_once(&things, &request("0"), 11).unwrap().1);
    assert!(!insert_once(&things, &request("1"), 11).unwrap().1);
    let rows = |name: &str| {
        let snapshot = db.snapshot();
        let tree = snapshot.tree(name).unwrap().unwrap();
        let all = nexusbase_db::KeyRange::all();
        snapshot
            .scan(tree, all, nexusbase_db::Direction::Forward)
            .unwrap()
            .count()
    };
    assert_eq!(
        (
            rows("documents/idempotency"),
            rows("documents/idempotency/expiry")
        ),
        (2, 2)
    );
}

/// The power is cut at every operation of the disk in turn, and the client tries again.
#[test]
fn after_a_crash_the_key_the_answer_and_the_document_are_all_there_or_none() {
    let open = |disk: &SimDisk| {
        let options = Options {
            env: Env::simulated(disk, 1),
            housekeeping_thread: false,
            ..Options::default()
        };
        Database::open_with("/data", options)
            .map(|db| Documents::new(&db).collection("things").unwrap())
    };
    let start = SimDisk::new(1);
    let things = open(&start).unwrap();
    insert_once(&things, &request("before"), 0).unwrap();
    drop(things);
    let (mut none, mut both) = (0, 0);
    for at in 1.. {
        let disk = start.fork();
        let things = open(&disk).unwrap();
        disk.crash_at(at);
        let done = insert_once(&things, &request("k"), 1);
        drop(things);
        let finished = !disk.is_crashed();
        disk.crash(at);
        let things = open(&disk).unwrap();
        let there = all(&things).len() == 2;
        assert!(
            there || done.is_err(),
            "crash at {at}: what was answered is lost"
        );
        let (answer, repeated) = insert_once(&things, &request("k"), 2).unwrap();
        assert_eq!(repeated, there, "crash at {at}");
        assert_eq!(*answer, *if there { b"1" } else { b"2" });
        assert_eq!(all(&things).len(), 2);
        check(things.documents());
        both += usize::from(there);
        none += usize::from(!there);
        if finished {
            break;
        }
    }
    assert!(none > 0 && both > 0, "{none} {both}");
}
