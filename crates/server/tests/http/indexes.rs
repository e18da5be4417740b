//! Indexes: made of what a body says, shown, awaited or not, and dropped.

use std::time::Duration;

use serde_json::{Value, json};

use crate::running::{Reply, Running};

const URL: &str = "/collections/c/indexes";

fn server() -> Running {
    let server = Running::start();
    let documents: Vec<Value> = (0..100)
        .map(|n| json!({"_id": n, "kind": n % 3, "n": n, "at": {"b": [n]}}))
        .collect();
    let body = Value::from(documents).to_string();
    server.post("/collections/c/documents", &body).expect(201);
    server
}

fn ask(server: &Running, method: &str, path: &str, prefer: &str, body: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("prefer", prefer)];
    server.request(method, path, &headers, body.as_bytes())
}

#[test]
fn an_index_is_what_was_asked_for() {
    let server = server();
    let reply = server.post(URL, r#"{"on": "kind,-n"}"#);
    let index = reply.expect(201);
    assert_eq!(reply.header("location"), "/collections/c/indexes/kind%2C-n");
    assert_eq!(
        (&index["name"], &index["path"]),
        (&json!("kind,-n"), &json!("kind,-n"))
    );
    assert_eq!(
        (&index["unique"], &index["ready"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(server.get(reply.header("location")).expect(200), index);
    // The order of keys counts, and the name is free.
    let body = r#"{"keys": {"n": -1, "kind": 1}, "name": "mine", "unique": true,
        "partial": {"n": {"$gte": {"$numberLong": "5"}}}}"#;
    let index = server.post(URL, body).expect(201);
    assert_eq!(index["path"], "-n,kind");
    assert_eq!(
        (&index["name"], &index["unique"]),
        (&json!("mine"), &json!(true))
    );
    assert_eq!(index["partial"], json!({"n": {"$gte": 5}}));
    server.post(URL, body).expect(200);
    let canonical = [("accept", "application/json; form=canonical")];
    let path = "/collections/c/indexes/mine";
    let index = server.request("GET", path, &canonical, b"").expect(200);
    assert_eq!(
        index["partial"],
        json!({"n": {"$gte": {"$numberLong": "5"}}})
    );
    let index = server.post(
        URL,
        r#"{"on": "at", "expire_after_seconds": 60, "sparse": true}"#,
    );
    let index = index.expect(201);
    assert_eq!(
        (&index["expire_after_seconds"], &index["sparse"]),
        (&json!(60), &json!(true))
    );
    let named = server.put("/collections/c/indexes/at.b", "").expect(201);
    assert_eq!(
        (&named["name"], &named["multikey"]),
        (&json!("at.b"), &json!(true))
    );
    let all = server.get(URL).expect(200);
    let names = all["indexes"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|index| index["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kind,-n", "mine", "at", "at.b"]);
    // What is used is counted.
    let body = r#"{"filter": {"kind": 2, "n": {"$gt": 90}}, "hint": "kind,-n"}"#;
    server.post("/collections/c/query", body).expect(200);
    let index = server.get("/collections/c/indexes/kind%2C-n").expect(200);
    assert_eq!(index["uses"]["count"], 1);
    assert!(
        index["uses"]["last_unix_ms"].is_u64() && index["size"]["rows"] == 100,
        "{index}"
    );
    server.delete("/collections/c/indexes/mine").expect(204);
    server.get(path).problem(404, "no-such-index");
    server.delete(path).problem(404, "no-such-index");
    server
        .get("/collections/none/indexes")
        .problem(404, "no-such-collection");
    server
        .get("/collections/none/indexes/a")
        .problem(404, "no-such-collection");
}

#[test]
fn what_is_no_index_is_refused_with_its_place() {
    let server = server();
    for (body, kind, at) in [
        ("{}", "invalid-body", ""),
        (r#"{"on": "a", "keys": {"a": 1}}"#, "invalid-body", ""),
        (r#"{"on": "a", "uniqe": true}"#, "invalid-body", "/uniqe"),
        (r#"{"on": 5}"#, "invalid-body", "/on"),
        (r#"{"keys": "a"}"#, "invalid-body", "/keys"),
        (r#"{"on": "_id"}"#, "invalid-index", "/on"),
        (r#"{"on": "a,a"}"#, "invalid-index", "/on"),
        (r#"{"keys": {"a": 2}}"#, "invalid-index", "/keys"),
        (r#"{"keys": {}}"#, "invalid-index", "/keys"),
        (r#"{"on": "a", "name": 5}"#, "invalid-body", "/name"),
        (r#"{"on": "a", "partial": []}"#, "invalid-body", "/partial"),
        (
            r#"{"on": "a", "partial": {"a": {"$ne": 1}}}"#,
            "invalid-index",
            "/partial",
        ),
        (
            r#"{"on": "a", "expire_after_seconds": -1}"#,
            "invalid-body",
            "/expire_after_seconds",
        ),
    ] {
        let problem = server.post(URL, body).problem(400, kind);
        assert_eq!(problem["at"], at, "{body}");
    }
    for body in [
        r#"{"on": "a", "name": "a/b"}"#,
        r#"{"on": "a", "sparse": true, "partial": {"a": 1}}"#,
        r#"{"on": "a,b", "expire_after_seconds": 1}"#,
        r#"{"on": "a", "expire_after_seconds": 5000000000}"#,
    ] {
        server.post(URL, body).problem(400, "invalid-index");
    }
    server.post(URL, r#"{"on": "n", "name": "x"}"#).expect(201);
    server
        .post(URL, r#"{"on": "kind", "name": "x"}"#)
        .problem(409, "index-exists");
    server
        .post(URL, r#"{"on": "kind", "unique": true}"#)
        .problem(409, "duplicate-key");
    server
        .get("/collections/c/indexes/kind")
        .problem(404, "no-such-index");
}

/// Who does not want to wait is told where to look, and the index is built all the same.
#[test]
fn an_index_can_be_looked_after_instead_of_awaited() {
    let server = server();
    for (method, path, body) in [
        ("POST", URL, r#"{"on": "n"}"#),
        ("PUT", "/collections/c/indexes/kind", ""),
    ] {
        let reply = ask(&server, method, path, "wait=5, Respond-Async", body);
        // A small index may be ready before anybody can say that it is not.
        assert!(matches!(reply.status, 201 | 202), "{}", reply.body);
        if reply.status == 202 {
            assert_eq!(reply.header("preference-applied"), "respond-async");
            assert_eq!(reply.json()["ready"], false);
            assert!(reply.json()["progress"]["total"].as_u64() >= Some(100));
        }
        let location = reply.header("location");
        while server.get(location).expect(200)["ready"] != true {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(server.get(location).expect(200)["progress"], Value::Null);
        ask(&server, method, path, "respond-async", body).expect(200);
    }
}
