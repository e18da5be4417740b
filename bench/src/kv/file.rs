//! The engine `file`: loading and saving stores of 10 MB to 1 GB, and what one set writes.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nexusbase_io::Env;
use nexusbase_kv::{Engine, Put, Store, StoreOptions, Write, engines};

use super::{BENCH, Result, VALUE_BYTES};
use crate::report::{OURS, Report};
use crate::scratch::Scratch;

const MB: usize = 1_000_000;
const BATCH: usize = 10_000;
/// Sets whose bytes are counted.
const SETS: usize = 100;

pub(super) fn run(quick: bool, report: &mut Report) -> Result<()> {
    let (rounds, sizes) = if quick {
        (1, &[1][..])
    } else {
        (3, &[10, 100, 1000][..])
    };
    for &megabytes in sizes {
        size(
            megabytes,
            if megabytes >= 1000 { 1 } else { rounds },
            report,
        )?;
    }
    report.note(format!(
        "file: MB of keys and values (24 and {VALUE_BYTES} bytes); memory is the peak of the process, \
         reset before; loading reads a file that is in the system's cache, saving syncs"
    ));
    Ok(())
}

fn open(folder: &Path) -> Result<(Arc<dyn Engine>, Arc<dyn Store>)> {
    let engine = engines::file::engine(&Env::os(), folder, engines::file::FileOptions::default())?;
    let store = engine.open("bench")?;
    Ok((engine, store))
}

fn fill(store: &dyn Store, rows: usize) -> Result<()> {
    let value = [b'v'; VALUE_BYTES];
    for start in (0..rows).step_by(BATCH) {
        let keys: Vec<_> = (start..rows.min(start + BATCH))
            .map(|number| format!("user:{number:012}:profile").into_bytes())
            .collect();
        let writes: Vec<_> = keys
            .iter()
            .map(|key| Write::Put(key, Put::new(&value)))
            .collect();
        store.write(&writes)?;
    }
    Ok(())
}

fn size(megabytes: usize, rounds: usize, report: &mut Report) -> Result<()> {
    let scratch = Scratch::new()?;
    let rows = megabytes * MB / (25 + VALUE_BYTES);
    let engine = engines::file::engine(
        &Env::os(),
        scratch.path(),
        engines::file::FileOptions::default(),
    )?;
    let store = engine.create("bench", &StoreOptions::default())?;
    fill(&*store, rows)?;
    store.compact()?;
    engine.close()?;
    drop((store, engine));
    let (mut loads, mut saves, mut loaded, mut saved) = (vec![], vec![], vec![], vec![]);
    let (mut per_set, mut per_rewrite) = (0.0, 0.0);
    for _ in 0..rounds {
        let before = reset_peak();
        let started = Instant::now();
        let (engine, store) = open(scratch.path())?;
        loads.push(megabytes as f64 / started.elapsed().as_secs_f64());
        loaded.push((peak() - before) / 1e6);

        let written = bytes_written();
        for number in 0..SETS {
            store.set(format!("new:{number:020}").as_bytes(), &[b'n'; VALUE_BYTES])?;
        }
        per_set = (bytes_written() - written) / SETS as f64;

        let before = reset_peak();
        let written = bytes_written();
        let started = Instant::now();
        store.compact()?;
        saves.push(megabytes as f64 / started.elapsed().as_secs_f64());
        saved.push((peak() - before) / 1e6);
        per_rewrite = bytes_written() - written;
        for number in 0..SETS {
            store.delete(format!("new:{number:020}").as_bytes())?;
        }
        engine.close()?;
    }
    let work = |what: &str| format!("file: {megabytes} MB, {what}");
    report.add_median(BENCH, work("load"), OURS, loads, "MB/s", true);
    report.add_median(BENCH, work("load, memory more"), OURS, loaded, "MB", false);
    report.add_median(BENCH, work("save"), OURS, saves, "MB/s", true);
    report.add_median(BENCH, work("save, memory more"), OURS, saved, "MB", false);
    report.add_median(
        BENCH,
        work("bytes a set writes"),
        OURS,
        vec![per_set],
        "bytes",
        false,
    );
    report.add_median(
        BENCH,
        work("a rewrite's bytes per set's"),
        OURS,
        vec![per_rewrite / per_set],
        "times",
        true,
    );
    Ok(())
}

/// What this process has given to write calls, in bytes.
fn bytes_written() -> f64 {
    field("/proc/self/io", "wchar:", 1.0)
}

/// The peak of resident memory, in bytes.
fn peak() -> f64 {
    field("/proc/self/status", "VmHWM:", 1024.0)
}

/// Forgets the peak, and returns what is resident now.
fn reset_peak() -> f64 {
    // 5 resets the peak (proc(5)); where that is not allowed the figures are too high, never too low.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    field("/proc/self/status", "VmRSS:", 1024.0)
}

fn field(file: &str, name: &str, unit: f64) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse::<f64>().ok())
        .map_or(f64::NAN, |number| number * unit)
}
