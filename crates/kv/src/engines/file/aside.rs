//! The file of what was set aside: each damaged or edited line, why, and where it was.
//!
//! A line of it is a record of its own, without a checksum: people may edit and remove lines.

use std::path::Path;
use std::sync::Arc;

use nexusbase_io as io;
use serde::Deserialize;

use super::line;
use super::parse::{Body, Text, parse};
use super::reader::{Lines, read};
use super::report::{Fault, Finding, Report};
use crate::keyspace::{Change, State};

/// A record, as it is read.
#[derive(Deserialize)]
struct Record<'a> {
    damaged: String,
    /// The store's.
    id: Option<String>,
    line: Option<u64>,
    /// What was under the key when an edit was set aside.
    was: Option<String>,
    #[serde(borrow)]
    text: Text<'a>,
}

/// An edited line that was set aside.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) change: Change,
    /// Where it was, for people.
    pub(super) place: String,
    /// What was under its key when it was set aside, if it is known.
    was: Option<String>,
    /// The record.
    pub(super) line: Vec<u8>,
}

impl Edit {
    /// Whether something else is under its key than when it was set aside: what was written since is
    /// newer than the edit.
    pub(super) fn is_outdated(&self, now: Before<'_>) -> bool {
        let key = match &self.change {
            Change::Put(key, _) | Change::Delete(key) => key,
            Change::Clear => return false,
        };
        self.was.as_ref().is_some_and(|was| *was != now.print(key))
    }
}

/// A state at some time.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) state: &'a State,
    pub(super) now_ms: u64,
}

impl Before<'_> {
    /// Says in few bytes what is under `key`.
    fn print(self, key: &[u8]) -> String {
        let Some(cell) = self.state.live(key, self.now_ms) else {
            return "nothing".to_owned();
        };
        let mut text = Vec::new();
        line::put(&mut text, key, cell.entry.as_put());
        format!("{:08x}", crc32c::crc32c(&text))
    }
}

/// What was set aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    pub(super) edits: Vec<Edit>,
    /// All other lines, as they are.
    pub(super) rest: Vec<u8>,
    pub(super) rest_lines: u64,
}

/// Adds what `report` says of `from` to the file at `to`, and makes that durable. `before` is what
/// counts instead.
pub(super) fn append(
    fs: &Arc<dyn io::Fs>,
    to: &Path,
    from: &Arc<dyn io::File>,
    report: &Report,
    id: &str,
    before: Before<'_>,
) -> io::Result<()> {
    let mut findings = report
        .findings
        .iter()
        .filter(|finding| finding.length > 0)
        .peekable();
    if findings.peek().is_none() {
        return Ok(());
    }
    let file = if fs.exists(to)? {
        fs.open(to)?
    } else {
        fs.create(to)?
    };
    let mut at = file.len()?;
    let mut out = Vec::new();
    if at > 0 {
        // The last record may be torn.
        out.push(b'\n');
    }
    for finding in findings {
        let bytes = read(&**from, finding.offset, finding.length)?;
        record(&mut out, finding, &bytes, id, before);
        if out.len() > 1 << 20 {
            file.write_at(&out, at)?;
            at += out.len() as u64;
            out.clear();
        }
    }
    file.write_at(&out, at)?;
    file.sync_data()?;
    fs.sync_dir(to.parent().unwrap_or(Path::new("")))
}

fn record(out: &mut Vec<u8>, finding: &Finding, bytes: &[u8], id: &str, before: Before<'_>) {
    out.extend_from_slice(b"{\"damaged\":");
    line::string(out, finding.fault.word().as_bytes());
    out.extend_from_slice(b",\"id\":");
    line::string(out, id.as_bytes());
    out.extend_from_slice(b",\"line\":");
    line::number(out, finding.line);
    out.extend_from_slice(b",\"offset\":");
    line::number(out, finding.offset);
    out.extend_from_slice(b",\"why\":");
    line::string(out, finding.why.as_bytes());
    if finding.fault == Fault::Edited
        && let Some(Change::Put(key, _) | Change::Delete(key)) = change(bytes)
    {
        out.extend_from_slice(b",\"was\":");
        line::string(out, before.print(&key).as_bytes());
    }
    out.extend_from_slice(b",\"text\":");
    line::text(out, bytes);
    out.extend_from_slice(b"}\n");
}

/// Reads what was set aside. None if there is no such file.
pub(super) fn read_all(fs: &Arc<dyn io::Fs>, path: &Path) -> io::Result<Option<Aside>> {
    let file = match fs.open_read_only(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.len()?;
    let mut lines = Lines::records(file, length);
    let mut aside = Aside::default();
    while let Some(raw) = lines.next()? {
        if raw.bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(edit) = edit(raw.bytes) {
            aside.edits.push(edit);
        } else {
            aside.rest.extend_from_slice(raw.bytes);
            aside.rest.push(b'\n');
            aside.rest_lines += 1;
        }
    }
    Ok(Some(aside))
}

fn edit(line: &[u8]) -> Option<Edit> {
    let record: Record<'_> = serde_json::from_slice(line).ok()?;
    if record.damaged != Fault::Edited.word() {
        return None;
    }
    let change = change(&record.text.into_vec())?;
    let number = record.line.unwrap_or_default();
    let place = format!("what was line {number}");
    Some(Edit {
        change,
        place,
        was: record.was,
        line: line.to_vec(),
    })
}

/// What an edited line changes.
fn change(line: &[u8]) -> Option<Change> {
    match parse(line).ok()?.body {
        Body::Put(key, entry) => Some(Change::Put(key, entry)),
        Body::Delete(key) => Some(Change::Delete(key)),
        _ => None,
    }
}

/// The id of the store whose lines are in the file at `path`, if a record says it.
pub(super) fn id(line: &[u8]) -> Option<String> {
    serde_json::from_slice::<Record<'_>>(line).ok()?.id
}
