//! The record of what was done and refused: complete, whatever becomes of a request.

use std::io::Write;

use nexusbase_server::Limits;
use serde_json::json;

use crate::access::{ADMIN, ask, guarded, make, patient};
use crate::logs::{keep_log, line, lines};

/// A write goes on when its caller has gone, and nobody can hide one by hanging up.
#[test]
fn a_write_whose_caller_has_gone_is_on_record() {
    keep_log();
    let server = guarded(patient());
    server.clock.hold_commits();
    let mut stream = server.connect();
    let head = format!(
        "PUT /collections/hidden HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {ADMIN}\r\n\
         X-Request-Id: audit-gone\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    server.clock.await_waiting(1);
    drop(stream);
    let found = line("audit", "audit-gone");
    assert_eq!(found["outcome"], "unknown", "{found}");
    assert_eq!(found["key"], "environment");
    assert_eq!(found["route"], "/collections/{name}");
    assert_eq!(found["name"], "hidden");
    server.clock.open();
    let done = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        ask(&server, ADMIN, "GET", "/collections/hidden", "").status == 200
    });
    assert!(done, "it was not carried out, so there was nothing to hide");
    assert_eq!(lines("audit", "audit-gone").len(), 1);
}

/// One line for each refusal, whoever refused: the guard, the keys, a permit, a limit.
#[test]
fn every_refusal_is_on_record_once() {
    keep_log();
    let server = guarded(Limits {
        refusals_per_second: 1,
        ..Limits::default()
    });
    let wanted = json!({"name": "k", "role": "read", "scopes": {},
                        "requests_per_second": 1, "burst": 1});
    let (_, key) = make(&server, &wanted);
    let get = |key: &str, request: &str, host: &str| {
        let headers = [
            ("x-api-key", key),
            ("x-request-id", request),
            ("host", host),
        ];
        let path = "/collections/c/documents";
        server.request("GET", path, &headers, b"").status
    };
    let mut seen = Vec::new();
    for n in 0..1000 {
        for (key, host) in [
            ("nxb_wrong", "localhost"),
            (&*key, "localhost"),
            (ADMIN, "rebind.test"),
        ] {
            let request = format!("audit-refused-{}-{n}", seen.len());
            let status = get(key, &request, host);
            assert!(matches!(status, 401 | 403 | 421 | 429), "{status}");
            seen.push((request, status));
        }
        let limited = seen.iter().filter(|(_, status)| *status == 429).count();
        if limited >= 20 {
            break;
        }
    }
    for wanted in [401, 403, 421, 429] {
        assert!(seen.iter().any(|(_, status)| *status == wanted), "{wanted}");
    }
    for (request, status) in seen {
        let found = line("audit", &request);
        assert_eq!(found["status"], status);
        assert_eq!(found["outcome"], "refused", "{found}");
    }
}
