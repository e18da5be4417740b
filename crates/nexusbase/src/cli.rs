//! The command line.
//!
//! One command per file. Each takes its parsed arguments ([`args`]) and returns a [`failure::Failure`] when
//! it cannot do what was asked; only this module turns that into words on standard error and an
//! exit code. Commands that work on documents speak to a [`store::Store`], which is a data folder
//! or a running server, and cannot tell which; those on key-value stores ([`kv`]) do the same with
//! what [`kv::access`] describes.
//!
//! The rules that all commands keep:
//! * What was asked for goes to standard output, everything else to standard error.
//! * A reader that closes the pipe ends the command quietly: that is no failure.
//! * Reading never creates anything: a wrong folder is an error.
//! * Memory does not grow with the number of documents.

mod args;
mod collections;
mod completions;
mod config;
mod demo;
mod doctor;
mod export;
mod failure;
mod forest;
mod health;
mod http;
mod import;
mod index;
mod keys;
mod kv;
mod loadtest;
mod log;
mod output;
mod progress;
mod query;
mod serve;
mod server_log;
mod shell;
mod show_config;
mod store;
mod table;
mod target;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Arguments, Command};
use self::failure::Outcome;

/// What the options before the command say.
#[derive(Clone, Copy, Debug)]
struct Terminal {
    /// Say nothing but what was asked for, and errors.
    quiet: bool,
}

/// Runs the program and says how it went.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.color.apply();
    let terminal = Terminal {
        quiet: arguments.quiet,
    };
    match run(arguments.command, terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command, terminal: Terminal) -> Outcome {
    match command {
        Command::Serve(serve) => serve::run(&serve.settings, terminal),
        Command::Demo(demo) => demo::run(&demo, terminal),
        Command::Health(health) => health::run(&health, terminal),
        Command::Import(import) => import::run(&import, terminal),
        Command::Export(export) => export::run(&export),
        Command::Query(query) => query::run(&query, terminal),
        Command::Index(index) => index::run(&index, terminal),
        Command::Collections(collections) => collections::run(&collections),
        Command::Keys(keys) => keys::run(&keys, terminal),
        Command::Kv(kv) => kv::run(&kv, terminal),
        Command::Loadtest(arguments) => loadtest::run(&arguments, terminal),
        Command::Log(log) => log::run(&log, terminal),
        Command::Forest(forest) => forest::run(&forest, terminal),
        Command::Doctor(doctor) => doctor::run(&doctor, terminal),
        Command::Config(config) => show_config::run(&config.settings),
        Command::Completions(completions) => completions::run(&completions),
    }
}
