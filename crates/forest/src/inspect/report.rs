//! What a check finds, and what it has read.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{DiskError, Seqno};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to worry about.
    Note,
    /// Not as it should be, and no answer is wrong because of it.
    Warning,
    /// Something that was written is gone or has changed.
    Damage,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes, if it is a matter of a place.
    pub offset: Option<u64>,
    /// What had to be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

/// What was read, and how many findings there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Edits in the manifest.
    pub manifest_edits: u64,
    /// Trees that the manifest knows.
    pub trees: u64,
    /// Tables.
    pub tables: u64,
    /// Blocks of tables, indexes included.
    pub blocks: u64,
    /// Rows in them, versions and tombstones included.
    pub rows: u64,
    /// Blob files.
    pub blob_files: u64,
    /// Values in them.
    pub blob_values: u64,
    /// Up to which entry everything is in tables; unknown if the manifest cannot be read.
    pub flushed_through: Option<Seqno>,
    /// Findings that are damage.
    pub damage: u64,
    /// Findings that are warnings.
    pub warnings: u64,
    /// Findings that are notes.
    pub notes: u64,
}

/// How many places are remembered, so that none is shown twice.
const PLACES_MAX: usize = 100_000;

/// Hands findings on, each place once.
pub(super) struct Reporter<'a> {
    on_finding: &'a mut dyn FnMut(Finding),
    seen: BTreeSet<(PathBuf, Option<u64>, String)>,
    pub(super) summary: Summary,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(on_finding: &'a mut dyn FnMut(Finding)) -> Self {
        Self {
            on_finding,
            seen: BTreeSet::new(),
            summary: Summary::default(),
        }
    }

    fn add(&mut self, finding: Finding) {
        let place = (
            finding.path.clone(),
            finding.offset,
            finding.expected.clone(),
        );
        if self.seen.len() < PLACES_MAX && !self.seen.insert(place) {
            return;
        }
        let summary = &mut self.summary;
        match finding.severity {
            Severity::Damage => summary.damage += 1,
            Severity::Warning => summary.warnings += 1,
            Severity::Note => summary.notes += 1,
        }
        (self.on_finding)(finding);
    }

    pub(super) fn damage(
        &mut self,
        path: &Path,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.add(Finding {
            severity: Severity::Damage,
            path: path.to_path_buf(),
            offset: Some(offset),
            expected: expected.into(),
            found: found.into(),
        });
    }

    pub(super) fn warning(&mut self, path: &Path, offset: u64, expected: &str, found: &str) {
        self.add(Finding {
            severity: Severity::Warning,
            path: path.to_path_buf(),
            offset: Some(offset),
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }

    pub(super) fn note(&mut self, path: &Path, expected: &str, found: &str) {
        self.add(Finding {
            severity: Severity::Note,
            path: path.to_path_buf(),
            offset: None,
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }

    /// A file, or a part of it, could not be read or is damaged.
    pub(super) fn unreadable(&mut self, path: &Path, error: &DiskError) {
        match error {
            DiskError::Corrupt(corruption) => self.add(Finding {
                severity: Severity::Damage,
                path: corruption.path.clone(),
                offset: Some(corruption.offset),
                expected: corruption.expected.clone(),
                found: corruption.found.clone(),
            }),
            DiskError::Io(error) => self.add(Finding {
                severity: Severity::Damage,
                path: path.to_path_buf(),
                offset: Some(0),
                expected: "a file that can be read".to_owned(),
                found: if error.is_not_found() {
                    "no such file".to_owned()
                } else {
                    error.to_string()
                },
            }),
        }
    }
}
