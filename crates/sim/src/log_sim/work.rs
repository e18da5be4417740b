//! What happens while the log lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase_log::{AppendError, Group, Index, Log, ReadError, Subscription, Sync, Term, Vote};

use super::model::{Model, Wrote, id};
use super::{GROUPS, Sim};
use crate::Check;

/// An entry's term and payload.
type Content = (Term, Arc<[u8]>);

/// What was committed, by group and index; survives all lives.
#[derive(Debug, Default)]
pub(super) struct Committed {
    last: BTreeMap<Group, u64>,
    entries: BTreeMap<(Group, u64), Content>,
}

impl Committed {
    fn last(&self, group: Group) -> u64 {
        self.last.get(&group).copied().unwrap_or(0)
    }

    /// Tells a log that was opened anew.
    pub(super) fn release(&self, log: &Log) {
        for (group, last) in &self.last {
            log.set_committed(*group, Index::new(*last));
        }
    }

    /// Commits entries of `group` up to `last`, behind `from`.
    fn advance(&mut self, group: Group, from: u64, entries: &[(u64, Content)]) -> u64 {
        let mut last = from;
        for (index, entry) in entries {
            if *index == last + 1 {
                self.entries.insert((group, *index), entry.clone());
                last = *index;
                self.last.insert(group, last);
            }
        }
        last
    }
}

/// A subscription, and the entry that it must show next.
pub(super) struct Follower {
    group: Group,
    subscription: Subscription,
    next: u64,
}

impl Sim {
    pub(super) fn append(&mut self) -> Check {
        let batch = self.batch();
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let sync = if self.world.rng.below(100) < life.durable_percent {
            Sync::Durable
        } else {
            Sync::Later
        };
        let text: Vec<String> = batch.iter().map(Wrote::tell).collect();
        let before = self.world.disk.operations();
        self.timeline.submit(&batch);
        let records: Vec<_> = batch.iter().map(Wrote::record).collect();
        let result = life.writer.append(&records, sync);
        let outcome = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        self.world.story.tell(format!(
            "append {sync:?} [{}]: {outcome:?}",
            text.join(", ")
        ));
        match result {
            Ok(end) => {
                self.timeline.acknowledge();
                self.world.story.report.acknowledged += 1;
                if sync == Sync::Durable {
                    self.timeline.sync();
                    if life.log.durable() != end {
                        return Err(format!("durable to {}, not {end}", life.log.durable()));
                    }
                }
                // Behind a purge that goes beyond what is committed, nobody can follow.
                let committed = &self.committed;
                life.followers.retain(|f| {
                    let purged = self.timeline.newest().group(f.group).purged.index;
                    purged.get() <= committed.last(f.group)
                });
                Ok(())
            }
            Err(AppendError::NoSpace(_)) if self.world.tight || self.world.excused(before) => {
                self.timeline.take_back();
                self.world.story.report.full += 1;
                Ok(())
            }
            Err(AppendError::Failed(_)) if self.world.excused(before) || self.failed_before() => {
                self.may_be_torn = true;
                Ok(())
            }
            Err(e) => Err(format!("append: {e}")),
        }
    }

    /// Whether the writer has failed in an earlier step; notes that it has failed now.
    fn failed_before(&self) -> bool {
        // A writer that has failed is at its end: who sees it first had the excuse.
        self.may_be_torn
    }

    fn batch(&mut self) -> Vec<Wrote> {
        let mut model = self.timeline.newest().clone();
        let count = 1 + self.world.rng.below(4);
        (0..count)
            .map(|_| {
                let wrote = self.record(&model);
                model.apply(&wrote);
                wrote
            })
            .collect()
    }

    fn record(&mut self, model: &Model) -> Wrote {
        let group = Group::new(u32::try_from(self.world.rng.below(u64::from(GROUPS))).unwrap_or(0));
        let known = model.group(group);
        let (last, purged) = (known.last.index.get(), known.purged.index.get());
        let term = known.last.term.get() + self.world.rng.below(2);
        let at = |index: u64| {
            let term = match known.entries.get(&index) {
                Some(entry) => entry.0,
                None => known.purged.term,
            };
            id(index, term.get())
        };
        match self.world.rng.below(100) {
            0..=4 => {
                let vote = Vote {
                    term: Term::new(term + 1),
                    node: self.world.rng.below(5),
                    committed: self.world.rng.chance(0.5),
                };
                Wrote::Vote(group, vote)
            }
            5..=10 => {
                let floor = purged.max(self.committed.last(group).min(last));
                Wrote::Truncate(group, at(floor + self.world.rng.below(last - floor + 1)))
            }
            11..=24 => {
                let most = self.committed.last(group).clamp(purged, last);
                Wrote::Purge(group, at(purged + self.world.rng.below(most - purged + 1)))
            }
            25 => Wrote::Purge(group, id(last + 1 + self.world.rng.below(5), term)),
            _ => Wrote::Entry(group, id(last + 1, term), self.payload()),
        }
    }

    fn payload(&mut self) -> Arc<[u8]> {
        let large = self.life.as_ref().map_or(0, |life| life.payload_bytes);
        let length = match self.world.rng.below(60) {
            0 => 90_000 + self.world.rng.below(30_000),
            1..=20 => self.world.rng.below(60),
            _ => self.world.rng.below(large + 1),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut start = [0; 16];
        self.world.rng.fill(&mut start);
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte = start[at % 16];
        }
        payload.into()
    }

    pub(super) fn sync(&mut self) -> Check {
        self.with_writer("sync", nexusbase_log::LogWriter::sync)
    }

    pub(super) fn claim(&mut self) -> Check {
        self.with_writer("claim", nexusbase_log::LogWriter::claim)
    }

    fn with_writer(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut nexusbase_log::LogWriter) -> Result<(), AppendError>,
    ) -> Check {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let before = self.world.disk.operations();
        let result = work(&mut life.writer);
        self.world.story.tell(format!("{name}: {result:?}"));
        match result {
            Ok(()) => {
                self.timeline.sync();
                Ok(())
            }
            Err(AppendError::NoSpace(_)) if self.world.tight || self.world.excused(before) => {
                Ok(())
            }
            Err(AppendError::Failed(_)) if self.world.excused(before) || self.failed_before() => {
                self.may_be_torn = true;
                Ok(())
            }
            Err(e) => Err(format!("{name}: {e}")),
        }
    }

    pub(super) fn prepare_spare(&mut self) -> Check {
        let Some(life) = &self.life else {
            return Ok(());
        };
        let before = self.world.disk.operations();
        match life.log.prepare_spare_step() {
            Ok(made) => self.world.story.tell(format!("prepare spare: {made}")),
            Err(e) if (self.world.tight && e.is_no_space()) || self.world.excused(before) => {
                self.world.story.tell(format!("prepare spare: {e}"));
            }
            Err(e) => return Err(format!("prepare spare: {e}")),
        }
        Ok(())
    }

    pub(super) fn recycle(&mut self) -> Check {
        for _ in 0..=self.world.rng.below(3) {
            let Some(life) = &self.life else {
                return Ok(());
            };
            let before = self.world.disk.operations();
            match life.log.recycle_step() {
                Ok(true) => {
                    self.world.story.report.recycled += 1;
                    self.world.story.tell("recycled a segment");
                }
                Ok(false) => break,
                Err(e) if self.world.excused(before) => {
                    self.world.story.tell(format!("recycle: {e}"));
                }
                Err(e) => return Err(format!("recycle: {e}")),
            }
        }
        Ok(())
    }

    /// Compares everything that can be read with the model.
    pub(super) fn look(&mut self) -> Check {
        let Some(life) = self.life.as_ref().filter(|life| !life.writer.has_failed()) else {
            return Ok(());
        };
        let before = self.world.disk.operations();
        let found = match Model::read(&life.log, GROUPS) {
            Ok(found) => found,
            Err(_) if self.world.excused(before) => return Ok(()),
            Err(e) => return Err(e),
        };
        match self.timeline.newest().difference(&found, GROUPS) {
            Some(difference) => Err(format!("while alive: {difference}")),
            None => Ok(()),
        }
    }

    /// Commits some of what is durable, and lets subscriptions follow.
    pub(super) fn commit_and_follow(&mut self) -> Check {
        let Some(life) = self.life.as_mut().filter(|life| !life.writer.has_failed()) else {
            return Ok(());
        };
        let group = Group::new(u32::try_from(self.world.rng.below(u64::from(GROUPS))).unwrap_or(0));
        let (durable, newest) = (
            self.timeline.durable_state().group(group),
            self.timeline.newest().group(group),
        );
        let purged = newest.purged.index.get();
        let from = self.committed.last(group).max(purged);
        // Durable, and still the same entry now.
        let safe: Vec<_> = durable
            .entries
            .range(from + 1..)
            .take_while(|(index, entry)| newest.entries.get(index) == Some(entry))
            .map(|(index, entry)| (*index, entry.clone()))
            .collect();
        let last = self.committed.advance(group, from, &safe);
        life.log.set_committed(group, Index::new(last));
        if life.followers.len() < 3 && self.committed.last(group) >= purged {
            let from = purged + 1 + self.world.rng.below(last - purged + 1);
            let subscribed = life.log.subscribe(group, Index::new(from));
            let subscription = subscribed.map_err(|e| format!("subscribe: {e}"))?;
            self.world
                .story
                .tell(format!("g{group} is followed from entry {from}"));
            life.followers.push(Follower {
                group,
                subscription,
                next: from,
            });
        }
        self.follow()
    }

    fn follow(&mut self) -> Check {
        let Some(mut life) = self.life.take() else {
            return Ok(());
        };
        let before = self.world.disk.operations();
        let mut outcome = Ok(());
        for follower in &mut life.followers {
            if let Err(e) = follow_one(follower, &self.committed) {
                outcome = Err(e);
                break;
            }
        }
        if self.world.rng.chance(0.2) {
            life.followers.clear();
        }
        self.life = Some(life);
        match outcome {
            Err(e) if !self.world.excused(before) => Err(e),
            _ => Ok(()),
        }
    }
}

fn follow_one(follower: &mut Follower, committed: &Committed) -> Check {
    let group = follower.group;
    let failed = |e: ReadError| format!("subscription to group {group}: {e}");
    while let Some(entry) = follower.subscription.try_next().map_err(failed)? {
        let index = entry.id.index.get();
        if index != follower.next || index > committed.last(group) {
            return Err(format!(
                "group {group} shows entry {index}, expected {}, committed {}",
                follower.next,
                committed.last(group)
            ));
        }
        let (term, payload) = &committed.entries[&(group, index)];
        if *term != entry.id.term || **payload != *entry.payload {
            return Err(format!("group {group} shows another entry {index}"));
        }
        follower.next += 1;
    }
    if follower.next != committed.last(group) + 1 {
        let (next, last) = (follower.next, committed.last(group));
        return Err(format!(
            "group {group} does not show entry {next} of {last}"
        ));
    }
    Ok(())
}
