//! Pipelines: one answer or lines, scopes, limits, and ends.

use std::io::{Read, Write};
use std::time::Duration;

use nexusbase_server::Limits;
use serde_json::{Value, json};

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::Running;

const URL: &str = "/collections/c/aggregate";

fn insert(server: &Running, documents: impl Iterator<Item = Value>) {
    let lines: Vec<String> = documents.map(|document| document.to_string()).collect();
    server
        .lines("/collections/c/documents", &lines.join("\n"))
        .expect(201);
}

fn lines(server: &Running, body: &Value) -> crate::running::Reply {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/x-ndjson"),
    ];
    server.request("POST", URL, &headers, body.to_string().as_bytes())
}

#[test]
fn a_pipeline_is_answered_in_json_and_in_lines() {
    let server = Running::start();
    insert(&server, (0..10).map(|n| json!({"_id": n, "k": n % 2})));
    let body = json!({"pipeline": [
        {"$group": {"_id": "$k", "sum": {"$sum": "$_id"}}}, {"$sort": {"_id": 1}}]});
    let made = [json!({"_id": 0, "sum": 20}), json!({"_id": 1, "sum": 25})];
    let answer = server.post(URL, &body.to_string()).expect(200);
    assert_eq!(answer, json!({"documents": made}));
    let reply = lines(&server, &body);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    assert_eq!(reply.body, format!("{}\n{}\n", made[0], made[1]));
    // Nothing is an answer, too.
    let body = json!({"pipeline": [{"$match": {"k": 7}}]});
    let answer = server.post(URL, &body.to_string()).expect(200);
    assert_eq!(answer, json!({"documents": []}));
    let reply = lines(&server, &body);
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    server
        .post("/collections/none/aggregate", &body.to_string())
        .problem(404, "no-such-collection");
}

#[test]
fn what_is_too_large_for_an_answer_comes_in_lines() {
    let server = Running::start();
    let text = "x".repeat(10_000);
    insert(&server, (0..1000).map(|n| json!({"_id": n, "text": text})));
    let body = json!({"pipeline": []});
    let problem = server.post(URL, &body.to_string());
    let problem = problem.problem(422, "answer-too-large");
    assert_eq!(problem["limit"], 8 << 20);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("x-ndjson") && detail.contains("$limit"),
        "{detail}"
    );
    let reply = lines(&server, &body);
    assert_eq!(reply.status, 200);
    let ids = reply.body.lines().map(|line| {
        let document: Value = serde_json::from_str(line).unwrap();
        document["_id"].as_i64().unwrap()
    });
    assert!(ids.eq(0..1000), "a line is missing or twice");
}

#[test]
fn refusals_name_their_place_in_the_pipeline() {
    let server = Running::start();
    insert(&server, (0..3).map(|n| json!({"_id": n})));
    for (pipeline, at) in [
        (json!(5), "/pipeline"),
        (json!([{"$out": "x"}]), "/pipeline/0/$out"),
        (
            json!([{"$match": {"a": {"$near": 1}}}]),
            "/pipeline/0/$match/a/$near",
        ),
        (
            json!([{"$limit": 1}, {"$set": {"a": {"$sin": 1}}}]),
            "/pipeline/1/$set/a/$sin",
        ),
    ] {
        let body = json!({"pipeline": pipeline});
        for reply in [server.post(URL, &body.to_string()), lines(&server, &body)] {
            assert_eq!(reply.problem(400, "invalid-pipeline")["at"], at);
        }
    }
    for (body, at) in [
        (json!({}), "/pipeline"),
        (json!({"pipeline": [], "x": 1}), "/x"),
    ] {
        let problem = server.post(URL, &body.to_string());
        assert_eq!(problem.problem(400, "invalid-body")["at"], at);
    }
    // What only a document shows is no mistake of the server's either.
    let body = json!({"pipeline": [{"$set": {"a": {"$divide": [1, "$_id"]}}}]});
    for reply in [server.post(URL, &body.to_string()), lines(&server, &body)] {
        let problem = reply.problem(422, "pipeline-failed");
        assert!(
            problem["at"].as_str().unwrap().starts_with("/pipeline/0"),
            "{problem}"
        );
    }
}

/// A body that ended in order is whole: what fails on the way breaks the connection off.
#[test]
fn lines_that_cannot_go_on_break_off() {
    let server = Running::start();
    let text = "x".repeat(1000);
    insert(
        &server,
        (0..5000).map(|n| json!({"_id": n, "text": text, "by": 4999 - n})),
    );
    let pipeline = json!([{"$set": {"a": {"$divide": [1, "$by"]}}}]);
    let body = json!({"pipeline": pipeline}).to_string();
    let request = format!(
        "POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = server.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{}", &answer[..100]);
    assert!(answer.contains("\"_id\":4000,"), "{}", answer.len());
    assert!(!answer.ends_with("0\r\n\r\n"), "the body looks whole");
}

/// Who goes away in the middle of an endless answer frees its place.
#[test]
fn a_caller_that_is_gone_ends_its_pipeline() {
    let server = Running::with(Limits {
        concurrent_operations: 1,
        ..Limits::default()
    });
    let numbers: Vec<u32> = (0..2000).collect();
    insert(
        &server,
        (0..2000).map(|n| json!({"_id": n, "many": numbers})),
    );
    // Billions of documents.
    let unwind = json!({"$unwind": "$many"});
    let again = json!({"$set": {"many": numbers}});
    for accept in ["application/x-ndjson", "application/json"] {
        let mut stages = vec![unwind.clone(), again.clone(), unwind.clone()];
        if accept == "application/json" {
            stages.push(json!({"$count": "n"}));
        }
        let body = json!({"pipeline": stages}).to_string();
        let request = format!(
            "POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: {accept}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        if accept == "application/x-ndjson" {
            stream.read_exact(&mut [0; 1000]).unwrap();
        }
        let running = || server.metric("nexusbase_operations_running");
        while running() < 0.5 {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(stream);
        while running() > 0.5 {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.get("/collections/c/documents/1").expect(200);
    }
}

/// Whatever the pipeline names must be the caller's business.
#[test]
fn other_collections_must_be_in_the_scopes() {
    let server = guarded(patient());
    for name in ["c", "own", "other"] {
        let path = format!("/collections/{name}/documents");
        ask(&server, ADMIN, "POST", &path, r#"{"_id": 1}"#).expect(201);
    }
    let scopes = json!({"collections": ["c", "own"]});
    let wanted = json!({"name": "k", "role": "read", "scopes": scopes});
    let (_, key) = make(&server, &wanted);
    let lookup =
        |from: &str, inner: Value| json!({"$lookup": {"from": from, "as": "x", "pipeline": inner}});
    let run = |stage: Value| {
        let body = json!({"pipeline": [{"$limit": 1}, stage]}).to_string();
        ask(&server, &key, "POST", URL, &body)
    };
    run(lookup("own", json!([]))).expect(200);
    for stage in [
        lookup("other", json!([])),
        lookup("own", json!([lookup("other", json!([]))])),
        lookup("missing", json!([])),
    ] {
        let problem = run(stage).problem(403, "forbidden");
        assert!(
            problem["scope"]
                .as_str()
                .unwrap()
                .starts_with("collections/"),
            "{problem}"
        );
    }
}
