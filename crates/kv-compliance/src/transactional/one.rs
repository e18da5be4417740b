//! One transaction: what it sees, and what others see of it.

use bytes::Bytes;
use nexusbase_kv::{
    Direction, Error, ErrorKind, KeyRange, Mode, Operation, PageQuery, Put, Transactions, transact,
};

use super::{begin, begin_as};
use crate::fixture::Fixture;
use crate::harness::{Promise, beside, no_store, read_only, refused, too_large};
use crate::model::{Model, all_rows, expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a transaction sees its own writes, for any method that reads",
        own_writes,
    ),
    (
        "writes that are not committed are seen by nobody else",
        uncommitted_unseen,
    ),
    (
        "dropping a transaction, or rolling it back, forgets its writes",
        rolled_back,
    ),
    (
        "a transaction reads the state in which it began",
        begun_state,
    ),
    (
        "ranges are those of the state with the transaction's writes",
        overlaid_ranges,
    ),
    (
        "`delete` in a transaction says whether there was anything",
        deletes,
    ),
    ("the clock stands still in a transaction", clock_stands),
    ("a transaction that only reads refuses writes", only_reads),
    ("nobody waits for a transaction that is open", nobody_waits),
    (
        "what is too large is refused in a transaction, and the transaction goes on",
        limits,
    ),
    (
        "a transaction fails when its store is closed or dropped",
        gone,
    ),
    (
        "a transaction over several stores is one change",
        across_stores,
    ),
    (
        "`transact` returns what the work returns, and commits nothing when that is an error",
        errors,
    ),
];

fn own_writes(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store
        .set_many(&[(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
        .unwrap();
    let mut tx = begin(&*store);
    tx.set(b"a", b"2").unwrap();
    assert!(tx.delete(b"b").unwrap());
    let media_type = Some("text/plain");
    let later = Some(fixture.now_ms() + 3_600_000);
    let put = Put {
        value: b"4",
        expires_ms: later,
        media_type,
    };
    tx.put(b"d", put).unwrap();
    assert_eq!(tx.get(b"a").unwrap(), Some(Bytes::from_static(b"2")), "get");
    assert_eq!(tx.entry(b"d").unwrap(), Some(put.to_entry()), "entry");
    assert!(!tx.has(b"b").unwrap(), "has");
    let many = tx.get_many(&[b"d", b"b", b"a"]).unwrap();
    assert_eq!(
        many,
        [
            Some(Bytes::from_static(b"4")),
            None,
            Some(Bytes::from_static(b"2"))
        ]
    );
    let wanted = expected(&[("a", "2"), ("c", "1"), ("d", "4")]);
    assert_eq!(texts(&*tx), wanted, "rows");
    assert_eq!(tx.count(KeyRange::all()).unwrap(), 3, "count");
    assert_eq!(
        tx.page(&PageQuery::new(KeyRange::all()))
            .unwrap()
            .rows
            .len(),
        3,
        "page"
    );
    tx.set(b"b", b"again").unwrap();
    assert!(tx.delete(b"a").unwrap());
    let wanted = expected(&[("b", "again"), ("c", "1"), ("d", "4")]);
    assert_eq!(texts(&*tx), wanted);
    tx.commit().unwrap();
    assert_eq!(texts(&*store), wanted);
    assert_eq!(store.entry(b"d").unwrap(), Some(put.to_entry()));
}

fn uncommitted_unseen(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"1"), (b"b", b"1")]).unwrap();
    let mut tx = begin(&*store);
    tx.set(b"a", b"2").unwrap();
    tx.delete(b"b").unwrap();
    tx.set(b"c", b"2").unwrap();
    let before = expected(&[("a", "1"), ("b", "1")]);
    assert_eq!(
        texts(&*store),
        before,
        "uncommitted writes are seen in the store"
    );
    assert_eq!(store.get(b"a").unwrap(), Some(Bytes::from_static(b"1")));
    assert_eq!(
        texts(&*store.snapshot().unwrap()),
        before,
        "uncommitted writes in a snapshot"
    );
    assert_eq!(
        texts(&*begin(&*store)),
        before,
        "uncommitted writes in another transaction"
    );
    tx.commit().unwrap();
    assert_eq!(texts(&*store), expected(&[("a", "2"), ("c", "2")]));
}

fn rolled_back(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    let mut tx = begin(&*store);
    tx.set(b"a", b"2").unwrap();
    drop(tx);
    let mut tx = begin(&*store);
    tx.set(b"b", b"2").unwrap();
    tx.delete(b"a").unwrap();
    tx.rollback();
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
    let tx = begin(&*store);
    assert_eq!(texts(&*tx), expected(&[("a", "1")]));
    tx.commit().unwrap();
}

fn begun_state(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set_many(&[(b"a", b"1"), (b"b", b"1")]).unwrap();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        store.clear().unwrap();
        store.set_many(&[(b"a", b"1"), (b"b", b"1")]).unwrap();
        let tx = begin_as(&*store, mode);
        store.set(b"a", b"2").unwrap();
        store.delete(b"b").unwrap();
        store.set(b"c", b"2").unwrap();
        assert_eq!(tx.get(b"c").unwrap(), None);
        assert_eq!(texts(&*tx), expected(&[("a", "1"), ("b", "1")]), "{mode:?}");
        drop(tx);
    }
}

fn overlaid_ranges(fixture: &mut Fixture) {
    if !fixture.can().ordered {
        return;
    }
    let store = fixture.create("s");
    let mut model = Model::default();
    for at in (0..60_u8).step_by(2) {
        store.set(&[at], b"old").unwrap();
        model.put(&[at], Put::new(b"old"));
    }
    let mut tx = begin(&*store);
    for at in (0..60_u8).step_by(3) {
        if at % 4 == 0 {
            tx.delete(&[at]).unwrap();
            model.0.remove([at].as_slice());
        } else {
            tx.set(&[at], b"new").unwrap();
            model.put(&[at], Put::new(b"new"));
        }
    }
    for (start, end) in [(0, 60), (3, 30), (4, 5), (12, 12), (30, 3), (59, 255)] {
        let bounds = (
            std::ops::Bound::Excluded(vec![start]),
            std::ops::Bound::Included(vec![end]),
        );
        let range = KeyRange::from_bounds(bounds.0, bounds.1);
        for direction in [Direction::Forward, Direction::Reverse] {
            let rows = tx.rows(range.clone(), direction).unwrap();
            let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
            assert_eq!(
                rows,
                model.rows(&range, direction),
                "{range:?}, {direction:?}"
            );
        }
    }
    tx.commit().unwrap();
    assert_eq!(all_rows(&*store), model.all());
}

fn deletes(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    let mut tx = begin(&*store);
    assert!(!tx.delete(b"x").unwrap());
    assert!(tx.delete(b"a").unwrap());
    assert!(!tx.delete(b"a").unwrap());
    tx.set(b"x", b"1").unwrap();
    assert!(tx.delete(b"x").unwrap());
    tx.commit().unwrap();
    assert_eq!(texts(&*store), []);
}

fn clock_stands(fixture: &mut Fixture) {
    if !fixture.has_clock() {
        return;
    }
    let store = fixture.create("s");
    let now = fixture.now_ms();
    let put = |ms| Put {
        expires_ms: Some(now + ms),
        ..Put::new(b"v")
    };
    store.put(b"over", put(5)).unwrap();
    store.put(b"soon", put(50)).unwrap();
    fixture.pass_ms(10);
    let mut tx = begin(&*store);
    tx.put(b"own", put(60)).unwrap();
    fixture.pass_ms(100);
    assert_eq!(
        texts(&*tx),
        expected(&[("own", "v"), ("soon", "v")]),
        "it has gone on"
    );
    assert!(tx.has(b"soon").unwrap() && !tx.has(b"over").unwrap());
    assert!(tx.delete(b"soon").unwrap());
    assert_eq!(texts(&*store), [], "outside it goes on");
    tx.commit().unwrap();
    assert_eq!(texts(&*store), []);
}

fn only_reads(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    let mut tx = begin_as(&*store, Mode::ReadOnly);
    read_only("to put", tx.set(b"a", b"2"));
    read_only("to delete", tx.delete(b"a"));
    assert_eq!(texts(&*tx), expected(&[("a", "1")]));
    store.set(b"a", b"2").unwrap();
    tx.commit().expect("what only reads never conflicts");
    assert_eq!(texts(&*store), expected(&[("a", "2")]));
}

fn nobody_waits(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"a", b"1").unwrap();
    let mut tx = begin(&*store);
    tx.set(b"a", b"tx").unwrap();
    assert!(tx.has(b"a").unwrap());
    beside(&store, |store| {
        store.set(b"b", b"2").unwrap();
        assert_eq!(store.get(b"a").unwrap(), Some(Bytes::from_static(b"1")));
        let mut other = begin(store);
        other.set(b"c", b"3").unwrap();
        other.commit().unwrap();
    });
    tx.commit().unwrap();
    assert_eq!(
        texts(&*store),
        expected(&[("a", "tx"), ("b", "2"), ("c", "3")])
    );
}

fn limits(fixture: &mut Fixture) {
    let limits = fixture.can().limits;
    let store = fixture.create("s");
    let mut tx = begin(&*store);
    if limits.key_bytes < 64 << 20 {
        let key = vec![b'k'; limits.key_bytes + 1];
        too_large("a key over the limit", tx.set(&key, b"1"));
        assert!(!tx.has(&key).unwrap());
    }
    if limits.value_bytes < 64 << 20 {
        too_large(
            "a value over the limit",
            tx.set(b"k", &vec![1; limits.value_bytes + 1]),
        );
    }
    tx.set(b"a", b"1").unwrap();
    tx.commit().unwrap();
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
    if limits.batch_bytes < 64 << 20 {
        let mut tx = begin(&*store);
        let value = vec![7; limits.value_bytes.min(limits.batch_bytes / 2).min(1 << 20)];
        let count = (limits.batch_bytes / value.len().max(1) + 1) as u64;
        // At the write that is too much, or at the commit.
        let mut written = (0..count).try_for_each(|at| tx.set(&at.to_be_bytes(), &value));
        if written.is_ok() {
            written = tx.commit();
        }
        too_large("a transaction over the limit of a batch", written);
        assert_eq!(texts(&*store), expected(&[("a", "1")]));
    }
}

fn gone(fixture: &mut Fixture) {
    for dropped in [true, false] {
        let store = fixture.create("s");
        store.set(b"a", b"1").unwrap();
        let mut tx = begin(&*store);
        tx.set(b"a", b"2").unwrap();
        if dropped {
            fixture.engine().drop_store("s").unwrap();
            no_store("to commit in a store that was dropped", tx.commit());
            no_store(
                "to begin",
                store
                    .transactional()
                    .expect("it has them")
                    .begin(Mode::ReadOnly),
            );
        } else {
            store.close().unwrap();
            refused("to commit in a store that was closed", tx.commit());
            assert_eq!(texts(&*fixture.open("s")), expected(&[("a", "1")]));
        }
    }
}

fn across_stores(fixture: &mut Fixture) {
    if fixture.can().transactions != Transactions::AcrossStores {
        return;
    }
    let (s, t) = (fixture.create("s"), fixture.create("t"));
    let mut tx = begin(&*s);
    tx.set(b"a", b"1").unwrap();
    let mut also = tx.also("t").unwrap();
    also.set(b"b", b"1").unwrap();
    assert_eq!(texts(&*also), expected(&[("b", "1")]));
    drop(also);
    assert_eq!(
        texts(&*tx),
        expected(&[("a", "1")]),
        "the stores are apart in it"
    );
    assert_eq!(
        texts(&*tx.also("t").unwrap()),
        expected(&[("b", "1")]),
        "it is the same one"
    );
    let missing = no_store("another store that is not there", tx.also("x").map(drop));
    assert_eq!(missing.operation(), Operation::Begin);
    assert_eq!(
        (texts(&*s), texts(&*t)),
        (vec![], vec![]),
        "nothing is committed"
    );
    tx.commit().unwrap();
    assert_eq!(texts(&*s), expected(&[("a", "1")]));
    assert_eq!(texts(&*t), expected(&[("b", "1")]));
    // A conflict in one is a conflict of all.
    let mut tx = begin(&*s);
    tx.set(b"a", b"2").unwrap();
    let mut also = tx.also("t").unwrap();
    assert!(also.has(b"b").unwrap());
    also.set(b"c", b"2").unwrap();
    drop(also);
    t.delete(b"b").unwrap();
    crate::harness::conflict("a commit after a change in the other store", tx.commit());
    assert_eq!(texts(&*s), expected(&[("a", "1")]));
    assert_eq!(texts(&*t), []);
    let mut tx = begin_as(&*s, Mode::ReadOnly);
    let mut also = tx.also("t").unwrap();
    read_only("to put into the other store", also.set(b"x", b"1"));
}

fn errors(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let transactional = store.transactional().expect("the engine has transactions");
    let value = transact(transactional, |tx| {
        tx.set(b"a", b"1")?;
        Ok(7)
    });
    assert_eq!(value.unwrap(), 7);
    let failed = transact(transactional, |tx| {
        tx.set(b"a", b"2")?;
        Err::<(), _>(Error::new(Operation::Write, ErrorKind::KeyNotFound))
    });
    refused("work that fails", failed);
    assert_eq!(texts(&*store), expected(&[("a", "1")]));
}
