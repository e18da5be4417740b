//! Work that has nothing to do with the shape: range deletes and blob files.
//!
//! All of it leaves tables in their levels: a table is dropped, or rewritten where it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Action, Circumstances, Job, Reason};
use crate::Seqno;
use crate::manifest::state::TreeFiles;
use crate::range_delete::RangeDelete;
use crate::row::FileId;
use crate::table::meta::TableMeta;

/// Up to which seqno range deletes (and versions that nobody needs) are worked into a table whose
/// oldest row is `min_seqno`, when it is written anew. A reader at a pin sees rows that a range
/// delete above the pin hides from all others, so these rows and the range delete must stay.
pub(crate) fn purged_through(min_seqno: Seqno, floor: Seqno, pins: &[Seqno]) -> Seqno {
    let pins = pins.iter().copied().filter(|pin| *pin >= min_seqno);
    pins.min().unwrap_or(floor).min(floor)
}

/// The range deletes that hide nothing in any table any more. They can be retired at once, in
/// one edit: [`State`](crate::manifest::state::State) checks it again.
pub(crate) fn retirable(files: &TreeFiles) -> Vec<RangeDelete> {
    let deletes = files.range_deletes.iter();
    deletes
        .filter(|delete| !files.needs(delete))
        .cloned()
        .collect()
}

/// The tables of which every row is hidden by one range delete, from every reader.
pub(super) fn hidden(files: &TreeFiles, now: &Circumstances<'_>) -> Option<Job> {
    let mut inputs: BTreeMap<FileId, (u8, Arc<TableMeta>)> = BTreeMap::new();
    for delete in &files.range_deletes {
        if delete.seqno > now.floor {
            break;
        }
        for (level, table) in files.concerned(delete) {
            let seen = now
                .pins
                .iter()
                .any(|pin| (table.aggregate.min_seqno..delete.seqno).contains(pin));
            let is_hidden = table.aggregate.max_seqno < delete.seqno
                && delete.covers(&table.first, &table.last)
                && !seen;
            if is_hidden && !now.busy.has(table) {
                inputs.insert(table.id, (level, Arc::clone(table)));
            }
        }
    }
    let inputs: Vec<_> = inputs.into_values().collect();
    // Nothing is written, so it can go on beside anything.
    let output_level = inputs.first()?.0;
    Some(Job {
        inputs,
        output_level,
        bottom: false,
        action: Action::Drop,
        reason: Reason::RangeDeleted,
    })
}

/// The table that keeps most garbage in blob files alive.
pub(super) fn collect(files: &TreeFiles, now: &Circumstances<'_>) -> Option<Job> {
    let kept = |table: &TableMeta| -> u64 {
        let uses = table.blobs.iter();
        uses.filter(|used| now.garbage.contains_key(&used.file))
            .map(|used| used.bytes)
            .sum()
    };
    let tables = files
        .tables()
        .map(|(level, table)| (kept(table), level, table));
    let mut tables: Vec<_> = tables.filter(|(kept, ..)| *kept > 0).collect();
    tables.sort_by_key(|(kept, ..)| std::cmp::Reverse(*kept));
    let jobs = tables.into_iter();
    first_free(
        files,
        now,
        Reason::Blobs,
        jobs.map(|(_, level, table)| (level, table)),
    )
}

/// A table that the oldest range delete waits for that has to wait at all.
pub(super) fn purge(files: &TreeFiles, now: &Circumstances<'_>) -> Option<Job> {
    let deletes = files.range_deletes.iter();
    let ripe = deletes.take_while(|delete| delete.seqno <= now.floor);
    let tables = ripe.flat_map(|delete| {
        // Only where writing it anew changes something.
        let helps = |table: &TableMeta| {
            purged_through(table.aggregate.min_seqno, now.floor, now.pins) >= delete.seqno
        };
        files
            .concerned(delete)
            .filter(move |(_, table)| helps(table))
    });
    first_free(files, now, Reason::RangeDelete, tables)
}

fn first_free<'a>(
    files: &TreeFiles,
    now: &Circumstances<'_>,
    reason: Reason,
    tables: impl Iterator<Item = (u8, &'a Arc<TableMeta>)>,
) -> Option<Job> {
    tables
        .map(|(level, table)| Job::rewrite(files, vec![(level, Arc::clone(table))], level, reason))
        .find(|job| now.busy.allows(job))
}
