//! The operations that random sequences are made of.

use std::ops::Bound;

use nexusbase_kv::{Direction, KeyRange};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

/// When something expires.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Time {
    Never,
    Over,
    /// In so many milliseconds, if time can be moved.
    Soon(u64),
    Later,
}

/// What is put.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) value: Vec<u8>,
    pub(crate) time: Time,
    pub(crate) media_type: Option<&'static str>,
}

/// What is expected.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    Absent,
    Present,
    /// The value that is there.
    Right,
    /// The entry that is there.
    RightEntry,
    Value(Vec<u8>),
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Write(Vec<(Vec<u8>, Option<Value>)>),
    Delete(Vec<u8>),
    CompareAndSet(Vec<u8>, Expect, Option<Value>),
    Expire(Vec<u8>, Time),
    Clear,
    Pass(u64),
    Read(KeyRange, Direction, usize),
    Snapshot,
    ReadSnapshot(usize),
    Compact,
    CloseStore,
    Reopen,
    TakeVersion(bool),
    ReadVersion(usize),
    Restore(usize),
    DeleteVersion(usize),
}

/// Which operations a sequence has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Versioned,
}

pub(crate) fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few, so that they meet; of bytes that are at the edges of ranges.
    let byte = prop_oneof![Just(0), Just(b'a'), Just(b'b'), Just(0xff)];
    prop_oneof![
        4 => vec(byte.clone(), 0..2),
        2 => vec(byte, 2..4),
        1 => Just(vec![b'a'; 90]),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..10),
        1 => (any::<u8>(), 100_usize..900).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        6 => Just(Time::Never),
        1 => Just(Time::Over),
        3 => (1..50_u64).prop_map(Time::Soon),
        1 => Just(Time::Later),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let media_type = prop_oneof![
        3 => Just(None),
        1 => Just(Some("")),
        1 => Just(Some("text/plain")),
    ];
    (bytes(), time(), media_type).prop_map(|(value, time, media_type)| Value {
        value,
        time,
        media_type,
    })
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        Just(Expect::Absent),
        Just(Expect::Present),
        Just(Expect::Right),
        Just(Expect::RightEntry),
        bytes().prop_map(Expect::Value),
    ]
}

pub(crate) fn range() -> impl Strategy<Value = KeyRange> {
    let bound = || {
        prop_oneof![
            Just(Bound::Unbounded),
            key().prop_map(Bound::Included),
            key().prop_map(Bound::Excluded),
        ]
    };
    prop_oneof![
        1 => Just(KeyRange::all()),
        1 => key().prop_map(|prefix| KeyRange::prefix(&prefix)),
        3 => (bound(), bound()).prop_map(|(start, end)| KeyRange::from_bounds(start, end)),
    ]
}

pub(crate) fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Forward), Just(Direction::Reverse)]
}

pub(crate) fn operation(kind: Kind) -> impl Strategy<Value = Operation> {
    let change = (
        key(),
        prop_oneof![3 => value().prop_map(Some), 1 => Just(None)],
    );
    let mut all: Vec<(u32, BoxedStrategy<Operation>)> = vec![
        (10, vec(change, 1..5).prop_map(Operation::Write).boxed()),
        (5, key().prop_map(Operation::Delete).boxed()),
        (
            5,
            (key(), expect(), proptest::option::of(value()))
                .prop_map(|(key, expect, new)| Operation::CompareAndSet(key, expect, new))
                .boxed(),
        ),
        (
            2,
            (key(), time())
                .prop_map(|(key, time)| Operation::Expire(key, time))
                .boxed(),
        ),
        (1, Just(Operation::Clear).boxed()),
        (3, (1..60_u64).prop_map(Operation::Pass).boxed()),
        (
            5,
            (range(), direction(), 0..5_usize)
                .prop_map(|(range, direction, limit)| Operation::Read(range, direction, limit))
                .boxed(),
        ),
        (3, Just(Operation::Snapshot).boxed()),
        (3, any::<usize>().prop_map(Operation::ReadSnapshot).boxed()),
        (1, Just(Operation::Compact).boxed()),
        (1, Just(Operation::CloseStore).boxed()),
        (1, Just(Operation::Reopen).boxed()),
    ];
    if kind == Kind::Versioned {
        all.extend([
            (6, any::<bool>().prop_map(Operation::TakeVersion).boxed()),
            (6, any::<usize>().prop_map(Operation::ReadVersion).boxed()),
            (4, any::<usize>().prop_map(Operation::Restore).boxed()),
            (2, any::<usize>().prop_map(Operation::DeleteVersion).boxed()),
        ]);
    }
    Union::new_weighted(all)
}
