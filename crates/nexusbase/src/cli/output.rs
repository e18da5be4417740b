//! Standard output, and short words on standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use super::Terminal;

/// Bytes that are collected before they go out.
const BUFFER_BYTES: usize = 1 << 16;

/// Standard output for many lines. Must be flushed at the end: what a drop cannot write is lost
/// without a word.
pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock())
}

/// Whether a person reads standard output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The terminal's width in columns, if there is a terminal.
pub(super) fn width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

impl Terminal {
    /// Says something beside the point on standard error, unless told to be quiet.
    pub(super) fn note(self, text: impl std::fmt::Display) {
        if !self.quiet {
            anstream::eprintln!("{text}");
        }
    }

    /// Says how a command went, on standard output, unless told to be quiet.
    pub(super) fn done(self, text: impl std::fmt::Display) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }
}

/// A number with a comma between thousands.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in the unit that suits it.
pub(super) fn duration(time: std::time::Duration) -> String {
    if time.as_millis() >= 1000 {
        format!("{:.1} s", time.as_secs_f64())
    } else if time.as_micros() >= 1000 {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{} µs", time.as_micros())
    }
}

/// One thing, or several: `count("document", 1)` is `1 document`.
pub(super) fn count(noun: &str, number: u64) -> String {
    let plural = match noun {
        _ if number == 1 => noun.to_owned(),
        "index" => "indexes".to_owned(),
        "entry" => "entries".to_owned(),
        "flush" => "flushes".to_owned(),
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", thousands(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count("entry", 2), "2 entries");
        assert_eq!(count("index", 1), "1 index");
    }
}
