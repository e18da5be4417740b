//! Input from someone who means ill: whatever comes, the answer is no 5xx, and the next request is
//! served.

use std::io::Write;
use std::time::Duration;

use nexusbase_server::Limits;

use crate::running::{Running, read_all};

/// Bodies for an insert, good for no document.
fn bodies() -> Vec<Vec<u8>> {
    let deep = |open: &str, times: usize| open.repeat(times);
    let mut all: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[[",
        "[]]",
        "{}{}",
        "{} x",
        "null",
        "true",
        "1",
        "\"x\"",
        "[1]",
        "[null]",
        "[[]]",
        "[{},]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":1e999999999999999999999}",
        "{\"a\":-}",
        "{\"a\":99999999999999999999999999999999999999999}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\u{0}\"}",
        "{\"\\u0000\":1}",
        "{\"a\":1,\"a\":2}",
        "{\"\":1}",
        "{\"$x\":1}",
        "{\"a.b\":1}",
        "{\"_id\":[]}",
        "{\"_id\":{\"$undefined\":true}}",
        "{\"_id\":{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}}",
        "{\"$oid\":\"0123456789abcdef01234567\"}",
        "{\"a\":{\"$oid\":\"x\"}}",
        "{\"a\":{\"$date\":\"yesterday\"}}",
        "{\"a\":{\"$numberDecimal\":\"x\"}}",
        "{\"a\":{\"$numberLong\":\"99999999999999999999\"}}",
        "{\"a\":{\"$binary\":{}}}",
        "{\"a\":{\"$numberInt\":\"1\",\"b\":2}}",
        "\u{feff}{}",
        "// comment\n{}",
        "{\"a\":tru}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    all.push(b"{\"a\":\"\xff\xfe\"}".to_vec());
    all.push(b"\xc3".to_vec());
    all.push(vec![0; 1000]);
    all.push(deep("[", 100_000).into_bytes());
    all.push(deep("{\"a\":", 100_000).into_bytes());
    all.push(deep("{\"a\":[", 50_000).into_bytes());
    all.push(format!("{{\"a\":{}{}}}", deep("[", 200), deep("]", 200)).into_bytes());
    all.push(format!("{{\"a\":1{}}}", "0".repeat(100_000)).into_bytes());
    all.push(format!("{{\"{}\":1", "k".repeat(100_000)).into_bytes());
    all
}

#[test]
fn no_body_makes_the_server_fail() {
    let server = Running::start();
    let json = [("content-type", "application/json")];
    let lines = [("content-type", "application/x-ndjson")];
    for body in bodies() {
        let shown = String::from_utf8_lossy(&body)
            .chars()
            .take(60)
            .collect::<String>();
        for (method, path, headers) in [
            ("POST", "/collections/c/documents", &json),
            ("PUT", "/collections/c/documents/x", &json),
            ("POST", "/collections/c/documents", &lines),
            ("POST", "/collections/lines/documents?on_error=skip", &lines),
        ] {
            let reply = server.request(method, path, headers, &body);
            assert!(
                reply.status < 500,
                "{method} {path} {shown}: {}",
                reply.body
            );
            let is_skip = path.ends_with("skip");
            let is_empty = headers == &lines && body.iter().all(u8::is_ascii_whitespace);
            if !is_skip && !is_empty {
                assert!(
                    matches!(reply.status, 400 | 413),
                    "{method} {shown}: {}",
                    reply.body
                );
                assert_eq!(reply.header("content-type"), "application/problem+json");
            }
        }
    }
    // None of it was stored, so even the collection is not there.
    server
        .get("/collections/c")
        .problem(404, "no-such-collection");
}

/// Paths and queries, as they stand in the first line of a request.
fn targets() -> Vec<String> {
    let long = "x".repeat(60_000);
    let mut all: Vec<String> = [
        "/collections/%",
        "/collections/%2",
        "/collections/%zz",
        "/collections/%00",
        "/collections/%ff",
        "/collections/..",
        "/collections/../..",
        "/collections/%2e%2e",
        "/collections/a%2fb/documents",
        "/collections/a%0d%0aX:%20y",
        "//",
        "/./",
        "/%",
        "/collections/c/documents/%",
        "/collections/c/documents/%ff",
        "/collections/c/documents/%00",
        "/collections/c/documents/%0d%0a",
        "/collections/c/documents/%7b%7d",
        "/collections/c/documents/%7b%22$oid%22:1%7d",
        "/collections/c/documents/=",
        "/collections/c/documents/==",
        "/collections/c/documents/=%5b1%5d",
        "/collections/c/documents/%22",
        "/collections/c/documents/=1e999",
        "/collections/c/documents/=-",
        "/collections/c/documents/a/b/c",
        "/collections/c/indexes/%ff",
        "/collections/c/indexes/%2e",
        "/collections/c/indexes/$",
        "/collections/c/documents?",
        "/collections/c/documents?&&&",
        "/collections/c/documents?=",
        "/collections/c/documents?=1",
        "/collections/c/documents?%ff=1",
        "/collections/c/documents?limit",
        "/collections/c/documents?limit=%",
        "/collections/c/documents?limit=%00",
        "/collections/c/documents?limit=1e3",
        "/collections/c/documents?limit=0x10",
        "/collections/c/documents?limit=-9",
        "/collections/c/documents?limit=18446744073709551615",
        "/collections/c/documents?limit=18446744073709551616",
        "/collections/c/documents?skip=18446744073709551615",
        "/collections/c/documents?skip=18446744073709551615&limit=18446744073709551615",
        "/collections/c/documents?sort=.",
        "/collections/c/documents?sort=-",
        "/collections/c/documents?sort=--a",
        "/collections/c/documents?sort=,",
        "/collections/c/documents?sort=%00",
        "/collections/c/documents?fields=,",
        "/collections/c/documents?fields=.",
        "/collections/c/documents?fields=$a",
        "/collections/c/documents?cursor=AAAA",
        "/collections/c/documents?cursor=%ff",
        "/collections/c/documents?cursor=AQAAAAAAAAAAAAAA",
        "/collections/c/documents?filter=%7b",
        "/collections/c/documents?filter=[]",
        "/collections/c/documents?filter=null",
        "/collections/c/documents?filter=%00",
        "/collections/c/documents?filter={\"$where\":\"1\"}",
        "/collections/c/documents?filter={\"a\":{\"$in\":1}}",
        "/collections/c/documents?filter={\"a\":{\"$gt\":1,\"b\":2}}",
        "/collections/c/documents?filter={\"$and\":[]}",
        "/collections/c/documents?filter={\"\":1}",
        "/collections/c/documents?filter={\"a..b\":1}",
        "/collections/c/documents?explain=TRUE",
        "/collections/c/documents?a[b]=c",
        "/collections/c/documents?limit=1;skip=2",
        "/openapi.json?x=1",
        "/health?x",
        "/metrics/",
        "*",
        "x",
        "/\u{7f}",
        "http://localhost",
        "http://localhost/collections?x=1",
        "localhost:80",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("/collections/{long}"));
    all.push(format!("/collections/c/documents/{long}"));
    all.push(format!("/collections/c/documents/%22{long}%22"));
    all.push(format!("/collections/c/documents?cursor={long}"));
    all.push(format!(
        "/collections/c/documents?sort={}a",
        "a,".repeat(20_000)
    ));
    all.push(format!(
        "/collections/c/documents?sort=a{}",
        ".a".repeat(20_000)
    ));
    all.push(format!(
        "/collections/c/documents?fields={}a",
        "a.".repeat(20_000)
    ));
    let nested = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    all.push(format!("/collections/c/documents?filter={nested}"));
    let many = format!("[{}1]", "1,".repeat(20_000));
    all.push(format!(
        "/collections/c/documents?filter={{\"a\":{{\"$in\":{many}}}}}"
    ));
    all.push(format!("/{}", "x".repeat(200_000)));
    all
}

#[test]
fn no_url_makes_the_server_fail() {
    let server = Running::start();
    server
        .post("/collections/c/documents", r#"[{"_id": 1}, {"_id": 2}]"#)
        .expect(201);
    for target in targets() {
        for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "POST"] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 2\r\nConnection: close\r\n\r\n[]"
            );
            let answer = server.raw(request.as_bytes());
            let shown = target.chars().take(80).collect::<String>();
            let status = answer
                .strip_prefix("HTTP/1.1 ")
                .and_then(|rest| rest.get(..3));
            let status: u16 = status
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            assert!((200..500).contains(&status), "{method} {shown}: {answer}");
        }
        assert_eq!(server.get("/health").status, 200);
    }
}

#[test]
fn no_bytes_make_the_server_fail() {
    let server = Running::with(Limits {
        request_timeout: Duration::from_millis(800),
        ..Limits::default()
    });
    let ok = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
    let post = "POST /collections/c/documents HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\n";
    let requests: Vec<Vec<u8>> = vec![
        vec![],
        vec![0; 100],
        vec![0xff; 100_000],
        b"\r\n\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"G\x00T / HTTP/1.1\r\n\r\n".to_vec(),
        format!("{ok}A: b\nC: d\r\n\r\n").into_bytes(),
        format!("{ok}A : b\r\n\r\n").into_bytes(),
        format!("{ok}: b\r\n\r\n").into_bytes(),
        format!("{ok}A: b\r\n c\r\n\r\n").into_bytes(),
        format!("{ok}A: \x00\r\n\r\n").into_bytes(),
        format!("{ok}{}\r\n", "A: b\r\n".repeat(5000)).into_bytes(),
        format!("{ok}A: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
        format!("{ok}{}\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
        format!("{post}Content-Length: -1\r\n\r\n{{}}").into_bytes(),
        format!("{post}Content-Length: x\r\n\r\n{{}}").into_bytes(),
        format!("{post}Content-Length: 99999999999999999999999\r\n\r\n{{}}").into_bytes(),
        format!("{post}Content-Length: 18446744073709551615\r\n\r\n{{}}").into_bytes(),
        format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}").into_bytes(),
        format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{{}}").into_bytes(),
        format!("{post}Content-Length: 20\r\n\r\n{{}}").into_bytes(),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n").into_bytes(),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n").into_bytes(),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}").into_bytes(),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        format!("{post}Transfer-Encoding: banana\r\n\r\n{{}}").into_bytes(),
        format!("{post}Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{{").into_bytes(),
        format!("{post}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n").into_bytes(),
        format!("{post}Accept: ;;;,,,q=\r\nContent-Length: 2\r\n\r\nxx").into_bytes(),
        format!("{post}Accept: */*;q=nan, application/json;q=-5\r\nContent-Length: 2\r\n\r\nxx")
            .into_bytes(),
    ];
    std::thread::scope(|scope| {
        for (number, request) in requests.iter().enumerate() {
            let server = &server;
            scope.spawn(move || {
                let answer = server.raw(request);
                assert!(!answer.contains("HTTP/1.1 5"), "request {number}: {answer}");
                assert!(
                    !answer.contains("HTTP/1.1 201"),
                    "request {number}: {answer}"
                );
                // The same, cut off in the middle, by somebody who does not wait.
                let mut stream = server.connect();
                let _ = stream.write_all(&request[..request.len() / 2]);
                drop(stream);
                assert_eq!(server.get("/health").status, 200, "request {number}");
            });
        }
    });
    server
        .get("/collections/c")
        .problem(404, "no-such-collection");
}

/// Two requests hidden in one are never two answers to one caller (request smuggling).
#[test]
fn lengths_that_contradict_each_other_end_the_connection() {
    let server = Running::start();
    let hidden = "DELETE /collections/c HTTP/1.1\r\nHost: localhost\r\n\r\n";
    server
        .request("PUT", "/collections/c", &[], b"")
        .expect(201);
    for lengths in [
        "Content-Length: 0\r\nContent-Length: 60",
        "Content-Length: +0",
        "Content-Length: 0, 60",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
    ] {
        let request = format!(
            "POST /collections/c/documents HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n{hidden}"
        );
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 4"), "{lengths}: {answer}");
        server.get("/collections/c").expect(200);
    }
}
