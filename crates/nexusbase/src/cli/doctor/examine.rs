//! What is wrong with a data folder.

use std::collections::BTreeSet;
use std::path::Path;

use nexusbase::documents::store::IndexFault;
use nexusbase::{Database, Documents, OpenError, Options};
use nexusbase_db::doctor::{LogChecked, check_log, database_id};
use nexusbase_db::forest_inspect::{self, Finding, Severity, Summary};
use nexusbase_db::{FOREST_DIR, IDENTITY_FILE, LOG_DIR};
use nexusbase_io::Env;
use nexusbase_log::OpenError as LogError;

use super::report::{Problem, Report};
use crate::cli::failure::{Failure, Outcome};

/// What is known of the files.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// Whose folder it is, if that can be read.
    pub(super) database: Option<[u8; 16]>,
    /// The log, if all of it can be read.
    pub(super) log: Option<LogChecked>,
    /// The trees' files.
    pub(super) forest: Summary,
}

/// Collections with the paths of indexes that do not agree with their documents.
pub(super) type Broken = BTreeSet<(String, String)>;

/// Reads every file, without opening the database.
pub(super) fn files(env: &Env, folder: &Path, report: &mut Report) -> Examined {
    report.begin_again();
    let fs = &*env.fs;
    let mut examined = Examined::default();
    match database_id(fs, folder) {
        Ok(id) => examined.database = Some(id),
        Err(error) => {
            let path = folder.join(IDENTITY_FILE);
            report.problem(Problem::damage(&path, 0, error));
            return examined;
        }
    }
    match check_log(fs, folder) {
        Ok(log) => {
            report.log = log.summary.clone();
            if let Some(end) = &log.summary.unfinished {
                report.problem(Problem::beside(
                    Severity::Warning,
                    format!(
                        "the log ends in an unfinished write: {end}; the next start cuts it off"
                    ),
                ));
            }
            for bad in &log.bad {
                let text = format!("expected {}, found {}", bad.expected, bad.found);
                report.problem(Problem::damage(&bad.path, bad.offset, text));
            }
            examined.log = Some(log);
        }
        Err(OpenError::Log(LogError::Damage(damage))) => {
            let text = format!("expected {}, found {}", damage.expected, damage.found);
            report.problem(Problem::damage(&damage.path, damage.offset, text));
        }
        Err(error) => report.problem(Problem::damage(&folder.join(LOG_DIR), 0, error)),
    }
    let mut found = Vec::new();
    examined.forest = forest_inspect::check(
        fs,
        &folder.join(FOREST_DIR),
        examined.database.unwrap_or_default(),
        &[],
        &mut |finding: Finding| found.push(finding),
    );
    report.forest = examined.forest.clone();
    for finding in found {
        report.problem(Problem::of(finding));
    }
    fit_together(&examined, folder, report);
    examined
}

/// Log and tables have to be of one piece.
fn fit_together(examined: &Examined, folder: &Path, report: &mut Report) {
    let (Some(log), Some(flushed)) = (&examined.log, examined.forest.flushed_through) else {
        return;
    };
    let (flushed, purged, last) = (flushed.get(), log.purged.get(), log.last.get());
    if flushed < purged || flushed > last {
        let text = format!(
            "the tables hold the entries up to {flushed}, but the log has those behind {purged} \
             up to {last}: a part of the folder is missing or from another time"
        );
        report.problem(Problem::damage(&folder.join(FOREST_DIR), 0, text));
    }
}

/// Opens the database, and holds every index against its documents.
pub(super) fn indexes(env: &Env, folder: &Path, report: &mut Report) -> Outcome<Broken> {
    let mut broken = Broken::new();
    let documents = match open(env, folder) {
        Ok(documents) => documents,
        Err(error @ OpenError::Locked { .. }) => {
            return Err(Failure::from(error).cannot_run());
        }
        Err(error) => {
            let text = format!("the database cannot be opened: {error}");
            report.problem(Problem::beside(Severity::Damage, text));
            return Ok(broken);
        }
    };
    let checked = documents.check(&mut |finding| {
        let severity = if finding.fault.is_damage() {
            Severity::Damage
        } else {
            Severity::Warning
        };
        report.problem(Problem::beside(severity, finding.to_string()));
        if let (Some(path), false) = (
            finding.index,
            matches!(finding.fault, IndexFault::Document(_)),
        ) {
            broken.insert((finding.collection, path));
        }
    });
    match checked {
        Ok(checked) => report.documents = checked,
        Err(error) => {
            let text = format!("the documents cannot be read: {error}");
            report.problem(Problem::beside(Severity::Damage, text));
        }
    }
    documents.database().close()?;
    Ok(broken)
}

/// The collections of the database in the folder. Nothing is flushed or compacted meanwhile.
pub(super) fn open(env: &Env, folder: &Path) -> Result<Documents, OpenError> {
    let options = Options {
        env: env.clone(),
        housekeeping_thread: false,
        ..Options::default()
    };
    Ok(Documents::new(&Database::open_with(folder, options)?))
}
