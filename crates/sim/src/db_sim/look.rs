//! Reading, and comparing with the model.

use nexusbase_db::{
    Change, ChangeFeed, Database, Direction, Index, KeyRange, Mutation, TreeId, View,
};

use super::Sim;
use super::kept::compare_kept;
use super::kinds::kind_of;
use super::model::{Key, Net, Op, State, Timeline, all_keys, same};
use super::reads::{Read, again};
use crate::Check;

impl Sim {
    /// Compares a database that was just opened with what it may be.
    pub(super) fn compare_recovered(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Err("there is no life".to_owned());
        };
        let found = life.db.snapshot().index().get();
        let (least, most) = (self.timeline.acknowledged, self.timeline.last());
        if found < least || found > most {
            return Err(format!(
                "{found} commits were recovered: at least {least} were safe, {most} submitted"
            ));
        }
        let recovery = life.db.recovery();
        same("recovery", &(recovery.flushed + recovery.entries), &found)?;
        self.timeline.cut(found);
        let state = self.timeline.head.clone();
        compare_all(&life.db.snapshot(), &state, Direction::Forward)?;
        compare_all(&life.db.snapshot(), &state, Direction::Reverse)?;
        let read = compare_kept(&life.db, &mut self.timeline, Direction::Forward)?;
        self.world.story.report.kept_read += read;
        let oldest = life.db.oldest_change();
        let mut next = oldest.get();
        let mut feed = life.db.changes(oldest).map_err(|e| e.to_string())?;
        drain(&mut feed, &mut next, &self.timeline)?;
        same("the feed", &(found + 1), &next)?;
        self.timeline.acknowledge(found, true);
        self.world.story.report.from_tables += u64::from(recovery.flushed > 0);
        self.world.story.tell(format!("it has {found} commits"));
        self.check_copies()
    }

    /// Looks at the newest state, or at one that is held for long.
    pub(super) fn look(&mut self) -> Check {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let direction = direction(self.world.rng.chance(0.5));
        let world = &mut self.world;
        for (snapshot, state) in &life.snapshots {
            again(world, || compare_all(snapshot, state, direction))?;
        }
        let snapshot = life.db.snapshot();
        let state = self.timeline.state_at(snapshot.index().get());
        again(world, || compare_all(&snapshot, &state, direction))?;
        let (db, timeline) = (&life.db, &mut self.timeline);
        let read = again(world, || compare_kept(db, timeline, direction))?;
        world.story.report.kept_read += read.unwrap_or(0);
        if self.world.rng.chance(0.3) {
            life.snapshots.push((snapshot, state));
        } else if let Some((version, _)) = state.kept.first()
            && self.world.rng.chance(0.5)
        {
            // It may be released before this is looked at again.
            let kept = life.db.snapshot_at(Index::new(*version));
            let kept = kept.ok_or("a kept version cannot be read twice")?;
            let state = self.timeline.state_at(*version);
            life.snapshots.push((kept, state));
        }
        if life.snapshots.len() > 3 {
            let gone = self.world.rng.index(life.snapshots.len());
            life.snapshots.remove(gone);
        }
        Ok(())
    }

    /// Lets the change feed catch up.
    pub(super) fn follow(&mut self) -> Check {
        let before = self.world.disk.operations();
        let outcome = self.follow_feed();
        if outcome.is_err() && self.world.excused(before) {
            if let Some(life) = &mut self.life {
                life.feed = None;
            }
            return Ok(());
        }
        outcome
    }

    fn follow_feed(&mut self) -> Check {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let visible = life.db.snapshot().index().get();
        if life.feed.is_none() {
            let oldest = life.db.oldest_change().get();
            let from = oldest + self.world.rng.below(visible + 2 - oldest);
            let feed = subscribe(&life.db, from)?;
            life.feed = Some((feed, from));
        }
        if let Some((feed, next)) = &mut life.feed {
            drain(feed, next, &self.timeline)?;
            same("the feed", &(visible + 1), next)?;
        }
        Ok(())
    }
}

fn subscribe(db: &Database, from: u64) -> Check<ChangeFeed> {
    db.changes(Index::new(from)).map_err(|e| e.to_string())
}

fn drain(feed: &mut ChangeFeed, next: &mut u64, timeline: &Timeline) -> Check {
    while let Some(change) = feed.try_next().map_err(|e| format!("feed: {e}"))? {
        same("the feed", next, &change.index.get())?;
        let ops = timeline
            .commit(*next)
            .ok_or_else(|| format!("the feed shows commit {next}, which nobody made"))?;
        compare_change(ops, &change).map_err(|e| format!("commit {next} in the feed: {e}"))?;
        *next += 1;
    }
    Ok(())
}

fn compare_change(ops: &[Op], change: &Change) -> Check {
    let catalog = TreeId::new(0);
    let changes_trees = ops
        .iter()
        .any(|op| matches!(op, Op::Create(..) | Op::Drop(..)));
    let is_tree = |m: &&Mutation| m.tree == catalog && m.key.first() != Some(&4);
    let shows_trees = change.mutations.iter().any(|m| is_tree(&m));
    same("the catalog", &changes_trees, &shows_trees)?;
    let shown = change.mutations.iter();
    Net::of(ops).compare(shown.filter(|mutation| !is_tree(mutation)))
}

pub(super) const fn direction(forward: bool) -> Direction {
    if forward {
        Direction::Forward
    } else {
        Direction::Reverse
    }
}

/// Reads up to `limit` rows.
pub(super) fn rows(
    view: &dyn View,
    tree: TreeId,
    range: KeyRange,
    direction: Direction,
    limit: usize,
) -> Read<Vec<(Key, nexusbase_db::Bytes)>> {
    let rows = view.scan(tree, range, direction)?.take(limit);
    rows.map(|row| {
        let (key, value) = row?;
        Ok((key.to_vec(), value))
    })
    .collect()
}

/// Compares everything in `view` with `state`.
pub(super) fn compare_all(view: &dyn View, state: &State, direction: Direction) -> Read {
    let trees = view.trees("")?;
    let expected: Vec<(String, TreeId)> = state
        .trees
        .iter()
        .map(|(name, tree)| (name.clone(), *tree))
        .collect();
    same("the catalog", &expected, &trees)?;
    for prefix in ["", "a"] {
        let found = view.kept_versions(prefix)?.into_iter();
        let found: Vec<_> = found.map(|(at, owner)| (at.get(), owner)).collect();
        same("kept versions", &state.kept_by(prefix), &found)?;
    }
    for (name, tree) in trees {
        let what = format!("tree {name}");
        let found = rows(view, tree, KeyRange::all(), direction, usize::MAX)?;
        let expected = state.scan(tree, &KeyRange::all(), direction, usize::MAX);
        same(&what, &expected, &found)?;
        // A point is found by other ways than a range.
        let absent = all_keys().into_iter().step_by(7);
        for key in expected.into_iter().map(|(key, _)| key).chain(absent) {
            let (expected, found) = (state.get(tree, &key), view.get(tree, &key)?);
            same(&what, &(&key, expected), &(&key, found))?;
        }
        let kind = view.tree_kind(tree)?;
        same(
            "a tree's kind",
            &Some(kind_of(&name).name),
            &kind.as_deref(),
        )?;
        same("a tree's name", &Some(name), &view.tree_name(tree)?)?;
    }
    Ok(())
}
