//! Collections, indexes, health, metrics, request ids.

use serde_json::{Value, json};

use crate::running::Running;

fn described(name: &str, indexes: &Value) -> Value {
    json!({"name": name, "indexes": indexes, "has_schema": false, "require_conditions": false})
}

fn empty(name: &str) -> Value {
    described(name, &json!([]))
}

#[test]
fn collections_come_and_go() {
    let server = Running::start();
    assert_eq!(
        server.get("/collections").expect(200),
        json!({"collections": []})
    );
    server
        .get("/collections/b")
        .problem(404, "no-such-collection");
    server
        .get("/collections/b/documents")
        .problem(404, "no-such-collection");
    server
        .get("/collections/b/documents/x")
        .problem(404, "no-such-collection");
    server
        .delete("/collections/b/documents/x")
        .problem(404, "no-such-collection");
    let reply = server.request("PUT", "/collections/b", &[], b"");
    assert_eq!(reply.expect(201), empty("b"));
    assert_eq!(reply.header("location"), "/collections/b");
    server
        .request("PUT", "/collections/b", &[], b"")
        .expect(200);
    server.post("/collections/a/documents", "{}").expect(201);
    let names = server.get("/collections").expect(200);
    assert_eq!(names["collections"][0]["name"], "a");
    assert_eq!(names["collections"][1]["name"], "b");
    assert_eq!(
        server.get("/collections/b/documents").expect(200)["documents"],
        json!([])
    );
    server.delete("/collections/a").expect(204);
    server
        .delete("/collections/a")
        .problem(404, "no-such-collection");
    assert_eq!(server.get("/collections/b").expect(200), empty("b"));
}

#[test]
fn indexes_come_and_go() {
    let server = Running::start();
    server
        .post(
            "/collections/c/documents",
            r#"[{"a": {"b": 1}}, {"a": {"b": [1, 2]}}]"#,
        )
        .expect(201);
    let put = |path: &str| server.request("PUT", path, &[], b"");
    let index = put("/collections/c/indexes/a.b").expect(201);
    for (member, value) in [
        ("path", json!("a.b")),
        ("multikey", json!(true)),
        ("ready", json!(true)),
    ] {
        assert_eq!(index[member], value);
    }
    assert_eq!(put("/collections/c/indexes/a.b").expect(200), index);
    let collection = server.get("/collections/c").expect(200);
    assert_eq!(collection, described("c", &json!([index])));
    for bad in ["_id", "a..b", "$a", "."] {
        let path = format!("/collections/c/indexes/{}", bad.replace('$', "%24"));
        if bad != "." {
            let problem = put(&path).problem(400, "invalid-index");
            assert_eq!(problem["parameter"], "index");
        }
    }
    server.delete("/collections/c/indexes/a.b").expect(204);
    server
        .delete("/collections/c/indexes/a.b")
        .problem(404, "no-such-index");
    server
        .delete("/collections/none/indexes/a")
        .problem(404, "no-such-collection");
    // An index may come before the first document.
    put("/collections/new/indexes/size").expect(201);
    assert_eq!(
        server.get("/collections/new").expect(200)["indexes"][0]["path"],
        "size"
    );
}

#[test]
fn health_tells_whether_writes_are_accepted() {
    let server = Running::start();
    let before = server.get("/health").expect(200);
    assert_eq!(before["status"], "ok");
    server.post("/collections/c/documents", "{}").expect(201);
    let after = server.get("/health").expect(200);
    assert!(after["index"].as_u64() > before["index"].as_u64());
    server.db.close().unwrap();
    let reply = server.get("/health");
    reply.problem(503, "database-stopped");
    assert_eq!(reply.header("retry-after"), "30");
}

#[test]
fn readiness_ends_when_no_write_is_accepted() {
    let server = Running::start();
    let ready = server.get("/ready").expect(200);
    assert_eq!(ready, server.get("/health").expect(200));
    server.db.close().unwrap();
    let reply = server.get("/ready");
    reply.problem(503, "database-stopped");
}

#[test]
fn metrics_count_what_happened() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"{"_id": 1}"#)
        .expect(201);
    server
        .post("/collections/c/documents", r#"{"_id": 1}"#)
        .problem(409, "duplicate-id");
    server.get("/secret-path").problem(404, "no-such-route");
    let brew = "BREW /collections HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(server.raw(brew.as_bytes()).starts_with("HTTP/1.1 405 "));
    let reply = server.get("/metrics");
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let route = r#"route="/collections/{name}/documents",method="POST""#;
    for line in [
        format!("nexusbase_http_requests_total{{{route},status=\"201\"}} 1"),
        format!("nexusbase_http_requests_total{{{route},status=\"409\"}} 1"),
        format!("nexusbase_http_request_duration_seconds_count{{{route},status=\"2xx\"}} 1"),
        format!("nexusbase_http_request_duration_seconds_count{{{route},status=\"4xx\"}} 1"),
        "nexusbase_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1".to_owned(),
        "nexusbase_http_requests_total{route=\"/collections\",method=\"other\",status=\"405\"} 1"
            .to_owned(),
        // The trees of the key-value stores, and the document.
        "nexusbase_db_commits_total 2".to_owned(),
        "nexusbase_db_stopped 0".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(
            reply.body.lines().any(|found| found == line),
            "{line}\n{}",
            reply.body
        );
    }
    for name in [
        "visible_index",
        "log_bytes",
        "log_segments",
        "commit_batches_total",
        "conflicts_total",
        "commit_queue",
        "memory_rows",
        "memory_bytes",
        "readers",
    ] {
        let start = format!("nexusbase_db_{name} ");
        assert!(
            reply.body.lines().any(|found| found.starts_with(&start)),
            "{name}"
        );
    }
    assert!(reply.body.contains("\nnexusbase_http_connections "));
    assert!(!reply.body.contains("secret-path"));
}

#[test]
fn every_answer_has_a_request_id() {
    let server = Running::start();
    let first = server.get("/health").header("x-request-id").to_owned();
    let second = server.get("/nothing").problem(404, "no-such-route");
    assert_ne!(first, "");
    assert_ne!(second["instance"], first);
    let given = server.request("GET", "/health", &[("x-request-id", "mine-1")], b"");
    assert_eq!(given.header("x-request-id"), "mine-1");
    let long = "x".repeat(65);
    for bad in ["two words", "a\"b", &long, ""] {
        let reply = server.request("GET", "/health", &[("x-request-id", bad)], b"");
        assert_ne!(reply.header("x-request-id"), bad);
    }
}

#[test]
fn head_answers_without_a_body() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"{"_id": 1}"#)
        .expect(201);
    for (path, status) in [
        ("/collections/c/documents/1", 200),
        ("/collections/c/documents/2", 404),
    ] {
        let request =
            format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}
