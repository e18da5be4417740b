//! Names: which are taken, and what is there under them.

use std::collections::BTreeMap;

use nexusbase_kv::engine::{CopyMark, LABEL_BYTES_MAX, LABELS_MAX};
use nexusbase_kv::{CheckMode, Operation, Retention, StoreOptions};

use crate::fixture::Fixture;
use crate::harness::{Promise, invalid, no_store, refused, store_exists};
use crate::model::{expected, texts};

pub(crate) const PROMISES: &[Promise] = &[
    ("stores are listed by name, with engine and options", list),
    (
        "names are letters, digits, _, - and .; all others are refused",
        names,
    ),
    ("a name is there once", exists),
    ("what is not there is StoreNotFound", not_found),
    ("stores share nothing", apart),
    ("options are kept as they are", options),
    (
        "options as large as they may be are kept, whatever is in them",
        largest_options,
    ),
    ("a store of a dropped one's name begins empty", dropped_name),
    ("an error names operation, store and engine", context),
];

fn listed(fixture: &Fixture) -> Vec<String> {
    let list = fixture.engine().list().unwrap();
    list.into_iter().map(|info| info.name).collect()
}

fn list(fixture: &mut Fixture) {
    assert_eq!(fixture.engine().list().unwrap(), []);
    for name in ["b", "a", "c", "A", "10", "9"] {
        drop(fixture.create(name));
    }
    assert_eq!(listed(fixture), ["10", "9", "A", "a", "b", "c"]);
    for info in fixture.engine().list().unwrap() {
        assert_eq!(info.engine, fixture.engine().name());
        assert_eq!(info.options, StoreOptions::default());
    }
    fixture.engine().drop_store("b").unwrap();
    assert_eq!(listed(fixture), ["10", "9", "A", "a", "c"]);
}

fn names(fixture: &mut Fixture) {
    let long = "x".repeat(100);
    let good = [
        "a", "_", "0", "a.b", "a..b", "a-b_c.d", "CON", "LOCK", "a.log", "a.tmp", &long,
    ];
    for name in good {
        fixture.create(name).set(b"name", name.as_bytes()).unwrap();
    }
    for name in good {
        let store = fixture.open(name);
        assert_eq!(store.name(), name);
        assert_eq!(texts(&*store), expected(&[("name", name)]));
    }
    assert_eq!(listed(fixture).len(), good.len());
    let too_long = "x".repeat(101);
    let bad = [
        "", ".", "..", ".a", "-a", "a/b", "/", "a\\b", "a b", "ä", "a\0", "a\n", "a:b", &too_long,
    ];
    for name in bad {
        let what = format!("to create {name:?}");
        invalid(
            &what,
            fixture.engine().create(name, &StoreOptions::default()),
        );
        refused(&format!("to open {name:?}"), fixture.engine().open(name));
        refused(
            &format!("to drop {name:?}"),
            fixture.engine().drop_store(name),
        );
        refused(
            &format!("to rename to {name:?}"),
            fixture.engine().rename("a", name),
        );
    }
    assert_eq!(listed(fixture).len(), good.len());
}

fn exists(fixture: &mut Fixture) {
    let store = fixture.create("a");
    store.set(b"k", b"v").unwrap();
    let create = || fixture.engine().create("a", &StoreOptions::default());
    store_exists("to create it again", create());
    store.close().unwrap();
    store_exists("to create it again when it is closed", create());
    assert_eq!(texts(&*fixture.open("a")), expected(&[("k", "v")]));
}

fn not_found(fixture: &mut Fixture) {
    let engine = fixture.engine();
    let options = StoreOptions::default();
    no_store("to open nothing", engine.open("a"));
    no_store("to drop nothing", engine.drop_store("a"));
    no_store("to tell nothing", engine.set_options("a", &options));
    no_store("to check nothing", engine.check("a", CheckMode::Look));
    assert!(engine.rename("a", "b").is_err(), "to rename nothing");
    drop(fixture.create("a"));
    fixture.engine().drop_store("a").unwrap();
    no_store("to open what was dropped", fixture.engine().open("a"));
    no_store("to drop what was dropped", fixture.engine().drop_store("a"));
}

fn apart(fixture: &mut Fixture) {
    let (a, b, ab) = (
        fixture.create("a"),
        fixture.create("b"),
        fixture.create("a.b"),
    );
    a.set(b"k", b"a").unwrap();
    b.set(b"k", b"b").unwrap();
    ab.set(b"k", b"ab").unwrap();
    a.clear().unwrap();
    assert_eq!(texts(&*b), expected(&[("k", "b")]));
    fixture.engine().drop_store("b").unwrap();
    assert_eq!(texts(&*ab), expected(&[("k", "ab")]));
    assert_eq!(texts(&*a), []);
}

/// Options in which nothing is as it is by default.
pub(crate) fn rich_options() -> StoreOptions {
    StoreOptions {
        ttl_ms: Some(5_000_000),
        retention: Retention {
            count: Some(7),
            age_ms: Some(u64::MAX),
        },
        read_only: true,
        copy_of: Some(CopyMark {
            store: "other".to_owned(),
            version: Some(3),
            token: "0123456789abcdef".to_owned(),
        }),
        labels: BTreeMap::from([
            ("owner".to_owned(), "a \"team\"\n= ä".to_owned()),
            (String::new(), String::new()),
        ]),
    }
}

pub(crate) fn options_of(fixture: &Fixture, store: &str) -> StoreOptions {
    let list = fixture.engine().list().unwrap();
    let info = list.into_iter().find(|info| info.name == store);
    info.expect("the store is listed").options
}

fn options(fixture: &mut Fixture) {
    let rich = rich_options();
    let store = fixture.engine().create("a", &rich).unwrap();
    drop(fixture.create("b"));
    assert_eq!(options_of(fixture, "a"), rich);
    // They are the MultiStore's to follow: an engine only keeps them.
    store.set(b"k", b"v").unwrap();
    assert_eq!(
        store.entry(b"k").unwrap().unwrap().expires_ms,
        None,
        "an engine sets no time"
    );
    fixture
        .engine()
        .set_options("a", &StoreOptions::default())
        .unwrap();
    assert_eq!(options_of(fixture, "a"), StoreOptions::default());
    fixture.engine().set_options("b", &rich).unwrap();
    assert_eq!(options_of(fixture, "b"), rich);
    store.close().unwrap();
    fixture.engine().set_options("a", &rich).unwrap();
    assert_eq!(
        options_of(fixture, "a"),
        rich,
        "of a store that is not open"
    );
    assert_eq!(texts(&*fixture.open("a")), expected(&[("k", "v")]));
}

/// As many labels as there may be, each as long as it may be, of `character`.
fn labels(character: char) -> BTreeMap<String, String> {
    let text = character.to_string().repeat(LABEL_BYTES_MAX);
    let label = |at| (format!("{at:02}{}", &text[2..]), text.clone());
    (0..LABELS_MAX).map(label).collect()
}

fn largest_options(fixture: &mut Fixture) {
    // However it is written, it is longer than this there.
    for character in ['x', '"', '\u{1}'] {
        let options = StoreOptions {
            labels: labels(character),
            ..rich_options()
        };
        options.check(Operation::CreateStore).unwrap();
        let store = fixture.engine().create("a", &options).unwrap();
        store.set(b"k", b"v").unwrap();
        if let Some(versioned) = store.versioned() {
            let taken = versioned.take_version(None, "").unwrap();
            assert_eq!(versioned.versions().unwrap(), [taken]);
        }
        fixture.engine().set_options("a", &options).unwrap();
        store.close().unwrap();
        assert_eq!(options_of(fixture, "a"), options, "{character:?}");
        assert_eq!(texts(&*fixture.open("a")), expected(&[("k", "v")]));
        fixture.engine().drop_store("a").unwrap();
    }
}

fn dropped_name(fixture: &mut Fixture) {
    let old = fixture.engine().create("a", &rich_options()).unwrap();
    old.set(b"k", b"old").unwrap();
    if let Some(versioned) = old.versioned() {
        versioned.take_version(Some("v"), "").unwrap();
    }
    fixture.engine().drop_store("a").unwrap();
    let new = fixture.create("a");
    assert_eq!(texts(&*new), []);
    assert_eq!(options_of(fixture, "a"), StoreOptions::default());
    if let Some(versioned) = new.versioned() {
        assert_eq!(versioned.versions().unwrap(), []);
        assert_eq!(
            versioned.take_version(None, "").unwrap().number,
            1,
            "it counts anew"
        );
    }
    new.set(b"k", b"new").unwrap();
    no_store("a write by a handle of the one before", old.set(b"k", b"x"));
    assert_eq!(texts(&*new), expected(&[("k", "new")]));
}

fn context(fixture: &mut Fixture) {
    let engine = fixture.engine();
    let options = StoreOptions::default();
    let errors = [
        (Operation::OpenStore, no_store("open", engine.open("x"))),
        (
            Operation::DropStore,
            no_store("drop", engine.drop_store("x")),
        ),
        (
            Operation::SetOptions,
            no_store("set", engine.set_options("x", &options)),
        ),
        (
            Operation::Check,
            no_store("check", engine.check("x", CheckMode::Look)),
        ),
        (
            Operation::CreateStore,
            invalid("create", engine.create("-", &options)),
        ),
    ];
    for (operation, error) in errors {
        assert_eq!(error.operation(), operation, "{error:?}");
        assert!(error.store_name().is_some(), "no store in {error:?}");
        if operation != Operation::CreateStore {
            assert_eq!(error.engine_name(), Some(engine.name()), "{error:?}");
        }
    }
}
