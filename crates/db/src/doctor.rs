//! Looking after a database that nobody has open: checking its log, and making its trees again.
//!
//! What it promises: checking changes nothing; trees that are made again are exactly those that
//! the log says. What it does not: lock the folder or keep copies. That is the caller's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexusbase_forest::{Forest, ForestOptions, TreeKind};
use nexusbase_io::{Env, Fs};
use nexusbase_log::{Index, Record, inspect};

use crate::catalog::CATALOG;
use crate::commit::GROUP;
use crate::error::OpenError;
use crate::folder::{IDENTITY_FILE, LOG_DIR, read_identity};
use crate::kinds::Kinds;
use crate::recovery::Replay;
use crate::write_set::WriteSet;

/// The id of the database in `folder`.
///
/// # Errors
/// When the file that says it is missing or damaged.
pub fn database_id(fs: &dyn Fs, folder: &Path) -> Result<[u8; 16], OpenError> {
    read_identity(fs, &folder.join(IDENTITY_FILE))
}

/// An entry that is not as it must be, although its checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the record starts in it.
    pub offset: u64,
    /// What had to be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// What a log amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChecked {
    /// What was read.
    pub summary: inspect::Summary,
    /// The first entry that can be read, whether it is needed or not.
    pub first: Option<Index>,
    /// The last entry.
    pub last: Index,
    /// Entries up to here are in tables, by the word of the log.
    pub purged: Index,
    /// Entries that make no sense.
    pub bad: Vec<BadEntry>,
}

impl LogChecked {
    /// Whether every entry that there ever was can be read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bad.is_empty()
            && self.first.map_or(self.last == Index::ZERO, |first| {
                first == Index::ZERO.next()
            })
    }
}

/// Reads and checks every record of the log in the data folder `folder`.
///
/// # Errors
/// When a segment cannot be read, is damaged or missing.
pub fn check_log(fs: &dyn Fs, folder: &Path) -> Result<LogChecked, OpenError> {
    let mut checked = LogChecked::default();
    let summary = inspect::walk(fs, &folder.join(LOG_DIR), |seen| {
        match note(&mut checked, seen) {
            Ok(()) => {}
            Err((expected, found)) => checked.bad.push(BadEntry {
                path: seen.path.to_path_buf(),
                offset: seen.offset,
                expected,
                found,
            }),
        }
    })?;
    checked.summary = summary;
    if let Some(first) = checked.first.filter(|first| *first > checked.purged.next()) {
        checked.bad.push(BadEntry {
            path: folder.join(LOG_DIR),
            offset: 0,
            expected: format!("entry {}", checked.purged.next()),
            found: format!("entry {first} as the first: an older segment is missing"),
        });
    }
    Ok(checked)
}

fn note(checked: &mut LogChecked, seen: &inspect::Seen<'_>) -> Result<(), (String, String)> {
    match seen.record {
        Record::Entry { group, id, payload } if group == GROUP => {
            let expected = checked.last.next();
            let is_next = id.index == expected;
            if checked.first.is_none() {
                checked.first = Some(id.index);
            }
            checked.last = id.index;
            if !is_next {
                return Err((format!("entry {expected}"), format!("entry {}", id.index)));
            }
            let payload = bytes::Bytes::copy_from_slice(payload);
            match WriteSet::decode(&payload) {
                Ok(_) => Ok(()),
                Err(reason) => Err(("a write set".to_owned(), reason)),
            }
        }
        Record::PurgeUpTo { group, up_to } if group == GROUP => {
            checked.purged = checked.purged.max(up_to.index);
            checked.last = checked.last.max(up_to.index);
            Ok(())
        }
        Record::Checkpoint {
            group,
            last,
            purged,
            ..
        } if group == GROUP => {
            checked.purged = checked.purged.max(purged.index);
            if checked.first.is_some() && checked.last != last.index {
                let expected = format!("a checkpoint behind entry {}", checked.last);
                return Err((expected, format!("one behind entry {}", last.index)));
            }
            checked.last = last.index;
            Ok(())
        }
        Record::TruncateAfter { group, last } if group == GROUP => {
            // No database writes it today.
            let expected = "no entry that was taken back".to_owned();
            Err((expected, format!("all behind {} were", last.index)))
        }
        _ => Ok(()),
    }
}

/// Makes the trees of the data folder `folder` again, up to the entry that the log says is in
/// tables; the next opening adds the rest. They are made in `into`, which must be empty or missing,
/// by a log that is whole ([`LogChecked::is_whole`]). Returns how many entries went into tables.
///
/// # Errors
/// When the log or the new tables fail.
pub fn trees_from_log(
    env: &Env,
    folder: &Path,
    others: &[TreeKind],
    log: &LogChecked,
    into: &Path,
) -> Result<u64, OpenError> {
    let kinds = Kinds::new(others)?;
    let mut options = ForestOptions::new(database_id(&*env.fs, folder)?);
    options.kinds = others.into();
    let forest = Forest::open(Arc::clone(&env.fs), into, options)?;
    if log.purged == Index::ZERO {
        // All of it comes with the next opening.
        return Ok(0);
    }
    let refused = |reason: String| OpenError::Entry {
        index: Index::ZERO,
        reason,
    };
    forest
        .ensure_tree(CATALOG, TreeKind::ROWS.name)
        .map_err(|error| refused(error.to_string()))?;
    let mut replay = Replay::new(&forest, &kinds, Index::ZERO);
    let mut outcome = Ok(());
    inspect::walk(&*env.fs, &folder.join(LOG_DIR), |seen| {
        let Record::Entry { group, id, payload } = seen.record else {
            return;
        };
        // What the log does not say is in tables may not be durable in the log either.
        if group != GROUP || id.index > log.purged || outcome.is_err() {
            return;
        }
        let payload = bytes::Bytes::copy_from_slice(payload);
        outcome = WriteSet::decode(&payload)
            .map_err(|reason| OpenError::Entry {
                index: id.index,
                reason,
            })
            .and_then(|writes| {
                forest.note_time(writes.unix_ms);
                replay.add(id.index, writes.mutations, payload.len())
            });
    })?;
    outcome?;
    replay.flush()?;
    if replay.read() != log.purged {
        return Err(refused(format!(
            "the log ends at entry {}, before {}",
            replay.read(),
            log.purged
        )));
    }
    forest.seal();
    while forest.flush_step()? {}
    forest.claim_step()?;
    Ok(log.purged.get())
}
