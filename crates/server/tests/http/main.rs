//! The service as callers see it: a real server on a free port, spoken to over HTTP.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod documents;
mod failure;
mod guard;
mod hostile;
mod insert;
mod limits;
mod openapi;
mod pages;
mod problems;
mod running;
mod service;
mod shutdown;
mod stores;
