//! `nexusbase import`: documents from a file, one JSON object per line.
//!
//! Lines go in by batches, each batch one transaction: after an error, everything up to a line
//! that is named is in, and nothing behind it. Memory holds one batch, whatever the file's size.

use std::io::{BufRead, Read, Write};
use std::path::Path;

use indicatif::ProgressBar;
use nexusbase_io::{Env, user_file};

use super::Terminal;
use super::args::{ImportArgs, OnError};
use super::failure::{Failure, Outcome};
use super::output::{count, thousands};
use super::shell;
use super::store::{Inserted, Line, Refused, Store};
use super::target::Missing;

/// A batch is closed at so many lines …
const BATCH_LINES: usize = 500;
/// … or so many bytes.
const BATCH_BYTES: usize = 2 << 20;
/// The longest line: a document of 16 MiB, each byte of it written as an escape.
const LINE_BYTES_MAX: u64 = 96 << 20;
/// How many skipped lines are reported one by one.
const SKIPPED_SHOWN: u64 = 20;

pub(super) fn run(arguments: &ImportArgs, terminal: Terminal) -> Outcome {
    let input = user_file::open_input(&arguments.file)?;
    let store = arguments.target.open(Missing::Create)?;
    let clock = Env::os().clock;
    let started = clock.monotonic();
    let mut import = Import {
        store: &store,
        collection: &arguments.collection,
        on_error: arguments.on_error,
        target: arguments.target.flags(),
        name: name(&arguments.file),
        bar: terminal.bytes_progress("importing", input.length),
        lines: Lines::new(input.reader),
        imported: 0,
        skipped: 0,
        last_in: 0,
    };
    let result = import.all();
    import.bar.finish_and_clear();
    let Import {
        imported, skipped, ..
    } = import;
    result?;
    store.close()?;
    let elapsed = clock.monotonic().saturating_sub(started);
    let rate = rate(imported, elapsed.as_secs_f64());
    let skipped = match skipped {
        0 => String::new(),
        skipped => format!(", skipped {}", count("line", skipped)),
    };
    Ok(terminal.done(format_args!(
        "imported {} into {}{skipped} in {} ({rate} per second)",
        count("document", imported),
        arguments.collection,
        super::output::duration(elapsed),
    ))?)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people"
)]
fn rate(documents: u64, seconds: f64) -> String {
    thousands((documents as f64 / seconds.max(1e-6)) as u64)
}

fn name(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

struct Import<'a> {
    store: &'a Store,
    collection: &'a str,
    on_error: OnError,
    /// As flags, for hints.
    target: String,
    name: String,
    bar: ProgressBar,
    lines: Lines,
    imported: u64,
    skipped: u64,
    /// The last line of the last batch that is in.
    last_in: u64,
}

impl Import<'_> {
    fn all(&mut self) -> Outcome {
        loop {
            let batch = self.lines.batch().map_err(|e| self.unreadable(&e))?;
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                return Ok(());
            };
            let (first, last) = (first.number, last.number);
            let inserted = self
                .store
                .insert(self.collection, &batch, self.on_error)
                .map_err(|failure| self.broken_off(failure, first, last))?;
            self.account(&inserted)?;
            self.last_in = last;
            self.bar.set_position(self.lines.bytes);
            self.bar.set_message(count("document", self.imported));
        }
    }

    fn account(&mut self, inserted: &Inserted) -> Outcome {
        self.imported += inserted.inserted;
        for refused in &inserted.refused {
            if self.on_error == OnError::Stop {
                return Err(self.stopped(refused));
            }
            self.skipped += 1;
            self.report_skipped(refused);
        }
        Ok(())
    }

    fn report_skipped(&self, refused: &Refused) {
        let text = match self.skipped {
            shown if shown <= SKIPPED_SHOWN => {
                format!("{}, line {}: {}", self.name, refused.line, refused.reason)
            }
            first if first == SKIPPED_SHOWN + 1 => {
                "more lines are skipped; they are only counted from here on".to_owned()
            }
            _ => return,
        };
        // Above the bar, which is drawn again below.
        self.bar.suspend(|| {
            let mut err = anstream::stderr().lock();
            let _ = writeln!(err, "skipped: {text}");
        });
    }

    fn stopped(&self, refused: &Refused) -> Failure {
        let Refused { line, reason } = refused;
        let failure = Failure::new(format_args!(
            "{}, line {line}: {reason}\n  imported: {}, from the lines before; not imported: line \
             {line} and all behind it",
            self.name,
            count("document", self.imported),
        ));
        if self.name == "standard input" {
            return failure.hint("correct the line, or leave such lines out by --on-error skip");
        }
        failure.hint(format_args!(
            "correct the line and import the rest: tail -n +{line} {} | nexusbase import {} - {}; \
             or leave such lines out by --on-error skip",
            shell::quote(&self.name),
            self.collection,
            self.target,
        ))
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::new(format_args!(
            "cannot read line {} of {}\n  imported: {}, up to line {}",
            self.lines.number + 1,
            self.name,
            count("document", self.imported),
            self.last_in,
        ))
        .because(Some(error))
    }

    fn broken_off(&self, failure: Failure, first: u64, last: u64) -> Failure {
        let of_batch = match self.store {
            Store::Folder(_) => "not imported: all behind it".to_owned(),
            Store::Server(_) => format!("lines {first} to {last}: not known; all behind: not"),
        };
        let imported = count("document", self.imported);
        failure.with_note(format_args!(
            "imported: {imported}, up to line {}; {of_batch}",
            self.last_in
        ))
    }
}

/// The lines of an input, by batches.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    bytes: u64,
}

impl Lines {
    fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            number: 0,
            bytes: 0,
        }
    }

    /// The next lines that are not blank; none at the end.
    fn batch(&mut self) -> std::io::Result<Vec<Line>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(text) = self.next()? else { break };
            if !text.trim_ascii().is_empty() {
                bytes += text.len();
                batch.push(Line {
                    number: self.number,
                    text,
                });
            }
        }
        Ok(batch)
    }

    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX + 1);
        let read = limited.read_until(b'\n', &mut text)? as u64;
        if read == 0 {
            return Ok(None);
        }
        if read > LINE_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "the line is longer than {} bytes",
                thousands(LINE_BYTES_MAX)
            )));
        }
        self.number += 1;
        self.bytes += read;
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        // A mark that some editors put at the start of a file.
        if self.number == 1 && text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &'static str) -> Vec<(u64, String)> {
        let mut lines = Lines::new(Box::new(text.as_bytes()));
        let mut all = Vec::new();
        loop {
            let batch = lines.batch().unwrap();
            if batch.is_empty() {
                return all;
            }
            let texts = batch
                .into_iter()
                .map(|line| (line.number, String::from_utf8(line.text).unwrap()));
            all.extend(texts);
        }
    }

    #[test]
    fn blank_lines_count_but_are_not_imported() {
        let text = "\u{feff}{}\n\n  \r\n{\"a\":1}\r\nlast";
        let expected = [(1, "{}"), (4, "{\"a\":1}\r"), (5, "last")];
        assert_eq!(all(text), expected.map(|(n, t)| (n, t.to_owned())));
        assert!(all("").is_empty());
        assert!(all("\n\n").is_empty());
    }
}
