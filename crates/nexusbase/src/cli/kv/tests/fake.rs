//! A server for tests: just so much HTTP that the client's requests are understood, over stores in
//! memory. Its pages are short, and its copies stop often, so that going on is tried.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

use nexusbase::kv::{
    CheckMode, CreateOptions, Diff, Difference, Direction, Entry, Error, ErrorKind, Event,
    EventKind, Expected, KeyRange, MultiStore, Next, PageQuery, Put, Result, Retention, Store,
    StoreInfo, StoreOptions, Swap, Version, VersionId, View,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::cli::kv::text::to_json;

/// Rows on a page, whatever is asked for.
const PAGE_ROWS: usize = 2;

/// Serves `stores` until the process ends.
pub(super) fn start(stores: Arc<dyn MultiStore>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, stores) = (stream.unwrap(), Arc::clone(&stores));
            std::thread::spawn(move || connection(&stream, &*stores));
        }
    });
    address
}

struct Request {
    method: String,
    path: Vec<Vec<u8>>,
    query: Vec<(String, Vec<u8>)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    }
}

fn empty(status: u16) -> Reply {
    let headers = Vec::new();
    Reply {
        status,
        headers,
        body: Vec::new(),
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let body = json!({ "type": format!("/problems/{kind}"), "status": status, "detail": detail });
    reply(status, &body)
}

fn connection(stream: &TcpStream, stores: &dyn MultiStore) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let mut out = stream;
        if request.path.last().is_some_and(|last| last == b"events") {
            return events(&request, stores, out);
        }
        let reply = answer(&request, stores).unwrap_or_else(|error| failed(&error));
        let mut head = format!("HTTP/1.1 {} x\r\n", reply.status);
        for (name, value) in reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if reply.status != 204 {
            head += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        head += "\r\n";
        out.write_all(head.as_bytes()).unwrap();
        out.write_all(&reply.body).unwrap();
    }
}

fn failed(error: &Error) -> Reply {
    let (status, kind) = match error.kind() {
        ErrorKind::StoreNotFound => (404, "no-such-store"),
        ErrorKind::VersionNotFound(_) => (404, "no-such-version"),
        ErrorKind::EngineNotFound { .. } => (404, "no-such-engine"),
        ErrorKind::StoreExists => (409, "store-exists"),
        ErrorKind::Invalid(_) => (400, "invalid-parameter"),
        _ => (500, "failed"),
    };
    problem(status, kind, &error.to_string())
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let path = path.split('/').skip(1).map(decoded).collect();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut request = Request {
        method,
        path,
        query,
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |n| n.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.parameter(name)
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn range(&self) -> KeyRange {
        let own = |name| self.parameter(name).map(<[u8]>::to_vec);
        match self.parameter("prefix") {
            Some(prefix) => KeyRange::prefix(prefix),
            None => KeyRange::from_bounds(
                own("start").map_or(Bound::Unbounded, Bound::Included),
                own("end").map_or(Bound::Unbounded, Bound::Excluded),
            ),
        }
    }
}

fn answer(request: &Request, stores: &dyn MultiStore) -> Result<Reply> {
    let path: Vec<&[u8]> = request.path.iter().map(Vec::as_slice).collect();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok(match (request.method.as_str(), path.as_slice()) {
        ("GET", [b"stores"]) => {
            let all: Vec<Value> = stores.list()?.iter().map(described).collect();
            reply(200, &json!({ "stores": all }))
        }
        ("GET", [b"engines"]) => reply(200, &engines(stores)),
        (_, [b"stores", name]) => about_store(request, stores, &text(name))?,
        ("POST", [b"stores", name, b"rename"]) => {
            stores.rename(&text(name), request.json()["to"].as_str().unwrap())?;
            empty(204)
        }
        ("POST", [b"stores", name, b"copy"]) => copied(request, stores, &text(name))?,
        ("POST", [b"stores", name, b"check"]) => {
            let rows = stores.check(&text(name), CheckMode::Look)?.rows;
            let mended = request.json()["accept_edits"] == true;
            let edit = json!({ "place": "line 3", "what": "it was edited", "mended": mended });
            // Nothing is ever wrong in memory.
            let findings = if *name == b"edited" {
                vec![edit]
            } else {
                Vec::new()
            };
            let healthy = mended || findings.is_empty();
            let body = json!({ "healthy": healthy, "rows": rows, "findings": findings });
            reply(200, &body)
        }
        (_, [b"stores", name, rest @ ..]) => {
            let store = stores.open(&text(name))?;
            in_store(request, &*store, rest)?
        }
        _ => problem(404, "no-such-route", "there is nothing at this URL"),
    })
}

fn engines(stores: &dyn MultiStore) -> Value {
    let default = stores.default_engine();
    let all = stores.engines().into_iter().map(|engine| {
        let can = engine.capabilities();
        json!({
            "name": engine.name(),
            "default": default.as_deref() == Some(engine.name()),
            "capabilities": {
                "durable": can.durable, "ordered": can.ordered, "transactions": "one-store",
                "versioned": can.versioned, "larger_than_memory": can.larger_than_memory,
                "limits": {
                    "key_bytes": can.limits.key_bytes,
                    "value_bytes": can.limits.value_bytes,
                    "batch_bytes": can.limits.batch_bytes,
                },
            },
        })
    });
    json!({ "engines": all.collect::<Vec<_>>() })
}

fn described(info: &StoreInfo) -> Value {
    let options = &info.options;
    json!({
        "name": info.name,
        "engine": info.engine,
        "options": {
            "ttl_ms": options.ttl_ms, "keep_versions": options.retention.count,
            "keep_versions_ms": options.retention.age_ms, "read_only": options.read_only,
            "labels": options.labels,
        },
        "unfinished_copy_of": options.copy_of.as_ref().map(|mark| &mark.store),
    })
}

fn about_store(request: &Request, stores: &dyn MultiStore, name: &str) -> Result<Reply> {
    Ok(match request.method.as_str() {
        "GET" => {
            let mut body = described(&stores.info(name)?);
            let stats = stores.open(name)?.stats()?;
            body["stats"] = json!({
                "keys": stats.keys, "bytes": stats.bytes, "exact": stats.exact,
                "disk_bytes": null, "versions": stats.versions, "damage": [],
            });
            reply(200, &body)
        }
        "PUT" => {
            let body = request.json();
            let engine = body.get("engine").map(|e| e.as_str().unwrap().to_owned());
            let mut options = StoreOptions::default();
            merge(&mut options, &body["options"]);
            stores.create(name, &CreateOptions { engine, options })?;
            reply(201, &described(&stores.info(name)?))
        }
        "PATCH" => {
            let mut options = stores.info(name)?.options;
            merge(&mut options, &request.json());
            stores.set_options(name, &options)?;
            reply(200, &described(&stores.info(name)?))
        }
        _ => {
            stores.drop_store(name)?;
            empty(204)
        }
    })
}

fn merge(options: &mut StoreOptions, patch: &Value) {
    let Retention { count, age_ms } = options.retention;
    let number = |name: &str, old: Option<u64>| patch.get(name).map_or(old, Value::as_u64);
    options.ttl_ms = number("ttl_ms", options.ttl_ms);
    options.retention = Retention {
        count: number("keep_versions", count),
        age_ms: number("keep_versions_ms", age_ms),
    };
    if let Some(read_only) = patch.get("read_only") {
        options.read_only = read_only.as_bool().unwrap();
    }
    for (name, value) in patch
        .get("labels")
        .into_iter()
        .flat_map(|l| l.as_object().unwrap())
    {
        match value.as_str() {
            Some(value) => options.labels.insert(name.clone(), value.to_owned()),
            None => options.labels.remove(name),
        };
    }
}

fn copied(request: &Request, stores: &dyn MultiStore, from: &str) -> Result<Reply> {
    let body = request.json();
    let to = body["to"].as_str().unwrap();
    let engine = body.get("engine").map(|engine| engine.as_str().unwrap());
    let report = stores.copy(from, to, engine, &mut |_| ControlFlow::Break(()))?;
    let status = if report.complete { 200 } else { 202 };
    let body = json!({
        "rows": report.copied.rows, "bytes": report.copied.bytes,
        "resumed": report.resumed, "complete": report.complete,
    });
    Ok(reply(status, &body))
}

fn in_store(request: &Request, store: &dyn Store, rest: &[&[u8]]) -> Result<Reply> {
    let versions = store.versioned().unwrap();
    let id = |word: &[u8]| VersionId::parse(std::str::from_utf8(word).unwrap());
    Ok(match (request.method.as_str(), rest) {
        ("GET", [b"keys"]) => reply(200, &page(request, &*store.snapshot()?)?),
        ("GET", [b"versions", v, b"keys"]) => {
            reply(200, &page(request, &*versions.at_version(&id(v))?)?)
        }
        ("GET", [b"keys", key]) => value(&*store.snapshot()?, key)?,
        ("GET", [b"versions", v, b"keys", key]) => value(&*versions.at_version(&id(v))?, key)?,
        ("PUT", [b"keys", key]) => put(request, store, key)?,
        ("DELETE", [b"keys", key]) => {
            if store.delete(key)? {
                empty(204)
            } else {
                problem(404, "no-such-key", "there is no such key")
            }
        }
        ("GET", [b"count"]) => reply(200, &json!({ "count": store.count(request.range())? })),
        ("GET", [b"versions"]) => {
            let all: Vec<Value> = versions.versions()?.iter().map(version).collect();
            reply(200, &json!({ "versions": all }))
        }
        ("POST", [b"versions"]) => {
            let body = request.json();
            let name = body.get("name").map(|name| name.as_str().unwrap());
            let note = body["note"].as_str().unwrap();
            reply(201, &version(&versions.take_version(name, note)?))
        }
        ("DELETE", [b"versions", v]) => {
            versions.delete_version(&id(v))?;
            empty(204)
        }
        ("POST", [b"versions", v, b"restore"]) => {
            reply(200, &version(&versions.restore_version(&id(v))?))
        }
        ("GET", [b"diff"]) => {
            let old = versions.at_version(&id(request.parameter("from").unwrap()))?;
            let new = match request.parameter("to") {
                Some(to) => versions.at_version(&id(to))?,
                None => store.snapshot()?,
            };
            reply(200, &diff(request, &*old, &*new)?)
        }
        _ => problem(404, "no-such-route", "there is nothing at this URL"),
    })
}

fn page(request: &Request, view: &dyn View) -> Result<Value> {
    let limit: usize = request.text("limit").unwrap().parse().unwrap();
    let direction = match request.text("order") {
        Some("desc") => Direction::Reverse,
        _ => Direction::Forward,
    };
    let after = request
        .text("after")
        .map(|after| after.strip_prefix("after ").unwrap());
    let page = view.page(&PageQuery {
        direction,
        limit: limit.min(PAGE_ROWS),
        after: after.map(|after| percent_decode_str(after).collect::<Vec<u8>>().into()),
        ..PageQuery::new(request.range())
    })?;
    let with_values = request.text("values") == Some("true");
    let rows = page.rows.iter().map(|row| {
        let mut shown = json!({ "key": to_json(&row.key) });
        if with_values {
            shown["value"] = to_json(&row.entry.value);
        }
        if let Some(expires_ms) = row.entry.expires_ms {
            shown["expires_ms"] = json!(expires_ms);
        }
        if let Some(media_type) = &row.entry.media_type {
            shown["media_type"] = json!(**media_type);
        }
        shown
    });
    Ok(json!({ "keys": rows.collect::<Vec<_>>(), "next": page.next.as_deref().map(opaque) }))
}

/// Where a page ends, as text that nobody but the server reads.
fn opaque(key: &[u8]) -> String {
    let key = percent_encoding::percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
    format!("after {key}")
}

fn tag(value: &[u8]) -> String {
    format!("\"{}\"", crate::cli::kv::text::hex(value))
}

fn value(view: &dyn View, key: &[u8]) -> Result<Reply> {
    let Some(entry) = view.entry(key)? else {
        return Ok(problem(404, "no-such-key", "there is no such key"));
    };
    let media_type = entry.media_type.as_deref();
    let media_type = media_type.unwrap_or("application/octet-stream").to_owned();
    Ok(Reply {
        status: 200,
        headers: vec![("ETag", tag(&entry.value)), ("Content-Type", media_type)],
        body: entry.value.to_vec(),
    })
}

fn put(request: &Request, store: &dyn Store, key: &[u8]) -> Result<Reply> {
    let ttl = request.header("ttl").map(|ttl| ttl.parse::<u64>().unwrap());
    let put = Put {
        value: &request.body,
        // Tests look whether there is a time, not which.
        expires_ms: ttl.map(|ttl| u64::MAX / 2 + ttl * 1000),
        media_type: request.header("content-type"),
    };
    let old = store.entry(key)?;
    let swap = if request.header("if-none-match") == Some("*") {
        store.compare_and_set(key, Expected::Absent, Some(put))?
    } else if let Some(wanted) = request.header("if-match") {
        match old.filter(|old| tag(&old.value) == wanted) {
            Some(old) => store.compare_and_set(key, Expected::Entry(&old), Some(put))?,
            None => Swap::Differs(None),
        }
    } else {
        store.put(key, put)?;
        Swap::Done
    };
    Ok(match swap {
        Swap::Done => empty(204),
        Swap::Differs(_) => problem(412, "precondition-failed", "it is not as expected"),
    })
}

fn version(version: &Version) -> Value {
    json!({
        "number": version.number, "name": version.name, "note": version.note,
        "time_ms": version.time_ms, "keys": version.keys, "bytes": version.bytes,
        "exact": version.exact,
    })
}

fn diff(request: &Request, old: &dyn View, new: &dyn View) -> Result<Value> {
    let skip = request
        .text("after")
        .map_or(0, |after| after.parse().unwrap());
    let all: Result<Vec<Difference>> = Diff::between(old, new, &KeyRange::all())?.collect();
    let all = all?;
    let value = |entry: &Entry| to_json(&entry.value);
    let shown = all.iter().skip(skip).take(PAGE_ROWS).map(|difference| {
        let key = to_json(difference.key());
        match difference {
            Difference::Added { new, .. } => {
                json!({ "kind": "added", "key": key, "new": value(new) })
            }
            Difference::Removed { old, .. } => {
                json!({ "kind": "removed", "key": key, "old": value(old) })
            }
            Difference::Changed { old, new, .. } => {
                json!({ "kind": "changed", "key": key, "old": value(old), "new": value(new) })
            }
        }
    });
    let end = skip + PAGE_ROWS;
    let next = (end < all.len()).then(|| end.to_string());
    Ok(json!({ "differences": shown.collect::<Vec<_>>(), "next": next }))
}

/// Tells what happens, until a store is dropped.
fn events(request: &Request, stores: &dyn MultiStore, mut out: &TcpStream) {
    let store = (request.path.len() > 1).then(|| String::from_utf8(request.path[1].clone()));
    let store = store.map(std::result::Result::unwrap);
    let subscription = stores.events().subscribe(store.as_deref());
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
        .unwrap();
    loop {
        let Next::Event(Event { store, kind }) = subscription.next(Duration::from_secs(10)) else {
            return;
        };
        let keys = |keys: &[nexusbase::kv::Bytes]| keys.iter().map(|k| to_json(k)).collect();
        let (name, data) = match &kind {
            EventKind::Changed { put, deleted } => {
                let (put, deleted): (Vec<_>, Vec<_>) = (keys(put), keys(deleted));
                (
                    "changed",
                    json!({ "store": store, "put": put, "deleted": deleted }),
                )
            }
            EventKind::Renamed { to } => ("renamed", json!({ "store": store, "to": to })),
            EventKind::Dropped => ("dropped", json!({ "store": store })),
            _ => continue,
        };
        out.write_all(format!("event: {name}\ndata: {data}\n\n").as_bytes())
            .unwrap();
        if kind == EventKind::Dropped {
            return;
        }
    }
}
