//! A copy of the whole data folder, before anything in it is changed.
//!
//! The copy is a data folder of its own, `repair-` and the time, inside the folder. Tables and blob
//! files are never written to, so a second name for them is a copy as good as any; where the file
//! system gives none, and for all other files, the bytes are copied.

use std::path::{Path, PathBuf};

use nexusbase_db::{FOREST_DIR, IDENTITY_FILE, LOG_DIR, forest_inspect};
use nexusbase_io::{Env, Fs};

use super::report::Report;
use crate::cli::failure::{Failure, Outcome};

/// How much is copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Keeps a copy of everything, once.
pub(super) fn everything(env: &Env, folder: &Path, report: &mut Report) -> Outcome {
    if report.copies.is_some() {
        return Ok(());
    }
    let fs = &*env.fs;
    let kept = free_name(fs, folder, env.clock.unix_ms())?;
    copy_all(fs, folder, &kept).map_err(|error| {
        Failure::from_error(&error)
            .with_note("no copy of the folder could be kept, so nothing was repaired")
            .cannot_run()
    })?;
    report.step(format!("kept a copy of everything in {}", kept.display()));
    report.copies = Some(kept);
    Ok(())
}

fn free_name(fs: &dyn Fs, folder: &Path, unix_ms: u64) -> Outcome<PathBuf> {
    let base = format!("repair-{}", timestamp(unix_ms / 1000));
    let mut path = folder.join(&base);
    let mut number = 2;
    while fs.exists(&path)? {
        path = folder.join(format!("{base}-{number}"));
        number += 1;
    }
    Ok(path)
}

fn copy_all(fs: &dyn Fs, folder: &Path, kept: &Path) -> nexusbase_io::Result<()> {
    fs.create_dir(kept)?;
    for name in [LOG_DIR, FOREST_DIR] {
        let (from, to) = (folder.join(name), kept.join(name));
        if !fs.exists(&from)? {
            continue;
        }
        fs.create_dir(&to)?;
        for file in fs.list(&from)? {
            let (from, to) = (from.join(&file), to.join(&file));
            let fixed = name == FOREST_DIR && forest_inspect::never_changes(&file);
            if !fixed || fs.hard_link(&from, &to).is_err() {
                copy(fs, &from, &to)?;
            }
        }
        fs.sync_dir(&to)?;
    }
    // Last: it says that the copy is whole.
    copy(fs, &folder.join(IDENTITY_FILE), &kept.join(IDENTITY_FILE))?;
    fs.sync_dir(kept)?;
    fs.sync_dir(folder)
}

fn copy(fs: &dyn Fs, from: &Path, to: &Path) -> nexusbase_io::Result<()> {
    let source = fs.open_read_only(from)?;
    let target = fs.create(to)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let read = source.read_at(&mut buffer, at)?;
        if read == 0 {
            return target.sync_data();
        }
        target.write_at(&buffer[..read], at)?;
        at += read as u64;
    }
}

/// Seconds since 1970 as `20260131T235959Z`.
fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with the day that comes and goes.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_named_as_they_are() {
        assert_eq!(timestamp(0), "19700101T000000Z");
        assert_eq!(timestamp(951_782_399), "20000228T235959Z");
        assert_eq!(timestamp(951_782_400), "20000229T000000Z");
        assert_eq!(timestamp(1_769_903_999), "20260131T235959Z");
    }
}
