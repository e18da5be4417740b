//! Prints how fast entries go into a memtable and come out again, and what one takes in memory.
//!
//! `cargo run --release -p nexusbase-forest --example memtable_rates [entries]`
#![expect(clippy::print_stdout, reason = "what this program is for")]

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use nexusbase_forest::{Change, Direction, Forest, KeyRange, Mutation, Seqno, TreeId};
use nexusbase_io::sim::SimRng;
use nexusbase_io::{Env, user_file};

const TREE: TreeId = TreeId::new(1);
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;
/// Keys per log entry.
const BATCH: usize = 10;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Prints the time that `work` takes, per one of `count`, and returns what it returns.
fn timed<T>(env: &Env, name: &str, count: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = env.clock.monotonic();
    let answer = work()?;
    let nanos = (env.clock.monotonic() - start).as_nanos() as f64;
    let each = nanos / count as f64;
    println!("{name:<34} {each:>8.0} ns each, {:>6.2} M/s", 1e3 / each);
    Ok(answer)
}

/// Memory that this process has resident, in bytes.
fn resident() -> Result<u64> {
    let statm = user_file::read_text(Path::new("/proc/self/statm"))?;
    Ok(statm.split(' ').nth(1).unwrap_or("0").parse::<u64>()? * 4096)
}

/// The payload of log entries as recovery hands them over: mutations are slices of one buffer.
fn entries(keys: impl Iterator<Item = u64>) -> Vec<Bytes> {
    let keys: Vec<u64> = keys.collect();
    let encode = |batch: &[u64]| {
        let rows = batch.iter().flat_map(|number| {
            let mut row = [7; KEY_BYTES + VALUE_BYTES];
            row[..8].copy_from_slice(b"customer");
            row[8..16].copy_from_slice(&number.to_be_bytes());
            row
        });
        Bytes::from(rows.collect::<Vec<u8>>())
    };
    keys.chunks(BATCH).map(encode).collect()
}

fn mutations(entry: &Bytes) -> impl Iterator<Item = Mutation> {
    (0..entry.len())
        .step_by(KEY_BYTES + VALUE_BYTES)
        .map(|at| Mutation {
            tree: TREE,
            key: entry.slice(at..at + KEY_BYTES),
            change: Change::Put(entry.slice(at + KEY_BYTES..at + KEY_BYTES + VALUE_BYTES)),
        })
}

fn apply_all(forest: &Forest, entries: &[Bytes]) -> Result<()> {
    for entry in entries {
        let at = Seqno::new(forest.applied().get() + 1);
        forest.apply(at, mutations(entry))?;
        forest.set_oldest_needed(at);
    }
    Ok(())
}

fn measure(env: &Env, name: &str, count: u64, key: impl Fn(u64) -> u64) -> Result<()> {
    println!("\n{name} keys, {count} entries of {KEY_BYTES} + {VALUE_BYTES} bytes");
    let work = entries((0..count).map(&key));
    let forest = Forest::new();
    forest.create_tree(TREE)?;
    let before = resident()?;
    timed(env, "insert", count, || apply_all(&forest, &work))?;
    let grown = resident()?.saturating_sub(before);
    let payload = count * (KEY_BYTES + VALUE_BYTES) as u64;
    let counted: u64 = forest.stats().trees.values().map(|tree| tree.bytes).sum();
    // A second forest grows into the memory that the first has given back: not to be seen.
    if grown > payload {
        println!(
            "memory per entry: {} bytes resident, {} counted",
            (grown + payload) / count,
            counted / count
        );
    }
    let mut rng = SimRng::new(2);
    let gets = 1_000_000;
    let probes = entries((0..gets).map(|_| key(rng.below(count))));
    timed(env, "get", gets, || {
        let at = forest.applied();
        for mutation in probes.iter().flat_map(mutations) {
            forest.get(TREE, &mutation.key, at)?.ok_or("lost a key")?;
        }
        Ok(())
    })?;
    for direction in [Direction::Forward, Direction::Reverse] {
        timed(env, &format!("scan {direction:?}"), count, || {
            let scan = forest.scan(TREE, KeyRange::all(), direction, forest.applied())?;
            if scan.count() as u64 == count {
                Ok(())
            } else {
                Err("lost a row".into())
            }
        })?;
    }
    timed(env, "scan of 1 row", gets, || {
        let at = forest.applied();
        for mutation in probes.iter().flat_map(mutations) {
            let range = KeyRange::prefix(&mutation.key);
            forest
                .scan(TREE, range, Direction::Forward, at)?
                .next()
                .ok_or("lost a key")??;
        }
        Ok(())
    })?;
    timed(env, "overwrite", count, || apply_all(&forest, &work))?;
    Ok(())
}

fn main() -> Result<()> {
    let env = Env::os();
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |count| count.parse())?;
    measure(&env, "sequential", count, |i| i)?;
    // A permutation that leaps: an odd multiplier reaches every number once.
    measure(&env, "random", count, |i| {
        i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
