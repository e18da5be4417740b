//! What happens, as it happens.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_server::Limits;
use serde_json::{Value, json};

use super::{create, put, with_store};
use crate::running::Running;

/// A stream of events that is read line by line, whatever chunks it comes in.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Returns when the server listens on the caller's behalf.
    fn open(server: &Running, path: &str) -> Self {
        let mut stream = server.connect();
        // Without chunks, as HTTP/1.0 has none.
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = Self(BufReader::new(stream));
        assert!(stream.line().unwrap().contains(" 200 "));
        let mut is_stream = false;
        while let Some(line) = stream.line().filter(|line| !line.is_empty()) {
            is_stream |= line == "content-type: text/event-stream";
        }
        assert!(is_stream);
        stream
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).unwrap();
        (length > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; none at the end.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut name = None;
        loop {
            let line = self.line()?;
            if let Some(event) = line.strip_prefix("event: ") {
                name = Some(event.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name.unwrap(), serde_json::from_str(data).unwrap()));
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, name: &str, data: &Value) {
        assert_eq!(self.next(), Some((name.to_owned(), data.clone())));
    }
}

#[test]
fn a_listener_hears_what_happens_to_its_store() {
    let server = with_store();
    create(&server, "other");
    let mut stream = Stream::open(&server, "/stores/s/events");
    put(&server, "a", b"1");
    server
        .request("PUT", "/stores/other/keys/x", &[], b"1")
        .expect(204);
    put(&server, "%FF", b"1");
    server.delete("/stores/s/keys/a").expect(204);
    let operations = r#"{"operations": [{"op": "set", "key": "b", "value": "1"},
        {"op": "delete", "key": "c"}]}"#;
    server.post("/stores/s/batch", operations).expect(200);
    let version = server.post("/stores/s/versions", "").expect(201);
    let restored = server.post("/stores/s/versions/1/restore", "").expect(200);
    server.delete("/stores/s/versions/1").expect(204);
    server
        .request("POST", "/stores/s/clear", &[], b"")
        .expect(204);
    server.delete("/stores/s").expect(204);
    stream.expect(
        "changed",
        &json!({"store": "s", "put": ["a"], "deleted": []}),
    );
    let bytes = json!({"base64": "/w=="});
    stream.expect(
        "changed",
        &json!({"store": "s", "put": [bytes], "deleted": []}),
    );
    stream.expect(
        "changed",
        &json!({"store": "s", "put": [], "deleted": ["a"]}),
    );
    stream.expect(
        "changed",
        &json!({"store": "s", "put": ["b"], "deleted": ["c"]}),
    );
    stream.expect("version-taken", &json!({"store": "s", "version": version}));
    stream.expect("restored", &json!({"store": "s", "version": restored}));
    stream.expect("version-deleted", &json!({"store": "s", "number": 1}));
    stream.expect("cleared", &json!({"store": "s"}));
    stream.expect("dropped", &json!({"store": "s"}));
    assert_eq!(stream.next(), None, "the stream ends with its store");
}

#[test]
fn who_listens_to_all_hears_of_all() {
    let server = Running::start();
    let mut stream = Stream::open(&server, "/events");
    create(&server, "a");
    let mut of_a = Stream::open(&server, "/stores/a/events");
    server
        .post("/stores/a/rename", r#"{"to": "b"}"#)
        .expect(200);
    server.delete("/stores/b").expect(204);
    create(&server, "c");
    stream.expect("created", &json!({"store": "a"}));
    stream.expect("renamed", &json!({"store": "a", "to": "b"}));
    stream.expect("dropped", &json!({"store": "b"}));
    stream.expect("created", &json!({"store": "c"}));
    of_a.expect("renamed", &json!({"store": "a", "to": "b"}));
    assert_eq!(of_a.next(), None, "there is no store of that name any more");
    server.get("/stores/a/events").problem(404, "no-such-store");
}

#[test]
fn a_listener_that_is_too_slow_is_told_what_it_lost() {
    let server = with_store();
    let mut stream = Stream::open(&server, "/stores/s/events");
    let store = server.stores.open("s").unwrap();
    // Far more than the queue and the buffers of the connection hold.
    let key = vec![b'k'; 4000];
    for _ in 0..20_000 {
        store.set(&key, b"").unwrap();
    }
    server.delete("/stores/s").expect(204);
    let (mut heard, mut lost) = (0, 0);
    while let Some((name, data)) = stream.next() {
        match name.as_str() {
            "changed" => heard += 1,
            "lost" => lost += data["count"].as_u64().unwrap(),
            "dropped" => {}
            _ => panic!("{name}"),
        }
    }
    assert_eq!(heard + lost, 20_000);
    assert!(lost > 0);
}

/// A stream is not a request that takes long, and holds no place among the operations.
#[test]
fn streams_outlive_the_time_limit_and_hold_no_place() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(500),
        concurrent_operations: 1,
        ..Limits::default()
    });
    create(&server, "s");
    let mut streams: Vec<Stream> = (0..20)
        .map(|_| Stream::open(&server, "/stores/s/events"))
        .collect();
    std::thread::sleep(Duration::from_millis(1200));
    put(&server, "a", b"1");
    for stream in &mut streams {
        stream.expect(
            "changed",
            &json!({"store": "s", "put": ["a"], "deleted": []}),
        );
    }
}

#[test]
fn streams_are_bounded_and_give_their_places_back() {
    let server = Running::with(Limits {
        event_streams: 2,
        ..Limits::default()
    });
    create(&server, "s");
    let first = Stream::open(&server, "/events");
    let _second = Stream::open(&server, "/stores/s/events");
    let refused = server.get("/events");
    refused.problem(503, "busy");
    assert_eq!(refused.header("retry-after"), "1");
    server.get("/stores/s/events").problem(503, "busy");
    drop(first);
    for _ in 0..1000 {
        let mut stream = server.connect();
        let head = "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if status.ends_with(b"200") {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("a place was lost");
}

/// Nobody who listens keeps the server from stopping.
#[test]
fn streams_end_when_the_server_stops() {
    let mut server = with_store();
    let mut streams = [
        Stream::open(&server, "/events"),
        Stream::open(&server, "/stores/s/events"),
    ];
    put(&server, "a", b"1");
    let clock = Env::os().clock;
    let started = clock.monotonic();
    server.join();
    let limit = Limits::default().shutdown_timeout;
    let elapsed = clock.monotonic() - started;
    assert!(elapsed < limit / 2, "it waited for the streams");
    for stream in &mut streams {
        assert!(stream.next().is_some(), "what happened before is heard");
        assert_eq!(stream.next(), None);
    }
}
