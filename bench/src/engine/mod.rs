//! The storage engine against RocksDB, LMDB, redb and fjall: the same rows, the same durability,
//! the same order of work, one process for each system.
//!
//! `--help` of the command lists the work. The peers are behind the feature `engine` of this
//! package, which `bench/run engine` turns on: building RocksDB takes ten minutes and libclang.
//! How each system is set up, and what it cannot do like the others, is said at the top of its
//! file. Keys have 16 bytes, values 128, of which half compresses.
//!
//! [`run`] is the parent: it starts a process per system and has them work in turns, so that the
//! rounds of all systems alternate while all databases stay open.

mod child;
mod client;
mod commits;
mod data;
mod fill;
#[cfg(feature = "engine")]
mod fjall;
mod latencies;
#[cfg(feature = "engine")]
mod lmdb;
mod mixed;
mod nexusbase;
mod options;
mod reads;
#[cfg(feature = "engine")]
mod redb;
#[cfg(feature = "engine")]
mod rocksdb;
mod system;
mod usage;
mod work;

use clap::ValueEnum;

use self::client::Client;
use self::options::Size;
use self::system::System;
use self::work::Work;
use crate::report::Report;
use crate::scratch::Scratch;

pub use self::child::serve;
pub use self::options::EngineOptions;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const BENCH: &str = "engine";

/// Runs the chosen work in all sizes, for the chosen systems.
pub fn run(options: &EngineOptions, quick: bool, report: &mut Report) -> Result<()> {
    let systems = if options.systems.is_empty() {
        System::value_variants()
    } else {
        &options.systems
    };
    for (number, size) in options.sizes(quick).into_iter().enumerate() {
        let mut works = chosen(&options.only);
        if number > 0 {
            // Durable commits have a database of their own: the size makes no difference.
            works.retain(|work| work.needs_fill());
        }
        run_size(systems, &works, size, report)?;
    }
    let versions: Vec<_> = systems
        .iter()
        .filter_map(|system| version(*system))
        .collect();
    report.note(format!("packages: {}", versions.join(", ")));
    report.note(
        "16-byte keys, 128-byte values of which half compresses; fill and puts: log on, no sync \
         per commit; durable commits: one row each, to a database of 100,000 rows",
    );
    report.note(
        "LMDB and redb do not compress; LMDB's cache is the operating system's, and pages it has \
         mapped count as its memory; redb's unsynced commits may not survive its process",
    );
    Ok(())
}

/// The work in its order, and the fill where any of it needs that.
fn chosen(only: &[Work]) -> Vec<Work> {
    let fill = only.iter().any(|work| work.needs_fill());
    let wanted =
        |work: &Work| only.is_empty() || only.contains(work) || (fill && *work == Work::Fill);
    Work::all().iter().copied().filter(wanted).collect()
}

/// All work in one size.
fn run_size(systems: &[System], works: &[Work], size: Size, report: &mut Report) -> Result<()> {
    let scratch = Scratch::new()?;
    let mut clients = Vec::new();
    for system in systems {
        clients.push(Client::start(*system, size, scratch.path())?);
    }
    for work in works {
        let results = rounds(&mut clients, *work, size)?;
        for (index, figure) in work.figures().iter().enumerate() {
            for (client, rounds) in clients.iter().zip(&results) {
                let values = rounds.iter().map(|figures| figures[index]).collect();
                let name = format!("{}; {size}", figure.name);
                let (system, better) = (client.system().title(), figure.higher_is_better);
                report.add_median(BENCH, name, system, values, figure.unit, better);
            }
        }
    }
    Ok(())
}

/// All rounds of one piece of work, the systems taking turns: for each system, the figures of each
/// round.
fn rounds(clients: &mut [Client], work: Work, size: Size) -> Result<Vec<Vec<Vec<f64>>>> {
    let mut results = vec![Vec::new(); clients.len()];
    for round in 0..work.rounds(size.quick) {
        let mut expected: Option<Vec<u64>> = None;
        for (client, results) in clients.iter_mut().zip(&mut results) {
            let title = client.system().title();
            if !size.quick {
                eprintln!("{size}: {}, round {}: {title}", work.name(), round + 1);
            }
            let (figures, check) = client
                .ask(work, round)
                .map_err(|error| format!("{title}, {}: {error}", work.name()))?;
            if figures.len() != work.figures().len() {
                return Err(format!("{title} gave {} figures", figures.len()).into());
            }
            // Speed is worth nothing if the answer is another.
            let expected = expected.get_or_insert_with(|| check.clone());
            if *expected != check {
                return Err(format!("{title} read {check:?}, others {expected:?}").into());
            }
            results.push(figures);
        }
    }
    Ok(results)
}

/// Name and version of the package that was measured, from the lock file.
fn version(system: System) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let package = system.package();
    let start = lock.find(&format!("name = \"{package}\"\n"))?;
    let version = lock[start..].split("version = \"").nth(1)?;
    Some(format!("{package} {}", version.split('"').next()?))
}
