//! Preconditions: `If-Match` and `If-None-Match`, alone and among many.

use super::{get, put, with_store};
use crate::running::{Reply, Running};

const PATH: &str = "/stores/s/keys/a";

fn put_if(server: &Running, name: &str, value: &str, body: &[u8]) -> Reply {
    server.request("PUT", PATH, &[(name, value)], body)
}

#[test]
fn creating_never_replaces() {
    let server = with_store();
    let created = put_if(&server, "if-none-match", "*", b"1");
    created.expect(201);
    let refused = put_if(&server, "if-none-match", "*", b"2");
    let problem = refused.problem(412, "precondition-failed");
    assert_eq!(refused.header("etag"), created.header("etag"));
    assert_eq!(problem["etag"], created.header("etag"));
    assert_eq!(get(&server, "a").body, "1");
}

#[test]
fn replacing_needs_what_was_read() {
    let server = with_store();
    let refused = put_if(&server, "if-match", "*", b"1");
    assert!(refused.problem(412, "precondition-failed")["etag"].is_null());
    let first = put(&server, "a", b"1");
    assert_eq!(get(&server, "a").header("etag"), first);
    let list = format!("\"other\", {first}");
    let second = put_if(&server, "if-match", &list, b"2");
    second.expect(204);
    put_if(&server, "if-match", &first, b"3").problem(412, "precondition-failed");
    let weak = format!("W/{}", second.header("etag"));
    put_if(&server, "if-match", &weak, b"3").problem(412, "precondition-failed");
    put_if(&server, "if-match", "*", b"3").expect(204);
    put_if(&server, "if-none-match", second.header("etag"), b"4").expect(204);
    let now = get(&server, "a").header("etag").to_owned();
    put_if(&server, "if-none-match", &now, b"5").problem(412, "precondition-failed");
    assert_eq!(get(&server, "a").body, "4");
}

#[test]
fn the_type_is_part_of_the_tag() {
    let server = with_store();
    let plain = put(&server, "a", b"1");
    let headers = [("content-type", "text/plain"), ("if-match", plain.as_str())];
    let typed = server.request("PUT", PATH, &headers, b"1");
    typed.expect(204);
    assert_ne!(typed.header("etag"), plain);
}

#[test]
fn deleting_needs_what_was_read() {
    let server = with_store();
    let first = put(&server, "a", b"1");
    put(&server, "a", b"2");
    let delete = |name: &str, value: &str| server.request("DELETE", PATH, &[(name, value)], b"");
    delete("if-match", &first).problem(412, "precondition-failed");
    let now = get(&server, "a").header("etag").to_owned();
    delete("if-match", &now).expect(204);
    delete("if-match", "*").problem(412, "precondition-failed");
    delete("if-none-match", "*").problem(404, "no-such-key");
}

#[test]
fn who_has_it_already_gets_no_body() {
    let server = with_store();
    let etag = put(&server, "a", b"1");
    for known in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"x\", {etag}"),
        "*".to_owned(),
    ] {
        let reply = server.request("GET", PATH, &[("if-none-match", &known)], b"");
        assert_eq!((reply.status, reply.bytes.len()), (304, 0), "{known}");
        assert_eq!(reply.header("etag"), etag);
    }
    let reply = server.request("GET", PATH, &[("if-none-match", "\"x\"")], b"");
    assert_eq!(reply.body, "1");
    server
        .request("GET", PATH, &[("if-match", "\"x\"")], b"")
        .problem(412, "precondition-failed");
    let none = "/stores/s/keys/none";
    server
        .request("GET", none, &[("if-none-match", "*")], b"")
        .problem(404, "no-such-key");
}

#[test]
fn tags_that_are_none_are_refused() {
    let server = with_store();
    for header in ["if-match", "if-none-match"] {
        for bad in ["", "a", "\"a", "'a'", "*, \"a\"", "\"a\" \"b\"", "w/\"a\""] {
            for method in ["GET", "PUT", "DELETE"] {
                let reply = server.request(method, PATH, &[(header, bad)], b"");
                let problem = reply.problem(400, "invalid-header");
                assert_eq!(problem["header"], header, "{method} {bad}");
            }
        }
    }
    get(&server, "a").problem(404, "no-such-key");
}

/// Sixteen clients read a number, and put the next one if nobody was faster. None is lost.
#[test]
fn sixteen_clients_count_together() {
    let server = with_store();
    let (clients, times) = (16, 25);
    let conflicts: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| (0..times).map(|_| increment(&server)).sum::<usize>()))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert_eq!(get(&server, "a").body, (clients * times).to_string());
    assert!(conflicts > 0, "they never met");
}

/// Counts up, and says how often another was faster.
fn increment(server: &Running) -> usize {
    let mut conflicts = 0;
    loop {
        let found = server.get(PATH);
        let (name, value, next) = if found.status == 404 {
            ("if-none-match", "*".to_owned(), 1)
        } else {
            let number: u64 = found.body.parse().unwrap();
            ("if-match", found.header("etag").to_owned(), number + 1)
        };
        let reply = put_if(server, name, &value, next.to_string().as_bytes());
        match reply.status {
            201 | 204 => return conflicts,
            412 => conflicts += 1,
            _ => panic!("{reply:?}"),
        }
    }
}
