//! `nexusbase doctor`: read and check everything in a data folder, and repair what can be.
//!
//! First the files, without opening anything: log, manifest, tables, blob files. Only when those
//! are good is the database opened, as a server would, and its indexes are held against their
//! documents. Repairing begins with a copy of everything ([`keep`]).

mod examine;
mod keep;
mod repair;
mod report;

use std::path::Path;

use nexusbase_db::LOCK_FILE;
use nexusbase_io::{Env, Lock, LockError};

use self::examine::Examined;
use self::report::Report;
use super::Terminal;
use super::args::DoctorArgs;
use super::failure::{Failure, Outcome};

pub(super) fn run(arguments: &DoctorArgs, terminal: Terminal) -> Outcome {
    let env = Env::os();
    let folder = arguments.folder.existing(&env)?;
    let mut lock = lock(&env, &folder)?;
    let mut report = Report::default();
    let mut examined = examine::files(&env, &folder, &mut report);
    if arguments.repair {
        if report.has_findings() {
            // Opening tidies up what is not used; here even that is kept.
            keep::everything(&env, &folder, &mut report)?;
        }
        while report.damage() > 0 && repair::files(&env, &folder, &examined, &mut report)? {
            examined = examine::files(&env, &folder, &mut report);
        }
    }
    if report.damage() == 0 {
        drop(lock);
        let broken = examine::indexes(&env, &folder, &mut report)?;
        lock = self::lock(&env, &folder)?;
        if arguments.repair && !broken.is_empty() {
            keep::everything(&env, &folder, &mut report)?;
            drop(lock);
            repair::indexes(&env, &folder, &broken, &mut report)?;
            report.begin_again();
            examine::indexes(&env, &folder, &mut report)?;
            lock = self::lock(&env, &folder)?;
            examine::files(&env, &folder, &mut report);
        }
    }
    drop(lock);
    report.print(arguments.json, terminal)?;
    verdict(&report, &examined, arguments.repair, &folder)
}

/// Takes the folder, so that nobody opens it meanwhile.
fn lock(env: &Env, folder: &Path) -> Outcome<Lock> {
    env.fs.lock(&folder.join(LOCK_FILE)).map_err(|error| {
        let failure = Failure::new(format_args!(
            "the data folder {} cannot be examined: {error}",
            folder.display()
        ));
        let failure = match error {
            LockError::Held { .. } => failure.hint(
                "stop the server first; a running server changes its files while they are read",
            ),
            LockError::Io(_) => failure,
        };
        failure.cannot_run()
    })
}

fn verdict(report: &Report, examined: &Examined, repaired: bool, folder: &Path) -> Outcome {
    let damage = report.damage();
    if damage == 0 {
        return Ok(());
    }
    let failure = Failure::new(format_args!(
        "{} found in {}",
        super::output::count("problem", damage),
        folder.display()
    ));
    Err(if repaired {
        failure.hint(
            "what is left cannot be rebuilt from what is there; restore the folder from a copy, \
             or keep it and ask for help",
        )
    } else if examined.log.is_none() {
        failure.hint("the log cannot be rebuilt from anything; restore the folder from a copy")
    } else {
        failure.hint(
            "`nexusbase doctor --repair` rebuilds what can be rebuilt, and keeps a copy of \
             everything first; or restore the folder from a copy",
        )
    })
}
