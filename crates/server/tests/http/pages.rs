//! Pages by cursor.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::documents::encode;
use crate::running::Running;

fn fill(server: &Running, count: usize) {
    let lines: String = (0..count)
        .map(|n| format!("{{\"_id\": {n}, \"group\": {}}}\n", n % 7))
        .collect();
    server.lines("/collections/c/documents", &lines).expect(201);
}

/// The path of the next page, from the Link header.
fn next_link(reply: &crate::running::Reply) -> Option<String> {
    let link = reply.header("link");
    let (url, rest) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(rest, "; rel=\"next\"");
    Some(url.to_owned())
}

#[test]
fn next_is_null_exactly_when_nothing_follows() {
    let server = Running::start();
    fill(&server, 10);
    for limit in 1..=12 {
        let mut url = format!("/collections/c/documents?limit={limit}&sort=-group");
        let mut seen = Vec::new();
        loop {
            let reply = server.get(&url);
            let answer = reply.expect(200);
            let documents = answer["documents"].as_array().unwrap();
            seen.extend(documents.iter().map(|d| d["_id"].as_i64().unwrap()));
            let left = 10 - seen.len();
            assert_eq!(answer["next"].is_null(), left == 0, "limit {limit}");
            assert_eq!(
                answer["next"].as_str().unwrap_or_default(),
                reply.header("x-next-cursor")
            );
            match next_link(&reply) {
                Some(next) => url = next,
                None => break,
            }
        }
        assert_eq!(seen.len(), 10);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 10);
    }
}

#[test]
fn links_keep_the_question() {
    let server = Running::start();
    fill(&server, 20);
    let filter = encode(r#"{"group": {"$in": [1, 2]}, "_id": {"$gte": 0}}"#);
    let url = format!("/collections/c/documents?filter={filter}&fields=group&skip=1&limit=2");
    let first = server.get(&url);
    assert_eq!(first.expect(200)["documents"][0]["_id"], 2);
    let second = server.get(&next_link(&first).unwrap());
    assert_eq!(second.expect(200)["documents"][0]["_id"], 9);
    let accept = [("accept", "application/x-ndjson")];
    let lines = server.request("GET", &url, &accept, b"");
    assert_eq!(lines.status, 200);
    assert_eq!(lines.body.lines().count(), 2);
    assert_eq!(next_link(&lines), next_link(&first));
    assert_eq!(
        lines.header("x-next-cursor"),
        first.expect(200)["next"].as_str().unwrap()
    );
}

#[test]
fn limits_are_capped_and_have_a_default() {
    let server = Running::start();
    fill(&server, 1500);
    let length = |query: &str| {
        let answer = server
            .get(&format!("/collections/c/documents{query}"))
            .expect(200);
        answer["documents"].as_array().unwrap().len()
    };
    assert_eq!(length(""), 100);
    assert_eq!(length("?limit=7"), 7);
    assert_eq!(length("?limit=100000"), 1000);
}

#[test]
fn a_page_of_large_documents_ends_early() {
    let server = Running::start();
    let text = "x".repeat(3 << 20);
    for n in 0..5 {
        let body = format!("{{\"_id\": {n}, \"text\": \"{text}\"}}");
        server.post("/collections/c/documents", &body).expect(201);
    }
    let mut url = "/collections/c/documents".to_owned();
    let mut pages = Vec::new();
    loop {
        let reply = server.get(&url);
        pages.push(reply.expect(200)["documents"].as_array().unwrap().len());
        match next_link(&reply) {
            Some(next) => url = next,
            None => break,
        }
    }
    assert_eq!(pages, [3, 2]);
}

/// While others insert, delete and change, pages show each document that was there all the time
/// exactly once.
#[test]
fn pages_hold_while_others_write() {
    let server = Running::start();
    fill(&server, 700);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when an assertion fails below.
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| {
            let mut n = 10_000;
            while !stop.load(Ordering::Relaxed) {
                let body = format!("{{\"_id\": {n}, \"group\": {}}}", n % 7);
                server.post("/collections/c/documents", &body).expect(201);
                if n % 3 == 0 {
                    server
                        .delete(&format!("/collections/c/documents/={}", n - 1))
                        .expect(204);
                }
                n += 1;
            }
        });
        for sort in ["", "&sort=group", "&sort=-group,-_id"] {
            let mut url = format!("/collections/c/documents?limit=13{sort}");
            let mut seen = Vec::new();
            loop {
                let reply = server.get(&url);
                let answer = reply.expect(200);
                let documents = answer["documents"].as_array().unwrap();
                seen.extend(documents.iter().map(|d| d["_id"].as_i64().unwrap()));
                match next_link(&reply) {
                    Some(next) => url = next,
                    None => break,
                }
            }
            let once: BTreeSet<i64> = seen.iter().copied().collect();
            assert_eq!(once.len(), seen.len(), "a document was shown twice");
            assert!(
                (0..700).all(|n| once.contains(&n)),
                "a document was left out"
            );
        }
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn skip_counts_on_the_first_page_only() {
    let server = Running::start();
    fill(&server, 10);
    let first = server.get("/collections/c/documents?limit=3&skip=2");
    let next = next_link(&first).unwrap();
    assert!(!next.contains("skip="), "{next}");
    let second = server.get(&next).expect(200);
    assert_eq!(second["documents"][0]["_id"], 5);
    let refused = server
        .get(&format!("{next}&skip=2"))
        .problem(400, "invalid-parameter");
    assert_eq!(refused["parameter"], "skip");
}
