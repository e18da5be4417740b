//! Chooses what to compact next: a pure function from a tree's files to a [`Job`].
//!
//! The shape is leveled with a base that moves, as in RocksDB: the greatest level sets the
//! measure, each level above it may have a `ratio`-th of the one below, and level 0 is merged into
//! the first level whose share is worth having (the *base*; the levels above it stay empty). A
//! small tree thus has one level, and a tree of a steady size keeps most of its bytes
//! in the last level, whatever its history.
//!
//! # What makes a job correct
//!
//! * **Age.** A row must never come to lie above a newer row of its key. So level 0 is taken from
//!   its oldest table on without gaps; what stays is newer and lies above. (A table of level 0 is
//!   moved past an older one only if they share no key.) Between other levels, what overlaps
//!   below is always taken along.
//! * **No overlap.** Of the output level, all tables are taken that overlap the hull of what
//!   comes from above, since an output may span the gaps in it. Jobs that run at the same time
//!   never write into the same keys of the same level: see [`Busy`].
//! * **Bottom.** `bottom` says that nothing older than the outputs lies beneath them, so that
//!   deletes can go. It stays true while the job runs: what another job could bring beneath must
//!   come from tables that this job holds, or that are newer than they.
//! * **Whole tables dropped for a range delete.** A dropped row no longer hides older rows of its
//!   key further down; but these are older than the range delete as well, which goes on to hide
//!   them, because it is retired only when it concerns no table any more. A table that was already
//!   purged of it has no such rows. No pin may lie between the rows and the range delete.
//!
//! What it does not: know of time, memory or disks; start anything; remember anything. The caller
//! must install a job's result only if all inputs are still there ([`Busy`] sees to it that they
//! are, unless the tree is removed).

pub(crate) mod level0;
pub(crate) mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::Seqno;
use crate::manifest::edit::LEVELS_MAX;
use crate::manifest::state::{State, TreeFiles};
use crate::row::FileId;
use crate::table::meta::TableMeta;

/// The shape that trees are kept in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// So many tables in level 0 are merged downwards.
    pub(crate) l0_trigger: usize,
    /// The measure of the base level: it has at most twice as much.
    pub(crate) base_bytes: u64,
    /// How much more each level may have than the one above.
    pub(crate) ratio: u64,
    /// The size at which tables are cut.
    pub(crate) table_bytes: u64,
    /// Levels, level 0 included; 2 to [`LEVELS_MAX`].
    pub(crate) max_levels: u8,
    /// What a job may read, unless correctness asks for more.
    pub(crate) max_job_bytes: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            l0_trigger: 4,
            base_bytes: 256 << 20,
            ratio: 8,
            table_bytes: 64 << 20,
            max_levels: 7,
            max_job_bytes: 1600 << 20,
        }
    }
}

impl Shape {
    /// The last level.
    fn last(&self) -> u8 {
        self.max_levels.clamp(2, LEVELS_MAX) - 1
    }

    /// Below this, a table is merged with its neighbours rather than moved or left alone, so that
    /// small flushes do not leave thousands of files.
    fn small(&self) -> u64 {
        self.table_bytes / 4
    }
}

/// What the choice depends on beside the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    /// Reads happen from here on …
    pub(crate) floor: Seqno,
    /// … and at these.
    pub(crate) pins: &'a [Seqno],
    pub(crate) busy: &'a Busy,
    /// Blob files with much garbage, and which part of them is: see [`garbage`].
    pub(crate) garbage: &'a BTreeMap<FileId, f64>,
    /// Any number, another one each time: among equals it chooses.
    pub(crate) turn: u64,
}

/// Why a job is done, from the most to the least urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// All rows of these tables are hidden by a range delete.
    RangeDeleted,
    /// Level 0 has many tables.
    Level0,
    /// A level has too many bytes.
    Size,
    /// The tables keep blob files alive that are mostly garbage.
    Blobs,
    /// A range delete waits for these tables to be retired.
    RangeDelete,
    /// It is quiet, and readers will have fewer tables of level 0 to look into.
    Tidy,
    /// Somebody asked for it.
    Full,
}

/// What is to be done with the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Merge them into new tables of the output level.
    Rewrite,
    /// Let them stand in the output level as they are.
    Move,
    /// Remove them, unread.
    Drop,
}

/// One compaction of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The tables with their levels; from above first, each level in its order.
    pub(crate) inputs: Vec<(u8, Arc<TableMeta>)>,
    pub(crate) output_level: u8,
    /// Nothing older than the outputs lies beneath them.
    pub(crate) bottom: bool,
    pub(crate) action: Action,
    pub(crate) reason: Reason,
}

impl Job {
    pub(crate) fn bytes(&self) -> u64 {
        self.inputs.iter().map(|(_, table)| table.bytes).sum()
    }

    /// A merge of `inputs`, with all that follows from them.
    fn rewrite(
        files: &TreeFiles,
        inputs: Vec<(u8, Arc<TableMeta>)>,
        output_level: u8,
        reason: Reason,
    ) -> Self {
        let bottom = is_bottom(files, &inputs);
        Self {
            inputs,
            output_level,
            bottom,
            action: Action::Rewrite,
            reason,
        }
    }

    fn hull(&self) -> Option<(Bytes, Bytes)> {
        hull(self.inputs.iter().map(|(_, table)| table))
    }
}

/// The jobs that are being done in a tree: which tables they hold, and where they will write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy {
    files: BTreeSet<FileId>,
    /// By the job's first table: output level, first and last key.
    outputs: BTreeMap<FileId, (u8, Bytes, Bytes)>,
}

impl Busy {
    /// A job begins.
    pub(crate) fn start(&mut self, job: &Job) {
        let ids = job.inputs.iter().map(|(_, table)| table.id);
        self.files.extend(ids.clone());
        if job.action == Action::Drop {
            return;
        }
        if let (Some(id), Some((first, last))) = (ids.min(), job.hull()) {
            self.outputs.insert(id, (job.output_level, first, last));
        }
    }

    /// It has ended, well or not.
    pub(crate) fn finish(&mut self, job: &Job) {
        for (_, table) in &job.inputs {
            self.files.remove(&table.id);
            self.outputs.remove(&table.id);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn has(&self, table: &TableMeta) -> bool {
        self.files.contains(&table.id)
    }

    /// Whether a job could run beside those that do.
    fn allows(&self, job: &Job) -> bool {
        let free = job.inputs.iter().all(|(_, table)| !self.has(table));
        free && job.hull().is_some_and(|(first, last)| {
            self.outputs
                .values()
                .all(|(level, others_first, others_last)| {
                    *level != job.output_level || *others_last < first || last < *others_first
                })
        })
    }
}

/// The job that a tree needs most, if it needs one that can be done beside those that are.
pub(crate) fn pick(files: &TreeFiles, shape: &Shape, now: &Circumstances<'_>) -> Option<Job> {
    if files.dropped.is_some() {
        // All of it goes soon.
        return None;
    }
    if let Some(job) = upkeep::hidden(files, now) {
        return Some(job);
    }
    let targets = Targets::of(files, shape);
    let mut scores: Vec<(f64, u8)> = (0..shape.last())
        .map(|level| (targets.score(files, shape, level), level))
        .filter(|(score, _)| *score >= 1.0)
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    scores
        .into_iter()
        .find_map(|(_, level)| match level {
            0 => level0::pick(files, shape, now.busy, targets.base),
            level => downwards(files, shape, now, level),
        })
        .or_else(|| upkeep::collect(files, now))
        .or_else(|| upkeep::purge(files, now))
}

/// How far a tree is over its shape: from 1 on, something is to be done.
pub(crate) fn score(files: &TreeFiles, shape: &Shape) -> f64 {
    if files.dropped.is_some() {
        return 0.0;
    }
    let targets = Targets::of(files, shape);
    let scores = (0..shape.last()).map(|level| targets.score(files, shape, level));
    scores.fold(0.0, f64::max)
}

/// About how many bytes must be rewritten until the tree has its shape.
pub(crate) fn pending_bytes(files: &TreeFiles, shape: &Shape) -> u64 {
    if files.dropped.is_some() {
        return 0;
    }
    let targets = Targets::of(files, shape);
    let mut pending = 0_u64;
    // What comes down from above.
    let mut falling = 0_u64;
    if targets.score(files, shape, 0) >= 1.0 {
        falling = bytes(files.level(0));
        pending = falling.saturating_add(bytes(files.level(targets.base)));
    }
    for level in targets.base..shape.last() {
        let there = bytes(files.level(level)).saturating_add(falling);
        falling = there.saturating_sub(targets.bytes[usize::from(level)]);
        // With each byte goes its share of the level below.
        let beneath = bytes(files.level(level + 1)) as f64 / there.max(1) as f64;
        let each = 1.0 + beneath.min(shape.ratio as f64);
        pending = pending.saturating_add(float_to_bytes(falling as f64 * each));
    }
    pending
}

/// Everything of a tree into the last level: nothing while another job runs, or without tables.
pub(crate) fn full(files: &TreeFiles, shape: &Shape, busy: &Busy) -> Option<Job> {
    let inputs: Vec<_> = files
        .tables()
        .map(|(level, table)| (level, Arc::clone(table)))
        .collect();
    let deepest = inputs.last()?.0;
    let output = deepest.max(shape.last());
    let job = Job::rewrite(files, inputs, output, Reason::Full);
    busy.is_empty().then_some(job)
}

/// The blob files of which more than half is garbage, and which part.
pub(crate) fn garbage(state: &State) -> BTreeMap<FileId, f64> {
    let part = |(id, file): (&FileId, &crate::manifest::state::BlobFile)| {
        let unused = file.meta.bytes.saturating_sub(file.used_bytes);
        let part = unused as f64 / file.meta.bytes.max(1) as f64;
        (part > 0.5).then_some((*id, part))
    };
    state.blobs.iter().filter_map(part).collect()
}

/// How many times `l0_trigger` level 0 may have while the base level is much greater than it.
const PATIENCE_MAX: f64 = 3.0;

/// What each level may have.
struct Targets {
    /// The level that level 0 is merged into.
    base: u8,
    /// By level; only those from the base on mean something.
    bytes: Vec<u64>,
}

impl Targets {
    fn of(files: &TreeFiles, shape: &Shape) -> Self {
        let last = shape.last();
        let sizes: Vec<u64> = (0..=last).map(|level| bytes(files.level(level))).collect();
        let filled = (1..=last).find(|level| sizes[usize::from(*level)] > 0);
        let filled = filled.unwrap_or(last);
        let greatest = sizes[1..].iter().copied().max().unwrap_or(0);
        let mut base = last;
        let mut target = greatest.max(shape.base_bytes);
        let mut targets = vec![0; usize::from(last) + 1];
        targets[usize::from(last)] = u64::MAX;
        // One more level costs a rewrite of everything. Up to twice what the base may have, it is
        // cheaper to merge level 0 with all of it.
        let least = shape.base_bytes.saturating_mul(2);
        while base > 1 && (base > filled || target > least) {
            target /= shape.ratio.max(2);
            base -= 1;
            targets[usize::from(base)] = target.max(shape.base_bytes / shape.ratio.max(2)).max(1);
        }
        Self {
            base,
            bytes: targets,
        }
    }

    fn score(&self, files: &TreeFiles, shape: &Shape, level: u8) -> f64 {
        let tables = files.level(level);
        if level > 0 {
            let target = self.bytes[usize::from(level)].max(1);
            return bytes(tables) as f64 / target as f64;
        }
        let by_count = tables.len() as f64 / shape.l0_trigger.max(1) as f64;
        let by_bytes = bytes(tables) as f64 / shape.base_bytes.max(1) as f64;
        // Merging a little into much costs more than reading a few more tables for a while.
        let beneath = bytes(files.level(self.base)) as f64 / bytes(tables).max(1) as f64;
        let patience = beneath.clamp(1.0, PATIENCE_MAX);
        (by_count / patience).max(by_bytes)
    }
}

/// One table of a level, with what overlaps in the next.
fn downwards(files: &TreeFiles, shape: &Shape, now: &Circumstances<'_>, level: u8) -> Option<Job> {
    let tables = files.level(level);
    let start = usize::try_from(now.turn % tables.len().max(1) as u64).unwrap_or(0);
    let cost = |table: &TableMeta| {
        let below = bytes(files.overlapping(level + 1, &table.first, &table.last));
        below as f64 / table.bytes.max(1) as f64
    };
    // Among equals the first, so the turn says where the first is.
    let mut candidates: Vec<(f64, usize)> = (0..tables.len())
        .map(|i| (i + start) % tables.len())
        .filter(|i| !now.busy.has(&tables[*i]))
        .map(|i| (cost(&tables[i]), i))
        .collect();
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut jobs = candidates
        .into_iter()
        .map(|(_, i)| downwards_from(files, shape, now.busy, level, i));
    jobs.find(|job| now.busy.allows(job))
}

fn downwards_from(files: &TreeFiles, shape: &Shape, busy: &Busy, level: u8, at: usize) -> Job {
    let tables = files.level(level);
    let (mut from, mut to) = (at, at + 1);
    let mut below = files.overlapping(level + 1, &tables[at].first, &tables[at].last);
    if below.is_empty() && tables[at].bytes >= shape.small() {
        let inputs = vec![(level, Arc::clone(&tables[at]))];
        let mut job = Job::rewrite(files, inputs, level + 1, Reason::Size);
        job.action = Action::Move;
        return job;
    }
    if below.is_empty() {
        below = with_small_neighbours(files, shape, busy, level + 1, &tables[at]);
    }
    // Neighbours that can come along without more of the level below.
    let mut size = bytes(below) + tables[at].bytes;
    let within = |a: &TableMeta, b: &TableMeta| {
        let mut met = files.overlapping(level + 1, &a.first, &b.last).iter();
        met.all(|met| below.iter().any(|table| table.id == met.id))
    };
    loop {
        let fits = |table: &TableMeta| {
            !busy.has(table) && size.saturating_add(table.bytes) <= shape.max_job_bytes
        };
        if to < tables.len() && fits(&tables[to]) && within(&tables[from], &tables[to]) {
            to += 1;
            size += tables[to - 1].bytes;
        } else if from > 0 && fits(&tables[from - 1]) && within(&tables[from - 1], &tables[to - 1])
        {
            from -= 1;
            size += tables[from].bytes;
        } else {
            break;
        }
    }
    let from_above = tables[from..to].iter().map(|table| (level, table));
    let inputs = from_above.chain(below.iter().map(|table| (level + 1, table)));
    let inputs = inputs.map(|(level, table)| (level, Arc::clone(table)));
    Job::rewrite(files, inputs.collect(), level + 1, Reason::Size)
}

/// The tables next to a key range in a level, if they are so small that they should grow.
fn with_small_neighbours<'a>(
    files: &'a TreeFiles,
    shape: &Shape,
    busy: &Busy,
    level: u8,
    between: &TableMeta,
) -> &'a [Arc<TableMeta>] {
    let tables = files.level(level);
    let mut from = tables.partition_point(|table| table.last < between.first);
    let mut to = tables
        .partition_point(|table| table.first <= between.last)
        .max(from);
    let grows = |table: &TableMeta| table.bytes < shape.small() && !busy.has(table);
    if from > 0 && grows(&tables[from - 1]) {
        from -= 1;
    }
    if to < tables.len() && grows(&tables[to]) {
        to += 1;
    }
    &tables[from..to]
}

/// Whether nothing older than what comes of `inputs` lies beneath it. Where that would take a
/// closer look, the answer is no.
fn is_bottom(files: &TreeFiles, inputs: &[(u8, Arc<TableMeta>)]) -> bool {
    let Some((first, last)) = hull(inputs.iter().map(|(_, table)| table)) else {
        return true;
    };
    let taken: BTreeSet<FileId> = inputs.iter().map(|(_, table)| table.id).collect();
    let stays = |table: &Arc<TableMeta>| !taken.contains(&table.id);
    let top = inputs.iter().map(|(level, _)| *level).min().unwrap_or(0);
    // What lies above the inputs is newer than they.
    let depth = u8::try_from(files.levels.len()).unwrap_or(u8::MAX);
    let is_beneath =
        (top.max(1)..depth).any(|level| files.overlapping(level, &first, &last).iter().any(stays));
    let behind_newest = || {
        let mut level0 = files.level(0).iter().skip_while(|table| stays(table));
        level0.any(|table| stays(table) && table.first <= last && first <= table.last)
    };
    !is_beneath && (top > 0 || !behind_newest())
}

fn hull<'a>(tables: impl Iterator<Item = &'a Arc<TableMeta>>) -> Option<(Bytes, Bytes)> {
    tables.fold(None, |hull, table| {
        let (first, last) = (&table.first, &table.last);
        Some(match hull {
            None => (first.clone(), last.clone()),
            Some((least, greatest)) => (least.min(first.clone()), greatest.max(last.clone())),
        })
    })
}

fn bytes(tables: &[Arc<TableMeta>]) -> u64 {
    tables.iter().map(|table| table.bytes).sum()
}

/// For estimates only.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; the conversion saturates"
)]
fn float_to_bytes(bytes: f64) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests;
