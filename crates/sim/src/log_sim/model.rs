//! What a log should contain: written without a look at how the log does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexusbase_log::{Group, Index, Log, LogId, Record, Term, Vote};

use crate::Check;

/// A record that was handed to the log.
#[derive(Clone, Debug)]
pub(super) enum Wrote {
    Entry(Group, LogId, Arc<[u8]>),
    Vote(Group, Vote),
    Truncate(Group, LogId),
    Purge(Group, LogId),
}

impl Wrote {
    pub(super) fn record(&self) -> Record<'_> {
        match self {
            Self::Entry(group, id, payload) => Record::Entry {
                group: *group,
                id: *id,
                payload,
            },
            Self::Vote(group, vote) => Record::Vote {
                group: *group,
                vote: *vote,
            },
            Self::Truncate(group, last) => Record::TruncateAfter {
                group: *group,
                last: *last,
            },
            Self::Purge(group, up_to) => Record::PurgeUpTo {
                group: *group,
                up_to: *up_to,
            },
        }
    }

    pub(super) fn tell(&self) -> String {
        match self {
            Self::Entry(group, id, payload) => {
                let (index, term) = (id.index, id.term);
                format!("g{group} entry {index}@{term} ({} bytes)", payload.len())
            }
            Self::Vote(group, vote) => format!("g{group} vote for term {}", vote.term),
            Self::Truncate(group, last) => format!("g{group} truncate after {}", last.index),
            Self::Purge(group, up_to) => format!("g{group} purge up to {}", up_to.index),
        }
    }
}

/// What one group should look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GroupModel {
    pub(super) last: LogId,
    pub(super) purged: LogId,
    pub(super) vote: Option<Vote>,
    pub(super) entries: BTreeMap<u64, (Term, Arc<[u8]>)>,
}

/// What a whole log should look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<Group, GroupModel>,
}

impl Model {
    pub(super) fn group(&self, group: Group) -> GroupModel {
        self.groups.get(&group).cloned().unwrap_or_default()
    }

    pub(super) fn apply(&mut self, wrote: &Wrote) {
        match wrote {
            Wrote::Entry(group, id, payload) => {
                let group = self.groups.entry(*group).or_default();
                group.last = *id;
                let entry = (id.term, Arc::clone(payload));
                group.entries.insert(id.index.get(), entry);
            }
            Wrote::Vote(group, vote) => {
                self.groups.entry(*group).or_default().vote = Some(*vote);
            }
            Wrote::Truncate(group, last) => {
                let group = self.groups.entry(*group).or_default();
                group.entries.retain(|index, _| *index <= last.index.get());
                group.last = *last;
            }
            Wrote::Purge(group, up_to) => {
                let group = self.groups.entry(*group).or_default();
                group.entries.retain(|index, _| *index > up_to.index.get());
                group.purged = *up_to;
                if group.last.index < up_to.index {
                    group.last = *up_to;
                }
            }
        }
    }

    /// What `log` really contains.
    pub(super) fn read(log: &Log, groups: u32) -> Check<Self> {
        let mut model = Self::default();
        for group in (0..groups).map(Group::new) {
            let view = log.group(group);
            let mut found = GroupModel {
                last: view.last,
                purged: view.purged,
                vote: view.vote,
                entries: BTreeMap::new(),
            };
            let from = view.purged.index.next();
            let mut entries = log
                .entries(group, from, view.last.index)
                .map_err(|e| e.to_string())?;
            while let Some(entry) = entries.next_entry().map_err(|e| e.to_string())? {
                let (index, payload) = (entry.id.index.get(), entry.payload.into());
                if found
                    .entries
                    .insert(index, (entry.id.term, payload))
                    .is_some()
                {
                    return Err(format!("group {group} shows entry {index} twice"));
                }
            }
            if found != GroupModel::default() {
                model.groups.insert(group, found);
            }
        }
        Ok(model)
    }

    /// In what way `found` is different from this.
    pub(super) fn difference(&self, found: &Self, groups: u32) -> Option<String> {
        (0..groups).map(Group::new).find_map(|group| {
            let (expected, found) = (self.group(group), found.group(group));
            let heads = |g: &GroupModel| (g.last, g.purged, g.vote);
            if heads(&expected) != heads(&found) {
                let (a, b) = (heads(&expected), heads(&found));
                return Some(format!("group {group} should be {a:?} and is {b:?}"));
            }
            let indices: Vec<u64> = expected
                .entries
                .keys()
                .chain(found.entries.keys())
                .copied()
                .collect();
            indices.into_iter().find_map(|index| {
                let (a, b) = (expected.entries.get(&index), found.entries.get(&index));
                let short = |e: Option<&(Term, Arc<[u8]>)>| {
                    e.map_or("missing".to_owned(), |(term, payload)| {
                        format!("term {term}, {} bytes", payload.len())
                    })
                };
                (a != b).then(|| {
                    let (a, b) = (short(a), short(b));
                    format!("entry {index} of group {group} should be {a}, and is {b}")
                })
            })
        })
    }
}

/// The states that the log went through since it was last opened.
#[derive(Debug)]
pub(super) struct Timeline {
    states: Vec<Model>,
    /// The state that a power cut must leave at least.
    pub(super) durable: usize,
    /// The state that a kill must leave at least.
    pub(super) written: usize,
}

impl Timeline {
    pub(super) fn starting_with(state: Model) -> Self {
        Self {
            states: vec![state],
            durable: 0,
            written: 0,
        }
    }

    /// Takes a batch in, which may or may not be in the log.
    pub(super) fn submit(&mut self, batch: &[Wrote]) {
        let mut state = self.newest().clone();
        batch.iter().for_each(|wrote| state.apply(wrote));
        self.states.push(state);
    }

    /// The last batch was acknowledged.
    pub(super) const fn acknowledge(&mut self) {
        self.written = self.states.len() - 1;
    }

    /// The last batch did not happen.
    pub(super) fn take_back(&mut self) {
        self.states.pop();
    }

    pub(super) const fn sync(&mut self) {
        self.durable = self.written;
    }

    pub(super) const fn power_cut(&mut self) {
        self.written = self.durable;
    }

    pub(super) fn newest(&self) -> &Model {
        &self.states[self.states.len() - 1]
    }

    pub(super) fn durable_state(&self) -> &Model {
        &self.states[self.durable]
    }

    /// Finds what was recovered among the states that are allowed, newest first.
    pub(super) fn recognize(&self, found: &Model, groups: u32) -> Check {
        let allowed = &self.states[self.written..];
        if allowed
            .iter()
            .any(|state| state.difference(found, groups).is_none())
        {
            return Ok(());
        }
        let differences: Vec<String> = allowed
            .iter()
            .enumerate()
            .filter_map(|(n, state)| {
                let batch = self.written + n;
                Some(format!(
                    "after batch {batch}: {}",
                    state.difference(found, groups)?
                ))
            })
            .collect();
        Err(format!(
            "what was recovered is none of the {} allowed states: {}",
            allowed.len(),
            differences.join("; ")
        ))
    }
}

/// An entry's name.
pub(super) const fn id(index: u64, term: u64) -> LogId {
    LogId {
        index: Index::new(index),
        term: Term::new(term),
    }
}
