//! Several keys as one.

use serde_json::{Value, json};

use super::{get, put, with_store};
use crate::running::{Reply, Running};

fn batch(server: &Running, operations: &Value) -> Reply {
    let body = json!({"operations": operations}).to_string();
    server.post("/stores/s/batch", &body)
}

#[test]
fn a_batch_answers_in_order() {
    let server = with_store();
    put(&server, "old", b"1");
    let answer = batch(
        &server,
        &json!([
            {"op": "get", "key": "old"},
            {"op": "set", "key": "new", "value": "2", "ttl": 100, "media_type": "text/plain"},
            {"op": "get", "key": "new"},
            {"op": "delete", "key": "old"},
            {"op": "get", "key": "old"},
            {"op": "set", "key": {"base64": "/w=="}, "value": {"base64": "AP8="}},
            {"op": "get", "key": {"base64": "/w=="}},
            {"op": "set", "key": "", "value": "the empty key"},
        ]),
    );
    let answer = answer.expect(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 8);
    assert_eq!(results[0]["value"], "1");
    assert_eq!(results[1]["etag"], results[2]["etag"]);
    assert_eq!(results[2]["value"], "2");
    assert_eq!(results[2]["media_type"], "text/plain");
    assert_eq!(results[1]["expires_ms"], results[2]["expires_ms"]);
    assert_eq!(results[3], json!({}));
    assert_eq!(results[4], json!({"value": null, "etag": null}));
    assert_eq!(results[6]["value"], json!({"base64": "AP8="}));
    assert_eq!(
        get(&server, "new").header("etag"),
        results[1]["etag"].as_str().unwrap()
    );
    assert_eq!(get(&server, "%FF").bytes, b"\x00\xff");
    get(&server, "old").problem(404, "no-such-key");
    let empty = batch(&server, &json!([{"op": "get", "key": ""}])).expect(200);
    assert_eq!(empty["results"][0]["value"], "the empty key");
    assert_eq!(
        batch(&server, &json!([])).expect(200),
        json!({"results": []})
    );
}

#[test]
fn a_check_that_fails_undoes_everything() {
    let server = with_store();
    let etag = put(&server, "a", b"1");
    let refused = batch(
        &server,
        &json!([
            {"op": "set", "key": "b", "value": "written"},
            {"op": "check", "key": "a", "etag": etag},
            {"op": "check", "key": "a", "etag": null},
        ]),
    );
    let problem = refused.problem(412, "precondition-failed");
    assert_eq!(problem["index"], 2);
    assert_eq!(problem["at"], "/operations/2");
    assert_eq!(problem["etag"], json!(etag));
    get(&server, "b").problem(404, "no-such-key");
    // Checks alone need no transaction, and say the same.
    let alone = json!([{"op": "check", "key": "a", "etag": etag}, {"op": "check", "key": "b",
        "etag": "x"}]);
    let problem = batch(&server, &alone).problem(412, "precondition-failed");
    assert_eq!(
        (&problem["index"], &problem["etag"]),
        (&json!(1), &Value::Null)
    );
    // The quotation marks of a tag may be left out.
    let good = json!([
        {"op": "check", "key": "a", "etag": etag.trim_matches('"')},
        {"op": "check", "key": "none", "etag": null},
        {"op": "set", "key": "b", "value": "2"},
    ]);
    batch(&server, &good).expect(200);
    assert_eq!(get(&server, "b").body, "2");
}

/// Sixteen clients move amounts between accounts; the sum is what it was, at any time.
#[test]
fn batches_of_many_clients_are_serializable() {
    let server = with_store();
    for account in 0..4 {
        put(&server, &account.to_string(), b"100");
    }
    let all: Vec<Value> = (0..4)
        .map(|account: u32| json!({"op": "get", "key": account.to_string()}))
        .collect();
    let sum = || -> i64 {
        let answer = batch(&server, &json!(all)).expect(200);
        let results = answer["results"].as_array().unwrap();
        let amounts = results
            .iter()
            .map(|result| result["value"].as_str().unwrap());
        amounts.map(|text| text.parse::<i64>().unwrap()).sum()
    };
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (server, sum) = (&server, &sum);
            scope.spawn(move || {
                for step in 0..10 {
                    let (from, to) = ((client + step) % 4, (client + 1 + step * 3) % 4);
                    if from != to {
                        transfer(server, &from.to_string(), &to.to_string());
                    }
                    assert_eq!(sum(), 400);
                }
            });
        }
    });
    assert_eq!(sum(), 400);
}

fn transfer(server: &Running, from: &str, to: &str) {
    loop {
        let read = json!([{"op": "get", "key": from}, {"op": "get", "key": to}]);
        let read = batch(server, &read).expect(200);
        let amount = |at: usize| -> i64 {
            read["results"][at]["value"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        let write = json!([
            {"op": "check", "key": from, "etag": read["results"][0]["etag"]},
            {"op": "check", "key": to, "etag": read["results"][1]["etag"]},
            {"op": "set", "key": from, "value": (amount(0) - 1).to_string()},
            {"op": "set", "key": to, "value": (amount(1) + 1).to_string()},
        ]);
        match batch(server, &write).status {
            200 => return,
            412 | 409 => {}
            other => panic!("{other}"),
        }
    }
}

#[test]
fn batches_that_make_no_sense_are_refused() {
    let server = with_store();
    for (bad, index) in [
        (json!({"op": "set", "key": "a"}), 1),
        (json!({"op": "set", "key": "a", "value": "1", "ttl": 0}), 1),
        (
            json!({"op": "set", "key": "a", "value": "1", "etag": null}),
            1,
        ),
        (json!({"op": "get", "key": "a", "value": "1"}), 1),
        (json!({"op": "delete", "key": "a", "ttl": 5}), 1),
        (json!({"op": "check", "key": "a"}), 1),
    ] {
        let operations = json!([{"op": "set", "key": "b", "value": "1"}, bad]);
        let problem = batch(&server, &operations).problem(400, "invalid-body");
        assert_eq!(problem["index"], index, "{bad}");
    }
    for bad in [
        json!({"op": "put", "key": "a", "value": "1"}),
        json!({"op": "get"}),
        json!({"key": "a"}),
        json!({"op": "get", "key": 1}),
        json!({"op": "get", "key": null}),
        json!({"op": "get", "key": {"base64": "?"}}),
        json!({"op": "get", "key": {"hex": "00"}}),
        json!({"op": "get", "key": "a", "more": 1}),
        json!({"op": "set", "key": "a", "value": 5}),
        json!({"op": "set", "key": "a", "value": "1", "ttl": 1.5}),
        json!({"op": "set", "key": "a", "value": "1", "ttl": -1}),
        json!("get"),
        json!(["get", "a"]),
    ] {
        let problem = batch(&server, &json!([bad])).problem(400, "invalid-body");
        assert!(problem["line"].is_u64(), "{bad}");
    }
    for bad in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"operations": {}}"#,
        r#"{"operations": [], "x": 1}"#,
    ] {
        assert_eq!(server.post("/stores/s/batch", bad).status, 400, "{bad}");
    }
    assert_eq!(server.get("/stores/s/count").expect(200)["count"], 0);
}

#[test]
fn batches_are_bounded() {
    let server = with_store();
    let many: Vec<Value> = (0..10_001)
        .map(|_| json!({"op": "get", "key": "a"}))
        .collect();
    let problem = batch(&server, &json!(many)).problem(413, "body-too-large");
    assert_eq!(problem["limit"], 10_000);
    batch(&server, &json!(many[..10_000])).expect(200);
    put(&server, "large", &vec![b'x'; 9 << 20]);
    let gets: Vec<Value> = (0..4)
        .map(|_| json!({"op": "get", "key": "large"}))
        .collect();
    batch(&server, &json!(gets[..3])).expect(200);
    batch(&server, &json!(gets)).problem(413, "entry-too-large");
    let mut writes = gets;
    writes.push(json!({"op": "set", "key": "b", "value": "1"}));
    batch(&server, &json!(writes)).problem(413, "entry-too-large");
    get(&server, "b").problem(404, "no-such-key");
}
