//! Changing documents: patches of one, and what a filter finds.

use serde_json::{Value, json};

use crate::running::{Reply, Running};

const URL: &str = "/collections/c/documents";
const ONE: &str = "/collections/c/documents/a";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

fn patch(server: &Running, media: &str, body: &str) -> Reply {
    server.request("PATCH", ONE, &[("content-type", media)], body.as_bytes())
}

fn all(server: &Running) -> Value {
    server.get(URL).expect(200)["documents"].clone()
}

#[test]
fn one_document_is_changed_in_three_ways() {
    let server = Running::start();
    let date = json!({"$date": "2026-01-31T12:00:00Z"});
    let document = json!({"_id": "a", "n": 1, "tags": ["x"], "when": date});
    server.post(URL, &document.to_string()).expect(201);
    let found = patch(
        &server,
        MERGE_PATCH,
        r#"{"n": null, "b": {"$numberLong": "5"}}"#,
    );
    assert_eq!(
        found.expect(200),
        json!({"_id": "a", "tags": ["x"], "when": date, "b": 5})
    );
    let list = r#"[{"op": "test", "path": "/tags/0", "value": "x"},
                   {"op": "add", "path": "/tags/-", "value": {"$date": "2026-01-31T12:00:00Z"}}]"#;
    let found = patch(&server, JSON_PATCH, list).expect(200);
    assert_eq!(found["tags"], json!(["x", date]));
    let found = patch(
        &server,
        "application/json",
        r#"{"$unset": {"tags": ""}, "$inc": {"b": 1}}"#,
    );
    assert_eq!(found.expect(200), json!({"_id": "a", "when": date, "b": 6}));
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing() {
    let server = Running::start();
    server
        .post(URL, r#"{"_id": "a", "n": 1, "s": "x"}"#)
        .expect(201);
    let etag = server.get(ONE).header("etag").to_owned();
    let json = "application/json";
    for (media, body, status, kind, at) in [
        (
            JSON_PATCH,
            r#"[{"op": "remove", "path": "/n"}, {"op": "test", "path": "/s", "value": 1}]"#,
            409,
            "patch-test-failed",
            "/1",
        ),
        (
            JSON_PATCH,
            r#"[{"op": "remove", "path": "/none"}]"#,
            422,
            "update-refused",
            "/0",
        ),
        (
            JSON_PATCH,
            r#"[{"op": "replace", "path": "/_id", "value": 1}]"#,
            422,
            "update-refused",
            "",
        ),
        (
            JSON_PATCH,
            r#"[{"op": "rename", "path": "/n"}]"#,
            400,
            "invalid-update",
            "/0",
        ),
        (
            JSON_PATCH,
            r#"[{"op": "remove"}]"#,
            400,
            "invalid-update",
            "/0",
        ),
        (JSON_PATCH, r#"[1]"#, 400, "invalid-update", "/0"),
        (JSON_PATCH, r#"{}"#, 400, "invalid-body", ""),
        (MERGE_PATCH, r#"{"_id": "b"}"#, 422, "update-refused", ""),
        (MERGE_PATCH, r#"[]"#, 400, "invalid-json", ""),
        (json, r#"{"$inc": {"s": 1}}"#, 422, "update-refused", ""),
        (json, r#"{"$set": {"_id": 1}}"#, 422, "update-refused", ""),
        (
            json,
            r#"{"$inc": {"n": "x"}}"#,
            400,
            "invalid-update",
            "/$inc/n",
        ),
        (json, r#"{"n": 1}"#, 400, "invalid-update", "/n"),
        (
            json,
            r#"{"$foo": {"n": 1}}"#,
            400,
            "invalid-update",
            "/$foo",
        ),
        (json, r#"{"$set": 1}"#, 400, "invalid-update", "/$set"),
        (json, r#"{}"#, 400, "invalid-update", ""),
        (json, r#"{"$set": {"n": 2}"#, 400, "invalid-json", ""),
    ] {
        let problem = patch(&server, media, body).problem(status, kind);
        if !at.is_empty() {
            assert_eq!(problem["at"], at, "{body}: {problem}");
        }
        assert_eq!(server.get(ONE).header("etag"), etag, "{body}");
    }
    let reply = patch(&server, "text/plain", "{}");
    reply.problem(415, "unsupported-media-type");
    assert_eq!(
        reply.header("accept-patch"),
        "application/merge-patch+json, application/json-patch+json, application/json"
    );
    let url = "/collections/c/documents/none";
    let headers = [("content-type", MERGE_PATCH)];
    let reply = server.request("PATCH", url, &headers, b"{}");
    reply.problem(404, "no-such-document");
    let url = "/collections/none/documents/a";
    let reply = server.request("PATCH", url, &headers, b"{}");
    reply.problem(404, "no-such-collection");
    server
        .get("/collections/none")
        .problem(404, "no-such-collection");
}

fn filled() -> Running {
    let server = Running::start();
    let body = r#"[{"_id": 1, "n": 1}, {"_id": 2, "n": 2}, {"_id": 3, "n": 3, "l": [1, 5]}]"#;
    server.post(URL, body).expect(201);
    server
}

fn update(server: &Running, body: &Value) -> Reply {
    server.post("/collections/c/update", &body.to_string())
}

#[test]
fn what_a_filter_finds_is_changed() {
    let server = filled();
    let one = json!({"filter": {"n": {"$gt": 1}}, "update": {"$inc": {"n": 10}}, "sort": "-n",
        "return": "after"});
    assert_eq!(
        update(&server, &one).expect(200),
        json!({"matched": 1, "modified": 1, "upserted_id": null,
            "document": {"_id": 3, "n": 13, "l": [1, 5]}})
    );
    let before = json!({"filter": {"_id": 1}, "merge_patch": {"m": 1}, "return": "before"});
    assert_eq!(
        update(&server, &before).expect(200)["document"],
        json!({"_id": 1, "n": 1})
    );
    let many = json!({"filter": {}, "update": {"$set": {"n": 2}}, "many": true});
    let counts = json!({"matched": 3, "modified": 2, "upserted_id": null});
    assert_eq!(update(&server, &many).expect(200), counts);
    let elements = json!({"filter": {"_id": 3}, "update": {"$set": {"l.$[big]": 0}},
        "array_filters": [{"big": {"$gt": 2}}]});
    update(&server, &elements).expect(200);
    let list =
        json!({"filter": {"_id": 2}, "json_patch": [{"op": "add", "path": "/x", "value": 1}]});
    update(&server, &list).expect(200);
    let replacement = json!({"filter": {"_id": 1}, "replacement": {"r": 1}});
    update(&server, &replacement).expect(200);
    assert_eq!(
        all(&server),
        json!([{"_id": 1, "r": 1}, {"_id": 2, "n": 2, "x": 1}, {"_id": 3, "n": 2, "l": [1, 0]}])
    );
    let none = json!({"filter": {"_id": 9}, "update": {"$set": {"n": 1}}, "return": "after"});
    let nothing = json!({"matched": 0, "modified": 0, "upserted_id": null, "document": null});
    assert_eq!(update(&server, &none).expect(200), nothing);
    let upsert = json!({"filter": {"_id": 9}, "update": {"$setOnInsert": {"n": 1}}, "upsert": true,
        "return": "after"});
    assert_eq!(
        update(&server, &upsert).expect(200),
        json!({"matched": 0, "modified": 0, "upserted_id": 9, "document": {"_id": 9, "n": 1}})
    );
}

#[test]
fn what_a_filter_finds_is_deleted() {
    let server = filled();
    let delete = |body: Value| server.post("/collections/c/delete", &body.to_string());
    let one = json!({"filter": {}, "sort": {"n": -1}, "return": "before"});
    assert_eq!(
        delete(one).expect(200),
        json!({"deleted": 1, "document": {"_id": 3, "n": 3, "l": [1, 5]}})
    );
    assert_eq!(
        delete(json!({"filter": {"n": 9}})).expect(200),
        json!({"deleted": 0})
    );
    assert_eq!(
        delete(json!({"filter": {"n": {"$gte": 1}}, "many": true})).expect(200),
        json!({"deleted": 2})
    );
    assert_eq!(all(&server), json!([]));
    for (body, at) in [
        (json!({}), ""),
        (json!({"filter": 1}), "/filter"),
        (json!({"filter": {"$x": 1}}), "/filter/$x"),
        (json!({"filter": {}, "many": 1}), "/many"),
        (json!({"filter": {}, "return": "after"}), "/return"),
        (
            json!({"filter": {}, "many": true, "return": "before"}),
            "/return",
        ),
        (json!({"filter": {}, "upsert": true}), "/upsert"),
    ] {
        let reply = delete(body.clone());
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        assert_eq!(reply.json()["at"], at, "{body}");
    }
    let reply = server.post("/collections/none/delete", r#"{"filter": {}}"#);
    reply.problem(404, "no-such-collection");
}

/// What cannot be done changes nothing, and the answer names the place in the body.
fn refused(wrong: &[(Value, u16, &str)]) {
    let server = filled();
    let before = all(&server);
    for (body, status, at) in wrong {
        let reply = update(&server, body);
        assert_eq!(reply.status, *status, "{body}: {}", reply.body);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["at"], *at, "{body}: {}", reply.body);
        assert_eq!(all(&server), before, "{body}");
    }
}

#[test]
fn wrong_updates_are_refused_with_their_place() {
    let set = json!({"$set": {"n": 1}});
    refused(&[
        (json!({"update": set}), 400, ""),
        (json!({"filter": {}}), 400, ""),
        (
            json!({"filter": {}, "update": set, "replacement": {}}),
            400,
            "/replacement",
        ),
        (
            json!({"filter": {}, "update": set, "multi": true}),
            400,
            "/multi",
        ),
        (json!({"filter": {}, "update": [set]}), 400, "/update"),
        (
            json!({"filter": {}, "update": {"$set": {"a": 1, "a.b": 2}}}),
            400,
            "/update",
        ),
        (
            json!({"filter": {}, "update": {"$bad": {}}}),
            400,
            "/update/$bad",
        ),
        (
            json!({"filter": {"a": {"$bad": 1}}, "update": set}),
            400,
            "/filter/a/$bad",
        ),
        (
            json!({"filter": {}, "update": set, "sort": "a,a"}),
            400,
            "/sort",
        ),
        (
            json!({"filter": {}, "update": set, "sort": {"a": 2}}),
            400,
            "/sort",
        ),
        (
            json!({"filter": {}, "update": set, "sort": "n", "many": true}),
            400,
            "/sort",
        ),
        (
            json!({"filter": {}, "update": set, "return": "new"}),
            400,
            "/return",
        ),
        (
            json!({"filter": {}, "update": set, "return": "after", "many": true}),
            400,
            "/return",
        ),
        (
            json!({"filter": {}, "update": set, "array_filters": [1]}),
            400,
            "/array_filters/0",
        ),
        (
            json!({"filter": {}, "update": set, "array_filters": [{}]}),
            400,
            "/array_filters/0",
        ),
        (
            json!({"filter": {}, "update": set, "array_filters": [{"x": 1}]}),
            400,
            "/array_filters",
        ),
        (
            json!({"filter": {}, "merge_patch": {}, "array_filters": []}),
            400,
            "/array_filters",
        ),
    ]);
}

#[test]
fn wrong_replacements_and_patches_are_refused_with_their_place() {
    refused(&[
        (
            json!({"filter": {}, "replacement": {}, "many": true}),
            400,
            "/many",
        ),
        (
            json!({"filter": {}, "json_patch": [], "upsert": true}),
            400,
            "/upsert",
        ),
        (json!({"filter": {}, "json_patch": {}}), 400, "/json_patch"),
        (
            json!({"filter": {}, "json_patch": [{"op": "x"}]}),
            400,
            "/json_patch/0",
        ),
        (
            json!({"filter": {}, "json_patch": [{"op": "test", "path": "/n", "value": 7}]}),
            409,
            "/json_patch/0",
        ),
        (
            json!({"filter": {}, "replacement": {"a.b": 1}}),
            400,
            "/replacement",
        ),
        (
            json!({"filter": {}, "replacement": {"_id": 9}}),
            400,
            "/replacement/_id",
        ),
        (
            json!({"filter": {}, "update": {"$push": {"n": 1}}, "many": true}),
            422,
            "/update",
        ),
        (
            json!({"filter": {"_id": 3}, "update": {"$inc": {"l": 1}}}),
            422,
            "/update",
        ),
    ]);
}

#[test]
fn an_update_needs_an_object_its_own_parameters_and_a_collection() {
    let server = filled();
    update(&server, &json!([])).problem(400, "invalid-json");
    let reply = server.post("/collections/c/update?x=1", "{}");
    reply.problem(400, "invalid-parameter");
    let body = json!({"filter": {}, "update": {"$set": {"n": 1}}}).to_string();
    let reply = server.post("/collections/none/update", &body);
    reply.problem(404, "no-such-collection");
}
