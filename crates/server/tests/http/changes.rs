//! Changes as callers see them: all, in order, once, from every position on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use nexusbase_server::Limits;
use serde_json::{Value, json};

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::{Reply, Running};

const JSON: (&str, &str) = ("accept", "application/json");

/// A stream of changes that is read line by line.
struct Stream(BufReader<TcpStream>);

/// An event: its id, name and data.
type Event = (String, String, Value);

impl Stream {
    fn open(server: &Running, path: &str, headers: &str) -> Self {
        let mut stream = server.connect();
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
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

    fn next(&mut self) -> Option<Event> {
        let (mut id, mut name) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((id, name, serde_json::from_str(data).unwrap()));
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.next().unwrap()).collect()
    }
}

fn page(server: &Running, path: &str) -> Reply {
    server.request("GET", path, &[JSON], b"")
}

/// The event and the `_id` of each change.
fn short(changes: &Value) -> Vec<String> {
    let changes = changes.as_array().unwrap().iter();
    changes
        .map(|change| {
            let event = change["event"].as_str().unwrap();
            change
                .get("_id")
                .map_or(event.to_owned(), |id| format!("{event} {id}"))
        })
        .collect()
}

fn fill(server: &Running) {
    for id in 1..=3 {
        let body = json!({"_id": id, "n": id}).to_string();
        server.post("/collections/c/documents", &body).expect(201);
    }
    let many = r#"[{"_id": 10, "n": 10}, {"_id": 11, "n": 11}, {"_id": 12, "n": 12}]"#;
    server.post("/collections/c/documents", many).expect(201);
    server
        .post("/collections/other/documents", r#"{"_id": 1}"#)
        .expect(201);
    server
        .put("/collections/c/documents/=2", r#"{"n": 20}"#)
        .expect(200);
    server.delete("/collections/c/documents/=1").expect(204);
}

const ALL: [&str; 9] = [
    "created", "put 1", "put 2", "put 3", "put 10", "put 11", "put 12", "put 2", "delete 1",
];

#[test]
fn changes_come_in_order_once_and_from_every_position_on() {
    let server = Running::start();
    fill(&server);
    let path = "/collections/c/changes";
    let all = page(&server, &format!("{path}?since=0")).expect(200);
    assert_eq!(short(&all["changes"]), ALL);
    let all = all["changes"].as_array().unwrap();
    assert_eq!(all[1]["document"], json!({"_id": 1, "n": 1}));
    assert_eq!(all[7]["document"], json!({"_id": 2, "n": 20}));
    // The stream says the same, from every position: by parameter, by header, in the middle of a
    // commit; the header wins.
    for (count, from) in all.iter().enumerate() {
        let position = from["position"].as_str().unwrap();
        let rest = &all[count + 1..];
        let header = format!("Last-Event-ID: {position}\r\n");
        let by_parameter = format!("{path}?since={position}");
        for (path, header) in [
            (&*by_parameter, ""),
            (&*format!("{path}?since=0"), &*header),
        ] {
            let mut stream = Stream::open(&server, path, header);
            for (id, name, data) in stream.take(rest.len()) {
                assert_eq!(
                    (&json!(id), &json!(name)),
                    (&data["position"], &data["event"])
                );
                assert!(rest.contains(&data));
            }
        }
        let rest_of = page(&server, &by_parameter).expect(200);
        assert_eq!(rest_of["changes"].as_array().unwrap(), rest);
    }
    // Page by page, one at a time.
    let (mut next, mut seen) = ("0".to_owned(), Vec::new());
    loop {
        let one = page(&server, &format!("{path}?since={next}&limit=1")).expect(200);
        next = one["next"].as_str().unwrap().to_owned();
        match one["changes"].as_array().unwrap().first() {
            Some(change) => seen.push(change.clone()),
            None => break,
        }
    }
    assert_eq!(&seen, all);
}

#[test]
fn a_listener_hears_what_is_written_from_now_on() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"{"_id": 1}"#)
        .expect(201);
    let mut one = Stream::open(&server, "/collections/c/changes?documents=false", "");
    let mut all = Stream::open(&server, "/changes", "");
    // The first message has the position to go on from, before any change.
    assert!(one.line().is_some());
    fill_one(&server);
    let names: Vec<String> = one.take(3).into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(names, ["put", "delete", "dropped"]);
    let heard: Vec<(Value, String)> = all
        .take(5)
        .into_iter()
        .map(|(_, name, mut data)| (data["collection"].take(), name))
        .collect();
    let heard: Vec<String> = heard
        .into_iter()
        .map(|(collection, name)| format!("{} {name}", collection.as_str().unwrap()))
        .collect();
    assert_eq!(
        heard,
        ["c put", "d created", "d put", "c delete", "c dropped"]
    );
}

fn fill_one(server: &Running) {
    server
        .post("/collections/c/documents", r#"{"_id": 2}"#)
        .expect(201);
    server
        .post("/collections/d/documents", r#"{"_id": 1}"#)
        .expect(201);
    server.delete("/collections/c/documents/=2").expect(204);
    server.delete("/collections/c").expect(204);
}

#[test]
fn a_filtered_feed_says_what_does_not_match_and_documents_can_be_left_out() {
    let server = Running::start();
    fill(&server);
    let filter = "since=0&filter=%7B%22n%22:%7B%22$lt%22:12%7D%7D";
    let found = page(
        &server,
        &format!("/collections/c/changes?{filter}&documents=false"),
    );
    let found = found.expect(200);
    let expected = [
        "created",
        "put 1",
        "put 2",
        "put 3",
        "put 10",
        "put 11",
        "unmatched 12",
        "unmatched 2",
        "delete 1",
    ];
    assert_eq!(short(&found["changes"]), expected);
    for change in found["changes"].as_array().unwrap() {
        assert!(change.get("document").is_none());
    }
}

#[test]
fn a_page_waits_for_the_first_change() {
    let server = Running::start();
    std::thread::scope(|scope| {
        let path = "/collections/c/changes?since=0&wait_ms=20000";
        let waiting = scope.spawn(|| page(&server, path));
        server
            .post("/collections/c/documents", r#"{"_id": 1}"#)
            .expect(201);
        let found = waiting.join().unwrap().expect(200);
        assert_eq!(short(&found["changes"])[0], "created");
    });
    let now = page(&server, "/changes?wait_ms=1").expect(200);
    assert_eq!(now["changes"], json!([]));
}

#[test]
fn history_that_is_gone_is_said_with_the_oldest_position() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"{"_id": 0}"#)
        .expect(201);
    let text = "x".repeat(2_000_000);
    for id in 1..200 {
        if server.db.oldest_change().get() >= 3 {
            break;
        }
        let body = json!({"_id": id, "text": text}).to_string();
        server.post("/collections/c/documents", &body).expect(201);
        server.db.housekeeping_step();
    }
    let problem = page(&server, "/changes?since=1").problem(410, "history-gone");
    let oldest = problem["oldest"].as_str().unwrap();
    page(&server, &format!("/changes?since={oldest}&limit=1")).expect(200);
    let gone = server.get("/collections/c/changes?since=1");
    gone.problem(410, "history-gone");
    page(&server, "/changes?since=99999999").problem(400, "invalid-cursor");
    for bad in [
        "since=a",
        "since=1.",
        "wait_ms=30001",
        "limit=0",
        "x=1",
        "documents=1",
    ] {
        page(&server, &format!("/changes?{bad}")).problem(400, "invalid-parameter");
    }
    page(&server, "/changes?filter=%7B%22$x%22:1%7D").problem(400, "invalid-filter");
    server
        .get("/changes?limit=1")
        .problem(400, "invalid-parameter");
    let bad = server.request("GET", "/changes", &[("last-event-id", "x")], b"");
    bad.problem(400, "invalid-header");
    let lines = [("accept", "application/x-ndjson")];
    server
        .request("GET", "/changes", &lines, b"")
        .problem(406, "not-acceptable");
}

#[test]
fn feeds_keep_to_the_scopes_and_end_with_the_key() {
    let server = guarded(patient());
    let scopes = json!({"collections": ["mine"]});
    let (id, key) = make(
        &server,
        &json!({"name": "k", "role": "read", "scopes": scopes}),
    );
    let header = format!("X-API-Key: {key}\r\n");
    let mut stream = Stream::open(&server, "/changes", &header);
    for collection in ["other", "mine", "hidden"] {
        let path = format!("/collections/{collection}/documents");
        ask(&server, ADMIN, "POST", &path, r#"{"_id": 1}"#).expect(201);
    }
    ask(
        &server,
        ADMIN,
        "DELETE",
        "/collections/mine/documents/=1",
        "",
    )
    .expect(204);
    let events = stream.take(3);
    let names: Vec<&str> = events.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names, ["created", "put", "delete"]);
    assert!(events.iter().all(|(.., data)| data["collection"] == "mine"));
    ask(&server, &key, "GET", "/collections/other/changes", "").problem(403, "forbidden");
    ask(&server, ADMIN, "DELETE", &format!("/keys/{id}"), "").expect(204);
    ask(&server, ADMIN, "POST", "/collections/mine/documents", "{}").expect(201);
    assert_eq!(stream.next(), None);
}

#[test]
fn feeds_are_bounded_give_their_places_back_and_end_with_the_server() {
    let mut server = Running::with(Limits {
        event_streams: 1,
        ..Limits::default()
    });
    let first = Stream::open(&server, "/changes", "");
    let refused = page(&server, "/collections/c/changes");
    refused.problem(503, "busy");
    assert_eq!(refused.header("retry-after"), "1");
    drop(first);
    for round in 0.. {
        let mut stream = server.connect();
        let head = "GET /changes HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if status.ends_with(b"200") {
            server.join();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            return;
        }
        assert!(round < 1000, "a place was lost");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
