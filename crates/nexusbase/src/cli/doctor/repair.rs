//! Repairing: only what can be made again exactly. A copy of everything was kept before.

use std::path::Path;

use nexusbase_db::doctor::{LogChecked, trees_from_log};
use nexusbase_db::forest_inspect::{files_of, plan_manifest};
use nexusbase_db::{FOREST_DIR, Seqno};
use nexusbase_io::Env;

use super::examine::{self, Broken, Examined};
use super::report::Report;
use crate::cli::failure::{Failure, Outcome};

/// Repairs the trees' files, if that is possible. Returns whether anything was done.
pub(super) fn files(
    env: &Env,
    folder: &Path,
    examined: &Examined,
    report: &mut Report,
) -> Outcome<bool> {
    let (Some(database), Some(log)) = (examined.database, &examined.log) else {
        report
            .step("nothing was repaired: without IDENTITY and the log, nothing can be".to_owned());
        return Ok(false);
    };
    if !log.bad.is_empty() {
        report.step("nothing was repaired: the log is damaged, and is all there is to repair by");
        return Ok(false);
    }
    let flushed = examined.forest.flushed_through.map_or(0, Seqno::get);
    if flushed > log.last.get() {
        report.step(
            "nothing was repaired: the tables have entries that the log has lost; to make them \
             again from the log would lose those",
        );
        return Ok(false);
    }
    let once = "made the trees again";
    if log.is_whole() && !report.has_step(once) {
        from_log(env, folder, log, report, once)?;
        return Ok(true);
    }
    if examined.forest.flushed_through.is_some() {
        report.step(format!(
            "the tables were not repaired: the log has only what is behind entry {}, so what they \
             have lost is nowhere else",
            log.purged
        ));
        return Ok(false);
    }
    let dir = folder.join(FOREST_DIR);
    match plan_manifest(&*env.fs, &dir, database, Seqno::new(log.purged.get())) {
        Ok(plan) => {
            let path = plan.write(&*env.fs, &dir).map_err(|e| failed(&e))?;
            report.step(format!(
                "wrote the manifest {} from the first {} edits of {}: its files are all there, and \
                 the log has all entries behind {}",
                path.display(),
                plan.edits,
                plan.from.display(),
                plan.flushed_through
            ));
            Ok(true)
        }
        Err(reasons) => {
            report.step(format!(
                "the manifest was not rebuilt, because that would have to guess which tables are \
                 in use: {}",
                reasons.join("; ")
            ));
            Ok(false)
        }
    }
}

fn from_log(
    env: &Env,
    folder: &Path,
    log: &LogChecked,
    report: &mut Report,
    what: &str,
) -> Outcome {
    let Some(copies) = &report.copies else {
        return Ok(());
    };
    let (dir, new) = (folder.join(FOREST_DIR), copies.join("rebuilt"));
    let fs = &*env.fs;
    // Beside the old ones first: whatever goes wrong, those are still there.
    let entries = trees_from_log(env, folder, &[], log, &new).map_err(|e| failed(&e))?;
    fs.create_dir(&dir)?;
    let old = files_of(fs, &dir)?;
    for name in &old {
        fs.remove(&dir.join(name))?;
    }
    fs.sync_dir(&dir)?;
    report.step(format!(
        "removed {} from {}, as the log has every entry from the first on",
        super::super::output::count("file", old.len() as u64),
        dir.display()
    ));
    // `CURRENT` makes a forest of them, so it comes last.
    let (last, others): (Vec<_>, Vec<_>) = files_of(fs, &new)?
        .into_iter()
        .partition(|name| name == "CURRENT");
    for names in [others, last] {
        for name in names {
            fs.rename(&new.join(&name), &dir.join(&name))?;
        }
        fs.sync_dir(&dir)?;
    }
    fs.sync_dir(&new)?;
    report.step(format!(
        "{what} from the log: {entries} entries are in tables, up to {} are replayed at the next \
         opening",
        log.last
    ));
    Ok(())
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::from_error(error).with_note("the repair was not finished; what was there is kept")
}

/// Makes indexes again from their documents.
pub(super) fn indexes(env: &Env, folder: &Path, broken: &Broken, report: &mut Report) -> Outcome {
    let documents = examine::open(env, folder)?;
    for (collection, path) in broken {
        let rebuilt = documents
            .collection(collection)?
            .rebuild_index(path, |_| {});
        match rebuilt {
            Ok(_) => report.step(format!(
                "made the index on {path} in {collection} again from its documents"
            )),
            Err(error) => report.step(format!(
                "could not make the index on {path} in {collection} again: {error}"
            )),
        }
    }
    Ok(documents.database().close()?)
}
