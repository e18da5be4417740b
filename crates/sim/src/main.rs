//! Runs many seeds: `nexusbase-sim crash|log|forest --seeds N --start S [--threads T] [--steps K]`.
//!
//! `crash` simulates the database, `log` the log alone, `forest` the trees alone. Ends by itself
//! after the seeds, or after ten failures; the exit code says whether any failed.

use std::process::ExitCode;

use nexusbase_io::Clock;
use nexusbase_io::os::OsClock;
use nexusbase_sim::{Batch, Config, Failure, Report, db_sim, forest_sim, log_sim, run_many};

const FAILURES_MAX: usize = 10;

struct Arguments {
    world: String,
    seeds: u64,
    start: u64,
    threads: usize,
    steps: Option<u32>,
}

fn arguments() -> Result<Arguments, String> {
    let mut given = std::env::args().skip(1);
    let mut arguments = Arguments {
        world: given.next().unwrap_or_default(),
        seeds: 10_000,
        start: 0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        steps: None,
    };
    while let Some(name) = given.next() {
        let value = given.next().unwrap_or_default();
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{name} needs a number, not {value:?}"))
        };
        match name.as_str() {
            "--seeds" => arguments.seeds = number()?,
            "--start" => arguments.start = number()?,
            "--threads" => arguments.threads = usize::try_from(number()?).unwrap_or(1),
            "--steps" => arguments.steps = u32::try_from(number()?).ok(),
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(arguments)
}

fn simulate(arguments: &Arguments) -> Result<Batch, String> {
    let Arguments {
        seeds,
        start,
        threads,
        steps,
        ..
    } = *arguments;
    let run: fn(u64, &Config) -> Result<Report, Failure> = match arguments.world.as_str() {
        "crash" => db_sim::run,
        "log" => log_sim::run,
        "forest" => forest_sim::run,
        other => return Err(format!("there is no simulation {other:?}")),
    };
    let mut config = Config::default();
    config.steps = steps.unwrap_or(config.steps);
    let run = |seed| run(seed, &config);
    Ok(run_many(start, seeds, threads, FAILURES_MAX, run))
}

fn main() -> ExitCode {
    let clock = OsClock::new();
    let batch = match arguments().and_then(|arguments| simulate(&arguments)) {
        Ok(batch) => batch,
        Err(e) => {
            eprintln!("{e}");
            eprintln!(
                "usage: nexusbase-sim crash|log|forest [--seeds N] [--start S] [--threads T] [--steps K]"
            );
            return ExitCode::from(2);
        }
    };
    for failure in &batch.failures {
        println!("{failure}");
    }
    let seconds = clock.monotonic().as_secs_f64();
    let rate = batch.seeds as f64 / seconds;
    println!("{} seeds in {seconds:.1} s, {rate:.0}/s", batch.seeds);
    println!("{:#?}", batch.report);
    println!("failures: {}", batch.failures.len());
    if batch.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
