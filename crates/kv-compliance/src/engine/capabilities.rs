//! Capabilities tell the truth: what is said to be there works, what is not is refused.

use nexusbase_kv::{Capability, CheckMode, Direction, ErrorKind, KeyRange, Mode, Transactions};

use crate::fixture::Fixture;
use crate::harness::{Promise, unsupported};
use crate::model::texts;

pub(crate) const PROMISES: &[Promise] = &[
    ("a store can what its engine can", same),
    ("limits are such that something fits", limits),
    (
        "there are transactions if and only if the capabilities say so",
        transactions,
    ),
    (
        "there are versions if and only if the capabilities say so",
        versions,
    ),
    (
        "an engine that says it is ordered lists keys in their order",
        ordered,
    ),
    (
        "an engine that says it is durable says how to open it again",
        durable,
    ),
    ("a check of a good store finds nothing", check),
    (
        "edits are taken over, or refused as not supported",
        accept_edits,
    ),
];

fn same(fixture: &mut Fixture) {
    let store = fixture.create("s");
    assert_eq!(store.capabilities(), fixture.can());
}

fn limits(fixture: &mut Fixture) {
    let limits = fixture.can().limits;
    assert!(limits.key_bytes >= 100, "{limits:?}");
    assert!(limits.value_bytes >= 1000, "{limits:?}");
    assert!(
        limits.batch_bytes >= limits.key_bytes.min(limits.value_bytes),
        "{limits:?}"
    );
}

fn transactions(fixture: &mut Fixture) {
    let said = fixture.can().transactions;
    let store = fixture.create("s");
    let other = fixture.create("t");
    let Some(transactional) = store.transactional() else {
        assert_eq!(
            said,
            Transactions::None,
            "the capabilities say that there are transactions"
        );
        return;
    };
    assert_ne!(
        said,
        Transactions::None,
        "the capabilities say that there are no transactions"
    );
    let mut tx = transactional.begin(Mode::ReadWrite).unwrap();
    tx.set(b"k", b"1").unwrap();
    match tx.also("t") {
        Ok(mut also) => {
            assert_eq!(
                said,
                Transactions::AcrossStores,
                "the capabilities say: one store"
            );
            also.set(b"k", b"2").unwrap();
        }
        also @ Err(_) => {
            assert_eq!(
                said,
                Transactions::OneStore,
                "the capabilities say: across stores"
            );
            unsupported(
                "`also`",
                also.map(drop),
                Capability::TransactionsAcrossStores,
            );
        }
    }
    tx.commit().unwrap();
    assert!(store.has(b"k").unwrap());
    assert_eq!(other.has(b"k").unwrap(), said == Transactions::AcrossStores);
}

fn versions(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let there = store.versioned().is_some();
    assert_eq!(
        there,
        fixture.can().versioned,
        "the capabilities say something else of versions"
    );
}

fn ordered(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for at in 0..100_u8 {
        store.set(&[at.wrapping_mul(37)], b"x").unwrap();
    }
    let rows = store.rows(KeyRange::all(), Direction::Forward).unwrap();
    let keys: Vec<_> = rows.map(|row| row.unwrap().key).collect();
    if fixture.can().ordered {
        assert!(
            keys.is_sorted(),
            "the capabilities say that keys come in their order"
        );
    }
    assert_eq!(keys.len(), 100);
}

fn durable(fixture: &mut Fixture) {
    if fixture.can().durable {
        assert!(
            fixture.has_reopen(),
            "give the fixture a `reopen`: the engine says it is durable"
        );
    }
}

fn check(fixture: &mut Fixture) {
    let store = fixture.create("s");
    for at in 0..100_u8 {
        store.set(&[at], b"x").unwrap();
    }
    store.delete(&[1]).unwrap();
    let before = texts(&*store);
    let report = fixture.engine().check("s", CheckMode::Look).unwrap();
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!(report.findings, []);
    assert!(report.rows >= 99, "it has not read all rows: {report:?}");
    assert_eq!(texts(&*store), before);
    store.set(b"on", b"1").unwrap();
    store.close().unwrap();
    let report = fixture.engine().check("s", CheckMode::Look).unwrap();
    assert!(report.is_healthy(), "of a store that is closed: {report:?}");
    assert_eq!(texts(&*fixture.open("s")).len(), 100);
}

fn accept_edits(fixture: &mut Fixture) {
    let store = fixture.create("s");
    store.set(b"k", b"v").unwrap();
    match fixture.engine().check("s", CheckMode::AcceptEdits) {
        Ok(report) => assert!(report.is_healthy(), "{report:?}"),
        Err(error) => {
            let kind = error.kind();
            let cannot = matches!(kind, ErrorKind::Unsupported(Capability::AcceptEdits));
            assert!(cannot, "{error:?}");
        }
    }
    assert_eq!(texts(&*store).len(), 1);
}
