//! Input from someone who means ill: whatever comes, the answer is no 5xx, and the next request is
//! served.

use crate::running::Running;

use super::create;

fn targets() -> Vec<String> {
    let long = "x".repeat(60_000);
    let mut all: Vec<String> = [
        "/stores/%",
        "/stores/%zz",
        "/stores/%00",
        "/stores/%ff",
        "/stores/..",
        "/stores/../..",
        "/stores//keys",
        "/stores/s/",
        "/stores/s//",
        "/stores/s/keys/",
        "/stores/s/keys//",
        "/stores/s/keys/%",
        "/stores/s/keys/%2",
        "/stores/s/keys/%zz",
        "/stores/s/keys/..",
        "/stores/s/keys/%2e%2e/%2e%2e",
        "/stores/s/keys/%00",
        "/stores/s/keys/%ff",
        "/stores/s/keys/a?x",
        "/stores/s/keys?limit=18446744073709551616",
        "/stores/s/keys?limit=9223372036854775807",
        "/stores/s/keys?after=%00",
        "/stores/s/keys?after=AAA",
        "/stores/s/keys?start=%ff&end=%00",
        "/stores/s/keys?prefix=%ff%ff%ff&order=desc",
        "/stores/s/keys?values=1",
        "/stores/s/versions/%",
        "/stores/s/versions/%ff",
        "/stores/s/versions/0",
        "/stores/s/versions/-1",
        "/stores/s/versions/99999999999999999999999",
        "/stores/s/versions/1/keys/%zz",
        "/stores/s/versions//keys/a",
        "/stores/s/diff?from=",
        "/stores/s/diff?from=%00&to=%00",
        "/stores/s/diff?to=1",
        "/stores/s/copy",
        "/stores/s/batch",
        "/stores/s/rename",
        "/stores/s/check",
        "/stores/s/count?prefix=%zz",
        "/stores/s/nothing",
        "/engines/x",
        "/engines?x",
        "/events?x=1",
        "/stores/s/events?x",
        "/stores/none/events",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("/stores/{long}"));
    all.push(format!("/stores/s/keys/{long}"));
    all.push(format!("/stores/s/keys/{}", "/".repeat(60_000)));
    all.push(format!("/stores/s/keys?prefix={long}"));
    all.push(format!("/stores/s/keys?after={long}"));
    all.push(format!("/stores/s/versions/{long}"));
    all
}

#[test]
fn no_url_makes_the_server_fail() {
    let server = Running::start();
    create(&server, "s");
    for target in targets() {
        for method in ["GET", "PUT", "DELETE", "HEAD", "PATCH", "POST"] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 2\r\nConnection: close\r\n\r\n[]"
            );
            let answer = server.raw(request.as_bytes());
            let status = answer
                .strip_prefix("HTTP/1.1 ")
                .and_then(|rest| rest.get(..3));
            let status: u16 = status
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            let shown = target.chars().take(80).collect::<String>();
            assert!((200..500).contains(&status), "{method} {shown}: {answer}");
        }
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn no_body_makes_the_server_fail() {
    let server = Running::start();
    create(&server, "s");
    let mut bodies: Vec<Vec<u8>> = [
        " ",
        "{",
        "[",
        "null",
        "1",
        "\"x\"",
        "{}{}",
        "{\"a\":1}",
        "{\"to\":1}",
        "{\"to\":\"\"}",
        "{\"to\":\"s\",\"to\":\"t\"}",
        "{\"operations\":null}",
        "{\"operations\":[null]}",
        "{\"operations\":[{\"op\":\"get\",\"op\":\"set\",\"key\":\"a\"}]}",
        "{\"operations\":[{\"op\":\"get\",\"key\":\"\\ud800\"}]}",
        "{\"options\":{\"ttl_ms\":1e999}}",
        "{\"options\":{\"ttl_ms\":18446744073709551616}}",
        "{\"options\":null,\"x\":1}",
        "{\"name\":\"\\u0000\"}",
        "{\"note\":1}",
        "\u{feff}{}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.push(b"\xff\xfe".to_vec());
    bodies.push(vec![0; 1000]);
    bodies.push("[".repeat(100_000).into_bytes());
    bodies.push("{\"operations\":".repeat(50_000).into_bytes());
    let json = [("content-type", "application/json")];
    for body in bodies {
        let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        for (method, path) in [
            ("PUT", "/stores/t"),
            ("PATCH", "/stores/s"),
            ("POST", "/stores/s/rename"),
            ("POST", "/stores/s/copy"),
            ("POST", "/stores/s/check"),
            ("POST", "/stores/s/versions"),
            ("POST", "/stores/s/batch"),
        ] {
            let reply = server.request(method, path, &json, &body);
            assert_eq!(reply.status, 400, "{method} {path} {shown}: {}", reply.body);
            assert_eq!(reply.header("content-type"), "application/problem+json");
        }
    }
    assert_eq!(
        server.get("/stores").expect(200)["stores"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    server
        .post("/stores/s/rename", r#"{"to": "s"}"#)
        .problem(409, "store-exists");
}

#[test]
fn pages_of_other_origins_may_not_write() {
    let server = Running::start();
    create(&server, "s");
    let origin = [("origin", "http://example.com")];
    for (method, path) in [
        ("PUT", "/stores/s/keys/a"),
        ("DELETE", "/stores/s"),
        ("POST", "/stores/s/clear"),
        ("PATCH", "/stores/s"),
    ] {
        let reply = server.request(method, path, &origin, b"");
        reply.problem(403, "foreign-origin");
    }
    let host = [("host", "rebind.test")];
    for path in ["/stores/s/keys/a", "/stores/s/events", "/events"] {
        server
            .request("GET", path, &host, b"")
            .problem(421, "foreign-host");
    }
}
