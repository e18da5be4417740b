//! The service as callers see it: a real server on a free port, spoken to over HTTP.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod access;
mod aggregate;
mod api_keys;
mod audit;
mod background;
mod bulk;
mod changes;
mod collections;
mod conditions;
mod cors;
mod docs_page;
mod documents;
mod encodings;
mod failure;
mod guard;
mod hostile;
mod indexes;
mod insert;
mod intruders;
mod limits;
mod logs;
mod metrics;
mod openapi;
mod pages;
mod problems;
mod queries;
mod query_vectors;
mod rates;
mod repeated;
mod revocation;
mod running;
mod schemas;
mod service;
mod shutdown;
mod stores;
mod tls;
mod transactions;
mod update_cases;
#[path = "../../../documents/tests/update_compare/mod.rs"]
mod update_compare;
mod updates;
