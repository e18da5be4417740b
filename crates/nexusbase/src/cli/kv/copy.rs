//! `nexusbase kv copy`: a store, row by row, to another name and perhaps another engine.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use nexusbase::kv::CopyReport;
use nexusbase_io::Env;

use super::Context;
use super::access::Kv;
use super::args::CopyArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{count, duration};
use crate::cli::shell;

pub(super) fn run(arguments: &CopyArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let CopyArgs { from, to, .. } = arguments;
    let clock = Env::os().clock;
    let started = clock.monotonic();
    let length = kv.store(from)?.stats.map(|stats| stats.bytes);
    let bar = context.terminal.bytes_progress("copying", length);
    let engine = arguments.engine.as_deref();
    let copied = kv.copy(from, to, engine, &mut |progress| {
        bar.set_position(progress.bytes);
        bar.set_message(count("row", progress.rows));
        if context.stopped.load(Ordering::Acquire) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    bar.finish_and_clear();
    let report = copied?;
    if !report.complete {
        return Err(stopped(arguments, &report, context));
    }
    let resumed = if report.resumed {
        ", behind what was there from an earlier copy,"
    } else {
        ""
    };
    let elapsed = clock.monotonic().saturating_sub(started);
    context.done(format_args!(
        "copied {} from {from} to {to}{resumed} in {}",
        count("row", report.copied.rows),
        duration(elapsed)
    ))
}

fn stopped(arguments: &CopyArgs, report: &CopyReport, context: &Context<'_>) -> Failure {
    let CopyArgs { from, to, .. } = arguments;
    let engine = arguments
        .engine
        .as_ref()
        .map_or_else(String::new, |engine| {
            format!(" --engine {}", shell::quote(engine))
        });
    let target = &context.target;
    Failure::new(format_args!(
        "the copy was stopped: {} of {from} were copied to {to}, which cannot be used yet",
        count("row", report.copied.rows)
    ))
    .hint(format_args!(
        "the same command goes on: nexusbase kv copy {from} {to}{engine} {target}; \
         nexusbase kv drop {to} takes away what is there"
    ))
}
