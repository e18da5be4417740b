//! Who is answered: this machine, and no page of a stranger.

use nexusbase_db::Database;
use nexusbase_server::{AdminKey, AuthMode, Limits, ServeError, Server, ServerConfig, Service};

use crate::running::Running;

#[test]
fn only_names_of_this_machine_are_answered() {
    let server = Running::start();
    let port = server.address.port();
    for good in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        "LOCALHOST.".to_owned(),
        format!("127.0.0.1:{port}"),
        "[::1]:80".to_owned(),
        "127.1.2.3".to_owned(),
    ] {
        server
            .request("GET", "/collections", &[("host", &good)], b"")
            .expect(200);
    }
    for bad in [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "rebind.test:7700",
        "10.0.0.1",
        "[2001:db8::1]",
        "0.0.0.0",
    ] {
        let reply = server.request("GET", "/collections", &[("host", bad)], b"");
        assert_eq!(reply.problem(421, "foreign-host")["header"], "host");
    }
}

#[test]
fn hosts_that_are_none_are_refused() {
    let server = Running::start();
    for head in [
        "GET /collections HTTP/1.1\r\n",
        "GET /collections HTTP/1.1\r\nHost:\r\n",
        "GET /collections HTTP/1.1\r\nHost: a b\r\n",
        "GET /collections HTTP/1.1\r\nHost: x@localhost\r\n",
        "GET /collections HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
    ] {
        let answer = server.raw(format!("{head}Connection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
    let absolute = "GET http://example.com/collections HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(server.raw(absolute.as_bytes()).starts_with("HTTP/1.1 421 "));
    let old = server.raw(b"GET /collections HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[test]
fn pages_of_other_origins_may_not_write() {
    let server = Running::start();
    let own = format!("http://{}", server.address);
    let write = |origin: &str| {
        let headers = [("origin", origin), ("content-type", "application/json")];
        server.request("POST", "/collections/c/documents", &headers, b"{}")
    };
    write(&own).expect(201);
    for foreign in [
        "http://example.com",
        "null",
        "http://localhost:1",
        "",
        "file://",
    ] {
        write(foreign).problem(403, "foreign-origin");
    }
    for (method, path) in [("PUT", "/collections/d"), ("DELETE", "/collections/c")] {
        let headers = [("origin", "http://example.com")];
        server
            .request(method, path, &headers, b"")
            .problem(403, "foreign-origin");
    }
    // Reading is harmless: without leave (CORS), the page does not see the answer.
    let headers = [("origin", "http://example.com")];
    let reply = server.request("GET", "/collections", &headers, b"");
    reply.expect(200);
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
}

fn in_memory() -> Service {
    let db = Database::in_memory().unwrap();
    let stores = nexusbase_kv::stores(db.env());
    Service { db, stores }
}

fn bind(listen: &str, allow_remote: bool, auth: AuthMode) -> Result<Server, ServeError> {
    let config = ServerConfig {
        listen: listen.parse().unwrap(),
        allow_remote,
        auth,
        ..ServerConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Server::bind(config, in_memory()))
}

#[test]
fn an_address_for_others_must_be_allowed() {
    for remote in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = bind(remote, false, AuthMode::Required).unwrap_err();
        assert!(matches!(error, ServeError::Remote { .. }));
        assert!(error.to_string().contains("allow_remote"), "{error}");
    }
    assert!(bind("127.0.0.1:0", false, AuthMode::Required).is_ok());
    assert!(bind("0.0.0.0:0", true, AuthMode::Required).is_ok());
    let taken = Running::start();
    let error = bind(&taken.address.to_string(), false, AuthMode::Required).unwrap_err();
    assert!(
        error.to_string().contains("another program listens there"),
        "{error}"
    );
}

/// Without authentication, nothing but this machine may reach the server, whatever else is allowed.
#[test]
fn without_authentication_only_this_machine_is_served() {
    for (listen, allow_remote) in [
        ("0.0.0.0:0", false),
        ("0.0.0.0:0", true),
        ("[::]:0", true),
        ("127.0.0.1:0", true),
    ] {
        let error = bind(listen, allow_remote, AuthMode::Off).unwrap_err();
        assert!(matches!(error, ServeError::Unprotected { .. }), "{error}");
    }
    assert!(bind("127.0.0.1:0", false, AuthMode::Off).is_ok());
    // Nothing is open by accident.
    assert_eq!(ServerConfig::default().auth, AuthMode::Required);
}

/// A page of any origin that somebody on this machine looks at could read and delete everything.
#[test]
fn without_authentication_not_every_page_may_come() {
    let config = |auth, origins: &str| ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        auth,
        origins: origins.parse().unwrap(),
        ..ServerConfig::default()
    };
    let bind = |config| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(Server::bind(config, in_memory()))
            .map(drop)
    };
    let error = bind(config(AuthMode::Off, "*")).unwrap_err().to_string();
    assert!(error.contains("cors.origins"), "{error}");
    assert!(bind(config(AuthMode::Off, "http://localhost:3000")).is_ok());
    assert!(bind(config(AuthMode::Required, "*")).is_ok());
}

#[test]
fn with_leave_any_host_is_answered() {
    let secret = "an-admin-key-of-thirty-two-letters";
    let server = Running::configured(ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        allow_remote: true,
        admin_key: Some(AdminKey::new(secret).unwrap()),
        ..ServerConfig::default()
    });
    let headers = [("host", "db.example.com"), ("x-api-key", secret)];
    server
        .request("GET", "/collections", &headers, b"")
        .expect(200);
    let headers = [
        ("x-api-key", secret),
        ("host", "db.example.com"),
        ("origin", "https://db.example.com"),
    ];
    server
        .request("PUT", "/collections/c", &headers, b"")
        .expect(201);
    let headers = [
        ("x-api-key", secret),
        ("host", "db.example.com"),
        ("origin", "https://example.com"),
    ];
    server
        .request("PUT", "/collections/c", &headers, b"")
        .problem(403, "foreign-origin");
}

#[test]
fn a_limit_of_zero_is_refused() {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        limits: Limits {
            connections: 0,
            ..Limits::default()
        },
        ..ServerConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime
        .block_on(Server::bind(config, in_memory()))
        .unwrap_err();
    assert!(error.to_string().contains("connections"), "{error}");
}
