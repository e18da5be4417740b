//! Many threads that do everything at once.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use nexusbase_kv::{CheckMode, CreateOptions, ErrorKind, StoreOptions};

use super::copies::{GO, STOP};
use super::new;

#[test]
fn many_threads_on_few_names_never_wait_for_each_other_for_ever() {
    let (stores, ..) = new();
    let names = ["a", "b", "c"];
    let done = Arc::clone(&stores);
    let threads: Vec<_> = (0..6usize)
        .map(|thread| {
            let stores = Arc::clone(&stores);
            std::thread::spawn(move || {
                let mut random = thread * 7919 + 1;
                for _ in 0..1000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695);
                    let pick = random >> 33;
                    let (one, other) = (names[pick % 3], names[pick / 3 % 3]);
                    let engine = if pick % 2 == 0 { "memory" } else { "file" };
                    let options = CreateOptions {
                        engine: Some(engine.to_owned()),
                        ..CreateOptions::default()
                    };
                    match pick / 16 % 9 {
                        0 => drop(stores.create(one, &options)),
                        1 => drop(stores.drop_store(one)),
                        2 => drop(stores.rename(one, other)),
                        3 => drop(stores.copy(one, other, Some(engine), &mut { GO })),
                        4 => drop(stores.copy(one, other, Some(engine), &mut { STOP })),
                        5 => drop(stores.open(one).and_then(|store| store.close())),
                        6 => drop(stores.set_options(one, &StoreOptions::default())),
                        7 => drop(stores.check(one, CheckMode::AcceptEdits)),
                        _ => drop(stores.open(one).map(|store| {
                            let _ = store.set(b"k", b"v");
                            let _ = store.versioned().map(|v| v.take_version(None, ""));
                        })),
                    }
                }
            })
        })
        .collect();
    let (ended, all_ended) = mpsc::channel();
    std::thread::spawn(move || {
        for thread in threads {
            thread.join().unwrap();
        }
        let _ = ended.send(());
    });
    all_ended.recv_timeout(Duration::from_secs(60)).unwrap();
    // What there is can be opened, or is an unfinished copy.
    for info in done.list().unwrap() {
        match done.open(&info.name) {
            Err(error) if matches!(error.kind(), ErrorKind::UnfinishedCopy { .. }) => {}
            opened => {
                let store = opened.unwrap();
                store.set(b"k", b"v").unwrap();
                assert!(store.has(b"k").unwrap());
            }
        }
    }
}
