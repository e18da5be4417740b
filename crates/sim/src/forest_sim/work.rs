//! What happens while the forest lives: entries, reads, and what is declared about readers.

use std::collections::BTreeMap;

use bytes::Bytes;
use nexusbase_forest::{
    Change, Direction, DiskError, KeyRange, Mutation, Seqno, TreeChange, TreeId,
};
use nexusbase_io::sim::SimRng;

use super::Sim;
use super::kinds::KINDS;
use super::life::{HeldScan, Life};
use super::look::{Look, Trouble, compare};
use super::model::{Entry, State};
use crate::Check;

const TREES_MAX: usize = 5;

/// A random key of up to so many letters, the longest mostly.
pub(super) fn key(rng: &mut SimRng, longest: usize) -> Bytes {
    let length = match rng.below(30) {
        0 => 0,
        1 => return Bytes::from(vec![b'b'; 150]),
        2..=8 => longest.saturating_sub(2),
        9..=19 => longest.saturating_sub(1),
        _ => longest,
    };
    let letters = b"abcd";
    (0..length).map(|_| letters[rng.index(4)]).collect()
}

impl Sim {
    pub(super) fn write(&mut self) -> Check {
        for _ in 0..=self.world.rng.below(4) {
            let entry = self.entry();
            let Some(life) = &self.life else {
                return Ok(());
            };
            let at = Seqno::new(self.model.last().get() + 1);
            let (trees, changes) = (&entry.trees, &entry.mutations);
            self.world
                .story
                .tell(format!("entry {at}: {trees:?} {}", tell(changes)));
            let applied = life.forest.apply(at, trees, changes.iter().cloned());
            applied.map_err(|e| format!("apply {at}: {e}"))?;
            self.model.push(entry);
            self.world.story.report.acknowledged += 1;
            if self.world.rng.chance(0.3) {
                self.now_ms += 1;
                life.forest.note_time(self.now_ms);
            }
        }
        if self.world.rng.chance(0.3) {
            self.world.story.tell("the log is synced");
            self.model.sync();
        }
        Ok(())
    }

    fn entry(&mut self) -> Entry {
        let mut entry = Entry::default();
        let newest = self.model.newest().clone();
        let next = self.model.next_tree();
        let mut kinds: BTreeMap<TreeId, usize> = BTreeMap::new();
        for (id, tree) in &newest.trees {
            let kind = KINDS.iter().position(|kind| kind.name == tree.kind.name);
            kinds.insert(*id, kind.unwrap_or(0));
        }
        let rng = &mut self.world.rng;
        if kinds.len() < 2 || (kinds.len() < TREES_MAX && rng.chance(0.04)) {
            let kind = rng.index(KINDS.len());
            kinds.insert(next, kind);
            entry.trees.push(TreeChange::Create {
                tree: next,
                kind: KINDS[kind].name.to_owned(),
            });
        }
        let ids: Vec<(TreeId, usize)> = kinds.into_iter().collect();
        for _ in 0..rng.below(if self.wide { 60 } else { 7 }) {
            let (tree, kind) = ids[self.world.rng.index(ids.len())];
            self.mutation(tree, kind, &newest, &mut entry.mutations);
        }
        if self.world.rng.chance(0.02) {
            let (tree, _) = ids[self.world.rng.index(ids.len())];
            entry.trees.push(TreeChange::Drop { tree });
        }
        entry
    }

    /// Few keys, so that they come again; or many, so that tables become large.
    pub(super) const fn longest_key(&self) -> usize {
        if self.wide { 6 } else { 3 }
    }

    fn mutation(&mut self, tree: TreeId, kind: usize, newest: &State, all: &mut Vec<Mutation>) {
        let counted = KINDS[kind].counted;
        let longest = self.longest_key();
        let mut key = key(&mut self.world.rng, longest);
        let change = match self.world.rng.below(100) {
            0..=5 if !counted || all.iter().all(|m| m.tree != tree) => {
                let end = self::key(&mut self.world.rng, longest);
                let end = (!self.world.rng.chance(0.1)).then_some(end);
                // Mostly in the right order.
                let end = match end {
                    Some(end) if end < key && self.world.rng.chance(0.8) => {
                        Some(std::mem::replace(&mut key, end))
                    }
                    end => end,
                };
                Change::DeleteRange { end }
            }
            0..=25 => Change::Delete,
            26..=60 if KINDS[kind].merge.is_some() => Change::Merge(self.value(kind)),
            _ => Change::Put(self.value(kind)),
        };
        let mutation = Mutation { tree, key, change };
        if counted && !matches!(mutation.change, Change::DeleteRange { .. }) {
            // The promise: puts of what is not there, deletes of what is.
            let is_there = is_there(newest, all, &mutation);
            let change = if is_there {
                Change::Delete
            } else {
                Change::Put(self.value(kind))
            };
            all.push(Mutation { change, ..mutation });
        } else {
            all.push(mutation);
        }
    }

    fn value(&mut self, kind: usize) -> Bytes {
        let rng = &mut self.world.rng;
        let length = match rng.below(10) {
            0 => 0,
            1..=2 => 20 + rng.below(120),
            _ => 1 + rng.below(10),
        };
        let mut value = vec![0; usize::try_from(length).unwrap_or(0)];
        rng.fill(&mut value);
        if KINDS[kind].merge.is_some() {
            value.sort_unstable();
            value.dedup();
        }
        if KINDS[kind].expiry.is_some()
            && let Some(first) = value.first_mut()
        {
            let soon = self.now_ms + self.world.rng.below(20);
            *first = u8::try_from(soon).unwrap_or(u8::MAX);
        }
        value.into()
    }

    /// Moves up what the oldest reader may need.
    pub(super) fn raise_floor(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Ok(());
        };
        let floor = life.forest.oldest_needed().get();
        let applied = self.model.last().get();
        let at = match self.world.rng.below(3) {
            0 => applied,
            _ => floor + self.world.rng.below(applied - floor + 1),
        };
        self.world.story.tell(format!("oldest needed: {at}"));
        life.forest.set_oldest_needed(Seqno::new(at));
        let found = life.forest.oldest_needed().get();
        if found != at {
            return Err(format!("the oldest needed is {found} and should be {at}"));
        }
        Ok(())
    }

    /// Pins some of what can be read, and lets go of other pins.
    pub(super) fn change_pins(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Ok(());
        };
        let (floor, last) = (life.forest.oldest_needed().get(), self.model.last().get());
        let rng = &mut self.world.rng;
        self.pins.retain(|_| rng.chance(0.7));
        for _ in 0..rng.below(3) {
            self.pins
                .push(Seqno::new(floor + rng.below(last - floor + 1)));
        }
        self.world.story.tell(format!("pins: {:?}", self.pins));
        life.forest.set_pins(&self.pins);
        Ok(())
    }

    /// A seqno that can be read at.
    fn readable(&mut self, life: &Life) -> Seqno {
        let (floor, last) = (life.forest.oldest_needed(), self.model.last());
        match self.world.rng.below(4) {
            0 => last,
            1 => floor,
            2 if !self.pins.is_empty() => self.pins[self.world.rng.index(self.pins.len())],
            _ => Seqno::new(floor.get() + self.world.rng.below(last.get() - floor.get() + 1)),
        }
    }

    pub(super) fn look(&mut self) -> Check {
        let Some(life) = self.life.take() else {
            return Ok(());
        };
        let at = self.readable(&life);
        let outcome = self.look_at(&life, at);
        self.life = Some(life);
        outcome
    }

    /// Compares everything at one seqno with the model.
    pub(super) fn look_at(&mut self, life: &Life, at: Seqno) -> Check {
        let before = self.world.disk.operations();
        let mut look = Look {
            longest_key: self.longest_key(),
            forest: &life.forest,
            at,
            now_ms: self.now_ms,
            rng: &mut self.world.rng,
        };
        match look.all(self.model.at(at)) {
            Ok(()) => Ok(()),
            Err(Trouble::Disk(error)) => self.excuse(before, "look", &error),
            Err(Trouble::Wrong(text)) => Err(text),
        }
    }

    /// Goes on with scans that live long, and begins others.
    pub(super) fn walk(&mut self) -> Check {
        let Some(mut life) = self.life.take() else {
            return Ok(());
        };
        if life.scans.len() < 3 {
            self.begin_scan(&mut life)?;
        }
        let before = self.world.disk.operations();
        let mut outcome = Ok(());
        let count = self.world.rng.index(8);
        for scan in &mut life.scans {
            outcome = walk_on(scan, count);
            if outcome.is_err() {
                break;
            }
        }
        life.scans.retain(|scan| !scan.expected.is_empty());
        if outcome.is_err() || self.world.rng.chance(0.2) {
            life.scans.clear();
        }
        self.life = Some(life);
        match outcome {
            Ok(()) => Ok(()),
            Err(Trouble::Disk(error)) => self.excuse(before, "walk", &error),
            Err(Trouble::Wrong(text)) => Err(format!("a scan that lives long: {text}")),
        }
    }

    fn begin_scan(&mut self, life: &mut Life) -> Check {
        let at = self.readable(life);
        let state = self.model.at(at);
        let trees: Vec<_> = state.trees.iter().collect();
        if trees.is_empty() {
            return Ok(());
        }
        let (id, tree) = trees[self.world.rng.index(trees.len())];
        if tree.kind.expiry.is_some() {
            return Ok(());
        }
        let direction = [Direction::Forward, Direction::Reverse][self.world.rng.index(2)];
        let scan = life.forest.scan(*id, KeyRange::all(), direction, at);
        let rows = tree
            .rows
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        let mut expected: std::collections::VecDeque<_> = rows.collect();
        if direction == Direction::Reverse {
            expected.make_contiguous().reverse();
        }
        self.world
            .story
            .tell(format!("scan of tree {id} at {at}, {direction:?}"));
        life.scans.push(HeldScan {
            scan: scan.map_err(|e| format!("scan: {e}"))?,
            expected,
        });
        Ok(())
    }

    /// An error is all right if it was planned, or if the disk is full.
    pub(super) fn excuse(&mut self, before: u64, what: &str, error: &DiskError) -> Check {
        let is_full = self.world.tight && error.is_no_space();
        let met = self.world.excused(before);
        self.world.story.report.full += u64::from(is_full && !met);
        if matches!(error, DiskError::Io(_)) && (met || is_full) {
            self.world.story.tell(format!("{what}: {error}"));
            return Ok(());
        }
        Err(format!("{what}: {error}"))
    }
}

fn walk_on(scan: &mut HeldScan, count: usize) -> Result<(), Trouble> {
    for _ in 0..count {
        let found = scan.scan.next().transpose()?;
        let expected = scan.expected.pop_front();
        compare(expected.as_slice(), found.as_slice())?;
    }
    Ok(())
}

/// Whether the key of a change is there after the changes before it.
fn is_there(newest: &State, before: &[Mutation], mutation: &Mutation) -> bool {
    let key = &mutation.key;
    let tree = newest.trees.get(&mutation.tree);
    let was_there = tree.is_some_and(|tree| tree.rows.contains_key(key));
    let before = before.iter().filter(|m| m.tree == mutation.tree);
    before.fold(was_there, |is_there, m| match &m.change {
        Change::DeleteRange { end } => {
            is_there && !(*key >= m.key && end.as_ref().is_none_or(|end| key < end))
        }
        change if m.key == *key => matches!(change, Change::Put(_)),
        _ => is_there,
    })
}

fn tell(mutations: &[Mutation]) -> String {
    let texts = mutations.iter().map(|Mutation { tree, key, change }| {
        let change = match change {
            Change::Put(value) => format!("= {value:02x?}", value = &value[..value.len().min(4)]),
            Change::Delete => "gone".to_owned(),
            Change::Merge(value) => format!("+ {} bytes", value.len()),
            Change::DeleteRange { end } => format!("..{end:?} gone"),
        };
        format!("{tree}:{key:?} {change}")
    });
    texts.collect::<Vec<_>>().join(", ")
}
