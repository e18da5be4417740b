//! Bodies and answers that are compressed.

use std::io::{Read as _, Write as _};

use nexusbase_server::Limits;
use serde_json::json;

use crate::running::{Reply, Running, read_all};

const URL: &str = "/collections/c/documents";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

fn decoded(reply: &Reply) -> Vec<u8> {
    match reply.header("content-encoding") {
        "gzip" => {
            let mut bytes = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&reply.bytes[..]);
            decoder.read_to_end(&mut bytes).unwrap();
            bytes
        }
        "zstd" => zstd::stream::decode_all(&reply.bytes[..]).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn post(server: &Running, encoding: &str, body: &[u8]) -> Reply {
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", encoding),
    ];
    server.request("POST", URL, &headers, body)
}

fn limited(body_bytes: usize) -> Running {
    Running::with(Limits {
        body_bytes,
        ..Limits::default()
    })
}

#[test]
fn large_answers_are_compressed_for_those_who_accept_it() {
    let server = Running::start();
    let documents: Vec<_> = (0..100)
        .map(|n| json!({"_id": n, "text": "the same"}))
        .collect();
    server.post(URL, &json!(documents).to_string()).expect(201);
    let value = "a value that is long enough ".repeat(100);
    server.request("PUT", "/stores/s", &[], b"").expect(201);
    let bytes = [("content-type", "application/octet-stream")];
    let put = server.request("PUT", "/stores/s/keys/k", &bytes, value.as_bytes());
    assert!(put.status < 300, "{}", put.body);
    for path in [URL, "/openapi.json", "/stores/s/keys/k", "/docs/page.js"] {
        let plain = server.get(path);
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        for (accepted, expected) in [("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd")] {
            let reply = server.request("GET", path, &[("accept-encoding", accepted)], b"");
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.header("content-encoding"), expected, "{path}");
            assert_eq!(reply.header("vary"), "accept-encoding", "{path}");
            assert!(reply.bytes.len() < plain.bytes.len() / 2, "{path}");
            assert_eq!(decoded(&reply), plain.bytes, "{path}");
            // The tag names the state, which If-Match compares.
            assert_eq!(reply.header("etag"), plain.header("etag"), "{path}");
            assert_ne!(reply.header("x-request-id"), "", "{path}");
        }
    }
}

#[test]
fn small_answers_errors_and_events_are_left_as_they_are() {
    let server = Running::start();
    let accept = [("accept-encoding", "gzip, zstd")];
    let small = server.request("GET", "/health", &accept, b"");
    small.expect(200);
    assert_eq!(small.header("content-encoding"), "");
    let error = server.request("GET", "/collections/none", &accept, b"");
    error.problem(404, "no-such-collection");
    assert_eq!(error.header("content-encoding"), "");
    let mut events = server.connect();
    let head = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, zstd\r\n\r\n";
    events.write_all(head.as_bytes()).unwrap();
    let mut seen = String::new();
    let mut read_until = |end: &str| {
        while !seen.contains(end) {
            let mut piece = [0; 512];
            let read = events.read(&mut piece).unwrap();
            assert!(read > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    // It listens once it has answered.
    read_until("\r\n\r\n");
    server.request("PUT", "/stores/s", &[], b"").expect(201);
    read_until("event: created");
    assert!(!seen.contains("content-encoding"), "{seen}");
}

/// Whoever accepts no encoding at all gets the answer as it is: its write has been done by then.
#[test]
fn a_write_that_was_done_is_not_refused_for_what_is_accepted() {
    let server = Running::start();
    let headers = [
        ("content-type", "application/json"),
        ("accept-encoding", "identity;q=0, *;q=0"),
    ];
    let reply = server.request("POST", URL, &headers, b"{\"_id\": 1}");
    reply.expect(201);
}

#[test]
fn bodies_may_come_compressed() {
    let server = Running::start();
    let document = |id: &str| json!({"_id": id, "text": "x".repeat(10_000)}).to_string();
    post(&server, "gzip", &gzip(document("a").as_bytes())).expect(201);
    post(&server, "zstd", &zstd(document("b").as_bytes())).expect(201);
    post(&server, "X-GZIP", &gzip(document("c").as_bytes())).expect(201);
    post(&server, "identity", document("d").as_bytes()).expect(201);
    let lines = [
        ("content-type", "application/x-ndjson"),
        ("content-encoding", "zstd"),
    ];
    let body = zstd(b"{\"_id\":\"e\"}\n{\"_id\":\"f\"}\n");
    let reply = server.request("POST", URL, &lines, &body).expect(201);
    assert_eq!(reply["inserted"], 2, "{reply}");
    for id in ["a", "b", "c", "d", "e", "f"] {
        server.get(&format!("{URL}/{id}")).expect(200);
    }
    // What is stored is what was meant, not how it came.
    server.request("PUT", "/stores/s", &[], b"").expect(201);
    let value = "a value ".repeat(1000);
    let headers = [("content-encoding", "gzip")];
    let put = server.request("PUT", "/stores/s/keys/k", &headers, &gzip(value.as_bytes()));
    assert!(put.status < 300, "{}", put.body);
    assert_eq!(server.get("/stores/s/keys/k").body, value);
}

#[test]
fn a_compressed_bomb_is_refused_at_the_limit() {
    let limit = 1 << 20;
    let server = limited(limit);
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(limit - 8));
    let over = format!("{fits} ");
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for _ in 0..1024 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < limit, "{}", bomb.len());
    for (encoding, encode) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        post(&server, encoding, &encode(fits.as_bytes())).expect(201);
        let refused = post(&server, encoding, &encode(over.as_bytes()));
        assert_eq!(refused.problem(413, "body-too-large")["limit"], limit);
        let large = encode(&vec![b' '; 64 << 20]);
        post(&server, encoding, &large).problem(413, "body-too-large");
    }
    post(&server, "zstd", &bomb).problem(413, "body-too-large");
    // What was taken for them was given back.
    assert!(server.metric("nexusbase_bodies_memory_bytes") < 1.0);
    // Much that becomes nothing is too much, too: empty members of gzip.
    let nothing = gzip(b"").repeat(100_000);
    post(&server, "gzip", &nothing).problem(413, "body-too-large");
    server.get("/health").expect(200);
}

/// The memory of all bodies is counted by what they become, while they come.
#[test]
fn decoded_bytes_are_what_is_counted() {
    let server = limited(200_000);
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000 - 8));
    for encoded in [gzip(body.as_bytes()), zstd(body.as_bytes())] {
        assert!(encoded.len() < 1000);
        let encoding = if encoded.starts_with(b"\x1f\x8b") {
            "gzip"
        } else {
            "zstd"
        };
        let head = format!(
            "POST {URL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
            Content-Type: application/json\r\nContent-Encoding: {encoding}\r\n\
            Content-Length: {}\r\n\r\n",
            encoded.len()
        );
        let mut slow = server.connect();
        slow.write_all(head.as_bytes()).unwrap();
        let (most, rest) = encoded.split_at(encoded.len() - 1);
        slow.write_all(most).unwrap();
        // All but what a decoder holds back.
        let counted = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            server.metric("nexusbase_bodies_memory_bytes") > 60_000.0
        });
        assert!(counted, "{encoding}: it is not counted");
        slow.write_all(rest).unwrap();
        let answer = read_all(&mut slow);
        assert!(answer.starts_with("HTTP/1.1 201 "), "{encoding}: {answer}");
    }
}

#[test]
fn unknown_encodings_are_refused_with_those_that_are_known() {
    let server = Running::start();
    for encoding in ["br", "deflate", "gzip, gzip", "compress", "", "gzip;q=1"] {
        let reply = post(&server, encoding, b"{}");
        let problem = reply.problem(415, "unsupported-encoding");
        assert_eq!(problem["header"], "content-encoding", "{encoding}");
        assert_eq!(reply.header("accept-encoding"), "gzip, zstd", "{encoding}");
    }
    for (encoding, body) in [
        ("gzip", &b"{}"[..]),
        ("zstd", b"{}"),
        ("gzip", &gzip(b"{\"a\":1}")[..20]),
        ("zstd", &zstd(b"{\"a\":1}")[..9]),
    ] {
        let problem = post(&server, encoding, body).problem(400, "bad-request");
        assert_eq!(problem["header"], "content-encoding", "{encoding}");
    }
    server.get(URL).problem(404, "no-such-collection");
}

/// Whatever is accepted, and wherever on its way a request is refused.
#[test]
fn every_error_is_a_problem_even_before_a_handler() {
    let server = limited(1000);
    let accept = ("accept-encoding", "zstd, gzip");
    let long = format!("/collections/{}", "x".repeat(5000));
    for (method, path, header, status, kind) in [
        ("GET", "/none", accept, 404, "no-such-route"),
        ("PATCH", "/health", accept, 405, "method-not-allowed"),
        (
            "GET",
            "/health",
            ("host", "example.com"),
            421,
            "foreign-host",
        ),
        (
            "PUT",
            "/collections/c",
            ("origin", "null"),
            403,
            "foreign-origin",
        ),
        (
            "POST",
            URL,
            ("content-type", "text/plain"),
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            URL,
            ("content-length", "1001"),
            413,
            "body-too-large",
        ),
        ("GET", "/collections/%ff", accept, 400, "bad-request"),
        ("GET", &long, accept, 400, "invalid-name"),
        ("GET", URL, ("accept", "text/html"), 406, "not-acceptable"),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}{}Accept-Encoding: zstd, gzip\r\n{}: {}\r\n\
            Expect: 100-continue\r\nConnection: close\r\n\r\n",
            if header.0 == "host" {
                ""
            } else {
                "Host: localhost\r\n"
            },
            if header.0 == "content-length" {
                "Content-Type: application/json\r\n"
            } else {
                ""
            },
            header.0,
            header.1,
        );
        let answer = server.raw(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}{answer}"
        );
        assert!(
            answer.contains("content-type: application/problem+json"),
            "{answer}"
        );
        assert!(answer.contains(&format!("/problems/{kind}\"")), "{answer}");
        assert!(answer.contains("x-request-id: "), "{answer}");
        assert!(!answer.contains("content-encoding"), "{answer}");
    }
}
