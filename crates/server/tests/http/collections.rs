//! Renaming collections.

use serde_json::json;

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::Running;

#[test]
fn a_collection_keeps_everything_but_its_name() {
    let server = Running::start();
    server
        .post("/collections/a/documents", r#"{"_id": 1, "n": 1}"#)
        .expect(201);
    server
        .request("PUT", "/collections/a/indexes/n", &[], b"")
        .expect(201);
    server
        .put("/collections/a/schema", r#"{"type": "object"}"#)
        .expect(201);
    let reply = server.post("/collections/a/rename", r#"{"to": "b"}"#);
    let answer = reply.expect(200);
    assert_eq!(reply.header("location"), "/collections/b");
    assert_eq!(
        (&answer["name"], &answer["has_schema"]),
        (&json!("b"), &json!(true))
    );
    assert_eq!(answer["indexes"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/collections/b").expect(200), answer);
    assert_eq!(
        server.get("/collections/b/documents/1").expect(200),
        json!({"_id": 1, "n": 1})
    );
    server
        .get("/collections/a")
        .problem(404, "no-such-collection");
    server
        .post("/collections/a/rename", r#"{"to": "c"}"#)
        .problem(404, "no-such-collection");

    // Another of that name is replaced only where that is asked for.
    server
        .post("/collections/c/documents", r#"{"_id": 2}"#)
        .expect(201);
    let rename = |body: &str| server.post("/collections/b/rename", body);
    rename(r#"{"to": "c"}"#).problem(409, "collection-exists");
    server.get("/collections/c/documents/2").expect(200);
    rename(r#"{"to": "c", "replace": true}"#).expect(200);
    server.get("/collections/c/documents/1").expect(200);
    server
        .get("/collections/c/documents/2")
        .problem(404, "no-such-document");
}

#[test]
fn wrong_names_are_refused_with_their_place() {
    let server = Running::start();
    server
        .request("PUT", "/collections/a", &[], b"")
        .expect(201);
    for (body, kind, at) in [
        (r#"{"to": "-x"}"#, "invalid-name", "/to"),
        (r#"{"to": 1}"#, "invalid-body", "/to"),
        (r#"{}"#, "invalid-body", ""),
        (r#"{"to": "b", "replace": 1}"#, "invalid-body", "/replace"),
        (r#"{"to": "b", "drop": true}"#, "invalid-body", "/drop"),
    ] {
        let problem = server
            .post("/collections/a/rename", body)
            .problem(400, kind);
        assert_eq!(problem["at"], at, "{body}");
    }
    server.get("/collections/a").expect(200);
}

/// A key reaches neither name that it is not for.
#[test]
fn both_names_must_be_in_the_scopes() {
    let server = guarded(patient());
    let wanted = json!({"name": "a", "role": "write", "scopes": {"collections": ["mine-*"]}});
    let (_, key) = make(&server, &wanted);
    for name in ["mine-1", "yours"] {
        ask(&server, ADMIN, "PUT", &format!("/collections/{name}"), "").expect(201);
    }
    let rename = |from: &str, to: &str, replace: bool| {
        let body = json!({"to": to, "replace": replace}).to_string();
        ask(
            &server,
            &key,
            "POST",
            &format!("/collections/{from}/rename"),
            &body,
        )
    };
    rename("mine-1", "yours", true).problem(403, "forbidden");
    rename("mine-1", "free", false).problem(403, "forbidden");
    rename("yours", "mine-2", false).problem(403, "forbidden");
    rename("mine-1", "mine-2", false).expect(200);
    ask(&server, ADMIN, "GET", "/collections/yours", "").expect(200);
}
