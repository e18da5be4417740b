//! One document with its tag: who changes it, changes what was seen.

use std::sync::Barrier;
use std::time::Duration;

use serde_json::json;

use crate::running::{Reply, Running};

const URL: &str = "/collections/c/documents";
const ONE: &str = "/collections/c/documents/a";
const JSON: (&str, &str) = ("content-type", "application/json");
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");

fn started() -> (Running, String) {
    let server = Running::start();
    let reply = server.post(URL, r#"{"_id": "a", "n": 1}"#);
    reply.expect(201);
    let etag = reply.header("etag").to_owned();
    (server, etag)
}

fn send(server: &Running, method: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    server.request(method, ONE, headers, body.as_bytes())
}

#[test]
fn every_way_to_a_document_shows_the_same_strong_tag() {
    let (server, etag) = started();
    assert_eq!(etag.len(), 34, "{etag}");
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    assert_eq!(server.get(ONE).header("etag"), etag);
    let canonical = [("accept", "application/json; form=canonical")];
    assert_eq!(send(&server, "GET", &canonical, "").header("etag"), etag);
    let head = format!("HEAD {ONE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let head = server.raw(head.as_bytes());
    assert!(head.contains(&format!("etag: {etag}\r\n")), "{head}");

    // What changes nothing keeps it; what comes back to the same content has the same.
    let same = server.put(ONE, r#"{"n": 1}"#);
    same.expect(200);
    assert_eq!(same.header("etag"), etag);
    let other = send(&server, "PATCH", &[MERGE], r#"{"n": 2}"#);
    assert_eq!(other.expect(200), json!({"_id": "a", "n": 2}));
    assert_ne!(other.header("etag"), etag);
    assert_eq!(server.get(ONE).header("etag"), other.header("etag"));
    let back = send(&server, "PATCH", &[JSON], r#"{"$inc": {"n": -1}}"#);
    assert_eq!(back.header("etag"), etag);
}

#[test]
fn a_caller_that_has_it_gets_304() {
    let (server, etag) = started();
    let get = |name, value: &str| send(&server, "GET", &[(name, value)], "");
    for known in [&etag, "*", &format!("\"x\", W/{etag}")] {
        let reply = get("if-none-match", known);
        assert_eq!(reply.expect(304), json!(null), "{known}");
        assert_eq!(reply.header("etag"), etag);
    }
    get("if-none-match", "\"x\"").expect(200);
    get("if-match", &etag).expect(200);
    let problem = get("if-match", "\"x\"").problem(412, "precondition-failed");
    assert_eq!(problem["etag"], etag);
    for bad in ["", "x", "\"x"] {
        let problem = get("if-match", bad).problem(400, "invalid-header");
        assert_eq!(problem["header"], "if-match");
    }
}

#[test]
fn a_change_happens_exactly_when_its_conditions_hold() {
    for (method, headers, body) in [
        ("PUT", vec![JSON], r#"{"n": 2}"#),
        ("PATCH", vec![MERGE], r#"{"n": 2}"#),
        ("PATCH", vec![JSON], r#"{"$set": {"n": 2}}"#),
        ("DELETE", vec![], ""),
    ] {
        let (server, etag) = started();
        let with = |name, value| {
            let mut headers = headers.clone();
            headers.push((name, value));
            send(&server, method, &headers, body)
        };
        let listed = format!("\"x\", {etag}");
        let weak = format!("W/{etag}");
        for (name, value) in [
            ("if-match", "\"0123456789abcdef0123456789abcdef\""),
            ("if-match", &weak),
            ("if-none-match", "*"),
            ("if-none-match", &listed),
        ] {
            let reply = with(name, value);
            let problem = reply.problem(412, "precondition-failed");
            assert_eq!(
                (&problem["etag"], reply.header("etag")),
                (&json!(etag), &*etag)
            );
            assert_eq!(
                server.get(ONE).header("etag"),
                etag,
                "{method} {name}: {value}"
            );
        }
        let reply = with("if-match", &listed);
        assert!(
            matches!(reply.status, 200 | 204),
            "{method}: {}",
            reply.body
        );
        assert_ne!(server.get(ONE).header("etag"), etag);
        // And where nothing is.
        server.delete(ONE);
        let problem = with("if-match", "*").problem(412, "precondition-failed");
        assert_eq!(problem["etag"], json!(null));
    }
}

#[test]
fn if_none_match_creates_and_never_replaces() {
    let server = Running::start();
    let headers = [JSON, ("if-none-match", "*")];
    let reply = send(&server, "PUT", &headers, r#"{"n": 1}"#);
    assert_eq!(reply.expect(201), json!({"_id": "a"}));
    assert_eq!(reply.header("location"), ONE);
    let reply = send(&server, "PUT", &headers, r#"{"n": 2}"#);
    reply.problem(412, "precondition-failed");
    assert_eq!(server.get(ONE).expect(200)["n"], 1);
}

/// Of those who change one state that all of them have seen, exactly one succeeds.
#[test]
fn of_writers_with_one_tag_exactly_one_wins() {
    let (server, etag) = started();
    for round in 0..5 {
        let etag = if round == 0 {
            etag.clone()
        } else {
            server.get(ONE).header("etag").to_owned()
        };
        let barrier = Barrier::new(7);
        // All of them see the state before the first change of it is done.
        server.clock.hold_commits();
        let won: usize = std::thread::scope(|scope| {
            let writer = |n: usize| {
                let (server, barrier, etag) = (&server, &barrier, &etag);
                scope.spawn(move || {
                    let body = format!(r#"{{"n": {}}}"#, 100 * (round + 1) + n);
                    barrier.wait();
                    let reply = if n.is_multiple_of(2) {
                        send(server, "PUT", &[JSON, ("if-match", etag)], &body)
                    } else {
                        send(server, "PATCH", &[MERGE, ("if-match", etag)], &body)
                    };
                    assert!(matches!(reply.status, 200 | 412), "{}", reply.body);
                    usize::from(reply.status == 200)
                })
            };
            let writers: Vec<_> = (0..6).map(writer).collect();
            barrier.wait();
            server.clock.await_waiting(1);
            std::thread::sleep(Duration::from_millis(100));
            server.clock.open();
            writers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!(won, 1, "round {round}");
    }
}

#[test]
fn a_collection_can_demand_conditions() {
    let (server, etag) = started();
    let patch = |body: &str| server.request("PATCH", "/collections/c", &[JSON], body.as_bytes());
    let answer = patch(r#"{"require_conditions": true}"#).expect(200);
    assert_eq!(answer["require_conditions"], true);
    assert_eq!(server.get("/collections/c").expect(200), answer);
    for (method, headers, body) in [
        ("PUT", vec![JSON], "{}"),
        ("PATCH", vec![MERGE], "{}"),
        ("DELETE", vec![], ""),
    ] {
        let reply = send(&server, method, &headers, body);
        let problem = reply.problem(428, "precondition-required");
        assert_eq!(problem["header"], "if-match");
        // Also where nothing is yet.
        let url = "/collections/c/documents/none";
        let reply = server.request(method, url, &headers, body.as_bytes());
        reply.problem(428, "precondition-required");
    }
    assert_eq!(server.get(ONE).header("etag"), etag);
    send(&server, "PUT", &[JSON, ("if-match", "*")], "{}").expect(200);
    // An insert replaces nothing, and a filter is a condition.
    server.post(URL, r#"{"_id": "b"}"#).expect(201);
    let update = r#"{"filter": {"_id": "b"}, "update": {"$set": {"n": 1}}}"#;
    server.post("/collections/c/update", update).expect(200);
    assert_eq!(patch("{}").expect(200)["require_conditions"], true);
    patch(r#"{"require_conditions": false}"#).expect(200);
    server.delete(ONE).expect(204);
    let problem = patch(r#"{"require_condition": true}"#).problem(400, "invalid-body");
    assert_eq!(problem["at"], "/require_condition");
    let problem = patch(r#"{"require_conditions": 1}"#).problem(400, "invalid-body");
    assert_eq!(problem["at"], "/require_conditions");
    let reply = server.request("PATCH", "/collections/none", &[JSON], b"{}");
    reply.problem(404, "no-such-collection");
}

#[test]
fn answers_are_as_long_as_was_preferred() {
    let server = Running::start();
    let with = |method: &str, path: &str, content: (&str, &str), prefer: &str, body: &str| {
        let headers = [content, ("prefer", prefer)];
        let reply = server.request(method, path, &headers, body.as_bytes());
        let applied = reply.header("preference-applied").to_owned();
        (reply, applied)
    };
    let (minimal, whole) = ("return=minimal", "return=representation");
    let n = |n: i32| json!({"_id": "a", "n": n});

    let (reply, applied) = with("POST", URL, JSON, whole, r#"{"_id": "a", "n": 1}"#);
    assert_eq!((reply.expect(201), &*applied), (n(1), whole));
    let (reply, applied) = with("POST", URL, JSON, minimal, r#"{"_id": "b"}"#);
    assert_eq!((reply.expect(201), &*applied), (json!(null), minimal));
    assert_eq!(reply.header("location"), "/collections/c/documents/b");
    let (reply, applied) = with("PUT", ONE, JSON, whole, r#"{"n": 2}"#);
    assert_eq!((reply.expect(200), &*applied), (n(2), whole));
    let (reply, applied) = with("PUT", ONE, JSON, minimal, r#"{"n": 3}"#);
    assert_eq!((reply.expect(204), &*applied), (json!(null), minimal));
    assert_eq!(reply.header("etag"), server.get(ONE).header("etag"));
    let (reply, applied) = with("PATCH", ONE, MERGE, minimal, r#"{"n": 4}"#);
    assert_eq!((reply.expect(204), &*applied), (json!(null), minimal));
    let (reply, applied) = with("PATCH", ONE, MERGE, "handling=strict", r#"{"n": 5}"#);
    assert_eq!((reply.expect(200), &*applied), (n(5), ""));
    let (reply, applied) = with("DELETE", ONE, JSON, whole, "");
    assert_eq!((reply.expect(200), &*applied), (n(5), whole));
    server.get(ONE).problem(404, "no-such-document");
}
