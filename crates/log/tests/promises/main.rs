//! What the log promises, test by test. Its crash simulation is in `crates/sim`.
#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the indices and offsets of these tests are small"
)]

mod append;
mod damage;
mod format;
mod subscriptions;
mod support;
