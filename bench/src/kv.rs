//! Key-value stores: what the interface costs, and what the engines that keep a store in memory do.

pub(crate) mod file;
mod lsm;
mod memory;

use std::time::Instant;

use nexusbase_kv::{CreateOptions, MultiStore, Store};
use std::sync::Arc;

use crate::report::Report;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const BENCH: &str = "kv";
const VALUE_BYTES: usize = 100;

/// Runs all three.
pub fn run(quick: bool, report: &mut Report) -> Result<()> {
    memory::run(quick, report)?;
    lsm::run(quick, report)?;
    file::run(quick, report)
}

/// A store as users get it: through the multi-store.
fn store(stores: &dyn MultiStore, name: &str, engine: &str) -> Result<Arc<dyn Store>> {
    let options = CreateOptions {
        engine: Some(engine.to_owned()),
        ..CreateOptions::default()
    };
    Ok(stores.open_or_create(name, &options)?)
}

/// Operations per second.
fn rate(operations: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(operations as f64 / started.elapsed().as_secs_f64())
}

/// Keys of 16 bytes, in an order that looks like chance and is the same in every run.
fn keys(count: usize) -> Vec<[u8; 16]> {
    (0..count as u64)
        .map(|number| {
            // A bijection of 64-bit numbers, so that no two keys are the same.
            let high = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (u128::from(high) << 64 | u128::from(number)).to_be_bytes()
        })
        .collect()
}

/// The same keys in another order.
fn shuffled(keys: &[[u8; 16]]) -> Vec<[u8; 16]> {
    let mut keys = keys.to_vec();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for at in (1..keys.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        keys.swap(at, (state % (at as u64 + 1)) as usize);
    }
    keys
}
