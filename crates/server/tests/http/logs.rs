//! What is written to the log about requests: where they went, and never what was in them.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nexusbase_server::{AuthMode, Limits, ServerConfig};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::running::Running;

/// All lines of the log of this process: the tests share it, and tell their lines by request ids.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Keeps the log from now on, whatever its level.
pub(crate) fn keep_log() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let log = tracing_subscriber::fmt().json().flatten_event(true);
        let log = log.with_max_level(LevelFilter::TRACE);
        log.with_writer(Kept).init();
    });
}

/// All that was logged so far in this process.
pub(crate) fn all() -> String {
    String::from_utf8(LINES.lock().unwrap().clone()).unwrap()
}

/// The lines about a request under a target.
pub(crate) fn lines(target: &str, id: &str) -> Vec<Value> {
    let text = all();
    let lines = text.lines().filter(|line| line.contains(id));
    let lines = lines.filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["target"] == target && line["id"] == id)
        .collect()
}

/// The only line about a request, which comes when its answer has left.
pub(crate) fn line(target: &str, id: &str) -> Value {
    for _ in 0..1000 {
        if let [line] = &lines(target, id)[..] {
            return line.clone();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no line about {id} under {target}");
}

fn slower_than(slow_request: Duration) -> Running {
    keep_log();
    Running::configured(ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        limits: Limits {
            request_timeout: Duration::from_millis(800),
            ..Limits::default()
        },
        slow_request,
        auth: AuthMode::Off,
        ..ServerConfig::default()
    })
}

#[test]
fn every_request_has_a_line_in_the_access_log() {
    let server = slower_than(Duration::ZERO);
    server
        .post("/collections/logged/documents", "{}")
        .expect(201);
    let ask = |method: &str, path: &str, id: &str, accepted: &str| {
        let headers = [("x-request-id", id), ("accept-encoding", accepted)];
        server.request(method, path, &headers, b"")
    };
    let path = "/collections/logged/documents";
    let plain = ask(
        "GET",
        &format!("{path}?filter=%7B%22a%22%3A7654321%7D"),
        "access-1",
        "",
    );
    let found = line("access", "access-1");
    assert_eq!(found["level"], "INFO");
    assert_eq!(found["method"], "GET");
    assert_eq!(found["path"], path);
    assert_eq!(found["status"], 200);
    assert_eq!(found["bytes"], plain.bytes.len());
    assert!(found["micros"].is_u64());
    // What people search for is nobody's business.
    assert!(!found.to_string().contains("7654321"), "{found}");

    ask("GET", "/collections/none", "access-2", "").problem(404, "no-such-collection");
    assert_eq!(line("access", "access-2")["status"], 404);
    assert!(
        ask("HEAD", "/openapi.json", "access-3", "")
            .bytes
            .is_empty()
    );
    assert_eq!(line("access", "access-3")["bytes"], 0);
    // The bytes are those that were sent.
    let packed = ask("GET", "/openapi.json", "access-4", "zstd");
    assert_eq!(packed.header("content-encoding"), "zstd");
    assert_eq!(line("access", "access-4")["bytes"], packed.bytes.len());
    assert_eq!(lines("slow", "access-4").len(), 0);
}

#[test]
fn slow_requests_are_logged_with_the_shape_of_their_filter() {
    let server = slower_than(Duration::from_nanos(1));
    server.post("/collections/c/documents", "{}").expect(201);
    let filter = r#"{"size":{"$gte":7654321},"$or":[{"kind":"secret"},{"b":null}]}"#;
    let find = format!("/collections/c/documents?filter={}", percent(filter));
    let ask = |path: &str, id: &str| server.request("GET", path, &[("x-request-id", id)], b"");
    ask(&find, "slow-1").expect(200);
    let found = line("slow", "slow-1");
    assert_eq!(found["level"], "WARN");
    assert_eq!(found["route"], "/collections/{name}/documents");
    assert_eq!(found["path"], "/collections/c/documents");
    assert_eq!(found["method"], "GET");
    assert_eq!(found["status"], 200);
    assert!(found["ms"].is_u64());
    assert_eq!(found["filter"], "size:$gte $or(kind:$eq b:$eq)");
    let text = found.to_string();
    assert!(
        !text.contains("7654321") && !text.contains("secret"),
        "{text}"
    );
    ask("/health", "slow-2").expect(200);
    assert_eq!(line("slow", "slow-2")["filter"], Value::Null);
    assert!(server.metric("nexusbase_http_slow_requests_total") >= 2.0);
    // One that was quick enough is not among them.
    let patient = slower_than(Duration::from_secs(3600));
    let quick = patient.request("GET", "/health", &[("x-request-id", "slow-4")], b"");
    quick.expect(200);
    line("access", "slow-4");
    assert_eq!(lines("slow", "slow-4").len(), 0);
}

/// Those whose time is up are the slowest of all.
#[test]
fn a_query_over_time_is_logged_with_its_shape() {
    let server = slower_than(Duration::from_millis(100));
    let body = json!({"_id": 1, "a": 1}).to_string();
    server.post("/collections/c/documents", &body).expect(201);
    server.clock.hold_query(2);
    let find = format!("/collections/c/documents?filter={}", percent(r#"{"a":1}"#));
    let reply = server.request("GET", &find, &[("x-request-id", "slow-3")], b"");
    reply.problem(504, "timeout");
    server.clock.open();
    let found = line("slow", "slow-3");
    assert_eq!(found["filter"], "a:$eq");
    assert_eq!(found["status"], 504);
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
