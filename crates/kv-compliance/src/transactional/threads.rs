//! Transactions by many threads at once.

use std::thread;

use nexusbase_kv::{KeyRange, Store, WriteView, transact};

use super::begin;
use crate::fixture::Fixture;
use crate::harness::Promise;
use crate::threads::{Bound, number};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "concurrent increments through `transact` lose nothing",
        increments,
    ),
    (
        "what transactions move between keys stays the same in sum, for every reader",
        transfers,
    ),
    (
        "rows that are numbered by counting them get each number once",
        numbered,
    ),
];

fn add_one(tx: &mut dyn WriteView) -> nexusbase_kv::Result<u64> {
    let next = tx.get(b"n")?.as_ref().map_or(0, number) + 1;
    tx.set(b"n", &next.to_be_bytes())?;
    Ok(next)
}

fn in_threads<T: Send>(store: &dyn Store, work: fn(&dyn Store, u64) -> T) -> Vec<T> {
    thread::scope(|scope| {
        let run = move |thread: u64| {
            let bound = Bound::new();
            let rounds = bound.rounds(20_000);
            rounds
                .map(|round| work(store, thread * 1_000_000 + round))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let done = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.flatten().collect()
    })
}

fn increments(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let mut numbers = in_threads(&*store, |store, _| {
        transact(store.transactional().expect("transactions"), |tx| {
            add_one(tx)
        })
        .unwrap()
    });
    let counted = store.get(b"n").unwrap().as_ref().map(number);
    assert_eq!(counted, Some(numbers.len() as u64), "increments are lost");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        counted,
        Some(numbers.len() as u64),
        "two have seen the same number"
    );
}

fn transfers(fixture: &mut Fixture) {
    const ACCOUNTS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
    let store = fixture.create("s");
    let start = 1000_u64.to_be_bytes();
    store
        .set_many(&ACCOUNTS.map(|account| (account, start.as_slice())))
        .unwrap();
    in_threads(&*store, |store, round| {
        let at = usize::try_from(round).unwrap();
        let (from, to) = (ACCOUNTS[at % 4], ACCOUNTS[(at / 4 + 1) % 4]);
        transact(store.transactional().expect("transactions"), |tx| {
            // Signed by wrapping: more may be taken than is there.
            let left = tx.get(from)?.as_ref().map_or(0, number).wrapping_sub(1);
            tx.set(from, &left.to_be_bytes())?;
            let more = tx.get(to)?.as_ref().map_or(0, number).wrapping_add(1);
            tx.set(to, &more.to_be_bytes())
        })
        .unwrap();
        let values = store.get_many(&ACCOUNTS).unwrap();
        let sum = values
            .iter()
            .flatten()
            .map(number)
            .fold(0, u64::wrapping_add);
        assert_eq!(sum, 4000, "a transaction is seen in part");
        let tx = begin(store);
        let found = ACCOUNTS.iter().filter_map(|key| tx.get(key).unwrap());
        let sum = found.map(|value| number(&value)).fold(0, u64::wrapping_add);
        assert_eq!(sum, 4000, "a transaction has read two states");
    });
}

fn numbered(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let rows = in_threads(&*store, |store, _| {
        transact(store.transactional().expect("transactions"), |tx| {
            let count = tx.count(KeyRange::all())?;
            tx.set(&count.to_be_bytes(), b"row")
        })
        .unwrap();
    });
    let count = store.count(KeyRange::all()).unwrap();
    assert_eq!(count, rows.len() as u64, "two have counted the same");
}
