//! Reads a file and judges what is in it: what counts, what does not, and why.
//!
//! A file is a base part, which a rewrite has written at once, and groups that were appended. The
//! base part was there as a whole before the file got its name, so its rows count as they come. A
//! group counts when its last line is there.
//!
//! Promises: no content makes it fail or panic, only a disk that cannot be read; what it gives
//! out was once written for that key; every line that does not count is in the report. Does not:
//! change anything.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use crc32c::crc32c;
use nexusbase_io as io;

use super::cut::{parts, was_end};
use super::line::Chain;
use super::parse::{Body, Commit, Header, Line, parse, split_sum};
use super::reader::{Lines, RawLine, read};
use super::report::{Fault, Finding, JOINED, Report};
use crate::domain::Entry;
use crate::keyspace::Change;

/// What a disk writes as one.
const SECTOR: u64 = 512;

/// Who looks briefly does not go on after so many lines of which none is right.
const STRANGE_MAX: u64 = 1000;

/// Editors put this at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Changes that were made together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) changes: Vec<Change>,
    /// They are from elsewhere in the file: only for keys under which there is nothing.
    pub(super) is_misplaced: bool,
}

/// Lines since the last that ended a group.
#[derive(Debug, Default)]
struct Pending {
    changes: Vec<Change>,
    /// Lines with a good checksum.
    good: u64,
    /// Lines without one.
    bad: u64,
    /// Where the first begins, and its number.
    start: Option<(u64, u64)>,
}

/// Reads a file. First [`Scan::row`] until there is none, then [`Scan::group`] until there is none,
/// then [`Scan::end`].
#[derive(Debug)]
pub(super) struct Scan {
    lines: Lines,
    judge: Judge,
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Judge {
    file: Arc<dyn io::File>,
    length: u64,
    /// Groups are collected and put in order, because they are not.
    sorts: bool,
    pub(super) is_disordered: bool,
    pub(super) chain: Chain,
    pub(super) header: Option<Header>,
    /// The same, from the line that ends the base part.
    pub(super) foot: Option<Header>,
    /// Said by a line behind the header.
    pub(super) next_version: u64,
    in_base: bool,
    /// The number of the last group, if it is known.
    last: Option<u64>,
    /// A line without a checksum was read: the running one cannot be right.
    is_unsure: bool,
    pub(super) base_end: u64,
    /// Where the last group is that was appended.
    pub(super) last_group: Option<Range<u64>>,
    row: Option<(Bytes, Entry)>,
    pending: Pending,
    /// The last line is one that ended a group, and is damaged.
    has_damaged_end: bool,
    ready: VecDeque<Group>,
    sorted: Vec<(u64, Group)>,
    /// Keys of edited lines, and where in the report those are.
    edits: HashMap<Bytes, usize>,
    pub(super) report: Report,
    pub(super) foreign_format: Option<String>,
}

impl Scan {
    /// Reads the first `length` bytes of `file`; with `sorts` if a first try has found the groups out
    /// of order.
    pub(super) fn new(file: &Arc<dyn io::File>, length: u64, sorts: bool) -> Self {
        let judge = Judge {
            file: Arc::clone(file),
            length,
            sorts,
            is_disordered: false,
            chain: Chain::default(),
            header: None,
            foot: None,
            next_version: 0,
            in_base: true,
            last: None,
            is_unsure: false,
            base_end: 0,
            last_group: None,
            row: None,
            pending: Pending::default(),
            has_damaged_end: false,
            ready: VecDeque::new(),
            sorted: Vec::new(),
            edits: HashMap::new(),
            report: Report::default(),
            foreign_format: None,
        };
        let lines = Lines::new(Arc::clone(file), length);
        Self { lines, judge }
    }

    /// Reads all of a file, unless it soon shows that it is somebody else's.
    pub(super) fn brief(file: &Arc<dyn io::File>) -> io::Result<Judge> {
        let mut scan = Self::new(file, file.len()?, false);
        let is_foreign = |judge: &Judge| judge.report.good == 0 && judge.pending.bad >= STRANGE_MAX;
        while scan.judge.in_base && !is_foreign(&scan.judge) {
            let Some(line) = scan.lines.next()? else {
                break;
            };
            scan.judge.line(line)?;
        }
        if !is_foreign(&scan.judge) {
            while scan.group()?.is_some() {}
        }
        Ok(scan.end())
    }

    /// The next row of the base part.
    pub(super) fn row(&mut self) -> io::Result<Option<(Bytes, Entry)>> {
        while self.judge.in_base {
            let Some(line) = self.lines.next()? else {
                break;
            };
            self.judge.line(line)?;
            if let Some(row) = self.judge.row.take() {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The next group behind the base part.
    pub(super) fn group(&mut self) -> io::Result<Option<Group>> {
        loop {
            if let Some(group) = self.judge.ready.pop_front() {
                return Ok(Some(group));
            }
            if self.judge.is_disordered && !self.judge.sorts {
                return Ok(None);
            }
            let Some(line) = self.lines.next()? else {
                self.judge.last_group()?;
                if !self.judge.ready.is_empty() {
                    continue;
                }
                if self.judge.sorted.is_empty() {
                    return Ok(None);
                }
                self.judge.sort();
                continue;
            };
            self.judge.line(line)?;
        }
    }

    /// All is read: judges the end.
    pub(super) fn end(mut self) -> Judge {
        self.judge.finish();
        self.judge.chain.commit = self.judge.last.unwrap_or_default();
        self.judge
    }
}

impl Judge {
    fn line(&mut self, raw: RawLine<'_>) -> io::Result<()> {
        let RawLine {
            mut bytes, number, ..
        } = raw;
        let mut offset = raw.offset;
        if number == 1
            && let Some(rest) = bytes.strip_prefix(BYTE_ORDER_MARK)
        {
            bytes = rest;
            offset += BYTE_ORDER_MARK.len() as u64;
            self.report
                .note("a byte order mark was put at its beginning");
        }
        if let Some(rest) = bytes.strip_suffix(b"\r") {
            bytes = rest;
            self.report.note("its line ends were changed to CR LF");
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        if !raw.is_ended {
            self.report.note("the end of its last line is missing");
        }
        let place = Place {
            number,
            offset,
            is_ended: raw.is_ended,
        };
        if self.good(bytes, place)? {
            return Ok(());
        }
        let parts = parts(bytes);
        if parts.len() < 2 {
            return self.bad(bytes, place);
        }
        self.report.note(JOINED);
        for part in parts {
            let place = Place {
                offset: place.offset + part.start as u64,
                ..place
            };
            let part = bytes.get(part).unwrap_or_default();
            if !self.good(part, place)? {
                self.bad(part, place)?;
            }
        }
        Ok(())
    }

    /// Takes a line whose checksum is right. Returns false for others.
    fn good(&mut self, bytes: &[u8], place: Place) -> io::Result<bool> {
        let Some((_, sum, _)) = split_sum(bytes).filter(|(text, _, sum)| crc32c(text) == *sum)
        else {
            return Ok(false);
        };
        let before = self.chain.all;
        self.chain.add(sum);
        self.report.good += 1;
        self.has_damaged_end = false;
        let line = match parse(bytes) {
            Ok(line) => line,
            Err(why) => {
                self.pending.begin(place);
                self.pending.good += 1;
                if place.number == 1 && bytes.starts_with(b"{\"format\":") {
                    self.foreign_format = Some(why.clone());
                }
                let why = format!("its checksum is right, but it is not understood: {why}");
                self.report
                    .add(Fault::Unreadable, place.finding(bytes, why));
                return Ok(true);
            }
        };
        let is_end = matches!(line.body, Body::End(_));
        if line.commit.is_some() && self.in_base && !is_end {
            self.end_base(place.offset);
            self.missing(
                place,
                "the line that ends the base part is missing".to_owned(),
            );
        }
        self.pending.begin(place);
        self.pending.good += 1;
        self.take(line.body, place);
        if let Some(commit) = line.commit {
            let end = place.offset + bytes.len() as u64 + 1;
            self.commit(commit, is_end, before, place, end)?;
            self.is_unsure = false;
            if commit.all != before {
                // From here on it is as the file says.
                self.chain.all = commit.all;
                self.chain.add(sum);
            }
        }
        Ok(true)
    }

    fn take(&mut self, body: Body, place: Place) {
        match body {
            Body::Header(header) if self.header.is_none() => self.header = Some(*header),
            Body::Header(_) => self.missing(place, "a second first line".to_owned()),
            Body::Put(key, entry) => {
                self.supersede(&key);
                if self.in_base {
                    self.row = Some((key, entry));
                } else {
                    self.pending.changes.push(Change::Put(key, entry));
                }
            }
            Body::Delete(key) => {
                self.supersede(&key);
                self.pending.changes.push(Change::Delete(key));
            }
            Body::Clear => {
                let all: Vec<_> = self.edits.drain().map(|(_, at)| at).collect();
                all.into_iter().for_each(|at| self.report.supersede(at));
                self.pending.changes.push(Change::Clear);
            }
            Body::NextVersion(next) => self.next_version = self.next_version.max(next),
            Body::End(foot) if self.foot.is_none() => self.foot = foot.map(|foot| *foot),
            Body::End(_) => {}
        }
    }

    /// A later line has the last word on `key`.
    fn supersede(&mut self, key: &Bytes) {
        if !self.edits.is_empty()
            && let Some(at) = self.edits.remove(key)
        {
            self.report.supersede(at);
        }
    }

    /// Notes a line whose checksum is wrong or missing.
    fn bad(&mut self, bytes: &[u8], place: Place) -> io::Result<()> {
        self.pending.begin(place);
        self.pending.bad += 1;
        self.has_damaged_end = place.is_ended && was_end(bytes);
        let split = split_sum(bytes);
        if let Some((_, sum, _)) = split {
            // Whoever edits a line leaves its checksum as it was; then no line is missing.
            self.chain.add(sum);
        } else {
            self.is_unsure = true;
        }
        let parsed = parse(bytes);
        let is_end = matches!(&parsed, Ok(line) if matches!(line.body, Body::End(_)))
            || bytes.starts_with(b"{\"rows\":");
        let (fault, why) = match &parsed {
            Ok(_) if split.is_none() => (
                Fault::Edited,
                "it has no checksum: added by hand?".to_owned(),
            ),
            Ok(_) => (
                Fault::Edited,
                "its checksum is wrong: edited or damaged".to_owned(),
            ),
            Err(_) if !place.is_ended => (Fault::Unreadable, "it is cut off".to_owned()),
            Err(why) => (Fault::Unreadable, format!("it is damaged: {why}")),
        };
        let at = self.report.add(fault, place.finding(bytes, why));
        let Ok(Line { body, commit }) = parsed else {
            if is_end && self.in_base {
                self.end_base(place.offset + bytes.len() as u64 + 1);
            }
            return Ok(());
        };
        if let Body::Put(key, _) | Body::Delete(key) = body
            && let Some(earlier) = self.edits.insert(key, at)
        {
            self.report.supersede(earlier);
        }
        let follows = |commit: &Commit| {
            let next = self.last.and_then(|last| last.checked_add(1));
            is_end || !self.in_base && next == Some(commit.number)
        };
        if let Some(commit) = commit.filter(follows) {
            let end = place.offset + bytes.len() as u64 + 1;
            let before = commit.all;
            self.commit(commit, is_end, before, place, end)?;
        }
        Ok(())
    }

    fn end_base(&mut self, end: u64) {
        self.in_base = false;
        self.base_end = end;
        let changes = std::mem::take(&mut self.pending).changes;
        if !changes.is_empty() {
            self.ready.push_back(Group {
                changes,
                is_misplaced: true,
            });
        }
    }

    /// A group ends here; `before` is the running checksum as it was found.
    fn commit(
        &mut self,
        commit: Commit,
        is_end: bool,
        before: u32,
        place: Place,
        end: u64,
    ) -> io::Result<()> {
        let is_explained = self.pending.bad > 0 || self.is_unsure || commit.all == before;
        if is_end {
            if !is_explained {
                let why = "before it, lines of the base part are missing, added or moved";
                self.missing(place, why.to_owned());
            }
            if self.in_base {
                self.end_base(end);
                self.last = Some(commit.number);
            }
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let start = pending.start.map_or(place.offset, |(offset, _)| offset);
        if pending.bad > 0 && end >= self.length && self.has_lost_sector(start, end)? {
            self.torn(&pending);
            return Ok(());
        }
        let last = self.last.unwrap_or_else(|| commit.number.saturating_sub(1));
        let missing = commit.number.saturating_sub(last).saturating_sub(1);
        if self.sorts || commit.number <= last {
            self.is_disordered = true;
        } else if missing > 0 && pending.bad < missing {
            let why = format!(
                "{missing} groups before it are missing, from number {}",
                last + 1
            );
            self.missing(place, why);
        } else if !is_explained {
            let why = "lines before it are missing, added or moved".to_owned();
            self.missing(place, why);
        }
        self.last = Some(last.max(commit.number));
        self.last_group = Some(start..end);
        self.hand_out(pending, commit, missing);
        Ok(())
    }

    /// All is read. A last line that is there up to its end, but damaged, takes only its own change
    /// along: what a power cut leaves has no end, or lacks a sector.
    fn last_group(&mut self) -> io::Result<()> {
        let start = self.pending.start.map_or(self.length, |(start, _)| start);
        if self.in_base
            || !self.has_damaged_end
            || self.pending.good == 0
            || self.has_lost_sector(start, self.length)?
        {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let number = self.last.unwrap_or_default().saturating_add(1);
        self.last = Some(number);
        let commit = Commit {
            number,
            lines: pending.good,
            all: 0,
        };
        self.hand_out(pending, commit, 0);
        Ok(())
    }

    fn hand_out(&mut self, pending: Pending, commit: Commit, missing: u64) {
        let mut changes = pending.changes;
        // Lines that this group does not know, and no missing group explains.
        let strange = if missing == 0 || self.sorts {
            pending.good.saturating_sub(commit.lines)
        } else {
            0
        };
        let strange = usize::try_from(strange)
            .unwrap_or(usize::MAX)
            .min(changes.len());
        let own = changes.split_off(strange);
        for (changes, is_misplaced) in [(changes, true), (own, false)] {
            let group = Group {
                changes,
                is_misplaced,
            };
            if group.changes.is_empty() {
                continue;
            }
            if self.sorts {
                self.sorted.push((commit.number, group));
            } else {
                self.ready.push_back(group);
            }
        }
    }

    /// Puts groups in the order in which they were written. One that is there twice counts once.
    fn sort(&mut self) {
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.sort_by_key(|(number, group)| (*number, group.is_misplaced));
        sorted.dedup_by_key(|(number, group)| (*number, group.is_misplaced));
        self.ready = sorted.into_iter().map(|(_, group)| group).collect();
        let why = "groups of lines are out of order, or there twice".to_owned();
        self.missing(Place::default(), why);
    }

    /// Whether a part between two borders of sectors is zero: that is what a power cut leaves of a
    /// write that was under way. No edit and hardly any rot looks like that.
    fn has_lost_sector(&self, start: u64, end: u64) -> io::Result<bool> {
        let bytes = read(&*self.file, start, end.saturating_sub(start))?;
        let head = usize::try_from(SECTOR - start % SECTOR).unwrap_or(usize::MAX);
        let (head, rest) = bytes.split_at(head.min(bytes.len()));
        let sector = usize::try_from(SECTOR).unwrap_or(usize::MAX);
        let mut sectors = std::iter::once(head).chain(rest.chunks(sector));
        Ok(sectors.any(|bytes| !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0)))
    }

    /// A group at the end of the file is not all there: it was never acknowledged.
    fn torn(&mut self, pending: &Pending) {
        let Some((offset, number)) = pending.start else {
            return;
        };
        self.report.forget_from(offset);
        let lines = pending.good + pending.bad;
        let finding = Finding {
            fault: Fault::Torn,
            line: number,
            offset,
            length: self.length.saturating_sub(offset),
            why: format!("a write was interrupted here: {lines} lines of an unfinished group"),
        };
        self.report.add(Fault::Torn, finding);
    }

    fn finish(&mut self) {
        if self.in_base {
            self.end_base(self.length);
            let why = "the end of the base part is missing".to_owned();
            self.missing(Place::default(), why);
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        if pending.good > 0 {
            self.torn(&pending);
        }
    }

    /// Notes that something is not there; nothing is to be set aside.
    fn missing(&mut self, place: Place, why: String) {
        self.report.add(Fault::Missing, place.finding(&[], why));
    }
}

impl Pending {
    fn begin(&mut self, place: Place) {
        self.start.get_or_insert((place.offset, place.number));
    }
}

/// Where a line is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    number: u64,
    offset: u64,
    is_ended: bool,
}

impl Place {
    fn finding(self, bytes: &[u8], why: String) -> Finding {
        Finding {
            fault: Fault::Missing,
            line: self.number,
            offset: self.offset,
            length: bytes.len() as u64,
            why,
        }
    }
}
