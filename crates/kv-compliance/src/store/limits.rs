//! Limits: what is too large is refused, and nothing of it is there.

use nexusbase_kv::{Error, Expected, Operation, Put, View, Write};

use crate::fixture::Fixture;
use crate::harness::{Promise, too_large};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "a key of the largest size is taken, a larger one is refused",
        keys,
    ),
    (
        "a key over the limit is one that is not there",
        long_keys_are_not_there,
    ),
    (
        "a value of the largest size is taken, a larger one is refused",
        values,
    ),
    (
        "a batch over the limit is refused, and nothing of it is there",
        batches,
    ),
    ("a media type over 255 bytes is refused", media_types),
    ("an error says operation, engine, store and key", context),
];

/// Nothing larger is tried out.
const REFUSED_MAX: usize = 64 << 20;
/// Nothing larger is written, to be quick.
const WRITTEN_MAX: usize = 16 << 20;

#[track_caller]
fn says_where(error: &Error, operation: Operation, fixture: &Fixture) {
    assert_eq!(error.operation(), operation, "{error:?}");
    assert_eq!(error.store_name(), Some("s"), "{error:?}");
    assert_eq!(
        error.engine_name(),
        Some(fixture.engine().name()),
        "{error:?}"
    );
}

fn keys(fixture: &mut Fixture) {
    let limits = fixture.can().limits;
    let store = fixture.create("s");
    if limits.key_bytes <= WRITTEN_MAX {
        let key = vec![b'k'; limits.key_bytes];
        store.set(&key, b"1").unwrap();
        assert!(store.has(&key).unwrap());
        assert!(store.delete(&key).unwrap());
    }
    if limits.key_bytes < REFUSED_MAX {
        let key = vec![b'k'; limits.key_bytes + 1];
        let error = too_large("a key over the limit", store.set(&key, b"1"));
        says_where(&error, Operation::Write, fixture);
        let writes = [
            Write::Put(b"a", Put::new(b"1")),
            Write::Put(&key, Put::new(b"1")),
        ];
        too_large("a batch with a key over the limit", store.write(&writes));
        let swap = store.compare_and_set(&key, Expected::Absent, Some(Put::new(b"1")));
        let error = too_large("a key over the limit", swap);
        says_where(&error, Operation::CompareAndSet, fixture);
        assert_eq!(texts(&*store), []);
    }
}

fn long_keys_are_not_there(fixture: &mut Fixture) {
    let limit = fixture.can().limits.key_bytes;
    if limit >= REFUSED_MAX {
        return;
    }
    let store = fixture.create("s");
    let snapshot = store.snapshot().unwrap();
    let key = vec![b'k'; limit + 1];
    for view in [&*store as &dyn View, &*snapshot] {
        assert_eq!(view.entry(&key).unwrap(), None);
        assert_eq!(view.entries(&[&key]).unwrap(), [None]);
        assert!(!view.has(&key).unwrap());
    }
}

fn values(fixture: &mut Fixture) {
    let limits = fixture.can().limits;
    let store = fixture.create("s");
    if limits.value_bytes <= WRITTEN_MAX {
        let value = vec![7; limits.value_bytes];
        store.set(b"k", &value).unwrap();
        assert!(store.get(b"k").unwrap().is_some_and(|found| found == value));
        store.delete(b"k").unwrap();
    }
    if limits.value_bytes < REFUSED_MAX {
        let value = vec![7; limits.value_bytes + 1];
        too_large("a value over the limit", store.set(b"k", &value));
        let writes = [
            Write::Put(b"a", Put::new(b"1")),
            Write::Put(b"k", Put::new(&value)),
        ];
        too_large("a batch with a value over the limit", store.write(&writes));
        let swap = store.compare_and_set(b"k", Expected::Absent, Some(Put::new(&value)));
        too_large("a value over the limit", swap);
        assert_eq!(texts(&*store), []);
    }
}

fn batches(fixture: &mut Fixture) {
    let limits = fixture.can().limits;
    if limits.batch_bytes >= REFUSED_MAX {
        return;
    }
    let store = fixture.create("s");
    store.set(b"before", b"1").unwrap();
    let value = vec![7; limits.value_bytes.min(limits.batch_bytes / 2).min(1 << 20)];
    let count = limits.batch_bytes / value.len().max(1) + 1;
    let keys: Vec<_> = (0..count as u64).map(u64::to_be_bytes).collect();
    let writes: Vec<_> = keys
        .iter()
        .map(|key| Write::Put(key, Put::new(&value)))
        .collect();
    let error = too_large("a batch over the limit", store.write(&writes));
    says_where(&error, Operation::Write, fixture);
    assert_eq!(texts(&*store), expected(&[("before", "1")]));
}

fn media_types(fixture: &mut Fixture) {
    let store = fixture.create("s");
    let long = "x".repeat(256);
    let put = Put {
        media_type: Some(&long),
        ..Put::new(b"1")
    };
    let error = too_large("a media type of 256 bytes", store.put(b"k", put));
    says_where(&error, Operation::Write, fixture);
    assert_eq!(texts(&*store), []);
}

fn context(fixture: &mut Fixture) {
    let limits = fixture.can().limits;
    let store = fixture.create("s");
    if limits.value_bytes < REFUSED_MAX {
        let value = vec![7; limits.value_bytes + 1];
        let text = too_large("a value over the limit", store.set(b"the key", &value)).to_string();
        let engine = fixture.engine().name();
        for part in ["the key", "\"s\"", engine] {
            assert!(text.contains(part), "an error has to say {part:?}: {text}");
        }
    }
    assert_eq!(store.name(), "s");
    assert_eq!(store.engine_name(), fixture.engine().name());
}
