//! What was found in a file that is not as it should be.

use std::path::Path;

/// Two lines have become one.
pub(super) const JOINED: &str = "the end of a line was damaged";

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A line that makes sense, but its checksum is wrong or missing.
    Edited,
    /// The same, but a later line has the last word on its key.
    Superseded,
    /// A line that makes no sense.
    Unreadable,
    /// A group that was never finished.
    Torn,
    /// Something is not there. Nothing can be set aside.
    Missing,
}

impl Fault {
    /// How it is called in the file of what was set aside.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Superseded => "edited, but overwritten later",
            Self::Unreadable => "damaged",
            Self::Torn => "unfinished",
            Self::Missing => "missing",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) fault: Fault,
    /// The line's number; 0 where it is about the whole file.
    pub(super) line: u64,
    pub(super) offset: u64,
    /// So many bytes are to be set aside.
    pub(super) length: u64,
    pub(super) why: String,
}

impl Finding {
    /// Where it is, for people.
    pub(super) fn place(&self, path: &Path) -> String {
        if self.line == 0 {
            return path.display().to_string();
        }
        let (path, line, offset) = (path.display(), self.line, self.offset);
        format!("{path}, line {line} (offset {offset})")
    }
}

/// All that was found in a file.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Lines with a good checksum.
    pub(super) good: u64,
    pub(super) findings: Vec<Finding>,
    /// What does no harm, but is to be put right.
    pub(super) notes: Vec<&'static str>,
}

impl Report {
    /// Adds a finding. Returns where it is.
    pub(super) fn add(&mut self, fault: Fault, finding: Finding) -> usize {
        self.findings.push(Finding { fault, ..finding });
        self.findings.len() - 1
    }

    /// Notes, once, what does no harm.
    pub(super) fn note(&mut self, what: &'static str) {
        if !self.notes.contains(&what) {
            self.notes.push(what);
        }
    }

    /// An edited line does not have the last word.
    pub(super) fn supersede(&mut self, at: usize) {
        if let Some(finding) = self.findings.get_mut(at) {
            finding.fault = Fault::Superseded;
        }
    }

    /// Forgets damaged lines from `offset` on: they are part of something larger.
    pub(super) fn forget_from(&mut self, offset: u64) {
        let is_part = |finding: &Finding| finding.offset >= offset && finding.length > 0;
        self.findings.retain(|finding| !is_part(finding));
        self.notes.retain(|note| *note != JOINED);
    }

    /// Whether all is as it was written.
    pub(super) fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.notes.is_empty()
    }

    /// For people.
    pub(super) fn texts(&self, path: &Path) -> Vec<String> {
        let finding = |finding: &Finding| format!("{}: {}", finding.place(path), finding.why);
        let note = |note: &&str| format!("{}: {note}; mended", path.display());
        let findings = self.findings.iter().map(finding);
        findings.chain(self.notes.iter().map(note)).collect()
    }
}
