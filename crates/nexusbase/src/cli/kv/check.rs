//! `nexusbase kv check`: reads all of a store, and says what is not as it should be.

use nexusbase::kv::{CheckMode, CheckReport};
use serde_json::{Value, json};

use super::Context;
use super::access::Kv;
use super::args::CheckArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::count;

pub(super) fn run(arguments: &CheckArgs, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let store = &arguments.store;
    let mode = if arguments.accept_edits {
        CheckMode::AcceptEdits
    } else {
        CheckMode::Look
    };
    let report = kv.check(store, mode)?;
    if arguments.json {
        context.json(&report_json(&report))?;
    } else {
        print(store, &report, context)?;
    }
    if report.is_healthy() {
        return Ok(());
    }
    let open = report.findings.iter().filter(|finding| !finding.mended);
    let failure = Failure::new(format_args!(
        "{} found in the store {store}",
        count("problem", open.count() as u64)
    ));
    let failure = if arguments.accept_edits {
        failure.hint("what is left needs a copy or a version from before (`nexusbase kv versions`)")
    } else {
        failure.hint("--accept-edits takes over what was edited by hand and makes sense")
    };
    Err(failure.into_answer())
}

fn print(store: &str, report: &CheckReport, context: &mut Context<'_>) -> Outcome {
    let rows = count("row", report.rows);
    if report.findings.is_empty() {
        return context.done(format_args!("{store} is healthy: {rows}"));
    }
    let findings = report.findings.iter().map(|finding| {
        let mended = if finding.mended { "mended" } else { "open" };
        let cells = [
            ("place", finding.place.as_str()),
            ("state", mended),
            ("what", &finding.what),
        ];
        let cells = cells.map(|(name, cell)| (name.to_owned(), json!(cell)));
        cells.into_iter().collect()
    });
    context.table(findings.collect())?;
    context.done(format_args!("good in {store}: {rows}"))
}

/// A report as a server shows it.
fn report_json(report: &CheckReport) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "place": finding.place,
            "what": finding.what,
            "mended": finding.mended,
        })
    });
    json!({
        "healthy": report.is_healthy(),
        "rows": report.rows,
        "findings": findings.collect::<Vec<_>>(),
    })
}
