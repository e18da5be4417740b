//! Requests that come twice and are done once.

use serde_json::{Value, json};

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::{Reply, Running};

const URL: &str = "/collections/c/documents";
const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

fn send(server: &Running, method: &str, path: &str, key: &str, body: &str) -> Reply {
    let headers = [JSON, ("idempotency-key", key)];
    server.request(method, path, &headers, body.as_bytes())
}

fn index(server: &Running) -> u64 {
    server.get("/health").expect(200)["index"].as_u64().unwrap()
}

/// Whatever is written: the second request changes nothing and gets the first one's answer, word
/// for word; and answer and write are one commit.
#[test]
fn every_write_is_done_once_in_one_commit() {
    let server = Running::start();
    server.post(URL, r#"{"_id": "seen"}"#).expect(201);
    let id = "/collections/c/documents/a";
    for (number, (method, path, content, body, status)) in [
        ("POST", URL, JSON, r#"{"n": 1}"#, 201),
        ("POST", URL, JSON, r#"[{"n": 1}, {"_id": "x"}]"#, 201),
        ("POST", URL, LINES, "{\"_id\": \"l\"}\n{}\n", 201),
        ("PUT", id, JSON, r#"{"n": 1}"#, 201),
        ("PUT", id, JSON, r#"{"n": 2}"#, 200),
        ("PATCH", id, JSON, r#"{"$inc": {"n": 1}}"#, 200),
        (
            "POST",
            "/collections/c/update",
            JSON,
            r#"{"filter": {}, "update": {"$inc": {"n": 1}}, "many": true}"#,
            200,
        ),
        (
            "POST",
            "/collections/c/delete",
            JSON,
            r#"{"filter": {"_id": "l"}, "return": "before"}"#,
            200,
        ),
        (
            "POST",
            "/collections/c/bulk",
            JSON,
            r#"{"operations": [{"insert": {}}, {"insert": {}}]}"#,
            200,
        ),
        ("DELETE", id, JSON, "", 204),
        ("PUT", "/collections/d", JSON, "", 201),
        (
            "PUT",
            "/collections/d/schema",
            JSON,
            r#"{"type": "object"}"#,
            201,
        ),
        (
            "PATCH",
            "/collections/d",
            JSON,
            r#"{"require_conditions": true}"#,
            200,
        ),
        ("DELETE", "/collections/d/schema", JSON, "", 204),
        ("POST", "/collections/d/rename", JSON, r#"{"to": "e"}"#, 200),
        ("DELETE", "/collections/e", JSON, "", 204),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("\"key {number}\"");
        let headers = [content, ("idempotency-key", &*key)];
        let before = index(&server);
        let first = server.request(method, path, &headers, body.as_bytes());
        assert_eq!(first.status, status, "{method} {path}: {}", first.body);
        assert_eq!(first.header("idempotency-replayed"), "");
        assert_eq!(index(&server), before + 1, "{method} {path}: one commit");
        let again = server.request(method, path, &headers, body.as_bytes());
        assert_eq!(
            (again.status, &again.body),
            (first.status, &first.body),
            "{method} {path}"
        );
        for name in ["etag", "location", "content-type"] {
            assert_eq!(
                again.header(name),
                first.header(name),
                "{method} {path}: {name}"
            );
        }
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(
            index(&server),
            before + 1,
            "{method} {path}: nothing the second time"
        );
        if !body.is_empty() {
            let other = server.request(method, path, &headers, format!("{body} ").as_bytes());
            let problem = other.problem(422, "idempotency-mismatch");
            assert_eq!(problem["header"], "idempotency-key");
            assert_eq!(index(&server), before + 1);
        }
    }
}

/// What is refused has changed nothing, is not kept, and may be sent again.
#[test]
fn refusals_leave_the_key_free() {
    let server = Running::start();
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    let before = index(&server);
    send(&server, "POST", URL, "k", r#"{"_id": 1}"#).problem(409, "duplicate-id");
    send(&server, "POST", URL, "k", r#"{"a.b": 1}"#).problem(400, "invalid-document");
    send(&server, "POST", URL, "k", "{").problem(400, "invalid-json");
    assert_eq!(index(&server), before);
    server.delete("/collections/c/documents/1").expect(204);
    let first = send(&server, "POST", URL, "k", r#"{"_id": 1}"#);
    first.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
}

/// Lines up to one that cannot be inserted are in, and the answer that says so is kept.
#[test]
fn an_answer_about_a_part_is_kept_with_the_part() {
    let server = Running::start();
    let headers = [LINES, ("idempotency-key", "k")];
    let lines = b"{\"_id\": 1}\n{\"_id\": 1}\n{\"_id\": 2}\n";
    let post = |query: &str| server.request("POST", &format!("{URL}{query}"), &headers, lines);
    let first = post("").problem(409, "duplicate-id");
    assert_eq!((&first["inserted"], &first["line"]), (&json!(1), &json!(2)));
    let again = post("");
    assert_eq!(again.header("idempotency-replayed"), "true");
    let mut again = again.problem(409, "duplicate-id");
    again["instance"] = first["instance"].clone();
    assert_eq!(again, first);
    // Another URL is another request.
    let skipped = post("?on_error=skip").expect(200);
    assert_eq!(
        (&skipped["inserted"], &skipped["failed"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn keys_are_checked() {
    let server = Running::start();
    let long = "x".repeat(256);
    for bad in ["", "a b", "\"a", "\"\"", &long] {
        let problem = send(&server, "POST", URL, bad, "{}").problem(400, "invalid-header");
        assert_eq!(problem["header"], "idempotency-key", "{bad}");
    }
    server
        .get("/collections/c")
        .problem(404, "no-such-collection");
    send(&server, "POST", URL, "abc", r#"{"_id": 1}"#).expect(201);
    let quoted = send(&server, "POST", URL, "\"abc\"", r#"{"_id": 1}"#);
    assert_eq!(quoted.header("idempotency-replayed"), "true");
}

/// While a request is under way, the same one is sent away; later it gets the answer.
#[test]
fn the_same_key_under_way_is_sent_away() {
    let server = Running::start();
    server.post(URL, "{}").expect(201);
    server.clock.hold_commits();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| send(&server, "POST", URL, "k", r#"{"_id": 1}"#));
        server.clock.await_waiting(1);
        let second = send(&server, "POST", URL, "k", r#"{"_id": 1}"#);
        second.problem(409, "idempotency-under-way");
        assert_eq!(second.header("retry-after"), "1");
        server.clock.open();
        first.join().unwrap().expect(201);
    });
    let again = send(&server, "POST", URL, "k", r#"{"_id": 1}"#);
    assert_eq!(again.header("idempotency-replayed"), "true");
}

/// Two callers may choose one key, and an answer is for the one who got it.
#[test]
fn a_key_counts_for_one_caller() {
    let server = guarded(patient());
    let wanted = json!({"name": "a", "role": "write", "scopes": {"collections": ["*"]}});
    let (_, key) = make(&server, &wanted);
    let post = |who: &str, body: &str| {
        let headers = [JSON, ("x-api-key", who), ("idempotency-key", "k")];
        server.request("POST", URL, &headers, body.as_bytes())
    };
    post(ADMIN, r#"{"_id": 1}"#).expect(201);
    post(&key, r#"{"_id": 2}"#).expect(201);
    assert_eq!(
        post(ADMIN, r#"{"_id": 1}"#).header("idempotency-replayed"),
        "true"
    );
    let reader = json!({"name": "r", "role": "read", "scopes": {"collections": ["*"]}});
    let (_, reader) = make(&server, &reader);
    post(&reader, r#"{"_id": 1}"#).problem(403, "forbidden");
    let count = ask(&server, ADMIN, "GET", URL, "").expect(200);
    assert_eq!(count["documents"].as_array().map(Vec::len), Some(2));
}

#[test]
fn answers_are_forgotten_after_a_day() {
    let server = Running::start();
    let post = |key: &str| send(&server, "POST", URL, key, "{}");
    let first: Value = post("k").expect(201);
    server.clock.advance(23 * 60 * 60 * 1000);
    assert_eq!(post("k").expect(201), first);
    server.clock.advance(2 * 60 * 60 * 1000);
    assert_ne!(post("k").expect(201), first);
    // Two rows of answers were written, and the older one is gone.
    let answers = |server: &Running| {
        let snapshot = server.db.snapshot();
        let tree = nexusbase_db::View::tree(&snapshot, "documents/idempotency/expiry").unwrap();
        let all = nexusbase_db::KeyRange::all();
        let forward = nexusbase_db::Direction::Forward;
        let rows = nexusbase_db::View::scan(&snapshot, tree.unwrap(), all, forward).unwrap();
        rows.count()
    };
    assert_eq!(answers(&server), 1);
}
