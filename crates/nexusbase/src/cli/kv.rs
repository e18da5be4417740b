//! `nexusbase kv`: key-value stores, in a data folder or on a running server.
//!
//! One file per group of commands. Each speaks to an [`access::Kv`], which is a folder or a server,
//! and writes to what [`Context`] says is the output, so that tests can run it in one process.

pub(in crate::cli) mod access;
pub(in crate::cli) mod args;
mod check;
mod copy;
mod diff;
pub(super) mod interrupt;
mod list;
mod stores;
#[cfg(test)]
mod tests;
pub(in crate::cli) mod text;
mod values;
mod versions;
mod watch;

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anstyle::{AnsiColor, Style};
use nexusbase::kv::{Operation, check_name};
use serde_json::{Map, Value};

use self::access::Kv;
use self::access::folder::Folder;
use self::access::server::Server;
use self::args::KvCommand;
use super::Terminal;
use super::failure::{Failure, Outcome};
use super::output;
use super::table::Table;
use super::target::{Missing, Target};

/// How wide a table is made for a terminal that does not say how wide it is.
const WIDTH_UNKNOWN: usize = 100;

/// What a command has to know beside its arguments.
struct Context<'a> {
    terminal: Terminal,
    /// Where the answer goes.
    out: &'a mut dyn Write,
    /// Whether a person reads the answer.
    is_terminal: bool,
    colors: bool,
    /// How wide a table may be.
    width: usize,
    /// The target as flags, for commands that are suggested.
    target: String,
    /// Whether the user wants long work to end.
    stopped: Arc<AtomicBool>,
}

pub(super) fn run(command: &KvCommand, terminal: Terminal) -> Outcome {
    let is_terminal = output::is_terminal();
    let mut out = output::stdout();
    let choice = anstream::AutoStream::choice(&io::stdout());
    let mut context = Context {
        terminal,
        out: &mut out,
        is_terminal,
        colors: choice != anstream::ColorChoice::Never,
        width: if is_terminal {
            output::width().unwrap_or(WIDTH_UNKNOWN)
        } else {
            usize::MAX
        },
        target: command.target().flags(),
        stopped: Arc::default(),
    };
    let outcome = opened(command, &mut context);
    // What was answered before a failure counts, too.
    let flushed = out.flush();
    outcome?;
    Ok(flushed?)
}

fn opened(command: &KvCommand, context: &mut Context<'_>) -> Outcome {
    check_names(command)?;
    if let KvCommand::Watch(arguments) = command {
        return watch::run(arguments, context);
    }
    if let KvCommand::Copy(_) = command {
        interrupt::listen(&context.stopped, context.terminal)?;
    }
    let opened = command.target().open_any(missing(command));
    let kv: Box<dyn Kv> = match opened.map_err(|failure| cannot_run(command, failure))? {
        Target::Folder(db, folder) => Box::new(Folder::open(db, &folder)?),
        Target::Server(client) => Box::new(Server::new(client)),
    };
    let outcome = run_on(command, &*kv, context);
    // Closed in any case: an interrupted copy is to be found where it stopped.
    let closed = kv.close();
    outcome?;
    closed
}

/// Runs a command on `kv`.
fn run_on(command: &KvCommand, kv: &dyn Kv, context: &mut Context<'_>) -> Outcome {
    let outcome = match command {
        KvCommand::Stores(arguments) => stores::list(arguments, kv, context),
        KvCommand::Engines(arguments) => stores::engines(arguments, kv, context),
        KvCommand::Create(arguments) => stores::create(arguments, kv, context),
        KvCommand::Drop(arguments) => stores::drop(arguments, kv, context),
        KvCommand::Rename(arguments) => stores::rename(arguments, kv, context),
        KvCommand::SetOptions(arguments) => stores::set_options(arguments, kv, context),
        KvCommand::Get(arguments) => values::get(arguments, kv, context),
        KvCommand::Set(arguments) => values::set(arguments, kv, context),
        KvCommand::Del(arguments) => values::delete(arguments, kv, context),
        KvCommand::List(arguments) => list::run(arguments, kv, context),
        KvCommand::Versions(arguments) => versions::list(arguments, kv, context),
        KvCommand::Version(command) => versions::run(command, kv, context),
        KvCommand::Diff(arguments) => diff::run(arguments, kv, context),
        KvCommand::Restore(arguments) => versions::restore(arguments, kv, context),
        KvCommand::Copy(arguments) => copy::run(arguments, kv, context),
        KvCommand::Check(arguments) => check::run(arguments, kv, context),
        KvCommand::Watch(_) => Err(watch::needs_a_server()),
    };
    outcome.map_err(|failure| cannot_run(command, failure))
}

/// Commands whose exit code 1 is an answer have another one for failures.
fn cannot_run(command: &KvCommand, failure: Failure) -> Failure {
    match command {
        KvCommand::Diff(_) | KvCommand::Check(_) if !failure.is_answer() => failure.cannot_run(),
        _ => failure,
    }
}

/// Only what makes stores makes a database.
const fn missing(command: &KvCommand) -> Missing {
    match command {
        KvCommand::Create(_) => Missing::Create,
        KvCommand::Set(arguments) if arguments.create => Missing::Create,
        _ => Missing::Refuse,
    }
}

/// Refuses names that are none here, so that it reads the same for a folder and for a server.
fn check_names(command: &KvCommand) -> Outcome {
    match command {
        KvCommand::Create(arguments) => check_name(Operation::CreateStore, &arguments.store)?,
        KvCommand::Rename(arguments) => check_name(Operation::RenameStore, &arguments.to)?,
        KvCommand::Copy(arguments) => check_name(Operation::CopyStore, &arguments.to)?,
        KvCommand::Set(arguments) if arguments.create => {
            check_name(Operation::CreateStore, &arguments.store)?;
        }
        _ => {}
    }
    Ok(())
}

impl Context<'_> {
    /// Says how a command went, unless told to be quiet.
    fn done(&mut self, text: impl Display) -> Outcome {
        if !self.terminal.quiet {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// Writes one JSON value on a line.
    fn json(&mut self, value: &Value) -> Outcome {
        Ok(writeln!(self.out, "{value}")?)
    }

    /// Writes a table. Few rows, or memory would grow with them.
    fn table(&mut self, rows: Vec<Map<String, Value>>) -> Outcome {
        let mut text = Vec::new();
        let mut table = Table::new(&mut text, self.width);
        for row in rows {
            table.row(row)?;
        }
        let hidden = table.finish()?;
        if self.colors {
            self.out.write_all(&text)?;
        } else {
            let plain = anstream::adapter::strip_bytes(&text).into_vec();
            self.out.write_all(&plain)?;
        }
        if !hidden.is_empty() {
            let hidden = hidden.join(", ");
            self.terminal
                .note(format_args!("no room for: {hidden} (--json prints all)"));
        }
        Ok(())
    }

    /// A style that is none where there are no colours.
    const fn style(&self, color: AnsiColor) -> Style {
        if self.colors {
            Style::new().fg_color(Some(anstyle::Color::Ansi(color)))
        } else {
            Style::new()
        }
    }
}
