//! Transactions: all or nothing, alone, and of one key.

use nexusbase_server::Limits;
use serde_json::{Value, json};

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::{Reply, Running};

const BATCH: &str = "/transactions/batch";

fn begin(server: &Running) -> String {
    let begun = server.post("/transactions", "").expect(201);
    begun["id"].as_str().unwrap().to_owned()
}

fn run(server: &Running, id: &str, operations: &Value) -> Reply {
    let body = json!({"operations": operations}).to_string();
    server.post(&format!("/transactions/{id}/operations"), &body)
}

fn commit(server: &Running, id: &str) -> Reply {
    server.post(&format!("/transactions/{id}/commit"), "")
}

fn batch(server: &Running, operations: &Value) -> Reply {
    server.post(BATCH, &json!({"operations": operations}).to_string())
}

fn documents(server: &Running, collection: &str) -> Value {
    let reply = server.get(&format!("/collections/{collection}/documents?sort=_id"));
    if reply.status == 404 {
        return json!([]);
    }
    reply.expect(200)["documents"].take()
}

#[track_caller]
fn ended(server: &Running, id: &str, reason: &str) {
    for path in [
        format!("/transactions/{id}/operations"),
        format!("/transactions/{id}/commit"),
    ] {
        let body = r#"{"operations": [{"collection": "c", "count": {}}]}"#;
        let problem = server.post(&path, body).problem(410, "transaction-ended");
        assert_eq!(problem["reason"], reason);
    }
    let path = format!("/transactions/{id}");
    server.get(&path).problem(410, "transaction-ended");
    server.delete(&path).problem(410, "transaction-ended");
}

#[test]
fn a_batch_does_everything_and_answers_each_operation() {
    let server = Running::start();
    let done = batch(
        &server,
        &json!([
            {"collection": "a", "insert": {"_id": 1, "n": 1}},
            {"collection": "b", "insert": {"_id": 2, "n": 5}},
            {"collection": "a", "if": {"exists": true}, "update": {"_id": 1, "update": {"$inc": {"n": 1}}, "return": "after"}},
            {"collection": "a", "get": {"_id": 1}},
            {"collection": "a", "get": {"_id": 9}},
            {"collection": "b", "replace": {"document": {"_id": 3, "n": 7}, "upsert": true}},
            {"collection": "b", "update": {"filter": {}, "merge_patch": {"m": true}, "many": true}},
            {"collection": "b", "update": {"_id": 3, "json_patch": [{"op": "remove", "path": "/m"}]}},
            {"collection": "b", "find": {"filter": {"n": {"$gt": 1}}, "sort": "-n", "limit": 1}},
            {"collection": "b", "find": {"sort": {"_id": 1}, "projection": {"n": 0}}},
            {"collection": "b", "count": {"filter": {"m": true}}},
            {"collection": "b", "delete": {"_id": 2}},
            {"collection": "b", "delete": {"filter": {"n": 99}, "many": true}},
        ]),
    )
    .expect(200);
    let mut results = done["results"].as_array().unwrap().clone();
    let etag = results[3]["etag"].take();
    assert_eq!(etag.as_str().unwrap().len(), 34);
    let expected = json!([
        {"status": 201, "_id": 1},
        {"status": 201, "_id": 2},
        {"status": 200, "matched": 1, "modified": 1, "document": {"_id": 1, "n": 2}},
        {"status": 200, "etag": null, "document": {"_id": 1, "n": 2}},
        {"status": 404, "document": null},
        {"status": 201, "matched": 0, "modified": 0, "upserted_id": 3},
        {"status": 200, "matched": 2, "modified": 2},
        {"status": 200, "matched": 1, "modified": 1},
        {"status": 200, "documents": [{"_id": 3, "n": 7}], "more": true},
        {"status": 200, "documents": [{"_id": 2, "m": true}, {"_id": 3}], "more": false},
        {"status": 200, "count": 1},
        {"status": 200, "deleted": 1},
        {"status": 200, "deleted": 0},
    ]);
    assert_eq!(Value::from(results), expected);
    assert_eq!(documents(&server, "b"), json!([{"_id": 3, "n": 7}]));
    // The tag is what a condition compares with.
    let with =
        |etag: &Value| json!([{"collection": "a", "if": {"etag": etag}, "delete": {"_id": 1}}]);
    let other = json!("0".repeat(32));
    let problem = batch(&server, &with(&other)).problem(412, "precondition-failed");
    assert_eq!(problem["etag"], etag);
    batch(&server, &with(&etag)).expect(200);
}

#[test]
fn a_batch_is_all_or_nothing_and_names_the_operation_that_failed() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"{"_id": 1}"#)
        .expect(201);
    let insert = json!({"collection": "d", "insert": {"_id": 1}});
    let failing = [
        (
            json!({"collection": "c", "insert": {"_id": 1}}),
            409,
            "duplicate-id",
        ),
        (
            json!({"collection": "c", "if": {"absent": true}, "replace": {"_id": 1, "document": {}}}),
            412,
            "precondition-failed",
        ),
        (
            json!({"collection": "c", "if": {"_id": 7, "exists": true}, "count": {}}),
            412,
            "precondition-failed",
        ),
        (
            json!({"collection": "c", "update": {"_id": 1, "update": {"$inc": {"_id": 1}}}}),
            422,
            "update-refused",
        ),
        (json!({"collection": "/", "count": {}}), 400, "invalid-name"),
        (json!({"collection": "c"}), 400, "invalid-body"),
        (
            json!({"collection": "c", "count": {}, "get": {"_id": 1}}),
            400,
            "invalid-body",
        ),
        (
            json!({"collection": "c", "count": {"limit": 1}}),
            400,
            "invalid-body",
        ),
        (
            json!({"collection": "c", "count": {"filter": {"a": {"$x": 1}}}}),
            400,
            "invalid-filter",
        ),
        (
            json!({"collection": "c", "delete": {}}),
            400,
            "invalid-body",
        ),
        (
            json!({"collection": "c", "if": {}, "get": {"_id": 1}}),
            400,
            "invalid-body",
        ),
        (json!(7), 400, "invalid-body"),
    ];
    for (operation, status, kind) in failing {
        let operations = json!([insert, insert, insert, operation, insert]);
        let mut operations = operations.as_array().unwrap().clone();
        for (id, operation) in operations.iter_mut().enumerate() {
            if operation["collection"] == "d" {
                operation["insert"]["_id"] = id.into();
            }
        }
        let problem = batch(&server, &operations.into()).problem(status, kind);
        assert_eq!(problem["index"], 3, "{problem}");
        let at = problem["at"].as_str().unwrap();
        assert!(at.starts_with("/operations/3"), "{problem}");
        assert_eq!(documents(&server, "d"), json!([]), "{operation}");
    }
    for body in [
        "{}",
        "[]",
        r#"{"operations": []}"#,
        r#"{"operations": [], "x": 1}"#,
    ] {
        let status = server.post(BATCH, body).status;
        assert_eq!(status, 400, "{body}");
    }
}

#[test]
fn a_transaction_is_seen_by_nobody_before_its_commit_and_by_all_behind() {
    let server = Running::start();
    let id = begin(&server);
    let insert = json!([{"collection": "c", "insert": {"_id": 1}}]);
    run(&server, &id, &insert).expect(200);
    let read = json!([{"collection": "c", "find": {}}]);
    let seen = run(&server, &id, &read).expect(200);
    assert_eq!(seen["results"][0]["documents"], json!([{"_id": 1}]));
    assert_eq!(documents(&server, "c"), json!([]));
    let info = server.get(&format!("/transactions/{id}")).expect(200);
    assert_eq!(
        (&info["operations"], &info["in_use"]),
        (&json!(2), &json!(false))
    );
    assert!((server.metric("nexusbase_transactions_open") - 1.0).abs() < 0.1);
    let committed = commit(&server, &id).expect(200);
    assert_eq!(committed["index"], server.db.snapshot().index().get());
    assert_eq!(documents(&server, "c"), json!([{"_id": 1}]));
    ended(&server, &id, "committed");

    let id = begin(&server);
    run(
        &server,
        &id,
        &json!([{"collection": "c", "delete": {"_id": 1}}]),
    )
    .expect(200);
    server.delete(&format!("/transactions/{id}")).expect(204);
    ended(&server, &id, "rolled-back");
    assert_eq!(documents(&server, "c"), json!([{"_id": 1}]));
    assert!(server.metric("nexusbase_transactions_open") < 0.1);
}

#[test]
fn a_transaction_whose_time_is_up_leaves_no_trace() {
    let server = Running::start();
    let begun = server.post("/transactions", r#"{"timeout_ms": 30000}"#);
    let begun = begun.expect(201);
    let id = begun["id"].as_str().unwrap();
    run(
        &server,
        id,
        &json!([{"collection": "c", "insert": {"_id": 1}}]),
    )
    .expect(200);
    server.clock.advance(29_000);
    server.get(&format!("/transactions/{id}")).expect(200);
    server.clock.advance(1_100);
    ended(&server, id, "timed-out");
    assert_eq!(documents(&server, "c"), json!([]));
    // Also when nobody asks: its place comes back.
    let _forgotten = begin(&server);
    server.clock.advance(10_100);
    while server.metric("nexusbase_transactions_open") > 0.1 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    for bad in [
        r#"{"timeout_ms": 30001}"#,
        r#"{"timeout_ms": 0}"#,
        r#"{"x": 1}"#,
    ] {
        server
            .post("/transactions", bad)
            .problem(400, "invalid-body");
    }
}

#[test]
fn of_two_transactions_that_would_skew_their_writes_one_conflicts() {
    let server = Running::start();
    server
        .post(
            "/collections/c/documents",
            r#"[{"_id": 1, "on": true}, {"_id": 2, "on": true}]"#,
        )
        .expect(201);
    let turn_off = |id: u8| {
        json!([
            {"collection": "c", "count": {"filter": {"on": true}}},
            {"collection": "c", "update": {"_id": id, "update": {"$set": {"on": false}}}},
        ])
    };
    let (first, second) = (begin(&server), begin(&server));
    for (transaction, id) in [(&first, 1), (&second, 2)] {
        let ran = run(&server, transaction, &turn_off(id)).expect(200);
        assert_eq!(ran["results"][0]["count"], 2);
    }
    commit(&server, &first).expect(200);
    let problem = commit(&server, &second).problem(409, "conflict");
    assert_eq!(problem["retryable"], true);
    ended(&server, &second, "conflict");
    let left = json!([{"_id": 1, "on": false}, {"_id": 2, "on": true}]);
    assert_eq!(documents(&server, "c"), left);
}

#[test]
fn an_operation_that_fails_rolls_back_and_one_that_is_refused_does_not() {
    let server = Running::start();
    let id = begin(&server);
    let insert = json!([{"collection": "c", "insert": {"_id": 1}}]);
    run(&server, &id, &insert).expect(200);
    run(&server, &id, &json!([{"collection": "c"}])).problem(400, "invalid-body");
    server.get(&format!("/transactions/{id}")).expect(200);
    let problem = run(&server, &id, &insert).problem(409, "duplicate-id");
    assert_eq!(problem["at"], "/operations/0");
    ended(&server, &id, "failed");
    assert_eq!(documents(&server, "c"), json!([]));
}

#[test]
fn a_transaction_belongs_to_its_key_and_to_its_scopes() {
    let server = guarded(patient());
    let scopes = json!({"collections": ["mine"]});
    let wanted = json!({"name": "w", "role": "write", "scopes": scopes});
    let (_, writer) = make(&server, &wanted);
    let (_, reader) = make(&server, &json!({"name": "r", "role": "read"}));
    let begun = ask(&server, &writer, "POST", "/transactions", "").expect(201);
    let path = format!("/transactions/{}", begun["id"].as_str().unwrap());
    let body = |collection: &str| {
        json!({"operations": [{"collection": collection, "insert": {"_id": 1}}]}).to_string()
    };
    for (method, path, body) in [
        ("GET", path.clone(), String::new()),
        ("DELETE", path.clone(), String::new()),
        ("POST", format!("{path}/commit"), String::new()),
        (
            "POST",
            format!("{path}/operations"),
            r#"{"operations": [{"collection": "mine", "count": {}}]}"#.to_owned(),
        ),
    ] {
        for key in [&*reader, ADMIN] {
            ask(&server, key, method, &path, &body).problem(404, "no-such-transaction");
        }
    }
    let operations = format!("{path}/operations");
    for path in [&*operations, BATCH] {
        let problem = ask(&server, &writer, "POST", path, &body("other"));
        let problem = problem.problem(403, "forbidden");
        assert_eq!(problem["scope"], "collections/other");
        assert_eq!(problem["at"], "/operations/0/collection");
    }
    ask(&server, &writer, "POST", &operations, &body("mine")).expect(200);
    ask(&server, &writer, "POST", &format!("{path}/commit"), "").expect(200);

    // A key that reads may run what only reads.
    let problem = ask(&server, &reader, "POST", BATCH, &body("mine")).problem(403, "forbidden");
    assert_eq!(problem["role"], "write");
    let count = r#"{"operations": [{"collection": "mine", "count": {}}]}"#;
    let counted = ask(&server, &reader, "POST", BATCH, count).expect(200);
    assert_eq!(counted["results"][0]["count"], 1);
    let begun = ask(&server, &reader, "POST", "/transactions", "").expect(201);
    let path = format!("/transactions/{}", begun["id"].as_str().unwrap());
    let operations = format!("{path}/operations");
    ask(&server, &reader, "POST", &operations, &body("mine")).problem(403, "forbidden");
    ask(&server, &reader, "POST", &operations, count).expect(200);
    ask(&server, &reader, "POST", &format!("{path}/commit"), "").expect(200);
}

#[test]
fn transactions_are_bounded_and_take_one_request_at_a_time() {
    let server = Running::with(Limits {
        open_transactions: 2,
        ..Limits::default()
    });
    let (first, second) = (begin(&server), begin(&server));
    let refused = server.post("/transactions", "");
    refused.problem(503, "busy");
    assert_eq!(refused.header("retry-after"), "1");
    commit(&server, &second).expect(200);
    begin(&server);
    // An upsert asks for the time, and waits for it.
    server.clock.hold_commits();
    let change = json!([{"collection": "c", "update": {"_id": 1, "update": {"$set": {"a": 1}}, "upsert": true}}]);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| run(&server, &first, &change));
        server.clock.await_waiting(1);
        commit(&server, &first).problem(409, "transaction-in-use");
        let path = format!("/transactions/{first}");
        server.delete(&path).problem(409, "transaction-in-use");
        assert_eq!(server.get(&path).expect(200)["in_use"], true);
        server.clock.open();
        slow.join().unwrap().expect(200);
    });
    commit(&server, &first).expect(200);
}

#[test]
fn a_server_that_stops_rolls_back() {
    let mut server = Running::start();
    let id = begin(&server);
    run(
        &server,
        &id,
        &json!([{"collection": "c", "insert": {"_id": 1}}]),
    )
    .expect(200);
    server.join();
    assert_eq!(server.db.stats().readers, 0);
}
