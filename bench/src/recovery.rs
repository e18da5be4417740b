//! How fast a database comes back: entries replayed per second on one core.

use std::time::Instant;

use nexusbase_db::{Database, Durability, Error, Options};
use nexusbase_documents::{Documents, IndexSpec, json};

use crate::data::packages;
use crate::report::{OURS, Report};
use crate::scratch::Scratch;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const BENCH: &str = "recovery";

/// Writes logs of one entry per commit, then opens them again and again.
pub fn run(quick: bool, report: &mut Report) -> Result<()> {
    let (rounds, entries) = if quick { (1, 20_000) } else { (5, 1_000_000) };
    for (work, random) in [
        ("16-byte keys in order", false),
        ("16-byte keys at random", true),
    ] {
        let scratch = Scratch::new()?;
        write_keys(&scratch, entries, random)?;
        let rates = replay(&scratch, rounds)?;
        report.add_median(BENCH, work, OURS, rates, "entries/s", true);
    }
    let scratch = Scratch::new()?;
    write_documents(&scratch, entries / 10)?;
    let rates = replay(&scratch, rounds)?;
    report.add_median(BENCH, "package documents", OURS, rates, "entries/s", true);
    report.note("one commit per entry; 100-byte values under the keys; median of the openings");
    Ok(())
}

fn options() -> Options {
    // How the log was written does not matter to who reads it.
    Options {
        durability: Durability::Never,
        ..Options::default()
    }
}

fn write_keys(scratch: &Scratch, entries: u64, random: bool) -> Result<()> {
    let db = Database::open_with(scratch.path().join("data"), options())?;
    let tree = db.transact(|tx| Ok::<_, Error>(tx.create_tree("keys")?))?;
    for number in 0..entries {
        // A bijection of 64-bit numbers, so that no two keys are the same.
        let high = if random {
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        } else {
            number
        };
        let key = (u128::from(high) << 64 | u128::from(number)).to_be_bytes();
        db.transact(|tx| Ok::<_, Error>(tx.put(tree, &key, &[7; 100])?))?;
    }
    Ok(db.close()?)
}

fn write_documents(scratch: &Scratch, entries: u64) -> Result<()> {
    let db = Database::open_with(scratch.path().join("data"), options())?;
    let collection = Documents::new(&db).collection("packages")?;
    collection.create_index(&IndexSpec::on("section")?, |_| {})?;
    for (_, text) in packages(usize::try_from(entries)?) {
        collection.insert(&json::parse_document(text.as_bytes())?)?;
    }
    Ok(db.close()?)
}

fn replay(scratch: &Scratch, rounds: usize) -> Result<Vec<f64>> {
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let db = Database::open(scratch.path().join("data"))?;
        let elapsed = start.elapsed();
        rates.push(db.recovery().entries as f64 / elapsed.as_secs_f64());
        db.close()?;
    }
    Ok(rates)
}
