//! `nexusbase completions`: a completion script, to be put where the shell looks for it.

use std::io::Write;

use clap::CommandFactory;

use super::args::{Arguments, CompletionsArgs};
use super::failure::Outcome;

pub(super) fn run(arguments: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "nexusbase", &mut script);
    let mut out = super::output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}
