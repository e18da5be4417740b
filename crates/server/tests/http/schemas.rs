//! The JSON Schema of a collection.

use serde_json::{Value, json};

use crate::running::Running;

const SCHEMA: &str = "/collections/c/schema";
const URL: &str = "/collections/c/documents";

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "size": {"type": "integer", "minimum": 0}},
    })
}

#[test]
fn a_schema_comes_and_goes() {
    let server = Running::start();
    server.get(SCHEMA).problem(404, "no-such-collection");
    server.delete(SCHEMA).problem(404, "no-such-collection");
    let reply = server.put(SCHEMA, &schema().to_string());
    assert_eq!(reply.expect(201), schema());
    assert_eq!(reply.header("location"), SCHEMA);
    assert_eq!(server.get("/collections/c").expect(200)["has_schema"], true);
    assert_eq!(server.get(SCHEMA).expect(200), schema());
    assert_eq!(server.put(SCHEMA, "true").expect(200), json!(true));
    server.delete(SCHEMA).expect(204);
    server.get(SCHEMA).problem(404, "no-such-schema");
    server.delete(SCHEMA).problem(404, "no-such-schema");
}

/// No way to write leads past it, and a refusal names each place.
#[test]
fn nothing_that_violates_it_is_written() {
    let server = Running::start();
    server.put(SCHEMA, &schema().to_string()).expect(201);
    server.post(URL, r#"{"_id": "a", "name": "x"}"#).expect(201);
    let before = server.get(URL).body;
    let one = "/collections/c/documents/a";
    for (method, path, media, body) in [
        (
            "POST",
            URL,
            "application/json",
            r#"{"name": 1, "size": -1}"#,
        ),
        (
            "POST",
            URL,
            "application/json",
            r#"[{"name": "y"}, {"name": 1, "size": -1}]"#,
        ),
        ("PUT", one, "application/json", r#"{"name": 1, "size": -1}"#),
        (
            "PATCH",
            one,
            "application/merge-patch+json",
            r#"{"name": 1, "size": -1}"#,
        ),
        (
            "PATCH",
            one,
            "application/json",
            r#"{"$set": {"name": 1, "size": -1}}"#,
        ),
        (
            "POST",
            "/collections/c/update",
            "application/json",
            r#"{"filter": {}, "update": {"$set": {"name": 1, "size": -1}}, "many": true}"#,
        ),
        (
            "POST",
            "/collections/c/update",
            "application/json",
            r#"{"filter": {"_id": 9}, "replacement": {"name": 1, "size": -1}, "upsert": true}"#,
        ),
        (
            "POST",
            "/collections/c/bulk",
            "application/json",
            r#"{"operations": [{"insert": {"name": 1, "size": -1}}], "mode": "atomic"}"#,
        ),
    ] {
        let reply = server.request(method, path, &[("content-type", media)], body.as_bytes());
        let problem = reply.problem(422, "schema-violation");
        let violations = problem["violations"].as_array().unwrap();
        let at: Vec<_> = violations
            .iter()
            .map(|v| v["at"].as_str().unwrap())
            .collect();
        assert_eq!(at, ["/name", "/size"], "{method} {path}: {problem}");
        assert!(
            violations
                .iter()
                .all(|v| v["schema"].is_string() && v["message"].is_string())
        );
        assert_eq!(server.get(URL).body, before, "{method} {path}");
    }
    // At most 20 places.
    let many: Vec<_> = (0..30)
        .map(|n| json!({"type": "string", "minLength": n + 10}))
        .collect();
    let all = json!({"allOf": many});
    let wide = json!({"additionalProperties": all});
    server.put(SCHEMA, &wide.to_string()).expect(200);
    let problem = server.post(URL, r#"{"_id": "aaaaaaaaaa", "x": ""}"#);
    let problem = problem.problem(422, "schema-violation");
    assert_eq!(problem["violations"].as_array().unwrap().len(), 20);
}

#[test]
fn what_is_stored_can_be_checked_first() {
    let server = Running::start();
    let documents: Vec<_> = (0..30).map(|n| json!({"_id": n, "size": n})).collect();
    server.post(URL, &json!(documents).to_string()).expect(201);
    let problem = server.put(&format!("{SCHEMA}?check=true"), &schema().to_string());
    let problem = problem.problem(409, "schema-conflict");
    assert_eq!(problem["ids"].as_array().unwrap().len(), 20);
    server.get(SCHEMA).problem(404, "no-such-schema");
    let good = r#"{"required": ["size"]}"#;
    server
        .put(&format!("{SCHEMA}?check=true"), good)
        .expect(201);
    // Without the question, what is stored stays.
    server.put(SCHEMA, &schema().to_string()).expect(200);
    let reply = server.put(&format!("{SCHEMA}?check=yes"), good);
    assert_eq!(
        reply.problem(400, "invalid-parameter")["parameter"],
        "check"
    );
}

#[test]
fn a_schema_that_cannot_be_used_is_refused() {
    let server = Running::start();
    for (bad, at) in [
        ("{", ""),
        (r#"{"type": "text"}"#, "/type"),
        (
            r#"{"properties": {"a": {"$ref": "http://localhost/x"}}}"#,
            "/properties/a/$ref",
        ),
    ] {
        let problem = server.put(SCHEMA, bad).problem(400, "invalid-schema");
        assert_eq!(problem["at"], at, "{problem}");
    }
    server
        .get("/collections/c")
        .problem(404, "no-such-collection");
}
