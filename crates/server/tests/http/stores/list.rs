//! Keys in order, in pages, in ranges, and how many.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use nexusbase_server::Limits;
use serde_json::{Value, json};

use super::{create, names, put, with_store};
use crate::running::Running;

const URL: &str = "/stores/s/keys";

#[test]
fn keys_come_with_what_was_asked_for() {
    let server = with_store();
    put(&server, "a", b"text");
    put(&server, "b", b"\xff\x00");
    put(&server, "%FF%01", b"");
    let headers = [("content-type", "image/png"), ("ttl", "100")];
    server
        .request("PUT", "/stores/s/keys/c", &headers, b"png")
        .expect(204);
    let page = server.get(&format!("{URL}?values=true")).expect(200);
    let expires_ms = page["keys"][2]["expires_ms"].clone();
    assert!(expires_ms.is_u64());
    let wanted = json!({
        "keys": [
            {"key": "a", "value": "text"},
            {"key": "b", "value": {"base64": "/wA="}},
            {"key": "c", "value": "png", "expires_ms": expires_ms, "media_type": "image/png"},
            {"key": {"base64": "/wE="}, "value": ""},
        ],
        "next": null,
    });
    assert_eq!(page, wanted);
    let page = server.get(URL).expect(200);
    assert!(
        page["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["value"].is_null())
    );
}

#[test]
fn ranges_are_bytes() {
    let server = with_store();
    for key in ["a", "aa", "ab", "b", "%FF", "%FF%00"] {
        put(&server, key, b"1");
    }
    for (query, count) in [
        ("", 6),
        ("prefix=a", 3),
        ("prefix=%FF", 2),
        ("start=ab", 4),
        ("end=ab", 2),
        ("start=aa&end=b", 2),
        ("prefix=a&start=ab", 1),
        ("prefix=a&end=aa", 1),
        ("prefix=b&end=aa", 0),
        ("start=b&end=a", 0),
        ("start=%FF%00", 1),
        ("prefix=", 6),
        ("prefix=x", 0),
    ] {
        let found = server.get(&format!("/stores/s/count?{query}")).expect(200);
        assert_eq!(found, json!({"count": count}), "{query}");
        let page = server.get(&format!("{URL}?{query}")).expect(200);
        assert_eq!(page["keys"].as_array().unwrap().len(), count, "{query}");
    }
}

/// All keys of all pages.
fn walk(server: &Running, query: &str) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{URL}?{query}{after}")).expect(200);
        all.extend(names(&page).into_iter().map(str::to_owned));
        match &page["next"] {
            Value::String(next) => after = format!("&after={next}"),
            _ => return all,
        }
    }
}

#[test]
fn pages_have_every_key_once_in_both_orders() {
    let server = with_store();
    let keys: Vec<String> = (0..25).map(|n| format!("k{n:02}")).collect();
    for key in &keys {
        put(&server, key, b"1");
    }
    let reversed: Vec<String> = keys.iter().rev().cloned().collect();
    for limit in [1, 2, 5, 24, 25, 26] {
        assert_eq!(walk(&server, &format!("limit={limit}")), keys);
        assert_eq!(walk(&server, &format!("limit={limit}&order=asc")), keys);
        assert_eq!(
            walk(&server, &format!("limit={limit}&order=desc")),
            reversed
        );
    }
    assert_eq!(walk(&server, "limit=3&prefix=k1"), keys[10..20]);
    assert_eq!(
        walk(&server, "limit=3&start=k05&end=k08&order=desc"),
        ["k07", "k06", "k05"]
    );
}

/// What is there all the time is on exactly one page, whatever others write.
#[test]
fn pages_lose_nothing_while_others_write() {
    let server = with_store();
    let stays: BTreeSet<String> = (0..200).map(|n| format!("stay{n:03}")).collect();
    for key in &stays {
        put(&server, key, b"1");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut n = 0;
                while !done.load(Ordering::Relaxed) {
                    let path = format!("{URL}/stay{:03}-{writer}", n * 37 % 200);
                    server.request("PUT", &path, &[], b"new").expect(204);
                    if n % 2 == 0 {
                        server.delete(&path).expect(204);
                    }
                    n += 1;
                }
            });
        }
        for query in ["limit=7", "limit=7&order=desc", "limit=13&values=true"] {
            let all = walk(&server, query);
            let found: Vec<&String> = all.iter().filter(|key| stays.contains(*key)).collect();
            let distinct: BTreeSet<&String> = found.iter().copied().collect();
            assert_eq!((found.len(), distinct.len()), (200, 200), "{query}");
            let mut sorted = all.clone();
            sorted.sort();
            if query.contains("desc") {
                sorted.reverse();
            }
            assert_eq!(all, sorted, "{query}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn pages_are_bounded() {
    let server = Running::with(Limits {
        page_default: 2,
        page_max: 3,
        ..Limits::default()
    });
    create(&server, "s");
    for key in ["a", "b", "c", "d"] {
        put(&server, key, b"1");
    }
    let count = |query: &str| names(&server.get(&format!("{URL}?{query}")).expect(200)).len();
    assert_eq!(count(""), 2);
    assert_eq!(count("limit=9223372036854775807"), 3);
    // And in bytes.
    let server = with_store();
    let value = vec![b'x'; 5 << 20];
    for key in ["a", "b", "c"] {
        put(&server, key, &value);
    }
    let page = server.get(&format!("{URL}?values=true")).expect(200);
    assert_eq!(names(&page), ["a", "b"]);
    assert!(page["next"].is_string());
    assert_eq!(names(&server.get(URL).expect(200)).len(), 3);
}

#[test]
fn parameters_are_checked_one_by_one() {
    let server = with_store();
    for (query, kind, parameter) in [
        ("limit=0", "invalid-parameter", "limit"),
        ("limit=-1", "invalid-parameter", "limit"),
        ("limit=99999999999999999999", "invalid-parameter", "limit"),
        ("order=up", "invalid-parameter", "order"),
        ("values=yes", "invalid-parameter", "values"),
        ("prefix=%zz", "invalid-parameter", "prefix"),
        ("prefix=a&prefix=b", "invalid-parameter", "prefix"),
        ("after=%FF", "invalid-parameter", "after"),
        ("after=!", "invalid-cursor", "after"),
        ("sort=a", "invalid-parameter", "sort"),
    ] {
        let problem = server.get(&format!("{URL}?{query}")).problem(400, kind);
        assert_eq!(problem["parameter"], parameter, "{query}");
    }
    server
        .get("/stores/s/count?limit=1")
        .problem(400, "invalid-parameter");
    server
        .get("/stores/s/keys/a?x=1")
        .problem(400, "invalid-parameter");
    server.get("/stores?x=1").problem(400, "invalid-parameter");
    server.get("/engines?x=1").problem(400, "invalid-parameter");
}
