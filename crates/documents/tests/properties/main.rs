//! Promises over all values and all bytes, tried with random ones.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod damage;
mod decimals;
mod decoding;
mod filters;
mod json;
mod keys;
mod patches;
mod patterns;
mod pipelines;
mod random;
mod stored;
mod updates;
