//! What happens at the limits.

use std::io::Write;
use std::time::Duration;

use nexusbase_server::Limits;
use serde_json::json;

use crate::running::{Reply, Running, read_all};

const URL: &str = "/collections/c/documents";

#[test]
fn bodies_over_the_limit_are_refused() {
    let server = Running::with(Limits {
        body_bytes: 1000,
        ..Limits::default()
    });
    let fits = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000 - 8));
    assert_eq!(fits.len(), 1000);
    server.post(URL, &fits).expect(201);
    let over = format!("{fits} ");
    assert_eq!(
        server.post(URL, &over).problem(413, "body-too-large")["limit"],
        1000
    );
    // A client that sends all of it before it listens gets the answer too.
    server
        .post(URL, &" ".repeat(100_000))
        .problem(413, "body-too-large");
    // In pieces, of which nobody said how many come.
    let mut request = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..20 {
        request.extend_from_slice(b"64\r\n");
        request.extend_from_slice(&[b' '; 100]);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert!(server.raw(&request).starts_with("HTTP/1.1 413 "));
}

/// A client that waits to be told before it sends a large body is told at once, and not to.
#[test]
fn expectations_are_refused_before_the_body_comes() {
    let server = Running::with(Limits {
        body_bytes: 1000,
        ..Limits::default()
    });
    let head = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    assert!(read_all(&mut stream).starts_with("HTTP/1.1 413 "));
}

#[test]
fn a_body_that_does_not_come_in_time_is_given_up() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(300),
        ..Limits::default()
    });
    let head = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{\"_id\":"
    );
    let mut stream = server.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let answer = read_all(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/problems/request-timeout"));
    server.get(URL).problem(404, "no-such-collection");
}

/// Connections that send the head of a request byte by byte, or nothing, are closed.
#[test]
fn slow_heads_are_cut_off() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(400),
        ..Limits::default()
    });
    let mut silent = server.connect();
    let mut slow = server.connect();
    let writer = slow.try_clone().unwrap();
    let slowly = std::thread::spawn(move || {
        let mut writer = writer;
        writer
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
            .unwrap();
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(50));
            if writer.write_all(b"x-a: b\r\n").is_err() {
                return true;
            }
        }
        false
    });
    assert!(!read_all(&mut slow).contains("200 OK"));
    assert!(slowly.join().unwrap(), "the server listened for ever");
    assert_eq!(read_all(&mut silent), "");
}

/// A write that is still being done when its time is up is not reported as failed: it succeeds.
#[test]
fn a_write_over_time_has_an_unknown_outcome() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(400),
        ..Limits::default()
    });
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    server.clock.hold_commits();
    let problem = server
        .post(URL, r#"{"_id": 2}"#)
        .problem(504, "outcome-unknown");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("may have been done")
    );
    server.clock.open();
    // Not known then, and so in the end.
    for _ in 0..1000 {
        if server.get("/collections/c/documents/2").status == 200 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the write was lost");
}

#[test]
fn a_read_over_time_is_given_up() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(400),
        ..Limits::default()
    });
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    // The first look is at the beginning of the request, the second by the query.
    server.clock.hold_query(2);
    server.get(URL).problem(504, "timeout");
    server.clock.open();
    server.get(URL).expect(200);
}

#[test]
fn operations_beyond_the_limit_are_asked_to_come_again() {
    let server = Running::with(Limits {
        concurrent_operations: 2,
        ..Limits::default()
    });
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    server.clock.hold_commits();
    std::thread::scope(|scope| {
        let writes: Vec<_> = [2, 3]
            .map(|n| {
                let body = json!({"_id": n}).to_string();
                let server = &server;
                scope.spawn(move || server.post(URL, &body))
            })
            .into();
        server.clock.await_waiting(2);
        let reply: Reply = server.get(URL);
        reply.problem(503, "busy");
        assert_eq!(reply.header("retry-after"), "1");
        // What needs no place is answered.
        server.get("/health").expect(200);
        assert_eq!(server.get("/metrics").status, 200);
        server.clock.open();
        for write in writes {
            write.join().unwrap().expect(201);
        }
    });
    assert_eq!(
        server.get(URL).expect(200)["documents"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn bodies_share_a_bounded_memory() {
    let server = Running::with(Limits {
        body_bytes: 100_000,
        ..Limits::default()
    });
    let head = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    );
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000 - 8));
    let (most, rest) = body.split_at(99_000);
    let mut held: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(most.as_bytes()).unwrap();
            stream
        })
        .collect();
    // One that comes while they are still being read may take the place of one of them, which is
    // then refused in its stead, and there is room for ever.
    std::thread::sleep(Duration::from_millis(500));
    // The ninth does not fit beside them, as soon as they have all been read.
    let refused = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        let reply = server.post(URL, &body);
        if reply.status == 503 {
            reply.problem(503, "busy");
            return true;
        }
        false
    });
    assert!(refused, "memory has no bound");
    for stream in &mut held {
        stream.write_all(rest.as_bytes()).unwrap();
        let answer = read_all(stream);
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    server.post(URL, &body).expect(201);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Running::with(Limits {
        connections: 2,
        ..Limits::default()
    });
    let first = server.connect();
    let second = server.connect();
    let mut third = server.connect();
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    third.write_all(request).unwrap();
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut byte = [0];
    assert!(
        std::io::Read::read(&mut third, &mut byte).is_err(),
        "it was served"
    );
    drop((first, second));
    third
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert!(read_all(&mut third).starts_with("HTTP/1.1 200 "));
}

/// A caller that asks for much and reads none of it is cut off in the end.
#[test]
fn answers_that_nobody_takes_are_given_up() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(500),
        ..Limits::default()
    });
    let text = "x".repeat(3 << 20);
    for n in 0..3 {
        let body = json!({"_id": n, "text": text}).to_string();
        server.post(URL, &body).expect(201);
    }
    let open = |server: &Running| {
        let metrics = server.get("/metrics").body;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("nexusbase_http_connections "));
        line.unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let mut greedy = server.connect();
    let request = format!("GET {URL} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Enough answers that no buffer of the operating system takes them all.
    for _ in 0..10 {
        greedy.write_all(request.as_bytes()).unwrap();
    }
    let gone = (0..400).any(|_| {
        std::thread::sleep(Duration::from_millis(25));
        open(&server) == 1
    });
    assert!(gone, "the connection is kept for ever");
}
