//! Level 0 to the base level.

use std::sync::Arc;

use super::{Action, Busy, Job, Reason, Shape, bytes, hull, with_small_neighbours};
use crate::manifest::state::{TreeFiles, share_keys};
use crate::table::meta::TableMeta;

/// Moves what can be moved, or else merges the oldest tables, all of them if the job is not too
/// long, with what they overlap. Nothing is merged while another job has tables of level 0: what
/// is newer must not get past them.
pub(super) fn pick(files: &TreeFiles, shape: &Shape, busy: &Busy, base: u8) -> Option<Job> {
    moves(files, shape, busy, base).or_else(|| {
        let job = merge(files, shape, busy, base)?;
        busy.allows(&job).then_some(job)
    })
}

/// For when nothing else is to do, and no flush has come for a while: the newest tables become one,
/// still in level 0, as long as none is much larger than all others together. Readers then look
/// into two or three tables instead of a dozen, and because sizes at least double, a row is written
/// a few times at most on its way.
pub(crate) fn tidy(files: &TreeFiles, shape: &Shape, busy: &Busy) -> Option<Job> {
    let level0 = files.level(0);
    // As many as have no giant among them.
    let alike = (2..=level0.len()).rev().find(|count| {
        let sum = bytes(&level0[..*count]);
        let largest = level0[..*count].iter().map(|table| table.bytes).max();
        let largest = largest.unwrap_or(0);
        sum <= shape.base_bytes
            && largest <= (sum - largest).saturating_mul(2)
            && stays_above(&level0[..*count], &level0[*count..])
    });
    let alike = level0[..alike?].iter();
    let inputs: Vec<_> = alike.map(|table| (0, Arc::clone(table))).collect();
    // Tables in order are found by their keys, and moved down as they are.
    let mut pairs = inputs.windows(2);
    if !pairs.any(|pair| share_keys(&pair[0].1, &pair[1].1)) {
        return None;
    }
    let job = Job::rewrite(files, inputs, 0, Reason::Tidy);
    busy.allows(&job).then_some(job)
}

/// Whether one table made of `newer` would still be newer than each of `older`, or share no key
/// with it. (Where rows have lost their seqno, tables are not in order by seqno.)
fn stays_above(newer: &[Arc<TableMeta>], older: &[Arc<TableMeta>]) -> bool {
    let least = newer.iter().map(|table| table.aggregate.min_seqno).min();
    let hull = hull(newer.iter());
    let Some(((first, last), least)) = hull.zip(least) else {
        return false;
    };
    older
        .iter()
        .all(|table| table.aggregate.max_seqno < least || table.last < first || last < table.first)
}

/// The tables that share no key with the base level, nor with an older table that stays, nor with
/// one another.
fn moves(files: &TreeFiles, shape: &Shape, busy: &Busy, base: u8) -> Option<Job> {
    let mut staying: Vec<&Arc<TableMeta>> = Vec::new();
    let mut moved: Vec<(u8, Arc<TableMeta>)> = Vec::new();
    for table in files.level(0).iter().rev() {
        let fits = table.bytes >= shape.small()
            && files
                .overlapping(base, &table.first, &table.last)
                .is_empty()
            && staying.iter().all(|other| !share_keys(other, table))
            && moved.iter().all(|(_, other)| !share_keys(other, table));
        let job = |inputs| Job {
            inputs,
            output_level: base,
            bottom: false,
            action: Action::Move,
            reason: Reason::Level0,
        };
        // One by one, as their hull may be wider than what they take.
        if fits && busy.allows(&job(vec![(0, Arc::clone(table))])) {
            moved.push((0, Arc::clone(table)));
        } else {
            staying.push(table);
        }
    }
    moved.reverse();
    let mut job = Job::rewrite(files, moved, base, Reason::Level0);
    job.action = Action::Move;
    busy.allows(&job).then_some(job)
}

fn merge(files: &TreeFiles, shape: &Shape, busy: &Busy, base: u8) -> Option<Job> {
    let level0 = files.level(0);
    let mut from = level0.len();
    let mut job: Option<Job> = None;
    while from > 0 {
        from -= 1;
        let inputs: Vec<_> = level0[from..].iter().map(|t| (0, Arc::clone(t))).collect();
        let (first, last) = hull(inputs.iter().map(|(_, table)| table))?;
        let span = TableMeta {
            first,
            last,
            ..TableMeta::clone(&level0[from])
        };
        let below = with_small_neighbours(files, shape, busy, base, &span);
        let size = bytes(&level0[from..]).saturating_add(bytes(below));
        if job.is_some() && size > shape.max_job_bytes {
            break;
        }
        let below = below.iter().map(|table| (base, Arc::clone(table)));
        let inputs = inputs.into_iter().chain(below).collect();
        job = Some(Job::rewrite(files, inputs, base, Reason::Level0));
    }
    job
}
