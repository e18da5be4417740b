//! Compaction: tables of one level are merged with those of the next, so that a key is in few
//! places and what nobody needs any more is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::background::{Background, Opened};
use crate::compaction::picker::{self, Action, Circumstances, Job, Reason, Shape};
use crate::error::StepError;
use crate::forest::Forest;
use crate::manifest::edit::Edit;
use crate::retention::Retention;
use crate::rewrite::Rewrite;
use crate::row::FileId;
use crate::source::Source;
use crate::table::cursor::Run;
use crate::table::reader::Table;
use crate::tree::Tree;
use crate::{DiskError, TreeId};

/// For how many turns a table is left alone that could not be read or rewritten.
const ASIDE_TURNS: u64 = 60;

/// A job that was picked; nobody else works on its tables until it is dropped.
struct Claimed<'a> {
    forest: &'a Forest,
    id: TreeId,
    job: Job,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut background = self.forest.background.lock();
        if let Some(busy) = background.busy.get_mut(&self.id) {
            busy.finish(&self.job);
        }
    }
}

impl Forest {
    /// Carries out the most urgent compaction, if one is due. Returns whether there was one.
    /// Several callers work on different tables.
    ///
    /// # Errors
    /// When the disk does not take it, or a table is damaged: everything is as before.
    pub fn compact_step(&self) -> Result<bool, StepError> {
        if let Some(edit) = self.retirement() {
            self.commit(edit, &Opened::default(), None)?;
        }
        let retention = self.retention(self.flushed_through());
        let Some(claimed) = self.claim(&retention) else {
            return Ok(false);
        };
        self.compact(&claimed)?;
        Ok(true)
    }

    /// Makes the newest tables of a tree's level 0 one, where that is cheap. To be called when
    /// [`Forest::compact_step`] has nothing to do and no flush has come for a while; returns
    /// whether there was something to do.
    ///
    /// # Errors
    /// As [`Forest::compact_step`].
    pub fn tidy_step(&self) -> Result<bool, StepError> {
        let shape = self.shape();
        let claimed = {
            let mut background = self.background.lock();
            let Background {
                state,
                busy,
                removing,
                ..
            } = &mut *background;
            let mut trees = state
                .trees
                .iter()
                .filter(|(id, files)| files.dropped.is_none() && !removing.contains(id));
            trees.find_map(|(id, files)| {
                let busy = busy.entry(*id).or_default();
                let job = picker::level0::tidy(files, &shape, busy)?;
                busy.start(&job);
                Some(Claimed {
                    forest: self,
                    id: *id,
                    job,
                })
            })
        };
        let Some(claimed) = claimed else {
            return Ok(false);
        };
        self.compact(&claimed)?;
        Ok(true)
    }

    /// Compacts everything that a tree has in tables into its last level. Returns false, and does
    /// nothing, if it has none, or is being compacted already.
    ///
    /// # Errors
    /// As [`Forest::compact_step`].
    pub fn compact_tree(&self, id: TreeId) -> Result<bool, StepError> {
        let shape = self.shape();
        let claimed = {
            let mut background = self.background.lock();
            let background = &mut *background;
            if background.removing.contains(&id) {
                return Ok(false);
            }
            let busy = background.busy.entry(id).or_default();
            let files = background.state.trees.get(&id);
            let Some(job) = files.and_then(|files| picker::full(files, &shape, busy)) else {
                return Ok(false);
            };
            busy.start(&job);
            Claimed {
                forest: self,
                id,
                job,
            }
        };
        self.compact(&claimed)?;
        Ok(true)
    }

    /// The shape that trees are to have.
    pub(crate) fn shape(&self) -> Shape {
        let options = &self.options;
        Shape {
            l0_trigger: options.l0_tables,
            base_bytes: options.base_bytes,
            ratio: options.level_ratio,
            table_bytes: options.table_bytes,
            ..Shape::default()
        }
    }

    /// The range deletes that no row is subject to any more. (Rows in memory are not: they are
    /// newer than what the manifest has.)
    fn retirement(&self) -> Option<Edit> {
        let background = self.background.lock();
        let trees = background.state.trees.iter();
        let retired = trees.filter(|(_, files)| !files.range_deletes.is_empty());
        let retired = retired.flat_map(|(id, files)| {
            let retirable = picker::upkeep::retirable(files).into_iter();
            retirable.map(|delete| (*id, delete))
        });
        let retired: Vec<_> = retired.collect();
        (!retired.is_empty()).then(|| Edit {
            range_deletes_retired: retired,
            ..Edit::default()
        })
    }

    /// Picks the most urgent job of all trees; among equals, another tree's each time.
    fn claim(&self, retention: &Retention) -> Option<Claimed<'_>> {
        let shape = self.shape();
        let mut background = self.background.lock();
        let Background {
            state,
            busy,
            turn,
            removing,
            set_aside,
            ..
        } = &mut *background;
        *turn = turn.wrapping_add(1);
        let garbage = picker::garbage(state);
        let mut best: Option<(f64, TreeId, Job)> = None;
        let skip = usize::try_from(*turn).unwrap_or(0) % state.trees.len().max(1);
        let trees = state.trees.iter().skip(skip);
        for (id, files) in trees.chain(state.trees.iter().take(skip)) {
            if removing.contains(id) {
                continue;
            }
            let now = Circumstances {
                floor: retention.floor(),
                pins: retention.pins(),
                busy: busy.entry(*id).or_default(),
                garbage: &garbage,
                turn: *turn,
            };
            let Some(job) = picker::pick(files, &shape, &now) else {
                continue;
            };
            let is_aside = |id| set_aside.get(&id).is_some_and(|until| *turn < *until);
            if job.inputs.iter().any(|(_, table)| is_aside(table.id)) {
                continue;
            }
            let score = picker::score(files, &shape);
            if best.as_ref().is_none_or(|(best, ..)| score > *best) {
                best = Some((score, *id, job));
            }
        }
        let (_, id, job) = best?;
        busy.entry(id).or_default().start(&job);
        Some(Claimed {
            forest: self,
            id,
            job,
        })
    }

    fn compact(&self, claimed: &Claimed<'_>) -> Result<(), StepError> {
        let done = self.carry_out(claimed);
        if let Err(StepError::Disk(error)) = &done
            && !error.is_no_space()
        {
            // Other trees have their turn, or one damaged table would stop them all.
            let mut background = self.background.lock();
            let until = match error {
                DiskError::Corrupt(_) => u64::MAX,
                DiskError::Io(_) => background.turn.saturating_add(ASIDE_TURNS),
            };
            let inputs = claimed.job.inputs.iter();
            let inputs = inputs.map(|(_, table)| (table.id, until));
            background.set_aside.extend(inputs);
        }
        done
    }

    fn carry_out(&self, claimed: &Claimed<'_>) -> Result<(), StepError> {
        let (id, job) = (claimed.id, &claimed.job);
        let mut edit = Edit::default();
        let inputs = job.inputs.iter();
        match job.action {
            Action::Move => {
                let moved = inputs.map(|(level, table)| (id, table.id, *level, job.output_level));
                edit.moved = moved.collect();
                self.commit(edit, &Opened::default(), None)
            }
            Action::Drop => {
                edit.removed = inputs
                    .map(|(level, table)| (id, *level, table.id))
                    .collect();
                self.commit(edit, &Opened::default(), None)
            }
            Action::Rewrite => {
                edit.removed = inputs
                    .map(|(level, table)| (id, *level, table.id))
                    .collect();
                self.merge(id, job, edit)
            }
        }
    }

    fn merge(&self, id: TreeId, job: &Job, mut edit: Edit) -> Result<(), StepError> {
        // Only now that the inputs are claimed: who wrote them may have known of a higher floor
        // than there was before, and what a table has worked in, its successor must have too.
        // The retention before the picture: what the picture lacks is needed by nobody.
        let retention = self.retention(self.flushed_through());
        let roster = self.trees.load_full();
        let Some(tree) = roster.get(id) else {
            return Ok(());
        };
        let leave = match job.reason {
            Reason::Blobs => picker::garbage(&self.background.lock().state),
            _ => BTreeMap::default(),
        };
        let output = self.rewrite(Rewrite {
            id,
            tree,
            sources: sources(tree, job)?,
            retention,
            bottom: job.bottom,
            last_level: job.bottom,
            leave: leave.into_keys().collect(),
            // Each table of level 0 is a run of its own.
            single: job.output_level == 0,
        })?;
        let counters = &self.counters;
        counters.compactions.fetch_add(1, Ordering::Relaxed);
        counters
            .compacted_in
            .fetch_add(job.bytes(), Ordering::Relaxed);
        counters
            .compacted_out
            .fetch_add(output.bytes(), Ordering::Relaxed);
        edit.blobs_added = output.blobs;
        let added = output.tables.into_iter();
        edit.added = added.map(|table| (id, job.output_level, table)).collect();
        let committed = self.commit(edit, &output.opened, None);
        if let Err(error) = &committed {
            self.discard(&output.opened, error);
        }
        committed
    }
}

/// The inputs of a job as sources, newest first: the tables of level 0 each on its own, those of
/// another level one behind the other.
fn sources(tree: &Tree, job: &Job) -> Result<Vec<Source>, StepError> {
    let open = tree.tables.all().flat_map(|run| run.tables());
    let open: BTreeMap<FileId, &Arc<Table>> = open.map(|table| (table.meta.id, table)).collect();
    let mut runs: Vec<(u8, Vec<Arc<Table>>)> = Vec::new();
    for (level, meta) in &job.inputs {
        // To go on without it would be to lose its rows.
        let table = open.get(&meta.id).ok_or_else(|| {
            StepError::Inconsistent(format!("table {:016x} is not open", meta.id.0))
        })?;
        match runs.last_mut() {
            Some((of, run)) if of == level && *level > 0 => run.push(Arc::clone(table)),
            _ => runs.push((*level, vec![Arc::clone(table)])),
        }
    }
    let runs = runs
        .into_iter()
        .map(|(_, tables)| Arc::new(Run::new(tables)));
    Ok(runs.map(|run| Source::ahead(&run)).collect())
}
