//! What the doctor says: to a person, or as JSON.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

use nexusbase::documents::store::Checked;
use nexusbase_db::forest_inspect::{Finding, Severity, Summary};
use nexusbase_log::inspect::Summary as LogSummary;
use serde_json::json;

use crate::cli::Terminal;
use crate::cli::failure::Outcome;
use crate::cli::output::{self, count};

/// Problems that are shown; the others are counted.
const SHOWN_MAX: usize = 200;

/// Something that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    severity: Severity,
    path: Option<PathBuf>,
    offset: Option<u64>,
    text: String,
}

impl Problem {
    /// Damage at a place in a file.
    pub(super) fn damage(path: &Path, offset: u64, text: impl Display) -> Self {
        Self {
            severity: Severity::Damage,
            path: Some(path.to_path_buf()),
            offset: Some(offset),
            text: text.to_string(),
        }
    }

    /// Something that is in no one file.
    pub(super) const fn beside(severity: Severity, text: String) -> Self {
        Self {
            severity,
            path: None,
            offset: None,
            text,
        }
    }

    pub(super) fn of(finding: Finding) -> Self {
        Self {
            severity: finding.severity,
            path: Some(finding.path),
            offset: finding.offset,
            text: format!("expected {}, found {}", finding.expected, finding.found),
        }
    }

    const fn word(&self) -> &'static str {
        match self.severity {
            Severity::Damage => "damage",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// All that is said in the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) log: LogSummary,
    pub(super) forest: Summary,
    pub(super) documents: Checked,
    /// Where the folder was copied to before it was changed.
    pub(super) copies: Option<PathBuf>,
    /// What was found when it was looked at for the last time.
    problems: Vec<Problem>,
    damage: u64,
    others: u64,
    /// What was found before something was repaired.
    before: Vec<Problem>,
    steps: Vec<String>,
}

impl Report {
    /// Everything is looked at anew, because something was repaired.
    pub(super) fn begin_again(&mut self) {
        self.before.append(&mut self.problems);
        (self.damage, self.others) = (0, 0);
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        match problem.severity {
            Severity::Damage => self.damage += 1,
            Severity::Warning | Severity::Note => self.others += 1,
        }
        if self.problems.len() < SHOWN_MAX {
            self.problems.push(problem);
        }
    }

    pub(super) fn step(&mut self, text: impl Into<String>) {
        self.steps.push(text.into());
    }

    pub(super) fn has_step(&self, start: &str) -> bool {
        self.steps.iter().any(|step| step.starts_with(start))
    }

    pub(super) const fn damage(&self) -> u64 {
        self.damage
    }

    pub(super) const fn has_findings(&self) -> bool {
        self.damage + self.others > 0
    }

    pub(super) fn print(&self, as_json: bool, terminal: Terminal) -> Outcome {
        let mut out = output::stdout();
        if as_json {
            writeln!(out, "{}", self.json())?;
            return Ok(out.flush()?);
        }
        self.print_problems(&mut out)?;
        if !terminal.quiet {
            self.print_read(&mut out)?;
        }
        for step in &self.steps {
            writeln!(out, "repair: {step}")?;
        }
        if self.damage == 0 {
            writeln!(out, "healthy")?;
        }
        Ok(out.flush()?)
    }

    fn print_problems(&self, out: &mut impl Write) -> std::io::Result<()> {
        let before = self.before.iter().map(|problem| ("before: ", problem));
        let now = self.problems.iter().map(|problem| ("", problem));
        for (when, problem) in before.chain(now) {
            write!(out, "{when}{}: ", problem.word())?;
            if let Some(path) = &problem.path {
                write!(out, "{}", path.display())?;
                if let Some(offset) = problem.offset {
                    write!(out, ", offset {offset}")?;
                }
                write!(out, ": ")?;
            }
            writeln!(out, "{}", problem.text)?;
        }
        let hidden = (self.damage + self.others).saturating_sub(self.problems.len() as u64);
        if hidden > 0 {
            writeln!(out, "and {} more", output::thousands(hidden))?;
        }
        Ok(())
    }

    fn print_read(&self, out: &mut impl Write) -> std::io::Result<()> {
        let (log, forest, documents) = (&self.log, &self.forest, &self.documents);
        writeln!(
            out,
            "log: {}, {}, {}",
            count("segment", log.segments as u64),
            count("entry", log.entries),
            count("byte", log.bytes),
        )?;
        writeln!(
            out,
            "trees: {}, {}, {}, {}, {}, {}, {}",
            count("file", forest.files),
            count("byte", forest.bytes),
            count("manifest edit", forest.manifest_edits),
            count("table", forest.tables),
            count("block", forest.blocks),
            count("row", forest.rows),
            count("value", forest.blob_values) + " in blob files",
        )?;
        writeln!(
            out,
            "documents: {}, {}, {}, {}",
            count("collection", documents.collections),
            count("document", documents.documents),
            count("index", documents.indexes),
            count("index row", documents.index_rows),
        )
    }

    fn json(&self) -> serde_json::Value {
        let problems = |list: &[Problem]| -> Vec<serde_json::Value> {
            let one = |problem: &Problem| {
                json!({
                    "severity": problem.word(),
                    "path": problem.path.as_ref().map(|path| path.display().to_string()),
                    "offset": problem.offset,
                    "text": problem.text,
                })
            };
            list.iter().map(one).collect()
        };
        let (log, forest, documents) = (&self.log, &self.forest, &self.documents);
        json!({
            "healthy": self.damage == 0,
            "damage": self.damage,
            "findings": problems(&self.problems),
            "found_before_repair": problems(&self.before),
            "repair": self.steps,
            "copies": self.copies.as_ref().map(|path| path.display().to_string()),
            "read": {
                "log": {
                    "segments": log.segments, "records": log.records, "entries": log.entries,
                    "bytes": log.bytes,
                },
                "trees": {
                    "files": forest.files, "bytes": forest.bytes, "trees": forest.trees,
                    "manifest_edits": forest.manifest_edits, "tables": forest.tables,
                    "blocks": forest.blocks, "rows": forest.rows,
                    "blob_files": forest.blob_files, "blob_values": forest.blob_values,
                },
                "documents": {
                    "collections": documents.collections, "documents": documents.documents,
                    "indexes": documents.indexes, "index_rows": documents.index_rows,
                },
            },
        })
    }
}
