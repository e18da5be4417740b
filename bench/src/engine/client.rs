//! The other end of a system's process: starts it, tells it what to do, reads its answers.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use clap::ValueEnum;

use super::Result;
use super::options::Size;
use super::system::System;
use super::work::Work;

/// The process of one system.
#[derive(Debug)]
pub struct Client {
    system: System,
    process: Child,
    /// Taken out to end it.
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    pub fn start(system: System, size: Size, folder: &Path) -> Result<Self> {
        let name = system.to_possible_value().ok_or("a system has a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["engine-one", "--systems", name.get_name()]);
        command.args(["--keys", &size.keys.to_string()]);
        command.args(["--cache-mb", &size.cache_mb.to_string()]);
        command.arg("--folder").arg(folder.join(name.get_name()));
        if size.quick {
            command.arg("--quick");
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("its output is piped")?;
        Ok(Self {
            system,
            input: process.stdin.take(),
            output: BufReader::new(output).lines(),
            process,
        })
    }

    pub const fn system(&self) -> System {
        self.system
    }

    /// Has it do a piece of work: its figures, and what was read.
    pub fn ask(&mut self, work: Work, round: u64) -> Result<(Vec<f64>, Vec<u64>)> {
        let input = self.input.as_mut().ok_or("it has ended")?;
        writeln!(input, "{} {round}", work.name())?;
        let answer = self.output.next().ok_or("its process has ended")??;
        super::child::parse(&answer)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The end of its input tells it to close its databases and go.
        self.input = None;
        let _ = self.process.wait();
    }
}
