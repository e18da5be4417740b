//! Running the real binary: commands to their end, and servers that are stopped when dropped.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests set the outside world up, and end where that fails"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A command for the binary, in a folder of its own and without settings from the environment.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexusbase"));
    for (name, _) in std::env::vars() {
        if name.starts_with("NEXUSBASE_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").current_dir(folder);
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The output of a command that must have succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The message of a command that must have failed with this code, and says all of this.
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in says {
            assert!(self.err.contains(part), "{part:?} is missing in {self:#?}");
        }
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }
}

/// Runs a command to its end, with nothing to read.
pub(crate) fn end(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder for one test, with a database folder and files in it.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs the binary in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        end(command(self.path()).args(arguments))
    }

    /// The same, with text on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = command(self.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // The command may end before it has read everything.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A command that serves until it is told to stop; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:…`
    pub(crate) url: String,
    /// What it printed up to the line that the caller waited for.
    pub(crate) said: String,
    err: Option<JoinHandle<String>>,
}

impl Server {
    /// Serves `data` on a free port.
    pub(crate) fn start(data: &Path) -> Self {
        let mut serve = command(data.parent().unwrap());
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
        serve.args(["--auth", "off"]);
        Self::spawn(serve.arg("--data").arg(data), "serving ")
    }

    /// Starts a command and waits until it has printed a line that contains `until`.
    pub(crate) fn spawn(command: &mut Command, until: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let err = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        loop {
            let start = said.len();
            if out.read_line(&mut said).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!("it ended with {status}: {said}{}", err.join().unwrap());
            }
            if said[start..].contains(until) {
                break;
            }
        }
        // Kept open to the end, so that what is printed later finds a reader.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut out, &mut std::io::sink());
        });
        let url = said.find("http://").map_or("", |at| &said[at..]);
        let end = url.find(|c: char| c.is_whitespace()).unwrap_or(url.len());
        let url = url[..end].trim_end_matches('.').to_owned();
        Self {
            child,
            url,
            said,
            err: Some(err),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// SIGKILL: it gets no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(err) = self.err.take()
            && std::thread::panicking()
        {
            eprintln!("the server said: {}", err.join().unwrap_or_default());
        }
    }
}
