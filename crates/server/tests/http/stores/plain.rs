//! An engine that can do little and fails on demand: what a store cannot do is said, and what goes
//! wrong inside stays inside.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nexusbase_io::Env;
use nexusbase_kv::{
    Capabilities, CheckFinding, CheckMode, CheckReport, Cursor, Direction, Engine, Entry, Error,
    ErrorKind, Expected, KeyRange, Operation, Put, Result, Store, StoreInfo, StoreOptions,
    StoreStats, Swap, Transactions, View, Write,
};
use serde_json::json;

use crate::running::Running;

/// The stores of another engine, with less that they can do.
#[derive(Debug)]
struct Plain(Arc<dyn Engine>);

#[derive(Debug)]
struct PlainStore(Arc<dyn Store>);

fn less(capabilities: Capabilities) -> Capabilities {
    Capabilities {
        transactions: Transactions::None,
        versioned: false,
        ..capabilities
    }
}

impl Engine for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn capabilities(&self) -> Capabilities {
        less(self.0.capabilities())
    }

    fn create(&self, store: &str, options: &StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(PlainStore(self.0.create(store, options)?)))
    }

    fn open(&self, store: &str) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(PlainStore(self.0.open(store)?)))
    }

    fn drop_store(&self, store: &str) -> Result<()> {
        self.0.drop_store(store)
    }

    fn rename(&self, from: &str, _to: &str) -> Result<()> {
        let kind = ErrorKind::Unsupported(nexusbase_kv::Capability::Rename);
        Err(Error::new(Operation::RenameStore, kind)
            .engine("plain")
            .store(from))
    }

    fn list(&self) -> Result<Vec<StoreInfo>> {
        self.0.list()
    }

    fn set_options(&self, store: &str, options: &StoreOptions) -> Result<()> {
        std::thread::sleep(Duration::from_millis(2));
        self.0.set_options(store, options)
    }

    fn check(&self, _store: &str, mode: CheckMode) -> Result<CheckReport> {
        let finding = CheckFinding {
            place: "line 7".to_owned(),
            what: "it was edited".to_owned(),
            mended: mode == CheckMode::AcceptEdits,
        };
        Ok(CheckReport {
            rows: 6,
            findings: vec![finding],
        })
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}

impl View for PlainStore {
    fn entry(&self, key: &[u8]) -> Result<Option<Entry>> {
        let file = PathBuf::from("/hidden/place/file");
        let kind = match key {
            b"damaged" => ErrorKind::Corrupt {
                file,
                offset: 7,
                expected: "one".to_owned(),
                found: "other".to_owned(),
            },
            b"failing" => ErrorKind::Io(nexusbase_io::Error::new(
                "read",
                &file,
                std::io::ErrorKind::Other.into(),
            )),
            b"full" => ErrorKind::Io(nexusbase_io::Error::new(
                "write",
                &file,
                std::io::ErrorKind::StorageFull.into(),
            )),
            b"below" => ErrorKind::Failed(Box::new(nexusbase_db::CommitError::Closed)),
            b"panic" => panic!("with a secret"),
            _ => return self.0.entry(key),
        };
        Err(Error::new(Operation::Get, kind).engine("plain"))
    }

    fn entries(&self, keys: &[&[u8]]) -> Result<Vec<Option<Entry>>> {
        self.0.entries(keys)
    }

    fn cursor(&self, range: KeyRange, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        self.0.cursor(range, direction)
    }
}

impl Store for PlainStore {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn engine_name(&self) -> &str {
        "plain"
    }

    fn capabilities(&self) -> Capabilities {
        less(self.0.capabilities())
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<()> {
        self.0.write(writes)
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.0.delete(key)
    }

    fn compare_and_set(
        &self,
        key: &[u8],
        expected: Expected<'_>,
        new: Option<Put<'_>>,
    ) -> Result<Swap> {
        self.0.compare_and_set(key, expected, new)
    }

    fn clear(&self) -> Result<()> {
        self.0.clear()
    }

    fn snapshot(&self) -> Result<Box<dyn View + Send>> {
        self.0.snapshot()
    }

    fn stats(&self) -> Result<StoreStats> {
        self.0.stats()
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }

    fn compact(&self) -> Result<bool> {
        Ok(true)
    }
}

/// A server with a store `s` on the engine.
fn start() -> Running {
    let server = Running::start();
    let inner = nexusbase_kv::engines::memory::engine(&Env::os());
    server.stores.register(Arc::new(Plain(inner))).unwrap();
    server
        .put("/stores/s", r#"{"engine": "plain"}"#)
        .expect(201);
    server
}

#[test]
fn what_an_engine_cannot_do_is_said() {
    let server = start();
    let described = server.get("/stores/s").expect(200);
    assert_eq!(described["capabilities"]["transactions"], "none");
    assert_eq!(described["capabilities"]["versioned"], false);
    for (method, path) in [
        ("GET", "/versions"),
        ("POST", "/versions"),
        ("GET", "/versions/1"),
        ("DELETE", "/versions/1"),
        ("POST", "/versions/1/restore"),
        ("GET", "/versions/1/keys"),
        ("GET", "/versions/1/keys/a"),
        ("GET", "/diff?from=1"),
    ] {
        let reply = server.request(method, &format!("/stores/s{path}"), &[], b"");
        let problem = reply.problem(422, "unsupported");
        assert_eq!(problem["capability"], "versions", "{method} {path}");
        assert_eq!(problem["store"], "s");
    }
    let problem = server
        .post("/stores/s/rename", r#"{"to": "t"}"#)
        .problem(422, "unsupported");
    assert_eq!(problem["capability"], "renaming a store");
    let compacted = server.request("POST", "/stores/s/compact", &[], b"");
    assert_eq!(compacted.expect(200), json!({"compacted": true}));
}

/// What only writes, or only reads, needs no transaction.
#[test]
fn batches_work_as_far_as_they_can() {
    let server = start();
    let batch = |operations: &str| {
        let body = format!(r#"{{"operations": [{operations}]}}"#);
        server.post("/stores/s/batch", &body)
    };
    let set = r#"{"op": "set", "key": "a", "value": "1"}"#;
    let delete = r#"{"op": "delete", "key": "b"}"#;
    let get = r#"{"op": "get", "key": "a"}"#;
    let check = r#"{"op": "check", "key": "b", "etag": null}"#;
    batch(&format!("{set}, {delete}")).expect(200);
    let answer = batch(&format!("{get}, {check}")).expect(200);
    assert_eq!(answer["results"][0]["value"], "1");
    for mixed in [format!("{get}, {set}"), format!("{check}, {delete}")] {
        let problem = batch(&mixed).problem(422, "unsupported");
        assert_eq!(problem["capability"], "transactions");
    }
}

#[test]
fn what_a_check_finds_is_an_answer() {
    let server = start();
    let found = |mended: bool| {
        let finding = json!({"place": "line 7", "what": "it was edited", "mended": mended});
        json!({"healthy": mended, "rows": 6, "findings": [finding]})
    };
    let path = "/stores/s/check";
    assert_eq!(server.post(path, "").expect(200), found(false));
    let mended = server.post(path, r#"{"accept_edits": true}"#).expect(200);
    assert_eq!(mended, found(true));
}

#[test]
fn what_goes_wrong_inside_stays_inside() {
    let server = start();
    for (key, status, kind) in [
        ("damaged", 500, "damaged"),
        ("failing", 500, "internal"),
        ("full", 507, "disk-full"),
        ("below", 503, "database-stopped"),
        ("panic", 500, "internal"),
    ] {
        let reply = server.get(&format!("/stores/s/keys/{key}"));
        reply.problem(status, kind);
        for secret in ["/hidden", "offset", "secret"] {
            assert!(!reply.body.contains(secret), "{}", reply.body);
        }
    }
    server.get("/stores/s/keys/a").problem(404, "no-such-key");
}

/// Sixteen clients change a label each, again and again; what one has changed stays, though
/// the engine takes its time.
#[test]
fn no_change_of_options_is_lost() {
    let server = start();
    std::thread::scope(|scope| {
        for client in 0..16 {
            let server = &server;
            scope.spawn(move || {
                let label = client.to_string();
                for round in 0..5 {
                    let round = round.to_string();
                    let body = json!({"labels": {label.as_str(): round}}).to_string();
                    let headers = [("content-type", "application/json")];
                    server
                        .request("PATCH", "/stores/s", &headers, body.as_bytes())
                        .expect(200);
                }
            });
        }
    });
    let kept = server.get("/stores/s").expect(200)["options"]["labels"].clone();
    let kept = kept.as_object().unwrap();
    assert!(
        kept.len() == 16 && kept.values().all(|round| round == "4"),
        "{kept:?}"
    );
}
