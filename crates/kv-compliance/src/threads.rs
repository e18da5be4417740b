//! Threads: readers beside writers, and writers beside writers. Bounded by counts and by time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use nexusbase_io::Clock;
use nexusbase_io::os::OsClock;
use nexusbase_kv::{Direction, Expected, KeyRange, Put, Store, Swap};

use crate::fixture::Fixture;
use crate::harness::Promise;

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a batch is seen as a whole by readers beside it",
        batches_whole,
    ),
    (
        "what was acknowledged is there for every call that begins afterwards",
        acknowledged,
    ),
    ("counters by `compare_and_set` lose nothing", counters),
    ("of many who set what is absent one succeeds", one_winner),
    (
        "deletes beside each other: one has taken it away",
        one_deleter,
    ),
];

/// A test of threads ends after so much time, or when its work is done.
const TIME: Duration = Duration::from_millis(150);
/// It may take so long until readers have looked often enough.
const TIME_MAX: Duration = Duration::from_secs(3);
const LOOKS: u64 = 100;
const WRITES: u64 = 20_000;

/// Ends work by time as well as by count: durable engines sync each write.
pub(crate) struct Bound {
    clock: OsClock,
}

impl Bound {
    pub(crate) fn new() -> Self {
        Self {
            clock: OsClock::new(),
        }
    }

    /// Whether a writer that is looked at may end: when there was time for it, and it was looked
    /// at often enough. On a busy machine the readers may have to wait until they run at all.
    pub(crate) fn is_over(&self, round: u64, looks: &AtomicU64) -> bool {
        let time = self.clock.monotonic();
        let seen = looks.load(Ordering::Relaxed) >= LOOKS;
        time >= TIME_MAX || (seen && round >= 10 && time >= TIME)
    }

    /// Numbers up to `count` as long as there is time; at least ten.
    pub(crate) fn rounds(&self, count: u64) -> impl Iterator<Item = u64> + '_ {
        (0..count).take_while(|round| *round < 10 || self.clock.monotonic() < TIME)
    }
}

/// Says that work is done, also when it ends by a panic: others wait for it.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(crate) fn number(value: &Bytes) -> u64 {
    u64::from_be_bytes(value.as_ref().try_into().expect("a number of 8 bytes"))
}

/// So many keys are written together: the more, the longer a batch would be seen in part.
const BATCH: u8 = 200;

/// Whether all keys have the same value.
fn check_whole(what: &str, values: &[Option<Bytes>]) -> u64 {
    let values: Vec<_> = values
        .iter()
        .map(|v| v.as_ref().map_or(0, number))
        .collect();
    assert!(
        values.iter().all(|value| *value == values[0]),
        "a batch is seen in part by {what}: {values:?}"
    );
    values[0]
}

fn batches_whole(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let all: [[u8; 1]; BATCH as usize] = std::array::from_fn(|at| [u8::try_from(at).unwrap()]);
    let rows = all.each_ref().map(<[u8; 1]>::as_slice);
    let keys = [rows[0], rows[60], rows[120], rows[199]];
    thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Done(&done);
            let bound = Bound::new();
            for round in (0_u64..).take_while(|round| !bound.is_over(*round, &looks)) {
                let value = round.to_be_bytes();
                let value = value.as_slice();
                if round % 10 == 9 {
                    store.clear().unwrap();
                }
                store.set_many(&rows.map(|key| (key, value))).unwrap();
            }
        });
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (store, done, looks) = (&store, &done, &looks);
                scope.spawn(move || {
                    while !done.load(Ordering::Acquire) {
                        check_whole("`entries`", &store.get_many(&keys).unwrap());
                        let snapshot = store.snapshot().unwrap();
                        let each = keys.map(|key| snapshot.get(key).unwrap());
                        check_whole("a snapshot", &each);
                        check_cursor(&**store, reader == 0);
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for reader in readers {
            join(reader);
        }
    });
}

fn check_cursor(store: &dyn Store, forward: bool) {
    let direction = if forward {
        Direction::Forward
    } else {
        Direction::Reverse
    };
    let rows = store.rows(KeyRange::all(), direction).unwrap();
    let values: Vec<_> = rows.map(|row| Some(row.unwrap().entry.value)).collect();
    assert!(
        matches!(values.len(), 0 | 200),
        "a batch is seen in part: {} rows",
        values.len()
    );
    if !values.is_empty() {
        check_whole("a cursor", &values);
    }
}

/// Lets a thread's panic go on here, with its message.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn acknowledged(fixture: &mut Fixture) {
    let store = fixture.create("s");
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u8)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for round in Bound::new().rounds(WRITES) {
                        let value = round.to_be_bytes();
                        store.set(&[writer], &value).unwrap();
                        let found = store.get(&[writer]).unwrap();
                        let found = found.as_ref().map(number);
                        assert_eq!(
                            found,
                            Some(round),
                            "a write that was acknowledged is not seen"
                        );
                        let snapshot = store.snapshot().unwrap();
                        let found = snapshot.get(&[writer]).unwrap().as_ref().map(number);
                        assert_eq!(
                            found,
                            Some(round),
                            "a snapshot is older than a write before it"
                        );
                    }
                })
            })
            .collect();
        for writer in writers {
            join(writer);
        }
    });
}

fn add_one(store: &dyn Store) {
    let mut found = store.entry(b"n").unwrap();
    loop {
        let next = found.as_ref().map_or(0, |entry| number(&entry.value)) + 1;
        let expected = found
            .as_ref()
            .map_or(Expected::Absent, |e| Expected::Value(&e.value));
        let next = next.to_be_bytes();
        match store
            .compare_and_set(b"n", expected, Some(Put::new(&next)))
            .unwrap()
        {
            Swap::Done => return,
            Swap::Differs(other) => found = other,
        }
    }
}

fn counters(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let added = thread::scope(|scope| {
        let add = || {
            Bound::new()
                .rounds(WRITES)
                .map(|_| add_one(&*store))
                .count() as u64
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        threads.into_iter().map(join).sum::<u64>()
    });
    let counted = store.get(b"n").unwrap().as_ref().map(number);
    assert_eq!(counted, Some(added), "counters lose additions");
}

/// Lets four threads do something at each round, and returns who of them has succeeded.
fn race(store: &Arc<dyn Store>, round: u64, work: fn(&dyn Store, &[u8]) -> bool) -> usize {
    let key = round.to_be_bytes();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| work(&**store, &key)))
            .collect();
        threads.into_iter().map(join).filter(|won| *won).count()
    })
}

fn one_winner(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for round in Bound::new().rounds(100) {
        let winners = race(&store, round, |store, key| {
            let put = Some(Put::new(b"mine"));
            store.compare_and_set(key, Expected::Absent, put).unwrap() == Swap::Done
        });
        assert_eq!(winners, 1, "round {round}");
    }
}

fn one_deleter(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for round in Bound::new().rounds(100) {
        store.set(&round.to_be_bytes(), b"x").unwrap();
        let winners = race(&store, round, |store, key| store.delete(key).unwrap());
        assert_eq!(winners, 1, "round {round}");
    }
}
