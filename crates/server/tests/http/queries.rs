//! Questions in bodies: the same answers as from URLs, and refusals that name their place.

use serde_json::{Value, json};

use crate::documents::encode;
use crate::running::Running;

const URL: &str = "/collections/c/query";

/// A collection of numbered documents.
fn server() -> Running {
    let server = Running::start();
    let documents: Vec<Value> = (0..25)
        .map(|n| json!({"_id": n, "kind": if n % 2 == 0 {"even"} else {"odd"}, "n": 25 - n}))
        .collect();
    let body = Value::from(documents).to_string();
    server.post("/collections/c/documents", &body).expect(201);
    server
}

#[test]
fn a_body_asks_what_a_url_asks() {
    let server = server();
    let body = json!({"filter": {"kind": "even"}, "sort": {"n": 1}, "projection": {"n": 1},
        "limit": 3, "skip": 1});
    let found = server.post(URL, &body.to_string()).expect(200);
    let expected = json!([{"_id": 22, "n": 3}, {"_id": 20, "n": 5}, {"_id": 18, "n": 7}]);
    assert_eq!(found["documents"], expected);
    // Text is understood as well, and objects in the URL.
    let body = json!({"filter": {"kind": "even"}, "sort": "n", "projection": "n", "limit": 3,
        "skip": 1});
    assert_eq!(server.post(URL, &body.to_string()).expect(200), found);
    let query = format!(
        "filter={}&sort={}&fields={}&limit=3&skip=1",
        encode(r#"{"kind": "even"}"#),
        encode(r#"{"n": 1}"#),
        encode(r#"{"n": 1}"#)
    );
    let from_url = server.get(&format!("/collections/c/documents?{query}"));
    assert_eq!(from_url.expect(200), found);
    let all = server.post(URL, "{}").expect(200);
    assert_eq!(all["documents"].as_array().unwrap().len(), 25);
    assert_eq!(all["next"], json!(null));
    server
        .post("/collections/none/query", "{}")
        .problem(404, "no-such-collection");
}

#[test]
fn pages_go_on_from_a_body_and_from_its_link() {
    let server = server();
    let long = json!({"$numberLong": "3"});
    let mut body = json!({"filter": {"n": {"$gt": long}}, "sort": {"kind": -1}, "limit": 4});
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let reply = server.post(URL, &body.to_string());
        let page = reply.expect(200);
        seen.extend(
            page["documents"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d["_id"].clone()),
        );
        pages += 1;
        if page["next"].is_null() {
            assert_eq!(reply.header("link"), "");
            break;
        }
        assert_eq!(
            reply.header("x-next-cursor"),
            page["next"].as_str().unwrap()
        );
        body["cursor"] = page["next"].clone();
        let link = reply.header("link");
        let url = link.strip_prefix('<').and_then(|link| link.split_once('>'));
        let by_link = server.get(url.unwrap().0).expect(200);
        let by_body = server.post(URL, &body.to_string()).expect(200);
        assert_eq!(by_link, by_body);
    }
    assert_eq!(pages, 6);
    let mut sorted = seen.clone();
    sorted.sort_by_key(Value::as_i64);
    sorted.dedup();
    assert_eq!((seen.len(), sorted.len()), (22, 22), "{seen:?}");
    // A question that is too long for a header has a cursor and no link.
    let many: Vec<i64> = (0..5000).collect();
    let body = json!({"filter": {"n": {"$in": many}}, "limit": 1});
    let reply = server.post(URL, &body.to_string());
    assert_ne!(reply.expect(200)["next"], json!(null));
    assert_eq!(reply.header("link"), "");
}

#[test]
fn a_total_is_counted_on_request() {
    let server = server();
    let total = |reply: Value| (reply["total"].clone(), reply["total_exact"].clone());
    let body = json!({"filter": {"kind": "odd"}, "limit": 2, "skip": 3, "total": true});
    let page = server.post(URL, &body.to_string()).expect(200);
    assert_eq!(total(page), (json!(12), json!(true)));
    let page = server.get("/collections/c/documents?limit=1&total=true");
    assert_eq!(total(page.expect(200)), (json!(25), json!(true)));
    let page = server
        .post(URL, r#"{"limit": 1, "total": false}"#)
        .expect(200);
    assert_eq!(total(page), (json!(null), json!(null)));
}

#[test]
fn lines_and_forms_are_answered_as_asked() {
    let server = server();
    let ask = |accept: &str, body: &str| {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        server.request("POST", URL, &headers, body.as_bytes())
    };
    let body = r#"{"sort": "n", "limit": {"$numberInt": "2"}, "projection": "n"}"#;
    let reply = ask("application/x-ndjson; form=canonical", body);
    assert_eq!(
        reply.body,
        "{\"_id\":{\"$numberInt\":\"24\"},\"n\":{\"$numberInt\":\"1\"}}\n\
         {\"_id\":{\"$numberInt\":\"23\"},\"n\":{\"$numberInt\":\"2\"}}\n"
    );
    assert_ne!(reply.header("x-next-cursor"), "");
    for member in ["explain", "total"] {
        let body = json!({member: true}).to_string();
        let problem = ask("application/x-ndjson", &body).problem(400, "invalid-parameter");
        assert_eq!(problem["at"], format!("/{member}"));
    }
}

#[test]
fn refusals_name_their_place_in_the_body() {
    let server = server();
    for (body, kind, at) in [
        (r#"{"filters": {}}"#, "invalid-body", "/filters"),
        (r#"{"a/b": {}}"#, "invalid-body", "/a~1b"),
        (r#"{"filter": 5}"#, "invalid-filter", "/filter"),
        (r#"{"filter": null}"#, "invalid-filter", "/filter"),
        (
            r#"{"filter": {"a": [1], "b": {"$near": 2}}}"#,
            "invalid-filter",
            "/filter/b/$near",
        ),
        (
            r#"{"filter": {"$or": [{"a": {"$in": 1}}]}}"#,
            "invalid-filter",
            "/filter/$or/0/a/$in",
        ),
        (r#"{"sort": 5}"#, "invalid-sort", "/sort"),
        (r#"{"sort": "a,a"}"#, "invalid-sort", "/sort"),
        (
            r#"{"sort": {"a": 1, "b/c": 2}}"#,
            "invalid-sort",
            "/sort/b~1c",
        ),
        (
            r#"{"projection": "a,a.b"}"#,
            "invalid-fields",
            "/projection",
        ),
        (
            r#"{"projection": {"a": 1, "b": 0}}"#,
            "invalid-fields",
            "/projection/b",
        ),
        (
            r#"{"projection": {"a": {"$add": [1, 2]}}}"#,
            "invalid-fields",
            "/projection/a",
        ),
        (r#"{"limit": 0}"#, "invalid-body", "/limit"),
        (r#"{"limit": "5"}"#, "invalid-body", "/limit"),
        (r#"{"skip": -1}"#, "invalid-body", "/skip"),
        (r#"{"cursor": "x"}"#, "invalid-cursor", "/cursor"),
        (r#"{"cursor": 5}"#, "invalid-body", "/cursor"),
        (r#"{"explain": "yes"}"#, "invalid-body", "/explain"),
        (r#"{"total": 1}"#, "invalid-body", "/total"),
        (r#"{"filter": {"a": x}}"#, "invalid-json", "/filter/a"),
    ] {
        let problem = server.post(URL, body).problem(400, kind);
        assert_eq!(problem["at"], at, "{body}");
        assert_eq!(problem["parameter"], json!(null), "{body}");
    }
    let page = server.post(URL, r#"{"limit": 1}"#).expect(200);
    let body = json!({"limit": 1, "skip": 1, "cursor": page["next"]}).to_string();
    let problem = server.post(URL, &body).problem(400, "invalid-parameter");
    assert_eq!(problem["at"], "/skip");
    let filter = encode(r#"{"b/c": 2}"#);
    let url = format!("/collections/c/documents?sort={filter}");
    let problem = server.get(&url).problem(400, "invalid-sort");
    assert_eq!(
        (&problem["parameter"], &problem["at"]),
        (&json!("sort"), &json!("/b~1c"))
    );
    let text = [("content-type", "text/plain")];
    let reply = server.request("POST", URL, &text, b"{}");
    reply.problem(415, "unsupported-media-type");
}

#[test]
fn counts_and_different_values_are_exact() {
    let server = server();
    let count = |body: &str| server.post("/collections/c/count", body).expect(200);
    assert_eq!(count("{}"), json!({"count": 25}));
    let odd = r#"{"filter": {"kind": "odd"}}"#;
    assert_eq!(count(odd), json!({"count": 12}));
    server
        .post("/collections/c/indexes", r#"{"on": "kind"}"#)
        .expect(201);
    for hint in [json!("kind"), json!({"$natural": 1}), json!(0), Value::Null] {
        let body = json!({"filter": {"kind": "odd"}, "hint": hint}).to_string();
        assert_eq!(count(&body), json!({"count": 12}), "{body}");
        assert_eq!(
            server.post(URL, &body).expect(200)["documents"][0]["_id"],
            1
        );
    }
    let filter = encode(r#"{"n": {"$lte": 3}}"#);
    let url = format!("filter={filter}&hint={}", encode(r#"{"$natural": 1}"#));
    let counted = server.get(&format!("/collections/c/count?{url}"));
    assert_eq!(counted.expect(200), json!({"count": 3}));
    let values = server.get(&format!("/collections/c/distinct?path=n&filter={filter}"));
    assert_eq!(values.expect(200), json!({"values": [1, 2, 3]}));
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json; form=canonical"),
    ];
    let body = br#"{"path": "n", "filter": {"n": {"$lt": 2}}}"#;
    let values = server.request("POST", "/collections/c/distinct", &headers, body);
    assert_eq!(values.expect(200), json!({"values": [{"$numberInt": "1"}]}));
    for (path, body, at) in [
        (
            "count",
            r#"{"filter": {"a": {"$near": 1}}}"#,
            "/filter/a/$near",
        ),
        ("count", r#"{"path": "n"}"#, "/path"),
        ("count", r#"{"hint": "none"}"#, "/hint"),
        ("count", r#"{"hint": {"kind": 1}}"#, "/hint"),
        ("distinct", "{}", "/path"),
        ("distinct", r#"{"path": "a..b"}"#, "/path"),
        ("query", r#"{"hint": "none"}"#, "/hint"),
    ] {
        let reply = server.post(&format!("/collections/c/{path}"), body);
        assert_eq!(
            (reply.status, &reply.json()["at"]),
            (400, &json!(at)),
            "{body}"
        );
    }
    for path in ["count", "distinct?path=a"] {
        server
            .get(&format!("/collections/none/{path}"))
            .problem(404, "no-such-collection");
    }
    let body = r#"{"pipeline": [{"$match": {"_id": 5}}, {"$limit": 3}], "explain": true}"#;
    let explained = server.post("/collections/c/aggregate", body).expect(200);
    assert_eq!(explained["explain"]["access"]["kind"], "id");
    assert_eq!(explained["documents"], Value::Null);
}

/// What the description shows as a body is one, and its links lead to requests that exist.
#[test]
fn examples_of_bodies_are_accepted_and_links_lead_somewhere() {
    let server = Running::start();
    let document = r#"{"_id": "redis", "section": "database", "size": 70000}"#;
    server
        .post("/collections/packages/documents", document)
        .expect(201);
    let api: Value = server.get("/openapi.json").expect(200);
    let (mut ids, mut linked, mut sent) = (Vec::new(), Vec::new(), 0);
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            ids.push(operation["operationId"].as_str().unwrap());
            for response in operation["responses"].as_object().unwrap().values() {
                let links = response["links"].as_object().into_iter().flatten();
                linked.extend(links.map(|(_, link)| link["operationId"].as_str().unwrap()));
            }
            let asks = ["/query", "/count", "/distinct", "/aggregate", "/indexes"];
            if method != "post" || !asks.iter().any(|end| path.ends_with(end)) {
                continue;
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let pointer = schema["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            let example = &api.pointer(pointer).unwrap()["example"];
            let reply = server.post(&path.replace("{name}", "packages"), &example.to_string());
            assert!(matches!(reply.status, 200 | 201), "{path}: {}", reply.body);
            sent += 1;
        }
    }
    assert_eq!(sent, 5);
    assert!(linked.len() >= 5);
    for link in linked {
        assert!(ids.contains(&link), "{link}");
    }
}
