//! One key: any bytes in and out, times, and values that no browser runs.

use std::time::Duration;

use super::{get, put, with_store};

/// A key of all bytes, percent-encoded.
fn all_bytes() -> String {
    (0..=255).map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn values_come_back_as_they_were_put() {
    let server = with_store();
    let all: Vec<u8> = (0..=255).collect();
    put(&server, "bytes", &all);
    let reply = get(&server, "bytes");
    assert_eq!((reply.status, &reply.bytes), (200, &all));
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    put(&server, "empty", b"");
    let reply = get(&server, "empty");
    assert_eq!((reply.status, reply.bytes.len()), (200, 0));
    assert_eq!(reply.header("content-length"), "0");
    let headers = [("content-type", "text/plain; charset=utf-8")];
    let path = "/stores/s/keys/text";
    server.request("PUT", path, &headers, b"hello").expect(204);
    assert_eq!(
        get(&server, "text").header("content-type"),
        "text/plain; charset=utf-8"
    );
    get(&server, "none").problem(404, "no-such-key");
}

#[test]
fn keys_are_any_bytes() {
    let server = with_store();
    let long = "k".repeat(1000);
    let keys = [
        "a",
        "a%2Fb",
        "a%00",
        "%FF%FE",
        "%25",
        "%3F%23",
        "%20",
        "%C3%A9",
        "a+b",
        "%0D%0A",
        "~!*()",
        &all_bytes(),
        &long,
    ];
    for (n, key) in keys.iter().enumerate() {
        put(&server, key, n.to_string().as_bytes());
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(get(&server, key).body, n.to_string(), "{key}");
    }
    // Slashes may stand as they are.
    assert_eq!(get(&server, "a/b").body, "1");
    put(&server, "x//y/", b"slashes");
    assert_eq!(get(&server, "x%2F%2Fy%2F").body, "slashes");
    for key in keys {
        let path = format!("/stores/s/keys/{key}");
        server.delete(&path).expect(204);
        server.delete(&path).problem(404, "no-such-key");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let server = with_store();
    // A URL has no place for such a key.
    let key = "k".repeat((64 << 10) + 1);
    let operations = format!(r#"{{"operations": [{{"op": "delete", "key": "{key}"}}]}}"#);
    let problem = server.post("/stores/s/batch", &operations);
    let capabilities = server.get("/stores/s").expect(200)["capabilities"].clone();
    let limit = &capabilities["limits"]["key_bytes"];
    assert_eq!(problem.problem(413, "entry-too-large")["limit"], *limit);
    // Such a key is one that is not there.
    let answer = server.post("/stores/s/batch", &operations.replace("delete", "get"));
    assert!(answer.expect(200)["results"][0]["etag"].is_null());
    let long = "k".repeat(64_000);
    put(&server, &long, b"1");
    assert_eq!(get(&server, &long).body, "1");
    let value = vec![0; (32 << 20) + 1];
    server
        .request("PUT", "/stores/s/keys/a", &[], &value)
        .problem(413, "body-too-large");
    let media_type = format!("text/{}", "x".repeat(255));
    let headers = [("content-type", media_type.as_str())];
    server
        .request("PUT", "/stores/s/keys/a", &headers, b"")
        .problem(413, "entry-too-large");
}

#[test]
fn head_says_what_get_would() {
    let server = with_store();
    let etag = put(&server, "a", b"12345");
    let head = "HEAD /stores/s/keys/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = server.raw(head.as_bytes()).to_lowercase();
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert!(answer.contains(&format!("etag: {etag}\r\n")), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn what_has_a_time_is_gone_after_it() {
    let server = with_store();
    let ttl = |ttl: &str| server.request("PUT", "/stores/s/keys/a", &[("ttl", ttl)], b"1");
    ttl("2").expect(204);
    let reply = get(&server, "a");
    assert!(matches!(reply.header("ttl"), "1" | "2"), "{reply:?}");
    assert!(reply.header("expires").ends_with(" GMT"), "{reply:?}");
    let etag = reply.header("etag").to_owned();
    std::thread::sleep(Duration::from_millis(2100));
    get(&server, "a").problem(404, "no-such-key");
    ttl("18446744073709551").expect(204);
    let reply = get(&server, "a");
    assert_eq!(reply.header("expires"), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_ne!(reply.header("etag"), etag, "the time is part of the tag");
    for bad in [
        "0",
        "-1",
        "1.5",
        "+1",
        "",
        "x",
        "99999999999999999999",
        "18446744073709552",
    ] {
        let problem = ttl(bad).problem(400, "invalid-header");
        assert_eq!(problem["header"], "ttl", "{bad}");
    }
    put(&server, "a", b"1");
    assert_eq!(get(&server, "a").header("ttl"), "", "it stays again");
}

/// The tag that a put answers is the one that a get answers, also where the store gives the time.
#[test]
fn the_stores_own_time_counts_where_none_is_said() {
    let server = with_store();
    let headers = [("content-type", "application/json")];
    server
        .request("PATCH", "/stores/s", &headers, br#"{"ttl_ms": 60000}"#)
        .expect(200);
    let etag = put(&server, "a", b"1");
    let reply = get(&server, "a");
    assert_eq!(reply.header("etag"), etag);
    assert!(matches!(reply.header("ttl"), "60" | "59"), "{reply:?}");
    let own = server.request("PUT", "/stores/s/keys/a", &[("ttl", "1000")], b"1");
    own.expect(204);
    let reply = get(&server, "a");
    assert_eq!(reply.header("etag"), own.header("etag"));
    assert!(matches!(reply.header("ttl"), "1000" | "999"), "{reply:?}");
}

/// A stored page runs no script, has not this server's origin, and is not guessed to be anything.
#[test]
fn a_stored_page_is_not_executable() {
    let server = with_store();
    let page = b"<script>fetch('/stores').then(r => r.text()).then(alert)</script>";
    let headers = [("content-type", "text/html")];
    server
        .request("PUT", "/stores/s/keys/page.html", &headers, page)
        .expect(204);
    server.post("/stores/s/versions", "").expect(201);
    for path in [
        "/stores/s/keys/page.html",
        "/stores/s/versions/1/keys/page.html",
    ] {
        let reply = server.get(path);
        assert_eq!(reply.bytes, page);
        assert_eq!(reply.header("content-type"), "text/html");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin");
        let policy = reply.header("content-security-policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        assert!(directives.contains(&"sandbox"), "{policy}");
        assert!(directives.contains(&"default-src 'none'"), "{policy}");
        assert!(!policy.contains("allow-"), "{policy}");
    }
}

/// What an embedding program has stored as a type need not be a header.
#[test]
fn a_type_that_is_no_header_is_bytes() {
    let server = with_store();
    let store = server.stores.open("s").unwrap();
    let put = nexusbase_kv::Put {
        media_type: Some("text/html\r\nSet-Cookie: a=b"),
        ..nexusbase_kv::Put::new(b"1")
    };
    store.put(b"a", put).unwrap();
    let reply = get(&server, "a");
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert!(!reply.headers.contains_key("set-cookie"));
}

#[test]
fn requests_are_counted_by_their_route() {
    let server = with_store();
    put(&server, "secret/key", b"1");
    let metrics = server.get("/metrics").body;
    let line = "nexusbase_http_requests_total{route=\"/stores/{store}/keys/{key}\",method=\"PUT\",\
                status=\"204\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    assert!(!metrics.contains("secret"));
}
