//! Many documents at once.

use serde_json::{Value, json};

use crate::running::Running;

const URL: &str = "/collections/c/documents";

fn count(server: &Running) -> usize {
    match server.get("/collections/c/documents?limit=1000") {
        reply if reply.status == 404 => 0,
        reply => reply.expect(200)["documents"].as_array().unwrap().len(),
    }
}

#[test]
fn an_array_is_inserted_whole() {
    let server = Running::start();
    let reply = server.post(URL, r#" [{"_id": 1}, {"_id": "b"}, {"n": "generated"}]"#);
    let answer = reply.expect(201);
    assert_eq!(answer["inserted"], 3);
    assert_eq!(answer["ids"][0], 1);
    assert_eq!(answer["ids"][1], "b");
    assert!(answer["ids"][2]["$binary"].is_object() || answer["ids"][2]["$uuid"].is_string());
    assert_eq!(count(&server), 3);
    assert_eq!(
        server.post(URL, "[]").expect(201),
        json!({"inserted": 0, "ids": []})
    );
}

#[test]
fn an_array_is_refused_whole() {
    let server = Running::start();
    server.post(URL, r#"{"_id": 2}"#).expect(201);
    let problem = server
        .post(URL, r#"[{"_id": 1}, {"_id": 2}]"#)
        .problem(409, "duplicate-id");
    assert_eq!(problem["index"], 1);
    assert_eq!(problem["id"], "2");
    let problem = server.post(URL, "[{\"_id\": 3},\n {\"a\": {\"b\": 1, \"b\": 2}}]");
    let problem = problem.problem(400, "invalid-json");
    assert_eq!(problem["at"], "/1/a");
    assert_eq!(problem["line"], 2);
    let problem = server.post(URL, r#"[{"_id": 4}, {"a": [{"b.c": 1}]}]"#);
    let problem = problem.problem(400, "invalid-document");
    assert_eq!(problem["index"], 1);
    assert_eq!(problem["at"], "/1/a/0");
    assert_eq!(count(&server), 1);
}

#[test]
fn lines_are_inserted_in_batches() {
    let server = Running::start();
    let lines: String = (0..1234)
        .map(|n| format!("{{\"_id\": {n}}}\r\n\n"))
        .collect();
    let before = server.db.stats().commits.commits;
    let answer = server.lines(URL, &lines).expect(201);
    assert_eq!(answer["inserted"], 1234);
    assert_eq!(answer["failed"], 0);
    assert_eq!(answer["ids"].as_array().unwrap().len(), 1234);
    assert_eq!(answer["ids"][1233], 1233);
    assert_eq!(answer["failures"], json!([]));
    assert_eq!(server.db.stats().commits.commits - before, 3);
    let answer = server.lines(URL, "").expect(201);
    assert_eq!(answer["inserted"], 0);
}

fn bad_lines() -> String {
    // Line 1 is good, 2 is no JSON, 4 is there already, 5 breaks a rule, 6 is good.
    "{\"_id\": 1}\n{\"_id\": 2,}\n\n{\"_id\": 1}\n{\"a.b\": 1}\n{\"_id\": 6}".to_owned()
}

#[test]
fn bad_lines_are_skipped_and_reported() {
    let server = Running::start();
    let answer = server
        .lines(&format!("{URL}?on_error=skip"), &bad_lines())
        .expect(200);
    assert_eq!(answer["inserted"], 2);
    assert_eq!(answer["ids"], json!([1, 6]));
    assert_eq!(answer["failed"], 3);
    let failures: Vec<(u64, &Value)> = answer["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| (failure["line"].as_u64().unwrap(), &failure["error"]["type"]))
        .collect();
    let kinds = ["invalid-json", "duplicate-id", "invalid-document"];
    let kinds = kinds.map(|kind| Value::from(format!("/problems/{kind}")));
    assert_eq!(failures, [(2, &kinds[0]), (4, &kinds[1]), (5, &kinds[2])]);
    assert_eq!(count(&server), 2);
}

#[test]
fn the_first_bad_line_ends_the_request() {
    let server = Running::start();
    let problem = server.lines(URL, &bad_lines()).problem(400, "invalid-json");
    assert_eq!(problem["line"], 2);
    assert_eq!(problem["inserted"], 1);
    assert_eq!(problem["ids"], json!([1]));
    assert_eq!(problem["failures"][0]["line"], 2);
    assert_eq!(count(&server), 1);
    let lines = "{\"_id\": 7}\n{\"_id\": 1}\n{\"_id\": 8}\n{}}\n";
    let problem = server.lines(URL, lines).problem(409, "duplicate-id");
    assert_eq!(problem["line"], 2);
    assert_eq!(problem["inserted"], 1);
    assert_eq!(count(&server), 2);
}

/// A document that fails after it has begun to be written (a value too long for an index) leaves
/// nothing behind, and takes no other line with it.
#[test]
fn a_line_that_no_index_can_hold_leaves_nothing() {
    let server = Running::start();
    server
        .request("PUT", "/collections/c/indexes/v", &[], b"")
        .expect(201);
    let long = "x".repeat(40 << 10);
    let lines = format!(
        "{{\"_id\": 1}}\n{{\"_id\": 2, \"v\": \"{long}\"}}\n{{\"_id\": 3}}\n{{\"_id\": 1}}\n"
    );
    let answer = server
        .lines(&format!("{URL}?on_error=skip"), &lines)
        .expect(200);
    assert_eq!(answer["ids"], json!([1, 3]));
    assert_eq!(answer["failures"][0]["line"], 2);
    assert_eq!(answer["failures"][1]["line"], 4);
    assert_eq!(count(&server), 2);
    let lines = format!("{{\"_id\": 5}}\n{{\"_id\": 6, \"v\": \"{long}\"}}\n{{\"_id\": 7}}\n");
    let problem = server.lines(URL, &lines).problem(422, "document-refused");
    assert_eq!(
        (&problem["line"], &problem["inserted"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(count(&server), 3);
}

#[test]
fn reports_are_bounded() {
    let server = Running::start();
    let lines = "x\n".repeat(5000);
    let answer = server
        .lines(&format!("{URL}?on_error=skip"), &lines)
        .expect(200);
    assert_eq!(answer["failed"], 5000);
    assert_eq!(answer["failures"].as_array().unwrap().len(), 1000);
    let lines = "{}\n".repeat(100_001);
    server.lines(URL, &lines).problem(413, "body-too-large");
    let array = format!("[{}{{}}]", "{},".repeat(100_000));
    server.post(URL, &array).problem(413, "body-too-large");
    assert_eq!(count(&server), 0);
}
