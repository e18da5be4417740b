//! Who reaches data: nobody without a valid key, and with one only what it is for.

use nexusbase_server::{AdminKey, Limits, ServerConfig};
use serde_json::{Value, json};

use crate::openapi::{document, fill};
use crate::running::{Reply, Running};

/// The admin key of the environment.
pub(crate) const ADMIN: &str = "the-admin-key-of-a-test-that-is-long-enough";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A server that asks for keys.
pub(crate) fn guarded(limits: Limits) -> Running {
    Running::configured(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        admin_key: Some(AdminKey::new(ADMIN).unwrap()),
        limits,
        ..ServerConfig::default()
    })
}

/// Limits under which every refusal is answered with its reason.
pub(crate) fn patient() -> Limits {
    Limits {
        refusals_per_second: 0,
        ..Limits::default()
    }
}

/// A request with a key.
pub(crate) fn ask(server: &Running, key: &str, method: &str, path: &str, body: &str) -> Reply {
    server.request(method, path, &[JSON, ("x-api-key", key)], body.as_bytes())
}

/// Makes a key and returns its id and its text.
#[track_caller]
pub(crate) fn make(server: &Running, wanted: &Value) -> (String, String) {
    let made = ask(server, ADMIN, "POST", "/keys", &wanted.to_string()).expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// Something to reach: a collection, an index, a document, a store, a key, a version.
fn fill_with_data(server: &Running) {
    for (method, path, body) in [
        ("POST", "/collections/c/documents", r#"{"_id": 1, "p": 2}"#),
        ("PUT", "/collections/c/indexes/p", ""),
        ("PUT", "/stores/s", ""),
        ("PUT", "/stores/s/keys/k", "\"v\""),
        ("POST", "/stores/s/versions", ""),
    ] {
        let status = ask(server, ADMIN, method, path, body).status;
        assert!(matches!(status, 201 | 204), "{method} {path}: {status}");
    }
}

/// All that is there.
fn everything(server: &Running) -> Vec<Value> {
    let paths = [
        "/collections",
        "/collections/c/documents",
        "/stores",
        "/stores/s/keys?values=true",
        "/stores/s/versions",
        "/keys",
    ];
    let get = |path: &&str| {
        let mut found = ask(server, ADMIN, "GET", path, "").expect(200);
        for key in found["keys"].as_array_mut().into_iter().flatten() {
            key["last_used_ms"].take();
        }
        found
    };
    paths.iter().map(get).collect()
}

/// Each method and path of the description that needs a key.
fn routes(server: &Running) -> Vec<(String, String)> {
    let document = document(server);
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["security"].is_array() {
                routes.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    assert!(routes.len() >= 45, "{routes:?}");
    routes
}

#[test]
fn no_request_without_a_valid_key_reaches_data() {
    let server = guarded(patient());
    fill_with_data(&server);
    let (revoked, revoked_key) = make(&server, &json!({"name": "revoked", "role": "admin"}));
    ask(&server, ADMIN, "DELETE", &format!("/keys/{revoked}"), "").expect(204);
    let expiring = json!({"name": "expired", "role": "admin", "ttl": 60});
    let (_, expired_key) = make(&server, &expiring);
    let (_, good) = make(&server, &json!({"name": "good", "role": "admin"}));
    server.clock.advance(60_000);
    // The same id with the secret of another, and with one that was mistyped.
    let mistyped = format!(
        "{}{}",
        &good[..good.len() - 1],
        if good.ends_with('A') { 'B' } else { 'A' }
    );
    let mixed = format!("{}{}", &good[..17], &revoked_key[17..]);
    let bearer = format!("Bearer {revoked_key}");
    let basic = format!("Basic {good}");
    let attempts: [&[(&str, &str)]; 9] = [
        &[],
        &[("x-api-key", "")],
        &[("x-api-key", "wrong")],
        &[("x-api-key", &revoked_key)],
        &[("x-api-key", &expired_key)],
        &[("x-api-key", &mistyped)],
        &[("x-api-key", &mixed)],
        &[("authorization", &bearer)],
        &[("authorization", &basic)],
    ];
    let before = everything(&server);
    let mut said = None;
    for (method, path) in routes(&server) {
        for headers in attempts {
            let headers = [headers, &[JSON][..]].concat();
            let reply = server.request(&method, &fill(&path), &headers, b"{}");
            assert_eq!(reply.status, 401, "{method} {path} {headers:?}");
            assert!(reply.header("www-authenticate").starts_with("Bearer"));
            if method == "HEAD" {
                continue;
            }
            let mut problem = reply.problem(401, "unauthorized");
            problem["instance"].take();
            // All of them read the same, whatever is wrong.
            assert_eq!(*said.get_or_insert_with(|| problem.clone()), problem);
        }
    }
    for method in ["HEAD", "OPTIONS", "TRACE"] {
        assert_eq!(server.request(method, "/collections", &[], b"").status, 401);
    }
    assert_eq!(everything(&server), before);
    // Both headers bring a good key in.
    let bearer = format!("Bearer {good}");
    for header in [("x-api-key", &*good), ("authorization", &*bearer)] {
        server
            .request("GET", "/collections", &[header], b"")
            .expect(200);
    }
    // What everybody may see is seen without a key, and with a bad one.
    server.get("/health").expect(200);
    server
        .request("GET", "/openapi.json", attempts[2], b"")
        .expect(200);
    server.get("/nothing").problem(404, "no-such-route");
}

#[test]
fn a_role_that_does_not_suffice_changes_nothing() {
    let server = guarded(patient());
    fill_with_data(&server);
    let (_, reader) = make(&server, &json!({"name": "r", "role": "read"}));
    let (_, writer) = make(&server, &json!({"name": "w", "role": "write"}));
    let before = everything(&server);
    for (method, path) in routes(&server) {
        let filled = fill(&path);
        let asks = ["query", "count", "distinct", "aggregate"];
        let asks = asks
            .iter()
            .any(|end| path == format!("/collections/{{name}}/{end}"));
        // A transaction that only reads is for everybody.
        if method != "GET" && !asks && !path.starts_with("/transactions") {
            let problem = ask(&server, &reader, &method, &filled, "{}").problem(403, "forbidden");
            let needed = if path.starts_with("/keys") {
                "admin"
            } else {
                "write"
            };
            assert_eq!(problem["role"], needed, "{method} {path}");
        }
        if path.starts_with("/keys") {
            let problem = ask(&server, &writer, &method, &filled, "{}").problem(403, "forbidden");
            assert_eq!(problem["role"], "admin", "{method} {path}");
        }
    }
    assert_eq!(everything(&server), before);
    // What the roles are for works.
    for path in [
        "/collections/c/documents",
        "/stores/s/keys",
        "/engines",
        "/metrics",
    ] {
        assert_eq!(ask(&server, &reader, "GET", path, "").status, 200, "{path}");
    }
    ask(&server, &writer, "PUT", "/collections/new", "").expect(201);
    ask(&server, &writer, "DELETE", "/collections/new", "").expect(204);
}

#[test]
fn a_key_reaches_only_what_it_is_for() {
    let server = guarded(patient());
    fill_with_data(&server);
    let scopes = json!({"collections": ["mine", "open-*"], "stores": ["mine-*"]});
    let (_, key) = make(
        &server,
        &json!({"name": "k", "role": "write", "scopes": scopes}),
    );
    let before = everything(&server);
    for (method, path) in routes(&server) {
        if path.contains("{name}") || path.contains("{store}") {
            let problem = ask(&server, &key, &method, &fill(&path), "{}").problem(403, "forbidden");
            let scope = problem["scope"].as_str().unwrap();
            assert!(matches!(scope, "collections/c" | "stores/s"), "{scope}");
        }
    }
    // Nor by another way to write a name, nor under a name that stands in the body.
    for path in ["/collections/%63", "/stores/%73"] {
        ask(&server, &key, "GET", path, "").problem(403, "forbidden");
    }
    ask(&server, &key, "PUT", "/stores/mine-a", "").expect(201);
    for path in ["/stores/mine-a/rename", "/stores/mine-a/copy"] {
        ask(&server, &key, "POST", path, r#"{"to": "s2"}"#).problem(403, "forbidden");
    }
    ask(&server, &key, "DELETE", "/stores/mine-a", "").expect(204);
    assert_eq!(everything(&server), before);

    // Its own things work, and lists show nothing else.
    for (method, path, body) in [
        ("POST", "/collections/mine/documents", "{}"),
        ("PUT", "/collections/open-1", ""),
        ("PUT", "/collections/mine/indexes/a", ""),
        ("PUT", "/stores/mine-1", ""),
        ("POST", "/stores/mine-1/copy", r#"{"to": "mine-2"}"#),
    ] {
        let reply = ask(&server, &key, method, path, body);
        assert!(reply.status < 300, "{path}: {}", reply.body);
    }
    let names = |path: &str, list: &str| -> Vec<String> {
        let found = ask(&server, &key, "GET", path, "").expect(200);
        let all = found[list].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("/collections", "collections"), ["mine", "open-1"]);
    assert_eq!(names("/stores", "stores"), ["mine-1", "mine-2"]);
    // An empty list of scopes is nothing at all.
    let (_, none) = make(&server, &json!({"name": "n", "role": "read", "scopes": {}}));
    let found = ask(&server, &none, "GET", "/stores", "").expect(200);
    assert_eq!(found, json!({"stores": []}));
}

/// Events of stores that are not the listener's business are not heard, and a revoked key hears
/// nothing more.
#[test]
fn streams_of_events_keep_to_the_scopes() {
    use std::io::{BufRead, BufReader, Write};

    let server = guarded(patient());
    let scopes = json!({"stores": ["mine-*"]});
    let (id, key) = make(
        &server,
        &json!({"name": "k", "role": "read", "scopes": scopes}),
    );
    let mut stream = server.connect();
    let head = format!("GET /events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("200"));
    assert!(lines.any(|line| line.is_empty()));
    let admin = |method: &str, path: &str, body: &str| {
        let reply = ask(&server, ADMIN, method, path, body);
        assert!(reply.status < 300, "{}", reply.body);
    };
    admin("PUT", "/stores/others", "");
    admin("PUT", "/stores/mine-1", "");
    admin("POST", "/stores/mine-1/rename", r#"{"to": "hidden"}"#);
    admin("POST", "/stores/hidden/rename", r#"{"to": "mine-2"}"#);
    let mut heard = Vec::new();
    while heard.len() < 6 {
        let line = lines.next().unwrap();
        if line.starts_with("event:") || line.starts_with("data:") {
            heard.push(line);
        }
    }
    let expected = [
        "event: created",
        r#"data: {"store":"mine-1"}"#,
        "event: dropped",
        r#"data: {"store":"mine-1"}"#,
        "event: created",
        r#"data: {"store":"mine-2"}"#,
    ];
    assert_eq!(heard, expected);
    admin("DELETE", &format!("/keys/{id}"), "");
    admin("PUT", "/stores/mine-3", "");
    assert!(!lines.any(|line| line.contains("mine-3")));
}

/// A server without any key says how to get one, and lets nobody in.
#[test]
fn a_server_without_a_key_says_how_to_make_one() {
    let server = Running::configured(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        ..ServerConfig::default()
    });
    let problem = server.get("/collections").problem(401, "unauthorized");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("nexusbase keys create NAME --role admin --data DIR"),
        "{detail}"
    );
    assert!(detail.contains("NEXUSBASE_ADMIN_KEY"), "{detail}");
    server.get("/metrics").problem(401, "unauthorized");
    server.get("/health").expect(200);

    let open = Running::configured(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        open_metrics: true,
        ..ServerConfig::default()
    });
    assert_eq!(open.get("/metrics").status, 200);
    open.get("/collections").problem(401, "unauthorized");
}

/// A request that is refused before its body was looked at does not cost the client its
/// connection, unless the body is long.
#[test]
fn a_refusal_keeps_the_connection_in_order() {
    use std::io::{Read, Write};

    let server = guarded(patient());
    let (_, reader) = make(&server, &json!({"name": "r", "role": "read"}));
    for (key, status) in [("nxb_wrong", "401"), (&*reader, "403")] {
        let mut stream = server.connect();
        let head = |length: usize| {
            format!(
                "POST /collections/c/documents HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Type: application/json\r\nX-API-Key: {key}\r\nContent-Length: {length}\r\n\r\n"
            )
        };
        for _ in 0..3 {
            stream.write_all(head(2).as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(30));
            stream.write_all(b"{}").unwrap();
            let mut answer = [0; 4096];
            let bytes = stream.read(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..bytes]);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert!(
                !answer.to_lowercase().contains("connection: close"),
                "{answer}"
            );
        }
        let long = [head(100_000).as_bytes(), &[b' '; 100_000]].concat();
        let answer = server.raw(&long);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
}
