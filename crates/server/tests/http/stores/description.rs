//! Stores come, are described and changed, and go; engines say what they can do.

use serde_json::json;

use super::{create, with_store};
use crate::running::Running;

#[test]
fn stores_come_and_go() {
    let server = Running::start();
    assert_eq!(server.get("/stores").expect(200), json!({"stores": []}));
    server.get("/stores/b").problem(404, "no-such-store");
    let reply = server.request("PUT", "/stores/b", &[], b"");
    let options = json!({
        "ttl_ms": null, "keep_versions": null, "keep_versions_ms": null, "read_only": false,
        "labels": {},
    });
    let described =
        json!({"name": "b", "engine": "lsm", "options": options, "unfinished_copy_of": null});
    assert_eq!(reply.expect(201), described);
    assert_eq!(reply.header("location"), "/stores/b");
    let problem = server.put("/stores/b", "{}").problem(409, "store-exists");
    assert_eq!(problem["store"], "b");
    create(&server, "a");
    let list = server.get("/stores").expect(200);
    assert_eq!(list["stores"][0]["name"], "a");
    assert_eq!(list["stores"][1], described);
    server.delete("/stores/a").expect(204);
    server.delete("/stores/a").problem(404, "no-such-store");
    server.get("/stores/a/keys/x").problem(404, "no-such-store");
}

#[test]
fn a_store_is_created_as_it_was_told() {
    let server = Running::start();
    let body = r#"{"engine": "memory", "options": {"ttl_ms": 60000, "keep_versions": 3,
        "keep_versions_ms": 1000, "read_only": true, "labels": {"owner": "web"}}}"#;
    let options = server.put("/stores/s", body).expect(201)["options"].clone();
    let wanted = json!({
        "ttl_ms": 60000, "keep_versions": 3, "keep_versions_ms": 1000, "read_only": true,
        "labels": {"owner": "web"},
    });
    assert_eq!(options, wanted);
    assert_eq!(server.get("/stores/s").expect(200)["options"], wanted);
    let problem = server
        .put("/stores/t", r#"{"engine": "paper"}"#)
        .problem(400, "no-such-engine");
    assert!(
        problem["known"]
            .as_array()
            .unwrap()
            .contains(&json!("memory"))
    );
    for (bad, kind) in [
        (r#"{"engin": "memory"}"#, "invalid-body"),
        (r#"{"options": {"ttl": 1}}"#, "invalid-body"),
        (r#"{"options": {"ttl_ms": 0}}"#, "invalid-body"),
        (r#"{"options": {"ttl_ms": -1}}"#, "invalid-body"),
        (r#"{"options": {"labels": {"a": 1}}}"#, "invalid-body"),
        ("[]", "invalid-body"),
        (r#"{"options": []}"#, "invalid-body"),
        ("{", "invalid-json"),
        ("{} {}", "invalid-json"),
    ] {
        server.put("/stores/t", bad).problem(400, kind);
    }
    server
        .request("PUT", "/stores/t", &[("content-type", "text/plain")], b"{}")
        .problem(415, "unsupported-media-type");
    server.get("/stores/t").problem(404, "no-such-store");
}

#[test]
fn a_store_has_figures_and_capabilities() {
    let server = with_store();
    super::put(&server, "a", b"12345");
    let described = server.get("/stores/s").expect(200);
    let stats = json!({
        "keys": 1, "bytes": 6, "exact": true, "disk_bytes": null, "versions": 0, "damage": [],
    });
    assert_eq!(described["stats"], stats);
    let engines = server.get("/engines").expect(200);
    let engine = &engines["engines"][0];
    assert_eq!(engine["name"], described["engine"]);
    assert_eq!(engine["default"], true);
    assert_eq!(engine["capabilities"], described["capabilities"]);
    assert_eq!(engine["capabilities"]["transactions"], "across-stores");
    assert!(engine["capabilities"]["limits"]["key_bytes"].is_u64());
}

#[test]
fn options_are_merged() {
    let server = with_store();
    let patch = |body: &str| {
        let headers = [("content-type", "application/merge-patch+json")];
        server.request("PATCH", "/stores/s", &headers, body.as_bytes())
    };
    let after = patch(r#"{"ttl_ms": 5, "labels": {"a": "1", "b": "2"}}"#).expect(200);
    assert_eq!(after["options"]["ttl_ms"], 5);
    let after = patch(r#"{"options": {"keep_versions": 2, "labels": {"a": null, "c": "3"}}}"#);
    let wanted = json!({
        "ttl_ms": 5, "keep_versions": 2, "keep_versions_ms": null, "read_only": false,
        "labels": {"b": "2", "c": "3"},
    });
    assert_eq!(after.expect(200)["options"], wanted);
    let after = patch(r#"{"ttl_ms": null, "labels": null, "read_only": true}"#).expect(200);
    assert_eq!(after["options"]["labels"], json!({}));
    assert_eq!(after["options"]["ttl_ms"], json!(null));
    for bad in [
        r#"{"name": "x"}"#,
        r#"{"options": {"x": 1}}"#,
        r#"{"ttl_ms": "5"}"#,
        "[]",
    ] {
        patch(bad).problem(400, "invalid-body");
    }
    patch("").problem(400, "invalid-json");
    let headers = [("content-type", "application/json")];
    server
        .request("PATCH", "/stores/none", &headers, b"{}")
        .problem(404, "no-such-store");
}

#[test]
fn a_store_that_can_only_be_read_refuses_writes() {
    let server = with_store();
    super::put(&server, "a", b"1");
    let headers = [("content-type", "application/json")];
    server
        .request("PATCH", "/stores/s", &headers, br#"{"read_only": true}"#)
        .expect(200);
    let path = "/stores/s/keys/a";
    server
        .request("PUT", path, &[], b"2")
        .problem(403, "read-only");
    server.delete(path).problem(403, "read-only");
    server
        .request("POST", "/stores/s/clear", &[], b"")
        .problem(403, "read-only");
    server
        .post(
            "/stores/s/batch",
            r#"{"operations": [{"op": "set", "key": "a", "value": "2"}]}"#,
        )
        .problem(403, "read-only");
    assert_eq!(super::get(&server, "a").body, "1");
}

#[test]
fn names_are_checked_everywhere() {
    let server = Running::start();
    for bad in ["%20", "a%2Fb", "-a", ".a", "%C3%BC", &"x".repeat(101)] {
        for path in [
            "",
            "/keys",
            "/keys/x",
            "/versions",
            "/versions/1/keys/x",
            "/events",
        ] {
            let problem = server.get(&format!("/stores/{bad}{path}"));
            assert_eq!(
                problem.problem(400, "invalid-name")["parameter"],
                "store",
                "{bad}"
            );
        }
        server
            .request("PUT", &format!("/stores/{bad}"), &[], b"")
            .problem(400, "invalid-name");
    }
    create(&server, "s");
    let problem = server
        .post("/stores/s/rename", r#"{"to": "a/b"}"#)
        .problem(400, "invalid-name");
    assert_eq!(problem["parameter"], "to");
    let problem = server
        .post("/stores/s/versions", r#"{"name": ""}"#)
        .problem(400, "invalid-name");
    assert_eq!(problem["parameter"], "name");
}

#[test]
fn closed_stores_are_said_to_be_closed() {
    let server = with_store();
    server.stores.close().unwrap();
    for path in ["/stores", "/stores/s", "/stores/s/keys", "/stores/s/keys/a"] {
        let reply = server.get(path);
        reply.problem(503, "stores-closed");
        assert_eq!(reply.header("retry-after"), "30");
    }
    server.get("/health").expect(200);
}
