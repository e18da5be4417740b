//! How many requests are let through.

use std::sync::atomic::{AtomicU64, Ordering};

use nexusbase_io::Clock as _;
use nexusbase_server::Limits;
use serde_json::json;

use crate::access::{ADMIN, ask, guarded, make};
use crate::running::{Reply, Running};

#[test]
fn limits_hold_under_concurrency() {
    const RATE: u64 = 5;
    const BURST: u64 = 40;
    let server = guarded(Limits::default());
    let wanted = json!({
        "name": "k", "role": "read", "requests_per_second": RATE, "burst": BURST,
    });
    let (_, key) = make(&server, &wanted);
    let (passed, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let started = server.clock.monotonic();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let counter = match ask(&server, &key, "GET", "/collections", "").status {
                        200 => &passed,
                        429 => &refused,
                        status => panic!("{status}"),
                    };
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let elapsed = (server.clock.monotonic() - started).as_millis();
    let passed = passed.load(Ordering::SeqCst);
    let most = BURST + RATE * (u64::try_from(elapsed).unwrap() / 1000 + 1);
    assert!((BURST..=most).contains(&passed), "{passed} in {elapsed} ms");
    assert_eq!(passed + refused.load(Ordering::SeqCst), 200);
    // Others are not held up by it.
    ask(&server, ADMIN, "GET", "/collections", "").expect(200);
}

#[test]
fn answers_name_the_limit_and_when_to_come_again() {
    let server = guarded(Limits {
        requests_per_second: 1,
        burst: 3,
        ..Limits::default()
    });
    let (_, key) = make(&server, &json!({"name": "k", "role": "read"}));
    let free = json!({"name": "free", "role": "read", "requests_per_second": 0});
    let (_, free) = make(&server, &free);
    let get = |key: &str| ask(&server, key, "GET", "/collections", "");
    let first = get(&key);
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=3;w=3");
    assert_eq!(first.header("ratelimit"), "\"default\";r=2;t=1");
    // The test may be slow: at the latest the burst and what has come since are used up.
    let refused = (0..1000)
        .map(|_| get(&key))
        .find(|reply| reply.status == 429);
    let refused: Reply = refused.unwrap();
    refused.problem(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused
            .header("ratelimit")
            .starts_with("\"default\";r=0;t=")
    );
    server.clock.advance(1000);
    assert_eq!(get(&key).status, 200);
    // A key with a limit of its own, here none.
    for _ in 0..10 {
        let reply = get(&free);
        assert_eq!((reply.status, reply.header("ratelimit")), (200, ""));
    }
    // What everybody may see is not counted.
    for _ in 0..10 {
        assert_eq!(server.get("/health").status, 200);
    }
}

/// Who guesses keys is slowed down; who has one is let in all the same.
#[test]
fn guessing_is_slowed_down() {
    let server = guarded(Limits {
        refusals_per_second: 1,
        ..Limits::default()
    });
    let guess = || ask(&server, "nxb_guess", "GET", "/collections", "");
    let slowed = (0..1000).map(|_| guess()).find(|reply| reply.status == 429);
    let slowed: Reply = slowed.unwrap();
    slowed.problem(429, "too-many-requests");
    assert_eq!(slowed.header("retry-after"), "1");
    ask(&server, ADMIN, "GET", "/collections", "").expect(200);
    server.clock.advance(5000);
    assert_eq!(guess().status, 401);
}

/// Who gets another limit waits for no longer than under that one, whatever was used up before.
#[test]
fn what_was_used_up_under_an_old_limit_does_not_hold_up_a_new_one() {
    let server = guarded(Limits::default());
    let slow = json!({"name": "k", "role": "read", "requests_per_second": 1, "burst": 1000});
    let (id, key) = make(&server, &slow);
    for _ in 0..50 {
        ask(&server, &key, "GET", "/collections", "").expect(200);
    }
    let fast = r#"{"requests_per_second": 10, "burst": 10}"#;
    ask(&server, ADMIN, "PATCH", &format!("/keys/{id}"), fast).expect(200);
    let first = ask(&server, &key, "GET", "/collections", "").status;
    assert!(matches!(first, 200 | 429), "{first}");
    server.clock.advance(1000);
    ask(&server, &key, "GET", "/collections", "").expect(200);
}

/// Where nobody brings a key, callers are told apart by their address.
#[test]
fn without_keys_an_address_has_the_limit() {
    let server = Running::with(Limits {
        requests_per_second: 1,
        ..Limits::default()
    });
    let get = || server.get("/collections");
    let refused = (0..1000).map(|_| get()).find(|reply| reply.status == 429);
    refused.unwrap().problem(429, "too-many-requests");
    server.clock.advance(1000);
    assert_eq!(get().status, 200);
}
