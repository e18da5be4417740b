//! `nexusbase query`: documents as a table for a person, as lines of JSON for a program.

use std::io::Write;

use anstyle::Style;
use nexusbase_io::Env;
use serde_json::{Value, json};

use super::Terminal;
use super::args::QueryArgs;
use super::failure::{Failure, Outcome};
use super::output::{self, count, duration, thousands};
use super::store::{Explained, Question, Store};
use super::table::Table;
use super::target::Missing;

/// How wide a table is made where the terminal does not say how wide it is.
const WIDTH_UNKNOWN: usize = 100;

pub(super) fn run(arguments: &QueryArgs, terminal: Terminal) -> Outcome {
    let store = arguments.target.open(Missing::Refuse)?;
    let question = Question {
        collection: &arguments.collection,
        filter: &arguments.filter,
        sort: arguments.sort.as_deref(),
        limit: arguments.limit,
        skip: arguments.skip,
        fields: arguments.fields.as_deref(),
        canonical: false,
    };
    if arguments.explain {
        let explained = store.explain(&question)?;
        return if output::is_terminal() {
            print_explained(&explained)
        } else {
            print_explained_json(&explained)
        };
    }
    if output::is_terminal() {
        print_table(&store, &question, terminal)
    } else {
        print_lines(&store, &question)
    }
}

fn print_lines(store: &Store, question: &Question<'_>) -> Outcome {
    let mut out = output::stdout();
    store.find(question, &mut |line| {
        out.write_all(line.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    })?;
    out.flush()?;
    Ok(())
}

fn print_table(store: &Store, question: &Question<'_>, terminal: Terminal) -> Outcome {
    let clock = Env::os().clock;
    let started = clock.monotonic();
    let width = output::width().unwrap_or(WIDTH_UNKNOWN);
    let mut table = Table::new(anstream::stdout().lock(), width);
    let mut documents = 0;
    store.find(question, &mut |line| {
        let Ok(Value::Object(row)) = serde_json::from_str(line) else {
            return Err(Failure::new("an answer is no JSON object"));
        };
        documents += 1;
        Ok(table.row(row)?)
    })?;
    let hidden = table.finish()?;
    let elapsed = clock.monotonic().saturating_sub(started);
    terminal.note(format_args!(
        "{} in {}",
        count("document", documents),
        duration(elapsed)
    ));
    if !hidden.is_empty() {
        terminal.note(format_args!(
            "no room for: {} (choose with --fields)",
            hidden.join(", ")
        ));
    }
    Ok(())
}

fn print_explained(explained: &Explained) -> Outcome {
    let bold = Style::new().bold();
    let time = duration(std::time::Duration::from_micros(explained.micros));
    let rows = [
        ("access", explained.access.clone()),
        (
            "bounds",
            explained.bounds.clone().unwrap_or_else(|| "all".to_owned()),
        ),
        ("sort", explained.sort.clone()),
        ("index rows read", thousands(explained.index_rows_read)),
        ("documents read", thousands(explained.documents_read)),
        ("documents found", thousands(explained.documents_returned)),
        ("time", time),
    ];
    let mut out = anstream::stdout().lock();
    for (name, value) in rows {
        writeln!(out, "{bold}{name:<16}{bold:#}{value}")?;
    }
    Ok(out.flush()?)
}

fn print_explained_json(explained: &Explained) -> Outcome {
    let object = json!({
        "access": explained.access,
        "bounds": explained.bounds,
        "sort": explained.sort,
        "index_rows_read": explained.index_rows_read,
        "documents_read": explained.documents_read,
        "documents_returned": explained.documents_returned,
        "micros": explained.micros,
    });
    let mut out = output::stdout();
    writeln!(out, "{object}")?;
    Ok(out.flush()?)
}
