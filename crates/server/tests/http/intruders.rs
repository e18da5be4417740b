//! Requests that are written to get past the keys: odd paths, methods and headers, byte by byte.

use serde_json::json;

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::running::Running;

const SECRET: &str = "what-nobody-may-see";

/// A server with something to see in a collection and a store.
fn with_secrets() -> Running {
    let server = guarded(patient());
    let document = json!({"_id": 1, "v": SECRET}).to_string();
    for (method, path, body) in [
        ("POST", "/collections/c/documents", &*document),
        ("PUT", "/stores/s", ""),
        ("PUT", "/stores/s/keys/k", SECRET),
    ] {
        let status = ask(&server, ADMIN, method, path, body).status;
        assert!(status < 300, "{path}: {status}");
    }
    server
}

/// Sends a head with these further lines and gives the answer.
fn send(server: &Running, line: &str, more: &str) -> String {
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
    server.raw(head.as_bytes())
}

#[test]
fn no_way_to_write_a_request_gets_past_the_keys() {
    let server = with_secrets();
    let lines = [
        "GET /collections/c/documents",
        "HEAD /collections/c/documents",
        "OPTIONS /collections/c/documents",
        "TRACE /collections/c/documents",
        "get /collections/c/documents",
        "CONNECT localhost:80",
        "OPTIONS *",
        "GET http://localhost/collections/c/documents",
        "GET //collections/c/documents",
        "GET /health/../collections/c/documents",
        "GET /docs/%2e%2e/collections/c/documents",
        "GET /health%2F..%2Fcollections/c/documents",
        "GET /collections/c/documents/",
        "GET /collections/c/documents;/health",
        "GET /collections/c/documents?/health",
        "GET /COLLECTIONS/c/documents",
        "GET /%63ollections/c/documents",
        "GET /collections/%63/documents",
        "GET /stores/s/keys/k",
        "GET /stores/s/keys//k",
        "GET /stores/s/keys/%2E%2E%2F..%2F../health",
        "GET /keys",
        "GET /metrics",
        "GET /events",
        "DELETE /collections/c",
        "POST /stores/s/rename",
    ];
    let wrong = ADMIN.to_uppercase();
    let attempts = [
        String::new(),
        "X-API-Key:\r\n".to_owned(),
        format!("X-API-Key: {wrong}\r\n"),
        format!("X-API-Key: {}\r\n", &ADMIN[..ADMIN.len() - 1]),
        format!("X-API-Key: {ADMIN}\r\nX-API-Key: {ADMIN}\r\n"),
        format!("Authorization: Bearer {ADMIN}\r\nAuthorization: Bearer x\r\n"),
        format!("X-API-Key: x\r\nAuthorization: Bearer {ADMIN}\r\n"),
        format!("Authorization: {ADMIN}\r\n"),
        format!("Cookie: X-API-Key={ADMIN}\r\n"),
        "X-Original-URL: /health\r\nX-HTTP-Method-Override: GET\r\n".to_owned(),
        "Origin: http://localhost\r\nAccess-Control-Request-Method: GET\r\n".to_owned(),
    ];
    for line in lines {
        for more in &attempts {
            let answer = send(&server, line, more);
            assert!(answer.starts_with("HTTP/1.1 4"), "{line} {more}: {answer}");
            assert!(!answer.contains(SECRET), "{line} {more}");
            assert!(answer.contains("\r\nx-request-id: "), "{line}: {answer}");
            let media = "\r\ncontent-type: application/problem+json\r\n";
            assert!(answer.contains(media), "{line} {more}: {answer}");
        }
    }
    ask(&server, ADMIN, "GET", "/collections/c/documents/1", "").expect(200);
    assert_eq!(
        ask(&server, ADMIN, "GET", "/stores/s/keys/k", "").body,
        SECRET
    );
}

#[test]
fn no_way_to_write_a_name_gets_past_the_scopes() {
    let server = with_secrets();
    let scopes = json!({"collections": ["mine"], "stores": ["mine"]});
    let wanted = json!({"name": "k", "role": "write", "scopes": scopes});
    let (_, key) = make(&server, &wanted);
    let key = format!("X-API-Key: {key}\r\n");
    for line in [
        "GET /collections/c/documents",
        "GET /collections/%63/documents",
        "GET /collections/mine%2F..%2Fc/documents",
        "GET /collections/mine/../c/documents",
        "GET /collections/mine%00c/documents",
        "GET /collections/c%00/documents",
        "GET /collections/C/documents",
        "GET http://localhost/collections/c/documents",
        "GET /stores/s/keys/k",
        "GET /stores/%73/keys/k",
        "GET /stores/mine/keys/../../s/keys/k",
        "GET /stores/mine%2Fkeys%2F..%2F..%2Fs/keys/k",
        "DELETE /stores/s",
        "DELETE /collections/c",
    ] {
        let answer = send(&server, line, &key);
        assert!(answer.starts_with("HTTP/1.1 4"), "{line}: {answer}");
        assert!(!answer.contains(SECRET), "{line}");
    }
    ask(&server, ADMIN, "GET", "/collections/c/documents/1", "").expect(200);
    assert_eq!(
        ask(&server, ADMIN, "GET", "/stores/s/keys/k", "").body,
        SECRET
    );
}
