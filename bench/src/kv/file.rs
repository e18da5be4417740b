//! The engine `file`: loading and saving stores of 10 MB to 1 GB, and what one set writes.

use std::path::Path;
use std::process::Command;
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
        "file: MB of keys and values (24 and {VALUE_BYTES} bytes); each load and save in a process of its own, peak above what it had before; loading reads a file that is in the system's cache, saving syncs"
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

/// What one process has measured.
#[derive(Debug, Default)]
struct Measured {
    load_s: f64,
    load_bytes: f64,
    save_s: f64,
    save_bytes: f64,
    set_bytes: f64,
    rewrite_bytes: f64,
}

impl Measured {
    fn figures(&mut self) -> [&mut f64; 6] {
        [
            &mut self.load_s,
            &mut self.load_bytes,
            &mut self.save_s,
            &mut self.save_bytes,
            &mut self.set_bytes,
            &mut self.rewrite_bytes,
        ]
    }
}

fn size(megabytes: usize, rounds: usize, report: &mut Report) -> Result<()> {
    let scratch = Scratch::new()?;
    let rows = megabytes * MB / (25 + VALUE_BYTES);
    let options = engines::file::FileOptions::default();
    let engine = engines::file::engine(&Env::os(), scratch.path(), options)?;
    let store = engine.create("bench", &StoreOptions::default())?;
    fill(&*store, rows)?;
    store.compact()?;
    engine.close()?;
    drop((store, engine));
    let (mut loads, mut saves, mut loaded, mut saved) = (vec![], vec![], vec![], vec![]);
    let mut last = Measured::default();
    for _ in 0..rounds {
        // A process of its own: memory that this one has had is not given back.
        let child = Command::new(std::env::current_exe()?)
            .arg("kv-file-one")
            .arg("--folder")
            .arg(scratch.path())
            .output()?;
        let text = String::from_utf8(child.stdout)?;
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        for figure in last.figures() {
            *figure = numbers.next().ok_or("the process has measured nothing")??;
        }
        loads.push(megabytes as f64 / last.load_s);
        loaded.push(last.load_bytes / 1e6);
        saves.push(megabytes as f64 / last.save_s);
        saved.push(last.save_bytes / 1e6);
    }
    let mut add = |what: &str, values, unit, higher| {
        let work = format!("file: {megabytes} MB, {what}");
        report.add_median(BENCH, work, OURS, values, unit, higher);
    };
    add("load", loads, "MB/s", true);
    add("peak memory of a load", loaded, "MB", false);
    add("save", saves, "MB/s", true);
    add("memory that saving adds", saved, "MB", false);
    add("bytes a set writes", vec![last.set_bytes], "bytes", false);
    let times = last.rewrite_bytes / last.set_bytes;
    add("sets for a rewrite's bytes", vec![times], "sets", true);
    Ok(())
}

/// Loads and saves the store in `folder` once, and prints what that took.
pub(crate) fn measure(folder: &Path) -> Result<()> {
    let mut measured = Measured::default();
    let before = reset_peak();
    let started = Instant::now();
    let (engine, store) = open(folder)?;
    measured.load_s = started.elapsed().as_secs_f64();
    measured.load_bytes = peak() - before;

    let written = bytes_written();
    for number in 0..SETS {
        let key = format!("new:{number:020}");
        store.set(key.as_bytes(), &[b'n'; VALUE_BYTES])?;
    }
    measured.set_bytes = (bytes_written() - written) / SETS as f64;
    for number in 0..SETS {
        store.delete(format!("new:{number:020}").as_bytes())?;
    }

    let before = reset_peak();
    let written = bytes_written();
    let started = Instant::now();
    store.compact()?;
    measured.save_s = started.elapsed().as_secs_f64();
    measured.save_bytes = (peak() - before).max(0.0);
    measured.rewrite_bytes = bytes_written() - written;
    engine.close()?;
    for figure in measured.figures() {
        println!("{figure}");
    }
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
