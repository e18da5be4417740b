//! Rights that end while they are in use: by revocation, by rotation, by other scopes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::{Running, read_all};

/// A stream of all events, whose head has been read.
fn listen(server: &Running, key: &str) -> BufReader<TcpStream> {
    let mut stream = server.connect();
    let head = format!("GET /events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    stream
}

/// Reads up to a line with this in it.
#[track_caller]
fn hear(stream: &mut BufReader<TcpStream>, part: &str) {
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        assert_ne!(
            stream.read_line(&mut line).unwrap(),
            0,
            "{part} is not heard"
        );
    }
}

/// Reads chunks until the one that ends the stream.
fn rest(mut stream: BufReader<TcpStream>) -> String {
    let (mut text, mut line) = (String::new(), String::new());
    while line != "0\r\n" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "cut off: {text}");
        // What is sent when nothing has happened for long.
        assert!(!line.starts_with(':'), "it goes on");
        text.push_str(&line);
    }
    text
}

/// Otherwise whoever had a key could hold a place among the streams for ever.
#[test]
fn a_stream_ends_with_the_key_that_opened_it_though_nothing_happens() {
    let server = guarded(patient());
    let (id, key) = make(&server, &json!({"name": "k", "role": "read"}));
    let stream = listen(&server, &key);
    ask(&server, ADMIN, "DELETE", &format!("/keys/{id}"), "").expect(204);
    rest(stream);
    let lasting = json!({"name": "k", "role": "read", "ttl": 60});
    let (_, key) = make(&server, &lasting);
    let stream = listen(&server, &key);
    server.clock.advance(60_000);
    rest(stream);
}

/// Who has the old text hears nothing once its time of grace is over; who has the new one goes on.
#[test]
fn a_stream_that_an_old_text_opened_ends_with_its_grace() {
    let server = guarded(patient());
    let (id, old) = make(&server, &json!({"name": "k", "role": "read"}));
    let rotate = format!("/keys/{id}/rotate");
    let new = ask(&server, ADMIN, "POST", &rotate, r#"{"grace": 60}"#).expect(200);
    let new = new["key"].as_str().unwrap();
    let (mut old, mut new) = (listen(&server, &old), listen(&server, new));
    ask(&server, ADMIN, "PUT", "/stores/early", "").expect(201);
    hear(&mut old, "early");
    server.clock.advance(60_000);
    ask(&server, ADMIN, "PUT", "/stores/late", "").expect(201);
    let heard = rest(old);
    assert!(!heard.contains("late"), "{heard}");
    hear(&mut new, "late");
}

/// A new name takes nothing from who listens; other scopes do.
#[test]
fn a_stream_ends_when_the_scopes_change_and_not_for_a_name() {
    let server = guarded(patient());
    let (id, key) = make(&server, &json!({"name": "k", "role": "read"}));
    let mut stream = listen(&server, &key);
    let path = format!("/keys/{id}");
    ask(&server, ADMIN, "PATCH", &path, r#"{"name": "other"}"#).expect(200);
    ask(&server, ADMIN, "PUT", "/stores/heard", "").expect(201);
    hear(&mut stream, "\"heard\"");
    ask(&server, ADMIN, "PATCH", &path, r#"{"scopes": {}}"#).expect(200);
    ask(&server, ADMIN, "PUT", "/stores/unheard", "").expect(201);
    let heard = rest(stream);
    assert!(!heard.contains("unheard"), "{heard}");
}

/// What a key was let in for does not begin once its revocation was acknowledged.
#[test]
fn what_a_revoked_key_is_still_sending_is_not_carried_out() {
    let server = guarded(patient());
    for change in ["DELETE", "PATCH"] {
        let (id, key) = make(&server, &json!({"name": "k", "role": "write"}));
        let mut stream = server.connect();
        let head = format!(
            "POST /collections/c/documents HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // It has been let in when it is told to go on.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        let path = format!("/keys/{id}");
        let status = ask(&server, ADMIN, change, &path, r#"{"scopes": {}}"#).status;
        assert!(matches!(status, 200 | 204), "{status}");
        stream.write_all(b"{}").unwrap();
        let answer = read_all(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("/problems/unauthorized"), "{answer}");
    }
    ask(&server, ADMIN, "GET", "/collections/c", "").problem(404, "no-such-collection");
}
