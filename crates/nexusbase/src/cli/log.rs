//! `nexusbase log`: look at a log without opening the database.
//!
//! Nothing is locked and nothing is changed, so this works beside a running server; the end of
//! the log may then be a batch that is just being written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nexusbase_db::LOG_DIR;
use nexusbase_db::write_set::WriteSet;
use nexusbase_io::Env;
use nexusbase_log::inspect::{Seen, Summary, walk};
use nexusbase_log::{OpenError, Record};

use super::Terminal;
use super::args::{LogCommand, LogDumpArgs, LogVerifyArgs};
use super::failure::{Failure, Outcome};
use super::output::{self, count};
use super::target::check_folder;

/// Bytes on one line of a hex dump.
const HEX_LINE: usize = 16;

pub(super) fn run(command: &LogCommand, terminal: Terminal) -> Outcome {
    match command {
        LogCommand::Dump(arguments) => dump(arguments, terminal),
        LogCommand::Verify(arguments) => verify(arguments, terminal),
    }
}

fn dump(arguments: &LogDumpArgs, terminal: Terminal) -> Outcome {
    let env = Env::os();
    let folder = log_folder(&env, &arguments.data)?;
    let mut out = output::stdout();
    // The walk cannot be ended from here: after a failed write the rest is read, but not shown.
    let mut written = writeln!(
        out,
        "{:<24} {:>10} {:>8} {:>5} {:<14} {:>9} checksum  content",
        "segment", "offset", "index", "term", "kind", "size"
    );
    let summary = walk(&*env.fs, &folder, |seen| {
        if written.is_ok() {
            written = show(&mut out, seen, arguments.hex);
        }
    });
    written?;
    out.flush()?;
    let summary = summary.map_err(|e| bad_log(&e))?;
    note_unfinished(&summary, terminal);
    Ok(())
}

fn show(out: &mut impl Write, seen: &Seen<'_>, hex: bool) -> io::Result<()> {
    let segment = seen.path.file_name().unwrap_or_default().to_string_lossy();
    let id = seen.record.id();
    writeln!(
        out,
        "{segment:<24} {:>10} {:>8} {:>5} {:<14} {:>9} {:08x}  {}",
        seen.offset,
        id.index,
        id.term,
        seen.record.kind(),
        seen.size,
        seen.checksum,
        content(&seen.record)
    )?;
    match seen.record {
        Record::Entry { payload, .. } if hex => show_hex(out, payload),
        _ => Ok(()),
    }
}

/// What a record says, in a few words.
fn content(record: &Record<'_>) -> String {
    match *record {
        Record::Batch {
            durable,
            bytes,
            records,
        } => format!("{records} records, {bytes} bytes; durable below {durable}"),
        Record::Entry { payload, .. } => match WriteSet::decode(&payload.to_vec().into()) {
            Ok(writes) => {
                let changes = count("change", writes.mutations.len() as u64);
                format!("{changes} at {} ms", writes.unix_ms)
            }
            Err(reason) => format!("not a write set: {reason}"),
        },
        Record::Vote { vote, .. } => format!(
            "for node {}{}",
            vote.node,
            if vote.committed { ", committed" } else { "" }
        ),
        Record::TruncateAfter { group, .. } | Record::PurgeUpTo { group, .. } => {
            format!("group {group}")
        }
        Record::Checkpoint { group, purged, .. } => {
            format!("group {group}, purged up to {}", purged.index)
        }
    }
}

fn show_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for (number, line) in bytes.chunks(HEX_LINE).enumerate() {
        write!(out, "    {:06x} ", number * HEX_LINE)?;
        for byte in line {
            write!(out, " {byte:02x}")?;
        }
        write!(out, "{:1$}  ", "", 3 * (HEX_LINE - line.len()))?;
        for byte in line {
            let shown = if byte.is_ascii_graphic() || *byte == b' ' {
                *byte
            } else {
                b'.'
            };
            out.write_all(&[shown])?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn verify(arguments: &LogVerifyArgs, terminal: Terminal) -> Outcome {
    let env = Env::os();
    let folder = log_folder(&env, &arguments.data)?;
    let summary = walk(&*env.fs, &folder, |_| {}).map_err(|e| bad_log(&e))?;
    note_unfinished(&summary, terminal);
    Ok(terminal.done(format_args!(
        "good: {}, {}, {} among them, {}",
        count("segment", summary.segments as u64),
        count("record", summary.records),
        count("entry", summary.entries),
        count("byte", summary.bytes),
    ))?)
}

fn log_folder(env: &Env, data: &Path) -> Outcome<PathBuf> {
    check_folder(env, data)?;
    Ok(data.join(LOG_DIR))
}

fn note_unfinished(summary: &Summary, terminal: Terminal) {
    if let Some(end) = &summary.unfinished {
        terminal.note(format_args!(
            "the log ends in an unfinished write: {end}\n  A server that is running is writing \
             it just now; after a crash, the next start cuts it off. Nothing acknowledged is in it."
        ));
    }
}

fn bad_log(error: &OpenError) -> Failure {
    let failure = Failure::from_error(error);
    match error {
        OpenError::Damage(_) => failure.hint(
            "the file has changed after it was written; look at the disk, and restore the \
             folder from a copy",
        ),
        _ => failure,
    }
}
