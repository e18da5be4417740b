//! Many operations in one request.

use serde_json::{Value, json};

use crate::running::{Reply, Running};

const URL: &str = "/collections/c/bulk";
const DOCUMENTS: &str = "/collections/c/documents";

fn all(server: &Running) -> Value {
    server.get(DOCUMENTS).expect(200)["documents"].clone()
}

fn bulk(server: &Running, mode: &str, key: Option<&str>, operations: &[Value]) -> Reply {
    let body = json!({"operations": operations, "mode": mode}).to_string();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    server.request("POST", URL, &headers, body.as_bytes())
}

fn started() -> Running {
    let server = Running::start();
    let index = server.request("PUT", "/collections/c/indexes/n", &[], b"");
    index.expect(201);
    server
        .post(DOCUMENTS, r#"[{"_id": 1, "n": 1}, {"_id": 2, "n": 2}]"#)
        .expect(201);
    server
}

/// Inserts, replaces, updates, deletes; the fourth is refused.
fn operations() -> [Value; 6] {
    [
        json!({"insert": {"_id": 3, "n": 3}}),
        json!({"replace": {"_id": 4, "document": {"n": 4}, "upsert": true}}),
        json!({"update": {"filter": {"n": {"$gte": 2}}, "update": {"$inc": {"n": 10}}, "many": true}}),
        json!({"insert": {"_id": 1}}),
        json!({"delete": {"filter": {"_id": 1}}}),
        json!({"replace": {"filter": {"_id": 3}, "document": {"r": 1}}}),
    ]
}

/// With a key and without, the answer and what is stored are the same.
#[test]
fn each_operation_has_the_outcome_that_it_is_said_to_have() {
    for key in [None, Some("k")] {
        let server = started();
        let answer = bulk(&server, "unordered", key, &operations()).expect(200);
        let outcomes = answer["outcomes"].as_array().unwrap();
        assert_eq!(outcomes[0], json!({"index": 0, "status": 201, "_id": 3}));
        let upserted =
            json!({"index": 1, "status": 201, "matched": 0, "modified": 0, "upserted_id": 4});
        assert_eq!(outcomes[1], upserted);
        let updated =
            json!({"index": 2, "status": 200, "matched": 3, "modified": 3, "upserted_id": null});
        assert_eq!(outcomes[2], updated);
        assert_eq!(
            (&outcomes[3]["status"], &outcomes[3]["index"]),
            (&json!(409), &json!(3))
        );
        assert_eq!(outcomes[3]["error"]["type"], "/problems/duplicate-id");
        assert_eq!(
            outcomes[4],
            json!({"index": 4, "status": 200, "deleted": 1})
        );
        assert_eq!(outcomes.len(), 6);
        let sums = [
            "inserted", "matched", "modified", "upserted", "deleted", "failed",
        ];
        assert_eq!(
            sums.map(|sum| answer[sum].as_u64().unwrap()),
            [1, 4, 4, 1, 1, 1]
        );
        let after = json!([{"_id": 2, "n": 12}, {"_id": 3, "r": 1}, {"_id": 4, "n": 14}]);
        assert_eq!(all(&server), after);
    }
}

#[test]
fn an_ordered_list_ends_at_the_first_refusal() {
    for key in [None, Some("k")] {
        let server = started();
        let answer = bulk(&server, "ordered", key, &operations()).expect(200);
        assert_eq!(answer["outcomes"].as_array().unwrap().len(), 4);
        assert_eq!(
            (&answer["failed"], &answer["deleted"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(all(&server)[0], json!({"_id": 1, "n": 1}));
        assert_eq!(all(&server)[1], json!({"_id": 2, "n": 12}));
    }
}

#[test]
fn an_atomic_list_is_done_wholly_or_not_at_all() {
    for key in [None, Some("k")] {
        let server = started();
        let before = (all(&server), server.get("/health").expect(200));
        let reply = bulk(&server, "atomic", key, &operations());
        let problem = reply.problem(409, "duplicate-id");
        assert_eq!(
            (&problem["index"], &problem["id"]),
            (&json!(3), &json!("1"))
        );
        let bad = [
            json!({"insert": {"_id": 9}}),
            json!({"insert": {"a": {"b.c": 1}}}),
        ];
        let problem = bulk(&server, "atomic", key, &bad).problem(400, "invalid-document");
        assert_eq!(problem["at"], "/operations/1/insert/a");
        assert_eq!((all(&server), server.get("/health").expect(200)), before);
        let (first, rest) = (&operations()[..3], &operations()[4..]);
        let good = [first, rest].concat();
        bulk(&server, "atomic", key, &good).expect(200);
    }
}

/// An operation that is refused when it has written a part of itself leaves no trace.
#[test]
fn what_is_refused_half_way_is_undone_alone() {
    for key in [None, Some("k")] {
        let server = Running::start();
        let index = nexusbase_documents::IndexSpec::on("u").unwrap().unique();
        let documents = nexusbase_documents::Documents::new(&server.db);
        documents
            .collection("c")
            .unwrap()
            .create_index(&index, |_| {})
            .unwrap();
        server
            .post(DOCUMENTS, r#"[{"_id": 1, "u": 1}, {"_id": 2, "u": 2}]"#)
            .expect(201);
        let operations = [
            json!({"insert": {"_id": 3, "u": 3}}),
            json!({"update": {"filter": {}, "update": {"$set": {"u": 9}}, "many": true}}),
            json!({"insert": {"_id": 4, "u": 4}}),
        ];
        let answer = bulk(&server, "unordered", key, &operations).expect(200);
        let error = &answer["outcomes"][1]["error"];
        assert_eq!(error["type"], "/problems/duplicate-key");
        assert_eq!(
            (&error["index_name"], &error["key"]),
            (&json!("u"), &json!({"u": 9}))
        );
        assert_eq!(answer["inserted"], 2);
        let values = all(&server);
        let values: Vec<_> = values
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["u"].clone())
            .collect();
        assert_eq!(values, [1, 2, 3, 4]);
    }
}

#[test]
fn operations_can_come_as_lines() {
    let server = started();
    let lines = "{\"insert\": {\"_id\": 7}}\n\n{\"insert\": {\"_id\": 1}}\n{\"delete\": {\"filter\": {\"_id\": 2}}}\n";
    let answer = server
        .lines(&format!("{URL}?mode=unordered"), lines)
        .expect(200);
    let seen: Vec<_> = answer["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["line"].clone())
        .collect();
    assert_eq!(seen, [1, 3, 4]);
    assert_eq!(
        (&answer["inserted"], &answer["deleted"], &answer["failed"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let problem = server
        .lines(&format!("{URL}?mode=atomic"), lines)
        .problem(409, "duplicate-id");
    assert_eq!(
        (&problem["line"], &problem["index"]),
        (&json!(1), &json!(0))
    );
}

#[test]
fn a_request_with_a_senseless_operation_does_nothing() {
    let server = started();
    let before = all(&server);
    let insert = json!({"insert": {"_id": 100}});
    for (operation, at) in [
        (json!({}), "/operations/1"),
        (json!(1), "/operations/1"),
        (json!({"insert": {}, "delete": {}}), "/operations/1"),
        (json!({"insert": 1}), "/operations/1/insert"),
        (json!({"upsert": {}}), "/operations/1/upsert"),
        (json!({"delete": {}}), "/operations/1/delete"),
        (
            json!({"delete": {"filter": {"$x": 1}}}),
            "/operations/1/delete/filter/$x",
        ),
        (
            json!({"delete": {"filter": {}, "sort": "n"}}),
            "/operations/1/delete/sort",
        ),
        (
            json!({"replace": {"_id": 1, "filter": {}, "document": {}}}),
            "/operations/1/replace/filter",
        ),
        (json!({"replace": {"_id": 1}}), "/operations/1/replace"),
        (
            json!({"update": {"filter": {}, "update": {"$bad": 1}}}),
            "/operations/1/update/update/$bad",
        ),
        (
            json!({"update": {"filter": {}, "update": {"$set": {"a": 1}}, "return": "after"}}),
            "/operations/1/update/return",
        ),
    ] {
        let reply = bulk(
            &server,
            "unordered",
            None,
            &[insert.clone(), operation.clone()],
        );
        assert_eq!(reply.status, 400, "{operation}: {}", reply.body);
        assert_eq!(reply.json()["at"], at, "{operation}: {}", reply.body);
        assert_eq!(all(&server), before, "{operation}");
    }
    for (body, at) in [
        (json!({}), ""),
        (json!({"operations": {}}), "/operations"),
        (json!({"operations": [], "mode": "all"}), "/mode"),
        (json!({"operations": [], "modes": "atomic"}), "/modes"),
    ] {
        let problem = server
            .post(URL, &body.to_string())
            .problem(400, "invalid-body");
        assert_eq!(problem["at"], at, "{body}");
    }
    let problem = server
        .lines(URL, "{\"insert\": {}}\n{\"insert\": 1}\n")
        .problem(400, "invalid-body");
    assert_eq!(
        (&problem["line"], &problem["at"]),
        (&json!(2), &json!("/insert"))
    );
    let reply = server.post(&format!("{URL}?mode=atomic"), r#"{"operations": []}"#);
    assert_eq!(reply.problem(400, "invalid-parameter")["parameter"], "mode");
    assert_eq!(all(&server), before);
}
