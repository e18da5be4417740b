//! States that can be gone back to, and what lies between them.

use serde_json::{Value, json};

use super::{get, names, put, with_store};

const URL: &str = "/stores/s/versions";

#[test]
fn versions_come_and_go() {
    let server = with_store();
    assert_eq!(server.get(URL).expect(200), json!({"versions": []}));
    put(&server, "a", b"1");
    let reply = server.post(URL, r#"{"name": "first", "note": "all was well"}"#);
    let first = reply.expect(201);
    assert_eq!(reply.header("location"), "/stores/s/versions/1");
    let time_ms = first["time_ms"].clone();
    let wanted = json!({
        "number": 1, "name": "first", "note": "all was well", "time_ms": time_ms,
        "keys": 1, "bytes": 2, "exact": true,
    });
    assert_eq!(first, wanted);
    let second = server.request("POST", URL, &[], b"").expect(201);
    assert_eq!(
        (&second["number"], &second["name"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(
        server.get(URL).expect(200)["versions"],
        json!([first, second])
    );
    for id in ["1", "first"] {
        assert_eq!(server.get(&format!("{URL}/{id}")).expect(200), first);
    }
    server
        .post(URL, r#"{"name": "first"}"#)
        .problem(409, "version-exists");
    server.delete(&format!("{URL}/first")).expect(204);
    server
        .delete(&format!("{URL}/1"))
        .problem(404, "no-such-version");
    for path in ["/1", "/first/keys", "/1/keys/a", "/%20"] {
        server
            .get(&format!("{URL}{path}"))
            .problem(404, "no-such-version");
    }
    server
        .post(&format!("{URL}/1/restore"), "")
        .problem(404, "no-such-version");
    server
        .post(URL, r#"{"name": "7"}"#)
        .problem(400, "bad-request");
    let long = json!({"note": "x".repeat(1001)}).to_string();
    server.post(URL, &long).problem(413, "entry-too-large");
    server
        .post(URL, r#"{"nam": "x"}"#)
        .problem(400, "invalid-body");
}

#[test]
fn a_version_is_read_as_it_was() {
    let server = with_store();
    let etag = put(&server, "a%2Fb", b"1");
    put(&server, "c", b"2");
    server.post(URL, r#"{"name": "v"}"#).expect(201);
    put(&server, "a%2Fb", b"other");
    server.delete("/stores/s/keys/c").expect(204);
    let reply = server.get(&format!("{URL}/v/keys/a/b"));
    assert_eq!(
        (reply.body.as_str(), reply.header("etag")),
        ("1", etag.as_str())
    );
    let known = [("if-none-match", etag.as_str())];
    let path = format!("{URL}/1/keys/a%2Fb");
    assert_eq!(server.request("GET", &path, &known, b"").status, 304);
    let page = server
        .get(&format!("{URL}/v/keys?values=true&limit=1"))
        .expect(200);
    assert_eq!(page["keys"], json!([{"key": "a/b", "value": "1"}]));
    let next = page["next"].as_str().unwrap();
    let page = server
        .get(&format!("{URL}/v/keys?after={next}"))
        .expect(200);
    assert_eq!(names(&page), ["c"]);
    let page = server
        .get(&format!("{URL}/1/keys?prefix=a&order=desc"))
        .expect(200);
    assert_eq!(names(&page), ["a/b"]);
    server
        .get(&format!("{URL}/v/keys/x"))
        .problem(404, "no-such-key");
    for method in ["PUT", "DELETE", "POST"] {
        server
            .request(method, &path, &[], b"")
            .problem(405, "method-not-allowed");
    }
}

#[test]
fn going_back_makes_a_new_version() {
    let server = with_store();
    put(&server, "a", b"1");
    server.post(URL, "").expect(201);
    put(&server, "a", b"2");
    put(&server, "b", b"3");
    let restored = server.post(&format!("{URL}/1/restore"), "").expect(200);
    assert_eq!(restored["number"], 2);
    assert_eq!(get(&server, "a").body, "1");
    get(&server, "b").problem(404, "no-such-key");
}

#[test]
fn a_difference_is_said_key_by_key() {
    let server = with_store();
    put(&server, "changed", b"1");
    put(&server, "removed", b"2");
    put(&server, "same", b"3");
    put(&server, "typed", b"4");
    server.post(URL, r#"{"name": "from"}"#).expect(201);
    put(&server, "added", b"\xff");
    put(&server, "changed", b"11");
    server.delete("/stores/s/keys/removed").expect(204);
    let headers = [("content-type", "text/plain")];
    server
        .request("PUT", "/stores/s/keys/typed", &headers, b"4")
        .expect(204);
    let now = server.get("/stores/s/diff?from=1").expect(200);
    let all = json!([
        {"kind": "added", "key": "added", "new": {"base64": "/w=="}},
        {"kind": "changed", "key": "changed", "old": "1", "new": "11"},
        {"kind": "removed", "key": "removed", "old": "2"},
        {"kind": "changed", "key": "typed", "old": "4", "new": "4",
            "new_media_type": "text/plain"},
    ]);
    assert_eq!(now, json!({"differences": all, "next": null}));
    server.post(URL, r#"{"name": "to"}"#).expect(201);
    server
        .request("POST", "/stores/s/clear", &[], b"")
        .expect(204);
    let between = server.get("/stores/s/diff?from=from&to=to").expect(200);
    assert_eq!(between["differences"], all);
    let same = server.get("/stores/s/diff?from=2&to=to").expect(200);
    assert_eq!(same["differences"], json!([]));
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let url = format!("/stores/s/diff?from=1&to=2&limit=1{after}");
        let page = server.get(&url).expect(200);
        found.extend(page["differences"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    assert_eq!(json!(found), all);
    server
        .get("/stores/s/diff")
        .problem(400, "invalid-parameter");
    server
        .get("/stores/s/diff?from=1&order=desc")
        .problem(400, "invalid-parameter");
    server
        .get("/stores/s/diff?from=1&to=none")
        .problem(404, "no-such-version");
}
