//! What is done with whole stores.

use std::time::Duration;

use nexusbase_server::Limits;
use serde_json::json;

use super::{create, put, with_store};
use crate::running::Running;

#[test]
fn a_renamed_store_has_all_that_it_had() {
    let server = with_store();
    put(&server, "a", b"1");
    create(&server, "taken");
    server
        .post("/stores/s/rename", r#"{"to": "taken"}"#)
        .problem(409, "store-exists");
    let renamed = server
        .post("/stores/s/rename", r#"{"to": "t"}"#)
        .expect(200);
    assert_eq!(renamed["name"], "t");
    assert_eq!(server.get("/stores/t/keys/a").body, "1");
    server.get("/stores/s").problem(404, "no-such-store");
    server
        .post("/stores/s/rename", r#"{"to": "x"}"#)
        .problem(404, "no-such-store");
    server
        .post("/stores/t/rename", r#"{"to": "x", "force": true}"#)
        .problem(400, "invalid-body");
    server
        .post("/stores/t/rename", "")
        .problem(400, "invalid-json");
}

#[test]
fn a_copy_is_a_store_of_its_own() {
    let server = with_store();
    for key in ["a", "b", "c"] {
        put(&server, key, b"12");
    }
    let copied = server.post("/stores/s/copy", r#"{"to": "t", "engine": "memory"}"#);
    let wanted = json!({"rows": 3, "bytes": 9, "resumed": false, "complete": true});
    assert_eq!(copied.expect(200), wanted);
    put(&server, "a", b"other");
    assert_eq!(server.get("/stores/t/keys/a").body, "12");
    server
        .post("/stores/s/copy", r#"{"to": "t"}"#)
        .problem(409, "store-exists");
    server
        .post("/stores/s/copy", r#"{"to": "u", "engine": "paper"}"#)
        .problem(400, "no-such-engine");
    server
        .post("/stores/none/copy", r#"{"to": "u"}"#)
        .problem(404, "no-such-store");
}

/// A copy that takes longer than a request may says so, and the same request goes on.
#[test]
fn a_copy_that_takes_too_long_goes_on_where_it_stopped() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_secs(4),
        ..Limits::default()
    });
    create(&server, "s");
    for batch in 0..3 {
        let operations: Vec<_> = (0..1000)
            .map(|n| json!({"op": "set", "key": format!("{batch}-{n:03}"), "value": "x"}))
            .collect();
        let body = json!({"operations": operations}).to_string();
        server.post("/stores/s/batch", &body).expect(200);
    }
    let copy = || server.post("/stores/s/copy", r#"{"to": "t"}"#);
    let before = server.clock.waiting();
    server.clock.hold_commits();
    std::thread::scope(|scope| {
        let first = scope.spawn(copy);
        server.clock.await_waiting(before + 1);
        // A quarter of the time is left for the answer.
        std::thread::sleep(Duration::from_millis(3200));
        server.clock.open();
        let first = first.join().unwrap().expect(202);
        let wanted = json!({"rows": 1000, "bytes": 6000, "resumed": false, "complete": false});
        assert_eq!(first, wanted);
    });
    let described = server.get("/stores/t").expect(200);
    assert_eq!(described["unfinished_copy_of"], "s");
    assert_eq!(described["stats"], json!(null));
    let problem = server.get("/stores/t/keys").problem(409, "unfinished-copy");
    assert_eq!(problem["of"], "s");
    let wanted = json!({"rows": 2000, "bytes": 12000, "resumed": true, "complete": true});
    assert_eq!(copy().expect(200), wanted);
    assert_eq!(server.get("/stores/t/count").expect(200)["count"], 3000);
}

#[test]
fn a_store_is_checked_cleared_and_compacted() {
    let server = with_store();
    put(&server, "a", b"1");
    let healthy = json!({"healthy": true, "rows": 1, "findings": []});
    assert_eq!(server.post("/stores/s/check", "").expect(200), healthy);
    let accepting = server.post("/stores/s/check", r#"{"accept_edits": true}"#);
    let problem = accepting.problem(422, "unsupported");
    assert_eq!(problem["capability"], "taking over edited lines");
    server
        .post("/stores/s/check", r#"{"accept_edits": 1}"#)
        .problem(400, "invalid-body");
    let compacted = server.request("POST", "/stores/s/compact", &[], b"");
    assert_eq!(compacted.expect(200), json!({"compacted": false}));
    server
        .request("POST", "/stores/s/clear", &[], b"")
        .expect(204);
    assert_eq!(server.get("/stores/s/count").expect(200)["count"], 0);
    for action in ["check", "clear", "compact"] {
        let path = format!("/stores/none/{action}");
        server
            .request("POST", &path, &[], b"")
            .problem(404, "no-such-store");
    }
}
