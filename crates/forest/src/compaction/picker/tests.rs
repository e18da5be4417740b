//! A tree of small rows that is really compacted, job by job, under the state's checks.

mod amplification;
mod choices;
mod random;

use nexusbase_io::sim::SimRng;

use super::upkeep::{purged_through, retirable};
use super::*;
use crate::TreeId;
use crate::aggregate::Aggregate;
use crate::manifest::edit::Edit;
use crate::range_delete::RangeDelete;
use crate::table::meta::Layout;

const TREE: TreeId = TreeId::new(1);

/// A version of a key: seqno, and whether it is a put.
type Version = (u64, u64, bool);

struct Sim {
    state: State,
    /// Of each table: by key, newest first.
    rows: BTreeMap<FileId, Vec<Version>>,
    shape: Shape,
    row_bytes: u64,
    seqno: u64,
    floor: Seqno,
    pins: Vec<Seqno>,
    flushed_bytes: u64,
    written_bytes: u64,
    turn: u64,
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn table(id: u64, bytes: u64, first: u64, last: u64, seqnos: (u64, u64)) -> TableMeta {
    TableMeta {
        id: FileId(id),
        layout: Layout::Rows,
        bytes,
        first: key(first),
        last: key(last),
        aggregate: Aggregate {
            rows: 1,
            min_seqno: Seqno::new(seqnos.0),
            max_seqno: Seqno::new(seqnos.1),
            ..Aggregate::default()
        },
        purged_through: Seqno::ZERO,
        blobs: Vec::new(),
    }
}

/// A shape in which some hundred rows make a tree of several levels.
fn small_shape() -> Shape {
    Shape {
        l0_trigger: 4,
        base_bytes: 400,
        ratio: 4,
        table_bytes: 100,
        max_levels: 5,
        max_job_bytes: 1500,
    }
}

impl Sim {
    fn new(shape: Shape, row_bytes: u64) -> Self {
        let mut state = State::default();
        let edit = Edit {
            trees_created: vec![(TREE, "rows".to_owned())],
            next_file: 1,
            ..Edit::default()
        };
        state.apply(&edit).unwrap();
        Self {
            state,
            rows: BTreeMap::new(),
            shape,
            row_bytes,
            seqno: 0,
            floor: Seqno::ZERO,
            pins: Vec::new(),
            flushed_bytes: 0,
            written_bytes: 0,
            turn: 0,
        }
    }

    fn files(&self) -> &TreeFiles {
        &self.state.trees[&TREE]
    }

    /// Cuts rows into tables and adds them to an edit.
    fn write(&mut self, rows: Vec<Version>, level: u8, purged: Seqno, edit: &mut Edit) -> u64 {
        let mut next = edit.next_file.max(self.state.next_file);
        let mut written = 0;
        let mut rest = rows;
        while !rest.is_empty() {
            let mut end = usize::try_from(self.shape.table_bytes / self.row_bytes).unwrap();
            if level == 0 {
                // One table each, however large, as in a real forest.
                end = rest.len();
            }
            end = end.max(1).min(rest.len());
            // All versions of a key go into one table.
            while end < rest.len() && rest[end].0 == rest[end - 1].0 {
                end += 1;
            }
            let more = rest.split_off(end);
            let bytes = rest.len() as u64 * self.row_bytes;
            let (first, last) = (rest[0].0, rest[rest.len() - 1].0);
            let seqnos = rest.iter().map(|row| row.1);
            let seqnos = (seqnos.clone().min().unwrap(), seqnos.max().unwrap());
            let mut meta = table(next, bytes, first, last, seqnos);
            meta.aggregate.rows = rest.len() as u64;
            meta.purged_through = purged;
            self.rows.insert(meta.id, rest);
            edit.added.push((TREE, level, meta));
            written += bytes;
            next += 1;
            rest = more;
        }
        edit.next_file = next;
        written
    }

    /// Flushes a memtable: its rows are given as (key, put?), in the order of writing.
    fn flush(&mut self, changes: &[(u64, bool)], deletes: &[(u64, u64)]) {
        let mut rows = Vec::with_capacity(changes.len());
        for (key, put) in changes {
            self.seqno += 1;
            rows.push((*key, self.seqno, *put));
        }
        rows.sort_unstable_by_key(|row| (row.0, std::cmp::Reverse(row.1)));
        let mut edit = Edit::default();
        for (start, end) in deletes {
            self.seqno += 1;
            let delete = RangeDelete {
                start: key(*start),
                end: Some(key(*end)),
                seqno: Seqno::new(self.seqno),
            };
            edit.range_deletes_added.push((TREE, delete));
        }
        self.flushed_bytes += self.write(rows, 0, Seqno::ZERO, &mut edit);
        edit.flushed_through = Some(Seqno::new(self.seqno));
        self.state.apply(&edit).unwrap();
    }

    fn pick(&mut self, busy: &Busy) -> Option<Job> {
        self.turn += 1;
        let now = Circumstances {
            floor: self.floor,
            pins: &self.pins,
            busy,
            garbage: &garbage(&self.state),
            turn: self.turn,
        };
        pick(&self.state.trees[&TREE], &self.shape, &now)
    }

    fn is_covered(&self, table: &TableMeta, row: Version, at: Seqno) -> bool {
        let covers = |delete: &RangeDelete| {
            let key = key(row.0);
            delete.seqno <= at
                && delete.covers(&key, &key)
                && row.1 < delete.seqno.get()
                && delete.seqno > table.purged_through
        };
        self.files().range_deletes.iter().any(covers)
    }

    /// What is left of the inputs' rows, and up to where they are purged then.
    fn merged(&self, job: &Job) -> (Vec<Version>, Seqno) {
        let oldest = job.inputs.iter().map(|(_, t)| t.aggregate.min_seqno).min();
        let purged = purged_through(oldest.unwrap(), self.floor, &self.pins);
        let mut rows: Vec<Version> = Vec::new();
        for (_, table) in &job.inputs {
            let alive = |row: &&Version| !self.is_covered(table, **row, purged);
            rows.extend(self.rows[&table.id].iter().filter(alive));
        }
        rows.sort_unstable_by_key(|row| (row.0, std::cmp::Reverse(row.1)));
        // The newest version of each key for the floor and for each pin, and what is newer.
        let readers = self.pins.iter().map(|pin: &Seqno| pin.get());
        let readers: Vec<u64> = readers.chain([self.floor.get()]).collect();
        let mut kept: Vec<Version> = Vec::new();
        let mut newer: Option<Version> = None;
        for row in rows {
            let above = newer
                .filter(|newer| newer.0 == row.0)
                .map_or(u64::MAX, |row| row.1);
            if row.1 > self.floor.get() || readers.iter().any(|at| (row.1..above).contains(at)) {
                kept.push(row);
            }
            newer = Some(row);
        }
        if job.bottom {
            let oldest_reader = readers.iter().copied().min().unwrap();
            let count = |key| kept.iter().filter(|row| row.0 == key).count();
            let alone: Vec<bool> = kept.iter().map(|row| count(row.0) == 1).collect();
            let seen = |row: &Version| row.1 <= oldest_reader && row.1 <= purged.get();
            let mut alone = alone.into_iter();
            kept.retain(|row| !(alone.next().unwrap() && !row.2 && seen(row)));
            let mut last = None;
            for row in kept.iter_mut().rev() {
                // Only a version with none beneath it.
                if last.replace(row.0) != Some(row.0) && row.2 && seen(row) {
                    row.1 = 0;
                }
            }
        }
        (kept, purged)
    }

    fn finish(&mut self, job: &Job) {
        let mut edit = Edit::default();
        match job.action {
            Action::Move => {
                let moved = job.inputs.iter();
                let moved = moved.map(|(level, t)| (TREE, t.id, *level, job.output_level));
                edit.moved.extend(moved);
            }
            Action::Drop | Action::Rewrite => {
                let removed = job.inputs.iter();
                edit.removed
                    .extend(removed.map(|(level, t)| (TREE, *level, t.id)));
                if job.action == Action::Rewrite {
                    let (rows, purged) = if self.row_bytes > 1000 {
                        self.merged_fast(job)
                    } else {
                        self.merged(job)
                    };
                    self.written_bytes += self.write(rows, job.output_level, purged, &mut edit);
                }
                for (_, table) in &job.inputs {
                    self.rows.remove(&table.id);
                }
            }
        }
        self.state.apply(&edit).unwrap();
        let retired: Vec<_> = retirable(self.files())
            .into_iter()
            .map(|d| (TREE, d))
            .collect();
        let edit = Edit {
            range_deletes_retired: retired,
            ..Edit::default()
        };
        self.state.apply(&edit).unwrap();
    }

    /// Only the newest of each key.
    fn merged_fast(&self, job: &Job) -> (Vec<Version>, Seqno) {
        let inputs = job
            .inputs
            .iter()
            .flat_map(|(_, table)| &self.rows[&table.id]);
        let mut rows: Vec<Version> = inputs.copied().collect();
        rows.sort_unstable_by_key(|row| (row.0, std::cmp::Reverse(row.1)));
        rows.dedup_by_key(|row| row.0);
        (rows, self.floor)
    }

    /// Compacts until nothing is to be done, and says how many jobs that took.
    fn settle(&mut self) -> usize {
        let mut jobs = 0;
        while let Some(job) = self.pick(&Busy::default()) {
            self.finish(&job);
            jobs += 1;
            assert!(jobs < 10_000, "{job:?}");
        }
        jobs
    }

    /// Whether a key is there for a reader: as the read path finds it.
    fn get(&self, wanted: u64, at: Seqno) -> bool {
        let files = self.files();
        let name = key(wanted);
        for (_, table) in files.tables() {
            if table.first > name || table.last < name {
                continue;
            }
            let rows = &self.rows[&table.id];
            let mut versions = rows
                .iter()
                .filter(|row| row.0 == wanted && row.1 <= at.get());
            if let Some(row) = versions.next() {
                // A hidden one hides the older ones too.
                return row.2 && !self.is_covered(table, *row, at);
            }
        }
        false
    }
}
