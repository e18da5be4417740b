//! Each kind of error, with what its problem document says.

use serde_json::json;

use crate::documents::encode;
use crate::running::Running;

const URL: &str = "/collections/c/documents";

#[test]
fn json_errors_name_the_place() {
    let server = Running::start();
    let problem = server
        .post(URL, "{\n  \"a\": {\"b\": [1, tru]}}")
        .problem(400, "invalid-json");
    assert_eq!(problem["at"], "/a/b/1");
    assert_eq!(problem["line"], 2);
    assert_eq!(problem["column"], 18);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(101), "}".repeat(101));
    let problem = server.post(URL, &deep).problem(400, "invalid-json");
    assert!(problem["detail"].as_str().unwrap().contains("100"));
    let reply = server.request(
        "POST",
        URL,
        &[("content-type", "application/json")],
        b"{\"a\": \"\xff\"}",
    );
    assert_eq!(reply.problem(400, "invalid-json")["column"], 8);
    let problem = server
        .post(URL, r#"{"a": {"$b": 1}}"#)
        .problem(400, "invalid-document");
    assert_eq!(problem["at"], "/a");
    server
        .post(URL, r#"{"_id": [1]}"#)
        .problem(400, "invalid-id");
    server.post(URL, "").problem(400, "invalid-json");
}

#[test]
fn documents_that_are_too_large_are_refused() {
    let server = Running::start();
    let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(17 << 20));
    server.post(URL, &large).problem(413, "document-too-large");
    let long_id = format!(r#"{{"_id": "{}"}}"#, "x".repeat(9000));
    let problem = server.post(URL, &long_id).problem(400, "invalid-document");
    assert_eq!(problem["path"], "_id");
    assert_eq!(problem["limit"], 8192);
}

#[test]
fn ids_do_not_change() {
    let server = Running::start();
    server
        .put("/collections/c/documents/a", r#"{"_id": "b"}"#)
        .problem(400, "id-changed");
    server
        .put("/collections/c/documents/=5", r#"{"_id": "5"}"#)
        .problem(400, "id-changed");
    server
        .put(
            "/collections/c/documents/=5",
            r#"{"_id": {"$numberDecimal": "5.0"}}"#,
        )
        .expect(201);
    for bad in ["%7B", "=[1]", "=", "%22"] {
        server
            .get(&format!("/collections/c/documents/{bad}"))
            .problem(400, "invalid-id");
        server
            .delete(&format!("/collections/c/documents/{bad}"))
            .problem(400, "invalid-id");
        server
            .put(&format!("/collections/c/documents/{bad}"), "{}")
            .problem(400, "invalid-id");
    }
}

#[test]
fn parameters_are_checked_one_by_one() {
    let server = Running::start();
    server.post(URL, "{}").expect(201);
    for (query, kind, parameter) in [
        ("limit=0", "invalid-parameter", "limit"),
        ("limit=-1", "invalid-parameter", "limit"),
        ("limit=1.0", "invalid-parameter", "limit"),
        ("limit=", "invalid-parameter", "limit"),
        (
            "limit=99999999999999999999999",
            "invalid-parameter",
            "limit",
        ),
        ("skip=x", "invalid-parameter", "skip"),
        ("skip=%2B1", "invalid-parameter", "skip"),
        ("explain=yes", "invalid-parameter", "explain"),
        ("explain", "invalid-parameter", "explain"),
        ("limit=1&limit=2", "invalid-parameter", "limit"),
        ("limits=1", "invalid-parameter", "limits"),
        ("sort=a,,b", "invalid-sort", "sort"),
        ("sort=a,a", "invalid-sort", "sort"),
        ("sort=%24x", "invalid-sort", "sort"),
        ("fields=", "invalid-fields", "fields"),
        ("fields=a,a.b", "invalid-fields", "fields"),
        ("cursor=x", "invalid-cursor", "cursor"),
        ("cursor=", "invalid-cursor", "cursor"),
        ("filter=", "invalid-filter", "filter"),
        ("filter=5", "invalid-filter", "filter"),
        ("filter=%FF", "invalid-parameter", "filter"),
        ("filter=%zz", "invalid-parameter", "filter"),
    ] {
        let problem = server.get(&format!("{URL}?{query}")).problem(400, kind);
        assert_eq!(problem["parameter"], parameter, "{query}");
    }
    let filter = encode(r#"{"a": 1, "b": {"$near": 2}}"#);
    let problem = server
        .get(&format!("{URL}?filter={filter}"))
        .problem(400, "invalid-filter");
    assert_eq!(problem["at"], "/b/$near");
    let filter = encode(r#"{"a": x}"#);
    let problem = server
        .get(&format!("{URL}?filter={filter}"))
        .problem(400, "invalid-filter");
    assert_eq!(
        (&problem["at"], &problem["column"]),
        (&json!("/a"), &json!(7))
    );
    let reply = server.post(&format!("{URL}?on_error=skip"), "[]");
    assert_eq!(
        reply.problem(400, "invalid-parameter")["parameter"],
        "on_error"
    );
    let reply = server.lines(&format!("{URL}?on_error=ignore"), "");
    assert_eq!(
        reply.problem(400, "invalid-parameter")["parameter"],
        "on_error"
    );
    server
        .get("/collections?x=1")
        .problem(400, "invalid-parameter");
}

#[test]
fn a_cursor_serves_one_question_only() {
    let server = Running::start();
    server.post(URL, r#"[{"_id": 1}, {"_id": 2}]"#).expect(201);
    let answer = server.get(&format!("{URL}?limit=1")).expect(200);
    let cursor = answer["next"].as_str().unwrap();
    server.get(&format!("{URL}?cursor={cursor}")).expect(200);
    server
        .get(&format!("{URL}?cursor={cursor}&sort=a"))
        .problem(400, "invalid-cursor");
    let filter = encode(r#"{"a": 1}"#);
    server
        .get(&format!("{URL}?cursor={cursor}&filter={filter}"))
        .problem(400, "invalid-cursor");
    let cut = &cursor[..cursor.len() - 2];
    server
        .get(&format!("{URL}?cursor={cut}"))
        .problem(400, "invalid-cursor");
}

#[test]
fn names_are_checked_everywhere() {
    let server = Running::start();
    for bad in ["%20", "a%2Fb", "-a", ".a", "%C3%BC", &"x".repeat(129)] {
        for path in ["", "/documents", "/documents/1"] {
            let problem = server.get(&format!("/collections/{bad}{path}"));
            assert_eq!(
                problem.problem(400, "invalid-name")["parameter"],
                "name",
                "{bad}"
            );
        }
        server
            .delete(&format!("/collections/{bad}"))
            .problem(400, "invalid-name");
        server
            .request("PUT", &format!("/collections/{bad}"), &[], b"")
            .problem(400, "invalid-name");
    }
    server.get("/collections/%FF").problem(400, "bad-request");
    server.get("/collections/%zz").problem(400, "bad-request");
}

#[test]
fn unknown_routes_and_methods_say_so() {
    let server = Running::start();
    for path in [
        "/",
        "/collection",
        "/collections/",
        "/collections/a/b",
        "/collections/a/documents/",
    ] {
        server.get(path).problem(404, "no-such-route");
    }
    for (method, path, allow) in [
        ("POST", "/collections", "GET,HEAD"),
        ("POST", "/collections/a", "GET,HEAD,PUT,PATCH,DELETE"),
        ("OPTIONS", "/collections/a/documents", "GET,HEAD,POST"),
        ("DELETE", "/collections/a/documents", "GET,HEAD,POST"),
        (
            "POST",
            "/collections/a/documents/1",
            "GET,HEAD,PUT,PATCH,DELETE",
        ),
        ("POST", "/collections/a/indexes/b", "GET,HEAD,PUT,DELETE"),
        ("PUT", "/collections/a/indexes", "GET,HEAD,POST"),
        ("GET", "/collections/a/query", "POST"),
        ("PUT", "/health", "GET,HEAD"),
    ] {
        let reply = server.request(method, path, &[], b"");
        reply.problem(405, "method-not-allowed");
        let mut found: Vec<&str> = reply.header("allow").split(',').collect();
        let mut wanted: Vec<&str> = allow.split(',').collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{method} {path}");
    }
}

#[test]
fn bodies_must_say_what_they_are() {
    let server = Running::start();
    let post = |headers: &[(&str, &str)]| server.request("POST", URL, headers, b"{}");
    for good in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/x-ndjson",
    ] {
        post(&[("content-type", good)]).expect(201);
    }
    let bad = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/merge-patch+json",
        "json",
        "",
    ];
    for bad in bad {
        let problem = post(&[("content-type", bad)]).problem(415, "unsupported-media-type");
        assert_eq!(problem["header"], "content-type");
    }
    post(&[]).problem(415, "unsupported-media-type");
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "br"),
    ];
    post(&headers).problem(415, "unsupported-encoding");
    let headers = [("content-type", "application/x-ndjson")];
    let reply = server.request("PUT", "/collections/c/documents/1", &headers, b"{}");
    reply.problem(415, "unsupported-media-type");
}

#[test]
fn formats_that_are_not_offered_are_refused() {
    let server = Running::start();
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    let get = |path: &str, accept| server.request("GET", path, &[("accept", accept)], b"");
    for good in [
        "*/*",
        "application/*",
        "text/html, application/json;q=0.1",
        "",
    ] {
        get(URL, good).expect(200);
    }
    for bad in [
        "text/html",
        "application/json;q=0",
        "application/json;form=pretty",
    ] {
        get(URL, bad).problem(406, "not-acceptable");
    }
    get("/collections/c/documents/1", "application/x-ndjson").problem(406, "not-acceptable");
    let reply = get(&format!("{URL}?explain=true"), "application/x-ndjson");
    assert_eq!(
        reply.problem(400, "invalid-parameter")["parameter"],
        "explain"
    );
}

#[test]
fn a_full_disk_is_said_and_passes() {
    let server = Running::start();
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    server.disk.set_capacity(Some(0));
    // The log has room in its present segment still.
    let text = "x".repeat(300_000);
    let mut last = None;
    for _ in 0..8 {
        let reply = server.post(URL, &format!(r#"{{"text": "{text}"}}"#));
        if reply.status != 201 {
            last = Some(reply);
            break;
        }
    }
    let reply = last.expect("the disk is full");
    let problem = reply.problem(507, "disk-full");
    assert_eq!(reply.header("retry-after"), "30");
    assert!(
        !problem["detail"].as_str().unwrap().contains("/data"),
        "no internal paths"
    );
    server.get(URL).expect(200);
    server.disk.set_capacity(None);
    server
        .post(URL, &format!(r#"{{"text": "{text}"}}"#))
        .expect(201);
}

#[test]
fn a_stopped_database_is_said() {
    let server = Running::start();
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    server.db.close().unwrap();
    let reply = server.post(URL, r#"{"_id": 2}"#);
    reply.problem(503, "database-stopped");
    assert_eq!(reply.header("retry-after"), "30");
    server
        .lines(URL, "{\"_id\": 3}\n")
        .problem(503, "database-stopped");
    server
        .delete("/collections/c")
        .problem(503, "database-stopped");
    server.get("/collections/c/documents/1").expect(200);
}

/// A write in the middle of which the log fails is neither reported as done nor as not done.
#[test]
fn a_failing_log_leaves_the_outcome_open() {
    let server = Running::start();
    server.post(URL, r#"{"_id": 1}"#).expect(201);
    server.disk.fail_at(1, nexusbase_io::sim::FaultKind::Io);
    let problem = server
        .post(URL, r#"{"_id": 2}"#)
        .problem(503, "database-stopped");
    assert!(problem["detail"].as_str().unwrap().contains("not known"));
    server.get("/health").problem(503, "database-stopped");
}
