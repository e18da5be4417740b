//! Pages of other origins: those that are allowed, and all others.

use nexusbase_server::{AdminKey, AuthMode, ServerConfig};

use crate::access::ADMIN;
use crate::running::{Reply, Running};

const URL: &str = "/collections/c/documents";
const APP: &str = "https://app.example.com";

fn allowing(origins: &str) -> Running {
    Running::configured(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        auth: AuthMode::Off,
        origins: origins.parse().unwrap(),
        ..ServerConfig::default()
    })
}

fn preflight(server: &Running, origin: &str) -> Reply {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,if-match"),
    ];
    server.request("OPTIONS", URL, &headers, b"")
}

fn write(server: &Running, origin: &str) -> Reply {
    let headers = [("origin", origin), ("content-type", "application/json")];
    server.request("POST", URL, &headers, b"{}")
}

fn allowed(reply: &Reply) -> &str {
    reply.header("access-control-allow-origin")
}

#[test]
fn preflight_from_an_allowed_origin_is_answered() {
    let server = allowing("http://localhost:3000, https://APP.example.com:443");
    let reply = preflight(&server, APP);
    assert_eq!(reply.status, 200);
    assert_eq!(allowed(&reply), APP);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        let methods = reply.header("access-control-allow-methods");
        assert!(methods.split(',').any(|found| found == method), "{methods}");
    }
    let headers = reply.header("access-control-allow-headers");
    assert_eq!(headers, "authorization,if-match");
    assert_eq!(reply.header("access-control-max-age"), "3600");
    let vary: Vec<_> = reply.headers.get_all("vary").iter().collect();
    assert!(format!("{vary:?}").contains("origin"), "{vary:?}");
    // A browser would send cookies only if it were told that it may.
    assert_eq!(reply.header("access-control-allow-credentials"), "");
    assert_ne!(reply.header("x-request-id"), "");
}

#[test]
fn pages_of_an_allowed_origin_read_and_write_and_see_why_not() {
    let server = allowing(APP);
    let reply = write(&server, APP);
    reply.expect(201);
    assert_eq!(allowed(&reply), APP);
    let exposed = reply.header("access-control-expose-headers");
    for name in [
        "etag",
        "link",
        "location",
        "retry-after",
        "ratelimit",
        "x-next-cursor",
        "x-request-id",
    ] {
        assert!(exposed.split(',').any(|found| found == name), "{exposed}");
    }
    let read = server.request("GET", URL, &[("origin", APP)], b"");
    read.expect(200);
    assert_eq!(allowed(&read), APP);
    // Also what was refused, by the guard and by a handler, and what does not exist.
    for (path, headers, status, kind) in [
        (
            "/collections",
            vec![("host", "example.com")],
            421,
            "foreign-host",
        ),
        ("/collections/none", vec![], 404, "no-such-collection"),
        ("/none", vec![], 404, "no-such-route"),
    ] {
        let headers = [vec![("origin", APP)], headers].concat();
        let reply = server.request("GET", path, &headers, b"");
        reply.problem(status, kind);
        assert_eq!(allowed(&reply), APP, "{path}");
    }
}

#[test]
fn pages_of_other_origins_stay_outside() {
    let server = allowing(APP);
    for foreign in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "null",
    ] {
        assert_eq!(allowed(&preflight(&server, foreign)), "", "{foreign}");
        let reply = write(&server, foreign);
        reply.problem(403, "foreign-origin");
        assert_eq!(allowed(&reply), "", "{foreign}");
    }
    // One that is allowed does not let others in.
    let headers = [("origin", APP), ("origin", "https://evil.example")];
    server
        .request("DELETE", "/collections/c", &headers, b"")
        .problem(403, "foreign-origin");
}

#[test]
fn a_star_allows_every_origin_to_those_with_a_key() {
    let server = Running::configured(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        admin_key: Some(AdminKey::new(ADMIN).unwrap()),
        origins: "*".parse().unwrap(),
        ..ServerConfig::default()
    });
    for origin in [APP, "null"] {
        assert_eq!(allowed(&preflight(&server, origin)), "*");
        let refused = write(&server, origin);
        refused.problem(401, "unauthorized");
        assert_eq!(allowed(&refused), "*");
        let headers = [
            ("origin", origin),
            ("content-type", "application/json"),
            ("x-api-key", ADMIN),
        ];
        let reply = server.request("POST", URL, &headers, b"{}");
        reply.expect(201);
        assert_eq!(allowed(&reply), "*");
    }
}

#[test]
fn without_origins_there_is_no_header_of_cors() {
    let server = Running::start();
    let reply = preflight(&server, APP);
    reply.problem(405, "method-not-allowed");
    assert_eq!(allowed(&reply), "");
    let read = server.request("GET", "/collections", &[("origin", APP)], b"");
    read.expect(200);
    assert_eq!(allowed(&read), "");
}
