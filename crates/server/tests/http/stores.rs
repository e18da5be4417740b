//! Key-value stores over HTTP.

mod actions;
mod batch;
mod description;
mod events;
mod hostile;
mod keys;
mod list;
mod plain;
mod preconditions;
mod versions;

use serde_json::Value;

use crate::running::{Reply, Running};

/// A server with one store, `s`.
fn with_store() -> Running {
    let server = Running::start();
    create(&server, "s");
    server
}

fn create(server: &Running, store: &str) {
    server
        .request("PUT", &format!("/stores/{store}"), &[], b"")
        .expect(201);
}

/// Puts a value of no type into `s`.
fn put(server: &Running, key: &str, value: &[u8]) -> String {
    let reply = server.request("PUT", &format!("/stores/s/keys/{key}"), &[], value);
    reply.expect(204);
    reply.header("etag").to_owned()
}

fn get(server: &Running, key: &str) -> Reply {
    server.get(&format!("/stores/s/keys/{key}"))
}

/// The keys of a page.
fn names(page: &Value) -> Vec<&str> {
    let keys = page["keys"].as_array().unwrap();
    keys.iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect()
}
