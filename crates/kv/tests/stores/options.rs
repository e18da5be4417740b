//! What a store is told.

use nexusbase_kv::{CreateOptions, ErrorKind, Mode, Retention, StoreOptions};

use super::{create, new};

#[test]
fn a_transaction_does_not_write_to_a_store_that_has_become_read_only() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    let mut tx = a.transactional().unwrap().begin(Mode::ReadWrite).unwrap();
    tx.set(b"k", b"v").unwrap();
    let options = StoreOptions {
        read_only: true,
        ..StoreOptions::default()
    };
    // "It counts from the next operation on."
    stores.set_options("a", &options).unwrap();
    let committed = tx.commit();
    assert!(committed.is_err());
}

#[test]
fn a_key_can_be_told_never_to_expire() {
    let (stores, ..) = new();
    let mut options = CreateOptions::default();
    options.options.ttl_ms = Some(1000);
    let a = stores.create("a", &options).unwrap();
    a.set(b"k", b"v").unwrap();
    // "Says when `key` expires, in milliseconds since 1970; none: never."
    a.expire(b"k", None).unwrap();
    assert_eq!(a.entry(b"k").unwrap().unwrap().expires_ms, None);
}

#[test]
fn options_that_make_no_sense_or_are_too_large_are_refused() {
    let (stores, ..) = new();
    create(&stores, "there");
    let labels = |name: usize, value: usize, count: usize| StoreOptions {
        labels: (0..count)
            .map(|at| (format!("{at:0name$}"), "x".repeat(value)))
            .collect(),
        ..StoreOptions::default()
    };
    let no_time = StoreOptions {
        ttl_ms: Some(0),
        ..StoreOptions::default()
    };
    let no_versions = StoreOptions {
        retention: Retention {
            count: Some(0),
            age_ms: None,
        },
        ..StoreOptions::default()
    };
    let check = |options: StoreOptions| {
        let set = stores.set_options("there", &options);
        let options = CreateOptions {
            engine: None,
            options,
        };
        let created = stores.create("s", &options).map(drop);
        assert_eq!(set.is_ok(), created.is_ok());
        created
    };
    for options in [no_time, no_versions, labels(4, 1, 65)] {
        let error = check(options).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
        assert_eq!(error.store_name(), Some("s"));
    }
    for options in [labels(257, 1, 1), labels(1, 257, 1)] {
        let error = check(options).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::TooLarge { .. }),
            "{error}"
        );
    }
    check(labels(256, 256, 64)).unwrap();
}
