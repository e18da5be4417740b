//! Events: who is told what, and when.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use nexusbase_kv::{Bytes, CheckMode, Event, EventKind, Mode, Next, Subscription, transact};

use super::{create, fill, in_time, new, on_file};

#[test]
fn a_listener_gets_what_is_committed_after_it_began_to_listen() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    let mut tx = a.transactional().unwrap().begin(Mode::ReadWrite).unwrap();
    tx.set(b"k", b"v").unwrap();
    let listener = stores.events().subscribe(Some("a"));
    assert_eq!(
        a.get(b"k").unwrap(),
        None,
        "the listener's picture: nothing"
    );
    tx.commit().unwrap();
    let next = listener.next(Duration::ZERO);
    assert!(
        matches!(&next, Next::Event(event) if matches!(event.kind, EventKind::Changed { .. })),
        "{next:?}"
    );
}

#[test]
fn who_listens_after_the_end_is_told_so() {
    let (stores, ..) = new();
    stores.close().unwrap();
    let listener = stores.events().subscribe(None);
    assert_eq!(listener.next(Duration::ZERO), Next::Closed);
}

#[test]
fn a_waker_may_drop_its_subscription_when_the_events_close() {
    struct Dropper(Mutex<Option<Subscription>>);
    impl Wake for Dropper {
        fn wake(self: Arc<Self>) {
            let taken = self.0.lock().unwrap().take();
            drop(taken);
        }
    }
    let (stores, ..) = new();
    let dropper = Arc::new(Dropper(Mutex::default()));
    let waker = Waker::from(Arc::clone(&dropper));
    let subscription = stores.events().subscribe(None);
    let mut context = Context::from_waker(&waker);
    assert!(subscription.poll_next(&mut context).is_pending());
    *dropper.0.lock().unwrap() = Some(subscription);
    in_time("closing events", move || stores.events().close());
}

#[test]
fn edits_that_are_taken_over_are_told_to_listeners() {
    let (stores, disk, _) = new();
    let on_file = on_file();
    let s = stores.create("s", &on_file).unwrap();
    s.set(b"k", b"1").unwrap();
    s.close().unwrap();
    let path = Path::new("/kv/s.jsonl");
    let mut bytes = disk.file_bytes(path).unwrap();
    bytes.extend_from_slice(b"{\"key\":\"k\",\"value\":\"by hand\"}\n");
    disk.set_file_bytes(path, &bytes);
    let s = stores.open("s").unwrap();
    let listener = stores.events().subscribe(Some("s"));
    stores.check("s", CheckMode::AcceptEdits).unwrap();
    assert_eq!(s.get(b"k").unwrap().unwrap(), "by hand");
    let mut told = false;
    while let Next::Event(event) = listener.next(Duration::ZERO) {
        told |= event.kind == EventKind::ManyChanged;
    }
    assert!(told, "the key has changed and nobody was told");
}

#[test]
fn a_listener_is_told_when_a_copy_can_be_opened() {
    let (stores, ..) = new();
    fill(&*create(&stores, "a"), 0..3000, b"v");
    let listener = stores.events().subscribe(Some("b"));
    let mut could_be_opened = Vec::new();
    let inner = Arc::clone(&stores);
    stores
        .copy("a", "b", None, &mut |_| {
            while let Next::Event(event) = listener.next(Duration::ZERO) {
                could_be_opened.push((event.kind, inner.open("b").is_ok()));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let last = listener.next(Duration::ZERO);
    assert_eq!(could_be_opened, []);
    let created = Event {
        store: "b".to_owned(),
        kind: EventKind::Created,
    };
    assert_eq!(last, Next::Event(created));
}

#[test]
fn a_listener_of_a_name_is_told_when_a_store_gets_that_name() {
    let (stores, ..) = new();
    create(&stores, "a");
    let listener = stores.events().subscribe(Some("b"));
    stores.rename("a", "b").unwrap();
    let next = listener.next(Duration::ZERO);
    assert!(matches!(next, Next::Event(_)), "{next:?}");
}

#[test]
fn a_transaction_that_changes_more_than_can_be_named_is_told_without_keys() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    let listener = stores.events().subscribe(Some("a"));
    transact(a.transactional().unwrap(), |tx| {
        (0..20_000u32).try_for_each(|key| tx.set(&key.to_be_bytes(), b""))
    })
    .unwrap();
    let many = Event {
        store: "a".to_owned(),
        kind: EventKind::ManyChanged,
    };
    assert_eq!(listener.next(Duration::ZERO), Next::Event(many));
}

#[test]
fn a_slow_listener_does_not_take_all_memory() {
    let (stores, ..) = new();
    let a = create(&stores, "a");
    let listener = stores.events().subscribe(None);
    let keys: Vec<_> = (0..2000u64)
        .map(|i| [i.to_be_bytes(); 32].concat())
        .collect();
    let pairs: Vec<_> = keys.iter().map(|key| (&key[..], &b""[..])).collect();
    for _ in 0..50 {
        a.set_many(&pairs).unwrap();
    }
    let mut bytes = 0;
    let lost = listener.next(Duration::ZERO);
    assert!(matches!(lost, Next::Lost(_)), "{lost:?}");
    while let Next::Event(event) = listener.next(Duration::ZERO) {
        if let EventKind::Changed { put, .. } = event.kind {
            bytes += put.iter().map(Bytes::len).sum::<usize>();
        }
    }
    assert!(bytes < 9 << 20, "{bytes} bytes have waited for a listener");
}
