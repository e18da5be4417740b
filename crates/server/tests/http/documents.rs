//! Documents one by one, ids, and questions.

use serde_json::json;

use crate::running::Running;

#[test]
fn a_document_lives_and_dies() {
    let server = Running::start();
    let reply = server.post("/collections/c/documents", r#"{"_id": "a", "n": 1}"#);
    assert_eq!(reply.expect(201), json!({"_id": "a"}));
    assert_eq!(reply.header("location"), "/collections/c/documents/a");
    let url = reply.header("location");
    assert_eq!(server.get(url).expect(200), json!({"_id": "a", "n": 1}));
    let reply = server.put(url, r#"{"n": 2}"#);
    assert_eq!(reply.expect(200), json!({"_id": "a"}));
    assert_eq!(server.get(url).expect(200), json!({"_id": "a", "n": 2}));
    let reply = server.put("/collections/c/documents/b", r#"{"_id": "b", "n": 3}"#);
    assert_eq!(reply.expect(201), json!({"_id": "b"}));
    assert_eq!(reply.header("location"), "/collections/c/documents/b");
    assert_eq!(server.delete(url).expect(204), json!(null));
    server.get(url).problem(404, "no-such-document");
    server.delete(url).problem(404, "no-such-document");
}

/// Whatever the `_id` is, the Location that an insert answers leads to that very document, also
/// when another document's id looks the same as text.
#[test]
fn location_names_the_document_that_was_inserted() {
    let server = Running::start();
    let ids = [
        r#""5""#,
        "5",
        "5.5",
        r#""a b/c?d#e%41""#,
        r#"".""#,
        r#""..""#,
        r#""""#,
        r#""=5""#,
        r#""{\"$oid\": 1}""#,
        "null",
        "true",
        r#""true""#,
        r#"{"a": [1, {"b": null}]}"#,
        r#"{"$oid": "0123456789abcdef01234567"}"#,
        r#"{"$date": "2026-01-01T00:00:00Z"}"#,
        r#"{"$numberDecimal": "1.50"}"#,
        r#"{"$binary": {"base64": "AAECAwQFBgcICQoLDA0ODw==", "subType": "04"}}"#,
        r#""0123456789abcdef01234567""#,
        r#""ünï 漢字 🎉""#,
        "-9223372036854775808",
    ];
    for (n, id) in ids.iter().enumerate() {
        let body = format!(r#"{{"_id": {id}, "n": {n}}}"#);
        let reply = server.post("/collections/c/documents", &body);
        reply.expect(201);
        let found = server.get(reply.header("location"));
        assert_eq!(
            found.expect(200)["n"],
            n,
            "{id} at {}",
            reply.header("location")
        );
    }
}

#[test]
fn one_text_means_the_first_id_that_exists() {
    let server = Running::start();
    let url = "/collections/c/documents/5";
    server
        .post("/collections/c/documents", r#"{"_id": 5, "is": "number"}"#)
        .expect(201);
    assert_eq!(server.get(url).expect(200)["is"], "number");
    // Without an `_id` of its own, the document takes the place of what is there.
    server.put(url, r#"{"is": "number again"}"#).expect(200);
    // With one, it is that document and no other.
    server
        .put(url, r#"{"_id": "5", "is": "string"}"#)
        .expect(201);
    assert_eq!(server.get(url).expect(200)["is"], "string");
    assert_eq!(
        server.get("/collections/c/documents/=5").expect(200)["is"],
        "number again"
    );
    // Deleting takes one at a time, in the same order.
    server.delete(url).expect(204);
    assert_eq!(server.get(url).expect(200)["is"], "number again");
    server.delete(url).expect(204);
    server.delete(url).problem(404, "no-such-document");
    // Where nothing is, plain text is a string.
    assert_eq!(server.put(url, "{}").expect(201), json!({"_id": "5"}));
}

#[test]
fn generated_ids_lead_back() {
    let server = Running::start();
    let reply = server.post("/collections/c/documents", r#"{"n": 1}"#);
    let id = reply.expect(201)["_id"].clone();
    let found = server.get(reply.header("location")).expect(200);
    assert_eq!(found["_id"], id);
    let filter = json!({"_id": id}).to_string();
    let found = server.get(&format!(
        "/collections/c/documents?filter={}",
        encode(&filter)
    ));
    assert_eq!(found.expect(200)["documents"].as_array().unwrap().len(), 1);
}

#[test]
fn questions_are_answered_in_order_and_cut_down() {
    let server = Running::start();
    let body = json!([
        {"_id": 1, "name": "b", "size": 10, "owner": {"mail": "x"}},
        {"_id": 2, "name": "a", "size": 10},
        {"_id": 3, "name": "c", "size": 5},
    ]);
    server
        .post("/collections/c/documents", &body.to_string())
        .expect(201);
    let ids = |query: &str| {
        let answer = server
            .get(&format!("/collections/c/documents?{query}"))
            .expect(200);
        let documents = answer["documents"].as_array().unwrap().clone();
        let ids: Vec<_> = documents
            .iter()
            .map(|d| d["_id"].as_i64().unwrap())
            .collect();
        ids
    };
    assert_eq!(ids(""), [1, 2, 3]);
    assert_eq!(ids("sort=-size,name"), [2, 1, 3]);
    assert_eq!(ids("sort=-size,name&skip=1&limit=1"), [1]);
    assert_eq!(
        ids(&format!("filter={}", encode(r#"{"size": {"$gt": 5}}"#))),
        [1, 2]
    );
    assert_eq!(
        ids(&format!("filter={}", encode(r#"{"owner.mail": "x"}"#))),
        [1]
    );
    let answer = server
        .get("/collections/c/documents?fields=owner.mail&limit=1")
        .expect(200);
    assert_eq!(
        answer["documents"],
        json!([{"_id": 1, "owner": {"mail": "x"}}])
    );
}

#[test]
fn explain_shows_the_index() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"[{"size": 1}, {"size": 2}]"#)
        .expect(201);
    let query = format!("filter={}&explain=true", encode(r#"{"size": 2}"#));
    let url = format!("/collections/c/documents?{query}");
    let before = server.get(&url).expect(200);
    assert_eq!(before["explain"]["access"], json!({"kind": "collection"}));
    server
        .request("PUT", "/collections/c/indexes/size", &[], b"")
        .expect(201);
    let after = server.get(&url).expect(200);
    assert_eq!(after["explain"]["access"]["kind"], "index");
    assert_eq!(after["explain"]["access"]["path"], "size");
    assert_eq!(after["explain"]["documents_read"], 1);
    assert_eq!(after["explain"]["documents_returned"], 1);
    assert_eq!(after["documents"], before["documents"]);
}

#[test]
fn both_forms_of_extended_json_are_answered() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"{"_id": 1, "n": 1.5}"#)
        .expect(201);
    let canonical = json!({"_id": {"$numberInt": "1"}, "n": {"$numberDouble": "1.5"}});
    let accept = |value| [("accept", value)];
    let url = "/collections/c/documents/1";
    let reply = server.request("GET", url, &accept("application/json; form=canonical"), b"");
    assert_eq!(reply.expect(200), canonical);
    assert_eq!(
        reply.header("content-type"),
        "application/json; form=canonical"
    );
    let reply = server.request("GET", url, &accept("application/json"), b"");
    assert_eq!(reply.expect(200), json!({"_id": 1, "n": 1.5}));
    let lines = "application/json;q=0.5, application/x-ndjson;form=canonical";
    let reply = server.request("GET", "/collections/c/documents", &accept(lines), b"");
    assert_eq!(reply.expect(200), canonical);
    assert_eq!(
        reply.header("content-type"),
        "application/x-ndjson; form=canonical"
    );
}

/// What was read in canonical form and is written back is the same document, to the byte.
#[test]
fn canonical_answers_come_back_unchanged() {
    let server = Running::start();
    let document = r#"{"_id":"x","l":{"$numberLong":"5"},"i":{"$numberInt":"5"},"d":{"$numberDouble":"5.0"},"t":{"$timestamp":{"t":1,"i":2}},"m":{"$minKey":1},"x":{"$numberDecimal":"1.50"}}"#;
    server
        .post("/collections/c/documents", document)
        .expect(201);
    let accept = [("accept", "application/json; form=canonical")];
    let reply = server.request("GET", "/collections/c/documents/x", &accept, b"");
    assert_eq!(reply.body, document);
}

pub(crate) fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
