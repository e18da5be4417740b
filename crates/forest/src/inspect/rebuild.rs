//! Making a manifest again out of one that is damaged, or that nothing names any more.
//!
//! The edits of a manifest before its first damage come to a state that the forest once had. If
//! all files of that state are still there, and the log still has every entry behind it, then
//! opening that state and replaying the log gives exactly what was lost: nothing is guessed. All
//! manifests of the folder are looked at, current or not, and the newest such state is taken.
//!
//! What it does not: put a state together from tables alone. Which tables are the inputs of a
//! compaction and which its outputs, and which range deletes lie over them, only a manifest says.

use std::path::{Path, PathBuf};

use nexusbase_io::Fs;

use super::{report::Reporter, table_path};
use crate::manifest::files;
use crate::manifest::state::State;
use crate::{DiskError, Seqno};

/// A state that a manifest can be made of.
#[derive(Clone, Debug)]
pub struct ManifestPlan {
    state: State,
    database: [u8; 16],
    /// The manifest that it comes from.
    pub from: PathBuf,
    /// How many of its edits are in it.
    pub edits: usize,
    /// Up to which entry everything is in tables; what follows comes from the log.
    pub flushed_through: Seqno,
}

impl ManifestPlan {
    /// Writes the manifest under a new number, and makes it the current one. The others stay until
    /// the next opening. Returns its path.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<PathBuf, DiskError> {
        files::write_next(fs, dir, self.database, &self.state)
    }
}

/// Looks for the newest state that can be opened and is made whole by a log that has every entry
/// behind `purged`. The error says of each manifest why it will not do.
///
/// # Errors
/// When there is none.
pub fn plan_manifest(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    purged: Seqno,
) -> Result<ManifestPlan, Vec<String>> {
    let paths = files::all(fs, dir).map_err(|error| vec![error.to_string()])?;
    let mut refusals = Vec::new();
    let mut best: Option<ManifestPlan> = None;
    for path in paths {
        match plan_from(fs, dir, database, purged, &path) {
            Ok(plan) => {
                let age = |plan: &ManifestPlan| (plan.flushed_through, plan.state.next_file);
                if best.as_ref().is_none_or(|best| age(best) <= age(&plan)) {
                    best = Some(plan);
                }
            }
            Err(reason) => refusals.push(format!("{}: {reason}", path.display())),
        }
    }
    if best.is_none() && refusals.is_empty() {
        refusals.push(format!("there is no manifest in {}", dir.display()));
    }
    best.ok_or(refusals)
}

fn plan_from(
    fs: &dyn Fs,
    dir: &Path,
    database: [u8; 16],
    purged: Seqno,
    path: &Path,
) -> Result<ManifestPlan, String> {
    let dump = files::read_at(fs, path.to_path_buf()).map_err(|error| error.to_string())?;
    let Some(contents) = dump.contents else {
        return Err("its header is damaged".to_owned());
    };
    if contents.header.database != database {
        return Err("it belongs to another database".to_owned());
    }
    let mut state = State::default();
    let applied = contents
        .edits
        .iter()
        .take_while(|(_, edit)| state.apply(edit).is_ok());
    let edits = applied.count();
    if edits == 0 {
        return Err("not even its first edit can be read".to_owned());
    }
    let flushed_through = state.flushed_through;
    if flushed_through < purged {
        return Err(format!(
            "what can be read of it ({edits} edits) goes up to entry {flushed_through}, but the \
             log has only what is behind entry {purged}"
        ));
    }
    all_there(fs, dir, &state)?;
    Ok(ManifestPlan {
        state,
        database,
        from: path.to_path_buf(),
        edits,
        flushed_through,
    })
}

/// Whether all files of a state are there, with the right lengths and footers.
fn all_there(fs: &dyn Fs, dir: &Path, state: &State) -> Result<(), String> {
    let mut missing = Vec::new();
    let mut note = |finding| missing.push(finding);
    let mut reporter = Reporter::new(&mut note);
    for files in state.trees.values() {
        for (_, meta) in files.tables() {
            let path = table_path(dir, meta.id);
            match super::table::identify(fs, &path, meta.id) {
                Ok(identity) if identity.meta == **meta => {}
                Ok(_) => reporter.damage(&path, 0, "the table that it names", "another"),
                Err(error) => reporter.unreadable(&path, &error),
            }
        }
    }
    for (id, known) in &state.blobs {
        let path = dir.join(crate::blob::file_name(*id));
        let file = crate::blob::BlobFile::open(fs, &path, *id, known.meta.bytes);
        if let Err(error) = file {
            reporter.unreadable(&path, &error);
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "it needs a file that is not there as it was: {first}"
        )),
    }
}
