//! NexusBase and its peers on the same work: same data, same durability, same run.
//!
//! Machines are noisy, so rounds of the systems alternate and the median of each is shown with
//! the ratio between them. A row that NexusBase loses stays in the table.

#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is the real world, which no simulation takes the place of"
)]

mod data;
mod documents;
mod engine;
mod kv;
mod recovery;
mod report;
mod scratch;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::engine::EngineOptions;
use crate::report::Report;

/// Runs one comparison and prints a table, and each row also as a line of JSON.
#[derive(Debug, Parser)]
#[command(name = "bench/run")]
struct Arguments {
    /// Which comparison to run.
    name: Bench,
    /// Also writes the JSON lines to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Less work: shows that everything runs, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// The folder of `kv-file-one`.
    #[arg(long, hide = true, default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    engine: EngineOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bench {
    /// Durable inserts of package documents with 1, 16 and 64 writers, against SQLite.
    Documents,
    /// The storage engine against RocksDB, LMDB, redb and fjall. The first build takes ten minutes
    /// and needs libclang (Debian: `apt-get install libclang-dev clang`).
    Engine,
    /// The process of one system in `engine`.
    #[value(hide = true)]
    EngineOne,
    /// Key-value stores: `memory` against a `RwLock<BTreeMap>`, `lsm` against the trees that it is on,
    /// and stores of `file` of 10 MB, 100 MB and 1 GB.
    Kv,
    /// The process that loads and saves one store in `kv`.
    #[value(hide = true)]
    KvFileOne,
    /// How fast the log is replayed when a database is opened. No peer: an absolute figure.
    Recovery,
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    match arguments.name {
        Bench::Documents => documents::run(arguments.quick, &mut report)?,
        Bench::Engine => engine::run(&arguments.engine, arguments.quick, &mut report)?,
        Bench::EngineOne => return engine::serve(&arguments.engine, arguments.quick),
        Bench::Kv => kv::run(arguments.quick, &mut report)?,
        Bench::KvFileOne => return kv::file::measure(&arguments.folder),
        Bench::Recovery => recovery::run(arguments.quick, &mut report)?,
    }
    report.print();
    if let Some(file) = arguments.json {
        report.write_json(&file)?;
    }
    Ok(())
}
